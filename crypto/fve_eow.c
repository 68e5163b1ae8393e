/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encrypt-on-write (Windows 8 and later): while a volume is converted, bitmaps say which chunks
 * are encrypted. Known from fox-it/dissect.fve and one volume of the corpus.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/bitlocker.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

enum { BITMAP_MAX = 64 << 20 }; /* bytes of bitmaps taken into memory, in all */

struct eow_header {
	char signature[8]; /* 0x00 "FVE-EOW\0" */
	le16_t header_size;
	le16_t size; /* 0x0a with the bitmaps' addresses */
	le32_t sector_size;
	le32_t atomic_alignment;
	le32_t chunk; /* 0x14 bytes that one bit stands for */
	le32_t log_size;
	le32_t log_record_size;
	le32_t regions;
	le32_t crc32; /* 0x24 of @size bytes, this field zero */
	le64_t copy[FVE_EOW_COPIES];
};
_Static_assert(sizeof(struct eow_header) == 56, "FVE EOW information");

struct eow_bitmap {
	char signature[10]; /* 0x00 "FVE-EOWBM\0" */
	le16_t header_size;
	le32_t size; /* 0x0c with both records */
	le32_t index;
	le64_t region_off; /* 0x14 */
	le64_t region_len;
	le64_t log;
	le32_t record[2]; /* 0x2c where the records start */
	le32_t record_size;
	le32_t crc32;
};
_Static_assert(sizeof(struct eow_bitmap) == 60, "FVE EOW bitmap");

struct eow_record {
	char signature[10]; /* 0x00 "FVE-EOWBR\0" */
	le16_t header_size;
	le32_t size;
	le32_t bits; /* 0x10 */
	le64_t sequence;
	le32_t flags;
	le32_t crc32; /* 0x20 of @size bytes, this field zero */
};
_Static_assert(sizeof(struct eow_record) == 36, "FVE EOW bitmap record");

/* CRC of @len bytes whose 4 bytes at @field count as zero. */
static uint32_t crc_without(const uint8_t *p, size_t len, size_t field)
{
	static const uint8_t zero[4];
	uint32_t c = sum_crc32(0, p, field);

	c = sum_crc32(c, zero, 4);
	return sum_crc32(c, p + field + 4, len - field - 4);
}

/* A record that holds together, or NULL. */
static const struct eow_record *record_at(struct span s, uint32_t off)
{
	const struct eow_record *r = span_at(s, off, sizeof(*r));

	if (!r || memcmp(r->signature, "FVE-EOWBR", 10) || le32(r->size) < sizeof(*r) ||
	    !span_at(s, off, le32(r->size)) ||
	    (le32(r->bits) + 7ull) / 8 > le32(r->size) - sizeof(*r) ||
	    crc_without((const uint8_t *)r, le32(r->size), 0x20) != le32(r->crc32))
		return NULL;
	return r;
}

static int bitmap_read(struct layer *l, uint64_t off, struct fve_eow_region *g, size_t *budget)
{
	const struct bitlocker *b = l->priv;
	const struct eow_record *a, *c;
	struct eow_bitmap h;
	struct span s = {.addr = off};
	uint8_t *buf = NULL;
	int r = layer_read(l->below, off, &h, sizeof(h), NULL);

	if (r)
		return r;
	g->bitmap = off;
	s.len = le32(h.size);
	if (memcmp(h.signature, "FVE-EOWBM", 10) || s.len < sizeof(h) || s.len > *budget ||
	    !range_inside(off, s.len, l->below->size) || le64(h.region_off) % b->sector) {
		finding(l, FVE_EOW_BITMAP, off, sizeof(h),
			"no encrypt-on-write bitmap at 0x%" PRIx64
			": what is encrypted in its part of the volume is guessed",
			off);
		return 0;
	}
	*budget -= s.len;
	g->off = le64(h.region_off);
	g->len = le64(h.region_len);
	g->log = le64(h.log);
	g->bitmap_len = s.len;
	buf = malloc(s.len);
	if (!buf)
		return -ENOMEM;
	s.p = buf;
	r = layer_read(l->below, off, buf, s.len, NULL);
	/* The record with the higher sequence number counts; a torn one leaves the other. */
	a = record_at(s, le32(h.record[0]));
	c = record_at(s, le32(h.record[1]));
	if (!a || (c && le64(c->sequence) > le64(a->sequence)))
		a = c;
	if (!r && a) {
		g->n_bits = le32(a->bits);
		g->bits = malloc((g->n_bits + 7ull) / 8 + 1);
		r = g->bits ? 0 : -ENOMEM;
		if (!r)
			memcpy(g->bits, a + 1, (g->n_bits + 7ull) / 8);
	} else if (!r) {
		finding(l, FVE_EOW_BITMAP, off, s.len,
			"both records of the encrypt-on-write bitmap at 0x%" PRIx64
			" are damaged: what is encrypted in its part of the volume is guessed",
			off);
	}
	free(buf);
	return r;
}

