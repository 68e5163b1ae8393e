/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashes of leaves and of the tree over them. A leaf's hash binds its index, so a leaf that was
 * written to another place differs there. Zero leaves and lost ones do not: all of a kind are
 * equal, as are whole trees of them, or an empty 8 TiB disk would cost a hash per leaf.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/prim.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/seal_internal.h"

enum { LEVELS = 8 }; /* 256^8 leaves: every 64-bit size */
enum { TAG_LEAF, TAG_NODE, TAG_ZERO, TAG_LOST, TAG_ROOT, TAG_MIXED };

struct level {
	uint8_t child[SEAL_FAN][SEAL_HASH];
	unsigned n;
};

struct seal_tree {
	struct level level[LEVELS];
	uint8_t constant[2][LEVELS][SEAL_HASH]; /* ZERO, LOST: a full subtree of each height */
};

static void hash_parts(uint8_t tag, const void *a, size_t a_len, const void *b, size_t b_len,
		       uint8_t *out, size_t out_len)
{
	struct prim_part part[3] = {{&tag, 1}, {a, a_len}, {b, b_len}};
	uint8_t digest[SEAL_ROOT];

	prim_hash_parts(PRIM_SHA256, part, b_len ? 3 : 2, digest);
	memcpy(out, digest, out_len);
}

void seal_leaf_make(uint64_t index, const void *data, size_t len, struct seal_leaf *leaf)
{
	size_t whole = len / SEAL_SECTOR, rest = len % SEAL_SECTOR;
	uint32_t crc[SEAL_SECTORS + 1] = {0};
	le64_t at = to_le64(index);

	sum_crc32c_each(data, SEAL_SECTOR, whole, crc);
	if (rest)
		sum_crc32c_each((const uint8_t *)data + len - rest, rest, 1, &crc[whole]);
	for (size_t i = 0; i < SEAL_SECTORS; i++)
		leaf->crc[i] = to_le32(crc[i]);
	hash_parts(TAG_LEAF, &at, sizeof(at), data, len, leaf->hash, SEAL_HASH);
}

static void mixed_hash(uint64_t index, const struct seal_leaf *leaf, uint8_t out[SEAL_HASH])
{
	le64_t at = to_le64(index);

	hash_parts(TAG_MIXED, &at, sizeof(at), leaf->crc, sizeof(leaf->crc), out, SEAL_HASH);
}

void seal_leaf_mix(uint64_t index, struct seal_leaf *leaf, const struct seal_leaf *from,
		   uint16_t bits)
{
	for (unsigned i = 0; i < SEAL_SECTORS; i++)
		if (bits >> i & 1)
			leaf->crc[i] = from->crc[i];
	mixed_hash(index, leaf, leaf->hash);
}

bool seal_leaf_is_mixed(uint64_t index, const struct seal_leaf *leaf)
{
	uint8_t hash[SEAL_HASH];

	mixed_hash(index, leaf, hash);
	return !memcmp(hash, leaf->hash, SEAL_HASH);
}

static void node_hash(const struct level *v, uint8_t out[SEAL_HASH])
{
	hash_parts(TAG_NODE, v->child, (size_t)v->n * SEAL_HASH, NULL, 0, out, SEAL_HASH);
}

struct seal_tree *seal_tree_new(void)
{
	struct seal_tree *t = calloc(1, sizeof(*t));
	static const uint8_t tag[2] = {TAG_ZERO, TAG_LOST};
	struct level *v = malloc(sizeof(*v));

	if (!t || !v) {
		free(t);
		free(v);
		return NULL;
	}
	for (int k = 0; k < 2; k++) {
		hash_parts(tag[k], "", 0, NULL, 0, t->constant[k][0], SEAL_HASH);
		for (int h = 1; h < LEVELS; h++) {
			v->n = SEAL_FAN;
			for (int i = 0; i < SEAL_FAN; i++)
				memcpy(v->child[i], t->constant[k][h - 1], SEAL_HASH);
			node_hash(v, t->constant[k][h]);
		}
	}
	free(v);
	return t;
}

/* A child at height @h; a node that becomes full is a child one level up. */
static void add(struct seal_tree *t, unsigned h, const uint8_t hash[SEAL_HASH])
{
	for (; h < LEVELS; h++) {
		struct level *v = &t->level[h];
		uint8_t up[SEAL_HASH];

		memcpy(v->child[v->n++], hash, SEAL_HASH);
		if (v->n < SEAL_FAN)
			return;
		node_hash(v, up);
		v->n = 0;
		/* The loop goes on with the new node. */
		memcpy(t->level[h].child[0], up, SEAL_HASH);
		hash = t->level[h].child[0];
	}
}

void seal_tree_add(struct seal_tree *t, enum seal_kind kind, const struct seal_leaf *leaf)
{
	if (kind == SEAL_DATA)
		add(t, 0, leaf->hash);
	else
		add(t, 0, t->constant[kind == SEAL_LOST][0]);
}

void seal_tree_run(struct seal_tree *t, enum seal_kind kind, uint64_t n)
{
	while (n) {
		uint64_t step = 1;
		unsigned h = 0;

		/* The highest subtree that begins here and fits. */
		while (h + 1 < LEVELS && !t->level[h].n && n / SEAL_FAN >= step) {
			step *= SEAL_FAN;
			h++;
		}
		add(t, h, t->constant[kind == SEAL_LOST][h]);
		n -= step;
	}
}

void seal_tree_root(struct seal_tree *t, uint64_t size, uint8_t root[SEAL_ROOT])
{
	le64_t bytes = to_le64(size);
	uint8_t top[SEAL_HASH] = {0};
	unsigned high = LEVELS - 1;
	bool any = false;

	while (high && !t->level[high].n)
		high--;
	for (unsigned h = 0; h <= high; h++) {
		struct level *v = &t->level[h];

		if (any)
			memcpy(v->child[v->n++], top, SEAL_HASH);
		/* One node that holds everything is the top; a single leaf still gets a node. */
		if (h && h == high && v->n == 1)
			memcpy(top, v->child[0], SEAL_HASH);
		else if (v->n)
			node_hash(v, top);
		any |= v->n > 0;
	}
	hash_parts(TAG_ROOT, &bytes, sizeof(bytes), top, SEAL_HASH, root, SEAL_ROOT);
	free(t);
}

size_t seal_tree_save(const struct seal_tree *t, uint8_t *out)
{
	size_t len = 0;

	for (unsigned h = 0; h < LEVELS; h++) {
		le32_t n = to_le32(t->level[h].n);
		size_t bytes = t->level[h].n * (size_t)SEAL_HASH;

		if (out) {
			memcpy(out + len, &n, sizeof(n));
			memcpy(out + len + sizeof(n), t->level[h].child, bytes);
		}
		len += sizeof(n) + bytes;
	}
	return len;
}

bool seal_tree_load(struct seal_tree *t, const uint8_t *p, size_t len)
{
	for (unsigned h = 0; h < LEVELS; h++) {
		le32_t n;
		size_t bytes;

		if (len < sizeof(n))
			return false;
		memcpy(&n, p, sizeof(n));
		bytes = (size_t)le32(n) * SEAL_HASH;
		if (le32(n) >= SEAL_FAN || len - sizeof(n) < bytes)
			return false;
		t->level[h].n = le32(n);
		memcpy(t->level[h].child, p + sizeof(n), bytes);
		p += sizeof(n) + bytes;
		len -= sizeof(n) + bytes;
	}
	return !len;
}
