/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/entry_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An entry, then its texts in this order; its pointers say which it has. */
struct item {
	size_t len; /* of all of it: the next one follows */
	struct fs_entry e;
	char text[];
};

static size_t text_len(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

static char *put(char *to, const char *text, size_t len)
{
	if (len)
		memcpy(to, text, len);
	return to + len;
}

int entry_list_add(struct entry_list *v, const struct fs_entry *e)
{
	size_t path = text_len(e->path), stream = text_len(e->stream);
	size_t target = text_len(e->target), remark = text_len(e->remark);
	size_t len = sizeof(struct item) + path + stream + target + remark;
	struct item *i;
	char *to;

	len = (len + _Alignof(struct item) - 1) & ~(_Alignof(struct item) - 1);
	if (v->cap - v->len < len) {
		size_t cap = 2 * v->cap + len + 4096;
		char *more = realloc(v->p, cap);

		if (!more)
			return -ENOMEM;
		v->p = more;
		v->cap = cap;
	}
	i = (struct item *)(v->p + v->len);
	i->len = len;
	i->e = *e;
	to = put(i->text, e->path, path);
	to = put(to, e->stream, stream);
	to = put(to, e->target, target);
	put(to, e->remark, remark);
	v->len += len;
	return 0;
}

static const char *take(const char *had, const char **text)
{
	const char *t = *text;

	if (!had)
		return NULL;
	*text += strlen(t) + 1;
	return t;
}

int entry_list_each(const struct entry_list *v, int (*fn)(void *arg, const struct fs_entry *e),
		    void *arg)
{
	int r = 0;

	for (size_t at = 0; at < v->len && !r;) {
		const struct item *i = (const struct item *)(v->p + at);
		struct fs_entry e = i->e;
		const char *text = i->text;

		e.path = take(e.path, &text);
		e.stream = take(e.stream, &text);
		e.target = take(e.target, &text);
		e.remark = take(e.remark, &text);
		r = fn(arg, &e);
		at += i->len;
	}
	return r;
}

void entry_list_free(struct entry_list *v)
{
	free(v->p);
	*v = (struct entry_list){0};
}
