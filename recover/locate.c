/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/locate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "recover/impact.h"
#include "vdiskck/core/session.h"

enum {
	STEP = 512,    /* structures are asked for at every sector ... */
	PATIENCE = 64, /* ... until so many in a row know nothing; then at twice the distance */
};

/* All lengths above a packed run go by its unpacked side: cut them together. */
static void cut(struct where *w, size_t from, size_t n, uint64_t len)
{
	for (size_t i = from; i < n; i++)
		if (w[i].len > len)
			w[i].len = len;
}

int locate_down(struct layer *l, uint64_t off, uint64_t len, struct location *loc)
{
	struct where *w = loc->w;
	size_t n = 0, plain = 0;

	loc->packed = false;
	loc->kind = EXTENT_DATA;
	while (n < WHERE_MAX) {
		struct extent run;
		int r;

		w[n++] = (struct where){l, off, len};
		r = layer_map(l, off, &run);
		if (r)
			return r;
		cut(w, plain, n, run.off + run.len - off);
		loc->kind = run.kind;
		loc->why = run.why;
		if (run.kind != EXTENT_DATA || run.in == l)
			break;
		len = run.packed ? run.packed : w[n - 1].len;
		if (run.packed) {
			loc->packed = true;
			plain = n;
		}
		l = run.in;
		off = run.at;
	}
	for (size_t i = 0; i < n / 2; i++) {
		struct where t = w[i];

		w[i] = w[n - 1 - i];
		w[n - 1 - i] = t;
	}
	loc->n = n;
	return 0;
}

/* Does @l know what byte @at of the layer below it is? @len: how far the answer holds. */
static bool ask(struct layer *l, uint64_t at, struct location *loc, uint64_t *len)
{
	loc->start = at;
	loc->size = 0;
	if (l->state || !l->ops->structure ||
	    !l->ops->structure(l, at, loc->structure, sizeof(loc->structure), &loc->start,
			       &loc->size))
		return false;
	loc->owner = OWNER_STRUCTURE;
	loc->by = l;
	if (loc->start > at || loc->size <= at - loc->start) { /* bounds that don't hold the byte */
		loc->start = at;
		loc->size = 1;
	}
	*len = loc->start + loc->size - at;
	return true;
}

/* Who owns the byte @skip of the piece? Layers on top of it are asked first, then its own. */
static void owner_at(struct location *loc, uint64_t skip, uint64_t *len)
{
	const struct where *top = &loc->w[loc->n - 1];
	bool open = top->l->ops->kind == LAYER_MAP;

	for (struct layer *c = top->l->child; c; c = c->next) {
		open |= !c->state;
		if (ask(c, top->off + skip, loc, len))
			return;
	}
	for (size_t i = loc->n - 1; i > 0; i--) {
		const struct where *w = &loc->w[i];

		/* Not through a packed run: its bytes have no addresses of their own below. */
		if (w->len != loc->w[i - 1].len)
			break;
		if (w->l->below == w[-1].l && ask(w->l, w[-1].off + skip, loc, len))
			return;
	}
	loc->owner = open ? OWNER_FREE : OWNER_UNKNOWN;
	loc->by = NULL;
	loc->structure[0] = '\0';
	*len = 0;
}

struct search {
	int (*fn)(void *arg, const struct location *loc);
	void *arg;
};

/* Pass on [from, to) of the piece, which has one owner. */
static int emit(const struct search *s, const struct location *piece, uint64_t from, uint64_t to)
{
	struct location loc = *piece;
	uint64_t len = loc.w[loc.n - 1].len;

	if (from == 0 && to == len)
		return s->fn(s->arg, &loc);
	for (size_t i = loc.n; i > 0; i--) {
		struct where *w = &loc.w[i - 1];

		if (w->len != len)
			break; /* packed from here on: the same stored bytes for any part of it */
		w->off += from;
		w->len = to - from;
	}
	return s->fn(s->arg, &loc);
}

