/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes VHDs for tests, of every kind and creator: what no tool at hand can make (differencing,
 * batmap, other block sizes, 511-byte footers). See tests/formats/test_vhd.c for real ones.
 */
#ifndef VDISKCK_TESTS_VHD_BUILD_H
#define VDISKCK_TESTS_VHD_BUILD_H

#include "formats/container/vhd.h"
#include "tests/lib/image.h"

struct vhd_write {
	uint64_t off, len; /* bytes of the disk; whole sectors */
	uint8_t byte;	   /* that they are filled with */
};

struct vhd_spec {
	unsigned type;		  /* 0: VHD_DYNAMIC */
	uint64_t size;		  /* of the disk; 0: 8 blocks */
	uint32_t block_size;	  /* 0: 32 KiB, to keep tests small */
	const char *creator;	  /* four characters; NULL: "win " */
	uint32_t creator_version; /* 0: 1.3 for "tap", 6.1 for others */
	uint32_t entries;	  /* of the BAT; 0: as many as the disk needs */
	uint32_t geometry;	  /* 0: VHD_CHS_MAX */
	uint32_t time;		  /* of creation, since 2000 */
	bool short_footer;	  /* 511 bytes */
	bool whole_bitmaps;	  /* a block that is allocated gets all bits, as by qemu */
	bool batmap;
	uint8_t key;		 /* not 0: encrypted; key hash and nonce are of this byte */
	uint8_t id;		 /* the UUID is 16 of this byte; 0: 0x11 */
	uint8_t parent_id;	 /* differencing */
	const char *parent_name; /* in the header */
	uint32_t parent_time;
	const char *w2ru, *w2ku, *macx; /* locators; NULL: none */
	struct vhd_write write[8];	/* a len of 0 ends it; allocated in this order */
};

struct image *vhd_build(const struct vhd_spec *spec);
/* vhd_block() - where block @n lies in the file; 0: nowhere */
uint64_t vhd_block(const struct image *img, uint32_t n);
/* vhd_bat() - set BAT entry @n to byte @at of the file, or to unused with VHD_NO_OFFSET */
void vhd_bat(struct image *img, uint32_t n, uint64_t at);
uint64_t vhd_end(const struct image *img); /* where the footer at the end starts */
/* vhd_sums() - make all checksums right again: both footers, header, batmap */
void vhd_sums(struct image *img);

#endif
