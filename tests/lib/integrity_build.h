/* SPDX-License-Identifier: Apache-2.0 */
/* A dm-integrity device in memory, as the kernel leaves one; see crypto/integrity.h. */
#ifndef VDISKCK_TESTS_INTEGRITY_BUILD_H
#define VDISKCK_TESTS_INTEGRITY_BUILD_H

#include "crypto/integrity.h"
#include "tests/lib/image.h"

struct integrity_spec {
	unsigned hash;			      /* as integrity_hash_open() counts them */
	const char *key;		      /* of an HMAC, or NULL */
	unsigned log2_block, log2_interleave; /* sectors */
	size_t tag;
	uint32_t sections;
	uint64_t sectors;
	unsigned flags;
};

struct integrity_image {
	struct image *img;
	struct integrity_spec s;
	uint32_t block, entry, entries, section; /* section: sectors */
	uint64_t initial, run;
	struct integrity_hash *h;
};

/* integrity_build() - every block holds its number, every tag fits, the journal is empty */
struct integrity_image integrity_build(const struct integrity_spec *s);
void integrity_build_free(struct integrity_image *b);
uint64_t integrity_build_data(const struct integrity_image *b, uint64_t block);
uint64_t integrity_build_tag(const struct integrity_image *b, uint64_t block);
/* integrity_build_retag() - the tag of what is there now */
void integrity_build_retag(struct integrity_image *b, uint64_t block);
/* integrity_build_commit() - every sector of @section gets commit id @seq, 0..3 */
void integrity_build_commit(struct integrity_image *b, uint32_t section, unsigned seq);
/* integrity_build_journal() - block @number, full of @value, becomes an entry; commit follows */
void integrity_build_journal(struct integrity_image *b, uint32_t section, uint32_t entry,
			     uint64_t number, uint8_t value);
uint64_t integrity_build_entry(const struct integrity_image *b, uint32_t section, uint32_t entry);
uint64_t integrity_build_entry_data(const struct integrity_image *b, uint32_t section,
				    uint32_t entry);

#endif
