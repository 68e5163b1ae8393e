/* SPDX-License-Identifier: Apache-2.0 */
/* VHD: the dynamic header, the block allocation table, the batmap's header, sector bitmaps. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/vhd.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/sum.h"

enum {
	BAT_USUAL = 1536,      /* footer copy and header: where every known creator puts it */
	ENTRIES_MAX = 1 << 26, /* 256 MiB of table; 2040 GiB in blocks of 2 MiB have 2^20 */
	SAMPLE = 1 << 14,      /* entries looked at when a table is recognised */
	HEADER_SEARCH = 1 << 16,
};

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return n > UINT64_MAX - to ? UINT64_MAX / to * to : (n + to - 1) / to * to;
}

static bool block_size_ok(uint32_t size)
{
	return size >= VHD_SECTOR && !(size & (size - 1));
}

/* A bit for each sector, padded to whole sectors. */
static uint32_t bitmap_bytes(uint32_t block_size)
{
	return (uint32_t)round_up((block_size / VHD_SECTOR + 7) / 8, VHD_SECTOR);
}

static bool table_place_ok(const struct vhd *v, uint64_t at)
{
	return at >= VHD_SECTOR && at % VHD_SECTOR == 0 && at < v->data_end;
}

/*
 * How well the bytes at @at fit a table of blocks of @size bytes: 0 not at all. Every used entry
 * must lie behind the table and before the end, and all must be a whole number of blocks apart.
 */
static unsigned table_score(struct layer *l, uint64_t at, uint32_t size, uint64_t disk)
{
	struct vhd *v = l->priv;
	uint64_t stride = (bitmap_bytes(size) + (uint64_t)size) / VHD_SECTOR;
	uint64_t n = disk / size + (disk % size != 0), first = UINT64_MAX, last = 0;
	uint64_t low = (round_up(at + n * 4, VHD_SECTOR)) / VHD_SECTOR;
	be32_t *e = malloc(SAMPLE * sizeof(*e));
	unsigned used = 0, wrong = 0, score = 0;

	if (!e || at > v->data_end || n > (v->data_end - at) / 4)
		goto out;
	if (n > SAMPLE)
		n = SAMPLE;
	if (layer_read(l->below, at, e, n * sizeof(*e), NULL))
		goto out;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t s = be32(e[i]);

		if (s == VHD_UNUSED)
			continue;
		used++;
		if (s < low || s * VHD_SECTOR >= v->data_end) {
			wrong++;
			continue;
		}
		if (s < first)
			first = s;
		if (s > last)
			last = s;
	}
	for (uint64_t i = 0; i < n; i++) {
		uint64_t s = be32(e[i]);

		if (s >= first && s <= last)
			wrong += (s - first) % stride != 0;
	}
	if (wrong > used / 16)
		goto out;
	/* An empty table fits every size; the last block ends at the footer for the right one only. */
	score = used ? 2 : 1;
	if (used && (last + stride) * VHD_SECTOR == v->data_end)
		score = 4;
	else if (used > 2)
		score = 3;
out:
	free(e);
	return score;
}

/* Find table and block size by what the file holds, the likely ones first. */
static bool table_find(struct layer *l, uint64_t disk)
{
	struct vhd *v = l->priv;
	uint64_t place[2] = {be64(v->header.table_offset), BAT_USUAL};
	unsigned best = 0;

	for (int i = 0; i < 2; i++) {
		if (!table_place_ok(v, place[i]) || (i && place[0] == place[1]))
			continue;
		for (int shift = -1; shift < 20; shift++) {
			uint32_t size = shift < 0 ? VHD_BLOCK_DEFAULT : UINT32_C(4096) << shift;
			unsigned score = table_score(l, place[i], size, disk);

			if (score <= best)
				continue;
			best = score;
			v->bat_at = place[i];
			v->block_size = size;
		}
	}
	return best > 0;
}

/* Is it a header whose cookie was overwritten? Then the sum fits the cookie that was. */
static bool cookie_lost(const struct vhd_header *h)
{
	struct vhd_header g = *h;

	memcpy(g.cookie, "cxsparse", 8);
	return vhd_header_sum_ok(&g);
}

