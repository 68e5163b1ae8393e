/* SPDX-License-Identifier: Apache-2.0 */
/* What the JSON of LUKS2 says: keyslots, digests, segments, tokens. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/luks.h"
#include "crypto/luks_kdf.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

/* What a finding about the JSON in use rests on, and what more it says. */
#define IN_JSON(u, ...)                                                                            \
	(&(struct fact){.in = (u)->meta,                                                           \
			.at = (u)->copy[(u)->used].off + LUKS2_BINARY,                             \
			.at_len = (u)->copy[(u)->used].size - LUKS2_BINARY,                        \
			__VA_ARGS__})

static const char *str(const struct json *obj, const char *key)
{
	const struct json *v = js_get(obj, key);

	return v && js_kind(v) == JSON_STRING ? js_text(v) : "";
}

static uint64_t num(const struct json *obj, const char *key)
{
	uint64_t v = 0;
	const struct json *m = js_get(obj, key);

	return m && js_to_u64(m, &v) ? v : 0;
}

/* The bits of those elements of a JSON array of numbers-as-strings for which @index is >= 0. */
static uint32_t id_mask(const struct json *arr, const struct luks *u,
			int (*index)(const struct luks *u, unsigned id))
{
	uint32_t mask = 0;

	for (size_t i = 0; i < js_len(arr); i++) {
		uint64_t id;
		int k;

		if (js_to_u64(js_at(arr, i), &id) && id < 1000 && (k = index(u, (unsigned)id)) >= 0)
			mask |= 1u << k;
	}
	return mask;
}

static bool has_id(const struct json *arr, unsigned wanted)
{
	for (size_t i = 0; i < js_len(arr); i++) {
		uint64_t id;

		if (js_to_u64(js_at(arr, i), &id) && id == wanted)
			return true;
	}
	return false;
}

static int slot_index(const struct luks *u, unsigned id)
{
	for (size_t i = 0; i < u->n_slots; i++)
		if (u->slot[i].id == id)
			return (int)i;
	return -1;
}

static int segment_index(const struct luks *u, unsigned id)
{
	for (size_t i = 0; i < u->n_segments; i++)
		if (u->segment[i].id == id)
			return (int)i;
	return -1;
}

static bool id_of(const char *key, unsigned *id)
{
	char *end;
	unsigned long v = strtoul(key, &end, 10);

	*id = (unsigned)v;
	return *key && !*end && v < 1000;
}

static void slot_unknown(struct layer *l, struct luks_slot *s, const struct json *j)
{
	struct luks *u = l->priv;
	const struct json *kdf = js_get(j, "kdf");

	s->state = LUKS_SLOT_UNKNOWN;
	finding_fact(
		l, LUKS_KEYSLOT_UNKNOWN, IN_JSON(u),
		"keyslot %u is of a kind that is not known: type %s, KDF %s %s, cipher %s, AF hash %s",
		s->id, str(j, "type"), str(kdf, "type"), str(kdf, "hash"),
		str(js_get(j, "area"), "encryption"), str(js_get(j, "af"), "hash"));
}

static void slot_impossible(struct layer *l, struct luks_slot *s)
{
	struct luks *u = l->priv;

	s->state = LUKS_SLOT_IMPOSSIBLE;
	finding_fact(l, LUKS_KEYSLOT_IMPOSSIBLE, IN_JSON(u),
		     "keyslot %u: where its key material lies can't be true", s->id);
}

static bool slot_kdf(struct luks_slot *s, const struct json *kdf)
{
	const char *type = str(kdf, "type");

	s->salt_len = base64_bytes(str(kdf, "salt"), s->salt, sizeof(s->salt));
	if (!strcmp(type, "pbkdf2")) {
		s->kdf = LUKS_PBKDF2;
		s->kdf_hash = prim_hash_find(str(kdf, "hash"));
		s->passes = num(kdf, "iterations");
		return s->kdf_hash >= 0;
	}
	s->kdf = !strcmp(type, "argon2i") ? LUKS_ARGON2I : LUKS_ARGON2ID;
	s->passes = num(kdf, "time");
	s->memory = (uint32_t)(num(kdf, "memory") <= UINT32_MAX ? num(kdf, "memory") : 0);
	s->lanes = (uint32_t)(num(kdf, "cpus") <= 255 ? num(kdf, "cpus") : 0);
	return !strcmp(type, "argon2i") || !strcmp(type, "argon2id");
}

