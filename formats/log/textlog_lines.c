/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to lines, through a window: UTF-8, UTF-16, holes where nothing was ever written. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/log/textlog.h"
#include "vdiskck/core/session.h"

enum { WINDOW = 4 * TEXT_LINE_MAX };

static uint64_t size_of(const struct text_lines *x)
{
	return x->mem ? x->mem_len : x->in->size;
}

/* Zeros that the layer states are passed over, however many: a sparse file may be of any size. */
static int skip_sparse(struct text_lines *x, uint64_t size)
{
	struct extent run;
	int r = layer_map(x->in, x->next, &run);

	if (r || run.kind != EXTENT_ZERO)
		return r;
	x->next += run.len < size - x->next ? run.len : size - x->next;
	return 0;
}

/* More bytes behind those in hand; what was used up is dropped. */
static int fill(struct text_lines *x)
{
	uint64_t size = size_of(x);
	size_t left = x->have - x->at, n;
	int r = 0;

	memmove(x->buf, x->buf + x->at, left);
	x->at = 0;
	x->have = left;
	if (!x->mem && session_stopped(x->in->s))
		return -EINTR;
	if (!x->mem && !left && x->next && x->next < size)
		r = skip_sparse(x, size);
	if (r || x->next >= size)
		return r;
	n = WINDOW - left;
	if (n > size - x->next)
		n = (size_t)(size - x->next);
	if (x->mem) {
		memcpy(x->buf + left, x->mem + x->next, n);
	} else {
		/* Ranges of what is dropped are of no use any more. */
		if (!left)
			ranges_free(&x->bad);
		r = layer_read(x->in, x->next, x->buf + left, n, &x->bad);
		ranges_sort(&x->bad);
	}
	x->next += n;
	x->have += n;
	return r;
}

static bool ascii16(const uint8_t *p)
{
	return !p[1] && ((p[0] >= 0x20 && p[0] < 0x7f) || p[0] == '\r' || p[0] == '\n');
}

/* A byte order mark, or what has no other reading. */
static void begin(struct text_lines *x)
{
	const uint8_t *p = x->buf;

	x->begun = true;
	if (x->have >= 2 && p[0] == 0xff && p[1] == 0xfe) {
		x->coding = TEXT_UTF16;
		x->at = 2;
	} else if (x->have >= 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf) {
		x->at = 3;
	} else if (x->have >= 8 && ascii16(p) && ascii16(p + 2) && ascii16(p + 4) &&
		   ascii16(p + 6)) {
		x->coding = TEXT_UTF16;
	}
}

/* Units of the text at @p: is one a NUL, a line end? */
static unsigned unit(const struct text_lines *x, size_t at)
{
	const uint8_t *p = x->buf + at;

	return x->coding == TEXT_UTF16 ? (unsigned)(p[0] | p[1] << 8) : *p;
}

/* The end of the line that begins at @x->at: of its line end, of a piece, or where a hole begins. */
static size_t line_end(const struct text_lines *x, size_t step, bool *found)
{
	size_t at = x->at, end = x->have - (x->have - x->at) % step;

	*found = true;
	if (step == 1) {
		size_t max = end - at < TEXT_LINE_MAX ? end - at : TEXT_LINE_MAX;
		const uint8_t *nl = memchr(x->buf + at, '\n', max);
		size_t n = nl ? (size_t)(nl - (x->buf + at)) + 1 : max;
		const uint8_t *nul = memchr(x->buf + at, 0, n);

		*found = nl || nul || max == TEXT_LINE_MAX;
		return nul ? (size_t)(nul - x->buf) : at + n;
	}
	for (; at < end && at - x->at < TEXT_LINE_MAX; at += step) {
		unsigned c = unit(x, at);

		if (!c)
			return at;
		if (c == '\n')
			return at + step;
	}
	*found = at - x->at >= TEXT_LINE_MAX;
	return at;
}

static size_t hole_end(const struct text_lines *x, size_t step)
{
	size_t at = x->at;

	while (at + step <= x->have && !unit(x, at))
		at += step;
	return at;
}

/* A quarter is neither text in UTF-8 nor what controls a terminal: Latin-1 has far less of that. */
static bool is_noise(const char *p, size_t len)
{
	const uint8_t *b = (const uint8_t *)p;
	size_t odd = 0, n;

	for (size_t i = 0; i < len; i += n) {
		n = 1;
		if (b[i] >= 0x80)
			n = buf_utf8_len(b + i, len - i);
		odd += !n || (b[i] < 0x20 && !strchr("\t\r\x1b\f\b", b[i])) || b[i] == 0x7f;
		n = n ? n : 1;
	}
	return len >= TEXT_TELLING && odd * 4 > len;
}

static void show(struct text_lines *x, size_t end, size_t step, struct text_line *line)
{
	size_t n = end - x->at;

	line->ended = n && unit(x, end - step) == '\n';
	if (line->ended)
		n -= step;
	if (line->ended && n && unit(x, x->at + n - step) == '\r')
		n -= step;
	line->p = (const char *)x->buf + x->at;
	line->len = n;
	if (step == 2) {
		x->utf8.len = 0;
		buf_utf16(&x->utf8, x->buf + x->at, n / 2);
		line->p = x->utf8.p;
		line->len = x->utf8.len;
	}
	line->noise = is_noise(line->p, line->len);
}

int text_next(struct text_lines *x, struct text_line *line)
{
	size_t step, end;
	bool found;
	int r = 0;

	*line = (struct text_line){0};
	if (!x->buf) {
		x->buf = malloc(WINDOW);
		if (!x->buf)
			return -ENOMEM;
	}
	if (!x->begun) {
		r = fill(x);
		if (!r)
			begin(x);
	}
	step = x->coding == TEXT_UTF16 ? 2 : 1;
	if (!r && x->have - x->at < step)
		r = fill(x);
	if (r || x->have - x->at < step)
		return r;
	line->hole = !unit(x, x->at);
	if (line->hole) {
		end = hole_end(x, step);
	} else {
		end = line_end(x, step, &found);
		if (!found && x->next < size_of(x)) {
			r = fill(x);
			if (r)
				return r;
			end = line_end(x, step, &found);
		}
		show(x, end, step, line);
	}
	line->off = x->next - (x->have - x->at);
	line->raw = end - x->at;
	line->lost = ranges_overlap(&x->bad, line->off, line->raw);
	x->at = end;
	return x->utf8.failed ? -ENOMEM : 1;
}

void text_end(struct text_lines *x)
{
	free(x->buf);
	buf_free(&x->utf8);
	ranges_free(&x->bad);
	x->buf = NULL;
}
