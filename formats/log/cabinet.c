/* SPDX-License-Identifier: Apache-2.0 */
/* Sources: Microsoft Cabinet Format ([MS-CAB]); [MS-MCI] for MSZIP. */
#include "formats/log/cabinet.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/endian.h"
#include "vdiskck/core/inflate.h"
#include "vdiskck/core/span.h"

enum {
	BLOCK_MAX = 32768, /* unpacked; MSZIP refers back that far, into the block before */
	HAS_PREVIOUS = 1,
	HAS_NEXT = 2,
	HAS_RESERVE = 4,
	STORED = 0,
	MSZIP = 1,
	METHOD = 15,
};

/* CFHEADER */
struct header {
	char magic[4]; /* "MSCF" */
	le32_t reserved1, size, reserved2, files_off, reserved3;
	uint8_t minor, major;
	le16_t folders, files, flags, set_id, number;
};
_Static_assert(sizeof(struct header) == 36, "[MS-CAB] 2.1");

struct folder {
	le32_t off; /* of its first block */
	le16_t blocks, method;
};
_Static_assert(sizeof(struct folder) == 8, "[MS-CAB] 2.2");

struct block {
	le32_t sum; /* 0: none */
	le16_t packed, unpacked;
};
_Static_assert(sizeof(struct block) == 8, "[MS-CAB] 2.4");

struct cabinet {
	struct span s;
	size_t folder_extra, block_extra; /* reserved bytes in each */
	uint8_t *out;
	size_t len, cap, max;
};

/* XOR of 32-bit words; what is left over at the end counts from its last byte. [MS-CAB] 3.1 */
static uint32_t sum(const uint8_t *p, size_t len, uint32_t v)
{
	uint32_t rest = 0;

	for (; len >= 4; len -= 4, p += 4) {
		le32_t word;

		memcpy(&word, p, sizeof(word));
		v ^= le32(word);
	}
	for (size_t i = 0; i < len; i++)
		rest = rest << 8 | p[i];
	return v ^ rest;
}

static bool room(struct cabinet *c, size_t n)
{
	size_t more = c->cap ? 2 * c->cap : 2 * BLOCK_MAX;
	uint8_t *p;

	if (n <= c->cap - c->len)
		return true;
	p = realloc(c->out, more);
	if (!p)
		return false;
	c->out = p;
	c->cap = more;
	return true;
}

static int unpack(struct cabinet *c, unsigned method, const uint8_t *p, size_t len, size_t out_len,
		  size_t before)
{
	uint8_t *out = c->out + c->len;

	if (method == STORED) {
		if (len != out_len)
			return -EBADMSG;
		memcpy(out, p, len);
		return 0;
	}
	if (len < 2 || memcmp(p, "CK", 2))
		return -EBADMSG;
	before = before < BLOCK_MAX ? before : BLOCK_MAX;
	return inflate_block(p + 2, len - 2, out - before, before, out, out_len);
}

/* One block at *@off. @before: bytes of the same folder that came out so far. */
static int take_block(struct cabinet *c, unsigned method, size_t *off, size_t before)
{
	const struct block *b = span_at(c->s, *off, sizeof(*b));
	size_t len = b ? le16(b->packed) : 0, out_len = b ? le16(b->unpacked) : 0;
	const uint8_t *p = b ? span_at(c->s, *off + sizeof(*b) + c->block_extra, len) : NULL;
	int r;

	if (!p || out_len > BLOCK_MAX)
		return -EBADMSG;
	if (le32(b->sum) &&
	    sum((const uint8_t *)b + 4, 4 + c->block_extra, sum(p, len, 0)) != le32(b->sum))
		return -EBADMSG;
	if (c->len >= c->max)
		return -EBADMSG;
	if (!room(c, out_len))
		return -ENOMEM;
	r = unpack(c, method, p, len, out_len, before);
	if (!r)
		c->len += out_len;
	*off += sizeof(*b) + c->block_extra + len;
	return r;
}

static int take_folder(struct cabinet *c, const struct folder *f)
{
	unsigned method = le16(f->method) & METHOD;
	size_t off = le32(f->off), first = c->len;
	int r = method == STORED || method == MSZIP ? 0 : -EOPNOTSUPP;

	for (unsigned i = 0; i < le16(f->blocks) && !r; i++)
		r = take_block(c, method, &off, c->len - first);
	return r;
}

/* Names of the cabinets before and after this one: strings, two each. */
static bool skip_names(struct cabinet *c, unsigned flags, size_t *off)
{
	unsigned n = 2 * (!!(flags & HAS_PREVIOUS) + !!(flags & HAS_NEXT));

	for (; n; n--) {
		const uint8_t *end =
			*off < c->s.len ? memchr(c->s.p + *off, 0, c->s.len - *off) : NULL;

		if (!end)
			return false;
		*off = (size_t)(end - c->s.p) + 1;
	}
	return true;
}

int cabinet_unpack(const uint8_t *p, size_t len, size_t max, uint8_t **out, size_t *out_len)
{
	struct cabinet c = {.s = {p, len, 0}, .max = max};
	const struct header *h = span_at(c.s, 0, sizeof(*h));
	size_t off = sizeof(*h);
	int r = h && !memcmp(h->magic, "MSCF", 4) ? 0 : -EBADMSG;

	*out = NULL;
	*out_len = 0;
	if (!r && le16(h->flags) & HAS_RESERVE) {
		const uint8_t *extra = span_at(c.s, off, 4);

		if (!extra)
			return -EBADMSG;
		off += 4 + (size_t)(extra[0] | extra[1] << 8);
		c.folder_extra = extra[2];
		c.block_extra = extra[3];
	}
	if (!r && !skip_names(&c, le16(h->flags), &off))
		r = -EBADMSG;
	for (unsigned i = 0; !r && i < le16(h->folders); i++) {
		const struct folder *f = span_at(c.s, off, sizeof(*f));

		r = f ? take_folder(&c, f) : -EBADMSG;
		off += sizeof(*f) + c.folder_extra;
	}
	if (r == -ENOMEM || !c.len) {
		free(c.out);
		return r ? r : -EBADMSG;
	}
	*out = c.out;
	*out_len = c.len < max ? c.len : max;
	return c.len > max ? -EBADMSG : r;
}
