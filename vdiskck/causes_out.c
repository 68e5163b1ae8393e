/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "vdiskck/causes.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"

const char *cause_kind_name(enum cause_kind k)
{
	static const char *const name[] = {
		[CAUSE_BIT] = "bit",
		[CAUSE_NOISE] = "noise",
		[CAUSE_ZEROED] = "zeroed",
		[CAUSE_CONSTANT] = "constant",
		[CAUSE_FOREIGN] = "foreign",
		[CAUSE_STALE] = "stale",
		[CAUSE_TORN] = "torn",
		[CAUSE_MISPLACED] = "misplaced",
		[CAUSE_TRUNCATED] = "truncated",
		[CAUSE_POINTER] = "pointer",
	};

	return name[k];
}

const char *cause_side_name(enum cause_side s)
{
	static const char *const name[] = {
		[CAUSE_ANYWHERE] = "unknown", [CAUSE_ABOVE] = "above", [CAUSE_BELOW] = "below"};

	return name[s];
}

const char *cause_sure_name(enum cause_sure s)
{
	static const char *const name[] = {[CAUSE_POSSIBLE] = "possible",
					   [CAUSE_LIKELY] = "likely",
					   [CAUSE_STRONG] = "strong"};

	return name[s];
}

/* What has the size of a unit, and so may be what was written, lost or put in the wrong place. */
static const char *unit_name(uint64_t unit)
{
	switch (unit) {
	case 4096: return "pages, clusters, sectors of newer disks";
	case 64 << 10: return "clusters of qcow2, chunks of a log, stripes";
	case 2 << 20: return "blocks of a VHD, large pages";
	default: return "sectors";
	}
}

void causes_put(FILE *f, const struct cause *k, void (*put)(FILE *f, const char *text))
{
	char size[SIZE_TEXT], when[TIME_TEXT];

	put(f, k->text);
	if (k->unit >= 4096)
		fprintf(f, " (whole units of %s: %s)", size_text(k->unit, size),
			unit_name(k->unit));
	if (k->dated)
		fprintf(f, "; the file was last written %s", time_text(k->written, 0, when));
	if (k->beside) {
		fprintf(f, "; beside it, the last write was %s, to ",
			time_text(k->beside_written, 0, when));
		put(f, k->beside);
	}
}

void causes_text(FILE *f, const struct causes *c)
{
	char size[SIZE_TEXT];

	if (!c->n)
		return;
	fputs("\nwhat its shape says of the cause (evidence, not proof):\n", f);
	for (size_t i = 0; i < c->n; i++) {
		const struct cause *k = &c->v[i];

		fprintf(f, "  %-8s  %s", cause_sure_name(k->sure), finding_name(k->id));
		if (k->path) {
			fputs(", ", f);
			text_put(f, k->path);
		}
		fputs(": ", f);
		causes_put(f, k, text_put);
		fputc('\n', f);
	}
	if (c->together) {
		fprintf(f, "  %zu damages lie within %s of ", c->together,
			size_text(c->near.len, size));
		text_put(f, c->near.layer);
		fprintf(f, ", from 0x%" PRIx64 " on: one event may have hit them all\n",
			c->near.off);
	}
}

static struct json *json_cause(const struct cause *k)
{
	struct json *j = js_object();
	char when[TIME_TEXT];

	js_str(j, "record", "cause");
	js_str(j, "finding", finding_name(k->id));
	js_str(j, "layer", k->layer);
	js_str(j, "kind", cause_kind_name(k->kind));
	js_str(j, "side", cause_side_name(k->side));
	js_str(j, "confidence", cause_sure_name(k->sure));
	js_str(j, "evidence", k->text);
	js_put(j, "at", json_place(k->at.layer, k->at.off, k->at.len));
	if (k->stored.len)
		js_put(j, "stored", json_place(k->stored.layer, k->stored.off, k->stored.len));
	if (k->unit)
		js_u64(j, "unit", k->unit);
	if (k->path)
		js_str(j, "path", k->path);
	if (k->dated)
		js_str(j, "written", time_text(k->written, 0, when));
	if (k->beside) {
		js_str(j, "beside", k->beside);
		js_str(j, "beside_written", time_text(k->beside_written, 0, when));
	}
	return j;
}

void causes_records(struct run *r, const struct causes *c)
{
	struct json *j;

	for (size_t i = 0; i < c->n; i++)
		run_record(r, json_cause(&c->v[i]));
	if (!c->together)
		return;
	j = js_object();
	js_str(j, "record", "cause");
	js_str(j, "kind", "together");
	js_u64(j, "damages", c->together);
	js_put(j, "at", json_place(c->near.layer, c->near.off, c->near.len));
	run_record(r, j);
}
