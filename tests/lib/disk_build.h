/* SPDX-License-Identifier: Apache-2.0 */
/* Small partitioned disks in memory, and what it takes to damage them believably. */
#ifndef VDISKCK_TESTS_DISK_BUILD_H
#define VDISKCK_TESTS_DISK_BUILD_H

#include "tests/lib/image.h"

/* One partition, in sectors. */
struct slot {
	uint64_t start, sectors;
	uint8_t type; /* MBR only */
};

/* disk_mbr_entry() - entry @i of the table in the sector at byte @at */
void disk_mbr_entry(struct image *img, uint64_t at, int i, uint8_t type, uint32_t start,
		    uint32_t sectors);
/* disk_mbr() - an MBR with up to four primary partitions */
void disk_mbr(struct image *img, const struct slot *slots, int n);
/* disk_ebr() - an EBR at LBA @lba: partition at +@start; link to @next (relative), 0: the last */
void disk_ebr(struct image *img, uint32_t sector, uint32_t lba, uint32_t start, uint32_t sectors,
	      uint32_t next, uint32_t next_sectors);
/* disk_gpt() - protective MBR, both headers, both arrays of 128 entries */
void disk_gpt(struct image *img, uint32_t sector, const struct slot *slots, int n);
/* disk_gpt_seal() - make both checksums of the header at byte @at right again */
void disk_gpt_seal(struct image *img, uint32_t sector, uint64_t at);
/* disk_ntfs() - a boot sector at @at with an MFT behind it; @sectors without the backup */
void disk_ntfs(struct image *img, uint64_t at, uint64_t sectors, bool backup);
/* disk_xfs() - a superblock of a file system of @blocks blocks of 4 KiB */
void disk_xfs(struct image *img, uint64_t at, uint32_t blocks);
void disk_fat16(struct image *img, uint64_t at, uint16_t sectors);

/* disk_tool() - run a partitioning tool on the image's bytes; false: it is not installed */
bool disk_tool(struct image *img, const char *command);

#endif
