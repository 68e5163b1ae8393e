/* SPDX-License-Identifier: Apache-2.0 */
/* A small text file of a file system, as a string. */
#ifndef VDISKCK_RECOVER_SMALL_FILE_H
#define VDISKCK_RECOVER_SMALL_FILE_H

struct layer;

enum { SMALL_FILE = 1 << 20 };

/*
 * small_file() - all of the file at @path, NUL-terminated; free() it
 * NULL: it is not there, it is larger than SMALL_FILE, not all of it can be read, or (*@err is then
 * -ENOMEM, else not touched) there is no memory.
 */
char *small_file(struct layer *fs, const char *path, int *err);

#endif
