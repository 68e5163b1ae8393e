/* SPDX-License-Identifier: Apache-2.0 */
/* Canonical tokens made a tree. They were checked when they were made canonical: no surprises here. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "formats/log/binxml_parts.h"
#include "vdiskck/core/endian.h"

struct builder {
	struct bx_template *t;
	uint32_t cap, depth;
	struct {
		uint32_t node, last; /* whose children come, and the last of them so far */
	} open[BX_DEPTH + 2];	     /* the root, elements, an attribute of the innermost */
};

static struct bx_node *add(struct builder *b, enum bx_kind kind, uint32_t p, uint32_t len)
{
	struct bx_template *t = b->t;
	struct bx_node *n;
	uint32_t at = t->nodes;

	if (at == b->cap) {
		uint32_t cap = b->cap ? 2 * b->cap : 64;

		n = realloc(t->node, cap * sizeof(*n));
		if (!n)
			return NULL;
		t->node = n;
		b->cap = cap;
	}
	n = &t->node[t->nodes++];
	*n = (struct bx_node){.kind = kind, .p = p, .len = len};
	if (at) {
		uint32_t last = b->open[b->depth].last;

		if (last)
			t->node[last].next = at;
		else
			t->node[b->open[b->depth].node].child = at;
		b->open[b->depth].last = at;
	}
	return n;
}

static void descend(struct builder *b)
{
	assert(b->depth + 1 < sizeof(b->open) / sizeof(*b->open));
	b->open[++b->depth].node = b->t->nodes - 1;
	b->open[b->depth].last = 0;
}

/* An attribute ends where another begins, or the start tag does. */
static void leave(struct builder *b, enum bx_kind kind)
{
	if (b->t->node[b->open[b->depth].node].kind == kind)
		b->depth--;
}

static uint16_t u16_at(const uint8_t *p)
{
	le16_t v;

	memcpy(&v, p, sizeof(v));
	return le16(v);
}

/* One token at canon[at]; returns where the next one is, 0: no memory. */
static uint32_t step(struct builder *b, uint32_t at)
{
	const uint8_t *p = b->t->canon + at;
	enum bx_op op = (enum bx_op)p[0];
	uint32_t len = 0;
	struct bx_node *n = NULL;

	if (op != BX_OP_PI_DATA)
		leave(b, BX_PI);
	switch (op) {
	case BX_OP_CONTENT: leave(b, BX_ATTR); return at + 1;
	case BX_OP_EMPTY: leave(b, BX_ATTR); /* fall through */
	case BX_OP_END: b->depth--; return at + 1;
	case BX_OP_SUB:
		n = add(b, BX_SUB, 0, 0);
		if (!n)
			return 0;
		n->index = u16_at(p + 1);
		n->type = p[3];
		n->optional = p[4];
		if (n->index >= b->t->subs)
			b->t->subs = n->index + 1u;
		return at + 5;
	case BX_OP_VALUE:
		n = add(b, BX_STATIC, at + 4, p[2]);
		if (!n)
			return 0;
		n->type = p[1];
		return at + 4 + p[2];
	default: len = 2u * u16_at(p + 1);
	}
	if (op == BX_OP_ATTRIBUTE)
		leave(b, BX_ATTR);
	n = add(b,
		op == BX_OP_OPEN	? BX_ELEMENT
		: op == BX_OP_ATTRIBUTE ? BX_ATTR
		: op == BX_OP_PI	? BX_PI
					: BX_LITERAL,
		at + 3, len);
	if (!n)
		return 0;
	if (op == BX_OP_ENTITY)
		n->type = BX_OP_ENTITY;
	if (op == BX_OP_OPEN || op == BX_OP_ATTRIBUTE || op == BX_OP_PI)
		descend(b);
	return at + 3 + len;
}

int bx_tree(struct bx_template *t)
{
	struct builder b = {.t = t};

	if (!add(&b, BX_ELEMENT, 0, 0))
		return -ENOMEM;
	for (uint32_t at = 0; at < t->canon_len;) {
		at = step(&b, at);
		if (!at)
			return -ENOMEM;
	}
	return 0;
}

bool bx_name_is(const struct bx_template *t, const struct bx_node *n, const char *ascii)
{
	const uint8_t *p = t->canon + n->p;
	size_t len = strlen(ascii);

	if (n->len != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (p[2 * i] != (uint8_t)ascii[i] || p[2 * i + 1])
			return false;
	return true;
}

uint32_t bx_child(const struct bx_template *t, uint32_t parent, enum bx_kind kind, const char *name)
{
	for (uint32_t i = t->node[parent].child; i; i = t->node[i].next)
		if (t->node[i].kind == kind && bx_name_is(t, &t->node[i], name))
			return i;
	return 0;
}
