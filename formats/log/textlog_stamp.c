/* SPDX-License-Identifier: Apache-2.0 */
/* Times as lines of text have them. */
#include <string.h>

#include "formats/log/textlog.h"

struct cursor {
	const char *p, *end;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A number of @least to @most digits, at most @max. */
static bool number(struct cursor *c, unsigned least, unsigned most, uint64_t max, uint64_t *v)
{
	unsigned n = 0;

	for (*v = 0; n < most && c->p < c->end && is_digit(*c->p); n++)
		*v = *v * 10 + (unsigned)(*c->p++ - '0');
	return n >= least && *v <= max;
}

static bool field(struct cursor *c, unsigned digits, unsigned min, unsigned max, unsigned *out)
{
	uint64_t v;

	if (!number(c, digits, digits, max, &v) || v < min)
		return false;
	*out = (unsigned)v;
	return true;
}

static bool name(struct cursor *c, const char *names, unsigned n, unsigned *out)
{
	if (c->end - c->p < 3)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (!memcmp(names + 3 * i, c->p, 3)) {
			*out = i + 1;
			c->p += 3;
			return true;
		}
	return false;
}

/* Behind '.', ',' or ':'; nine digits matter. None at all is fine, too. */
static bool fraction(struct cursor *c, uint32_t *nsec)
{
	uint32_t scale = 100000000;
	const char *q = c->p + 1;

	*nsec = 0;
	if (c->end - c->p < 2 || !strchr(".,:", *c->p) || !*c->p || !is_digit(*q))
		return true;
	for (; q < c->end && is_digit(*q); q++, scale /= 10)
		*nsec += scale * (uint32_t)(*q - '0');
	c->p = q;
	return true;
}

/* "Z", "+01:00", "+0100", also behind a blank. */
static bool zone(struct cursor *c, struct text_stamp *t)
{
	struct cursor at = *c;
	uint64_t h, m = 0;
	bool west;

	if (at.p < at.end && *at.p == ' ')
		at.p++;
	if (at.p < at.end && *at.p == 'Z' && at.p == c->p) {
		t->zoned = true;
		c->p++;
		return true;
	}
	if (at.p >= at.end || (*at.p != '+' && *at.p != '-'))
		return true;
	west = *at.p++ == '-';
	if (!number(&at, 2, 2, 14, &h))
		return true;
	if (at.p < at.end && *at.p == ':')
		at.p++;
	if (!number(&at, 2, 2, 59, &m))
		return true;
	t->zone = (int)(h * 60 + m) * (west ? -1 : 1);
	t->zoned = true;
	c->p = at.p;
	return true;
}

static bool since(struct cursor *c, struct text_stamp *t)
{
	return number(c, 1, 11, UINT64_C(32503680000), &t->since) && fraction(c, &t->nsec);
}

static bool blanks(struct cursor *c)
{
	const char *from = c->p;

	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
		c->p++;
	return c->p > from;
}

static bool convert(char code, char stop, struct cursor *c, struct text_stamp *t)
{
	const char *q;
	unsigned wday;

	switch (code) {
	case 'Y': return field(c, 4, 1970, 2199, &t->year);
	case 'm': return field(c, 2, 1, 12, &t->month);
	case 'd': return field(c, 2, 1, 31, &t->day);
	case 'e':
		if (c->p < c->end && *c->p == ' ')
			c->p++;
		return c->end - c->p > 1 && is_digit(c->p[1]) ? field(c, 2, 1, 31, &t->day)
							      : field(c, 1, 1, 9, &t->day);
	case 'H': return field(c, 2, 0, 23, &t->hour);
	case 'M': return field(c, 2, 0, 59, &t->minute);
	case 'S': return field(c, 2, 0, 60, &t->second);
	case 'b': return name(c, "JanFebMarAprMayJunJulAugSepOctNovDec", 12, &t->month);
	case 'a': return name(c, "MonTueWedThuFriSatSun", 7, &wday);
	case 'f': return fraction(c, &t->nsec);
	case 'z': return zone(c, t);
	case 's': t->epoch = t->zoned = true; return since(c, t);
	case 'u':
		t->uptime = t->zoned = true;
		while (c->p < c->end && *c->p == ' ')
			c->p++;
		q = c->p;
		return since(c, t) && memchr(q, '.', (size_t)(c->p - q));
	default: /* '*' */
		q = memchr(c->p, stop, (size_t)(c->end - c->p));
		c->p = q ? q : c->p;
		return q;
	}
}

size_t text_stamp(const char *pattern, const char *p, size_t len, struct text_stamp *t)
{
	struct cursor c = {p, p + len};

	*t = (struct text_stamp){0};
	for (const char *f = pattern; *f; f++) {
		if (*f == ' ') {
			if (!blanks(&c))
				return 0;
		} else if (*f == '%') {
			if (!convert(f[1], f[2], &c, t))
				return 0;
			f++;
		} else if (c.p >= c.end || *c.p++ != *f) {
			return 0;
		}
	}
	return (size_t)(c.p - p);
}
