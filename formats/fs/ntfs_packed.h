/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed files of NTFS as layers: LZNT1 units, and CompactOS streams. */
#ifndef VDISKCK_FORMATS_FS_NTFS_PACKED_H
#define VDISKCK_FORMATS_FS_NTFS_PACKED_H

#include "formats/fs/runs.h"
#include "formats/fs/wof.h"
#include "vdiskck/core/layer.h"

/* Windows: 16 clusters of at most 4096 bytes. */
#define NTFS_UNIT_MIN 512u
#define NTFS_UNIT_MAX (1u << 20)

/* A non-resident attribute with a compression unit. */
struct ntfs_lznt1 {
	uint64_t size, valid; /* of the attribute, and its initialised part */
	uint64_t allocated;   /* bytes that its VCNs span, holes included; may be below @size */
	uint32_t unit;	      /* bytes: a power of two, NTFS_UNIT_MIN..NTFS_UNIT_MAX */
	struct fs_runs runs;  /* of the VCNs; what is between them is a hole. Taken over. */
};

/* ntfs_lznt1_new() - the layer of such an attribute. 0, -EINVAL: @unit; -ENOMEM */
int ntfs_lznt1_new(struct layer *fs, const char *path, struct ntfs_lznt1 *a, struct layer **file);

/*
 * ntfs_wof_new() - the layer of a file that CompactOS has compressed
 * @size:   of the file, as its unnamed stream says
 * @packed: its WofCompressedData stream, taken over and freed whatever is returned
 * 0 or -ENOMEM
 */
int ntfs_wof_new(struct layer *fs, const char *path, uint64_t size, enum wof_format format,
		 struct layer *packed, struct layer **file);

#endif