/* The header's own place, or where its cookie is found. */
static int header_find(struct layer *l, bool *found)
{
	struct vhd *v = l->priv;
	uint64_t at = be64(v->footer.data_offset);
	uint8_t *buf;
	int r = 0;

	*found = false;
	if (at < l->below->size) { /* its end is reserved: a cut one serves */
		r = layer_read(l->below, at, &v->header, sizeof(v->header), NULL);
		v->header_at = at;
		*found = !memcmp(v->header.cookie, "cxsparse", 8) || cookie_lost(&v->header);
		if (r || *found)
			return r;
	}
	buf = malloc(HEADER_SEARCH);
	if (!buf)
		return -ENOMEM;
	r = layer_read(l->below, 0, buf, HEADER_SEARCH, NULL);
	for (size_t i = 0; !r && i + sizeof(v->header) <= HEADER_SEARCH; i += VHD_SECTOR) {
		memcpy(&v->header, buf + i, sizeof(v->header));
		if (memcmp(v->header.cookie, "cxsparse", 8) || !vhd_header_sum_ok(&v->header))
			continue;
		*found = true;
		v->header_at = i;
		finding_fact(l, VHD_HEADER_MOVED,
			     &(struct fact){.at = v->footer_at +
						  offsetof(struct vhd_footer, data_offset),
					    .at_len = 8,
					    .stored = strf("0x%" PRIx64, at),
					    .expected = strf("0x%zx", i)},
			     "no dynamic header at 0x%" PRIx64 "; one was found at 0x%zx", at, i);
		break;
	}
	free(buf);
	return r;
}

/* No header: a table must be found, or nothing can be read. */
static int header_make(struct layer *l, uint64_t disk)
{
	struct vhd *v = l->priv;

	memset(&v->header, 0, sizeof(v->header));
	v->header.table_offset = to_be64(BAT_USUAL);
	v->header_made = true;
	v->header_at = be64(v->footer.data_offset);
	if (!disk || !table_find(l, disk)) {
		finding(l, VHD_HEADER_LOST, v->header_at, sizeof(v->header),
			"the dynamic header is lost, and no block allocation table was found");
		return -EBADMSG;
	}
	v->header.table_offset = to_be64(v->bat_at);
	v->header.block_size = to_be32(v->block_size);
	v->header.max_table_entries =
		to_be32((uint32_t)(disk / v->block_size + (disk % v->block_size != 0)));
	finding_fact(l, VHD_HEADER_LOST,
		     &(struct fact){.at = v->header_at, .at_len = sizeof(v->header)},
		     "the dynamic header is lost; its table was found at 0x%" PRIx64
		     ", of blocks of %" PRIu32 " bytes",
		     v->bat_at, v->block_size);
	return 0;
}

/* The header states what can't be: another table or block size may fit what the file holds. */
static int table_replace(struct layer *l, uint64_t disk)
{
	struct vhd *v = l->priv;
	uint64_t at = v->bat_at;
	uint32_t size = v->block_size;

	if (disk && table_find(l, disk)) {
		finding_fact(
			l, VHD_HEADER_BLOCK_SIZE,
			&(struct fact){
				.at = v->header_at + offsetof(struct vhd_header, table_offset),
				.at_len = 28,
				.stored = strf("table 0x%" PRIx64 ", blocks of %" PRIu32, at, size),
				.expected = strf("table 0x%" PRIx64 ", blocks of %" PRIu32,
						 v->bat_at, v->block_size)},
			"table or block size can't be true; what the table itself shows is used");
		return 0;
	}
	/* A table that is cut off, or whose entries are wrong, is reported as such. */
	if (block_size_ok(size) && at >= VHD_SECTOR && at % VHD_SECTOR == 0)
		return 0;
	finding(l, VHD_HEADER_BLOCK_SIZE, v->header_at, sizeof(v->header),
		"blocks of %" PRIu32 " bytes, table at 0x%" PRIx64
		": neither can be true, and no other table was found",
		size, at);
	return -EBADMSG;
}

int vhd_header_open(struct layer *l)
{
	struct vhd *v = l->priv;
	uint64_t disk = l->size, entries;
	bool found;
	int r = header_find(l, &found);

	if (!r && !found)
		r = header_make(l, disk);
	if (r)
		return r;
	v->bat_at = be64(v->header.table_offset);
	v->block_size = be32(v->header.block_size);
	if (!block_size_ok(v->block_size) || !table_place_ok(v, v->bat_at) ||
	    (!v->header_made && disk && !vhd_header_sum_ok(&v->header) &&
	     !table_score(l, v->bat_at, v->block_size, disk))) {
		r = table_replace(l, disk);
		if (r)
			return r;
	}
	if (!l->size) /* the footer lost it: what the table can hold */
		l->size = (uint64_t)be32(v->header.max_table_entries) * v->block_size;
	v->block_shift = (unsigned)__builtin_ctz(v->block_size);
	v->bitmap_size = bitmap_bytes(v->block_size);
	v->blocks = (l->size >> v->block_shift) + ((l->size & (v->block_size - 1)) != 0);
	/* XenServer may reserve a table for a larger disk; a damaged count must not cover the blocks. */
	entries = be32(v->header.max_table_entries);
	if (entries > v->blocks &&
	    (!vhd_header_sum_ok(&v->header) || entries > (v->data_end - v->bat_at) / 4))
		entries = v->blocks;
	v->bat_len = round_up(entries * 4, VHD_SECTOR);
	v->meta_end = v->header_at + sizeof(v->header);
	if (v->meta_end < v->bat_at + v->bat_len)
		v->meta_end = v->bat_at + v->bat_len;
	v->tap = !memcmp(v->footer.creator, "tap", 3);
	v->old_bits = v->tap && be32(v->footer.creator_version) == 1;
	return 0;
}

