/* SPDX-License-Identifier: Apache-2.0 */
/* The drivers luks1 and luks2: one reader for both. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/header.h"
#include "crypto/luks.h"
#include "crypto/luks_aead.h"
#include "crypto/unit.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

bool luks_cipher_parse(const char *text, struct luks_cipher *c)
{
	const char *dash = strchr(text, '-'), *second = dash ? strchr(dash + 1, '-') : NULL;

	memset(c, 0, sizeof(*c));
	if (strlen(text) >= sizeof(c->text))
		return false;
	snprintf(c->text, sizeof(c->text), "%s", text);
	if (!dash) {
		/* "aes" alone is what the first cryptsetup called CBC with plain IVs. */
		snprintf(c->name, sizeof(c->name), "%s", text);
		snprintf(c->mode, sizeof(c->mode), "cbc");
		snprintf(c->iv, sizeof(c->iv), "plain");
		return *text != '\0';
	}
	memcpy(c->name, text, (size_t)(dash - text));
	if (second) {
		memcpy(c->mode, dash + 1, (size_t)(second - dash - 1));
		snprintf(c->iv, sizeof(c->iv), "%s", second + 1);
	} else {
		snprintf(c->mode, sizeof(c->mode), "%s", dash + 1);
	}
	return c->name[0] && c->mode[0];
}

int luks_version(struct layer *below)
{
	uint8_t h[8];

	if (layer_read(below, 0, h, sizeof(h), NULL) || memcmp(h, "LUKS\xba\xbe", 6) || h[6])
		return 0;
	return h[7];
}

static enum header_kind kind(int version)
{
	return version == 1 ? HEADER_LUKS1 : HEADER_LUKS2;
}

/* What the user gives for this very layer, or for a device with a header, wins over that one. */
static bool header_given(struct layer *below, int version)
{
	return header_for(below, kind(version), true) ||
	       (luks_version(below) && header_for(below, kind(version), false));
}

static int luks1_probe(struct layer *below)
{
	return header_given(below, 1) ? 100 : luks_version(below) == 1 ? 95 : 0;
}

static int luks2_probe(struct layer *below)
{
	uint64_t off;

	if (header_given(below, 2))
		return 100;
	if (luks_version(below) == 2)
		return 95;
	/* Only nine places, all near the start: cheap enough to look when the first is lost. */
	return luks2_find(below, &off) ? 90 : 0;
}

/* Nothing else is known of @below: is it what a detached header is for? */
static int luks1_search(struct layer *below)
{
	return header_for(below, HEADER_LUKS1, false) ? 95 : 0;
}

static int luks2_search(struct layer *below)
{
	return header_for(below, HEADER_LUKS2, false) ? 95 : 0;
}

/* dm-integrity says how long a segment with tags is; cryptsetup makes but one. */
static int aeads_open(struct layer *l)
{
	struct luks *u = l->priv;
	int r = 0;

	for (size_t i = 0; !r && i < u->n_segments; i++) {
		struct luks_segment *g = &u->segment[i];

		if (g->kind != LUKS_CRYPT || !g->integrity[0])
			continue;
		r = luks_aead_open(l, g);
		if (i + 1 == u->n_segments)
			l->size = g->start + g->len;
	}
	return r;
}

/* Bytes of the volume key of @g, as its keyslots say; 0: none is left that does. */
static size_t segment_key_len(const struct luks *u, const struct luks_segment *g)
{
	for (size_t i = 0; g->digest >= 0 && i < u->n_slots; i++)
		if (u->slot[i].digests >> g->digest & 1 && u->slot[i].key_len <= LUKS_KEY_MAX)
			return u->slot[i].key_len;
	return 0;
}

/* Can the segments' ciphers be opened at all? */
static int ciphers_known(struct layer *l)
{
	struct luks *u = l->priv;
	static const uint8_t key[LUKS_KEY_MAX] = {1, 2, 3};
	static const size_t lens[] = {16, 32, 48, 64};
	int known = 0;

	for (size_t i = 0; i < u->n_segments; i++) {
		struct luks_segment *g = &u->segment[i];
		struct sector_spec spec = {g->cipher.name, g->cipher.mode, g->cipher.iv, g->sector,
					   512};
		struct sector_cipher *c = NULL;
		size_t len = segment_key_len(u, g);
		char bits[40] = "";
		int r = -EOPNOTSUPP;

		if (g->kind != LUKS_CRYPT || g->integrity[0]) {
			known += g->kind == LUKS_LINEAR || g->aead;
			continue;
		}
		if (len)
			r = sector_open(&c, &spec, key, len);
		for (size_t k = 0; !len && r && k < sizeof(lens) / sizeof(*lens); k++)
			r = sector_open(&c, &spec, key, lens[k]);
		sector_close(c);
		known += !r;
		if (len)
			snprintf(bits, sizeof(bits), " with a key of %zu bits", 8 * len);
		if (r)
			finding_fact(l, LUKS_UNSUPPORTED,
				     &(struct fact){.in = u->meta, .at = 0, .at_len = 4096},
				     "segment %u: cipher %s%s is not known", g->id, g->cipher.text,
				     bits);
	}
	return known ? 0 : -EOPNOTSUPP;
}

