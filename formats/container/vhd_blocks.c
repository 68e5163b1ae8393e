/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHD: check of where blocks lie, and of the space that nothing owns. Linear: the BAT was sorted
 * by place when it was read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/vhd_check.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/sum.h"

/* Where in the file the table says that blocks are. */
static void check_entries(struct layer *l)
{
	struct vhd *v = l->priv;
	struct vhd_report past = {l, VHD_BAT_PAST_END, "lies behind the end of the file",
				  .lost = true};
	struct vhd_report meta = {l, VHD_BAT_METADATA, "lies over headers or tables", .lost = true};
	struct vhd_report shared = {l, VHD_BAT_OVERLAP, "shares its bytes with another block",
				    .doubtful = true};

	for (uint32_t i = 0; i < v->entries; i++) {
		uint8_t flags = v->flags[i];

		if ((flags & BLOCK_BAD) && vhd_block_at(v, i) < v->meta_end)
			vhd_report_block(&meta, i);
		else if (flags & BLOCK_BAD)
			vhd_report_block(&past, i);
		if (flags & BLOCK_SHARED)
			vhd_report_block(&shared, i);
		if (flags & BLOCK_CUT) {
			uint64_t data = vhd_block_at(v, i) + v->bitmap_size;
			uint64_t have = data < v->data_end ? v->data_end - data : 0;
			uint64_t len = vhd_block_len(l, i);

			/* Blocks of one length are cut by one end: that many only if they overlap. */
			if (have < len)
				finding_fact(l, VHD_BLOCK_TRUNCATED,
					     &(struct fact){.at = v->bat_at + i * UINT64_C(4),
							    .at_len = 4,
							    .off = ((uint64_t)i << v->block_shift) +
								   have,
							    .len = len - have,
							    .lost = true},
					     "the file ends inside block %" PRIu32, i);
		}
	}
	vhd_report_end(&past);
	vhd_report_end(&meta);
	vhd_report_end(&shared);
}

static void check_table_lost(struct layer *l)
{
	struct vhd *v = l->priv;
	uint64_t stated = be32(v->header.max_table_entries);

	for (size_t i = 0; i < v->bat_bad.n; i++) {
		const struct range *b = &v->bat_bad.v[i];
		uint64_t first = b->off / 4 << v->block_shift;
		uint64_t end = (b->off + b->len + 3) / 4 << v->block_shift;

		finding_fact(l, VHD_BAT_LOST,
			     &(struct fact){.at = v->bat_at + b->off,
					    .at_len = b->len,
					    .off = first,
					    .len = (end < l->size ? end : l->size) - first,
					    .lost = true},
			     "%" PRIu64 " bytes of the block allocation table can't be read",
			     b->len);
	}
	if (v->entries < v->blocks && v->entries < stated) {
		uint64_t first = (uint64_t)v->entries << v->block_shift;

		finding_fact(l, VHD_BAT_LOST,
			     &(struct fact){.at = v->bat_at + v->entries * UINT64_C(4),
					    .at_len = (v->blocks - v->entries) * 4,
					    .off = first,
					    .len = l->size - first,
					    .lost = true},
			     "the file ends inside the block allocation table, after %" PRIu32
			     " entries",
			     v->entries);
	}
}

