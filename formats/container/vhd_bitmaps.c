/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHD: check of XenServer's batmap and of the sector bitmaps. Each bitmap is read once, in the
 * order of the file, on all workers; data is read only where a bitmap asks for it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/vhd_check.h"
#include "vdiskck/core/pool.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/sum.h"

enum { BLOCKS_AT_ONCE = 512 };

static uint32_t batmap_sum(const uint8_t *p, size_t len, bool is_signed)
{
	uint32_t sum = 0;

	if (!is_signed)
		return ~sum_bytes(p, len);
	for (size_t i = 0; i < len; i++)
		sum += (uint32_t)(int8_t)p[i];
	return ~sum;
}

static uint64_t sectors_of(uint64_t bytes)
{
	return bytes ? (bytes + VHD_SECTOR - 1) / VHD_SECTOR : 1;
}

/* Newer libvhd sums only what the size of the disk needs, older all that is there. */
static bool batmap_sum_ok(struct layer *l, const uint8_t *map, size_t len)
{
	struct vhd *v = l->priv;
	uint32_t version = be32(v->batmap.version), stored = be32(v->batmap.checksum);
	uint64_t part = sectors_of(be64(v->footer.current_size) >> (21 + 3)) * VHD_SECTOR;

	return batmap_sum(map, len, version == 0x00010001) == stored ||
	       (part < len && batmap_sum(map, (size_t)part, version == 0x00010001) == stored);
}

/* Read and check the batmap. @map: NULL if it is of no use. */
static int check_batmap(struct layer *l, uint8_t **map)
{
	struct vhd *v = l->priv;
	const struct vhd_batmap_header *h = &v->batmap;
	uint64_t at = be64(h->offset), len = (uint64_t)be32(h->sectors) * VHD_SECTOR;
	uint64_t head = v->batmap_at;
	int r;

	*map = NULL;
	if (!v->has_batmap) {
		if (v->tap && be32(v->footer.creator_version) >= 0x00010002)
			finding(l, VHD_BATMAP_FIELD, head, VHD_SECTOR,
				"XenServer keeps a batmap behind the table, but there is none");
		return 0;
	}
	if (be32(h->version) != 0x00010001 && be32(h->version) != 0x00010002) {
		finding_fact(
			l, VHD_BATMAP_FIELD,
			&(struct fact){.at = head + offsetof(struct vhd_batmap_header, version),
				       .at_len = 4,
				       .stored = strf("0x%" PRIx32, be32(h->version)),
				       .expected = "0x10001 or 0x10002"},
			"unknown version of the batmap");
		return 0;
	}
	/* vhd-util sums, and so needs, at least what the blocks of the disk take. */
	if (!at || at % VHD_SECTOR || !range_inside(at, len, v->data_end) || len * 8 < v->blocks ||
	    len > v->blocks / 8 + (1 << 20)) {
		finding(l, VHD_BATMAP_FIELD, head + offsetof(struct vhd_batmap_header, offset), 12,
			"a batmap of %" PRIu64 " bytes at 0x%" PRIx64 " can't be that of %" PRIu64
			" blocks",
			len, at, v->blocks);
		return 0;
	}
	*map = malloc(len ? len : 1);
	if (!*map)
		return -ENOMEM;
	r = layer_read(l->below, at, *map, len, NULL);
	if (r)
		return r;
	session_checked(l->s, VHD_SECTOR + len);
	if (!batmap_sum_ok(l, *map, len)) {
		finding_fact(l, VHD_BATMAP_SUM,
			     &(struct fact){
				     .at = head + offsetof(struct vhd_batmap_header, checksum),
				     .at_len = 4,
				     .stored = strf("0x%08" PRIx32, be32(h->checksum)),
				     .expected = strf("0x%08" PRIx32,
						      batmap_sum(*map, len,
								 be32(h->version) == 0x00010001))},
			     "wrong checksum of the batmap");
	}
	return 0;
}