/* The header's layer: the device itself, or the file that was given for it. */
static int meta_open(struct layer *l, int version)
{
	struct luks *u = l->priv;
	const char *file = header_for(l->below, kind(version), true);
	int r = 0;

	if (!file)
		file = header_for(l->below, kind(version), false);
	if (file)
		r = header_open(l->s, file, &l->aside);
	u->header = file;
	u->meta = l->aside ? l->aside : l->below;
	return r;
}

static void say_reencryption(struct layer *l)
{
	const struct luks *u = l->priv;
	char zone[80] = "", size[SIZE_TEXT];
	bool linear = false;

	if (!u->reencryption)
		return;
	for (size_t i = 0; i < u->n_segments; i++)
		linear |= u->segment[i].kind == LUKS_LINEAR;
	if (u->hot.segment >= 0)
		snprintf(zone, sizeof(zone), "; %s between them were being rewritten%s",
			 size_text(u->segment[u->hot.segment].len, size),
			 u->hot.how == LUKS_HOT_NONE ? ", how far is not known" : "");
	finding_fact(l, LUKS_REENCRYPTION, &(struct fact){.in = u->meta, .at_len = 4096},
		     "a reencryption was not finished: %s%s",
		     u->n_segments == 1 ? "it was prepared only, or was about to end"
		     : linear		? "a part of the device is not encrypted"
					: "the parts of the device have different keys",
		     zone);
}

static int luks_open(struct layer *l, int version, int (*parse)(struct layer *l))
{
	struct luks *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	l->priv = u;
	r = meta_open(l, version);
	if (!r)
		r = parse(l);
	if (r)
		return r;
	if (!l->aside && u->n_segments && !u->segment[0].off) {
		finding_fact(l, LUKS_HEADER_ALONE, &(struct fact){.at_len = u->header_end},
			     "a detached header: the data that belongs to it starts with byte 0 of "
			     "another device");
		return -EOPNOTSUPP;
	}
	say_reencryption(l);
	r = aeads_open(l);
	if (!r)
		r = ciphers_known(l);
	if (!r)
		r = luks_unlock(l);
	/* A passphrase that should fit may fail because its keyslot is not what it was. */
	if (r == -EKEYREJECTED && luks_check_slots(l))
		r = -ENOMEM;
	return r;
}

static int luks1_open(struct layer *l)
{
	return luks_open(l, 1, luks1_parse);
}

static int luks2_open(struct layer *l)
{
	return luks_open(l, 2, luks2_parse);
}

/* The segment that holds byte @off; the last one if none does, which its length then shows. */
static const struct luks_segment *segment_at(const struct luks *u, uint64_t off)
{
	size_t i = 0;

	while (i + 1 < u->n_segments && off - u->segment[i].start >= u->segment[i].len)
		i++;
	return &u->segment[i];
}

static int luks_map(struct layer *l, uint64_t off, struct extent *run)
{
	const struct luks *u = l->priv;
	const struct luks_segment *g = segment_at(u, off);
	uint64_t in = off - g->start, at = g->hot ? luks_hot_at(u, in) : g->off + in;

	run->len = g->len - in;
	if (g->aead && luks_aead_ready(g->aead))
		return luks_aead_map(g->aead, in, run);
	if (g->kind != LUKS_LINEAR && !g->c && !(g->hot && u->hot.previous.c)) {
		run->kind = EXTENT_LOST;
		run->why = LAYER_LOCKED;
	} else if (at >= l->below->size) {
		run->kind = EXTENT_LOST;
		run->why = LAYER_READ_PAST_END;
	} else {
		run->kind = EXTENT_DATA;
		run->in = l->below;
		run->at = at;
		if (run->len > l->below->size - run->at)
			run->len = l->below->size - run->at;
	}
	return 0;
}

