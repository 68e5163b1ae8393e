/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHD: opening, mapping and reading. See vhd.h for the format.
 *
 * What a clear bit in the sector bitmap of an allocated block means:
 * - differencing: the parent's sector, in every implementation;
 * - dynamic by XenServer: zeros. On an LVM volume blocks are not cleared when they are allocated,
 *   so what lies there belongs to whoever used the space before;
 * - dynamic by others: the specification says unused, Microsoft's tools and qemu set all bits of a
 *   block they allocate, and qemu never looks. Bytes under a clear bit then mean a damaged bitmap,
 *   or a write that was cut short: they are given, as doubtful. Zeros are zeros either way.
 */
#include "formats/container/vhd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sector.h"
#include "crypto/unit.h"
#include "formats/container/chain.h"
#include "formats/drivers.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/sum.h"

/* Unused blocks joined into one run; more would make reading a hole piece by piece quadratic. */
enum { MERGE_MAX = 4096 };

static int vhd_open(struct layer *l)
{
	struct vhd *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	l->priv = v;
	v->parent_why = CHAIN_PARENT_MISSING;
	r = vhd_footer_open(l);
	if (r)
		return r;
	l->size = vhd_size(v);
	if (v->type != VHD_FIXED) {
		r = vhd_header_open(l);
		if (!r)
			r = vhd_bat_open(l);
	}
	if (!r && v->chs)
		finding_fact(
			l, VHD_SIZE_CHS,
			&(struct fact){.at = v->footer_at + offsetof(struct vhd_footer, geometry),
				       .at_len = 4,
				       .stored = strf("%" PRIu64, be64(v->footer.current_size)),
				       .expected = strf("%" PRIu64, l->size)},
			"the disk ends where its geometry does, %" PRIu64
			" bytes before the size in the footer",
			be64(v->footer.current_size) - l->size);
	if (!r && v->type == VHD_DIFFERENCING)
		r = vhd_parent_open(l);
	return r ? r : vhd_crypt_open(l);
}

static void vhd_close(struct layer *l)
{
	struct vhd *v = l->priv;

	if (!v)
		return;
	sector_close(v->cipher);
	ranges_free(&v->bat_bad);
	free(v->bat);
	free(v->order);
	free(v->flags);
	free(v);
}

static int map_lost(struct extent *run, uint64_t len, enum finding_id why)
{
	run->kind = EXTENT_LOST;
	run->why = why;
	run->len = len;
	return 0;
}

static int map_fixed(struct layer *l, uint64_t off, struct extent *run)
{
	struct vhd *v = l->priv;

	if (off >= v->data_end)
		return map_lost(run, l->size - off, VHD_TRUNCATED);
	run->kind = EXTENT_DATA;
	run->in = l->below;
	run->at = off;
	run->len = v->data_end - off;
	run->exact = true;
	return 0;
}

/* A block that is not in this file: the parent's, or zeros; with the ones like it that follow. */
static int map_unused(struct layer *l, uint64_t off, uint32_t block, struct extent *run)
{
	struct vhd *v = l->priv;
	uint64_t len = 0;
	uint32_t n = 0;

	while (n < MERGE_MAX && block + n < v->entries && v->bat[block + n] == VHD_UNUSED) {
		len += v->block_size;
		n++;
	}
	len -= off & (v->block_size - 1);
	if (v->type == VHD_DIFFERENCING)
		return chain_map(l, off, len, v->parent_why, run);
	run->kind = EXTENT_ZERO;
	run->len = len;
	return 0;
}

/* The reason why the BAT says nothing of @block, or FINDING_COUNT if it does. */
static enum finding_id entry_lost(const struct vhd *v, uint64_t block)
{
	if (block >= v->entries)
		return block >= be32(v->header.max_table_entries) ? VHD_BAT_SHORT : VHD_BAT_LOST;
	if (v->bat_bad.n && ranges_overlap(&v->bat_bad, block * 4, 4))
		return VHD_BAT_LOST;
	if (!(v->flags[block] & BLOCK_BAD))
		return FINDING_COUNT;
	return vhd_block_at(v, (uint32_t)block) < v->meta_end ? VHD_BAT_METADATA : VHD_BAT_PAST_END;
}

static int vhd_map(struct layer *l, uint64_t off, struct extent *run)
{
	struct vhd *v = l->priv;
	uint64_t block, in, at, len;
	enum finding_id why;
	enum vhd_bit bit = BIT_SET;
	bool set;
	int err = 0;

	if (v->type == VHD_FIXED)
		return map_fixed(l, off, run);
	block = off >> v->block_shift;
	in = off & (v->block_size - 1);
	len = v->block_size - in;
	why = entry_lost(v, block);
	if (why == VHD_BAT_SHORT)
		return map_lost(run, l->size - off, why);
	if (why != FINDING_COUNT)
		return map_lost(run, len, why);
	if (v->bat[block] == VHD_UNUSED)
		return map_unused(l, off, (uint32_t)block, run);

	set = v->flags[block] & BLOCK_FULL;
	if (v->tap || v->type == VHD_DIFFERENCING) {
		uint32_t sector = (uint32_t)(in / VHD_SECTOR);
		uint32_t n = vhd_bits(l, (uint32_t)block, sector,
				      v->block_size / VHD_SECTOR - sector, &bit, &err);

		if (err)
			return err;
		len = (uint64_t)n * VHD_SECTOR - in % VHD_SECTOR;
		set = bit == BIT_SET;
	}
	run->len = len;
	if (bit == BIT_CLEAR && v->type == VHD_DIFFERENCING)
		return chain_map(l, off, len, v->parent_why, run);
	if (bit == BIT_CLEAR) {
		run->kind = EXTENT_ZERO;
		return 0;
	}
	at = vhd_block_at(v, (uint32_t)block) + v->bitmap_size + in;
	if (at >= v->data_end)
		return map_lost(run, len, VHD_BLOCK_TRUNCATED);
	run->kind = EXTENT_DATA;
	run->in = l->below;
	run->at = at;
	run->coded = v->encrypted;
	run->exact = set && !v->encrypted && !(v->flags[block] & BLOCK_SHARED);
	if (run->len > v->data_end - at)
		run->len = v->data_end - at;
	return 0;
}