/* How the step that was interrupted can be told apart, block by block. */
static void hot_area(struct luks *u, const struct json *slot)
{
	static const struct {
		const char *type;
		enum luks_hot_how how, first;
	} types[] = {
		{"checksum", LUKS_HOT_CHECKSUM, LUKS_HOT_CHECKSUM},
		{"journal", LUKS_HOT_JOURNAL, LUKS_HOT_JOURNAL},
		{"datashift", LUKS_HOT_SHIFT, LUKS_HOT_SHIFT},
		{"datashift-checksum", LUKS_HOT_SHIFT, LUKS_HOT_CHECKSUM},
		{"datashift-journal", LUKS_HOT_SHIFT, LUKS_HOT_JOURNAL},
	};
	const struct json *area = js_get(slot, "area");
	struct luks_hot *h = &u->hot;
	uint64_t block = num(area, "sector_size");

	h->off = num(area, "offset");
	h->len = num(area, "size");
	h->hash = prim_hash_find(str(area, "hash"));
	h->block = block >= 512 && block <= 4096 && !(block & (block - 1)) ? (uint32_t)block : 0;
	h->shift = num(area, "shift_size");
	h->backward = strcmp(str(slot, "direction"), "forward") != 0;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (!strcmp(str(area, "type"), types[i].type)) {
			h->how = types[i].how;
			h->first = types[i].first;
		}
}

/* The first zone of the volume may be told in a way of its own; then: is what it takes there? */
static void hot_settle(struct luks *u)
{
	struct luks_hot *h = &u->hot;
	const struct luks_segment *g = h->segment < 0 ? NULL : &u->segment[h->segment];
	bool area = range_inside(h->off, h->len, u->meta->size);

	if (!g)
		return;
	if (!g->start)
		h->how = h->first;
	if ((h->how == LUKS_HOT_CHECKSUM && (!area || h->hash < 0 || !h->block)) ||
	    (h->how == LUKS_HOT_JOURNAL && !area) ||
	    (h->how == LUKS_HOT_SHIFT && (g->len > h->shift || h->previous.id == UINT_MAX)))
		h->how = LUKS_HOT_NONE;
}

static void slot_take(void *arg, const char *key, struct json *j)
{
	struct layer *l = arg;
	struct luks *u = l->priv;
	const struct json *area = js_get(j, "area"), *af = js_get(j, "af");
	struct luks_slot *s = &u->slot[u->n_slots];
	uint64_t size;

	if (u->n_slots == LUKS_SLOTS)
		return;
	*s = (struct luks_slot){.priority = 1};
	if (!id_of(key, &s->id))
		return;
	u->n_slots++;
	s->off = num(area, "offset");
	size = num(area, "size");
	if (range_inside(s->off, size, u->meta->size) && s->off + size > u->header_end)
		u->header_end = s->off + size;
	if (!strcmp(str(j, "type"), "reencrypt")) {
		u->reencryption = true;
		s->state = LUKS_SLOT_REENCRYPT;
		s->len = size;
		hot_area(u, j);
		return;
	}
	s->key_len = num(j, "key_size");
	s->area_key = num(area, "key_size");
	s->stripes = (uint32_t)(num(af, "stripes") <= 1 << 20 ? num(af, "stripes") : 0);
	s->af_hash = prim_hash_find(str(af, "hash"));
	s->len = (s->key_len * (uint64_t)s->stripes + 511) & ~511ull;
	if (js_get(j, "priority"))
		s->priority = (int)num(j, "priority");
	if (strcmp(str(j, "type"), "luks2") || !slot_kdf(s, js_get(j, "kdf")) || s->af_hash < 0 ||
	    !luks_cipher_parse(str(area, "encryption"), &s->cipher))
		slot_unknown(l, s, j);
	else if (!s->key_len || s->key_len > LUKS_KEY_MAX || !s->area_key ||
		 s->area_key > LUKS_KEY_MAX || !s->stripes || s->len > LUKS_AREA_MAX ||
		 s->len > size || s->off < 2 * LUKS2_HEADER_MIN ||
		 !range_inside(s->off, size, u->meta->size))
		slot_impossible(l, s);
}

