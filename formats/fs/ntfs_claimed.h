/* SPDX-License-Identifier: Apache-2.0 */
/* NTFS: every cluster that a record claims, as a bitmap. */
#ifndef VDISKCK_FORMATS_FS_NTFS_CLAIMED_H
#define VDISKCK_FORMATS_FS_NTFS_CLAIMED_H

#include "formats/fs/ntfs.h"

struct ntfs_claimed {
	const struct ntfs *n;
	uint64_t *bits;	      /* one for each cluster */
	pthread_mutex_t lock; /* of @twice */
	struct ranges twice;  /* bytes of the volume that two runs claim, NTFS_TWICE_MAX at most */
	uint64_t clusters_twice;
};

enum { NTFS_TWICE_MAX = 4096 };

/* ntfs_claimed_init() - -ENOMEM, -EFBIG: too many clusters for a bitmap */
int ntfs_claimed_init(struct ntfs_claimed *c, const struct ntfs *n);
void ntfs_claimed_free(struct ntfs_claimed *c);
/* ntfs_claimed_add() - the run [@lcn, @lcn + @count), inside the volume; from any thread */
int ntfs_claimed_add(struct ntfs_claimed *c, uint64_t lcn, uint64_t count);
/* ntfs_claimed_record() - all runs of a record in use; from any thread */
int ntfs_claimed_record(struct ntfs_claimed *c, const struct ntfs_record *r);
/* ntfs_claimed_places() - what the driver itself says: $MFT, $MFTMirr. After all records. */
void ntfs_claimed_places(struct ntfs_claimed *c);
static inline bool ntfs_claimed_has(const struct ntfs_claimed *c, uint64_t lcn)
{
	return c->bits[lcn / 64] >> (lcn % 64) & 1;
}

#endif