/* Entries that the disk does not need. XenServer clears them to zero when it shrinks a disk. */
static int check_beyond(struct layer *l)
{
	struct vhd *v = l->priv;
	uint64_t at = v->bat_at + v->blocks * 4, used = 0, first = 0;
	uint64_t n = be32(v->header.max_table_entries);
	be32_t buf[VHD_PIECE / 4];
	int r = 0;

	/* Virtual PC's disk ends at its geometry, but its table does not. */
	if (v->chs)
		at = v->bat_at + (be64(v->footer.current_size) / v->block_size + 1) * 4;
	if (n > v->bat_len / 4)
		n = v->bat_len / 4;
	for (uint64_t end = v->bat_at + n * 4; !r && at < end && at < v->data_end;) {
		size_t len = end - at < sizeof(buf) ? (size_t)(end - at) : sizeof(buf);

		r = layer_read(l->below, at, buf, len, NULL);
		for (size_t i = 0; !r && i < len / 4; i++) {
			if (be32(buf[i]) == VHD_UNUSED || !be32(buf[i]))
				continue;
			if (!used++)
				first = at + i * 4;
		}
		at += len;
	}
	if (used)
		finding(l, VHD_BAT_BEYOND_DISK, first, 4,
			"%" PRIu64
			" entries behind the end of the disk are in use, first entry %" PRIu64,
			used, (first - v->bat_at) / 4);
	return r;
}

int vhd_check_places(struct layer *l)
{
	check_table_lost(l);
	check_entries(l);
	return check_beyond(l);
}

/* What the slot of a block in space that nothing owns looks like. */
enum slot { SLOT_EMPTY, SLOT_LEAKED, SLOT_ORPHAN };

static int slot_look(struct layer *l, uint64_t at, enum slot *what)
{
	struct vhd *v = l->priv;
	uint32_t sectors = v->block_size / VHD_SECTOR,
		 n = sectors < VHD_CHUNK ? sectors : VHD_CHUNK;
	uint8_t map[VHD_SECTOR];
	bool any = false;
	int r = layer_read(l->below, at, map, sizeof(map), NULL);

	*what = SLOT_EMPTY;
	if (r || all_zero(map, sizeof(map)))
		return r;
	/* A bitmap has no bits behind its block, unless it is all ones as by qemu. */
	if (n % 8 == 0 && !all_zero(map + n / 8, sizeof(map) - n / 8) &&
	    (map[0] != 0xff || memcmp(map, map + 1, sizeof(map) - 1)))
		return 0;
	*what = SLOT_LEAKED;
	r = vhd_any_data(l, at + v->bitmap_size, v->block_size, &any);
	if (any)
		*what = SLOT_ORPHAN;
	return r;
}

struct gap {
	uint64_t at, len;
	uint32_t before, after; /* the blocks around it, VHD_UNUSED: none */
};

static void report_slots(struct layer *l, const struct gap *g, enum slot what, uint64_t at,
			 uint64_t n)
{
	struct vhd *v = l->priv;
	uint64_t stride = (uint64_t)v->bitmap_size + v->block_size;
	struct fact f = {.at = at, .at_len = n * stride};
	char guess[96] = "";

	if (what == SLOT_LEAKED) {
		finding_fact(l, VHD_BLOCK_LEAKED, &f,
			     "%" PRIu64 " blocks that no table owns; all of them are empty", n);
		return;
	}
	/* Blocks are mostly allocated in order: does the hole in the disk fit the one in the file? */
	if (g->before != VHD_UNUSED && g->before + n < v->blocks &&
	    (g->after == VHD_UNUSED || g->after == g->before + n + 1) && at == g->at) {
		bool free = true;

		for (uint32_t i = 1; i <= n && g->before + i < v->entries; i++)
			free &= v->bat[g->before + i] == VHD_UNUSED ||
				(v->flags[g->before + i] & BLOCK_BAD);
		if (free) {
			snprintf(guess, sizeof(guess),
				 "; by their place, those of the disk from %" PRIu32 " on",
				 g->before + 1);
			f.off = (g->before + UINT64_C(1)) << v->block_shift;
			f.len = n << v->block_shift;
			f.doubtful = true;
		}
	}
	finding_fact(l, VHD_BLOCK_ORPHAN, &f, "%" PRIu64 " blocks with data that no table owns%s",
		     n, guess);
}

/* Where slots of whole blocks start in a gap: at its start, or where data is on 4 KiB. */
static uint64_t first_slot(const struct vhd *v, const struct gap *g)
{
	uint64_t stride = (uint64_t)v->bitmap_size + v->block_size;
	uint64_t aligned = (g->at + v->bitmap_size + 4095) / 4096 * 4096 - v->bitmap_size;

	return g->len % stride == 0 || aligned + stride > g->at + g->len ? g->at : aligned;
}