/* Behind the BAT, if XenServer made the image: no pointer leads there (blktap, libvhd). */
static int batmap_open(struct layer *l)
{
	struct vhd *v = l->priv;
	uint64_t end;
	int r;

	v->batmap_at = v->bat_at + v->bat_len;
	if (!v->tap || v->old_bits || !range_inside(v->batmap_at, VHD_SECTOR, v->data_end))
		return 0;
	r = layer_read(l->below, v->batmap_at, &v->batmap, sizeof(v->batmap), NULL);
	if (r || memcmp(v->batmap.cookie, "tdbatmap", 8))
		return r;
	v->has_batmap = true;
	end = v->batmap_at + VHD_SECTOR;
	if (v->meta_end < end)
		v->meta_end = end;
	end = be64(v->batmap.offset);
	if (range_inside(end, (uint64_t)be32(v->batmap.sectors) * VHD_SECTOR, v->data_end)) {
		end += (uint64_t)be32(v->batmap.sectors) * VHD_SECTOR;
		if (v->meta_end < end)
			v->meta_end = end;
	}
	return 0;
}

static int bat_read(struct layer *l)
{
	struct vhd *v = l->priv;
	uint64_t n = v->blocks, there = v->bat_at < v->data_end ? (v->data_end - v->bat_at) / 4 : 0;
	int r;

	if (n > be32(v->header.max_table_entries))
		n = be32(v->header.max_table_entries);
	if (n > there)
		n = there;
	if (n > ENTRIES_MAX) {
		finding(l, VHD_BAT_TOO_LARGE, v->bat_at, n * 4,
			"%" PRIu64 " blocks; no more than %d are read", n, ENTRIES_MAX);
		return -EOPNOTSUPP;
	}
	v->entries = (uint32_t)n;
	v->bat = malloc((n ? n : 1) * sizeof(*v->bat));
	v->flags = calloc(n ? n : 1, sizeof(*v->flags));
	if (!v->bat || !v->flags)
		return -ENOMEM;
	r = layer_read(l->below, v->bat_at, v->bat, n * 4, &v->bat_bad);
	ranges_shift(&v->bat_bad, 0, v->bat_at, 0);
	ranges_sort(&v->bat_bad);
	for (uint32_t i = 0; i < n; i++) {
		v->bat[i] = __builtin_bswap32(v->bat[i]);
		v->allocated += v->bat[i] != VHD_UNUSED;
	}
	return r;
}

/* Sort @order by the place of the blocks: four passes of a byte each. */
static int order_sort(struct vhd *v)
{
	uint32_t *from = v->order, *to = malloc(((size_t)v->allocated + 1) * sizeof(*to));

	if (!to)
		return -ENOMEM;
	for (unsigned shift = 0; shift < 32; shift += 8) {
		uint32_t count[257] = {0}, *t = from;

		for (uint32_t i = 0; i < v->allocated; i++)
			count[(v->bat[from[i]] >> shift & 0xff) + 1]++;
		for (int i = 0; i < 256; i++)
			count[i + 1] += count[i];
		for (uint32_t i = 0; i < v->allocated; i++)
			to[count[v->bat[from[i]] >> shift & 0xff]++] = from[i];
		from = to;
		to = t;
	}
	free(to); /* an even number of passes: @from is v->order again */
	return 0;
}

static void flag(struct vhd *v, uint32_t block, uint8_t what)
{
	atomic_fetch_or_explicit(&v->flags[block], what, memory_order_relaxed);
}

