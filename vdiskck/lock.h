/* SPDX-License-Identifier: Apache-2.0 */
/* One at a time: flock() on a file, which the end of the process gives up however it comes. */
#ifndef VDISKCK_LOCK_H
#define VDISKCK_LOCK_H

#include <stdbool.h>

#include "vdiskck/core/session.h"

/*
 * lock_take() - open @path with @flags and lock it; @shared: others may read along
 * What was renamed or removed meanwhile is opened again: the lock is on what bears the name.
 * Returns a descriptor to keep open, -EWOULDBLOCK: somebody else has it, or other -errno.
 */
int lock_take(const char *path, int flags, bool shared);
/*
 * lock_wait() - the lock of a storage, made if it is not there; waits for who has it, and says so
 * Returns a descriptor, -EINTR when the session is stopped, or other -errno.
 */
int lock_wait(struct session *s, const char *path);

#endif