static int region_cmp(const void *a, const void *b)
{
	const struct fve_eow_region *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

/* Does the block in @buf, as long as one can be, hold together? Chunks are whole sectors. */
static bool info_good(const struct bitlocker *b, const uint8_t buf[UINT16_MAX])
{
	const struct eow_header *h = (const struct eow_header *)buf;

	return !memcmp(h->signature, "FVE-EOW", 8) && le16(h->size) >= sizeof(*h) &&
	       crc_without(buf, le16(h->size), 0x24) == le32(h->crc32) && le32(h->chunk) &&
	       le32(h->chunk) % b->sector == 0;
}

static int info_take(struct layer *l, struct span s)
{
	struct bitlocker *b = l->priv;
	struct fve_eow *e = &b->eow;
	const struct eow_header *h = (const struct eow_header *)s.p;
	size_t n = (le16(h->size) - sizeof(*h)) / 8, budget = BITMAP_MAX;
	const le64_t *bitmap = span_at(s, sizeof(*h), 8 * n);
	int r = 0;

	e->size = le16(h->size);
	e->chunk = le32(h->chunk);
	e->log_size = le32(h->log_size);
	if (n > le32(h->regions))
		n = le32(h->regions);
	e->region = calloc(n + 1, sizeof(*e->region));
	if (!e->region)
		return -ENOMEM;
	while (!r && e->n < n) {
		r = bitmap_read(l, le64(bitmap[e->n]), &e->region[e->n], &budget);
		e->n++;
	}
	qsort(e->region, e->n, sizeof(*e->region), region_cmp);
	return r;
}

int fve_eow_read(struct layer *l)
{
	struct bitlocker *b = l->priv;
	uint8_t *buf = malloc(UINT16_MAX);
	int r = buf ? 0 : -ENOMEM;

	for (int i = 0; !r && i < FVE_EOW_COPIES; i++) {
		uint64_t off = b->eow.off[i] = b->boot.eow_off[i];

		r = layer_read(l->below, off, buf, UINT16_MAX, NULL);
		if (r)
			break;
		if (!info_good(b, buf))
			finding(l, FVE_EOW_INFO, off, sizeof(struct eow_header),
				"encrypt-on-write information %d at 0x%" PRIx64 " is damaged",
				i + 1, off);
		else if (!b->eow.region)
			r = info_take(l, (struct span){buf, UINT16_MAX, off});
	}
	if (!r && !b->eow.region)
		finding_fact(l, FVE_EOW_BITMAP,
			     &(struct fact){.at = b->eow.off[0],
					    .at_len = sizeof(struct eow_header),
					    .len = l->size,
					    .doubtful = true},
			     "both blocks of encrypt-on-write information are lost: what is "
			     "encrypted is guessed, sector by sector");
	free(buf);
	return r;
}

void fve_eow_free(struct fve_eow *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->region[i].bits);
	free(e->region);
}
