/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer compared with its seal. What differs is read again past the cache, then judged: rot where
 * nobody can have written it, a legitimate write where change tracking says so, else "changed":
 * that is no verdict, and is not passed over either.
 *
 * Two steps: scrub_compare() reads, and keeps what it met in the struct, so that it can be stopped
 * at any leaf, saved (scrub_state.h), and gone on with, here or by several machines; scrub_judge()
 * says what that means.
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

/* A leaf that is not what was sealed. */
struct scrub_leaf {
	uint64_t index;
	uint64_t from; /* set by scrub_judge(): where its content was sealed; UINT64_MAX: nowhere */
	struct seal_leaf is;
	uint16_t sectors; /* a bit for each that differs */
	uint16_t
		written; /* set by scrub_judge(): which of them somebody is known to have written */
	uint64_t since;	 /* the first generation (from 0) that has it as it was sealed */
	int64_t good;	 /* when it was last known to be so: seconds since 1970 */
	/*
	 * Set by scrub_evidence(), where nobody kept account: bits of @sectors which the volume says
	 * were written to; which are of files that say nobody wrote to them; which no file uses.
	 */
	uint16_t written_to, suspect, unused;
	/* The file that it belongs to: one that is suspected, else the one written to last; or NULL. */
	char *path;
	bool suspected;
	int64_t when;	 /* when that says that it was last written to */
	int64_t journal; /* since when a journal of writes has no record of it; 0: there is none */
};

/* Leaves [first, first + n) that had another fate. */
struct scrub_span {
	uint64_t first, n;
};
struct scrub_spans {
	struct scrub_span *v;
	size_t n, cap;
	uint64_t beyond; /* leaves that SCRUB_KEPT left no room for */
};

/* A leaf that was found to differ by the last run that read all, and when it last did not. */
struct scrub_known {
	uint64_t index;
	int64_t good;
};

enum { SCRUB_KEPT = 65536 }; /* of differing leaves, and of spans */

struct scrub {
	struct run *r;
	struct layer *l;
	struct seal *to;
	const char *path;  /* of the seal */
	size_t gen;	   /* compared with this generation (from 0), the newest */
	const char *still; /* why nobody can have written to the layer; NULL: somebody can */
	struct scrub_track track;
	bool accept; /* what changed without an account is the user's own: a write */
	/*
	 * A new generation to be written: what was written to as it is now, the rest, rot too, as it
	 * was sealed. Committed or dropped by scrub_renew(). NULL: none.
	 */
	struct seal_writer *renew;
	int64_t made; /* the time of that generation; 0: now */

	uint64_t first, end, next; /* leaves to compare; all before @next were */
	/* What comparing met. */
	uint64_t intact, unsealed; /* leaves */
	struct scrub_leaf *v;	   /* those that differ, by index */
	size_t n, cap;
	uint64_t beyond; /* that SCRUB_KEPT left no room for */
	struct scrub_spans lost, once;
	struct ranges bad; /* lost and doubtful bytes of the layer, for checkup() */
	uint64_t read;	   /* bytes of leaves that hold data, in this run of the program */

	int64_t verified;	   /* when the last run that read all of it began; 0: never */
	struct scrub_known *known; /* what it found, by index */
	size_t n_known;

	/* Asked after each leaf; may save. 0, or -errno to stop. May be NULL. */
	int (*on_leaf)(struct scrub *s);
	void *arg;

	/* Leaves, by verdict; set by scrub_judge(). */
	uint64_t rot, misplaced, changed, suspect, explained, dirty, unreadable, transient;
};

/* scrub_init() - compare all of @l with the newest generation of @to */
void scrub_init(struct scrub *s, struct run *r, struct layer *l, struct seal *to);
/* scrub_free() - all that comparing allocated; @renew is dropped, @to is not ours */
void scrub_free(struct scrub *s);

/*
 * scrub_compare() - go on from @next. 0, -EINTR, or -errno; what was met until then stays
 * Memory: what differs, SCRUB_KEPT leaves at most, beyond which nobody looks where one belongs.
 */
int scrub_compare(struct scrub *s);
/*
 * scrub_evidence() - before that: whose the changed sectors are, and whether those were written to,
 * by the file systems on the layer; nothing where there is an account. 0 or -errno.
 */
int scrub_evidence(struct scrub *s);
/* scrub_judge() - SCRUB_* findings on s->l, and counts */
int scrub_judge(struct scrub *s);
/* scrub_renew() - after that: the new generation, if one is wanted and all was compared */
int scrub_renew(struct scrub *s);

/* scrub_still() - s->still, by the image file: not written to since it was sealed, or a parent */
const char *scrub_still(const struct scrub *s);
/* scrub_good() - when a leaf that is like this since generation @since was last known to be so */
int64_t scrub_good(const struct scrub *s, uint64_t index, uint64_t since);
/* scrub_leaf_len() - SEAL_LEAF, or less for the last one */
size_t scrub_leaf_len(const struct layer *l, uint64_t index);
/*
 * scrub_sealed() - what generation @gen has for a leaf, as a record, be it data or zeros
 * @since: the generation that put it there. 0, or -errno: it is not known
 */
int scrub_sealed(const struct scrub *s, size_t gen, uint64_t index, struct seal_leaf *leaf,
		 size_t *since);
/* scrub_spans_add() - one more span, by index. 0 or -ENOMEM */
int scrub_spans_add(struct scrub_spans *to, uint64_t first, uint64_t n);

/*
 * scrub_track_map() - a map of what changed, ddrescue's form: '+' blocks were written to; or what
 *	`xe vdi-list-changed-blocks` printed
 * scrub_track_bitmap() - a persistent dirty bitmap of the qcow2 layer itself, or one that the server
 *	of an NBD export shows
 * scrub_track_cbt() - a change block log of XenServer (*.cbtlog): 64 KiB blocks
 * 0, or -errno after run_fail(): also when the account does not cover all of the time since.
 */
int scrub_track_map(struct scrub *s, const char *path);
int scrub_track_bitmap(struct scrub *s, const char *name);
int scrub_track_cbt(struct scrub *s, const char *path);

#endif
