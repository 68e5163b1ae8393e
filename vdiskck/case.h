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

/*
 * case_create() - make the folder @path (its parent must exist), or take an empty one
 * run.log is opened in it: a second run into the same folder is refused.
 * Returns 0, or -errno after session_err(): -ENOTEMPTY when anything lies in it.
 */
int case_create(struct session *s, const char *path, struct case_dir **c);
/* case_close() - close run.log; what was not committed is gone. @c may be NULL. */
void case_close(struct case_dir *c);

/*
 * case_file() - begin the file @name; NULL after session_err()
 * One file at a time. It is written to a hidden name beside its own.
 */
FILE *case_file(struct case_dir *c, const char *name);
/*
 * case_commit() - the file that case_file() began is complete: flush it, give it its name
 * Returns 0, or -errno after session_err() (-ENOSPC ...): the file is then removed.
 */
int case_commit(struct case_dir *c);
/* case_drop() - remove the file that case_file() began */
void case_drop(struct case_dir *c);

/* case_log() - one line into run.log, with the time; never fails, as it only tells of the run */
void case_log(struct case_dir *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
