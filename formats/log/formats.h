/* SPDX-License-Identifier: Apache-2.0 */
/* Every log driver by name: for the table in logs.c, and for tests and fuzz targets of one of them. */
#ifndef VDISKCK_FORMATS_LOG_FORMATS_H
#define VDISKCK_FORMATS_LOG_FORMATS_H

#include "formats/log/log.h"

extern const struct log_driver evt_log, evtx_log, journal_log;
extern const struct log_driver textlog_log, utmp_log, dump_log, wer_log, prefetch_log, usn_log;
extern const struct log_driver kdump_log, schedule_log, logfile_log, regf_log;

#endif