static int read_sectors(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	uint8_t *p = buf;
	int r = 0;

	while (!r && len) {
		const struct luks_segment *g = segment_at(l->priv, off);
		uint64_t in = off - g->start;
		size_t n = g->len - in < len ? (size_t)(g->len - in) : len, from = bad ? bad->n : 0;
		bool cbc = !strcmp(g->cipher.mode, "cbc");

		if (g->hot) {
			r = luks_hot_read(l, off, p, n, bad);
		} else if (g->kind == LUKS_LINEAR) {
			r = layer_read_as(l->below, g->off + in, p, n, off, bad);
		} else if (g->aead && luks_aead_ready(g->aead)) {
			r = luks_aead_read(g->aead, g->start, off, p, n, bad);
		} else if (!g->c) {
			memset(p, 0, n);
			r = ranges_add(bad, off, n, GRADE_LOST, LAYER_LOCKED);
		} else {
			r = layer_read_as(l->below, g->off + in, p, n, off, bad);
			if (!r)
				r = sector_decrypt(g->c, g->iv_tweak * 512 + in, p,
						   n & ~(size_t)(g->sector - 1));
			unit_blank(bad, from, off, p, n, PRIM_BLOCK, cbc ? PRIM_BLOCK : 0,
				   g->sector);
		}
		off += n;
		p += n;
		len -= n;
	}
	return r;
}

static int luks_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	const struct luks *u = l->priv;
	uint8_t *p = buf;
	int r = 0;

	/* Each segment by its own sectors: a unit that reached into the next would be cut there. */
	while (!r && len) {
		const struct luks_segment *g = segment_at(l->priv, off);
		uint64_t left = g->start + g->len - off;
		size_t n = left < len ? (size_t)left : len;

		r = unit_read(l, g->hot ? luks_hot_unit(u) : g->sector, off, p, n, bad,
			      read_sectors);
		off += n;
		p += n;
		len -= n;
	}
	return r;
}

/* Without an IV that counts, equal plaintext is equal ciphertext: nothing can be told from it. */
static bool looks_random(const struct luks_segment *g)
{
	return g->kind == LUKS_CRYPT && !g->integrity[0] && strcmp(g->cipher.mode, "ecb") &&
	       strcmp(g->cipher.iv, "null") && strcmp(g->cipher.name, "cipher_null") &&
	       strcmp(g->cipher.name, "null");
}

static int luks_ciphertext(struct layer *l, uint64_t at, uint64_t *len, uint64_t *off)
{
	const struct luks *u = l->priv;

	*len = UINT64_MAX - at;
	for (size_t i = 0; i < u->n_segments; i++) {
		const struct luks_segment *g = &u->segment[i];

		if (at >= g->off && at - g->off < g->len) {
			*off = g->start + (at - g->off);
			*len = g->len - (at - g->off);
			return looks_random(g) && !g->hot;
		}
		if (g->off > at && g->off - at < *len)
			*len = g->off - at;
	}
	return 0;
}

static int luks_decrypt_as(struct layer *l, uint64_t at, void *buf, size_t len)
{
	const struct luks *u = l->priv;

	for (size_t i = 0; i < u->n_segments; i++) {
		const struct luks_segment *g = &u->segment[i];

		if (at >= g->off && range_inside(at - g->off, len, g->len) && g->c && !g->hot &&
		    (at - g->off) % g->sector == 0 && len % g->sector == 0)
			return sector_decrypt(g->c, g->iv_tweak * 512 + (at - g->off), buf, len);
	}
	return -ENOENT;
}

static int luks_check(struct layer *l)
{
	struct luks *u = l->priv;

	for (int i = 0; i < 2; i++)
		session_checked(l->s, u->copy[i].size);
	for (size_t i = 0; i < u->n_segments; i++) {
		int r = u->segment[i].aead
				? luks_aead_check(u->segment[i].aead, u->segment[i].start)
				: 0;

		if (r)
			return r;
	}
	return luks_check_slots(l);
}

static void luks_close(struct layer *l)
{
	struct luks *u = l->priv;

	if (!u)
		return;
	for (int i = 0; i < 2; i++) {
		js_free(u->copy[i].json);
		free(u->copy[i].text);
	}
	for (size_t i = 0; i < u->n_digests; i++)
		prim_secret_free(u->digest[i].key);
	for (size_t i = 0; i < u->n_segments; i++)
		sector_close(u->segment[i].c);
	sector_close(u->hot.previous.c);
	for (size_t i = 0; i < u->n_segments; i++)
		luks_aead_close(u->segment[i].aead);
	free(u);
}

#define LUKS_OPS(v)                                                                                \
	const struct layer_ops luks##v##_ops = {                                                   \
		.name = "luks" #v,                                                                 \
		.kind = LAYER_CIPHER,                                                              \
		.probe = luks##v##_probe,                                                          \
		.search = luks##v##_search,                                                        \
		.open = luks##v##_open,                                                            \
		.unlock = luks_unlock,                                                             \
		.read = luks_read,                                                                 \
		.map = luks_map,                                                                   \
		.check = luks_check,                                                               \
		.info = luks_info,                                                                 \
		.structure = luks_structure,                                                       \
		.ciphertext = luks_ciphertext,                                                     \
		.decrypt_as = luks_decrypt_as,                                                     \
		.close = luks_close,                                                               \
	}
LUKS_OPS(1);
LUKS_OPS(2);
