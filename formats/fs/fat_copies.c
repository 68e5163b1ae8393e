/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FAT: two copies of the table that say different things. Nothing in a copy proves it, but chains
 * do: a cluster that an entry or another cluster leads to is in use, so a copy that calls it free
 * is wrong there; so is one that leads to no cluster at all. Each sector is taken from the copy
 * with fewer such contradictions. Where none has any, from the copy that has fewer by itself, and
 * if that does not decide from the first one, as systems do.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fat_walk.h"
#include "vdiskck/core/session.h"

enum {
	ROUNDS = 6,		/* what one sector proves may prove another */
	CHOICES_MAX = 1u << 20, /* of 512 MiB of table; 12 bytes each */
};

/* A piece of one copy, kept from one question to the next. */
struct peek {
	uint64_t sector;
	bool full, lost;
	uint8_t buf[TABLE_SECTOR + 4]; /* an entry of FAT12 may end in the next sector */
};

struct weigh {
	struct layer *l;
	struct peek peek[2];
	uint32_t lost[2]; /* sectors that can't be read */
	uint64_t both;	  /* address of the first one lost in both copies, or 0 */
	uint32_t n_both;
	uint64_t wrong[2]; /* contradictions of each copy as a whole */
};

static uint32_t peek_in(struct weigh *w, unsigned k, struct peek *p, uint32_t cluster)
{
	struct fat *g = w->l->priv;
	uint32_t len;
	uint64_t off = table_entry_at(&g->t, 0, cluster, &len) - g->t.at[0];
	struct ranges bad = {0};

	if (!p->full || p->sector != off / TABLE_SECTOR) {
		p->sector = off / TABLE_SECTOR;
		p->full = true;
		p->lost = layer_read(w->l->below, g->t.at[k] + p->sector * TABLE_SECTOR, p->buf,
				     sizeof(p->buf), &bad) ||
			  bad.n;
		ranges_free(&bad);
	}
	return p->lost ? NEXT_LOST : table_decode(&g->t, p->buf + off % TABLE_SECTOR, cluster);
}

static uint32_t peek_next(struct weigh *w, unsigned k, uint32_t cluster)
{
	return peek_in(w, k, &w->peek[k], cluster);
}

static struct table_choice *choice_of(struct fat_table *t, uint32_t cluster)
{
	uint32_t len, sector;

	sector = (uint32_t)((table_entry_at(t, 0, cluster, &len) - t->at[0]) / TABLE_SECTOR);
	return table_choice_at(t, sector);
}

/* Do the entries of a sector differ? Reserved bits may. */
static bool entries_differ(struct weigh *w, uint32_t sector)
{
	struct fat *g = w->l->priv;
	uint64_t from = (uint64_t)sector * TABLE_SECTOR, bits = g->bits;
	uint32_t c = (uint32_t)(from * 8 / bits),
		 end = (uint32_t)((from + TABLE_SECTOR) * 8 / bits);

	for (c = c < 2 ? 2 : c; c <= end && table_valid(&g->t, c); c++)
		if (peek_next(w, 0, c) != peek_next(w, 1, c))
			return true;
	return false;
}

