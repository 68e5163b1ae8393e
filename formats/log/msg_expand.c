/* SPDX-License-Identifier: Apache-2.0 */
/* Values put into messages, as FormatMessage() and the event viewer do. */
#include "formats/log/msgtable.h"

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The number at @p; *@n: how many digits it has, at most @most. */
static uint32_t number(const char *p, size_t len, size_t most, size_t *n)
{
	uint32_t v = 0;

	for (*n = 0; *n < len && *n < most && digit(p[*n]); ++*n)
		v = 10 * v + (uint32_t)(p[*n] - '0');
	return v;
}

/* %%nnnn at @p[i], which is the first %: true if it was replaced, and *@used is set. */
static bool parameter(struct buf *out, const char *p, size_t len, const struct msgtable *t,
		      size_t *used)
{
	enum { MOST = 9 };
	size_t n;
	uint32_t id;

	if (len < 3 || p[1] != '%' || !digit(p[2]))
		return false;
	id = number(p + 2, len - 2, MOST, &n);
	*used = 2 + n;
	if (!t || !msgtable_text(t, id, 0, out))
		return false;
	/* Parameter messages end with a line break that is not meant to be seen. */
	while (out->len && (out->p[out->len - 1] == '\n' || out->p[out->len - 1] == '\r'))
		out->len--;
	return true;
}

static void put_value(struct buf *out, size_t end, struct log_text v, const struct msgtable *t)
{
	for (size_t i = 0; i < v.len && out->len < end;) {
		size_t used = 1;

		if (v.p[i] != '%' || !parameter(out, v.p + i, v.len - i, t, &used))
			buf_put(out, v.p + i, used);
		i += used;
	}
}

/* The length of a format like !s! or !04x! behind an insert. */
static size_t format_len(const char *p, size_t len)
{
	if (!len || *p != '!')
		return 0;
	for (size_t i = 1; i < len && i < 16; i++)
		if (p[i] == '!')
			return i + 1;
	return 0;
}

/* What follows a %; returns how much was used, 0: it ends the text. */
static size_t escape(struct buf *out, const char *p, size_t len)
{
	static const char map[] = "n\nt\tb r\r%%..!!";

	if (!len || *p == '0')
		return 0;
	for (size_t i = 0; i + 1 < sizeof(map); i += 2)
		if (map[i] == *p) {
			/* A line break is one character, whatever Windows makes of it. */
			buf_char(out, map[i + 1]);
			return 1;
		}
	buf_char(out, '%');
	buf_char(out, *p);
	return 1;
}

void msg_expand(struct buf *out, struct log_text m, const struct log_text *values, size_t n,
		const struct msgtable *parameters)
{
	const size_t end = out->len + MSG_MAX;

	for (size_t i = 0; i < m.len && out->len < end; i++) {
		size_t used, left = m.len - i - 1;
		const char *p = m.p + i + 1;
		uint32_t k;

		if (m.p[i] != '%') {
			buf_char(out, m.p[i]);
			continue;
		}
		if (parameter(out, m.p + i, left + 1, parameters, &used)) {
			i += used - 1;
			continue;
		}
		if (left && *p >= '1' && *p <= '9') {
			k = number(p, left, 2, &used);
			if (k <= n)
				put_value(out, end, values[k - 1], parameters);
			else
				buf_put(out, p - 1, used + 1);
			used += format_len(p + used, left - used);
		} else if (left >= 2 && *p == '%' && digit(p[1])) {
			number(p + 1, left - 1, 9, &used);
			used++;
			buf_put(out, p - 1, used + 1);
		} else {
			used = escape(out, p, left);
			if (!used)
				break;
		}
		i += used;
	}
}
