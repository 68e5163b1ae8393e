/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A template compiled to a program that writes JSON. The form is the one that is common among EVTX
 * parsers: an element is a member by its name; one with attributes is an object with
 * "#attributes" and "#text"; <Data Name="x"> is a member "x". Elements of one name that follow
 * each other are an array, and <Data> without a name always is. An element or attribute whose
 * optional value is empty is not there, as in Windows' XML.
 */
#include <stdlib.h>

#include "formats/log/binxml_program.h"
#include "vdiskck/core/text.h"

struct compiler {
	const struct bx_template *t;
	struct bx_program *p;
};

#define NOT_SKIPPED UINT32_MAX

void bx_program_free(struct bx_program *p)
{
	if (!p)
		return;
	free(p->v);
	buf_free(&p->text);
	free(p);
}

size_t bx_program_bytes(const struct bx_program *p)
{
	return sizeof(*p) + p->cap * sizeof(*p->v) + p->text.cap;
}

static uint32_t emit(struct bx_program *p, struct instruction in)
{
	if (p->n == p->cap) {
		uint32_t cap = p->cap ? 2 * p->cap : 32;
		struct instruction *v = realloc(p->v, cap * sizeof(*v));

		if (!v) {
			p->failed = true;
			return 0;
		}
		p->v = v;
		p->cap = cap;
	}
	p->v[p->n] = in;
	return p->n++;
}

static void patch(struct bx_program *p, uint32_t at)
{
	if (!p->failed)
		p->v[at].a = p->n;
	p->label = p->n;
}

/* What was appended to p->text since @from is to be written. */
static void emit_text(struct bx_program *p, size_t from)
{
	struct instruction *last = p->n && p->n > p->label ? &p->v[p->n - 1] : NULL;
	uint32_t len = (uint32_t)(p->text.len - from);

	if (!len || p->failed)
		return;
	if (last && last->code == P_TEXT && last->a + last->b == from)
		last->b += len;
	else
		emit(p, (struct instruction){.code = P_TEXT, .a = (uint32_t)from, .b = len});
}

static void literal(struct bx_program *p, const char *s)
{
	size_t from = p->text.len;

	buf_str(&p->text, s);
	emit_text(p, from);
}

static void close_with(struct bx_program *p, char bracket)
{
	emit(p, (struct instruction){.code = P_CLOSE, .a = (uint8_t)bracket});
}

static const struct bx_node *node(const struct compiler *c, uint32_t i)
{
	return &c->t->node[i];
}

/* The first child that is no attribute. */
static uint32_t content(const struct compiler *c, uint32_t i)
{
	uint32_t k = node(c, i)->child;

	while (k && node(c, k)->kind == BX_ATTR)
		k = node(c, k)->next;
	return k;
}

/* Is @i the only thing where it stands? */
static bool alone(const struct compiler *c, uint32_t i, enum bx_kind kind)
{
	return i && node(c, i)->kind == kind && !node(c, i)->next;
}

/* The Name of <Data Name="..."> where the template itself says it; 0: no such thing. */
static uint32_t data_name(const struct compiler *c, uint32_t i)
{
	uint32_t name =
		bx_name_is(c->t, node(c, i), "Data") ? bx_child(c->t, i, BX_ATTR, "Name") : 0;
	uint32_t text = name ? node(c, name)->child : 0;

	return text && alone(c, text, BX_LITERAL) && node(c, text)->type != BX_OP_ENTITY ? name : 0;
}

static const struct bx_node *key(const struct compiler *c, uint32_t i)
{
	uint32_t name = data_name(c, i);

	return node(c, name ? node(c, name)->child : i);
}

static bool same_key(const struct compiler *c, uint32_t i, uint32_t k)
{
	const struct bx_node *a = key(c, i), *b = key(c, k);

	return a->len == b->len && !memcmp(c->t->canon + a->p, c->t->canon + b->p, a->len);
}