/* One piece that lies together everywhere may still be several structures, and free space. */
static int split_by_owner(const struct search *s, struct location *piece)
{
	uint64_t len = piece->w[piece->n - 1].len, from = 0, at = 0, step = STEP, hold;
	unsigned misses = 0;
	struct location next = *piece;
	int r = 0;

	owner_at(piece, 0, &hold);
	while (!r && from < len) {
		/* @piece owns from @from on; find where that ends. */
		at = piece->owner == OWNER_STRUCTURE && hold < len - from ? from + hold : from;
		if (piece->owner == OWNER_STRUCTURE && at == from)
			at = len;
		while (piece->owner != OWNER_STRUCTURE && at < len) {
			uint64_t pos = piece->w[piece->n - 1].off + at;

			if (++misses % PATIENCE == 0)
				step *= 2;
			at += step - pos % step < len - at ? step - pos % step : len - at;
			if (at == len)
				break;
			next = *piece;
			owner_at(&next, at, &hold);
			if (next.owner == OWNER_STRUCTURE)
				break;
		}
		r = emit(s, piece, from, at);
		from = at;
		if (from == len)
			break;
		if (piece->owner == OWNER_STRUCTURE)
			owner_at(piece, from, &hold);
		else
			*piece = next;
		misses = 0;
		step = STEP;
	}
	return r;
}

/* What a file system says of bytes of its volume, in every layer below. */
struct volume {
	const struct search *s;
	struct layer *l;
	const struct ranges *asked;
};

static int emit_owner(void *arg, const struct fs_owner *o)
{
	const struct volume *v = arg;
	const struct ranges *asked = v->asked;
	size_t i = ranges_find(asked, o->off);
	uint64_t done = 0;
	int r = 0;

	while (!r && done < o->len) {
		struct location loc = {.owner = o->kind, .by = v->l, .file = o->file};

		if (session_stopped(v->l->s))
			return -EINTR;
		r = locate_down(v->l, o->off + done, o->len - done, &loc);
		if (r)
			break;
		loc.file_off = o->packed ? o->file_off : o->file_off + done;
		loc.start = o->size ? o->start : o->off;
		loc.size = o->size ? o->size : o->len;
		if (i < asked->n)
			loc.seed = asked->v[i];
		snprintf(loc.structure, sizeof(loc.structure), "%s",
			 o->structure ? o->structure : "");
		done += loc.w[loc.n - 1].len;
		r = v->s->fn(v->s->arg, &loc);
	}
	return r;
}

static int emit_range(const struct search *s, struct layer *l, const struct range *h)
{
	uint64_t off = h->off, end = h->off + h->len;
	int r = 0;

	while (!r && off < end) {
		struct location piece = {.seed = *h};

		if (session_stopped(l->s))
			return -EINTR;
		r = locate_down(l, off, end - off, &piece);
		if (r)
			break;
		off += piece.w[piece.n - 1].len;
		r = split_by_owner(s, &piece);
	}
	return r;
}

int locate_all(struct layer *source, struct layer *l, const struct ranges *r,
	       int (*fn)(void *arg, const struct location *loc), void *arg)
{
	const struct search s = {fn, arg};
	struct impact im = {0};
	int err = impact_seed(&im, l, r);

	if (!err)
		err = impact_run(&im, source);
	for (size_t i = 0; i < im.n && !err; i++) {
		struct ranges top = {0};

		err = impact_top(&im.v[i], &top);
		if (!err && top.n && im.v[i].l->ops->fs)
			err = im.v[i].l->ops->fs->owners(im.v[i].l, &top, emit_owner,
							 &(struct volume){&s, im.v[i].l, &top});
		else
			for (size_t k = 0; k < top.n && !err; k++)
				err = emit_range(&s, im.v[i].l, &top.v[k]);
		ranges_free(&top);
	}
	impact_free(&im);
	return err;
}
