/* SPDX-License-Identifier: Apache-2.0 */
/* A small journal with keyed hashes, put together object by object: three entries, five fields. */
#ifndef VDISKCK_TESTS_JOURNAL_BUILD_H
#define VDISKCK_TESTS_JOURNAL_BUILD_H

#include "tests/lib/image.h"

struct journal_build {
	struct image *img; /* 8 KiB */
	bool compact;
	uint64_t end, entries, objects, array;
	uint64_t at[32], len[32]; /* of the entries */
	uint64_t data[8];	  /* of the fields: journal_build_text[] */
};

extern const char *const journal_build_text[5];
struct journal_build journal_build(bool compact);

#endif