static void append_literal(struct compiler *c, const struct bx_node *n)
{
	static const struct {
		const char *name, *text;
	} entity[] = {{"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\\\""}, {"apos", "'"}};
	struct buf *b = &c->p->text;

	if (n->kind == BX_STATIC) {
		bx_value_text(b, &(struct bx_value){c->t->canon + n->p, n->len, n->type},
			      BX_FOR_JSON);
		return;
	}
	if (n->type != BX_OP_ENTITY) {
		buf_json_utf16(b, c->t->canon + n->p, n->len / 2);
		return;
	}
	for (size_t i = 0; i < sizeof(entity) / sizeof(*entity); i++)
		if (bx_name_is(c->t, n, entity[i].name)) {
			buf_str(b, entity[i].text);
			return;
		}
	buf_char(b, '&');
	buf_json_utf16(b, c->t->canon + n->p, n->len / 2);
	buf_char(b, ';');
}

static void emit_literal(struct compiler *c, const struct bx_node *n)
{
	size_t from = c->p->text.len;

	buf_char(&c->p->text, '"');
	append_literal(c, n);
	buf_char(&c->p->text, '"');
	emit_text(c->p, from);
}

/* If @i is nothing but a value, begin what is left out when that is empty; NOT_SKIPPED: it is not. */
static uint32_t begin_optional(struct compiler *c, uint32_t i, bool any)
{
	if (!alone(c, i, BX_SUB) || !(any || node(c, i)->optional))
		return NOT_SKIPPED;
	return emit(c->p, (struct instruction){.code = P_UNLESS, .index = node(c, i)->index});
}

static void end_optional(struct compiler *c, uint32_t at)
{
	if (at != NOT_SKIPPED)
		patch(c->p, at);
}

/* Text, values, and both mixed, from @i on: one JSON value. */
static void emit_scalar(struct compiler *c, uint32_t i, bool flat)
{
	struct bx_program *p = c->p;

	if (!i) {
		literal(p, "null");
	} else if (alone(c, i, BX_SUB)) {
		emit(p, (struct instruction){
				.code = P_VALUE, .index = node(c, i)->index, .flat = flat});
	} else if (alone(c, i, BX_STATIC)) {
		const struct bx_node *n = node(c, i);
		size_t from = p->text.len;

		bx_value_json(&p->text, &(struct bx_value){c->t->canon + n->p, n->len, n->type},
			      false);
		emit_text(p, from);
	} else {
		literal(p, "\"");
		for (; i; i = node(c, i)->next) {
			const struct bx_node *n = node(c, i);
			size_t from = p->text.len;

			if (n->kind == BX_SUB)
				emit(p, (struct instruction){.code = P_STRING, .index = n->index});
			else if (n->kind == BX_LITERAL || n->kind == BX_STATIC)
				append_literal(c, n);
			emit_text(p, from);
		}
		literal(p, "\"");
	}
}

static void emit_key(struct compiler *c, const struct bx_node *n, unsigned again)
{
	struct buf *b = &c->p->text;
	size_t from = b->len;

	buf_char(b, '"');
	buf_json_utf16(b, c->t->canon + n->p, n->len / 2);
	if (again) {
		buf_char(b, '_');
		buf_u64(b, again);
	}
	buf_lit(b, "\":");
	emit_text(c->p, from);
}

static void emit_attributes(struct compiler *c, uint32_t i, uint32_t without)
{
	for (uint32_t k = node(c, i)->child; k; k = node(c, k)->next) {
		uint32_t value = node(c, k)->child, skip;

		if (node(c, k)->kind != BX_ATTR || k == without)
			continue;
		skip = begin_optional(c, value, true);
		emit_key(c, node(c, k), 0);
		emit_scalar(c, value, false);
		literal(c->p, ",");
		end_optional(c, skip);
	}
}

