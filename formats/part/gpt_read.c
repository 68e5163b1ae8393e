/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the two copies of a GPT and choosing between them. The primary lies in LBA 1. The
 * backup lies in the last LBA, unless the disk was grown or cut: then the primary says where it
 * was written, and the protective MBR, whose entry spans the disk as it once was.
 *
 * Each of the four parts (two headers, two arrays) proves itself by its CRC, and a header its
 * place by MyLBA. The first pair that holds is used: primary header with primary array, backup
 * with backup, one header with the other's array. Without any proof entries are taken one by one.
 */
#include "formats/part/gpt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/span.h"
#include "vdiskck/core/sum.h"

/* Sizes that are possible, and an array that lies on this disk. */
static bool header_sane(const struct gpt *g, const struct gpt_header *h)
{
	uint64_t size = le32(h->entry_size), n = le32(h->entries), lba = le64(h->array_lba);

	if (size < sizeof(struct gpt_entry) || size % sizeof(struct gpt_entry) ||
	    size > g->sector * 8)
		return false;
	if (!n || n > GPT_ARRAY_MAX / size)
		return false;
	return lba && lba < g->sectors &&
	       range_inside(lba * g->sector, n * size, g->sectors * g->sector);
}

static int header_read(struct layer *below, const struct gpt *g, uint64_t lba, struct gpt_copy *c)
{
	uint8_t sector[4096];
	struct ranges bad = {0};
	uint32_t size;
	int r;

	c->lba = lba;
	c->at = lba * g->sector;
	c->looked = true;
	c->magic = c->crc = c->place = c->sane = false;
	r = layer_read(below, c->at, sector, g->sector, &bad);
	c->lost = bad.n != 0;
	ranges_free(&bad);
	if (r)
		return r;
	memcpy(&c->h, sector, sizeof(c->h));
	c->magic = !memcmp(c->h.signature, "EFI PART", 8);
	size = le32(c->h.header_size);
	if (size >= sizeof(c->h) && size <= g->sector) {
		memset(sector + offsetof(struct gpt_header, header_crc32), 0, 4);
		c->sum = sum_crc32(0, sector, size);
		c->crc = c->sum == le32(c->h.header_crc32);
	}
	c->place = le64(c->h.my_lba) == lba;
	c->sane = header_sane(g, &c->h);
	return 0;
}

static int quality(const struct gpt_copy *c)
{
	return !c->looked || !c->magic ? 0 : 1 + c->crc + c->place + c->sane;
}

/* Try the places a backup may be in, keep the best; one that holds ends the search. */
static int find_backup(struct layer *below, struct gpt *g)
{
	const struct gpt_copy *first = &g->copy[0];
	uint64_t place[3] = {0, g->sectors - 1, 0};
	struct gpt_copy *best = &g->copy[1];
	int r = 0;

	if (first->magic && first->crc)
		place[0] = le64(first->h.alternate_lba);
	if (g->mbr.gpt >= 0)
		place[2] = (uint64_t)le32(g->mbr.m.entry[g->mbr.gpt].sectors);
	for (int i = 0; i < 3 && !r; i++) {
		struct gpt_copy c = {.what = "backup"};

		if (place[i] <= 1 || place[i] >= g->sectors || (i && place[i] == place[i - 1]))
			continue;
		r = header_read(below, g, place[i], &c);
		if (!r && (!best->looked || quality(&c) > quality(best)))
			*best = c;
		if (gpt_good(best))
			break;
	}
	return r;
}

static int find_with(struct layer *below, uint32_t sector, struct gpt *g)
{
	int r;

	g->sector = sector;
	g->sectors = below->size / sector;
	g->copy[0] = (struct gpt_copy){.what = "primary"};
	g->copy[1] = (struct gpt_copy){.what = "backup"};
	if (g->sectors < 3)
		return 0;
	r = header_read(below, g, 1, &g->copy[0]);
	return r ? r : find_backup(below, g);
}

int gpt_find(struct layer *below, struct gpt *g)
{
	uint32_t first = below->sector == 4096 ? 4096 : 512;
	struct gpt other;
	int r = mbr_look(below, &g->mbr);

	if (!r)
		r = find_with(below, first, g);
	if (r || gpt_good(&g->copy[0]))
		return r ? r : 1;
	other = *g;
	r = find_with(below, first == 512 ? 4096 : 512, &other);
	if (r)
		return r;
	if (quality(&other.copy[0]) + quality(&other.copy[1]) >
	    quality(&g->copy[0]) + quality(&g->copy[1]))
		*g = other;
	return g->copy[0].magic || g->copy[1].magic;
}

/* The array at @at; c->array stays NULL if none of it can be read. */
static int array_read(struct layer *l, struct gpt_copy *c, uint64_t at, size_t len)
{
	struct ranges bad = {0};
	int r;

	if (c->array || !range_inside(at, len, l->below->size))
		return 0;
	c->array = malloc(len);
	if (!c->array)
		return -ENOMEM;
	c->array_at = at;
	c->array_len = len;
	r = layer_read(l->below, at, c->array, len, &bad);
	c->array_lost = bad.n != 0;
	ranges_free(&bad);
	c->array_sum = sum_crc32(0, c->array, len);
	return r;
}

bool gpt_entry_used(const struct gpt_entry *e)
{
	return !all_zero(e->type, sizeof(e->type));
}