static bool has_flag(const struct json *j, const char *flag)
{
	const struct json *flags = js_get(j, "flags");

	for (size_t i = 0; i < js_len(flags); i++)
		if (!strcmp(js_text(js_at(flags, i)), flag))
			return true;
	return false;
}

static void segment_fill(struct layer *l, struct luks_segment *g, const struct json *j)
{
	struct luks *u = l->priv;
	const char *type = str(j, "type");

	g->off = num(j, "offset");
	g->len = strcmp(str(j, "size"), "dynamic") ? num(j, "size") : UINT64_MAX;
	g->iv_tweak = num(j, "iv_tweak");
	g->sector = (uint32_t)(num(j, "sector_size") <= 4096 ? num(j, "sector_size") : 0);
	snprintf(g->integrity, sizeof(g->integrity), "%s", str(js_get(j, "integrity"), "type"));
	g->kind = !strcmp(type, "crypt")    ? LUKS_CRYPT
		  : !strcmp(type, "linear") ? LUKS_LINEAR
					    : LUKS_SEGMENT_UNKNOWN;
	if (g->kind == LUKS_LINEAR)
		g->sector = 512;
	if (g->kind == LUKS_SEGMENT_UNKNOWN ||
	    (g->kind == LUKS_CRYPT && (!luks_cipher_parse(str(j, "encryption"), &g->cipher) ||
				       g->sector < 512 || g->sector & (g->sector - 1)))) {
		g->kind = LUKS_SEGMENT_UNKNOWN;
		finding_fact(l, LUKS_UNSUPPORTED, IN_JSON(u),
			     "segment %u: type %s with cipher %s and %" PRIu64
			     "-byte sectors is not known",
			     g->id, type, str(j, "encryption"), num(j, "sector_size"));
	}
}

static void segment_take(void *arg, const char *key, struct json *j)
{
	struct layer *l = arg;
	struct luks *u = l->priv;
	struct luks_segment *g = &u->segment[u->n_segments];

	/* Backups of segments, from a reencryption, describe the same bytes once more. */
	if (has_flag(j, "backup-previous"))
		g = &u->hot.previous;
	else if (has_flag(j, "backup-moved-segment"))
		g = &u->hot.moved;
	else if (has_flag(j, "backup-final") || u->n_segments == LUKS_SEGMENTS)
		return;
	*g = (struct luks_segment){.digest = -1};
	if (!id_of(key, &g->id)) {
		g->id = UINT_MAX;
		return;
	}
	segment_fill(l, g, j);
	if (g == &u->hot.previous || g == &u->hot.moved)
		return;
	g->hot = has_flag(j, "in-reencryption");
	u->n_segments++;
}

static void digest_take(void *arg, const char *key, struct json *j)
{
	struct layer *l = arg;
	struct luks *u = l->priv;
	struct luks_digest *d = &u->digest[u->n_digests];
	uint32_t slots = id_mask(js_get(j, "keyslots"), u, slot_index);

	if (u->n_digests == LUKS_DIGESTS)
		return;
	*d = (struct luks_digest){0};
	if (!id_of(key, &d->id) || strcmp(str(j, "type"), "pbkdf2"))
		return;
	d->hash = prim_hash_find(str(j, "hash"));
	d->passes = num(j, "iterations");
	d->salt_len = base64_bytes(str(j, "salt"), d->salt, sizeof(d->salt));
	d->value_len = base64_bytes(str(j, "digest"), d->value, sizeof(d->value));
	d->segments = id_mask(js_get(j, "segments"), u, segment_index);
	if (d->hash < 0 || !d->value_len)
		return;
	for (size_t i = 0; i < u->n_slots; i++)
		if (slots >> i & 1)
			u->slot[i].digests |= 1u << u->n_digests;
	for (size_t i = 0; i < u->n_segments; i++)
		if (d->segments >> i & 1)
			u->segment[i].digest = (int)u->n_digests;
	if (has_id(js_get(j, "segments"), u->hot.previous.id))
		u->hot.previous.digest = (int)u->n_digests;
	u->n_digests++;
}