/* How many attributes, and is there one that can't be empty? */
static unsigned count_attributes(const struct compiler *c, uint32_t i, uint32_t without,
				 bool *certain)
{
	unsigned n = 0;

	*certain = false;
	for (uint32_t k = node(c, i)->child; k; k = node(c, k)->next) {
		if (node(c, k)->kind != BX_ATTR || k == without)
			continue;
		n++;
		*certain |= !alone(c, node(c, k)->child, BX_SUB);
	}
	return n;
}

/* Does it hold elements, or a value that is declared to? */
static bool is_object(const struct compiler *c, uint32_t i)
{
	for (uint32_t k = content(c, i); k; k = node(c, k)->next)
		if (node(c, k)->kind == BX_ELEMENT ||
		    (node(c, k)->kind == BX_SUB && node(c, k)->type == BX_XML))
			return true;
	return false;
}

static void emit_members(struct compiler *c, uint32_t i);

static void emit_with_attributes(struct compiler *c, uint32_t i, uint32_t without, bool certain)
{
	struct bx_program *p = c->p;
	uint32_t none = 0, over, text = content(c, i);

	if (certain)
		literal(p, "{\"#attributes\":{");
	else
		emit(p, (struct instruction){.code = P_ATTRIBUTES});
	emit_attributes(c, i, without);
	if (certain)
		close_with(p, '}');
	else
		none = emit(p, (struct instruction){.code = P_NONE});
	if (is_object(c, i)) {
		if (!certain) {
			over = emit(p, (struct instruction){.code = P_JUMP});
			patch(p, none);
			literal(p, "{");
			patch(p, over);
		}
		emit_members(c, i);
		close_with(p, '}');
		return;
	}
	if (text) {
		literal(p, "\"#text\":");
		emit_scalar(c, text, false);
		literal(p, "},");
	} else {
		close_with(p, '}');
	}
	if (!certain) {
		over = emit(p, (struct instruction){.code = P_JUMP});
		patch(p, none);
		emit_scalar(c, text, false);
		literal(p, ",");
		patch(p, over);
	}
}

/* An element without its key: a value, and a comma. */
static void emit_element(struct compiler *c, uint32_t i, bool in_array)
{
	uint32_t without = data_name(c, i);
	bool certain;

	if (count_attributes(c, i, without, &certain)) {
		emit_with_attributes(c, i, without, certain);
	} else if (is_object(c, i)) {
		literal(c->p, "{");
		emit_members(c, i);
		close_with(c->p, '}');
	} else {
		emit_scalar(c, content(c, i), in_array);
		literal(c->p, ",");
	}
}

/* Elements [i, end) of one key, as one member. */
static void emit_group(struct compiler *c, uint32_t i, uint32_t end, unsigned again)
{
	bool array = node(c, i)->next != end ||
		     (!data_name(c, i) && bx_name_is(c->t, node(c, i), "Data"));
	uint32_t skip = array ? NOT_SKIPPED : begin_optional(c, content(c, i), false), gone;

	emit_key(c, key(c, i), again);
	if (array)
		literal(c->p, "[");
	for (; i != end; i = node(c, i)->next) {
		gone = array ? begin_optional(c, content(c, i), false) : NOT_SKIPPED;
		emit_element(c, i, array);
		end_optional(c, gone);
	}
	if (array)
		close_with(c->p, ']');
	end_optional(c, skip);
}

/* How many groups before @i have its key? A limit keeps hostile templates from being quadratic. */
static unsigned repeats(const struct compiler *c, uint32_t first, uint32_t i)
{
	unsigned n = 0, budget = 256;

	for (uint32_t k = first; k && k != i && budget--; k = node(c, k)->next)
		if (node(c, k)->kind == BX_ELEMENT && same_key(c, k, i) &&
		    (node(c, k)->next == i || !node(c, k)->next ||
		     node(c, node(c, k)->next)->kind != BX_ELEMENT ||
		     !same_key(c, node(c, k)->next, i)))
			n++;
	return n;
}

