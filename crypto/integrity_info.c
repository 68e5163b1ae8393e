/* SPDX-License-Identifier: Apache-2.0 */
/* What `info` shows of a dm-integrity device, and what its metadata are called. */
#include <inttypes.h>
#include <stdio.h>

#include "crypto/integrity.h"
#include "crypto/integrity_crypt.h"
#include "vdiskck/core/json.h"

enum { SECTOR = 512 };

static bool is_apart(const struct integrity_dev *d)
{
	return d->data != d->below;
}

/* Not asked of data that is apart: that has no areas. */
static uint64_t area_bytes(const struct integrity_dev *d)
{
	return (uint64_t)SECTOR << d->log2_interleave;
}

bool integrity_dev_structure(const struct integrity_dev *d, uint64_t at, char *name, size_t cap,
			     uint64_t *start, uint64_t *len)
{
	uint64_t in = at - d->start, area, stride = area_bytes(d) + d->run;

	if (at < d->start || is_apart(d))
		return false;
	if (in < INTEGRITY_SB) {
		snprintf(name, cap, "dm-integrity superblock");
		*start = d->start;
		*len = INTEGRITY_SB;
		return true;
	}
	if (in < d->initial) {
		uint64_t section = (in - INTEGRITY_SB) / SECTOR / d->section_sectors;

		snprintf(name, cap, "dm-integrity %s section %" PRIu64,
			 d->flags & INTEGRITY_DIRTY_BITMAP ? "bitmap, journal" : "journal",
			 section);
		*len = (uint64_t)d->section_sectors * SECTOR;
		*start = d->start + INTEGRITY_SB + section * *len;
		return true;
	}
	if (d->flags & INTEGRITY_INLINE)
		return false;
	area = (in - d->initial) / stride;
	if ((in - d->initial) % stride >= d->run || area >= d->size / area_bytes(d) + 1)
		return false;
	snprintf(name, cap, "dm-integrity tags of 0x%" PRIx64 "..0x%" PRIx64, area * area_bytes(d),
		 (area + 1) * area_bytes(d) < d->size ? (area + 1) * area_bytes(d) : d->size);
	*start = d->start + d->initial + area * stride;
	*len = d->run;
	return true;
}

void integrity_dev_info(const struct integrity_dev *d, struct json *to)
{
	uint64_t set = 0;

	js_str(to, "mode",
	       d->flags & INTEGRITY_INLINE	   ? "inline"
	       : d->flags & INTEGRITY_DIRTY_BITMAP ? "bitmap"
						   : "journal");
	js_u64(to, "version", d->version);
	js_u64(to, "tag_size", d->tag_size);
	js_u64(to, "block_size", d->block);
	if (is_apart(d))
		js_bool(to, "data_apart", true);
	else
		js_u64(to, "interleave_sectors", 1ull << d->log2_interleave);
	if (d->flags & INTEGRITY_HAVE_JOURNAL_MAC)
		js_bool(to, "journal_mac", true);
	if (integrity_crypt_name(d))
		js_str(to, "journal_encryption", integrity_crypt_name(d));
	js_u64(to, "journal_bytes", d->initial - INTEGRITY_SB);
	js_u64(to, "journal_blocks_to_replay", d->n_replay);
	for (uint64_t i = 0; d->bitmap && i < d->bitmap_bits; i++)
		set += d->bitmap[i / 8] >> i % 8 & 1;
	if (d->bitmap)
		js_strf(to, "dirty", "%" PRIu64 " of %" PRIu64 " regions", set, d->bitmap_bits);
	if (d->flags & INTEGRITY_RECALCULATING)
		js_u64(to, "recalculated_to", d->recalc_sector * SECTOR);
}
