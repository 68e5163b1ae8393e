/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of a hive as events. A key states when it, or one of its values, was last written, and nothing
 * more: what was written is not known, so all of its values go with it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/drivers.h"
#include "formats/fs/fs.h"
#include "formats/log/formats.h"
#include "formats/log/regf.h"
#include "formats/log/simple.h"
#include "vdiskck/core/text.h"

enum {
	SHOWN = 1024,	     /* bytes of one value's text */
	VALUES_MAX = 1 << 20 /* bytes of all values of a key */
};

/* The event in hand: a walk gives a key, then its values. */
struct events {
	const struct regf *h;
	const struct log_sink *sink;
	uint64_t base;
	bool carved;
	char channel[128];
	struct log_event e;
	struct buf data, message;
	uint64_t left_out; /* values */
	bool begun, values;
};

/* "emRoot\System32\Config\SYSTEM": the end of a path is what the base block has room for. */
static void name_hive(const struct regf *h, char *out, size_t cap)
{
	char path[128];
	const char *name;

	utf16_text(h->base.name, sizeof(h->base.name) / 2, 0, path, sizeof(path));
	name = strrchr(path, '\\');
	name = name ? name + 1 : path;
	snprintf(out, cap, "%s", h->base_ok && *name ? name : "registry");
}

static int flush(struct events *v)
{
	int r;

	if (!v->begun)
		return 0;
	v->begun = false;
	if (v->values)
		buf_char(&v->data, '}');
	if (v->left_out)
		log_member_u64(&v->data, "values_left_out", v->left_out);
	v->e.data = log_object_end(&v->data);
	v->e.message = (struct log_text){v->message.p, v->message.len};
	r = v->data.failed || v->message.failed ? -ENOMEM : log_send(v->sink, &v->e);
	return r;
}

static void begin(struct events *v, const struct fs_entry *e)
{
	bool lost = ranges_overlap(&v->h->lost, REGF_BASE + e->ref, e->stored + 4);

	v->e = (struct log_event){
		.source = regf_ops.name,
		.channel = {v->channel, strlen(v->channel)},
		.time = {e->modified.sec, e->modified.nsec, e->modified.set},
		.off = v->base + REGF_BASE + e->ref,
		.len = e->stored + 4,
	};
	v->e.written = v->e.time;
	v->e.failed = lost ? LOG_LOST : e->path_sure != FS_SURE && !e->deleted ? LOG_ORDER : 0;
	v->e.state = v->carved || e->deleted ? LOG_CARVED : v->e.failed ? LOG_DOUBTFUL : LOG_INTACT;
	v->begun = true;
	v->values = false;
	v->left_out = 0;
	log_object(&v->data);
	log_member(&v->data, "key", e->path, strlen(e->path));
	if (e->deleted)
		buf_lit(&v->data, ",\"deleted\":true");
	v->message.len = 0;
	buf_lit(&v->message, "key last written: ");
	buf_str(&v->message, e->path);
}

/* "NAME":"TYPE: DATA" as ls -l shows it, of long ones the beginning. */
static int put_value(struct events *v, const struct fs_entry *e)
{
	char text[SHOWN];
	struct regf_data d;
	struct buf *b = &v->data;
	int r;

	if (b->len > VALUES_MAX) {
		v->left_out++;
		return 0;
	}
	r = regf_data(v->h, (uint32_t)e->id, &d);
	if (r)
		return r;
	buf_str(b, v->values ? ",\"" : ",\"values\":{\"");
	buf_json(b, e->stream, strlen(e->stream));
	buf_lit(b, "\":\"");
	buf_str(b, regf_type_name(d.type));
	buf_lit(b, ": ");
	regf_data_text(&d, text, sizeof(text));
	if (!d.bad.n || ranges_bytes(&d.bad, GRADE_LOST) < d.len)
		buf_json(b, text, strlen(text));
	if (strlen(text) + 8 > sizeof(text))
		buf_lit(b, " ...");
	if (d.bad.n) {
		buf_lit(b, " (lost)");
		v->e.failed |= LOG_LOST;
		if (v->e.state == LOG_INTACT)
			v->e.state = LOG_DOUBTFUL;
	}
	buf_char(b, '"');
	v->values = true;
	regf_data_free(&d);
	return 0;
}

/* Noise has "nk" in it, too: what no list of a live hive names must look like a key of 1990 to 2100. */
static bool plausible(const struct events *v, const struct fs_entry *e)
{
	const struct regf_nk *nk = regf_nk(v->h, (uint32_t)e->ref);

	return e->path_sure == FS_SURE || !(v->carved || e->deleted) ||
	       (e->modified.sec > 631152000 && e->modified.sec < 4102444800 &&
		!(le16(nk->flags) & 0xfc00) && le16(nk->name_len) && le16(nk->name_len) <= 512 &&
		le32(nk->parent) % 8 == 0);
}

static int on_entry(void *arg, const struct fs_entry *e)
{
	struct events *v = arg;
	int r;

	if (e->stream)
		return v->begun ? put_value(v, e) : 0;
	r = flush(v);
	if (!r && plausible(v, e))
		begin(v, e);
	return r;
}

int regf_events(struct regf *h, uint64_t base, bool carved, const struct log_sink *sink)
{
	const struct fs_query q = {.recursive = true, .deleted = true};
	struct events v = {.h = h, .sink = sink, .base = base, .carved = carved};
	int r;

	name_hive(h, v.channel, sizeof(v.channel));
	if (regf_nk(h, h->root)) {
		/* A folder is not among its own entries; its values are. */
		struct fs_entry root = regf_key_entry(h, h->root);

		root.path = "/";
		begin(&v, &root);
	}
	r = regf_walk(h->l, &q, on_entry, &v);
	if (!r)
		r = flush(&v);
	buf_free(&v.data);
	buf_free(&v.message);
	return r;
}

static int hive_records(struct layer *l, const struct log_sink *sink)
{
	return regf_events(regf_of(l), 0, false, sink);
}

static const char *const where[] = {
	"/windows/system32/config/*",
	"/windows/system32/config/regback/*",
	"/winnt/system32/config/*",
	"/windows/appcompat/programs/amcache.hve",
	"/users/*/ntuser.dat",
	"/users/*/appdata/local/microsoft/windows/usrclass.dat",
	"/windows/serviceprofiles/*/ntuser.dat",
	"/documents and settings/*/ntuser.dat",
	"/boot/bcd",
	"/efi/microsoft/boot/bcd",
	NULL,
};

const struct log_driver regf_log = {
	.ops = &regf_ops,
	.where = where,
	.asked = true,
	.unordered = true,
	.rare = true,
	.records = hive_records,
	.carve = regf_carve,
	.carve_begin = regf_carve_begin,
	.carve_end = regf_carve_end,
};
