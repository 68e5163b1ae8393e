/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/stack.h"

#include <errno.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/signature.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/source.h"

enum {
	DEPTH_MAX = 24,	 /* layers on one another; LVM in LUKS in GPT in qcow2 has 8 */
	SURE = 30,	 /* a probe below this is no reason to open anything */
	CERTAIN = 60,	 /* a format that fails to open at this score is worth a finding */
	CANDIDATES = 64, /* drivers there are, at most */
};

struct candidate {
	const struct layer_ops *ops;
	int score;
};

static size_t probe(struct layer *below, const struct layer_ops *const *drivers, bool search,
		    struct candidate *c, size_t n)
{
	for (; *drivers && n < CANDIDATES; drivers++) {
		int (*ask)(struct layer *) = search ? (*drivers)->search : (*drivers)->probe;
		int score = ask ? ask(below) : 0;
		size_t i = n;

		if (score < SURE)
			continue;
		/* Best first; the order of the table among equals. */
		for (; i && c[i - 1].score < score; i--)
			c[i] = c[i - 1];
		c[i] = (struct candidate){*drivers, score};
		n++;
	}
	return n;
}

/* Open @ops on @below. The layer if it can stand in the stack, readable or not; else NULL. */
static struct layer *try_open(struct layer *below, const struct layer_ops *ops, int *err)
{
	struct layer *l = layer_new(below->s, ops, below, ops->name);

	if (!l) {
		*err = -ENOMEM;
		return NULL;
	}
	l->state = ops->open(l);
	layer_unlock(l);
	*err = l->state;
	if (!*err || *err == -EOPNOTSUPP || *err == -ENOKEY || *err == -EKEYREJECTED)
		return l;
	layer_free(l);
	return NULL;
}

static unsigned depth(const struct layer *l)
{
	unsigned n = 0;

	for (; l->below; l = l->below)
		n++;
	return n;
}

static int discover_children(struct layer *l)
{
	int r = 0;

	for (struct layer *c = l->child; c && !r; c = c->next)
		r = stack_discover(c);
	return r;
}

static int stack_on(struct layer *below, const struct candidate *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int err;
		struct layer *l = try_open(below, c[i].ops, &err);

		if (err == -ENOMEM || err == -EINTR) {
			layer_free(l);
			return err;
		}
		if (l) {
			layer_attach(below, l);
			/* Files are opened when somebody asks for them. */
			if (err || l->locked || l->ops->kind == LAYER_FILESYSTEM ||
			    l->ops->kind == LAYER_LOG)
				return 0;
			if (below->s->opt.disk_only && l->ops->kind == LAYER_CONTAINER)
				return 0;
			return l->ops->kind == LAYER_MAP ? discover_children(l) : stack_discover(l);
		}
		if (c[i].score >= CERTAIN && err != -ENOENT)
			finding_fact(below, LAYER_UNREADABLE,
				     &(struct fact){.in = below, .off = 0, .len = below->size},
				     "this looks like %s, but could not be opened", c[i].ops->name);
	}
	return -ENOENT;
}

/* The driver that the user wants on the container; NULL: whatever is found. */
static const struct layer_ops *forced(const struct layer *below)
{
	const char *name = below->s->opt.format;
	const struct layer_ops *ops = name ? driver_find(name) : NULL;

	return ops && ops->kind != LAYER_CONTAINER && below->ops->kind == LAYER_CONTAINER ? ops
											  : NULL;
}

int stack_discover(struct layer *below)
{
	struct candidate c[CANDIDATES];
	size_t n = 0;
	int r;

	if (depth(below) >= DEPTH_MAX) {
		finding_fact(below, LAYER_TOO_DEEP,
			     &(struct fact){.in = below, .off = 0, .len = below->size},
			     "%d layers deep: not followed further", DEPTH_MAX);
		return 0;
	}
	if (forced(below))
		c[n++] = (struct candidate){forced(below), 100};
	/* A weak probe, that only says "a disk without a table", is no reason not to search. */
	for (int search = 0; search < 2 && (!n || c[0].score < CERTAIN); search++) {
		struct signature known;

		/* A search reads up to 96 MiB: not where a file system that we don't read begins. */
		if (search && signature_at(below, 0, &known))
			break;
		n = probe(below, container_drivers, search, c, n);
		n = probe(below, cipher_drivers, search, c, n);
		n = probe(below, filesystem_drivers, search, c, n);
		n = probe(below, log_drivers, search, c, n);
		n = probe(below, map_drivers, search, c, n);
	}
	r = stack_on(below, c, n);
	return r == -ENOENT ? 0 : r;
}

int stack_discover_as(struct layer *below, const struct layer_ops *const *drivers)
{
	struct candidate c[CANDIDATES];
	size_t n = 0;
	int r;

	for (int search = 0; search < 2 && (!n || c[0].score < CERTAIN); search++)
		n = probe(below, drivers, search, c, n);
	r = stack_on(below, c, n);
	return r == -ENOENT ? 0 : r;
}

int stack_open(struct session *s, const char *image, struct layer **source)
{
	struct candidate c[CANDIDATES];
	size_t n = 0;
	int r = source_open(s, image, source);

	if (r)
		return r;
	if (s->opt.format) {
		const struct layer_ops *ops = driver_find(s->opt.format);

		if (!ops) {
			r = session_err(s, -EINVAL, "--format %s: no such format", s->opt.format);
			goto out;
		}
		if (ops->kind == LAYER_CONTAINER)
			c[n++] = (struct candidate){ops, 100};
	}
	/* Any other format is looked for in the container: stack_discover(). */
	if (!n)
		n = probe(*source, container_drivers, false, c, n);
	r = stack_on(*source, c, n);
	if (r == -ENOENT && !n) {
		c[0] = (struct candidate){&raw_ops, 100};
		r = stack_on(*source, c, 1);
	}
	if (r == -ENOENT) {
		layer_err(*source, 0, "%s: nothing of it can be read", c[0].ops->name);
		r = -EBADMSG;
	}
out:
	if (r) {
		layer_free(*source);
		*source = NULL;
	}
	return r;
}

int stack_walk(struct layer *l, int (*fn)(void *arg, struct layer *l), void *arg)
{
	int r = 0;

	/* A parent's source has no children of its own: only its container stands on it. */
	if (l->parent) {
		r = fn(arg, l->parent->below);
		if (!r)
			r = stack_walk(l->parent, fn, arg);
	}
	if (!r)
		r = fn(arg, l);
	if (!r && l->aside)
		r = fn(arg, l->aside);
	for (struct layer *c = l->child; c && !r; c = c->next)
		r = stack_walk(c, fn, arg);
	return r;
}

struct wanted {
	const char *path;
	struct layer *found;
};

static int is_wanted(void *arg, struct layer *l)
{
	struct wanted *w = arg;

	if (!strcmp(l->path, w->path) ||
	    (!strncmp(l->path, "raw/", 4) && !strcmp(l->path + 4, w->path)))
		w->found = l;
	return w->found != NULL;
}

/* What stands on a snapshot is looked at once somebody names it. */
static int discover_lazy(void *arg, struct layer *l)
{
	const struct wanted *w = arg;
	size_t len = strlen(l->path);

	if (!l->lazy || l->state || l->locked || strncmp(l->path, w->path, len) ||
	    w->path[len] != '/')
		return 0;
	l->lazy = false;
	return stack_discover(l);
}

struct layer *stack_find(struct layer *source, const char *path)
{
	struct wanted w = {.path = path};

	if (!source)
		return NULL;
	stack_walk(source, discover_lazy, &w);
	stack_walk(source, is_wanted, &w);
	return w.found;
}
