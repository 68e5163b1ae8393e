/* SPDX-License-Identifier: Apache-2.0 */
/* What is known beforehand about findings: which have a cause, and what their checksums cover. */
#ifndef VDISKCK_CAUSES_SUMS_H
#define VDISKCK_CAUSES_SUMS_H

#include "recover/cause_bit.h"
#include "vdiskck/causes.h"

struct cause_hint {
	enum finding_id id;
	enum cause_kind kind;
	enum cause_side side;
	enum cause_sure sure;
	const char *text;	/* what the finding itself says; NULL: nothing */
	bool dense;		/* no whole sector of such a structure is ever of one value */
	bool ciphertext;	/* the bytes stand where ciphertext must be */
	enum finding_id orphan; /* what an entry of a table may have named; or 0 */
	unsigned shift;		/* from bytes to what the entry counts */
	uint64_t mask;		/* the bits of the entry that are an address */
};

/* causes_looks_at() - is there anything to be said of such a finding? */
bool causes_looks_at(enum finding_id id);
const struct cause_hint *causes_hint(enum finding_id id);
/* causes_sum() - the checksum that @e says is wrong, which covers bytes of @l; false: not known */
bool causes_sum(const struct entry *e, struct layer *l, struct cause_sum *s);
/*
 * causes_cut_off() - do the entries of @e's kind name just what would follow the end of the file?
 * @size: of the file; @missing: bytes from its end to the last one's.
 */
bool causes_cut_off(const struct collect *f, const struct entry *e, const struct cause_hint *hint,
		    uint64_t size, uint64_t *missing);
/* causes_one_bit_of_pe() - is a PE checksum off by what one bit of the file makes? @in_sum: its own */
bool causes_one_bit_of_pe(const struct entry *e, bool *in_sum);
/* causes_writes_older() - the torn part of an NTFS record is so many writes older than the rest; or 0 */
unsigned causes_writes_older(const struct entry *e, struct layer *l);
/* causes_copy_bit() - the only bit in which a copy differs from the one that is used; false: not one */
bool causes_copy_bit(const struct entry *e, struct layer *l, uint64_t *off, unsigned *bit);

#endif
