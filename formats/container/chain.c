/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/container/chain.h"

#include <errno.h>
#include <string.h>

#include "formats/container/alias.h"
#include "formats/drivers.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/source.h"

enum {
	CHAIN_MAX =
		64, /* XenServer stops at 30, libvirt warns at 200; each link costs a recursion */
	SURE = 30,
};

static const struct layer_ops *best(struct layer *source)
{
	const struct layer_ops *ops = NULL;
	int score = SURE - 1;

	for (size_t i = 0; container_drivers[i]; i++) {
		int n = container_drivers[i]->probe(source);

		if (n > score) {
			score = n;
			ops = container_drivers[i];
		}
	}
	return ops;
}

/* The layer that has @child as its parent is not known to @child: walk by what names it. */
static bool in_chain(const struct layer *child, struct layer *source)
{
	for (const struct layer *l = child; l; l = l->chain_child) {
		struct layer *own = layer_source((struct layer *)(uintptr_t)l);

		if (source_same(own, source) || alias_of(l->below) == alias_of(source))
			return true;
	}
	return false;
}

int chain_open(struct layer *child, struct layer *source, const struct layer_ops *ops, bool raw_ok)
{
	struct layer *l = NULL;
	int r = -EBADMSG;

	if (in_chain(child, source)) {
		finding(child, CHAIN_CYCLE, 0, 0, "%s is in this chain already", source->path);
		layer_free(source);
		return -ELOOP;
	}
	if (child->depth >= CHAIN_MAX) {
		finding(child, CHAIN_TOO_DEEP, 0, 0, "more than %d links: %s was not opened",
			CHAIN_MAX, source->path);
		layer_free(source);
		return -EMLINK;
	}
	if (!ops)
		ops = best(source);
	if (!ops && raw_ok)
		ops = &raw_ops;
	if (ops) {
		l = layer_chain_new(ops, source, child);
		r = l ? 0 : -ENOMEM;
	}
	if (!r) {
		l->chain_child = child;
		r = ops->open(l);
	}
	if (r) {
		if (r != -ENOMEM && r != -EINTR)
			finding(child, CHAIN_PARENT_UNREADABLE, 0, 0,
				"%s: %s could not be opened: %s", source->path,
				ops ? ops->name : "no known format", strerror(-r));
		layer_free(l);
		layer_free(source);
		return r;
	}
	layer_unlock(l);
	child->parent = l;
	return 0;
}

int chain_map(struct layer *child, uint64_t off, uint64_t len, enum finding_id why,
	      struct extent *run)
{
	struct layer *p = child->parent;

	run->off = off;
	run->len = len;
	if (!p) {
		run->kind = EXTENT_LOST;
		run->why = why;
	} else if (off >= p->size) {
		run->kind = EXTENT_ZERO;
	} else {
		run->kind = EXTENT_DATA;
		run->in = p;
		run->at = off;
		if (run->len > p->size - off)
			run->len = p->size - off;
	}
	return 0;
}

int chain_read(struct layer *child, uint64_t off, void *buf, size_t len, enum finding_id why,
	       struct ranges *bad)
{
	struct layer *p = child->parent;
	size_t in = 0;

	if (!p) {
		memset(buf, 0, len);
		return ranges_add(bad, off, len, GRADE_LOST, why);
	}
	if (off < p->size)
		in = len < p->size - off ? len : (size_t)(p->size - off);
	memset((char *)buf + in, 0, len - in);
	/* Same addresses in parent and child: what is lost there is lost here. */
	return in ? layer_read(p, off, buf, in, bad) : 0;
}
