/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The case folder: what one run leaves behind. A case is evidence about evidence, so an earlier
 * one is never overwritten, and a file stands under its name only once it is complete.
 */
#ifndef VDISKCK_CASE_H
#define VDISKCK_CASE_H

#include <stdio.h>

#include "vdiskck/core/session.h"

struct case_dir;
struct case_file;

/*
 * case_create() - make the folder @path (its parent must exist), or take an empty one
 * run.log is opened in it: a second run into the same folder is refused.
 * Returns 0, or -errno after session_err(): -ENOTEMPTY when anything lies in it.
 */
int case_create(struct session *s, const char *path, struct case_dir **c);
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

/*
 * case_manifest() - MANIFEST.sha256 over everything in the case: the last thing to be done with it
 * In the form of sha256sum(1), by name. Returns 0, or -errno after session_err().
 */
int case_manifest(struct case_dir *c);

/* case_log() - one line into run.log, with the time; never fails, as it only tells of the run */
void case_log(struct case_dir *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
