/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/layer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/reads.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"

static struct layer *layer_alloc(struct session *s, const struct layer_ops *ops,
				 struct layer *below, const char *name, const char *prefix,
				 const char *join, unsigned depth)
{
	struct layer *l = calloc(1, sizeof(*l));
	size_t len = strlen(prefix) + strlen(name) + 16;

	if (!l)
		return NULL;
	l->ops = ops;
	l->s = s;
	l->below = below;
	l->sector = below ? below->sector : 512;
	l->depth = depth;
	l->name = malloc(len);
	l->path = malloc(len);
	if (!l->name || !l->path) {
		layer_free(l);
		return NULL;
	}
	if (depth)
		snprintf(l->name, len, "%s~%u", name, depth);
	else
		snprintf(l->name, len, "%s", name);
	snprintf(l->path, len, "%s%s%s", prefix, *prefix ? join : "", l->name);
	return l;
}

struct layer *layer_new(struct session *s, const struct layer_ops *ops, struct layer *below,
			const char *name)
{
	bool on_source = !below || below->ops->kind == LAYER_SOURCE;

	return layer_alloc(s, ops, below, name, on_source ? "" : below->path, "/", 0);
}

struct layer *layer_chain_new(const struct layer_ops *ops, struct layer *below,
			      const struct layer *child)
{
	const char *slash = strrchr(child->path, '/');
	char *prefix = strndup(child->path, slash ? (size_t)(slash - child->path) : 0);
	struct layer *l = NULL;

	if (prefix)
		l = layer_alloc(child->s, ops, below, ops->name, prefix, "/", child->depth + 1);
	free(prefix);
	return l;
}

struct layer *layer_file_new(const struct layer_ops *ops, struct layer *fs, const char *path)
{
	return layer_alloc(fs->s, ops, fs, path, fs->path, ":", 0);
}

void layer_attach(struct layer *below, struct layer *l)
{
	struct layer **p = &below->child;

	while (*p)
		p = &(*p)->next;
	*p = l;
}

static bool wants_key(int err)
{
	return err == -ENOKEY || err == -EKEYREJECTED;
}

void layer_unlock(struct layer *l)
{
	int *why = l->state ? &l->state : &l->locked;
	struct fact fact = {.in = l->below, .len = l->size};
	struct session *s = l->s;

	while (wants_key(*why) && s->on_locked && s->on_locked(s->arg, l))
		*why = l->ops->unlock(l);
	if (*why == -ENOKEY)
		finding_fact(l, LAYER_LOCKED, &fact,
			     "%s is locked: no key was given that could open it", l->path);
	if (*why == -EKEYREJECTED)
		finding_fact(l, LAYER_KEY_REJECTED, &fact, "%s is locked: none of the keys fits",
			     l->path);
}

void layer_free(struct layer *l)
{
	if (!l)
		return;
	for (struct layer *c = l->child, *next; c; c = next) {
		next = c->next;
		layer_free(c);
	}
	if (l->ops->close)
		l->ops->close(l);
	if (l->s->reads && l->ops->kind <= LAYER_CIPHER)
		reads_forget(l->s->reads, l);
	layer_free_stack(l->parent);
	layer_free(l->aside);
	free(l->name);
	free(l->path);
	free(l);
}

void layer_free_stack(struct layer *l)
{
	while (l) {
		struct layer *below = l->below;

		/* Only a chain's stacks are freed this way: no siblings. */
		if (below)
			below->child = NULL;
		layer_free(l);
		l = below;
	}
}

int layer_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	size_t in = off >= l->size ? 0 : len < l->size - off ? len : (size_t)(l->size - off);
	int r = 0;

	if (in)
		r = l->ops->read(l, off, buf, in, bad);
	if (r || in == len)
		return r;
	memset((char *)buf + in, 0, len - in);
	return ranges_add(bad, off + in, len - in, GRADE_LOST, LAYER_READ_PAST_END);
}

int layer_read_as(struct layer *in, uint64_t at, void *buf, size_t len, uint64_t off,
		  struct ranges *bad)
{
	struct ranges below = {0};
	int r = layer_read(in, at, buf, len, bad ? &below : NULL);