static int add_choice(struct fat_table *t, uint32_t sector)
{
	if (t->n_choices == t->cap_choices) {
		size_t cap = t->cap_choices ? 2 * t->cap_choices : 64;
		struct table_choice *more = realloc(t->choice, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		t->choice = more;
		t->cap_choices = cap;
	}
	t->choice[t->n_choices++] = (struct table_choice){.sector = sector};
	return 0;
}

static bool is_lost(const struct ranges *bad, uint64_t off)
{
	return bad->n && ranges_overlap(bad, off, TABLE_SECTOR);
}

/* One piece of both copies, side by side. */
static int compare_piece(struct weigh *w, uint64_t off, size_t len, uint8_t *const buf[2])
{
	struct fat *g = w->l->priv;
	struct ranges bad[2] = {0};
	int r = 0;

	for (unsigned k = 0; k < 2 && !r; k++)
		r = layer_read_as(w->l->below, g->t.at[k] + off, buf[k], len, 0, &bad[k]);
	for (size_t s = 0; s < len && !r; s += TABLE_SECTOR) {
		size_t n = len - s < TABLE_SECTOR ? len - s : TABLE_SECTOR;
		bool lost[2] = {is_lost(&bad[0], s), is_lost(&bad[1], s)};
		uint32_t sector = (uint32_t)((off + s) / TABLE_SECTOR);

		w->lost[0] += lost[0];
		w->lost[1] += lost[1];
		if (lost[0] && lost[1] && !w->n_both++)
			w->both = g->t.at[0] + off + s;
		if (!lost[0] && !lost[1] && memcmp(buf[0] + s, buf[1] + s, n) &&
		    g->t.n_choices < CHOICES_MAX && entries_differ(w, sector))
			r = add_choice(&g->t, sector);
	}
	ranges_free(&bad[0]);
	ranges_free(&bad[1]);
	return r;
}

static int compare(struct weigh *w)
{
	struct fat *g = w->l->priv;
	uint8_t *buf[2] = {malloc(TABLE_PAGE), malloc(TABLE_PAGE)};
	int r = buf[0] && buf[1] ? 0 : -ENOMEM;

	for (uint64_t off = 0; off < g->t.len && !r; off += TABLE_PAGE) {
		uint64_t left = g->t.len - off;

		if (session_stopped(w->l->s))
			r = -EINTR;
		else
			r = compare_piece(w, off, left < TABLE_PAGE ? (size_t)left : TABLE_PAGE,
					  buf);
	}
	free(buf[0]);
	free(buf[1]);
	return r;
}

/* @cluster is in use: which copies say otherwise? */
static void in_use(struct weigh *w, uint32_t cluster)
{
	struct fat *g = w->l->priv;
	struct table_choice *c = table_valid(&g->t, cluster) ? choice_of(&g->t, cluster) : NULL;

	for (unsigned k = 0; k < 2 && c; k++)
		c->wrong[k] += peek_next(w, k, cluster) == NEXT_FREE;
}

/* A file's clusters, as far as its size goes, and no further: which copies say otherwise? */
static int weigh_file(void *arg, const struct fs_entry *e)
{
	const struct fat_item *item = (const void *)e;
	struct weigh *w = arg;
	struct fat *g = w->l->priv;
	struct table_choice *c;

	in_use(w, item->first);
	if (e->kind == FS_DIR || !item->chain.last)
		return 0;
	c = choice_of(&g->t, item->chain.last);
	for (unsigned k = 0; k < 2 && c; k++)
		c->wrong[k] += table_valid(&g->t, peek_next(w, k, item->chain.last)) !=
			       (e->stored < e->size);
	return 0;
}

/* What a sector that differs says itself: links to nowhere, or to what the same copy calls free. */
static void own_links(struct weigh *w, struct table_choice *choice, uint32_t cluster)
{
	struct fat *g = w->l->priv;

	for (unsigned k = 0; k < 2; k++) {
		uint32_t v = peek_next(w, k, cluster);

		if (v == NEXT_FREE || v == NEXT_BAD || v == NEXT_END || v == NEXT_LOST)
			continue;
		if (!table_valid(&g->t, v) || v == cluster)
			choice->wrong[k]++;
		else if (choice_of(&g->t, v) == choice)
			choice->wrong[k] += peek_next(w, k, v) == NEXT_FREE;
	}
}

static int all_links(struct weigh *w)
{
	struct fat *g = w->l->priv;
	struct table_pos pos = {0};

	for (uint32_t c = 2; table_valid(&g->t, c); c++) {
		uint32_t v = table_next(&g->t, &pos, c);
		struct table_choice *mine = choice_of(&g->t, c);

		if (mine)
			own_links(w, mine, c);
		if (table_valid(&g->t, v) && (!mine || choice_of(&g->t, v) != mine))
			in_use(w, v);
	}
	table_done(&g->t, &pos);
	return pos.err;
}

/* Links of copy @k to no cluster, to free ones, and to those that another one leads to. */
static int contradictions(struct weigh *w, unsigned k, uint64_t *n)
{
	struct fat *g = w->l->priv;
	uint8_t *seen = calloc(1, g->t.clusters / 8 + 1);
	struct peek at_target = {0};

	*n = 0;
	for (uint32_t c = 2; seen && table_valid(&g->t, c); c++) {
		uint32_t v = peek_next(w, k, c);
		uint8_t bit;

		if (v == NEXT_FREE || v == NEXT_BAD || v == NEXT_END || v == NEXT_LOST)
			continue;
		if (!table_valid(&g->t, v)) {
			++*n;
			continue;
		}
		bit = (uint8_t)(1 << (v - 2) % 8);
		*n += (seen[(v - 2) / 8] & bit) != 0;
		seen[(v - 2) / 8] |= bit;
		*n += peek_in(w, k, &at_target, v) == NEXT_FREE;
	}
	free(seen);
	return seen ? 0 : -ENOMEM;
}

static int judge_copies(struct weigh *w)
{
	struct fat *g = w->l->priv;
	int r = contradictions(w, 0, &w->wrong[0]);

	if (!r)
		r = contradictions(w, 1, &w->wrong[1]);
	g->t.prefer = w->wrong[1] < w->wrong[0];
	return r ? r : table_reopen(&g->t);
}

/* One more round, with what the last one chose. *@changed: it made a difference. */
static int weigh_once(struct weigh *w, bool *changed)
{
	struct fat *g = w->l->priv;
	struct fat_table *t = &g->t;
	struct table_choice *before = malloc((t->n_choices + 1) * sizeof(*before));
	int r;

	if (!before)
		return -ENOMEM;
	memcpy(before, t->choice, t->n_choices * sizeof(*before));
	r = all_links(w);
	if (!r && g->bits == 32)
		in_use(w, g->root_cluster);
	if (!r)
		r = fat_tree(w->l, &(struct fs_query){.recursive = true}, weigh_file, w);
	*changed = false;
	for (size_t i = 0; i < t->n_choices; i++)
		*changed =
			*changed || table_second(t, &before[i]) != table_second(t, &t->choice[i]);
	free(before);
	return r ? r : table_reopen(t);
}

static void report(struct layer *l, const struct weigh *w)
{
	struct fat *g = l->priv;
	size_t second = 0, first_at = 0;

	for (size_t i = 0; i < g->t.n_choices; i++)
		second += table_second(&g->t, &g->t.choice[i]);
	if (g->t.n_choices) {
		first_at = g->t.choice[0].sector * (size_t)TABLE_SECTOR;
		finding_fact(l, FAT_COPIES_DIFFER,
			     &(struct fact){.at = g->t.at[0] + first_at,
					    .at_len = TABLE_SECTOR,
					    .stored = strf("%zu sectors", g->t.n_choices)},
			     "the two FATs differ in %zu sectors; %zu of them are taken from the "
			     "second one, where chains contradict the first",
			     g->t.n_choices, second);
	}
	if (w->lost[0] + w->lost[1] > 2 * w->n_both)
		finding(l, FAT_COPY_LOST, g->t.at[w->lost[0] ? 0 : 1], TABLE_SECTOR,
			"%" PRIu32 " sectors of the first FAT and %" PRIu32
			" of the second can't be read; the other copy is used",
			w->lost[0] - w->n_both, w->lost[1] - w->n_both);
	if (w->n_both)
		finding(l, FAT_TABLE_LOST, w->both, TABLE_SECTOR,
			"%" PRIu32 " sectors of the FAT can't be read in any copy", w->n_both);
}

/* There is one copy only: what of it is lost? */
static int look_at_one(struct weigh *w)
{
	struct fat *g = w->l->priv;
	struct table_pos pos = {0};
	uint32_t per = TABLE_SECTOR * 8 / g->bits;

	for (uint32_t c = 2; table_valid(&g->t, c); c += per) {
		uint32_t len;

		if (table_next(&g->t, &pos, c) != NEXT_LOST || pos.err)
			continue;
		if (!w->n_both++)
			w->both = table_entry_at(&g->t, 0, c, &len);
	}
	table_done(&g->t, &pos);
	return pos.err;
}

int fat_compare(struct layer *l)
{
	struct fat *g = l->priv;
	struct weigh w = {.l = l};
	bool changed = true;
	int r = g->t.n < 2 ? look_at_one(&w) : compare(&w);

	g->t.compared = true;
	if (!r && g->t.n_choices)
		r = judge_copies(&w);
	for (int i = 0; i < ROUNDS && !r && g->t.n_choices && changed; i++)
		r = weigh_once(&w, &changed);
	if (!r)
		report(l, &w);
	return r;
}