/* Sectors that are not zero though the bitmap says they are unused: doubtful. See above. */
static int doubt_clear(struct layer *l, uint64_t off, const uint8_t *buf, size_t len,
		       struct ranges *bad)
{
	struct vhd *v = l->priv;
	uint32_t block = (uint32_t)(off >> v->block_shift);
	uint64_t in = off & (v->block_size - 1);
	int r = 0;

	while (!r && len) {
		uint32_t sector = (uint32_t)(in / VHD_SECTOR);
		enum vhd_bit bit;
		uint32_t n =
			vhd_bits(l, block, sector, v->block_size / VHD_SECTOR - sector, &bit, &r);
		uint64_t run = (uint64_t)n * VHD_SECTOR - in % VHD_SECTOR;

		if (r)
			break;
		if (run > len)
			run = len;
		if (bit != BIT_SET && !all_zero(buf, run))
			r = ranges_add(bad, off, run, GRADE_DOUBTFUL,
				       bit == BIT_CLEAR ? VHD_BITMAP_CLEAR_DATA : VHD_BITMAP_LOST);
		off += run;
		in += run;
		buf += run;
		len -= run;
	}
	return r;
}

/*
 * A block whose bitmap is lost: nothing says which sectors are this file's. Those that are not zero
 * probably are; a differencing image gives the others as the parent has them. All doubtful.
 */
static int read_unknown(struct layer *l, uint64_t off, uint8_t *buf, size_t len, struct ranges *bad)
{
	struct vhd *v = l->priv;
	int r = ranges_add(bad, off, len, GRADE_DOUBTFUL, VHD_BITMAP_LOST);

	while (!r && len) {
		size_t n = VHD_SECTOR - off % VHD_SECTOR;

		if (n > len)
			n = len;
		if (!all_zero(buf, n))
			r = v->cipher ? vhd_decrypt(l, off, buf, n, bad, bad ? bad->n : 0) : 0;
		else if (v->type == VHD_DIFFERENCING)
			r = chain_read(l, off, buf, n, v->parent_why, bad);
		off += n;
		buf += n;
		len -= n;
	}
	return r;
}

/* What is wrong with bytes that were read from an allocated block; and decrypt them. */
static int judge(struct layer *l, uint64_t off, uint8_t *buf, size_t len, struct ranges *bad,
		 size_t from)
{
	struct vhd *v = l->priv;
	uint32_t block = (uint32_t)(off >> v->block_shift);
	uint8_t flags = v->flags[block];
	enum vhd_bit bit = BIT_SET;
	int r = 0;

	if (flags & BLOCK_SHARED)
		r = ranges_add(bad, off, len, GRADE_DOUBTFUL, VHD_BAT_OVERLAP);
	if (!r && !(flags & BLOCK_FULL)) {
		if (v->type == VHD_DYNAMIC && !v->cipher)
			return doubt_clear(l, off, buf, len, bad);
		/* map() ended the run where the bit changes. */
		vhd_bits(l, block, (uint32_t)((off & (v->block_size - 1)) / VHD_SECTOR), 1, &bit,
			 &r);
	}
	if (!r && bit == BIT_UNKNOWN)
		return read_unknown(l, off, buf, len, bad);
	return !r && v->cipher ? vhd_decrypt(l, off, buf, len, bad, from) : r;
}

static int read_runs(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	uint8_t *p = buf;
	int r = 0;

	while (!r && len) {
		size_t n, from = bad ? bad->n : 0;
		struct extent run;

		r = layer_map(l, off, &run);
		if (r)
			break;
		n = run.len < len ? (size_t)run.len : len;
		if (run.kind == EXTENT_DATA && run.in == l->below && l->locked) {
			run.kind = EXTENT_LOST;
			run.why = LAYER_LOCKED;
		}
		if (run.kind == EXTENT_DATA) {
			r = layer_read_as(run.in, run.at, p, n, off, bad);
			if (!r && run.in == l->below)
				r = judge(l, off, p, n, bad, from);
		} else {
			memset(p, 0, n);
			if (run.kind == EXTENT_LOST)
				r = ranges_add(bad, off, n, GRADE_LOST, run.why);
		}
		off += n;
		p += n;
		len -= n;
	}
	return r;
}

static int vhd_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct vhd *v = l->priv;

	if (v->type == VHD_FIXED)
		return layer_read_mapped(l, off, buf, len, bad);
	/* Encrypted data is read by whole sectors. */
	if (v->cipher)
		return unit_read(l, VHD_SECTOR, off, buf, len, bad, read_runs);
	return read_runs(l, off, buf, len, bad);
}

const struct layer_ops vhd_ops = {
	.name = "vhd",
	.kind = LAYER_CONTAINER,
	.probe = vhd_footer_probe,
	.open = vhd_open,
	.unlock = vhd_unlock,
	.read = vhd_read,
	.map = vhd_map,
	.check = vhd_check,
	.info = vhd_info,
	.structure = vhd_structure,
	.ciphertext = vhd_ciphertext,
	.close = vhd_close,
};
