/* SPDX-License-Identifier: Apache-2.0 */
/* Each bad range of the disk with its address in every layer and the files that it belongs to. */
#ifndef VDISKCK_DAMAGE_MAP_H
#define VDISKCK_DAMAGE_MAP_H

#include "recover/impact.h"
#include "vdiskck/collect.h"

enum { DAMAGE_SHOWN = 200, DAMAGE_FILES = 8 };

struct damage_item {
	uint64_t off, len; /* of the disk */
	enum finding_id why;
	const char *state;   /* "lost", "doubtful", "damage", "blemish" */
	struct place *where; /* from the image file up, as far as it is known */
	size_t n_where;
	struct damage_file {
		char *name;   /* "LAYER:/path", "LAYER: $MFT record 5"; free space has none */
		uint64_t off; /* in the file; UINT64_MAX: not known, or a structure */
	} file[DAMAGE_FILES];
	size_t n_files;
	uint64_t more; /* pieces of files beyond these */
	bool free;     /* some of it is used by no file */
};

struct damage_map {
	struct damage_item
		*v; /* the first DAMAGE_SHOWN bad ranges, then what findings add to them */
	size_t n;
	size_t n_bad; /* of them bad ranges of the disk */
};

/*
 * damage_map() - @bad: what is lost or doubtful of @disk, flat; @hit: the same, carried up
 * @found: sorted; what it says of layers above the disk, and is not in @bad, is added. One pass over
 * the metadata of each file system that is hit. 0, -EINTR, -ENOMEM; damage_map_free().
 */
int damage_map(struct damage_map *d, struct layer *disk, const struct ranges *bad,
	       const struct impact *hit, const struct collect *found);
void damage_map_free(struct damage_map *d);

#endif
