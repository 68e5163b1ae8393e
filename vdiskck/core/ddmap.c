/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/ddmap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vdiskck/core/session.h"
#include "vdiskck/version.h"

enum {
	TEXT_MAX = 256 << 20, /* a map of ten million areas; such a disk has other problems */
	LINE_MAX_DDMAP = 255,
};

/* A number as C++ writes integer constants. Returns the first character after it, or NULL. */
static const char *number(const char *p, uint64_t *v)
{
	unsigned base = 10;
	const char *start;

	p += strspn(p, " \t");
	if (*p == '0') {
		base = p[1] == 'x' || p[1] == 'X' ? 16 : 8;
		p += base == 16 ? 2 : 0;
	}
	start = p;
	for (*v = 0;; p++) {
		unsigned d = *p >= '0' && *p <= '9'   ? (unsigned)(*p - '0')
			     : *p >= 'a' && *p <= 'f' ? (unsigned)(*p - 'a' + 10)
			     : *p >= 'A' && *p <= 'F' ? (unsigned)(*p - 'A' + 10)
						      : 99;

		if (d >= base)
			break;
		if (__builtin_mul_overflow(*v, base, v) || __builtin_add_overflow(*v, d, v))
			return NULL;
	}
	return p > start && (*p == ' ' || *p == '\t' || !*p) ? p : NULL;
}

/* One of @set alone. Returns the first character after it, or NULL. */
static const char *letter(const char *p, const char *set, char *c)
{
	p += strspn(p, " \t");
	if (!*p || !strchr(set, *p) || (p[1] && p[1] != ' ' && p[1] != '\t'))
		return NULL;
	*c = *p;
	return p + 1;
}

static bool blank(const char *p)
{
	return !p[strspn(p, " \t")];
}

/* "POS STATUS [PASS]": where ddrescue stopped; of no interest here, but it must be known. */
static bool status_line(const char *line)
{
	uint64_t v;
	char c;
	const char *p = number(line, &v);

	p = p ? letter(p, "?*/-FG+", &c) : NULL;
	return p && (blank(p) || ((p = number(p, &v)) && blank(p)));
}

/* "POS SIZE STATUS" */
static bool block_line(const char *line, struct ddmap_block *b)
{
	const char *p = number(line, &b->off);

	p = p ? number(p, &b->len) : NULL;
	p = p ? letter(p, "?*/-+", &b->status) : NULL;
	return p && blank(p) && b->off <= INT64_MAX && b->len <= INT64_MAX - b->off;
}

static int block_add(struct ddmap *m, const struct ddmap_block *b)
{
	if (!b->len)
		return 0;
	if (m->n == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 64;
		struct ddmap_block *v = realloc(m->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		m->v = v;
		m->cap = cap;
	}
	m->v[m->n++] = *b;
	return 0;
}

int ddmap_parse(struct ddmap *m, const char *text, size_t len)
{
	bool first = true;
	int r = 0;

	*m = (struct ddmap){0};
	for (size_t number_of = 1; !r && len; number_of++) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len, used = n < len ? n + 1 : n;
		char line[LINE_MAX_DDMAP + 1];
		bool whole = n <= LINE_MAX_DDMAP;
		struct ddmap_block b;

		snprintf(line, sizeof(line), "%.*s", whole ? (int)n : LINE_MAX_DDMAP, text);
		text += used;
		len -= used;
		for (char *c = line; *c; c++) {
			if (*c == '\r' ||
			    (*c == '#' && (c == line || c[-1] == ' ' || c[-1] == '\t'))) {
				*c = '\0';
				whole = true; /* a comment may be as long as a command line */
				break;
			}
		}
		if (whole && blank(line))
			continue;
		if (whole && block_line(line, &b))
			r = block_add(m, &b);
		else if ((!first || !status_line(line)) && !m->bad_lines++)
			m->first_bad_line = number_of;
		first = false;
	}
	return r ? r : m->n ? 0 : -EBADMSG;
}

