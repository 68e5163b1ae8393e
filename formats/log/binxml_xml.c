/* SPDX-License-Identifier: Apache-2.0 */
/* A template and its values as XML, as Windows' event viewer shows it, without indentation. */
#include "formats/log/binxml_parts.h"

struct printer {
	struct bx *x;
	const struct bx_instance *in;
	struct buf *out;
};

static void put_name(const struct printer *p, const struct bx_node *n)
{
	buf_xml_utf16(p->out, p->in->t->canon + n->p, n->len / 2);
}

static const struct bx_node *node(const struct printer *p, uint32_t i)
{
	return &p->in->t->node[i];
}

/* The only thing at @i is an optional value, and that is empty. */
static bool left_out(const struct printer *p, uint32_t i, bool any)
{
	struct bx_value v;

	if (!i || node(p, i)->next || node(p, i)->kind != BX_SUB || !(any || node(p, i)->optional))
		return false;
	v = bx_value(p->x, p->in, node(p, i)->index);
	return bx_value_empty(&v);
}

static void put_text(const struct printer *p, const struct bx_node *n)
{
	const uint8_t *at = p->in->t->canon + n->p;
	struct bx_value v = {at, n->len, n->type};

	if (n->kind == BX_SUB)
		v = bx_value(p->x, p->in, n->index);
	if (n->kind == BX_SUB && v.type == BX_XML) {
		bx_nested(p->x, v, p->out, BX_FOR_XML);
	} else if (n->kind == BX_SUB || n->kind == BX_STATIC) {
		bx_value_text(p->out, &v, BX_FOR_XML);
	} else if (n->kind == BX_LITERAL && n->type == BX_OP_ENTITY) {
		buf_char(p->out, '&');
		put_name(p, n);
		buf_char(p->out, ';');
	} else if (n->kind == BX_LITERAL) {
		buf_xml_utf16(p->out, at, n->len / 2);
	}
}

static void put_attribute(const struct printer *p, uint32_t i)
{
	if (left_out(p, node(p, i)->child, true))
		return;
	buf_char(p->out, ' ');
	put_name(p, node(p, i));
	buf_lit(p->out, "=\"");
	for (uint32_t k = node(p, i)->child; k; k = node(p, k)->next)
		put_text(p, node(p, k));
	buf_char(p->out, '"');
}

static void put_children(const struct printer *p, uint32_t i);

/* One element; with @item in the place of its only content, if that is an array. */
static void put_element(const struct printer *p, uint32_t i, const struct bx_value *item)
{
	uint32_t text = node(p, i)->child;

	buf_char(p->out, '<');
	put_name(p, node(p, i));
	for (; text && node(p, text)->kind == BX_ATTR; text = node(p, text)->next)
		put_attribute(p, text);
	if (!text) {
		buf_lit(p->out, "/>");
		return;
	}
	buf_char(p->out, '>');
	if (item)
		bx_value_text(p->out, item, BX_FOR_XML);
	else
		put_children(p, text);
	buf_lit(p->out, "</");
	put_name(p, node(p, i));
	buf_char(p->out, '>');
}

/* An element whose content is an array is written once for each item. */
static void put_elements(const struct printer *p, uint32_t i)
{
	uint32_t text = node(p, i)->child;
	struct bx_value v = {NULL, 0, BX_NULL}, item;

	while (text && node(p, text)->kind == BX_ATTR)
		text = node(p, text)->next;
	if (left_out(p, text, false))
		return;
	if (text && !node(p, text)->next && node(p, text)->kind == BX_SUB)
		v = bx_value(p->x, p->in, node(p, text)->index);
	if (!(v.type & BX_ARRAY) || !v.len) {
		put_element(p, i, NULL);
		return;
	}
	while (bx_value_item(&v, &item) && p->out->len <= p->x->limit)
		put_element(p, i, &item);
}

static void put_children(const struct printer *p, uint32_t i)
{
	for (; i && p->out->len <= p->x->limit; i = node(p, i)->next) {
		const struct bx_node *n = node(p, i);

		if (n->kind == BX_ELEMENT) {
			put_elements(p, i);
		} else if (n->kind == BX_PI) {
			buf_lit(p->out, "<?");
			put_name(p, n);
			for (uint32_t k = n->child; k; k = node(p, k)->next) {
				buf_char(p->out, ' ');
				put_name(p, node(p, k));
			}
			buf_lit(p->out, "?>");
		} else {
			put_text(p, n);
		}
	}
}

void bx_print(struct bx *x, const struct bx_instance *in, struct buf *out)
{
	struct printer p = {x, in, out};

	put_children(&p, in->t->node[0].child);
}
