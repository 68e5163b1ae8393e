/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux md arrays. Source: the kernel's include/uapi/linux/raid/md_p.h (both superblocks),
 * Documentation/admin-guide/md.rst, and what mdadm --examine says of the same bytes.
 */
#ifndef VDISKCK_FORMATS_PART_MD_H
#define VDISKCK_FORMATS_PART_MD_H

#include "formats/part/members.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/layer.h"

enum {
	MD_DISKS_MAX = 384, /* of a superblock 1.x */
	MD_SECTOR = 512,
	MD_LINEAR = -1,
};

/* Layouts of levels 5 and 6, as the kernel numbers them. */
enum md_layout {
	MD_LEFT_ASYMMETRIC,
	MD_RIGHT_ASYMMETRIC,
	MD_LEFT_SYMMETRIC,
	MD_RIGHT_SYMMETRIC,
	MD_PARITY_0,
	MD_PARITY_N,
	MD_ZERO_RESTART = 8, /* level 6 only, as are the others */
	MD_N_RESTART,
	MD_N_CONTINUE,
	MD_SIX = 16, /* the same as below, and Q on the last disk */
};

/* What a superblock says, of either version. */
struct md_super {
	uint64_t at; /* of the superblock in the member */
	uint32_t at_len;
	unsigned minor; /* of version 1; 90: the old one */
	bool sum_ok;
	uint8_t uuid[16];
	char name[33];
	int level;
	uint32_t layout, disks;
	uint64_t chunk;		 /* bytes */
	uint64_t size;		 /* bytes of each member that are used; linear, raid0: may be 0 */
	uint64_t data, data_len; /* bytes: where they are in this member */
	uint64_t events;
	uint32_t role; /* slot in the array; UINT32_MAX: a spare, or failed */
	bool clean, reshape, recovering;
	uint64_t recovered; /* bytes of this member that are right, while it recovers */
};

/* md_super_read() - silent; false: there is none. With several, the one whose checksum holds. */
bool md_super_read(struct layer *below, struct md_super *s);

struct md_member {
	struct layer *on; /* NULL: it was not found */
	struct md_super s;
	bool stale;
};

struct md {
	struct layer *l;
	struct md_super s;	  /* of the member at hand */
	struct md_member *member; /* by role */
	uint32_t disks;
	uint64_t size, column; /* bytes: of the array, and of each member */
	struct members others;
	bool elsewhere;
	unsigned parities;
};

/* Where byte @off of the array is. */
struct md_place {
	uint32_t disk;	 /* role */
	uint64_t at;	 /* in that member's data */
	uint64_t len;	 /* how far that goes on */
	uint32_t p, q;	 /* roles of the parities of this stripe; UINT32_MAX: none */
	uint32_t copies; /* of the data, on the disks that follow (raid1, raid10) */
};

/* md_size() - bytes of the array; 0: a level or layout that is not known */
uint64_t md_size(const struct md *a);
/* md_place() - copy @k of the data: md_copies() there are */
void md_place(const struct md *a, uint64_t off, uint32_t k, struct md_place *p);
uint32_t md_copies(const struct md *a);
/* md_rebuild() - bytes of disk @disk at @at from all others; lost parts go to @bad, from @off on */
int md_rebuild(const struct md *a, const struct md_place *p, uint8_t *buf, size_t len, uint64_t off,
	       struct ranges *bad);
/* md_read_member() - bytes of a member's data */
int md_read_member(const struct md *a, uint32_t disk, uint64_t at, uint8_t *buf, size_t len,
		   uint64_t off, struct ranges *bad);
static inline bool md_usable(const struct md *a, uint32_t disk, uint64_t at)
{
	const struct md_member *m = &a->member[disk];

	return m->on && !m->stale && (!m->s.recovering || at < m->s.recovered);
}

/*
 * md_map(), md_read() - the array's bytes, below a->size; what the members can't make up for is lost
 * with MD_MEMBER_MISSING
 */
int md_map(const struct md *a, uint64_t off, struct extent *run);
int md_read(const struct md *a, uint64_t off, void *buf, size_t len, struct ranges *bad);

int md_check_data(struct layer *l);

#endif