bool gpt_entry_sane(const struct gpt *g, const struct gpt_entry *e)
{
	/* Up to 2^62 bytes: ends behind a truncated disk are possible, overflow is not. */
	return gpt_entry_used(e) && le64(e->start_lba) > 1 &&
	       le64(e->start_lba) <= le64(e->end_lba) &&
	       le64(e->end_lba) < (UINT64_MAX >> 2) / g->sector;
}

static const struct gpt_entry *entry_at(const struct gpt *g, const struct gpt_copy *c, uint32_t i)
{
	uint64_t off = (uint64_t)i * g->entry_size;

	if (!c->array || !range_inside(off, sizeof(struct gpt_entry), c->array_len))
		return NULL;
	return (const void *)(c->array + off);
}

/* With no array proven: the primary's entry if it can be true, else the backup's if that can. */
static const struct gpt_entry *merge(const struct gpt *g, uint32_t i)
{
	for (int k = 0; k < 2; k++) {
		const struct gpt_entry *e = entry_at(g, &g->copy[k], i);

		if (e && gpt_entry_sane(g, e) && le64(e->start_lba) < g->sectors)
			return e;
	}
	return NULL;
}

static int keep_entries(struct gpt *g)
{
	g->entry = calloc(g->entries, sizeof(*g->entry));
	if (!g->entry)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->entries; i++) {
		const struct gpt_entry *e = g->merged ? merge(g, i) : entry_at(g, g->array, i);

		if (e)
			g->entry[i] = *e;
	}
	return 0;
}

/* Does @h's CRC hold for the array that the other copy has? */
static bool crosses(const struct gpt_copy *h, const struct gpt_copy *a)
{
	return gpt_good(h) && a->array && !a->array_lost &&
	       a->array_len == (size_t)le32(h->h.entries) * le32(h->h.entry_size) &&
	       a->array_sum == le32(h->h.array_crc32);
}

/* Both arrays where their headers say. */
static int load_arrays(struct layer *l, struct gpt *g)
{
	int r = 0;

	for (int k = 0; k < 2 && !r; k++) {
		struct gpt_copy *c = &g->copy[k];

		if (!c->magic || !c->sane)
			continue;
		r = array_read(l, c, le64(c->h.array_lba) * g->sector,
			       (size_t)le32(c->h.entries) * le32(c->h.entry_size));
		c->array_ok = c->array && !c->array_lost && c->array_sum == le32(c->h.array_crc32);
		/* A damaged header may be wrong about the place, too: see where tools put it. */
		if (!c->array_ok && !c->crc && gpt_good(&g->copy[!k]) &&
		    !crosses(&g->copy[!k], c)) {
			free(c->array);
			c->array = NULL;
		}
	}
	return r;
}

/* An array without a header that tells its place: directly behind LBA 1, or before the last LBA. */
static int load_lone_arrays(struct layer *l, struct gpt *g)
{
	const struct gpt_copy *other = gpt_good(&g->copy[0]) ? &g->copy[0] : &g->copy[1];
	uint64_t n = GPT_ENTRIES, size = sizeof(struct gpt_entry), sectors;
	int r;

	if (other->magic && other->sane) {
		n = le32(other->h.entries);
		size = le32(other->h.entry_size);
	}
	sectors = (n * size + g->sector - 1) / g->sector;
	r = array_read(l, &g->copy[0], 2ull * g->sector, n * size);
	if (!r && g->sectors > sectors + 1)
		r = array_read(l, &g->copy[1], (g->sectors - 1 - sectors) * g->sector, n * size);
	return r;
}

static void choose(struct gpt *g)
{
	struct gpt_copy *p = &g->copy[0], *b = &g->copy[1];

	if (gpt_good(p) && p->array_ok)
		g->header = g->array = p;
	else if (gpt_good(b) && b->array_ok)
		g->header = g->array = b;
	else if (crosses(p, b))
		g->header = p, g->array = b;
	else if (crosses(b, p))
		g->header = b, g->array = p;
	else
		g->merged = true;
	/* An array that holds to the CRC in a header which itself is damaged is proven enough. */
	for (int k = 0; k < 2 && g->merged; k++) {
		if (!g->copy[k].magic || !g->copy[k].array_ok)
			continue;
		g->header = g->array = &g->copy[k];
		g->merged = false;
	}
	for (int k = 0; k < 4 && !g->header; k++) {
		struct gpt_copy *c = &g->copy[k % 2];

		if (k < 2 ? gpt_good(c) : c->magic && c->sane)
			g->header = c;
	}
	g->entries = g->header ? le32(g->header->h.entries) : GPT_ENTRIES;
	g->entry_size = g->header ? le32(g->header->h.entry_size) : sizeof(struct gpt_entry);
}

int gpt_load(struct layer *l, struct gpt *g)
{
	int r = load_arrays(l, g);

	if (!r)
		r = load_lone_arrays(l, g);
	if (r)
		return r;
	choose(g);
	if (!g->array)
		g->array = g->copy[0].array || !g->copy[1].array ? &g->copy[0] : &g->copy[1];
	return keep_entries(g);
}

void gpt_unload(struct gpt *g)
{
	free(g->copy[0].array);
	free(g->copy[1].array);
	free(g->entry);
	part_map_free(&g->parts);
}
