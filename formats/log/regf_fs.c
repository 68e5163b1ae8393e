/* SPDX-License-Identifier: Apache-2.0 */
/* The hive as a layer, and as a file system of keys and values. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/fs/beside.h"
#include "formats/fs/fs.h"
#include "formats/fs/memory.h"
#include "formats/log/regf.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	HIVE_MAX = 1 << 30, /* Windows keeps hives below 2 GiB, in fact far below this */
};

struct regf *regf_of(struct layer *l)
{
	return l->priv;
}

static int hive_probe(struct layer *below)
{
	struct regf_base b;
	uint8_t bin[8];

	if (below->size < REGF_BASE || layer_read(below, 0, &b, sizeof(b), NULL))
		return 0;
	/* A transaction log has the same base block. */
	if (!memcmp(b.magic, "regf", 4) && le32(b.major) == 1 && le32(b.type) == 0)
		return regf_sum(&b) == le32(b.sum) ? 95 : 70;
	if (layer_read(below, REGF_BASE, bin, sizeof(bin), NULL))
		return 0;
	return !memcmp(bin, "hbin\0\0\0\0", 8) ? 60 : 0;
}

/* Without a base block, bins are what states its own place; the file may go on behind them. */
static uint32_t end_of_bins(const struct regf *h)
{
	uint32_t end = 0;

	for (uint32_t off = 0; off < h->len;) {
		struct span s = {h->bins, h->len, 0};
		const le32_t *w = span_at(s, off, 12);
		bool bin = w && !memcmp(w, "hbin", 4) && le32(w[1]) == off && le32(w[2]) &&
			   le32(w[2]) % REGF_PAGE == 0 && le32(w[2]) <= h->len - off;

		off += bin ? le32(w[2]) : REGF_PAGE;
		if (bin)
			end = off;
	}
	return end;
}

/* The base block tells what to read; without it, all there is. */
static int load_bins(struct layer *l, struct regf *h)
{
	struct layer *in = l->below;
	uint64_t there = in->size - REGF_BASE, len = le32(h->base.bins);
	int r;

	if (!h->base_ok || !len || len % REGF_PAGE)
		len = there / REGF_PAGE * REGF_PAGE;
	if (len > HIVE_MAX)
		return layer_err(l, -EFBIG, "%" PRIu64 " bytes of bins", len);
	h->len = (uint32_t)len;
	h->bins = calloc(1, len ? len : 1);
	if (!h->bins)
		return -ENOMEM;
	if (len > there)
		finding_fact(l, REGF_TRUNCATED,
			     &(struct fact){.at = 40,
					    .at_len = 4,
					    .off = in->size,
					    .len = REGF_BASE + len - in->size,
					    .lost = true,
					    .stored = strf("%" PRIu64 " bytes of bins", len),
					    .expected = strf("%" PRIu64, there)},
			     "the hive ends %" PRIu64 " bytes early", len - there);
	r = layer_read(in, REGF_BASE, h->bins, len, &h->lost);
	if (!r && !h->base_ok)
		h->len = end_of_bins(h);
	return r;
}

static void find_root(struct regf *h)
{
	uint32_t was = h->root;

	if (regf_nk(h, was))
		return;
	h->root = regf_root(h);
	finding(h->l, REGF_ROOT_LOST, 0x24, 4, "no key at 0x%" PRIx32 ": %s", was,
		h->root != REGF_NONE ? "a key marked as root was found elsewhere, and is used"
				     : "keys are listed without it");
}

static int replay(struct layer *l, struct regf *h)
{
	struct layer *log[2] = {NULL, NULL};
	int r = 0;

	for (size_t i = 0; i < 2 && !r; i++) {
		r = layer_beside(l->below, i ? ".LOG2" : ".LOG1", &log[i]);
		if (r == -ENOENT)
			r = 0;
	}
	if (!r && !log[0] && !log[1])
		r = layer_beside(l->below, ".LOG", &log[0]);
	if (r == -ENOENT)
		r = 0;
	if (!r)
		r = regf_replay(h, log, 2);
	layer_free(log[0]);
	layer_free(log[1]);
	return r;
}

