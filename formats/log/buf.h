/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that grows at its end: what log parsers write JSON and XML into. Room is asked for once
 * per piece, so that writing a record is copying. Running out of memory is remembered, and the
 * text from then on is dropped; look at ->failed when it is complete.
 */
#ifndef VDISKCK_FORMATS_LOG_BUF_H
#define VDISKCK_FORMATS_LOG_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
	char *p;
	size_t len, cap;
	bool failed;
};

bool buf_grow(struct buf *b, size_t n);
void buf_free(struct buf *b);

/* buf_room() - make room for @n more bytes; false: out of memory, nothing may be written */
static inline bool buf_room(struct buf *b, size_t n)
{
	return n <= b->cap - b->len || buf_grow(b, n);
}

static inline void buf_put(struct buf *b, const void *p, size_t n)
{
	/* Nothing may come from nowhere, and go into a buffer that has no memory yet. */
	if (n && buf_room(b, n)) {
		memcpy(b->p + b->len, p, n);
		b->len += n;
	}
}

/*
 * buf_short() - buf_put() for what is mostly a few dozen bytes: copies in blocks of 32, so @p has to
 * be readable up to BUF_BLOCK bytes behind its end
 */
enum { BUF_BLOCK = 32 };
static inline void buf_short(struct buf *b, const char *p, size_t n)
{
	char *o;

	if (!buf_room(b, n + BUF_BLOCK))
		return;
	o = b->p + b->len;
	for (size_t i = 0; i < n; i += BUF_BLOCK)
		memcpy(o + i, p + i, BUF_BLOCK);
	b->len += n;
}

static inline void buf_char(struct buf *b, char c)
{
	if (buf_room(b, 1))
		b->p[b->len++] = c;
}

static inline void buf_str(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

#define buf_lit(b, literal) buf_put(b, literal, sizeof(literal) - 1)

void buf_u64(struct buf *b, uint64_t v);
void buf_i64(struct buf *b, int64_t v);

/* buf_utf8_len() - bytes of the UTF-8 character at @p, @len at most; 0: there is none */
size_t buf_utf8_len(const uint8_t *p, size_t len);
/*
 * buf_json() - UTF-8 made the inside of a JSON string: no quotes around it
 * Bytes that are not UTF-8 are written as \xHH text, a control character as JSON escapes it.
 */
void buf_json(struct buf *b, const char *s, size_t len);
/*
 * buf_json_utf16() - the same of little-endian UTF-16; a lone surrogate becomes \uXXXX, which is how
 * JSON can say it without losing which it was
 */
void buf_json_utf16(struct buf *b, const void *p, size_t units);
/* buf_xml_utf16() - as text of an XML element or (in double quotes) an attribute */
void buf_xml_utf16(struct buf *b, const void *p, size_t units);
/* buf_utf16() - as it is; lone surrogates as WTF-8 */
void buf_utf16(struct buf *b, const void *p, size_t units);

#endif
