/* SPDX-License-Identifier: Apache-2.0 */
/* Sector 0 of a partitioned disk, as MBR and GPT both need to judge it. */
#ifndef VDISKCK_FORMATS_PART_MBR_H
#define VDISKCK_FORMATS_PART_MBR_H

#include "formats/part/part.h"
#include "vdiskck/core/endian.h"

/* UEFI 2.10, table 5-2 */
struct mbr_entry {
	uint8_t status;	      /* 0x00 0x80: active, else 0 */
	uint8_t chs_first[3]; /* 0x01 */
	uint8_t type;	      /* 0x04 0: unused */
	uint8_t chs_last[3];  /* 0x05 */
	le32_t start;	      /* 0x08 LBA; in an EBR relative to it, or to the extended partition */
	le32_t sectors;	      /* 0x0c */
};
_Static_assert(sizeof(struct mbr_entry) == 16, "UEFI 2.10, table 5-2");

/* UEFI 2.10, table 5-1. An EBR has the same shape. */
struct mbr {
	uint8_t code[440];	   /* 0x000 */
	le32_t disk_id;		   /* 0x1b8 */
	le16_t reserved;	   /* 0x1bc */
	struct mbr_entry entry[4]; /* 0x1be */
	uint8_t signature[2];	   /* 0x1fe 55 aa */
};
_Static_assert(sizeof(struct mbr) == 512, "UEFI 2.10, table 5-1");

enum { MBR_ENTRY_AT = 0x1be, MBR_TYPE_GPT = 0xee };

/* What sector 0 says about itself, without looking anywhere else. */
struct mbr_view {
	struct mbr m;
	bool lost;	    /* it could not be read */
	bool magic;	    /* 55 aa */
	unsigned used;	    /* entries with a type and a length, 0xee not counted */
	unsigned plausible; /* of those: status, start and length make sense on this disk */
	bool strict;	    /* all entries make sense: unused ones are all zeros */
	bool shaped;	    /* the same, but perhaps of a larger disk: this one was cut */
	int gpt;	    /* index of the first 0xee entry, -1: none */
};

/* mbr_look() - read and judge; 0, or -errno of what stops the program */
int mbr_look(struct layer *below, struct mbr_view *v);
static inline bool mbr_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}
/* mbr_type() - "NTFS, exFAT or HPFS"; NULL: not known */
const char *mbr_type(uint8_t type);

#endif
