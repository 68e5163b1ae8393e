/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of BinXML, read from a chunk, checked, and made canonical. */
#include "formats/log/binxml.h"

#include <errno.h>

#include "vdiskck/core/endian.h"

/* [MS-EVEN6] 2.2.12; 0x40 says that more of the same follows (attributes, character data). */
enum {
	TOKEN_EOF = 0x00,
	TOKEN_OPEN = 0x01,
	TOKEN_CONTENT = 0x02,
	TOKEN_EMPTY = 0x03,
	TOKEN_END = 0x04,
	TOKEN_VALUE = 0x05,
	TOKEN_ATTRIBUTE = 0x06,
	TOKEN_CDATA = 0x07,
	TOKEN_CHAR = 0x08,
	TOKEN_ENTITY = 0x09,
	TOKEN_PI_TARGET = 0x0a,
	TOKEN_PI_DATA = 0x0b,
	TOKEN_SUB = 0x0d,
	TOKEN_SUB_OPTIONAL = 0x0e,
	TOKEN_FRAGMENT = 0x0f,
	MORE = 0x40,

	NAME_HEAD = 8, /* u32 next in its hash bucket, u16 hash, u16 units */
};

struct reader {
	const struct bx_chunk *c;
	size_t at, end;
	struct buf *out;
	unsigned depth;
	bool in_tag;	   /* between an element's name and the end of its start tag */
	bool in_attribute; /* ... and an attribute's value is due */
	bool dependency;
};

static const void *take(struct reader *r, size_t n)
{
	const void *p = n <= r->end - r->at ? r->c->p + r->at : NULL;

	if (p)
		r->at += n;
	return p;
}

static bool take16(struct reader *r, uint16_t *v)
{
	const le16_t *p = take(r, sizeof(*p));

	*v = p ? le16(*p) : 0;
	return p != NULL;
}

static bool take32(struct reader *r, uint32_t *v)
{
	const le32_t *p = take(r, sizeof(*p));

	*v = p ? le32(*p) : 0;
	return p != NULL;
}

static bool put_counted(struct buf *out, enum bx_op op, const void *p, size_t units)
{
	le16_t n = to_le16((uint16_t)units);

	if (out->len + 3 + 2 * units > BX_CANON_MAX || !buf_room(out, 3 + 2 * units))
		return false;
	out->p[out->len++] = (char)op;
	memcpy(out->p + out->len, &n, sizeof(n));
	memcpy(out->p + out->len + 2, p, 2 * units);
	out->len += 2 + 2 * units;
	return true;
}

static bool put_op(struct buf *out, enum bx_op op)
{
	if (out->len >= BX_CANON_MAX)
		return false;
	buf_char(out, (char)op);
	return true;
}

static uint16_t name_hash(const uint8_t *p, size_t units)
{
	uint32_t h = 0;

	for (size_t i = 0; i < units; i++)
		h = h * 65599 + (p[2 * i] | (uint32_t)p[2 * i + 1] << 8);
	return (uint16_t)h;
}

/*
 * A name at @off of the chunk. What is left of a name that was overwritten must not pass for one, so
 * its hash has to fit where no checksum vouches for the bytes.
 */
static const uint8_t *name_at(const struct reader *r, size_t off, size_t *units)
{
	struct span s = {r->c->p, r->c->len, 0};
	const uint8_t *head = span_at(s, off, NAME_HEAD);
	size_t n = head ? head[6] | (size_t)head[7] << 8 : 0;
	const uint8_t *p = head ? span_at(s, off + NAME_HEAD, 2 * n + 2) : NULL;

	if (!p || !n || p[2 * n] || p[2 * n + 1])
		return NULL;
	if (!r->c->sound && name_hash(p, n) != (head[4] | head[5] << 8))
		return NULL;
	*units = n;
	return p;
}

/* The offset of a name, and the name itself if it is new in the chunk: then it follows. */
static bool take_name(struct reader *r, enum bx_op op)
{
	const uint8_t *p;
	uint32_t off;
	size_t units;

	if (!take32(r, &off))
		return false;
	p = name_at(r, off, &units);
	if (!p)
		return false;
	if (off == r->at && !take(r, NAME_HEAD + 2 * units + 2))
		return false;
	return put_counted(r->out, op, p, units);
}

/* Text with its number of UTF-16 units in front. */
static bool take_text(struct reader *r, enum bx_op op)
{
	const uint8_t *p;
	uint16_t units;

	if (!take16(r, &units))
		return false;
	p = take(r, 2 * (size_t)units);
	return p && put_counted(r->out, op, p, units);
}

static bool open_with(struct reader *r, bool attributes, bool dependency)
{
	uint32_t len, list;
	uint16_t id;

	if (dependency && !take16(r, &id))
		return false;
	if (!take32(r, &len) || len > r->end - r->at)
		return false;
	return take_name(r, BX_OP_OPEN) && (!attributes || take32(r, &list));
}