static void token_take(void *arg, const char *key, struct json *j)
{
	struct layer *l = arg;
	struct luks *u = l->priv;
	struct luks_token *t = &u->token[u->n_tokens];

	if (u->n_tokens == LUKS_TOKENS || !id_of(key, &t->id))
		return;
	snprintf(t->type, sizeof(t->type), "%s", str(j, "type"));
	u->n_tokens++;
}

static int segment_cmp(const void *a, const void *b)
{
	const struct luks_segment *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* Segments are whole sectors, at whole sectors: what is not can't be read as they say. */
static void segment_judge(struct layer *l, struct luks_segment *g, uint64_t at)
{
	struct luks *u = l->priv;
	uint64_t sector = g->kind == LUKS_SEGMENT_UNKNOWN ? 512 : g->sector, end;

	if (g->len <= UINT64_MAX - at && !__builtin_add_overflow(g->off, g->len, &end) &&
	    !(at % sector) && !(g->len % sector) && g->iv_tweak <= UINT64_MAX / 1024 &&
	    !(g->iv_tweak * 512 % sector)) {
		g->sector = (uint32_t)sector;
		return;
	}
	finding_fact(l, LUKS_UNSUPPORTED, IN_JSON(u),
		     "segment %u: its size or place is no multiple of its sectors", g->id);
	g->kind = LUKS_SEGMENT_UNKNOWN;
	g->sector = 512;
	g->off = 0;
	g->len = g->len > UINT64_MAX - 4096 - at ? 0 : g->len & ~511ull;
}

/* Segments follow one another in the layer in the order of their numbers. */
static void segments_lay(struct layer *l)
{
	struct luks *u = l->priv;
	uint64_t at = 0;

	u->hot.segment = -1;
	qsort(u->segment, u->n_segments, sizeof(*u->segment), segment_cmp);
	for (size_t i = 0; i < u->n_segments; i++) {
		struct luks_segment *g = &u->segment[i];
		uint64_t left = g->off < l->below->size ? l->below->size - g->off : 0;

		if (g->len == UINT64_MAX) {
			g->len = left;
			if (g->sector)
				g->len -= g->len % g->sector;
		}
		if (g->len > left)
			finding_fact(
				l, LUKS_TRUNCATED,
				IN_JSON(u, .off = at + left, .len = g->len - left, .lost = true),
				"segment %u ends behind the end of the device", g->id);
		segment_judge(l, g, at);
		g->start = at;
		at += g->len;
		if (g->hot)
			u->hot.segment = (int)i;
		if (g->sector > l->sector)
			l->sector = g->sector;
	}
	l->size = at;
}

static void requirements_take(struct luks *u, const struct json *root)
{
	const struct json *list =
		js_get(js_get(js_get(root, "config"), "requirements"), "mandatory");
	size_t n = 0;

	for (size_t i = 0; i < js_len(list) && n < sizeof(u->requirements); i++)
		n += (size_t)snprintf(u->requirements + n, sizeof(u->requirements) - n, "%s%s",
				      n ? ", " : "", js_text(js_at(list, i)));
}

int luks2_parse(struct layer *l)
{
	struct luks *u = l->priv;
	const struct json *root;
	int r = luks2_copies_open(l);

	if (r)
		return r;
	u->version = 2;
	root = u->copy[u->used].json;
	u->header_end = u->copy[u->used].size * 2;
	u->hot.previous.id = u->hot.moved.id = UINT_MAX;
	js_each(js_get(root, "keyslots"), slot_take, l);
	js_each(js_get(root, "segments"), segment_take, l);
	js_each(js_get(root, "digests"), digest_take, l);
	js_each(js_get(root, "tokens"), token_take, l);
	requirements_take(u, root);
	if (!u->n_segments)
		return -EBADMSG;
	segments_lay(l);
	hot_settle(u);
	luks_check_overlap(l);
	luks_kdf_judge(l);
	return 0;
}
