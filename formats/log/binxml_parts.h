/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the BinXML reader share; nobody else includes this. */
#ifndef VDISKCK_FORMATS_LOG_BINXML_PARTS_H
#define VDISKCK_FORMATS_LOG_BINXML_PARTS_H

#include "formats/log/binxml.h"

/* A tree of a template. Children, and attributes before them, are linked in order. */
enum bx_kind { BX_ELEMENT, BX_ATTR, BX_LITERAL, BX_STATIC, BX_SUB, BX_PI };

struct bx_node {
	enum bx_kind kind;
	bool optional;	 /* SUB */
	uint8_t type;	 /* SUB: as declared; STATIC: of the value */
	uint16_t index;	 /* SUB */
	uint32_t p, len; /* in the canonical bytes: name, text (UTF-16), value */
	uint32_t child;	 /* ELEMENT, ATTR, PI: first of what is in it; 0: none */
	uint32_t next;	 /* 0: none */
};

struct bx_program;

struct bx_template {
	uint8_t guid[16];
	struct bx_template *next; /* in its bucket of the pool, or of the chunk's own */
	const uint8_t *canon;
	size_t canon_len;
	struct bx_node *node; /* [0] is the root: its children are the fragment's elements */
	uint32_t nodes;
	uint32_t subs; /* one more than the highest index */
	struct bx_program *json;
	size_t bytes; /* of memory, all in all */
};

/* A template with values: those of x->stack from @mark on, which moves when it grows. */
struct bx_instance {
	const struct bx_template *t; /* NULL: its definition is gone */
	uint8_t id[4];
	uint32_t n;
	size_t mark;
};

struct bx {
	struct bx_pool *pool;
	struct bx_chunk c;
	struct { /* definitions of this chunk, by offset: a cache, one entry per slot */
		uint32_t off;
		const struct bx_template *t;
	} slot[256];
	struct bx_template *own; /* of this chunk, not in the pool */
	size_t own_bytes;
	struct buf canon;	/* scratch */
	struct buf names;	/* texts of bx_fields */
	struct buf inserts;	/* of bx_inserts() */
	struct bx_instance top; /* the event's, until the next one */
	struct bx_value *stack; /* values of the instances that are open */
	size_t stack_n, stack_cap;
	unsigned depth;
	unsigned failed;
	size_t chunk_out; /* text written for this chunk */
	size_t limit;	  /* of out->len, for this record */
};

/* binxml_tree.c */
int bx_tree(struct bx_template *t);
bool bx_name_is(const struct bx_template *t, const struct bx_node *n, const char *ascii);
/* bx_child() - the first element (or attribute) child of that name; 0: none */
uint32_t bx_child(const struct bx_template *t, uint32_t parent, enum bx_kind kind,
		  const char *name);

/* binxml_json.c: the program that writes the template's elements as members, each ",", ended */
struct bx_program *bx_compile(const struct bx_template *t);
void bx_program_free(struct bx_program *p);
size_t bx_program_bytes(const struct bx_program *p);
/* bx_run() - write the members to @out; what is too much is cut, and x->failed says so */
void bx_run(struct bx *x, const struct bx_instance *in, struct buf *out);
/* bx_system() - what the event line wants, from a template with System in it */
void bx_system(struct bx *x, const struct bx_instance *in, struct bx_fields *f);

/* binxml_xml.c */
void bx_print(struct bx *x, const struct bx_instance *in, struct buf *out);

/* binxml_value.c */
/* bx_value_json() - a JSON value; an array's items, with commas between, if @flat */
void bx_value_json(struct buf *b, const struct bx_value *v, bool flat);
/* bx_value_text() - as it stands in a string: JSON's escapes, XML's, or none */
enum bx_quoting { BX_FOR_JSON, BX_FOR_XML, BX_PLAIN };
void bx_value_text(struct buf *b, const struct bx_value *v, enum bx_quoting q);
/* bx_value_item() - cut the first item off an array @v; false: there is no more */
bool bx_value_item(struct bx_value *v, struct bx_value *item);
bool bx_value_u64(const struct bx_value *v, uint64_t *out);
/* bx_value_empty() - nothing to put into the text: an optional element with it is left out */
static inline bool bx_value_empty(const struct bx_value *v)
{
	return v->type == BX_NULL || !v->len;
}

/* binxml_template.c */
/* bx_open() - read the fragment's template instance; or its elements, as a template of its own */
bool bx_open(struct bx *x, size_t off, size_t len, bool in_value, struct bx_instance *in);
void bx_close(struct bx *x, struct bx_instance *in);
/* bx_value() - value @i of an instance; NULL type if it has fewer */
static inline struct bx_value bx_value(const struct bx *x, const struct bx_instance *in, uint32_t i)
{
	return i < in->n ? x->stack[in->mark + i] : (struct bx_value){NULL, 0, BX_NULL};
}
/* bx_nested() - the fragment that is value @v, as members (JSON) or elements (XML) */
void bx_nested(struct bx *x, struct bx_value v, struct buf *out, enum bx_quoting q);

#endif
