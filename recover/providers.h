/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where events of Windows have their words: the providers that a system volume's registry names,
 * and the message tables in their programs on the same volume, and in the .mui files beside those.
 * The registry is read at once, a program when the first event of its provider comes.
 */
#ifndef VDISKCK_RECOVER_PROVIDERS_H
#define VDISKCK_RECOVER_PROVIDERS_H

#include "formats/log/words.h"

enum {
	PROVIDERS_MAX = 1 << 16,
	PROVIDERS_BYTES = 256 << 20, /* of message tables; beyond that, no more files are read */
};

/*
 * providers_open() - the providers of the Windows on file system @fs
 * *@w: NULL if there is none; providers_close(). Returns 0 or -ENOMEM.
 */
int providers_open(struct layer *fs, struct log_words **w);
void providers_close(struct log_words *w);
/* providers_path() - where a program named in the registry lies: "/Windows/System32/x.dll" */
const char *providers_path(const char *named, char *out, size_t cap);

#endif
