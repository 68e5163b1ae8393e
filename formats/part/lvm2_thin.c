/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thin pools of the device-mapper: B-trees from device and block to block of the pool's data.
 * Source: kernel, Documentation/admin-guide/device-mapper/thin-provisioning.rst, and what
 * thin_check and thin_dump (thin-provisioning-tools) make of the same bytes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/part/lvm2.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

enum {
	NODE = 4096,
	NODES_KEPT = 2048,
	DEPTH_MAX = 16,
	SUPER_MAGIC = 27022010,
	SUM_SUPER = 160774, /* each kind of block has its own start of the sum */
	SUM_NODE = 121107,
	LEAF = 2,
};

struct super {
	le32_t sum, flags;
	le64_t block;
	uint8_t uuid[16];
	le64_t magic;
	le32_t version, time;
	le64_t transaction, held_root;
	uint8_t maps[256];
	le64_t root, details; /* of the tree of devices, and of what is known of them */
	le32_t data_block;    /* sectors */
};

struct node {
	le32_t sum, flags;
	le64_t block;
	le32_t n, max, value_size, pad;
};

struct lvm_pool {
	struct lvm *g;
	struct lvm_lv *lv;
	uint64_t root, chunk;
	struct cache *nodes;
};

static bool sum_holds(const uint8_t *block, uint32_t start)
{
	uint32_t stored;

	memcpy(&stored, block, sizeof(stored));
	return (sum_crc32c(UINT32_MAX, block + 4, NODE - 4) ^ start) == stored;
}

static int fill(void *arg, struct cache_item *it)
{
	struct lvm_pool *p = arg;

	return lvm_read(p->g, p->lv->meta, it->key * NODE, it->buf, NODE, &it->bad);
}

/* Is this a node that can be used? Its values are 8 bytes each, behind all the keys. */
static bool sound(const struct cache_item *it)
{
	struct node h;

	memcpy(&h, it->buf, sizeof(h));
	return !it->bad.n && sum_holds(it->buf, SUM_NODE) && le64(h.block) == it->key &&
	       le32(h.value_size) == 8 && le32(h.n) <= le32(h.max) &&
	       le32(h.max) <= (NODE - sizeof(h)) / 16;
}

static uint64_t u64_at(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/*
 * Look @key up. 1: *@value is its; 0: it is not there, nor is any below *@next; -EIO: a node on
 * the way is lost; other -errno.
 */
static int look_up(struct lvm_pool *p, uint64_t root, uint64_t key, uint64_t *value, uint64_t *next)
{
	uint64_t block = root;

	*next = UINT64_MAX;
	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		const struct cache_item *it;
		struct node h;
		const uint8_t *keys, *values;
		uint32_t lo = 0, hi;
		bool leaf, hit;
		int r = cache_get(p->nodes, block, 0, &it);

		if (r)
			return r;
		if (!sound(it)) {
			cache_put(p->nodes, it);
			return -EIO;
		}
		memcpy(&h, it->buf, sizeof(h));
		keys = it->buf + sizeof(h);
		values = keys + 8 * (size_t)le32(h.max);
		hi = le32(h.n);
		while (lo < hi) { /* the first key above */
			uint32_t mid = lo + (hi - lo) / 2;

			if (u64_at(keys + 8 * (size_t)mid) <= key)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo < le32(h.n))
			*next = u64_at(keys + 8 * (size_t)lo);
		leaf = le32(h.flags) & LEAF;
		hit = lo && (!leaf || u64_at(keys + 8 * (size_t)(lo - 1)) == key);
		if (hit)
			block = *value = u64_at(values + 8 * (size_t)(lo - 1));
		cache_put(p->nodes, it);
		if (!hit || leaf)
			return hit;
	}
	return -EIO;
}

int lvm_pool_open(struct lvm *g, struct lvm_lv *lv)
{
	struct lvm_pool *p = calloc(1, sizeof(*p));
	uint8_t block[NODE];
	struct super s;
	struct ranges bad = {0};
	int r;

	if (!p)
		return -ENOMEM;
	lv->thin = p;
	p->g = g;
	p->lv = lv;
	if (!lv->meta || !lv->data) {
		finding(g->l, LVM2_THIN_BAD, 0, 0, "thin pool %s: its volumes are not there",
			lv->name);
		return 0;
	}
	r = lvm_read(g, lv->meta, 0, block, sizeof(block), &bad);
	memcpy(&s, block, sizeof(s));
	if (!r && (bad.n || le64(s.magic) != SUPER_MAGIC || !sum_holds(block, SUM_SUPER) ||
		   !le32(s.data_block)))
		finding(g->l, LVM2_THIN_BAD, 0, 0,
			"thin pool %s: the superblock of its metadata is lost or does not have its "
			"checksum",
			lv->name);
	else if (!r) {
		p->root = le64(s.root);
		p->chunk = (uint64_t)le32(s.data_block) * LVM_SECTOR;
		p->nodes = cache_new(NODE, NODES_KEPT, fill, p);
		r = p->nodes ? 0 : -ENOMEM;
	}
	ranges_free(&bad);
	return r;
}