static void say_state(struct layer *l, const struct regf *h)
{
	const struct fact base = {.at = 0, .at_len = 512};
	const char *pages = h->replayed ? strf("%zu pages of its logs were applied", h->n_pages)
					: "no log holds what was to be written";

	if (!h->base_ok)
		finding_fact(l, REGF_BASE_BLOCK,
			     &(struct fact){.at = 0x1fc,
					    .at_len = 4,
					    .stored = strf("0x%08" PRIx32, le32(h->base.sum)),
					    .expected = strf("0x%08" PRIx32, regf_sum(&h->base))},
			     "the base block is wrong; %s", pages);
	else if (h->dirty && h->replayed)
		finding_fact(l, REGF_REPLAYED, &base, "sequence %" PRIu32 "/%" PRIu32 "; %s",
			     le32(h->base.seq1), le32(h->base.seq2), pages);
	else if (h->dirty)
		finding_fact(l, REGF_DIRTY, &base, "sequence %" PRIu32 "/%" PRIu32 "; %s",
			     le32(h->base.seq1), le32(h->base.seq2), pages);
}

static int hive_open(struct layer *l)
{
	struct regf *h = calloc(1, sizeof(*h));
	int r;

	l->priv = h;
	if (!h)
		return -ENOMEM;
	h->l = l;
	l->size = l->below->size;
	if (l->size < REGF_BASE + REGF_PAGE)
		return -EBADMSG;
	r = layer_read(l->below, 0, &h->base, sizeof(h->base), &h->lost);
	if (r)
		return r;
	h->base_ok = !memcmp(h->base.magic, "regf", 4) && regf_sum(&h->base) == le32(h->base.sum);
	h->dirty = !h->base_ok || le32(h->base.seq1) != le32(h->base.seq2);
	h->root = h->base_ok ? le32(h->base.root) : REGF_BIN_HEAD;
	h->minor = h->base_ok ? le32(h->base.minor) : 5;
	r = load_bins(l, h);
	if (!r)
		r = ranges_flatten(&h->lost);
	if (!r && h->dirty)
		r = replay(l, h);
	if (r)
		return r;
	say_state(l, h);
	find_root(h);
	return 0;
}

static void hive_close(struct layer *l)
{
	struct regf *h = l->priv;

	if (!h)
		return;
	free(h->bins);
	free(h->page);
	ranges_free(&h->lost);
	free(h);
}

struct lookup {
	struct fs_entry *copy;
	uint32_t id;
};

static int keep_value(void *arg, const struct fs_entry *e)
{
	struct lookup *k = arg;

	if (e->id != k->id || !e->stream)
		return 0;
	k->copy = fs_entry_copy(e);
	return k->copy ? 1 : -ENOMEM;
}

/* "/key/key:value": the first colon after which no key is named but a value is. */
static int lookup_value(struct layer *l, const char *path, struct fs_entry **e)
{
	struct regf *h = l->priv;

	for (const char *c = strchr(path, ':'); c; c = strchr(c + 1, ':')) {
		char *dir = strndup(path, (size_t)(c - path));
		const char *name = strcmp(c + 1, "(default)") ? c + 1 : "";
		struct lookup k = {0};
		uint32_t key;
		int r;

		if (!dir)
			return -ENOMEM;
		r = regf_find(h, h->root, dir, &key);
		if (!r)
			r = regf_value(h, key, name, &k.id);
		if (!r)
			r = regf_walk(l, &(struct fs_query){.dir = dir}, keep_value, &k);
		free(dir);
		if (r < 0 && r != -ENOENT)
			return r;
		*e = k.copy;
		if (*e)
			return 0;
	}
	return -ENOENT;
}

static int hive_lookup(struct layer *l, const char *path, struct fs_entry **e)
{
	struct regf *h = l->priv;
	struct fs_entry key;
	uint32_t off;

	if (regf_find(h, h->root, path, &off))
		return lookup_value(l, path, e);
	key = regf_key_entry(h, off);
	key.path = path;
	*e = fs_entry_copy(&key);
	return *e ? 0 : -ENOMEM;
}

/* A key, read as a file, is a list of its values: NAME = TYPE: DATA. */
static int print_value(void *arg, const struct fs_entry *e)
{
	FILE *f = arg;

	if (e->stream)
		fprintf(f, "%s = %s\n", e->stream, e->remark);
	return ferror(f) ? -ENOMEM : 0;
}

static int open_key(struct layer *l, const struct fs_entry *e, struct layer **file)
{
	struct fs_memory m = {0};
	char *text = NULL;
	FILE *f = open_memstream(&text, &m.len);
	int r;

	if (!f)
		return -ENOMEM;
	r = regf_walk(l, &(struct fs_query){.dir = e->path}, print_value, f);
	if (fclose(f))
		r = -ENOMEM;
	m.buf = (uint8_t *)text;
	m.at = (uint64_t)REGF_BASE + e->ref + 4;
	m.at_len = e->stored;
	if (!r)
		return fs_memory_new(l, e->path, &m, file);
	free(text);
	return r;
}