static void emit_members(struct compiler *c, uint32_t i)
{
	uint32_t first = content(c, i), end;

	for (uint32_t k = first; k; k = end) {
		const struct bx_node *n = node(c, k);

		end = n->next;
		if (n->kind == BX_SUB)
			emit(c->p, (struct instruction){.code = P_MEMBERS, .index = n->index});
		if (n->kind == BX_LITERAL || n->kind == BX_STATIC) {
			literal(c->p, "\"#text\":");
			emit_literal(c, n);
			literal(c->p, ",");
		}
		if (n->kind != BX_ELEMENT)
			continue;
		/* The event is the object that the caller writes; it has no attribute but its namespace. */
		if (bx_name_is(c->t, n, "Event") && !i) {
			emit_members(c, k);
			continue;
		}
		while (end && node(c, end)->kind == BX_ELEMENT && same_key(c, k, end))
			end = node(c, end)->next;
		emit_group(c, k, end, repeats(c, first, k));
	}
}

/* The text or value of element or attribute @i. */
static void find_field(struct compiler *c, uint32_t i, struct field *f)
{
	uint32_t k = i ? content(c, i) : 0;
	struct buf *b = &c->p->text;

	if (alone(c, k, BX_SUB)) {
		f->where = IN_VALUE;
		f->index = node(c, k)->index;
	} else if (alone(c, k, BX_LITERAL) && node(c, k)->type != BX_OP_ENTITY) {
		f->where = IN_TEMPLATE;
		f->off = (uint32_t)b->len;
		buf_utf16(b, c->t->canon + node(c, k)->p, node(c, k)->len / 2);
		f->len = (uint32_t)(b->len - f->off);
	}
}

static void find_fields(struct compiler *c)
{
	const struct bx_template *t = c->t;
	uint32_t event = bx_child(t, 0, BX_ELEMENT, "Event");
	uint32_t system = event ? bx_child(t, event, BX_ELEMENT, "System") : 0, i;
	struct field *f = c->p->field;

	if (!system)
		return;
	i = bx_child(t, system, BX_ELEMENT, "Provider");
	find_field(c, i ? bx_child(t, i, BX_ATTR, "Name") : 0, &f[PROVIDER]);
	find_field(c, i ? bx_child(t, i, BX_ATTR, "Guid") : 0, &f[PROVIDER_ID]);
	if (f[PROVIDER_ID].where == IN_TEMPLATE &&
	    !guid_parse_le(c->p->text.p + f[PROVIDER_ID].off, f[PROVIDER_ID].len,
			   c->p->provider_id))
		f[PROVIDER_ID].where = NOWHERE;
	i = bx_child(t, system, BX_ELEMENT, "TimeCreated");
	find_field(c, i ? bx_child(t, i, BX_ATTR, "SystemTime") : 0, &f[TIME]);
	find_field(c, bx_child(t, system, BX_ELEMENT, "Channel"), &f[CHANNEL]);
	find_field(c, bx_child(t, system, BX_ELEMENT, "Computer"), &f[COMPUTER]);
	i = bx_child(t, system, BX_ELEMENT, "EventID");
	find_field(c, i, &f[EVENT_ID]);
	find_field(c, i ? bx_child(t, i, BX_ATTR, "Qualifiers") : 0, &f[QUALIFIERS]);
	find_field(c, bx_child(t, system, BX_ELEMENT, "Version"), &f[VERSION]);
	find_field(c, bx_child(t, system, BX_ELEMENT, "EventRecordID"), &f[RECORD_ID]);
	find_field(c, bx_child(t, system, BX_ELEMENT, "Level"), &f[LEVEL]);
}

struct bx_program *bx_compile(const struct bx_template *t)
{
	struct bx_program *p = calloc(1, sizeof(*p));
	struct compiler c = {t, p};

	if (!p)
		return NULL;
	emit_members(&c, 0);
	find_fields(&c);
	buf_room(&p->text, BUF_BLOCK); /* for buf_short() */
	if (p->failed || p->text.failed) {
		bx_program_free(p);
		p = NULL;
	}
	return p;
}