/*
 * Whether a dependency id stands before the length depends on where the element is, and on who
 * wrote it: the other form is tried if length and name don't fit the first.
 */
static bool take_open(struct reader *r, bool attributes)
{
	size_t at = r->at, len = r->out->len;

	if (r->in_tag || ++r->depth > BX_DEPTH)
		return false;
	r->in_tag = true;
	r->in_attribute = false;
	if (open_with(r, attributes, r->dependency))
		return true;
	r->at = at;
	r->out->len = len;
	return open_with(r, attributes, !r->dependency);
}

static size_t fixed_len(unsigned type)
{
	switch (type) {
	case BX_INT8:
	case BX_UINT8: return 1;
	case BX_INT16:
	case BX_UINT16: return 2;
	case BX_INT32:
	case BX_UINT32:
	case BX_REAL32:
	case BX_BOOL:
	case BX_HEX32: return 4;
	case BX_INT64:
	case BX_UINT64:
	case BX_REAL64:
	case BX_FILETIME:
	case BX_HEX64: return 8;
	case BX_GUID:
	case BX_SYSTEMTIME: return 16;
	}
	return 0;
}

/* A value that stands in the text itself. Windows writes strings only. */
static bool take_value(struct reader *r)
{
	const uint8_t *type = take(r, 1), *p;
	uint8_t head[4];
	size_t len;

	if (!type)
		return false;
	if (*type == BX_STRING)
		return take_text(r, BX_OP_TEXT);
	len = fixed_len(*type);
	p = len ? take(r, len) : NULL;
	if (!p || r->out->len + sizeof(head) + len > BX_CANON_MAX)
		return false;
	head[0] = BX_OP_VALUE;
	head[1] = *type;
	head[2] = (uint8_t)len;
	head[3] = 0;
	buf_put(r->out, head, sizeof(head));
	buf_put(r->out, p, len);
	return true;
}

static bool take_sub(struct reader *r, bool optional)
{
	const uint8_t *p = take(r, 3);
	uint8_t op[5];

	if (!p || r->out->len + sizeof(op) > BX_CANON_MAX)
		return false;
	op[0] = BX_OP_SUB;
	memcpy(op + 1, p, 3);
	op[4] = optional;
	buf_put(r->out, op, sizeof(op));
	return true;
}

/* What may stand in an attribute's value and in content alike. */
static bool take_character_data(struct reader *r, unsigned token)
{
	const void *unit;

	if (r->in_tag && !r->in_attribute)
		return false;
	switch (token) {
	case TOKEN_VALUE: return take_value(r);
	case TOKEN_SUB: return take_sub(r, false);
	case TOKEN_SUB_OPTIONAL: return take_sub(r, true);
	case TOKEN_CHAR: unit = take(r, 2); return unit && put_counted(r->out, BX_OP_TEXT, unit, 1);
	case TOKEN_ENTITY: return take_name(r, BX_OP_ENTITY);
	case TOKEN_CDATA: return !r->in_tag && take_text(r, BX_OP_TEXT);
	case TOKEN_PI_TARGET: return !r->in_tag && take_name(r, BX_OP_PI);
	case TOKEN_PI_DATA: return !r->in_tag && take_text(r, BX_OP_PI_DATA);
	}
	return false;
}

static bool end_tag(struct reader *r, bool empty)
{
	if (!r->in_tag)
		return false;
	r->in_tag = false;
	r->depth -= empty;
	return put_op(r->out, empty ? BX_OP_EMPTY : BX_OP_CONTENT);
}

static bool token(struct reader *r, unsigned t)
{
	switch (t & ~(unsigned)MORE) {
	case TOKEN_OPEN: return take_open(r, t & MORE);
	case TOKEN_ATTRIBUTE:
		r->in_attribute = true;
		return r->in_tag && take_name(r, BX_OP_ATTRIBUTE);
	case TOKEN_CONTENT: return end_tag(r, false);
	case TOKEN_EMPTY: return end_tag(r, true);
	case TOKEN_END:
		if (r->in_tag || !r->depth)
			return false;
		r->depth--;
		return put_op(r->out, BX_OP_END);
	case TOKEN_FRAGMENT: return !r->depth && take(r, 3);
	}
	return take_character_data(r, t & ~(unsigned)MORE);
}

int bx_canon(const struct bx_chunk *c, size_t off, size_t len, bool dependency, struct buf *out,
	     size_t *end)
{
	struct reader r = {.c = c, .at = off, .end = off + len, .out = out};

	r.dependency = dependency;
	if (!range_inside(off, len, c->len))
		return -EBADMSG;
	while (r.at < r.end) {
		unsigned t = c->p[r.at++];

		if (t == TOKEN_EOF)
			break;
		if (!token(&r, t))
			return -EBADMSG;
	}
	*end = r.at;
	if (out->failed)
		return -ENOMEM;
	return r.depth || r.in_tag ? -EBADMSG : 0;
}