static int hive_open_file(struct layer *l, const struct fs_entry *e, struct layer **file)
{
	struct regf_data d;
	struct fs_memory m;
	int r;

	if (e->kind == FS_DIR)
		return open_key(l, e, file);
	r = regf_data(l->priv, (uint32_t)e->ref, &d);
	if (r)
		return r;
	m = (struct fs_memory){.buf = d.p,
			       .len = d.len,
			       .bad = d.bad,
			       .at = d.at,
			       .at_len = d.at_len,
			       .why = REGF_VALUE_DATA};
	if (!d.logged) {
		m.run = calloc(d.runs + 1, sizeof(*m.run));
		for (size_t i = 0; m.run && i < d.runs; i++)
			m.run[m.runs++] =
				(struct fs_memory_run){d.run[i].off, d.run[i].len, d.run[i].at};
	}
	free(d.run);
	return fs_memory_new(l, e->path, &m, file);
}

/* What a hive's byte belongs to is told by its bin only: a value's data names nobody. */
static int hive_owners(struct layer *l, const struct ranges *r,
		       int (*fn)(void *arg, const struct fs_owner *o), void *arg)
{
	const struct regf *h = l->priv;
	char name[64];
	int err = 0;

	for (size_t i = 0; i < r->n && !err; i++) {
		uint64_t off = r->v[i].off, end = off + r->v[i].len;

		while (off < end && !err) {
			bool base = off < REGF_BASE, in = !base && off - REGF_BASE < h->len;
			uint64_t start = off / REGF_PAGE * REGF_PAGE;
			uint64_t stop = base || in ? start + REGF_PAGE : end;
			struct fs_owner o = {.off = off,
					     .len = (stop < end ? stop : end) - off,
					     .kind = base || in ? OWNER_STRUCTURE : OWNER_FREE,
					     .start = start,
					     .size = REGF_PAGE};

			snprintf(name, sizeof(name),
				 base ? "base block" : "page 0x%" PRIx64 " of bins",
				 start - REGF_BASE);
			o.structure = name;
			err = fn(arg, &o);
			off += o.len;
		}
	}
	return err;
}

static int hive_unused(struct layer *l,
		       int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack), void *arg)
{
	const struct regf *h = l->priv;
	int r = 0;

	for (uint32_t off = REGF_BIN_HEAD; off < h->len && !r;) {
		bool unused = false;
		struct span s = regf_cell(h, off, &unused);

		if (s.p && unused)
			r = fn(arg, s.addr, s.len, false);
		off += s.p ? (uint32_t)s.len + 4 : 8;
		if (off % REGF_PAGE == 0 && off < h->len && !memcmp(h->bins + off, "hbin", 4))
			off += REGF_BIN_HEAD;
	}
	return r;
}

static void hive_info(struct layer *l, struct json *to)
{
	const struct regf *h = l->priv;
	struct fs_time t = regf_time(h->base.written);
	char name[128], time[TIME_TEXT];

	if (!h->base_ok)
		return;
	js_strf(to, "version", "%" PRIu32 ".%" PRIu32, le32(h->base.major), le32(h->base.minor));
	js_str(to, "name", utf16_text(h->base.name, 32, 0, name, sizeof(name)));
	js_strf(to, "sequence", "%" PRIu32 "/%" PRIu32, le32(h->base.seq1), le32(h->base.seq2));
	if (t.set)
		js_str(to, "written", time_text(t.sec, t.nsec, time));
	js_u64(to, "bins_size", h->len);
	if (h->replayed)
		js_u64(to, "pages_from_logs", h->n_pages);
}

static const struct fs_ops hive_fs = {
	.walk = regf_walk,
	.lookup = hive_lookup,
	.open_file = hive_open_file,
	.owners = hive_owners,
	.unused = hive_unused,
	.opens_folders = true,
};

const struct layer_ops regf_ops = {
	.name = "regf",
	.kind = LAYER_FILESYSTEM,
	.probe = hive_probe,
	.open = hive_open,
	.read = fs_read,
	.map = fs_map,
	.check = regf_check,
	.info = hive_info,
	.close = hive_close,
	.fs = &hive_fs,
};
