/* SPDX-License-Identifier: Apache-2.0 */
/* Causes that a second source tells: another copy of the structure, the number of its last write. */
#include <stdlib.h>
#include <string.h>

#include "vdiskck/causes_sums.h"
#include "vdiskck/core/endian.h"

enum {
	SECTOR = 512,
	USA = 4,	/* NTFS record: where the update sequence array is */
	OLDER_MAX = 16, /* writes; more is no age, but chance */
};

bool causes_cut_off(const struct collect *f, const struct entry *e, const struct cause_hint *hint,
		    uint64_t size, uint64_t *missing)
{
	uint64_t least = UINT64_MAX, end = 0, n = 0;

	for (size_t i = 0; i < f->n; i++) {
		const struct entry *o = &f->v[i];
		uint64_t at;

		if (o->id != e->id || o->layer != e->layer || !o->stored || !o->len)
			continue;
		at = (strtoull(o->stored, NULL, 0) & hint->mask) << hint->shift;
		if (at > UINT64_MAX - o->len)
			return false;
		least = at < least ? at : least;
		end = at + o->len > end ? at + o->len : end;
		n++;
	}
	/* The first follows the end, or begins in what is left of its unit; then there are few gaps. */
	if (!n || least >= size + e->len || end <= size || end - size > 4 * (n + 1) * e->len)
		return false;
	*missing = end - size;
	return true;
}

/*
 * A sum of 16-bit words with the carry added back, and the length of the file: one bit of any word
 * changes it by a power of two, up or down, modulo 0xffff. Of other damage, one in 2,000 does.
 */
bool causes_one_bit_of_pe(const struct entry *e, bool *in_sum)
{
	uint32_t stored, sum, less, d;

	if (e->id != PE_CHECKSUM || !e->stored || !e->expected)
		return false;
	stored = (uint32_t)strtoull(e->stored, NULL, 0);
	sum = (uint32_t)strtoull(e->expected, NULL, 0);
	d = stored ^ sum;
	*in_sum = d > 0xffff && !(d & (d - 1));
	if (*in_sum)
		return true;
	less = stored - (uint32_t)e->at.len;
	sum -= (uint32_t)e->at.len;
	if (less > 0xffff || sum > 0xffff)
		return false;
	d = (less + 0xffff - sum) % 0xffff;
	return d && (!(d & (d - 1)) || !((0xffff - d) & (0xffff - d - 1)));
}

unsigned causes_writes_older(const struct entry *e, struct layer *l)
{
	uint64_t start = e->at.off & ~(uint64_t)(2 * SECTOR - 1);
	uint8_t record[2 * SECTOR];
	le16_t usa, usn, tail;
	unsigned older;

	/* Records of 4 KiB keep their array further ahead: nothing is said of them. */
	if (e->id != NTFS_RECORD_TORN || e->at.len != SECTOR || start == e->at.off ||
	    layer_read(l, start, record, sizeof(record), NULL) || memcmp(record, "FILE", 4))
		return 0;
	memcpy(&usa, record + USA, 2);
	if (le16(usa) > SECTOR - 8)
		return 0;
	memcpy(&usn, record + le16(usa), 2);
	memcpy(&tail, record + sizeof(record) - 2, 2);
	older = (uint16_t)(le16(usn) - le16(tail));
	return older <= OLDER_MAX ? older : 0;
}

bool causes_copy_bit(const struct entry *e, struct layer *l, uint64_t *off, unsigned *bit)
{
	uint8_t copy[SECTOR], other[SECTOR];
	unsigned found = 0;

	if (e->id != VHD_FOOTER_COPY || e->at.off || l->size < 2 * SECTOR ||
	    layer_read(l, 0, copy, SECTOR, NULL) ||
	    layer_read(l, l->size - SECTOR, other, SECTOR, NULL))
		return false;
	for (unsigned i = 0; i < 8 * SECTOR; i++)
		if ((copy[i / 8] ^ other[i / 8]) >> i % 8 & 1) {
			*off = i / 8;
			*bit = i % 8;
			found++;
		}
	return found == 1;
}
