/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where nobody kept account of writes, the volume may: a file has the time when it was last written
 * to, NTFS has a journal of writes, an event log has checksums. One pass over the metadata says
 * whose the changed bytes are; then each piece is weighed, and of the pieces each sector.
 *
 * None of it proves rot: some programs and some mounts leave times alone, a file that is open has
 * not got them yet, and what a defragmenter moves it does not write. So a file is only suspected
 * if its own metadata is as it was sealed, too.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/log/evtx.h"
#include "recover/impact.h"
#include "vdiskck/core/json.h"
#include "vdiskck/scrub.h"
#include "vdiskck/scrub_witness.h"

enum {
	SLACK = 86400, /* the clocks of guest and host may differ, some file systems keep local time */
	PIECES_MAX = 1 << 19, /* that are looked at: 20 MiB; sectors beyond those stay undecided */
};

/* Bytes of a changed leaf. */
struct piece_of {
	size_t leaf; /* of s->v */
	uint32_t off, len;
	enum owner kind;
	bool proven;	      /* STRUCTURE: a checksum over it holds */
	struct witness *file; /* FILE */
	uint64_t file_off;
};

/* What a piece says of who wrote it. */
enum weight { NOTHING, WRITTEN, UNWRITTEN, UNUSED };

/* What the pieces of a leaf say of each sector. */
struct tally_of {
	uint16_t bytes[SEAL_SECTORS]; /* that pieces account for */
	uint16_t written, unwritten, unused, other;
};

struct evidence {
	struct scrub *s;
	struct tally_of *leaf; /* of s->v, from all volumes */
	/* Of one volume. */
	struct layer *fs;
	void *files; /* scrub_witness.h */
	struct piece_of *v;
	size_t n, cap;
	struct usn_journal journal;
	bool sums; /* its structures have checksums, which were verified */
	struct ranges failed;
	/* An event log's chunk that was looked at last. */
	uint8_t *chunk;
	const struct witness *log;
	uint64_t log_chunk;
	enum weight log_says;
	uint32_t log_end; /* where its records end */
};

static struct usn_file *find_usn(void *arg, uint64_t id, uint64_t sequence)
{
	struct evidence *ev = arg;
	struct witness *w = witness_find(ev->files, id, sequence);

	return w ? &w->usn : NULL;
}

static int by_index(const void *key, const void *member)
{
	const uint64_t *index = key;
	const struct scrub_leaf *d = member;

	return *index < d->index ? -1 : *index > d->index;
}

