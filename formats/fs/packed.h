/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compressed file as a layer: units of one size, each stored as it is, packed, or as a hole. What
 * is stored is read through a layer of its own. Lost packed bytes cost no more than their unit.
 */
#ifndef VDISKCK_FORMATS_FS_PACKED_H
#define VDISKCK_FORMATS_FS_PACKED_H

#include "vdiskck/core/layer.h"

enum packed_kind { PACKED_RAW, PACKED_UNIT, PACKED_ZERO, PACKED_LOST };

struct packed_unit {
	enum packed_kind kind;
	enum finding_id why; /* LOST */
	uint64_t at,
		len; /* RAW, UNIT: in the stored layer; UNIT: @len is at most the unit's size */
};

struct packed_ops {
	const char *name;
	/* Where unit @n is. 0, or -errno for what stops the program. */
	int (*unit)(void *arg, struct layer *stored, uint64_t n, struct packed_unit *u);
	/*
	 * Unpack @in_len bytes into @out_len; what can't be had is zeroed and added to @bad. Both
	 * lists count from their buffers; @in_bad is sorted. 0 or -ENOMEM.
	 */
	int (*unpack)(void *arg, const void *in, size_t in_len, const struct ranges *in_bad,
		      void *out, size_t out_len, struct ranges *bad);
	void (*free)(void *arg);
};

struct packed_new {
	const struct packed_ops *ops;
	void *arg;
	uint64_t size;	      /* of the file */
	uint64_t valid;	      /* bytes behind that are zeros, whatever is stored */
	uint32_t unit;	      /* bytes */
	struct layer *stored; /* the bytes as they are stored: no child of another layer */
};

/*
 * packed_file_new() - such a layer on the file system @fs
 * @stored and @arg are taken over, and freed, whatever is returned. 0 or -ENOMEM.
 */
int packed_file_new(struct layer *fs, const char *path, const struct packed_new *how,
		    struct layer **file);

#endif
