/* SPDX-License-Identifier: Apache-2.0 */
/* LVM2: the metadata text: key = value, section { ... }, lists, comments to the end of a line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/part/lvm2.h"

enum { NODES_MAX = 1 << 20, NESTED_MAX = 16 };

struct parser {
	struct lvm_text *t;
	char *p, *end;
	int err;
};

static void skip(struct parser *s)
{
	while (s->p < s->end) {
		if (*s->p == '#')
			while (s->p < s->end && *s->p != '\n')
				s->p++;
		else if (!strchr(" \t\r\n", *s->p) || !*s->p)
			return;
		else
			s->p++;
	}
}

static bool at(struct parser *s, char c)
{
	skip(s);
	if (s->p == s->end || *s->p != c)
		return false;
	*s->p++ = '\0'; /* ends a key or a number that stands right before it */
	return true;
}

static uint32_t add(struct parser *s, enum lvm_kind kind, const char *key)
{
	struct lvm_text *t = s->t;

	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 256;
		struct lvm_node *more =
			t->n < NODES_MAX ? realloc(t->node, cap * sizeof(*more)) : NULL;

		if (!more) {
			s->err = t->n < NODES_MAX ? -ENOMEM : -EBADMSG;
			return 0;
		}
		t->node = more;
		t->cap = cap;
	}
	t->node[t->n] = (struct lvm_node){.kind = kind, .key = key};
	return (uint32_t)t->n++;
}

/* @n becomes the last child of @of; @last: the one before it. */
static void link_up(struct parser *s, uint32_t of, uint32_t *last, uint32_t n)
{
	if (s->err)
		return;
	if (*last)
		s->t->node[*last].next = n;
	else
		s->t->node[of].child = n;
	*last = n;
}

static uint32_t string(struct parser *s, const char *key)
{
	uint32_t n = add(s, LVM_STRING, key);
	char *to = s->p;
	const char *start = to;

	for (; s->p < s->end && *s->p != '"'; s->p++) {
		if (*s->p == '\\' && s->p + 1 < s->end)
			s->p++;
		*to++ = *s->p;
	}
	if (s->p == s->end) {
		s->err = -EBADMSG;
		return 0;
	}
	s->p++;
	*to = '\0';
	if (!s->err)
		s->t->node[n].text = start;
	return n;
}

static uint32_t number(struct parser *s, const char *key)
{
	uint32_t n = add(s, LVM_NUMBER, key);
	bool minus = s->p < s->end && *s->p == '-';
	uint64_t v = 0;
	char *start;

	s->p += minus;
	start = s->p;
	while (s->p < s->end && *s->p >= '0' && *s->p <= '9' && v < UINT64_MAX / 20)
		v = v * 10 + (uint64_t)(*s->p++ - '0');
	if (s->p == start)
		s->err = -EBADMSG;
	/* A fraction says nothing that we need. */
	while (s->p < s->end && (*s->p == '.' || (*s->p >= '0' && *s->p <= '9')))
		s->p++;
	if (!s->err)
		s->t->node[n].number = minus ? -(int64_t)v : (int64_t)v;
	return n;
}

static uint32_t value(struct parser *s, const char *key)
{
	uint32_t n, last = 0;

	if (at(s, '"'))
		return string(s, key);
	if (!at(s, '[')) {
		skip(s);
		return number(s, key);
	}
	n = add(s, LVM_LIST, key);
	while (!s->err && !at(s, ']')) {
		link_up(s, n, &last, at(s, '"') ? string(s, NULL) : (skip(s), number(s, NULL)));
		if (!s->err && !at(s, ',')) {
			if (!at(s, ']'))
				s->err = -EBADMSG;
			break;
		}
	}
	return n;
}

static bool is_key(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("_-+.@", c));
}

static void section(struct parser *s, uint32_t of, unsigned depth)
{
	uint32_t last = 0;

	while (!s->err) {
		char *key;
		uint32_t n;

		skip(s);
		if (s->p == s->end ? !depth : depth && at(s, '}'))
			return;
		key = s->p;
		while (s->p < s->end && is_key(*s->p))
			s->p++;
		if (s->p == key || s->p == s->end || depth > NESTED_MAX) {
			s->err = -EBADMSG;
			return;
		}
		/* The character behind a key is blank, or one that at() takes. */
		if (strchr(" \t\r\n", *s->p))
			*s->p++ = '\0';
		if (at(s, '{')) {
			n = add(s, LVM_SECTION, key);
			if (!s->err)
				section(s, n, depth + 1);
		} else if (at(s, '=')) {
			n = value(s, key);
		} else {
			s->err = -EBADMSG;
			return;
		}
		link_up(s, of, &last, n);
	}
}

int lvm_text_parse(const char *text, size_t len, struct lvm_text *t)
{
	struct parser s = {.t = t};

	*t = (struct lvm_text){.buf = malloc(len + 1)};
	if (!t->buf)
		return -ENOMEM;
	memcpy(t->buf, text, len);
	t->buf[len] = '\0';
	s.p = t->buf;
	s.end = t->buf + strlen(t->buf);
	add(&s, LVM_SECTION, NULL);
	if (!s.err)
		section(&s, 0, 0);
	if (s.err)
		lvm_text_free(t);
	return s.err;
}

void lvm_text_free(struct lvm_text *t)
{
	free(t->buf);
	free(t->node);
	*t = (struct lvm_text){0};
}

const struct lvm_node *lvm_get(const struct lvm_text *t, const struct lvm_node *of, const char *key)
{
	const struct lvm_node *n = of && of->kind == LVM_SECTION ? lvm_child(t, of) : NULL;

	while (n && strcmp(n->key, key))
		n = lvm_next(t, n);
	return n;
}

const char *lvm_string(const struct lvm_text *t, const struct lvm_node *of, const char *key)
{
	const struct lvm_node *n = lvm_get(t, of, key);

	return n && n->kind == LVM_STRING ? n->text : NULL;
}

uint64_t lvm_number(const struct lvm_text *t, const struct lvm_node *of, const char *key,
		    uint64_t missing)
{
	const struct lvm_node *n = lvm_get(t, of, key);

	return n && n->kind == LVM_NUMBER && n->number >= 0 ? (uint64_t)n->number : missing;
}