/* What is wrong with a bitmap. */
enum {
	FAULT_LOST = 1,
	FAULT_DATA = 2,	  /* bytes under a clear bit */
	FAULT_PAST = 4,	  /* bits behind the end of the disk */
	FAULT_PART = 8,	  /* not all bits are set: no fault by itself */
	FAULT_BATMAP = 16 /* the batmap says they are */
};

struct bitmaps {
	struct layer *l;
	const uint8_t *batmap;
	uint8_t *fault; /* of each block */
};

static bool bit_at(const struct vhd *v, const uint8_t *map, uint32_t s)
{
	return map[s / 8] >> (v->old_bits ? s % 8 : 7 - s % 8) & 1;
}

/*
 * Does data under clear bits have to be looked for? Always in a dynamic disk: its makers set all
 * bits of a block. In a differencing disk, and by XenServer, parts of a block are the rule: only
 * with --data, or when not one bit of it is set.
 */
static bool want_data(const struct layer *l, bool empty)
{
	const struct vhd *v = l->priv;

	if (l->s->opt.data)
		return true;
	return !v->tap && (v->type == VHD_DYNAMIC || empty);
}

/* One sector of a bitmap: the bits of @n disk sectors, of which @inside are inside the disk. */
static int check_chunk(struct layer *l, const uint8_t *map, uint32_t n, uint32_t inside,
		       uint64_t data, uint8_t *fault)
{
	struct vhd *v = l->priv;
	bool want = want_data(l, all_zero(map, (n + 7) / 8)), any = false;
	int r = 0;

	for (uint32_t i = 0; !r && i < inside && !any;) {
		uint32_t end = i;

		if (bit_at(v, map, i)) {
			i++;
			continue;
		}
		while (end < inside && !bit_at(v, map, end))
			end++;
		*fault |= FAULT_PART;
		if (want)
			r = vhd_any_data(l, data + i * UINT64_C(512), (end - i) * UINT64_C(512),
					 &any);
		i = end;
	}
	if (any)
		*fault |= FAULT_DATA;
	for (uint32_t i = inside; i < n && (*fault & FAULT_PART); i++)
		if (bit_at(v, map, i))
			*fault |= FAULT_PAST;
	return r;
}

static int check_bitmap(struct bitmaps *b, uint32_t block)
{
	struct layer *l = b->l;
	struct vhd *v = l->priv;
	uint32_t sectors = v->block_size / VHD_SECTOR;
	uint32_t inside = (uint32_t)((vhd_block_len(l, block) + VHD_SECTOR - 1) / VHD_SECTOR);
	uint64_t at = vhd_block_at(v, block), data = at + v->bitmap_size;
	uint8_t map[VHD_SECTOR], *fault = &b->fault[block];
	int r = 0;

	for (uint32_t s = 0; !r && s < sectors; s += VHD_CHUNK, at += VHD_SECTOR) {
		uint32_t n = sectors - s < VHD_CHUNK ? sectors - s : VHD_CHUNK;
		struct ranges bad = {0};

		r = layer_read(l->below, at, map, sizeof(map), &bad);
		if (bad.n)
			*fault |= FAULT_LOST;
		ranges_free(&bad);
		/* 64 bytes hold the bits of 512 sectors: look at words only when they differ. */
		if (r || (*fault & FAULT_LOST) ||
		    (map[0] == 0xff && n % 8 == 0 && !memcmp(map, map + 1, n / 8 - 1)))
			continue;
		r = check_chunk(l, map, n,
				inside <= s	 ? 0
				: inside - s < n ? inside - s
						 : n,
				data + s * UINT64_C(512), fault);
	}
	if (!(*fault & (FAULT_LOST | FAULT_PART)))
		atomic_fetch_or_explicit(&v->flags[block], inside == sectors ? BLOCK_FULL : 0,
					 memory_order_relaxed);
	if ((*fault & FAULT_PART) && b->batmap && (b->batmap[block / 8] >> (7 - block % 8) & 1))
		*fault |= FAULT_BATMAP;
	return r;
}

