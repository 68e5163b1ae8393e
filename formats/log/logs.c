/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/log/formats.h"

const struct log_driver *const log_formats[] = {
	&evtx_log,     &evt_log, &journal_log, &textlog_log,  &utmp_log,    &dump_log, &wer_log,
	&prefetch_log, &usn_log, &kdump_log,   &schedule_log, &logfile_log, &regf_log, NULL,
};

const struct log_driver *log_format(const struct layer *l)
{
	for (size_t i = 0; log_formats[i]; i++)
		if (log_formats[i]->ops == l->ops)
			return log_formats[i];
	return NULL;
}