/* What was never written: zeros, or what the external origin has. */
static int map_hole(struct lvm *g, const struct lvm_segment *s, uint64_t off, struct extent *run,
		    unsigned depth)
{
	run->kind = EXTENT_ZERO;
	return s->external && off < s->external->size && depth < LVM_DEPTH
		       ? lvm_map(g, s->external, off, run, depth + 1)
		       : 0;
}

int lvm_thin_map(struct lvm *g, const struct lvm_segment *s, uint64_t off, struct extent *run,
		 unsigned depth)
{
	struct lvm_pool *p = s->pool ? s->pool->thin : NULL;
	uint64_t root, value, next, in, asked = run->off;
	int r;

	if (!p || !p->nodes)
		goto lost;
	r = look_up(p, p->root, s->device, &root, &next);
	if (r < 0 && r != -EIO)
		return r;
	if (r == -EIO)
		goto lost;
	/* A volume without a tree was never activated since it was made. */
	if (!r)
		return map_hole(g, s, off, run, depth);
	r = look_up(p, root, off / p->chunk, &value, &next);
	if (r < 0 && r != -EIO)
		return r;
	in = off % p->chunk;
	if (!r) {
		if (next < (off + run->len) / p->chunk)
			run->len = next * p->chunk - off;
		return map_hole(g, s, off, run, depth);
	}
	if (run->len > p->chunk - in)
		run->len = p->chunk - in;
	if (r < 0)
		goto lost;
	value >>= 24; /* below it: the time at which it was mapped */
	if (value > UINT64_MAX / p->chunk / 2 || depth >= LVM_DEPTH)
		goto lost;
	r = lvm_map_own(g, s->pool->data, value * p->chunk + in, run, depth + 1);
	run->off = asked;
	return r;
lost:
	run->kind = EXTENT_LOST;
	run->why = LVM2_THIN_BAD;
	return 0;
}

struct count {
	uint64_t nodes, bad, first;
	uint64_t left; /* nodes that may still be looked at */
};

static int check_tree(struct lvm_pool *p, uint64_t block, unsigned level, unsigned depth,
		      struct count *c)
{
	uint8_t copy[NODE];
	const struct cache_item *it;
	struct node h;
	bool ok;
	int r;

	if (depth > DEPTH_MAX || !c->left || session_stopped(p->g->l->s))
		return 0;
	c->left--;
	r = cache_get(p->nodes, block, 0, &it);
	if (r)
		return r;
	ok = sound(it);
	memcpy(copy, it->buf, NODE);
	cache_put(p->nodes, it);
	c->nodes++;
	if (!ok) {
		c->first = c->bad++ ? c->first : block;
		return 0;
	}
	memcpy(&h, copy, sizeof(h));
	/* Leaves of the tree of devices hold the roots of their trees. */
	if (le32(h.flags) & LEAF && level)
		return 0;
	for (uint32_t i = 0; i < le32(h.n) && !r; i++)
		r = check_tree(p,
			       u64_at(copy + sizeof(h) + 8 * (size_t)le32(h.max) + 8 * (size_t)i),
			       level + (le32(h.flags) & LEAF ? 1 : 0), depth + 1, c);
	return r;
}

int lvm_pool_check(struct lvm *g, struct lvm_lv *lv)
{
	struct lvm_pool *p = lv->thin;
	/* Snapshots share nodes, so more are met than there are. */
	struct count c = {.left = lv->meta ? lv->meta->size / NODE * 16 : 0};
	int r;

	if (!p || !p->nodes)
		return 0;
	r = check_tree(p, p->root, 0, 0, &c);
	if (!r && c.bad)
		finding(g->l, LVM2_THIN_BAD, 0, 0,
			"thin pool %s: %" PRIu64 " of %" PRIu64
			" nodes of its trees are lost or do not "
			"have their checksum, block %" PRIu64 " of its metadata first",
			lv->name, c.bad, c.nodes, c.first);
	session_checked(g->l->s, c.nodes * NODE);
	return r;
}

void lvm_pool_close(struct lvm_pool *p)
{
	if (p)
		cache_free(p->nodes);
	free(p);
}
