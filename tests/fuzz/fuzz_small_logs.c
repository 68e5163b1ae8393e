/* SPDX-License-Identifier: Apache-2.0 */
/* Logs of few kinds of records: the layer of whichever takes the bytes, and its events. */
#include "formats/log/formats.h"
#include "tests/fuzz/harness.h"
#include "tests/lib/image.h"

static int on_event(void *arg, const struct log_event *e)
{
	struct buf *b = arg;

	b->len = 0;
	log_json(b, e);
	if (b->failed)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct log_driver *const drivers[] = {&utmp_log,	  &dump_log,	&wer_log,
							   &prefetch_log, &usn_log,	&kdump_log,
							   &schedule_log, &logfile_log, &regf_log};
	struct image *img = image_new(size);
	struct buf b = {0};
	struct log_sink sink = {.event = on_event, .arg = &b};

	image_poke(img, 0, data, size);
	for (size_t i = 0; i < sizeof(drivers) / sizeof(*drivers); i++) {
		fuzz_driver(drivers[i]->ops, data, size);
		image_open(img, drivers[i]->ops);
		if (!img->err && drivers[i]->records(img->top, &sink))
			abort();
	}
	image_free(img);
	buf_free(&b);
	return 0;
}
