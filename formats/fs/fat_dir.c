/* SPDX-License-Identifier: Apache-2.0 */
/* FAT: folders and files as clusters. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fat.h"
#include "formats/fs/runs.h"

uint32_t fat_first(const struct fat *g, const struct fat_dirent *e)
{
	/* FG: the high word is reserved, and has been anything, on FAT12 and FAT16. */
	return le16(e->cluster) | (g->bits == 32 ? (uint32_t)le16(e->cluster_hi) << 16 : 0);
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days(int64_t y, unsigned m, unsigned d)
{
	y -= m <= 2;
	m = m > 2 ? m - 3 : m + 9;
	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + d - 1 - 719468;
}

/* FG, "Date and time formats": local time, of a zone that is not stored. Taken as UTC. */
struct fs_time fat_time(le16_t date, le16_t time, uint8_t ten_ms)
{
	unsigned d = le16(date), t = le16(time), month = d >> 5 & 15, day = d & 31;
	struct fs_time r = {0};

	if (!day || !month || month > 12)
		return r;
	r.set = true;
	r.sec = days(1980 + (d >> 9), month, day) * 86400 + (t >> 11) * 3600 + (t >> 5 & 63) * 60 +
		(t & 31) * 2 + ten_ms / 100;
	r.nsec = ten_ms % 100 * 10000000u;
	return r;
}

struct load {
	struct layer *l;
	struct fat_dir *d;
	size_t cap;
};

static int load_run(void *arg, uint32_t cluster, uint32_t n)
{
	struct load *o = arg;
	struct fat *g = o->l->priv;
	struct fat_dir *d = o->d;
	size_t len = (size_t)n * g->t.cluster;
	int r;

	if (d->len + len > o->cap) {
		size_t cap = d->len + len + 4 * (size_t)g->t.cluster;
		uint8_t *buf = realloc(d->buf, cap);
		uint64_t *at;

		if (!buf)
			return -ENOMEM;
		d->buf = buf;
		at = realloc(d->at, cap / d->unit * sizeof(*at));
		if (!at)
			return -ENOMEM;
		d->at = at;
		o->cap = cap;
	}
	for (uint32_t i = 0; i < n; i++)
		d->at[d->len / d->unit + i] = table_addr(&g->t, cluster + i);
	r = layer_read_as(o->l->below, table_addr(&g->t, cluster), d->buf + d->len, len, d->len,
			  &d->bad);
	d->len += len;
	return r;
}

static int load_root(struct layer *l, struct fat_dir *d)
{
	struct fat *g = l->priv;

	d->buf = malloc(g->root_len);
	d->at = malloc(sizeof(*d->at));
	if (!d->buf || !d->at)
		return -ENOMEM;
	d->unit = d->len = g->root_len;
	d->at[0] = g->root_at;
	return layer_read_as(l->below, g->root_at, d->buf, d->len, 0, &d->bad);
}

/* Could these be entries of a folder? At least one, and none that can't be. */
static bool looks_like_dir(const uint8_t *buf, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i + FAT_ENTRY <= len; i += FAT_ENTRY) {
		const struct fat_dirent *e = (const void *)(buf + i);

		if (!e->name[0])
			break;
		if (e->attr & 0xc0 ||
		    ((e->attr & ATTR_MASK) != ATTR_LONG &&
		     (e->nt_case & ~(CASE_BASE | CASE_EXT) || e->born_10ms > 199)))
			return false;
		n++;
	}
	return n > 0;
}

/* A deleted folder: its first cluster names itself, those behind it look like it, and are free. */
static int load_gone(struct load *o, uint32_t cluster, uint32_t max)
{
	struct fat *g = o->l->priv;
	struct table_pos pos = {0};
	struct fat_dir *d = o->d;
	int r = 0;

	for (uint32_t i = 0; i < max && table_valid(&g->t, cluster + i) && !r; i++) {
		const struct fat_dirent *self;
		size_t before = d->len;

		if (table_next(&g->t, &pos, cluster + i) != NEXT_FREE)
			break;
		r = load_run(o, cluster + i, 1);
		if (r)
			break;
		self = (const void *)(d->buf + before);
		if (!looks_like_dir(d->buf + before, g->t.cluster) ||
		    (!i ? memcmp(self->name, ".          ", 11) || fat_first(g, self) != cluster
			: fat_is_dots(self))) {
			d->len = before;
			break;
		}
	}
	table_done(&g->t, &pos);
	return r ? r : pos.err;
}

