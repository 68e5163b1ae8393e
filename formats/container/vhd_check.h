/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of VHD's check share. */
#ifndef VDISKCK_FORMATS_CONTAINER_VHD_CHECK_H
#define VDISKCK_FORMATS_CONTAINER_VHD_CHECK_H

#include "formats/container/vhd.h"

enum {
	VHD_PIECE = 1 << 16,	    /* bytes that are read at once, on the stack */
	VHD_CHUNK = VHD_SECTOR * 8, /* disk sectors that a sector of bitmap counts */
	VHD_AREAS = 5 + VHD_LOCATORS,
};

/* Header, tables, locators: what owns the file besides blocks. */
struct vhd_area {
	uint64_t at, len;
	const char *what;
};

/* Faults of one kind, block after block: neighbours become one finding. */
struct vhd_report {
	struct layer *l;
	enum finding_id id;
	const char *what;
	bool lost, doubtful, at_bitmap;
	uint32_t first, n; /* the run so far */
	unsigned reports;
	uint64_t more; /* blocks that were not reported one by one */
	uint32_t more_first;
};

/* vhd_report_block() - @block has the fault; blocks come in ascending order */
void vhd_report_block(struct vhd_report *s, uint32_t block);
/* vhd_report_end() - report the last run, and how many were too many to report */
void vhd_report_end(struct vhd_report *s);

/* vhd_areas() - fill @area by place; returns how many there are */
size_t vhd_areas(const struct layer *l, struct vhd_area area[VHD_AREAS]);
/* vhd_any_data() - set *any if [at, at + len) of the file, up to the footer, is not all zeros */
int vhd_any_data(struct layer *l, uint64_t at, uint64_t len, bool *any);

int vhd_check_places(struct layer *l);	/* where blocks lie */
int vhd_check_bitmaps(struct layer *l); /* batmap and sector bitmaps */
int vhd_check_space(struct layer *l);	/* what nothing owns */

#endif