static int check_gap(struct layer *l, const struct gap *g)
{
	struct vhd *v = l->priv;
	uint64_t stride = (uint64_t)v->bitmap_size + v->block_size, at = first_slot(v, g);
	uint64_t run = at, end = g->at + g->len;
	enum slot last = SLOT_EMPTY;
	int r = 0;

	/* A logical volume of XenServer is larger than its VHD: what lies there is anybody's. */
	if (v->tap && g->after == VHD_UNUSED && g->len % stride)
		at = end;
	if (end > l->below->size)
		end = l->below->size;
	for (uint64_t next; at + stride <= end && !session_stopped(l->s); at = next) {
		enum slot what = SLOT_EMPTY;
		struct extent below;

		next = at + stride;
		r = layer_map(l->below, at, &below);
		/* Inside another disk this may be a hole of exabytes. */
		if (!r && below.kind != EXTENT_DATA && below.len > stride)
			next = at + below.len / stride * stride;
		else if (!r)
			r = slot_look(l, at, &what);
		if (r)
			break;
		if (what != last) {
			if (last != SLOT_EMPTY)
				report_slots(l, g, last, run, (at - run) / stride);
			run = at;
			last = what;
		}
	}
	if (last != SLOT_EMPTY)
		report_slots(l, g, last, run, (at - run) / stride);
	return r;
}

struct space {
	struct layer *l;
	uint64_t end;	 /* of what was owned so far */
	uint32_t before; /* the last block */
	uint64_t gaps, bytes, first, first_len;
};

static int space_next(struct space *s, uint64_t at, uint64_t len, uint32_t block)
{
	struct vhd *v = s->l->priv;
	int r = 0;

	if (at > s->end && s->end >= v->meta_end) {
		struct gap g = {s->end, at - s->end, s->before, block};

		if (!s->gaps++) {
			s->first = g.at;
			s->first_len = g.len;
		}
		s->bytes += g.len;
		r = check_gap(s->l, &g);
	}
	if (at + len > s->end)
		s->end = at + len;
	if (block != VHD_UNUSED)
		s->before = block;
	return r;
}

/* Blocks in the order of the file, locators among them, and what is between them. */
int vhd_check_space(struct layer *l)
{
	struct vhd *v = l->priv;
	uint64_t stride = (uint64_t)v->bitmap_size + v->block_size;
	struct space s = {.l = l, .end = v->meta_end, .before = VHD_UNUSED};
	struct vhd_area area[VHD_AREAS];
	size_t n = vhd_areas(l, area), k = 0;
	int r = 0;

	for (uint32_t i = 0; !r && i <= v->allocated; i++) {
		uint64_t at = i < v->allocated ? vhd_block_at(v, v->order[i]) : v->data_end;

		if (i < v->allocated && (v->flags[v->order[i]] & BLOCK_BAD))
			continue;
		for (; !r && k < n && area[k].at <= at; k++) {
			if (area[k].at < v->meta_end)
				continue;
			if (area[k].at < s.end)
				finding(l, VHD_METADATA_OVERLAP, area[k].at, area[k].len,
					"%s at 0x%" PRIx64 " lies over block %" PRIu32,
					area[k].what, area[k].at, s.before);
			r = space_next(&s, area[k].at, area[k].len, VHD_UNUSED);
		}
		if (!r && i < v->allocated)
			r = space_next(&s, at, stride, v->order[i]);
		else if (!r)
			r = space_next(&s, at, 0, VHD_UNUSED);
	}
	if (s.gaps)
		finding(l, VHD_SPACE_UNUSED, s.first, s.first_len,
			"%" PRIu64 " bytes in %" PRIu64 " places belong to nothing", s.bytes,
			s.gaps);
	return r;
}