static int add(struct evidence *ev, const struct piece_of *p)
{
	if (ev->n == PIECES_MAX)
		return 0;
	if (ev->n == ev->cap) {
		size_t cap = ev->cap ? ev->cap * 2 : 256;
		struct piece_of *more = realloc(ev->v, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		ev->v = more;
		ev->cap = cap;
	}
	ev->v[ev->n++] = *p;
	return 0;
}

/* @n bytes of the sealed layer from @off on have this owner. */
static int each_leaf(struct evidence *ev, uint64_t off, uint64_t n, struct piece_of p)
{
	struct scrub *s = ev->s;
	int r = 0;

	while (n && !r) {
		uint64_t i = off / SEAL_LEAF, len = SEAL_LEAF - off % SEAL_LEAF;
		struct scrub_leaf *d = bsearch(&i, s->v, s->n, sizeof(*d), by_index);

		len = len < n ? len : n;
		if (d) {
			p.leaf = (size_t)(d - s->v);
			p.off = (uint32_t)(off % SEAL_LEAF);
			p.len = (uint32_t)len;
			r = add(ev, &p);
		}
		p.file_off += len;
		off += len;
		n -= len;
	}
	return r;
}

/* Is it one of the structures of ext4 that metadata_csum is over? Block maps, for one, have none. */
static bool summed(const char *structure)
{
	static const char *const begins[] = {
		"inode ",	 "directory of ", "extent tree of ",	"attributes of ",
		"block bitmap ", "inode bitmap ", "group descriptors ", "superblock"};

	for (size_t i = 0; i < sizeof(begins) / sizeof(*begins); i++)
		if (!strncmp(structure, begins[i], strlen(begins[i])))
			return true;
	return false;
}

/* Which structures of the volume have checksums that hold: what its check found wrong has not. */
static int ask_sums(struct evidence *ev)
{
	const struct collect *c = &ev->s->r->found;
	struct json *info = js_object(), *list;
	int r = 0;

	ev->sums = false;
	ev->failed.n = 0;
	if (!strcmp(ev->fs->ops->name, "ext4"))
		ev->fs->ops->info(ev->fs, info);
	list = js_get(info, "features");
	for (size_t i = 0; i < js_len(list); i++)
		ev->sums |= !strcmp(js_text(js_at(list, i)), "metadata_csum");
	js_free(info);
	/* All of it must have been verified, and all that failed be listed. */
	ev->sums &= !session_stopped(ev->fs->s) && ev->s->next == seal_leaves(ev->s->to);
	for (size_t i = 0; i < c->n_tally; i++)
		if (c->tally[i].kept < c->tally[i].count &&
		    !strcmp(c->tally[i].layer, ev->fs->path))
			ev->sums = false;
	for (size_t i = 0; i < c->n && ev->sums && !r; i++)
		if (finding_severity(c->v[i].id) >= BLEMISH && c->v[i].at.len &&
		    !strcmp(c->v[i].layer, ev->fs->path))
			r = ranges_add(&ev->failed, c->v[i].at.off, c->v[i].at.len, GRADE_DOUBTFUL,
				       c->v[i].id);
	ranges_sort(&ev->failed);
	return r;
}

/* A piece of the volume, down to the sealed layer. */
static int on_owner(void *arg, const struct fs_owner *o)
{
	struct evidence *ev = arg;
	uint64_t at = o->off, end = o->off + o->len;
	struct piece_of p = {.kind = o->kind};
	struct witness *file = o->file ? witness(&ev->files, o->file) : NULL;
	int r = o->file && !file ? -ENOMEM : 0;

	if (o->kind == OWNER_FILE) {
		p.file = file;
	} else if (o->kind == OWNER_STRUCTURE) {
		if (file)
			file->touched = true;
		else if (ev->sums && !strncmp(o->structure, "inode ", 6) &&
			 strncmp(o->structure, "inode bitmap", 12))
			p.kind = OWNER_FREE; /* one that is not in use */
		p.proven = ev->sums && summed(o->structure) &&
			   !ranges_overlap(&ev->failed, o->start, o->size ? o->size : o->len);
	}
	while (at < end && !r) {
		struct where w[WHERE_MAX];
		size_t n = layer_where(ev->fs, at, end - at, w, WHERE_MAX);
		uint64_t len = n ? w[n - 1].len : 0;

		p.file_off = o->file_off + (o->packed ? 0 : at - o->off);
		for (size_t i = 0; i < n && !r; i++)
			if (w[i].l == ev->s->l && w[i].len)
				r = each_leaf(ev, w[i].off, w[i].len, p);
		at += len ? len : 1;
		if (session_stopped(ev->s->l->s))
			return -EINTR;
	}
	return r;
}

/* ---- what a piece says ---- */

/* The chunk at @file_off of an event log, looked at once however many sectors of it changed. */
static void look(struct evidence *ev, const struct witness *log, uint64_t i)
{
	struct layer *fs = ev->fs, *file = NULL;
	struct evtx_file_header h;
	struct fs_entry *e = NULL;
	struct evtx_chunk c;

	if (ev->log == log && ev->log_chunk == i)
		return;
	ev->log = log;
	ev->log_chunk = i;
	ev->log_says = NOTHING;
	session_mute(true);
	if (!fs->ops->fs->lookup(fs, log->path, &e) && !fs->ops->fs->open_file(fs, e, &file) &&
	    !layer_read(file, 0, &h, sizeof(h), NULL) &&
	    !evtx_chunk_read(file, i, ev->chunk, NULL, &c) && c.magic && !c.no_sum) {
		ev->log_end = c.free_off;
		if (evtx_chunk_sound(&c))
			ev->log_says = WRITTEN;
		else if (!(le32(h.flags) & EVTX_DIRTY)) /* it is no log that is being written */
			ev->log_says = UNWRITTEN;
	}
	session_mute(false);
	fs_entry_free(e);
	layer_free(file);
}

/* A chunk of an event log proves its records, and against a time its word counts. */
static enum weight weigh_log(struct evidence *ev, const struct piece_of *p)
{
	uint64_t off = p->file_off - EVTX_FILE_HEADER;

	if (p->file_off < EVTX_FILE_HEADER)
		return NOTHING;
	look(ev, p->file, off / EVTX_CHUNK);
	if (ev->log_says == WRITTEN && off % EVTX_CHUNK >= ev->log_end)
		return NOTHING;
	return ev->log_says;
}

static enum weight weigh(struct evidence *ev, const struct piece_of *p)
{
	const struct scrub_leaf *d = &ev->s->v[p->leaf];
	const struct witness *f = p->file;
	bool covered = ev->journal.since < d->good;
	enum weight w;

	if (p->kind == OWNER_FREE)
		return UNUSED;
	if (p->proven)
		return WRITTEN;
	if (p->kind != OWNER_FILE || !f || f->timeless)
		return NOTHING;
	w = f->is_log ? weigh_log(ev, p) : NOTHING;
	if (w != NOTHING)
		return w;
	if (f->usn.data > d->good)
		return WRITTEN;
	if (f->touched || f->when >= d->good - SLACK || f->usn.last >= d->good - SLACK)
		return NOTHING;
	/* Open since before: what was written then is not recorded yet. */
	return covered && f->usn.open ? NOTHING : UNWRITTEN;
}

/* Who is named for a leaf: a file that is suspected, else the one written to last. */
static void name(struct evidence *ev, const struct piece_of *p, enum weight w)
{
	struct scrub_leaf *d = &ev->s->v[p->leaf];
	const struct witness *f = p->file;
	bool suspected = w == UNWRITTEN;

	if (!f || f->timeless || w == WRITTEN ||
	    (d->path &&
	     (d->suspected > suspected || (d->suspected == suspected && f->when <= d->when))))
		return;
	free(d->path);
	d->path = strdup(f->path);
	d->when = f->when;
	d->suspected = suspected;
	d->journal = suspected && ev->journal.since < d->good ? ev->journal.since : 0;
}

static uint16_t sector_len(const struct scrub *s, const struct scrub_leaf *d, unsigned i)
{
	uint64_t off = d->index * SEAL_LEAF + (uint64_t)i * SEAL_SECTOR;

	if (off >= s->l->size)
		return 0;
	return s->l->size - off < SEAL_SECTOR ? (uint16_t)(s->l->size - off) : SEAL_SECTOR;
}

static void count(struct tally_of *t, const struct piece_of *p, enum weight w)
{
	uint32_t end = p->off + p->len;

	for (uint32_t at = p->off, next; at < end; at = next) {
		unsigned k = at / SEAL_SECTOR;
		uint16_t bit = (uint16_t)(1u << k);

		next = (k + 1) * SEAL_SECTOR < end ? (k + 1) * SEAL_SECTOR : end;
		if (t->bytes[k] < SEAL_SECTOR)
			t->bytes[k] = (uint16_t)(t->bytes[k] + (next - at));
		*(w == WRITTEN	   ? &t->written
		  : w == UNWRITTEN ? &t->unwritten
		  : w == UNUSED	   ? &t->unused
				   : &t->other) |= bit;
	}
}

/* Of an event log, each sector by itself: it may be in another chunk than the one before. */
static void hear_piece(struct evidence *ev, const struct piece_of *whole)
{
	bool is_log = whole->kind == OWNER_FILE && whole->file && whole->file->is_log;
	struct piece_of p = *whole;

	for (uint32_t at = 0; at < whole->len; at += p.len) {
		enum weight w;

		p.off = whole->off + at;
		p.file_off = whole->file_off + at;
		p.len = whole->len - at;
		if (is_log && p.len > SEAL_SECTOR - p.file_off % SEAL_SECTOR)
			p.len = (uint32_t)(SEAL_SECTOR - p.file_off % SEAL_SECTOR);
		w = weigh(ev, &p);
		count(&ev->leaf[p.leaf], &p, w);
		name(ev, &p, w);
	}
}

/* All that stands on a volume and was hit. */
static int hear(struct evidence *ev, const struct impact_layer *il)
{
	bool ntfs = !strcmp(il->l->ops->name, "ntfs");
	int r;

	ev->fs = il->l;
	ev->n = 0;
	ev->journal.since = INT64_MAX;
	r = ask_sums(ev);
	if (!r)
		r = il->l->ops->fs->owners(il->l, &il->hit, on_owner, ev);
	if (!r && ntfs && ev->files)
		r = scrub_usn(il->l, find_usn, ev, &ev->journal);
	for (size_t i = 0; i < ev->n && !r; i++)
		hear_piece(ev, &ev->v[i]);
	ev->log = NULL;
	witnesses_free(ev->files);
	ev->files = NULL;
	return r;
}

/* What is behind the end of a file is written with it. Alone, free space tells nothing. */
static void decide(struct scrub *s, const struct tally_of *leaf)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct tally_of *t = &leaf[i];
		struct scrub_leaf *d = &s->v[i];
		uint16_t whole = 0;

		for (unsigned k = 0; k < SEAL_SECTORS; k++)
			if (t->bytes[k] >= sector_len(s, d, k))
				whole |= (uint16_t)(1u << k);
		whole = (uint16_t)(whole & d->sectors & ~t->other);
		d->written_to = (uint16_t)(whole & t->written & ~t->unwritten);
		d->suspect = (uint16_t)(whole & t->unwritten & ~t->written & ~t->unused);
		d->unused = (uint16_t)(whole & t->unused & ~t->written & ~t->unwritten);
	}
}

