/* SPDX-License-Identifier: Apache-2.0 */
/* Text logs: the layer, and the events that come out of it. */
#include <errno.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "tests/fuzz/harness.h"
#include "tests/lib/image.h"

static int on_event(void *arg, const struct log_event *e)
{
	struct buf *b = arg;

	b->len = 0;
	log_json(b, e);
	if (b->failed || !e->len)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image *img;
	struct buf b = {0};
	struct log_sink sink = {
		.event = on_event, .arg = &b, .modified = {.sec = 1600000000, .known = true}};

	fuzz_driver(&textlog_ops, data, size);
	img = image_new(size);
	image_poke(img, 0, data, size);
	image_open(img, &textlog_ops);
	if (!img->err && textlog_log.records(img->top, &sink))
		abort();
	image_free(img);
	buf_free(&b);
	return 0;
}
