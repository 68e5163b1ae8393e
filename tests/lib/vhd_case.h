/* SPDX-License-Identifier: Apache-2.0 */
/* The VHDs that the tests of its check begin with, and what they ask of them. */
#ifndef VDISKCK_TESTS_VHD_CASE_H
#define VDISKCK_TESTS_VHD_CASE_H

#include "tests/lib/vhd_build.h"

enum {
	VHD_CASE_BLOCK = 32768, /* bytes of a block's data; there are eight */
	VHD_CASE_HEADER = 512,	/* where the dynamic header is, */
	VHD_CASE_BAT = 1536,	/* and the table */
};

/* Three of eight blocks, the middle one first in the file; as XenServer has it; with a parent. */
extern const struct vhd_spec vhd_plain, vhd_xen, vhd_child;

/* vhd_checked() - open and check, which must go */
void vhd_checked(struct image *img);
void vhd_assert_filled(struct image *img, uint64_t off, size_t len, uint8_t byte);
/* vhd_assert_contents() - everything that vhd_plain and its like hold, at its place */
void vhd_assert_contents(struct image *img);
/* vhd_assert_costs() - the first finding of @id says that it costs these bytes of the disk */
void vhd_assert_costs(struct image *img, enum finding_id id, uint64_t off, uint64_t len);

#endif