	if (!r && below.n) {
		ranges_shift(&below, 0, at, off);
		r = ranges_append(bad, &below);
	}
	ranges_free(&below);
	return r;
}

int layer_read_mapped(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	uint8_t *p = buf;
	int r = 0;

	while (!r && len) {
		struct extent run;
		size_t n;

		r = layer_map(l, off, &run);
		if (r)
			break;
		n = run.len < len ? (size_t)run.len : len;
		if (run.kind == EXTENT_DATA) {
			r = layer_read_as(run.in, run.at, p, n, off, bad);
		} else {
			memset(p, 0, n);
			if (run.kind == EXTENT_LOST)
				r = ranges_add(bad, off, n, GRADE_LOST, run.why);
		}
		off += n;
		p += n;
		len -= n;
	}
	return r;
}

int layer_map(struct layer *l, uint64_t off, struct extent *run)
{
	int r;

	if (off >= l->size)
		return -ERANGE;
	*run = (struct extent){.off = off, .len = 1};
	r = l->ops->map(l, off, run);
	if (l->ops->read == layer_read_mapped)
		run->exact = true;
	if (l->ops->kind == LAYER_CIPHER)
		run->coded = true;
	if (!r && run->len > l->size - run->off)
		run->len = l->size - run->off;
	return r;
}

int layer_resolve(struct layer *l, uint64_t off, struct extent *run)
{
	int r = layer_map(l, off, run);

	while (!r && run->kind == EXTENT_DATA && !run->packed) {
		struct layer *in = run->in;
		struct extent deeper;

		/* A structure may point past the end of what holds it: that is damage, no error. */
		if (run->at >= in->size) {
			run->kind = EXTENT_LOST;
			run->why = LAYER_READ_PAST_END;
			break;
		}
		r = layer_map(in, run->at, &deeper);
		if (r)
			break;
		if (run->coded && deeper.kind == EXTENT_ZERO) {
			run->unwritten = true;
			if (run->len > deeper.len)
				run->len = deeper.len;
			break;
		}
		/* Of a packed run, from the byte we came for: what is before may lie elsewhere. */
		if (deeper.packed)
			deeper.len -= run->at - deeper.off;
		deeper.off = run->off;
		deeper.exact &= run->exact;
		deeper.coded |= run->coded;
		if (deeper.len > run->len)
			deeper.len = run->len;
		*run = deeper;
		/* A source maps to itself, but for what it knows to be lost. */
		if (run->in == in)
			break;
	}
	return r;
}

int layer_map_below(struct layer *l, uint64_t off, uint64_t shift, struct extent *run)
{
	uint64_t at = shift + off, size = l->below->size;

	run->len = l->size - off;
	if (at < shift || at >= size) {
		run->kind = EXTENT_LOST;
		run->why = LAYER_READ_PAST_END;
		return 0;
	}
	run->kind = EXTENT_DATA;
	run->in = l->below;
	run->at = at;
	if (run->len > size - at)
		run->len = size - at;
	return 0;
}

size_t layer_where(struct layer *l, uint64_t off, uint64_t len, struct where *w, size_t max)
{
	size_t n = 0, plain = 0; /* the entries from @plain on have one length: none is packed */

	while (n < max) {
		struct extent run;

		w[n++] = (struct where){l, off, len};
		if (l->ops->kind == LAYER_SOURCE || off >= l->size || layer_map(l, off, &run) ||
		    run.kind != EXTENT_DATA || run.in == l)
			break;
		if (run.packed) {
			len = run.packed;
			plain = n;
		} else if (len > run.len) {
			len = run.len;
			for (size_t i = plain; i < n; i++)
				w[i].len = len;
		}
		l = run.in;
		off = run.at;
	}
	for (size_t i = 0; i < n / 2; i++) {
		struct where t = w[i];

		w[i] = w[n - 1 - i];
		w[n - 1 - i] = t;
	}
	return n;
}

struct layer *layer_source(struct layer *l)
{
	while (l->below)
		l = l->below;
	return l;
}