/* Which blocks can't be where the table says, and which are on one another. */
static void blocks_judge(struct vhd *v)
{
	uint64_t size = (uint64_t)v->bitmap_size + v->block_size;
	uint32_t last = 0; /* the sound block that reaches furthest */
	bool any = false;

	for (uint32_t i = 0; i < v->allocated; i++) {
		uint32_t block = v->order[i];
		uint64_t at = vhd_block_at(v, block);

		if (at < v->meta_end || at + v->bitmap_size >= v->data_end) {
			flag(v, block, BLOCK_BAD);
			continue;
		}
		if (at + size > v->data_end)
			flag(v, block, BLOCK_CUT);
		/* All have one length: whoever overlaps an earlier one overlaps the last. */
		if (any && at < vhd_block_at(v, last) + size) {
			flag(v, block, BLOCK_SHARED);
			flag(v, last, BLOCK_SHARED);
		}
		last = block;
		any = true;
	}
}

int vhd_bat_open(struct layer *l)
{
	struct vhd *v = l->priv;
	bool sorted = true;
	uint32_t n = 0;
	int r = bat_read(l);

	if (!r)
		r = batmap_open(l);
	if (r)
		return r;
	if (!v->entries && v->blocks) {
		finding_fact(l, VHD_BAT_LOST,
			     &(struct fact){.at = v->bat_at,
					    .at_len = v->bat_len,
					    .len = l->size,
					    .lost = true},
			     "the whole block allocation table lies behind the end of the file");
		return -EBADMSG;
	}
	for (unsigned i = 0; i < VHD_LOCATORS && v->type == VHD_DIFFERENCING; i++) {
		const struct vhd_locator *c = &v->header.locator[i];
		uint64_t at = be64(c->offset), len = vhd_locator_space(c);

		/* One far behind the table is damage, or was put behind the blocks: no bound. */
		if (be32(c->code) && range_inside(at, len, v->data_end) && at + len > v->meta_end &&
		    at <= v->meta_end + VHD_LOCATORS * VHD_SECTOR)
			v->meta_end = at + len;
	}
	v->order = malloc(((size_t)v->allocated + 1) * sizeof(*v->order));
	if (!v->order)
		return -ENOMEM;
	for (uint32_t i = 0; i < v->entries; i++) {
		if (v->bat[i] == VHD_UNUSED)
			continue;
		if (n && v->bat[v->order[n - 1]] > v->bat[i])
			sorted = false;
		v->order[n++] = i;
	}
	if (!sorted)
		r = order_sort(v);
	if (!r)
		blocks_judge(v);
	return r;
}

uint64_t vhd_block_len(const struct layer *l, uint64_t block)
{
	const struct vhd *v = l->priv;
	uint64_t off = block << v->block_shift;

	if (block >= v->blocks)
		return 0;
	return l->size - off < v->block_size ? l->size - off : v->block_size;
}

/* Bit of sector @s in a sector of bitmap. */
static bool bit_of(const struct vhd *v, const uint8_t *map, uint32_t s)
{
	return v->old_bits ? map[s / 8] >> (s % 8) & 1 : map[s / 8] >> (7 - s % 8) & 1;
}

uint32_t vhd_bits(struct layer *l, uint32_t block, uint32_t sector, uint32_t max, enum vhd_bit *bit,
		  int *err)
{
	enum { CHUNK = VHD_SECTOR * 8 }; /* disk sectors that a sector of bitmap counts */
	struct vhd *v = l->priv;
	uint32_t n = 0;

	*bit = BIT_SET;
	if (v->flags[block] & BLOCK_FULL)
		return max;
	while (n < max) {
		uint32_t s = sector + n, in = s % CHUNK, end = in + (max - n);
		uint8_t map[VHD_SECTOR];
		struct ranges bad = {0};
		enum vhd_bit b;

		*err = layer_read(l->below, vhd_block_at(v, block) + s / CHUNK * VHD_SECTOR, map,
				  sizeof(map), &bad);
		b = bad.n ? BIT_UNKNOWN : bit_of(v, map, in) ? BIT_SET : BIT_CLEAR;
		ranges_free(&bad);
		if (*err)
			return 0;
		if (!n)
			*bit = b;
		if (b != *bit)
			return n;
		if (end > CHUNK)
			end = CHUNK;
		while (in < end) {
			uint8_t all = b == BIT_SET ? 0xff : 0;

			if (b == BIT_UNKNOWN) {
				n += end - in;
				break;
			}
			/* Eight at a time where all are alike. */
			if (in % 8 == 0 && in + 8 <= end && map[in / 8] == all) {
				in += 8;
				n += 8;
				continue;
			}
			if (bit_of(v, map, in) != (b == BIT_SET))
				return n;
			in++;
			n++;
		}
	}
	if (*bit == BIT_SET && sector == 0 && max == v->block_size / VHD_SECTOR)
		atomic_fetch_or_explicit(&v->flags[block], BLOCK_FULL, memory_order_relaxed);
	return n;
}