int fat_dir_load(struct layer *l, uint32_t cluster, bool gone, struct fat_dir *d)
{
	struct fat *g = l->priv;
	struct load o = {l, d, 0};
	uint32_t max = FAT_DIR_BYTES / g->t.cluster + 1;
	struct chain c = {0};
	int r;

	*d = (struct fat_dir){.unit = g->t.cluster};
	if (!cluster && g->bits != 32)
		return load_root(l, d);
	if (!cluster)
		cluster = g->root_cluster;
	r = gone ? load_gone(&o, cluster, max) : table_chain(&g->t, cluster, max, &c, load_run, &o);
	d->end = c.end;
	d->last = c.last;
	ranges_sort(&d->bad);
	return r;
}

void fat_dir_free(struct fat_dir *d)
{
	free(d->buf);
	free(d->at);
	ranges_free(&d->bad);
}

struct placing {
	const struct fat *g;
	struct fs_runs *runs;
	uint64_t off;
};

static int place_run(void *arg, uint32_t cluster, uint32_t n)
{
	struct placing *p = arg;
	uint64_t len = (uint64_t)n * p->g->t.cluster;
	int r = fs_runs_add(p->runs, &(struct fs_run){.off = p->off,
						      .len = len,
						      .kind = EXTENT_DATA,
						      .at = table_addr(&p->g->t, cluster)});

	p->off += len;
	return r;
}

/*
 * A chain that ends too early at clusters that the table says nothing about: zeroed, or lost with
 * its sector. Files mostly lie in one piece, so what follows is probably theirs, as long as nobody
 * else has it.
 */
static int guess_runs(struct placing *p, struct fat_table *t, uint32_t from, uint64_t size)
{
	struct table_pos pos = {0};
	uint64_t before = p->off;
	int r = 0;

	for (; p->off < size && table_valid(t, from) && !r; from++) {
		uint32_t next = table_next(t, &pos, from);

		if (next != NEXT_FREE && next != NEXT_LOST)
			break;
		r = fs_runs_add(p->runs, &(struct fs_run){.off = p->off,
							  .len = t->cluster,
							  .kind = EXTENT_DATA,
							  .at = table_addr(t, from)});
		p->off += t->cluster;
	}
	table_done(t, &pos);
	if (!r && p->off > before)
		r = ranges_add(&p->runs->doubtful, before, p->off - before, GRADE_DOUBTFUL,
			       FAT_CHAIN_BROKEN);
	return r ? r : pos.err;
}

/* All of @size in one piece; what lies behind the last cluster is nowhere. */
static int gone_runs(struct placing *p, uint32_t first, uint32_t need, struct chain *c)
{
	const struct fat_table *t = &p->g->t;
	uint32_t room = table_valid(t, first) ? t->clusters - (first - 2) : 0;

	if (need > room)
		need = room;
	*c = (struct chain){.end = CHAIN_MORE, .clusters = need, .last = first + need - 1};
	return need ? place_run(p, first, need) : 0;
}

int fat_file_runs(struct layer *l, const struct fat_dirent *e, uint32_t first, bool deleted,
		  struct fs_runs *runs, struct chain *c)
{
	struct fat *g = l->priv;
	struct placing p = {.g = g, .runs = runs};
	bool dir = e->attr & ATTR_DIR;
	uint64_t size = dir ? 0 : le32(e->size);
	uint32_t need = dir ? FAT_DIR_BYTES / g->t.cluster + 1
			    : (uint32_t)((size + g->t.cluster - 1) / g->t.cluster);
	int r;

	*c = (struct chain){.end = CHAIN_END};
	if (!need)
		return 0;
	if (deleted)
		r = gone_runs(&p, first, need, c);
	else
		r = table_chain(&g->t, first, need, c, place_run, &p);
	if (!r && !deleted && p.off < size && (c->end == CHAIN_FREE || c->end == CHAIN_LOST))
		r = guess_runs(&p, &g->t, c->end == CHAIN_FREE ? c->to : c->last + 1, size);
	if (!r && p.off < size)
		r = fs_runs_add(runs, &(struct fs_run){.off = p.off,
						       .len = size - p.off,
						       .kind = EXTENT_LOST,
						       .why = FAT_CHAIN_BROKEN});
	return r;
}
