/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/fat_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/endian.h"
#include "vdiskck/core/session.h"

enum { PAGES = 256 };

static bool page_lost(const struct ranges *bad, uint64_t off)
{
	return bad->n && ranges_overlap(bad, off, TABLE_SECTOR);
}

struct table_choice *table_choice_at(const struct fat_table *t, uint32_t sector)
{
	size_t lo = 0, hi = t->n_choices;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->choice[mid].sector < sector)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->n_choices && t->choice[lo].sector == sector ? &t->choice[lo] : NULL;
}

static bool chosen(const struct fat_table *t, uint32_t sector)
{
	const struct table_choice *c = table_choice_at(t, sector);

	return c && table_second(t, c);
}

/* One page of one copy; what is lost of it is in @bad, by its offset in the page. */
static int read_copy(struct fat_table *t, unsigned k, uint64_t off, uint8_t *buf, size_t len,
		     struct ranges *bad)
{
	return layer_read_as(t->below, t->at[k] + off, buf, len, 0, bad);
}

static int fill(void *arg, struct cache_item *it)
{
	struct fat_table *t = arg;
	uint64_t off = it->key * TABLE_PAGE;
	size_t len = t->len - off < TABLE_PAGE ? (size_t)(t->len - off) : TABLE_PAGE;
	struct ranges lost[2] = {0};
	uint8_t *second = NULL;
	bool need = false;
	int r = read_copy(t, 0, off, it->buf, len, &lost[0]);

	for (size_t s = 0; s < len && t->n > 1 && !need; s += TABLE_SECTOR)
		need = page_lost(&lost[0], s) || chosen(t, (uint32_t)((off + s) / TABLE_SECTOR));
	if (!r && need) {
		second = malloc(TABLE_PAGE);
		r = second ? read_copy(t, 1, off, second, len, &lost[1]) : -ENOMEM;
	}
	for (size_t s = 0; s < len && !r; s += TABLE_SECTOR) {
		size_t n = len - s < TABLE_SECTOR ? len - s : TABLE_SECTOR;
		bool gone = page_lost(&lost[0], s);

		if (second && !page_lost(&lost[1], s) &&
		    (gone || chosen(t, (uint32_t)((off + s) / TABLE_SECTOR)))) {
			memcpy(it->buf + s, second + s, n);
			gone = false;
		}
		if (gone)
			r = ranges_add(&it->bad, s, n, GRADE_LOST, LAYER_READ_PAST_END);
	}
	free(second);
	ranges_free(&lost[0]);
	ranges_free(&lost[1]);
	return r;
}

int table_open(struct fat_table *t)
{
	t->cache = cache_new(TABLE_PAGE, PAGES, fill, t);
	return t->cache ? 0 : -ENOMEM;
}

int table_reopen(struct fat_table *t)
{
	cache_free(t->cache);
	return table_open(t);
}

void table_close(struct fat_table *t)
{
	cache_free(t->cache);
	free(t->choice);
	t->cache = NULL;
	t->choice = NULL;
}

static uint64_t entry_off(const struct fat_table *t, uint32_t cluster, uint32_t *len)
{
	switch (t->bits) {
	case 12: *len = 2; return cluster + cluster / 2;
	case 16: *len = 2; return (uint64_t)cluster * 2;
	default: *len = 4; return (uint64_t)cluster * 4;
	}
}

uint64_t table_entry_at(const struct fat_table *t, unsigned k, uint32_t cluster, uint32_t *len)
{
	return t->at[k] + entry_off(t, cluster, len);
}

/* FG, "FAT data structure": the last eight values of each width mean the end of a chain. */
uint32_t table_decode(const struct fat_table *t, const uint8_t *p, uint32_t cluster)
{
	uint32_t v, top;

	switch (t->bits) {
	case 12:
		v = (uint32_t)(p[0] | p[1] << 8);
		v = cluster & 1 ? v >> 4 : v & 0xfff;
		top = 0xfff;
		break;
	case 16:
		v = (uint32_t)(p[0] | p[1] << 8);
		top = 0xffff;
		break;
	case 28:
		memcpy(&v, p, sizeof(v));
		v &= 0x0fffffff;
		top = 0x0fffffff;
		break;
	default:
		memcpy(&v, p, sizeof(v));
		return v == NEXT_LOST ? 1 : v; /* exFAT: only 0xffffffff ends a chain */
	}
	return v == top - 8 ? NEXT_BAD : v > top - 8 ? NEXT_END : v;
}

