/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EVTX logs with bytes changed at will. Arbitrary bytes would never get past the sums, so a log of ours
 * is changed here, and its sums are made right again where the input says so.
 *
 * Input: flags, then either a fragment of BinXML that becomes a value of records, or changes: offset
 * (16 bits) and byte.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/log/binxml.h"
#include "formats/log/evtx.h"
#include "tests/fuzz/harness.h"
#include "tests/lib/evtx_build.h"
#include "tests/lib/image.h"
#include "vdiskck/core/json.h"

enum {
	SUMS = 1,     /* are right */
	FRAGMENT = 2, /* the input is one */
	TWO = 4,      /* chunks, the second one untouched */
	CHANGE = 3,   /* bytes of one change */
};

static int on_event(void *arg, const struct log_event *e)
{
	struct json *j = js_parse(e->data.p, e->data.len);
	size_t *n = arg;

	/* js_parse() refuses what nests deeper than it likes; a hostile log may. */
	if (!j && e->data.len && (e->data.p[0] != '{' || e->data.p[e->data.len - 1] != '}'))
		abort();
	js_free(j);
	if (++*n > 100000 || e->data.len > 2 * BX_OUT_MAX)
		abort();
	return 0;
}

static void as_xml(struct layer *l)
{
	struct log_run *run = log_run_new();
	struct bx *x = bx_new(log_run_templates(run));
	uint8_t *buf = malloc(EVTX_CHUNK);
	struct evtx_chunk c;
	struct evtx_frame f;
	struct buf out = {0};
	size_t off = 0;

	if (!evtx_chunk_read(l, 0, buf, NULL, &c)) {
		bx_chunk(x, &(struct bx_chunk){buf, c.len, evtx_chunk_sound(&c)});
		while (evtx_chunk_record(&c, &off, &f)) {
			out.len = 0;
			bx_xml(x, f.off + 24, f.len - 28, &out);
		}
	}
	buf_free(&out);
	free(buf);
	bx_free(x);
	log_run_free(run);
}

static void read_all(const uint8_t *p, size_t len)
{
	struct session s;
	struct layer *source, *l;
	size_t n = 0;
	struct log_sink sink = {.arg = &n, .event = on_event, .slack = true, .jobs = 1};

	session_init(&s);
	source = memory_source(&s, "fuzz.evtx", p, len);
	l = layer_new(&s, &evtx_ops, source, "evtx");
	layer_attach(source, l);
	if (!evtx_ops.open(l)) {
		evtx_log.records(l, &sink);
		as_xml(l);
	}
	log_carve(source, NULL, &sink);
	layer_free(source);
	session_fini(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct evtx_spec spec = {.first_id = 1, .records = 6, .channel = "System"};
	uint8_t flags = size ? data[0] : 0, *file;
	size_t len;

	if (size < 2 || size > 8192)
		return 0;
	if (flags & TWO)
		spec.per_chunk = 3;
	if (flags & FRAGMENT) {
		spec.extra = data + 1;
		spec.extra_len = (uint16_t)(size - 1);
	}
	file = evtx_build(&spec, &len);
	for (size_t i = 1; !(flags & FRAGMENT) && i + CHANGE <= size; i += CHANGE)
		file[EVTX_FILE_HEADER + (data[i] | data[i + 1] << 8)] = data[i + 2];
	if (flags & SUMS && !(flags & FRAGMENT)) {
		struct evtx_chunk_header *h = (void *)(file + EVTX_FILE_HEADER);

		if (le32(h->free_off) >= EVTX_CHUNK_DATA && le32(h->free_off) <= EVTX_CHUNK)
			evtx_build_sums(file, 0);
	}
	read_all(file, len);
	fuzz_driver(&evtx_ops, file, len);
	free(file);
	return 0;
}
