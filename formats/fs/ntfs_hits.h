/* SPDX-License-Identifier: Apache-2.0 */
/* NTFS: runs of files that meet ranges of the volume. Not for others. */
#ifndef VDISKCK_FORMATS_FS_NTFS_HITS_H
#define VDISKCK_FORMATS_FS_NTFS_HITS_H

#include "formats/fs/ntfs.h"

/* A run of an attribute that meets what was asked for. */
struct ntfs_hit {
	uint64_t base;		       /* record of the file */
	uint64_t record;	       /* that has the attribute */
	uint32_t attr;		       /* where in the record */
	bool packed;		       /* its unit is compressed */
	uint64_t off, len, stream_off; /* bytes in the volume, and in the attribute */
};

struct ntfs_hits {
	struct ntfs_hit *v;
	size_t n, cap;
};

/* ntfs_hits_find() - in one pass, sorted by file; @h: all zeros, for free(h->v) in any case */
int ntfs_hits_find(struct layer *l, const struct ranges *wanted, struct ntfs_hits *h);

#endif