void table_done(struct fat_table *t, struct table_pos *p)
{
	if (p->page)
		cache_put(t->cache, p->page);
	p->page = NULL;
}

uint32_t table_next(struct fat_table *t, struct table_pos *p, uint32_t cluster)
{
	uint32_t len;
	uint64_t off = entry_off(t, cluster, &len);
	size_t in = off % TABLE_PAGE;

	if (off + len > t->len)
		return NEXT_LOST;
	if (!p->page || p->page->key != off / TABLE_PAGE) {
		table_done(t, p);
		if (!p->err)
			p->err = cache_get(t->cache, off / TABLE_PAGE, 0, &p->page);
		if (p->err) {
			p->page = NULL;
			return NEXT_LOST;
		}
	}
	/* FAT12 entries may lie across sectors; its whole table is one page. */
	if (p->page->bad.n &&
	    (page_lost(&p->page->bad, in - in % TABLE_SECTOR) ||
	     page_lost(&p->page->bad, (in + len - 1) - (in + len - 1) % TABLE_SECTOR)))
		return NEXT_LOST;
	return table_decode(t, p->page->buf + in, cluster);
}

static enum chain_end ending(const struct fat_table *t, uint32_t next)
{
	return next == NEXT_END	       ? CHAIN_END
	       : next == NEXT_LOST     ? CHAIN_LOST
	       : next == NEXT_BAD      ? CHAIN_BAD
	       : next == NEXT_FREE     ? CHAIN_FREE
	       : !table_valid(t, next) ? CHAIN_OUTSIDE
				       : CHAIN_MORE;
}

/* How many clusters of a chain that loops are there before the first one comes again. */
static uint32_t loop_clusters(struct fat_table *t, struct table_pos *pos, uint32_t first,
			      uint32_t loop)
{
	uint32_t a = first, b = first, n = 0;

	for (uint32_t i = 0; i < loop; i++)
		b = table_next(t, pos, b);
	for (; a != b && n < t->clusters; n++) {
		a = table_next(t, pos, a);
		b = table_next(t, pos, b);
	}
	return n + loop;
}

/* Length and end of the chain. R. Brent's way to notice a loop: a mark that moves on ever less. */
static void measure(struct fat_table *t, struct table_pos *pos, uint32_t max, struct chain *c)
{
	uint32_t at = c->to, first = at, mark = at, steps = 0, power = 1;

	c->end = table_valid(t, at) ? CHAIN_MORE : CHAIN_OUTSIDE;
	while (c->end == CHAIN_MORE && c->clusters < max) {
		uint32_t next = table_next(t, pos, at);
		enum chain_end end = ending(t, next);

		c->end = end;
		/* It led to a free or bad cluster: that one is not the file's. c->to is it. */
		if (end == CHAIN_FREE || end == CHAIN_BAD)
			break;
		c->clusters++;
		c->last = at;
		c->to = next;
		if (next == mark && end == CHAIN_MORE) {
			uint32_t n = loop_clusters(t, pos, first, steps + 1);

			c->end = CHAIN_LOOP;
			c->clusters = n < max ? n : max;
		}
		if (++steps == power) {
			mark = next;
			power *= 2;
			steps = 0;
		}
		at = next;
	}
}

int table_chain(struct fat_table *t, uint32_t first, uint32_t max, struct chain *c,
		int (*fn)(void *arg, uint32_t cluster, uint32_t n), void *arg)
{
	struct table_pos pos = {0};
	uint32_t at = first, run = first, len = 0;
	int r = 0;

	*c = (struct chain){.to = first};
	measure(t, &pos, max, c);
	for (uint32_t i = 0; i < c->clusters && fn && !r && !pos.err; i++) {
		if (at != run + len) {
			r = fn(arg, run, len);
			run = at;
			len = 0;
		}
		len++;
		at = table_next(t, &pos, at);
	}
	if (!r && len)
		r = fn(arg, run, len);
	table_done(t, &pos);
	return r ? r : pos.err;
}
