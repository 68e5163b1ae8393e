/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The case folder: what one run leaves behind. A case is evidence about evidence, so an earlier
 * one is never overwritten, and a file stands under its name only once it is complete.
 *
 * While a run is at work, and behind one that did not get to its end, the file INCOMPLETE says so.
 * It names the image, and everything that the run has made: only that is removed when the same
 * command starts over. What somebody else put there is never touched.
 */
#ifndef VDISKCK_CASE_H
#define VDISKCK_CASE_H

#include <stdint.h>
#include <stdio.h>

#include "vdiskck/core/session.h"

struct case_dir;
struct case_file;

/*
 * case_create() - make the folder @path (its parent must exist), take an empty one, or start over
 * @image: as the user named it; an incomplete case of another one is refused
 * run.log and INCOMPLETE are made in it. Returns 0, or -errno after session_err(): -ENOTEMPTY when
 * anything lies there that is not of an incomplete case, -EBUSY when another run is at work there.
 */
int case_create(struct session *s, const char *path, const char *image, struct case_dir **c);
/* case_done() - nothing is left to be done: the case is complete. 0 or -errno, said. */
int case_done(struct case_dir *c);
/* case_close() - close run.log; @c may be NULL */
void case_close(struct case_dir *c);

/* case_abandon() - the run did not get as far as a case: leave no folder that was not there */
void case_abandon(struct case_dir *c);

/*
 * case_file() - begin the file @name, under a hidden name beside its own
 * Returns NULL after session_err(). case_commit() or case_drop() ends it, before case_close().
 */
struct case_file *case_file(struct case_dir *c, const char *name);
FILE *case_stream(struct case_file *f);
/*
 * case_commit() - the file is complete: write it out and give it its name
 * Returns 0, or -errno after session_err() (-ENOSPC ...): the file is then removed.
 */
int case_commit(struct case_file *f);
/* case_drop() - remove what was begun; @f may be NULL */
void case_drop(struct case_file *f);

/* case_path() - "CASE/NAME", to be freed; NULL: no memory */
char *case_path(const struct case_dir *c, const char *name);
/*
 * case_made() - the file or folder @path (below the case) is about to be made
 * Said before it is, for all but what case_file() makes. From any thread; never fails.
 */
void case_made(struct case_dir *c, const char *path);
/* case_tree_made() - the same for an out_tree's making(); @tree: struct case_tree */
struct case_tree {
	struct case_dir *c;
	const char *name; /* of the folder in the case */
};
void case_tree_made(void *tree, const char *path);

/*
 * The manifest: MANIFEST.sha256 over everything in the case, in the form of sha256sum(1).
 * case_manifest_tree() - hash the folder @name, once it is complete; @fn (may be NULL) sees each
 * case_manifest() - all the rest: the last thing to be done with the case
 * Both return 0, or -errno after session_err().
 */
int case_manifest_tree(struct case_dir *c, const char *name,
		       void (*fn)(void *arg, const char *path, uint64_t size, const char *sha256),
		       void *arg);
int case_manifest(struct case_dir *c);

/* case_log() - one line into run.log, with the time; never fails, as it only tells of the run */
void case_log(struct case_dir *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
