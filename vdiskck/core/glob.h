/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns for paths, as a shell has them. */
#ifndef VDISKCK_CORE_GLOB_H
#define VDISKCK_CORE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

enum {
	GLOB_NOCASE = 1 << 0, /* letters match without case, where UTF-8 says what a letter is */
	GLOB_ESCAPE = 1 << 1, /* a backslash takes the meaning from what follows it */
	GLOB_BELOW = 1 << 2,  /* what lies below a match matches, too */
};

/*
 * glob_match() - does @path match @pattern as a whole?
 * '*' and '?' stand for what is no '/', '[a-z]' and '[!a-z]' for one character, "**" for
 * anything; "/" followed by "**" and "/" stands for one slash, too. The time taken is bounded by the
 * product of both lengths and the length of @path.
 */
bool glob_match(const char *pattern, const char *path, unsigned flags);
/* glob_special() - length of the part of @pattern before its first special character */
size_t glob_special(const char *pattern, unsigned flags);
/* glob_fold() - the next character of *@p, in lower case where it has one; *@p moves on */
unsigned glob_fold(const char **p);

#endif
