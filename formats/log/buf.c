/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/log/buf.h"

#include <stdio.h>
#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { LEAST = 4096, ESCAPED = 6 /* bytes: \uXXXX, &quot; */ };

bool buf_grow(struct buf *b, size_t n)
{
	size_t cap = b->cap < LEAST ? LEAST : b->cap;
	char *p;

	while (cap - b->len < n && cap <= SIZE_MAX / 2)
		cap *= 2;
	p = b->failed || cap - b->len < n ? NULL : realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){0};
}

void buf_u64(struct buf *b, uint64_t v)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930"
				    "31323334353637383940414243444546474849505152535455565758596061"
				    "62636465666768697071727374757677787980818283848586878889909192"
				    "93949596979899";
	char text[20 + BUF_BLOCK], *p = text + 20;

	for (; v >= 100; v /= 100) {
		p -= 2;
		memcpy(p, pairs + 2 * (v % 100), 2);
	}
	if (v >= 10) {
		p -= 2;
		memcpy(p, pairs + 2 * v, 2);
	} else {
		*--p = (char)('0' + v);
	}
	buf_short(b, p, (size_t)(text + 20 - p));
}

void buf_i64(struct buf *b, int64_t v)
{
	if (v < 0)
		buf_char(b, '-');
	buf_u64(b, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

static char *put_hex4(char *o, unsigned c)
{
	for (int shift = 12; shift >= 0; shift -= 4)
		*o++ = "0123456789abcdef"[c >> shift & 15];
	return o;
}

static char *put_utf8(char *o, uint32_t c)
{
	if (c < 0x80) {
		*o++ = (char)c;
	} else if (c < 0x800) {
		*o++ = (char)(0xc0 | c >> 6);
		*o++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*o++ = (char)(0xe0 | c >> 12);
		*o++ = (char)(0x80 | (c >> 6 & 0x3f));
		*o++ = (char)(0x80 | (c & 0x3f));
	} else {
		*o++ = (char)(0xf0 | c >> 18);
		*o++ = (char)(0x80 | (c >> 12 & 0x3f));
		*o++ = (char)(0x80 | (c >> 6 & 0x3f));
		*o++ = (char)(0x80 | (c & 0x3f));
	}
	return o;
}

static char *put_json(char *o, uint32_t c)
{
	const char *at = NULL;

	if (c == '"' || c == '\\') {
		*o++ = '\\';
		*o++ = (char)c;
	} else if (c >= 0x20 && (c < 0xd800 || c > 0xdfff)) {
		o = put_utf8(o, c);
	} else if (c && (at = strchr("\bb\tt\nn\ff\rr", (int)c)) && c < 0x20) {
		*o++ = '\\';
		*o++ = at[1];
	} else {
		*o++ = '\\';
		*o++ = 'u';
		o = put_hex4(o, c);
	}
	return o;
}

static char *put_xml(char *o, uint32_t c)
{
	const char *entity = c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : NULL;

	if (c == '"')
		entity = "&quot;";
	if (c < 0x20 && c != '\t' && c != '\n' && c != '\r')
		return o + sprintf(o, "&#x%x;", c); /* XML 1.1; 1.0 has no way to say it */
	if (!entity)
		return put_utf8(o, c);
	memcpy(o, entity, strlen(entity));
	return o + strlen(entity);
}

/* The code point at p[*i], which then is the next one's place; a lone surrogate is itself. */
static uint32_t next_utf16(const uint8_t *p, size_t units, size_t *i)
{
	uint32_t c = p[2 * *i] | (uint32_t)p[2 * *i + 1] << 8;

	++*i;
	if (c >= 0xd800 && c < 0xdc00 && *i < units) {
		uint32_t low = p[2 * *i] | (uint32_t)p[2 * *i + 1] << 8;

		if (low >= 0xdc00 && low < 0xe000) {
			++*i;
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		}
	}
	return c;
}

static bool plain_json(unsigned c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

#ifdef __SSE2__
/* Bytes that a JSON string holds as they are: printable ASCII but " and \. */
static int not_plain(__m128i v)
{
	__m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)); /* above 0x7f is negative: low, too */
	__m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
	__m128i back = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));

	return _mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, back)));
}
#endif

void buf_json_utf16(struct buf *b, const void *from, size_t units)
{
	const uint8_t *p = from;
	size_t i = 0;
	char *o;

	if (units > SIZE_MAX / ESCAPED - 64 || !buf_room(b, units * ESCAPED + 16))
		return;
	o = b->p + b->len;
	while (i < units) {
		unsigned c;
#ifdef __SSE2__
		while (units - i >= 8) {
			__m128i v = _mm_loadu_si128((const __m128i *)(p + 2 * i));
			/* Above 0x7fff is negative and saturates to 0; above 0xff to 0xff. */
			__m128i packed = _mm_packus_epi16(v, v);

			if (not_plain(packed))
				break;
			_mm_storel_epi64((__m128i *)o, packed);
			o += 8;
			i += 8;
		}
		if (i == units)
			break;
#endif
		c = p[2 * i] | (unsigned)p[2 * i + 1] << 8;
		if (plain_json(c)) {
			*o++ = (char)c;
			i++;
		} else {
			o = put_json(o, next_utf16(p, units, &i));
		}
	}
	b->len = (size_t)(o - b->p);
}

void buf_xml_utf16(struct buf *b, const void *p, size_t units)
{
	if (units > SIZE_MAX / ESCAPED - 64 || !buf_room(b, units * ESCAPED + 1))
		return;
	for (size_t i = 0; i < units;)
		b->len = (size_t)(put_xml(b->p + b->len, next_utf16(p, units, &i)) - b->p);
}

void buf_utf16(struct buf *b, const void *p, size_t units)
{
	if (units > SIZE_MAX / ESCAPED - 64 || !buf_room(b, units * ESCAPED))
		return;
	for (size_t i = 0; i < units;)
		b->len = (size_t)(put_utf8(b->p + b->len, next_utf16(p, units, &i)) - b->p);
}

/* Length of the UTF-8 character at @p, 0 if there is none. RFC 3629, section 4. */
size_t buf_utf8_len(const uint8_t *p, size_t len)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (!n || n > len || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if (p[i] >> 6 != 2)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

void buf_json(struct buf *b, const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t i = 0, n;
	char *o;

	if (len > SIZE_MAX / ESCAPED - 64 || !buf_room(b, len * ESCAPED + 16))
		return;
	o = b->p + b->len;
	for (; i < len; i += n) {
#ifdef __SSE2__
		for (; len - i >= 16; i += 16, o += 16) {
			__m128i v = _mm_loadu_si128((const __m128i *)(p + i));

			if (not_plain(v))
				break;
			_mm_storeu_si128((__m128i *)o, v);
		}
		if (i == len)
			break;
#endif
		n = buf_utf8_len(p + i, len - i);
		if (n == 1) {
			o = plain_json(p[i]) ? (*o = (char)p[i], o + 1) : put_json(o, p[i]);
		} else if (n) {
			memcpy(o, p + i, n);
			o += n;
		} else {
			*o++ = '\\';
			*o++ = '\\';
			*o++ = 'x';
			*o++ = "0123456789abcdef"[p[i] >> 4];
			*o++ = "0123456789abcdef"[p[i] & 15];
			n = 1;
		}
	}
	b->len = (size_t)(o - b->p);
}
