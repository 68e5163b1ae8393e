/* SPDX-License-Identifier: Apache-2.0 */
/* Causes that a second source tells: another copy of the structure, the number of its last write. */
#include <string.h>

#include "vdiskck/causes_sums.h"
#include "vdiskck/core/endian.h"

enum {
	SECTOR = 512,
	USA = 4,	/* NTFS record: where the update sequence array is */
	OLDER_MAX = 16, /* writes; more is no age, but chance */
};

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
