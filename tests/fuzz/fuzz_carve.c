/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of no known kind, shown to every driver that carves. */
#include "formats/log/log.h"
#include "tests/fuzz/harness.h"
#include "tests/lib/image.h"

static int on_event(void *arg, const struct log_event *e)
{
	struct buf *b = arg;

	b->len = 0;
	log_json(b, e);
	if (b->failed || e->state == LOG_INTACT)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct log_run *run = log_run_new();
	struct buf b = {0};
	struct log_sink sink = {.event = on_event, .arg = &b, .run = run};
	struct session s;
	struct layer *l;

	session_init(&s);
	l = memory_source(&s, "free space", data, size);
	if (log_carve(l, NULL, &sink))
		abort();
	layer_free(l);
	session_fini(&s);
	log_run_free(run);
	buf_free(&b);
	return 0;
}
