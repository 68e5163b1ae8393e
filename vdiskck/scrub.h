/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer compared with its seal. What differs is read again past the cache, then judged: rot where
 * nobody can have written it, a legitimate write where change tracking says so, else "changed":
 * that is no verdict, and is not passed over either.
 */
#ifndef VDISKCK_SCRUB_H
#define VDISKCK_SCRUB_H

#include "vdiskck/run.h"
#include "vdiskck/seal.h"

/* What was written to since the layer was sealed, by somebody who keeps account. */
struct scrub_track {
	const char *by;	     /* "bitmap scrub0", "changes.map"; NULL: nobody keeps account */
	struct ranges dirty; /* of the layer, sorted */
};

struct scrub {
	struct run *r;
	struct layer *l;
	struct seal *to;
	size_t gen;	   /* compared with this generation (from 0), the newest */
	const char *still; /* why nobody can have written to the layer; NULL: somebody can */
	struct scrub_track track;
	bool accept; /* what changed without an account is the user's own: a write */
	/*
	 * A new generation to be written: what was written to as it is now, the rest, rot too, as it
	 * was sealed. Committed or dropped by scrub_run(). NULL: none.
	 */
	struct seal_writer *renew;
	/* Leaves, by verdict; set by scrub_run(). */
	uint64_t intact, rot, misplaced, changed, dirty, unreadable, transient, unsealed;
};

/*
 * scrub_run() - compare all of it; SCRUB_* findings on s->l. 0, -EINTR, or -errno
 * Memory: what differs, 65536 leaves at most, beyond which nobody looks where a leaf belongs.
 */
int scrub_run(struct scrub *s);

/* scrub_still() - s->still, by the image file: not written to since it was sealed, or a parent */
const char *scrub_still(const struct scrub *s);

/*
 * scrub_track_map() - a map of what changed, ddrescue's form: '+' blocks were written to
 * scrub_track_bitmap() - a persistent dirty bitmap of the qcow2 layer itself; @name NULL: its only one
 * scrub_track_cbt() - a change block log of XenServer (*.cbtlog): 64 KiB blocks
 * 0, or -errno after run_fail(): also when the account does not cover all of the time since.
 */
int scrub_track_map(struct scrub *s, const char *path);
int scrub_track_bitmap(struct scrub *s, const char *name);
int scrub_track_cbt(struct scrub *s, const char *path);

#endif
