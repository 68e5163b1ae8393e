/* SPDX-License-Identifier: Apache-2.0 */
/* One address in every layer: from bytes of any layer down to the image file, and up to what they are. */
#ifndef VDISKCK_RECOVER_LOCATE_H
#define VDISKCK_RECOVER_LOCATE_H

#include "formats/fs/fs.h"

/* Bytes that lie together in every layer, and are one thing. */
struct location {
	struct where w[WHERE_MAX]; /* from the image file up; no source at 0 if nothing is stored */
	size_t n;
	enum extent_kind kind; /* DATA; ZERO, LOST: as the lowest layer in @w says */
	enum finding_id why;   /* LOST */
	bool packed;	       /* stored compressed: lengths differ below that layer */
	enum owner owner;
	struct layer *by;     /* FILE, STRUCTURE: whose; @start counts in the layer below it */
	char structure[160];  /* its name */
	uint64_t start, size; /* its bounds */
	/* FILE: it, as its file system tells it; STRUCTURE: the file it describes, or NULL. */
	const struct fs_entry *file; /* lives until the callback returns */
	uint64_t file_off;	     /* FILE: of the first byte */
	struct range seed;	     /* what was hit: its grade and reason */
};

/*
 * locate_down() - byte @off of @l in every layer below, as far as @len bytes lie together
 * Fills all of @loc but the owner. Returns 0 or -errno of a map.
 */
int locate_down(struct layer *l, uint64_t off, uint64_t len, struct location *loc);

/*
 * locate_all() - whatever rests on the ranges @r of layer @l
 * Everything that stands on @l is asked, snapshots too: one byte may be found at several places.
 * @fn is called for each, a non-zero result ends the search and is returned; else 0 or -errno.
 */
int locate_all(struct layer *source, struct layer *l, const struct ranges *r,
	       int (*fn)(void *arg, const struct location *loc), void *arg);

#endif