static int changed(const struct scrub *s, struct ranges *to)
{
	int r = 0;

	for (size_t i = 0; i < s->n && !r; i++)
		for (unsigned k = 0; k < SEAL_SECTORS && !r; k++) {
			uint16_t len = sector_len(s, &s->v[i], k);

			if (s->v[i].sectors >> k & 1 && len)
				r = ranges_add(to, s->v[i].index * SEAL_LEAF + k * SEAL_SECTOR, len,
					       GRADE_DOUBTFUL, SCRUB_CHANGED);
		}
	return r;
}

int scrub_evidence(struct scrub *s)
{
	struct evidence ev = {.s = s};
	struct impact im = {0};
	struct ranges all = {0};
	int r;

	if (s->still || s->track.by || s->accept || !s->n)
		return 0;
	ev.leaf = calloc(s->n, sizeof(*ev.leaf));
	ev.chunk = malloc(EVTX_CHUNK);
	r = ev.leaf && ev.chunk ? changed(s, &all) : -ENOMEM;
	if (!r)
		r = impact_seed(&im, s->l, &all);
	if (!r)
		r = impact_run(&im, s->r->source);
	for (size_t i = 0; i < im.n && !r; i++) {
		const struct impact_layer *il = &im.v[i];

		if (il->l->ops->fs && il->l->ops->fs->owners && !il->l->state && il->hit.n)
			r = hear(&ev, il);
	}
	if (!r)
		decide(s, ev.leaf);
	impact_free(&im);
	ranges_free(&all);
	ranges_free(&ev.failed);
	free(ev.v);
	free(ev.chunk);
	free(ev.leaf);
	return r;
}
