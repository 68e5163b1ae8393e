/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/glob.h"

#include <locale.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <wctype.h>

static locale_t unicode;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* glibc has this locale built in: no file is read. Without it, only ASCII folds. */
static void find_unicode(void)
{
	unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/* One character: a code point, or a byte that is not UTF-8 as it is, above all code points. */
static unsigned character(const char **p)
{
	const uint8_t *s = (const uint8_t *)*p;
	unsigned n = s[0] < 0x80 ? 0 : s[0] >> 5 == 6 ? 1 : s[0] >> 4 == 14 ? 2 : 3, c;

	if (s[0] >= 0x80 && (s[0] < 0xc2 || s[0] > 0xf4))
		goto byte;
	c = n ? s[0] & (0x3fu >> n) : s[0];
	for (unsigned i = 1; i <= n; i++) {
		if (s[i] >> 6 != 2)
			goto byte;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (n > 1 && c < (n == 2 ? 0x800u : 0x10000u))
		goto byte;
	*p += n + 1;
	return c;
byte:
	(*p)++;
	return 0x110000u + s[0];
}

unsigned glob_fold(const char **p)
{
	unsigned c = character(p);

	if (c < 0x80)
		return c >= 'A' && c <= 'Z' ? c + 32 : c;
	pthread_once(&once, find_unicode);
	/* As Windows compares: by upper case, so that "ſ" is not "s" in one direction only. */
	return unicode && c < 0x110000 ? (unsigned)towlower_l(towupper_l(c, unicode), unicode) : c;
}

static unsigned next(const char **p, unsigned flags)
{
	return flags & GLOB_NOCASE ? glob_fold(p) : character(p);
}

/* "[...]" at @set: does it hold the character at *@path? The set's end, or NULL: it has none. */
static const char *in_set(const char *set, unsigned c, unsigned flags, bool *in)
{
	const char *p = set + 1, *first;
	bool negated = *p == '!' || *p == '^';

	*in = false;
	p += negated;
	for (first = p; *p && (*p != ']' || p == first);) {
		unsigned lo = next(&p, flags), hi = lo;

		if (*p == '-' && p[1] && p[1] != ']') {
			p++;
			hi = next(&p, flags);
		}
		*in |= c >= lo && c <= hi;
	}
	if (!*p)
		return NULL;
	*in ^= negated;
	return p + 1;
}

/* One pattern character that is no star against one of the path; both move on if it matches. */
static bool one(const char **pattern, const char **path, unsigned flags)
{
	const char *p = *pattern, *s = *path, *end;
	bool in;
	unsigned c;

	if (!*s)
		return false;
	c = next(&s, flags);
	if (*p == '?' || *p == '[') {
		if (c == '/')
			return false;
		end = *p == '?' ? p + 1 : in_set(p, c, flags, &in);
		if (end) {
			*pattern = end;
			*path = s;
			return *p == '?' || in;
		}
	}
	if (*p == '\\' && flags & GLOB_ESCAPE && p[1])
		p++;
	if (!*p || next(&p, flags) != c)
		return false;
	*pattern = p;
	*path = s;
	return true;
}

/*
 * Where a star may match less or more, less is tried first. Only the last star of each kind can be
 * worth another try: whatever an earlier one could reach, the later one can, too.
 */
bool glob_match(const char *pattern, const char *path, unsigned flags)
{
	const char *star = NULL, *star_at = NULL, *deep = NULL, *deep_at = NULL, *start = path;

	for (;;) {
		if (pattern[0] == '*' && pattern[1] == '*') {
			pattern += 2;
			deep = pattern;
			deep_at = path;
			star = NULL;
			/* Between slashes it may stand for no folder at all. */
			if (*pattern == '/' && path > start && path[-1] == '/')
				pattern++;
			continue;
		}
		if (*pattern == '*') {
			star = ++pattern;
			star_at = path;
			continue;
		}
		if (!*pattern && (!*path || (flags & GLOB_BELOW && *path == '/')))
			return true;
		if (one(&pattern, &path, flags))
			continue;
		if (star && *star_at && *star_at != '/') {
			pattern = star;
			path = ++star_at;
			continue;
		}
		star = NULL;
		if (!deep || !*deep_at)
			return false;
		pattern = deep;
		path = ++deep_at;
	}
}

size_t glob_special(const char *pattern, unsigned flags)
{
	const char *p = pattern;

	while (*p && !strchr("*?[", *p))
		p += *p == '\\' && flags & GLOB_ESCAPE && p[1] ? 2 : 1;
	return (size_t)(p - pattern);
}