static int slurp(int fd, char **text, size_t *len)
{
	size_t cap = 0;
	ssize_t got;

	for (;;) {
		if (*len == cap) {
			char *more;

			if (cap >= TEXT_MAX)
				return -EFBIG;
			cap = cap ? 2 * cap : 1 << 16;
			more = realloc(*text, cap);
			if (!more)
				return -ENOMEM;
			*text = more;
		}
		got = read(fd, *text + *len, cap - *len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0;
		*len += (size_t)got;
	}
}

int ddmap_load(struct session *s, const char *path, struct ddmap *m)
{
	char *text = NULL;
	size_t len = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOATIME), r;

	*m = (struct ddmap){0};
	if (fd < 0 && errno == EPERM)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return session_err(s, -errno, "%s", path);
	r = slurp(fd, &text, &len);
	if (!r)
		r = ddmap_parse(m, text, len);
	if (r == -EBADMSG)
		session_err(s, 0, "%s: no ddrescue map: no line of it describes a block", path);
	else if (r)
		session_err(s, r, "%s", path);
	else if (m->bad_lines)
		session_err(s, 0, "%s:%zu: not a line of a ddrescue map; %zu such lines left out",
			    path, m->first_bad_line, m->bad_lines);
	free(text);
	close(fd);
	return r;
}

void ddmap_free(struct ddmap *m)
{
	free(m->v);
	*m = (struct ddmap){0};
}

uint64_t ddmap_end(const struct ddmap *m)
{
	uint64_t end = 0;

	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].off + m->v[i].len > end)
			end = m->v[i].off + m->v[i].len;
	return end;
}

static int block_cmp(const void *a, const void *b)
{
	const struct ddmap_block *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

static int lost_add(struct ranges *lost, uint64_t from, uint64_t to, uint64_t size)
{
	if (to > size)
		to = size;
	return from < to ? ranges_add(lost, from, to - from, GRADE_LOST, SOURCE_BAD_MAP) : 0;
}

int ddmap_lost(const struct ddmap *m, uint64_t size, struct ranges *lost, bool *list)
{
	struct ddmap_block *v = malloc((m->n ? m->n : 1) * sizeof(*v));
	uint64_t seen = 0; /* up to here, every byte was mentioned or is lost */
	int r = 0;

	if (!v)
		return -ENOMEM;
	*list = true;
	for (size_t i = 0; i < m->n; i++) {
		v[i] = m->v[i];
		*list &= v[i].status != '+';
	}
	/* ddrescue writes them in order; a map put together by hand may not be. */
	qsort(v, m->n, sizeof(*v), block_cmp);
	for (size_t i = 0; !r && i < m->n; i++) {
		uint64_t end = v[i].off + v[i].len;

		if (v[i].off > seen && !*list)
			r = lost_add(lost, seen, v[i].off, size);
		if (!r && v[i].status != '+')
			r = lost_add(lost, v[i].off, end, size);
		if (end > seen)
			seen = end;
	}
	if (!r && !*list)
		r = lost_add(lost, seen, size, size);
	ranges_sort(lost);
	free(v);
	return r;
}

static void line(FILE *f, uint64_t from, uint64_t to, char status)
{
	if (from < to)
		fprintf(f, "0x%08" PRIX64 "  0x%08" PRIX64 "  %c\n", from, to - from, status);
}

int ddmap_write(FILE *f, const struct ranges *lost, uint64_t size)
{
	uint64_t done = 0, from = 0, to = 0; /* [from, to) is lost and not written yet */

	fprintf(f,
		"# Mapfile. Created by vdiskck " VDISKCK_VERSION "\n"
		"# '+' could be read, '-' is lost\n"
		"# current_pos  current_status  current_pass\n"
		"0x%08" PRIX64 "     +               1\n"
		"#      pos        size  status\n",
		size);
	for (size_t i = 0; i < lost->n; i++) {
		const struct range *a = &lost->v[i];
		uint64_t end = a->off + a->len;

		if (a->grade != GRADE_LOST || a->off >= size)
			continue;
		if (end > size)
			end = size;
		if (a->off > to) {
			line(f, done, from, '+');
			line(f, from, to, '-');
			done = to;
			from = a->off;
		}
		if (end > to)
			to = end;
	}
	line(f, done, from, '+');
	line(f, from, to, '-');
	line(f, to, size, '+');
	return fflush(f) || ferror(f) ? -EIO : 0;
}
