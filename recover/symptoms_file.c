/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that users bring: a file in the form of symptoms.def. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recover/symptoms.h"
#include "recover/symptoms_rules.h"

enum { FILE_MAX = 1 << 20, RULES_MAX = 4096, FIELDS = 5, TEXT_MAX = 120, MEANING_MAX = 300 };

struct reader {
	const char *name;
	char *p, *end;
	unsigned line;
	char *err;
	size_t cap;
};

static int fail(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct reader *r, const char *fmt, ...)
{
	int n = snprintf(r->err, r->cap, "%s:%u: ", r->name, r->line);
	va_list ap;

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < r->cap)
		vsnprintf(r->err + n, r->cap - (size_t)n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int no_memory(struct reader *r)
{
	fail(r, "%s", strerror(ENOMEM));
	return -ENOMEM;
}

/* White space, comments as in C, and lines that begin with '#'. */
static int skip(struct reader *r)
{
	while (r->p < r->end) {
		if (*r->p == '\n') {
			r->line++;
			r->p++;
		} else if (*r->p == ' ' || *r->p == '\t' || *r->p == '\r') {
			r->p++;
		} else if (*r->p == '#' || (r->p[0] == '/' && r->p[1] == '/')) {
			r->p += strcspn(r->p, "\n");
		} else if (r->p[0] == '/' && r->p[1] == '*') {
			char *close = strstr(r->p + 2, "*/");

			if (!close)
				return fail(r, "the comment does not end");
			for (; r->p < close + 2; r->p++)
				r->line += *r->p == '\n';
		} else {
			break;
		}
	}
	return 0;
}

static int want(struct reader *r, char c)
{
	int err = skip(r);

	if (err)
		return err;
	if (r->p == r->end)
		return fail(r, "it ends where '%c' must be", c);
	if (*r->p != c)
		return fail(r, "'%c' must be here", c);
	r->p++;
	return 0;
}

/* A string on one line, read in place: it only gets shorter. */
static int string(struct reader *r, char **out)
{
	int err = want(r, '"');
	char *to = r->p;

	if (err)
		return err;
	*out = to;
	for (; r->p < r->end && *r->p != '"'; r->p++) {
		if ((unsigned char)*r->p < ' ')
			return fail(r, "the string does not end on its line");
		if (*r->p == '\\' && (r->p[1] == '"' || r->p[1] == '\\'))
			r->p++;
		*to++ = *r->p;
	}
	if (r->p == r->end)
		return fail(r, "the string does not end");
	r->p++;
	*to = '\0';
	return 0;
}

/* "7,11,17-20", or nothing */
static bool are_ids(const char *s)
{
	while (*s) {
		size_t n = strspn(s, "0123456789");

		if (!n || n > 9)
			return false;
		s += n;
		if (*s == '-') {
			n = strspn(++s, "0123456789");
			if (!n || n > 9)
				return false;
			s += n;
		}
		if (*s == ',' && !*++s)
			return false;
		else if (*s && s[-1] != ',')
			return false;
	}
	return true;
}

/* S("source", "provider", "ids", "text", "what it means") */
static int rule(struct reader *r, struct symptom_rule *to)
{
	char *f[FIELDS];
	int err = want(r, 'S');

	if (!err)
		err = want(r, '(');
	for (int i = 0; i < FIELDS && !err; i++) {
		if (i)
			err = want(r, ',');
		if (!err)
			err = string(r, &f[i]);
	}
	if (!err)
		err = want(r, ')');
	if (err)
		return err;
	if (!*f[0] || !*f[1])
		return fail(r, "source and provider are globs: \"*\" for any");
	if (!are_ids(f[2]))
		return fail(r, "ids are numbers and ranges, \"7,11,17-20\", or nothing");
	if (!*f[4] || strlen(f[4]) > MEANING_MAX)
		return fail(r, "what it means takes 1 to %d characters", MEANING_MAX);
	if (strlen(f[0]) > TEXT_MAX || strlen(f[1]) > TEXT_MAX || strlen(f[3]) > TEXT_MAX)
		return fail(r, "a glob has more than %d characters", TEXT_MAX);
	*to = (struct symptom_rule){f[0], f[1], f[2], f[3], f[4]};
	return 0;
}

static char *read_text(struct reader *r, const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = malloc(FILE_MAX + 2);
	size_t n;

	if (!f || !text) {
		snprintf(r->err, r->cap, "%s: %s", path, strerror(f ? ENOMEM : errno));
		goto bad;
	}
	n = fread(text, 1, FILE_MAX + 1, f);
	if (ferror(f) || n > FILE_MAX || memchr(text, 0, n)) {
		snprintf(r->err, r->cap, "%s: %s", path,
			 ferror(f)	? "it can't be read"
			 : n > FILE_MAX ? "more than 1 MiB: these are no rules"
					: "there is a NUL in it: these are no rules");
		goto bad;
	}
	fclose(f);
	text[n] = '\0';
	r->p = text;
	r->end = text + n;
	return text;
bad:
	if (f)
		fclose(f);
	free(text);
	return NULL;
}

int symptoms_load(const char *path, char *err, size_t cap)
{
	struct reader r = {.name = path, .line = 1, .err = err, .cap = cap};
	char *text = read_text(&r, path);
	struct symptom_rule *v = NULL;
	size_t n = 0;
	int e = text ? skip(&r) : -EIO;

	while (!e && r.p < r.end) {
		struct symptom_rule *more = realloc(v, (n + 1) * sizeof(*v));

		if (!more) {
			e = no_memory(&r);
			break;
		}
		v = more;
		e = n == RULES_MAX ? fail(&r, "more than %d rules", RULES_MAX) : rule(&r, &v[n]);
		if (!e)
			e = skip(&r);
		n++;
	}
	if (e) {
		free(v);
		free(text);
		return e;
	}
	symptoms_use(v, n, text);
	return 0;
}