static int bitmaps_work(void *arg, size_t i)
{
	struct bitmaps *b = arg;
	struct vhd *v = b->l->priv;
	uint32_t end = (uint32_t)(i + 1) * BLOCKS_AT_ONCE;
	int r = 0;

	if (session_stopped(b->l->s))
		return -EINTR;
	if (end > v->allocated)
		end = v->allocated;
	for (uint32_t k = (uint32_t)i * BLOCKS_AT_ONCE; !r && k < end; k++)
		if (!(v->flags[v->order[k]] & BLOCK_BAD))
			r = check_bitmap(b, v->order[k]);
	session_checked(b->l->s, (uint64_t)BLOCKS_AT_ONCE * v->bitmap_size);
	return r;
}

static enum finding_id data_fault(const struct vhd *v)
{
	return v->tap			? VHD_BITMAP_STALE_DATA
	       : v->type == VHD_DYNAMIC ? VHD_BITMAP_CLEAR_DATA
					: VHD_BITMAP_HIDDEN_DATA;
}

static void report_bitmaps(const struct bitmaps *b)
{
	struct layer *l = b->l;
	struct vhd *v = l->priv;
	struct vhd_report lost = {l, VHD_BITMAP_LOST, "has a bitmap that can't be read",
				  .doubtful = true, .at_bitmap = true};
	struct vhd_report data = {l, data_fault(v), "has data where its bitmap says there is none",
				  .doubtful = !v->tap && v->type == VHD_DYNAMIC, .at_bitmap = true};
	struct vhd_report past = {l, VHD_BITMAP_PAST_DISK,
				  "has bits set behind the end of the disk", .at_bitmap = true};
	struct vhd_report wrong = {l, VHD_BATMAP_WRONG,
				   "is complete in the batmap, but not in its bitmap",
				   .at_bitmap = true};

	for (uint32_t i = 0; i < v->entries; i++) {
		uint8_t f = b->fault[i];

		if (!f)
			continue;
		if (f & FAULT_LOST)
			vhd_report_block(&lost, i);
		if (f & FAULT_DATA)
			vhd_report_block(&data, i);
		if (f & FAULT_PAST)
			vhd_report_block(&past, i);
		if (f & FAULT_BATMAP)
			vhd_report_block(&wrong, i);
	}
	vhd_report_end(&lost);
	vhd_report_end(&data);
	vhd_report_end(&past);
	vhd_report_end(&wrong);
}

static void check_batmap_bits(struct layer *l, const uint8_t *map)
{
	struct vhd *v = l->priv;
	struct vhd_report wrong = {.l = l,
				   .id = VHD_BATMAP_WRONG,
				   .what = "is complete in the batmap, but not in the file"};

	for (uint32_t i = 0; map && i < v->entries; i++)
		if ((map[i / 8] >> (7 - i % 8) & 1) && v->bat[i] == VHD_UNUSED)
			vhd_report_block(&wrong, i);
	vhd_report_end(&wrong);
}

static int check_bits(struct layer *l, const uint8_t *batmap)
{
	struct vhd *v = l->priv;
	struct bitmaps b = {.l = l, .batmap = batmap, .fault = calloc(v->entries + 1, 1)};
	int r;

	if (!b.fault)
		return -ENOMEM;
	r = pool_run(session_jobs(l->s), (v->allocated + BLOCKS_AT_ONCE - 1) / BLOCKS_AT_ONCE,
		     bitmaps_work, &b);
	if (!r)
		report_bitmaps(&b);
	free(b.fault);
	return r;
}

int vhd_check_bitmaps(struct layer *l)
{
	uint8_t *batmap = NULL;
	int r = check_batmap(l, &batmap);

	if (!r) {
		check_batmap_bits(l, batmap);
		r = check_bits(l, batmap);
	}
	free(batmap);
	return r;
}
