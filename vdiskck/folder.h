/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_FOLDER_H
#define VDISKCK_FOLDER_H

#include <stddef.h>
#include <sys/types.h>

/* folder_of() - the folder that the file @path lies in; to be freed; NULL: no memory */
char *folder_of(const char *path);
/* folder_sync() - a new name is safe only once the folder that holds it is written, too. 0, -errno */
int folder_sync(const char *path);
/*
 * file_replace() - @path has these bytes from now on, or what it had: written beside it (.new), synced,
 * renamed. 0 or -errno. @lock: NULL, or a lock on @path, which moves to the new file.
 */
int file_replace(const char *path, const void *bytes, size_t len, mode_t mode, int *lock);

#endif
