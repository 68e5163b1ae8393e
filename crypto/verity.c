/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/verity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keys.h"
#include "crypto/unit.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"

static int probe(struct layer *below)
{
	struct verity_superblock sb;
	uint64_t at;

	/* Above the file system's own driver: that stands on this layer. */
	return verity_find(below, &at, &sb) ? 98 : 0;
}

/* --- the tree --- */

static bool power_of_two(uint32_t v)
{
	return v >= VERITY_BLOCK_MIN && v <= VERITY_BLOCK_MAX && !(v & (v - 1));
}

static int sb_fault(struct layer *l, enum finding_id id, const char *why)
{
	const struct verity *v = l->priv;

	finding(l, id, v->sb_at, sizeof(struct verity_superblock),
		"superblock at 0x%" PRIx64 ": %s", v->sb_at, why);
	return id == VERITY_UNSUPPORTED ? -EOPNOTSUPP : -EBADMSG;
}

static int sb_take(struct layer *l, const struct verity_superblock *sb)
{
	struct verity *v = l->priv;
	const uint8_t *u = sb->uuid;
	size_t n = 0;

	for (size_t i = 0; i < 16; i++)
		n += (size_t)snprintf(v->uuid + n, sizeof(v->uuid) - n, "%s%02x",
				      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
	memcpy(v->algorithm, sb->algorithm, sizeof(sb->algorithm));
	v->hash = prim_hash_find(v->algorithm);
	v->type = (int)le32(sb->hash_type);
	v->dbs = le32(sb->data_block_size);
	v->hbs = le32(sb->hash_block_size);
	v->blocks = le64(sb->data_blocks);
	v->salt_len = le16(sb->salt_size);
	if (v->hash < 0)
		return sb_fault(l, VERITY_UNSUPPORTED, "a hash algorithm that is not known");
	if (v->salt_len > sizeof(v->salt) || !v->blocks || v->blocks > verity_blocks_max ||
	    !v->dbs || !v->hbs || v->dbs & (v->dbs - 1) || v->hbs & (v->hbs - 1) || v->type > 1 ||
	    v->type < 0)
		return sb_fault(l, VERITY_SUPERBLOCK, "values that can't be true");
	if (!power_of_two(v->dbs) || !power_of_two(v->hbs))
		return sb_fault(l, VERITY_UNSUPPORTED, "blocks that are larger than 4096 bytes");
	memcpy(v->salt, sb->salt, v->salt_len);
	v->digest = prim_hash_len((enum prim_hash)v->hash);
	v->data_len = v->blocks * v->dbs;
	return 0;
}

/* Levels lie from the root down, behind the superblock's hash block. */
static void levels_lay(struct verity *v)
{
	uint64_t at = (v->sb_at + sizeof(struct verity_superblock) + v->hbs - 1) &
		      ~(uint64_t)(v->hbs - 1);

	while (v->hbs / v->digest >> (v->bits + 1))
		v->bits++;
	while (v->levels < VERITY_LEVELS && (v->blocks - 1) >> (v->bits * v->levels))
		v->levels++;
	for (unsigned i = v->levels; i--;) {
		v->at[i] = at;
		v->n[i] = ((v->blocks - 1) >> (v->bits * (i + 1))) + 1;
		at += v->n[i] * v->hbs;
	}
}

void verity_hash(const struct verity *v, const void *p, size_t len, uint8_t *out)
{
	const struct prim_part salt = {v->salt, v->salt_len}, data = {p, len};
	const struct prim_part part[] = {v->type ? salt : data, v->type ? data : salt};

	prim_hash_parts((enum prim_hash)v->hash, part, 2, out);
}

/* A hash block; the digest of what lies below is at slot number & mask. */
int verity_node(struct layer *l, unsigned level, uint64_t n, uint8_t *buf, enum verity_fit *fit)
{
	struct verity *v = l->priv;
	struct ranges lost = {0};
	int r = layer_read(l->below, v->at[level] + n * v->hbs, buf, v->hbs, &lost);

	*fit = lost.n ? UNREADABLE : FIT;
	ranges_free(&lost);
	return r;
}

const uint8_t *verity_slot(const struct verity *v, const uint8_t *node, uint64_t n)
{
	return node + (n & ((1u << v->bits) - 1)) * (v->hbs >> v->bits);
}

/* Does hash block @n of @level, in @node, have the digest that the block above has for it? */
static int node_fits(struct layer *l, unsigned level, uint64_t n, const uint8_t *node,
		     enum verity_fit *fit)
{
	struct verity *v = l->priv;
	uint8_t up[VERITY_BLOCK_MAX], sum[PRIM_HASH_MAX];
	int r = 0;

	*fit = FIT;
	if (level + 1 == v->levels)
		return 0; /* the root: compared with what was given when opening */
	r = verity_node(l, level + 1, n >> v->bits, up, fit);
	if (r || *fit != FIT)
		return r;
	verity_hash(v, node, v->hbs, sum);
	*fit = memcmp(sum, verity_slot(v, up, n), v->digest) ? WRONG : FIT;
	return 0;
}

/* Level-0 block @n and all above it. */
static int path_fits(struct layer *l, uint64_t n, uint8_t *leaf, enum verity_fit *fit)
{
	struct verity *v = l->priv;
	uint8_t node[VERITY_BLOCK_MAX];
	int r = verity_node(l, 0, n, leaf, fit);

	if (!r && *fit == FIT)
		r = node_fits(l, 0, n, leaf, fit);
	for (unsigned i = 1; !r && *fit == FIT && i + 1 < v->levels; i++) {
		n >>= v->bits;
		r = verity_node(l, i, n, node, fit);
		if (!r && *fit == FIT)
			r = node_fits(l, i, n, node, fit);
	}
	return r;
}

/* --- opening --- */

static int root_find(struct layer *l, enum verity_fit *fit)
{
	struct verity *v = l->priv;
	uint8_t block[VERITY_BLOCK_MAX];
	struct ranges lost = {0};
	uint64_t at = v->levels ? v->at[v->levels - 1] : 0;
	uint32_t len = v->levels ? v->hbs : v->dbs;
	int r;

	*fit = UNREADABLE;
	if (!v->levels && v->bare)
		return 0;
	r = layer_read(l->below, at, block, len, &lost);
	if (!r && !lost.n) {
		verity_hash(v, block, len, v->root);
		*fit = FIT;
	}
	ranges_free(&lost);
	return r;
}

static void hex(const uint8_t *p, size_t len, char text[2 * PRIM_HASH_MAX + 1])
{
	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", p[i]);
}

static int anchor(struct layer *l)
{
	struct verity *v = l->priv;
	char have[2 * PRIM_HASH_MAX + 1] = "";
	const struct key *k = NULL;
	struct fact f = {.in = l->below, .at_len = v->hbs};
	enum verity_fit fit;
	int r = root_find(l, &fit);

	f.at = v->levels ? v->at[v->levels - 1] : 0;
	if (r)
		return r;
	hex(v->root, v->digest, have);
	while (fit == FIT && v->anchor != FITS &&
	       (k = keys_next(l->s->keys, k, KEY_ROOT_HASH, v->uuid, NULL)))
		v->anchor =
			k->len == v->digest && !memcmp(k->data, v->root, k->len) ? FITS : DIFFERS;
	f.len = v->bare ? 0 : v->data_len;
	f.doubtful = f.len != 0;
	if (fit == UNREADABLE && !(v->bare && !v->levels))
		finding_fact(l, VERITY_TREE, &f, "the top block of the hash tree can't be read");
	else if (v->anchor == DIFFERS)
		finding_fact(l, VERITY_ROOT, &f,
			     "the tree's root hash is %s, which is none that was given", have);
	else if (v->anchor == NOT_GIVEN && fit == FIT)
		finding(l, VERITY_NOT_ANCHORED, f.at, f.at_len,
			"no root hash was given: the data is only held against the tree beside it, "
			"whose root hash is %s",
			have);
	return 0;
}

static int open_(struct layer *l)
{
	struct verity *v = calloc(1, sizeof(*v));
	struct verity_superblock sb;
	int r;

	if (!v)
		return -ENOMEM;
	l->priv = v;
	if (!verity_find(l->below, &v->sb_at, &sb))
		return -EBADMSG;
	r = sb_take(l, &sb);
	if (r)
		return r;
	levels_lay(v);
	v->bare = !v->sb_at;
	l->size = v->bare ? 0 : v->data_len;
	if (v->dbs > l->sector)
		l->sector = v->dbs;
	if (v->bare)
		finding(l, VERITY_BARE, v->sb_at, sizeof(sb),
			"only the hash tree is here; the data that it is about is elsewhere");
	return anchor(l);
}

static void close_(struct layer *l)
{
	free(l->priv);
}

/* --- reading --- */

static int map(struct layer *l, uint64_t off, struct extent *run)
{
	return layer_map_below(l, off, 0, run);
}

/* One data block against its digest, which is in @leaf. */
static int block_verify(const struct verity *v, uint64_t n, const uint8_t *data,
			enum verity_fit fit, const uint8_t *leaf, const struct ranges *lost,
			struct ranges *bad)
{
	uint8_t sum[PRIM_HASH_MAX];
	const uint8_t *want = v->levels ? verity_slot(v, leaf, n) : v->root;
	enum finding_id why = FINDING_COUNT;

	if (v->anchor == DIFFERS)
		why = VERITY_ROOT;
	else if (fit == WRONG)
		why = VERITY_TREE;
	else if (fit == UNREADABLE)
		why = INTEGRITY_TAG_LOST;
	if (lost->n && ranges_overlap(lost, n * v->dbs, v->dbs)) {
		why = INTEGRITY_TAG_LOST;
	} else if (fit != UNREADABLE) {
		verity_hash(v, data, v->dbs, sum);
		if (memcmp(sum, want, v->digest))
			why = VERITY_DATA;
	}
	return why == FINDING_COUNT ? 0 : ranges_add(bad, n * v->dbs, v->dbs, GRADE_DOUBTFUL, why);
}

static int read_blocks(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct verity *v = l->priv;
	uint8_t leaf[VERITY_BLOCK_MAX], *p = buf;
	struct ranges lost = {0};
	enum verity_fit fit = FIT;
	uint64_t have = UINT64_MAX;
	int r = layer_read(l->below, off, buf, len, bad ? &lost : NULL);

	if (!bad || r)
		goto out;
	r = ranges_append(bad, &lost);
	ranges_sort(&lost);
	for (uint64_t n = off / v->dbs; !r && n < (off + len) / v->dbs; n++, p += v->dbs) {
		if (v->levels && n >> v->bits != have) {
			have = n >> v->bits;
			r = path_fits(l, have, leaf, &fit);
		}
		if (!r)
			r = block_verify(v, n, p, fit, leaf, &lost, bad);
	}
out:
	ranges_free(&lost);
	return r;
}

static int read_(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct verity *v = l->priv;

	return unit_read(l, v->dbs, off, buf, len, bad, read_blocks);
}

static void info(struct layer *l, struct json *to)
{
	static const char *const text[] = {"not given", "fits", "differs"};
	const struct verity *v = l->priv;
	char root[2 * PRIM_HASH_MAX + 1] = "";

	js_str(to, "hash", v->algorithm);
	js_str(to, "uuid", v->uuid);
	js_u64(to, "data_block_size", v->dbs);
	js_u64(to, "hash_block_size", v->hbs);
	js_u64(to, "data_blocks", v->blocks);
	js_u64(to, "tree_offset", v->levels ? v->at[v->levels - 1] : v->sb_at);
	js_u64(to, "tree_levels", v->levels);
	hex(v->root, v->digest, root);
	js_str(to, "root_hash", root);
	js_str(to, "given_root_hash", text[v->anchor]);
}

static bool structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
		      uint64_t *len)
{
	const struct verity *v = l->priv;

	if (at >= v->sb_at && at - v->sb_at < sizeof(struct verity_superblock)) {
		snprintf(name, cap, "dm-verity superblock");
		*start = v->sb_at;
		*len = sizeof(struct verity_superblock);
		return true;
	}
	for (unsigned i = 0; i < v->levels; i++)
		if (at >= v->at[i] && at - v->at[i] < v->n[i] * v->hbs) {
			snprintf(name, cap, "dm-verity hash tree, level %u, block %" PRIu64, i,
				 (at - v->at[i]) / v->hbs);
			*start = at - (at - v->at[i]) % v->hbs;
			*len = v->hbs;
			return true;
		}
	return false;
}

const struct layer_ops verity_ops = {
	.name = "verity",
	.kind = LAYER_CIPHER,
	.probe = probe,
	.open = open_,
	.read = read_,
	.map = map,
	.check = verity_check,
	.info = info,
	.structure = structure,
	.close = close_,
};
