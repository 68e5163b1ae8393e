/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/luks.h"
#include "crypto/luks_kdf.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/session.h"

enum { SLOTS = 8, ENABLED = 0x00ac71f3, DISABLED = 0x0000dead, DIGEST = 20 };

struct luks1_slot {
	be32_t active; /* ENABLED or DISABLED */
	be32_t iterations;
	uint8_t salt[32];
	be32_t off; /* 0x28 of the key material, in sectors */
	be32_t stripes;
};

/* LUKS1 2.1 */
struct luks1_header {
	uint8_t magic[6];
	be16_t version;
	char cipher[32];  /* 0x08 */
	char mode[32];	  /* 0x28 */
	char hash[32];	  /* 0x48 */
	be32_t payload;	  /* 0x68 in sectors; 0: the header is detached */
	be32_t key_bytes; /* 0x6c */
	uint8_t digest[DIGEST];
	uint8_t digest_salt[32]; /* 0x84 */
	be32_t digest_iterations;
	char uuid[40]; /* 0xa8 */
	struct luks1_slot slot[SLOTS];
};
_Static_assert(sizeof(struct luks1_header) == 592, "LUKS1 2.1");

/* A text field: printable, ends inside. */
static bool text_copy(const char *field, size_t cap, char *out)
{
	size_t n = strnlen(field, cap);

	for (size_t i = 0; i < n; i++)
		if (!isprint((unsigned char)field[i]))
			return false;
	memcpy(out, field, n);
	out[n] = '\0';
	return n < cap;
}

/*
 * Does key material [off, off + len) lie behind the header and before the payload? Inside an image,
 * and with a detached header, the payload is elsewhere.
 */
static bool slot_possible(const struct luks *u, const struct luks_slot *s, uint64_t payload)
{
	uint64_t len = s->key_len * (uint64_t)s->stripes;

	/* cryptsetup refuses material before byte 4096, where the header's space ends */
	return s->stripes && len <= LUKS_AREA_MAX && s->off >= u->base &&
	       s->off - u->base >= 4096 &&
	       range_inside(s->off - u->base, len,
			    u->limit					   ? u->limit
			    : payload && payload < u->meta->size - u->base ? payload
									   : u->meta->size);
}

static struct luks_slot slot_read(const struct luks *u, const struct luks1_header *h, unsigned i)
{
	const struct luks1_slot *d = &h->slot[i];
	struct luks_slot s = {
		.id = i,
		.off = u->base + be32(d->off) * 512ull,
		.stripes = be32(d->stripes),
		.cipher = u->segment[0].cipher,
		.area_key = be32(h->key_bytes),
		.key_len = be32(h->key_bytes),
		.af_hash = u->digest[0].hash,
		.kdf_hash = u->digest[0].hash,
		.passes = be32(d->iterations),
		.salt_len = sizeof(d->salt),
		.digests = 1,
	};

	s.len = (s.key_len * (uint64_t)s.stripes + 511) & ~511ull;
	memcpy(s.salt, d->salt, sizeof(d->salt));
	return s;
}

/*
 * Formatting describes all eight keyslots, used or not, and cryptsetup refuses a header in which
 * any of them can't be. (All zero: of a writer that left them out.)
 */
static void check_unused(struct layer *l, const struct luks1_header *h)
{
	struct luks *u = l->priv;

	for (unsigned i = 0; i < SLOTS; i++) {
		struct luks_slot s = slot_read(u, h, i), t;
		const char *why = NULL;

		if (be32(h->slot[i].active) != DISABLED || (s.off == u->base && !s.stripes))
			continue;
		if (!slot_possible(u, &s, be32(h->payload) * 512ull))
			why = "where its key material would lie can't be";
		for (unsigned k = 0; !why && k < SLOTS; k++) {
			t = slot_read(u, h, k);
			if (k != i && s.off < t.off + t.len && t.off < s.off + s.len)
				why = "it overlaps another one";
		}
		if (why)
			finding_fact(
				l, LUKS_KEYSLOT_UNUSED_BAD,
				&(struct fact){.in = u->meta,
					       .at = u->base + offsetof(struct luks1_header, slot) +
						     i * sizeof(h->slot[i]),
					       .at_len = sizeof(h->slot[i]),
					       .stored = strf("%" PRIu32
							      " stripes at sector %" PRIu32,
							      s.stripes, be32(h->slot[i].off))},
				"keyslot %u, which is not in use: %s", i, why);
	}
}

static void slot_parse(struct layer *l, const struct luks1_header *h, unsigned i)
{
	struct luks *u = l->priv;
	const struct luks1_slot *d = &h->slot[i];
	uint64_t at = u->base + offsetof(struct luks1_header, slot) + i * sizeof(*d);
	struct luks_slot *s;

	if (be32(d->active) == DISABLED)
		return;
	s = &u->slot[u->n_slots++];
	*s = slot_read(u, h, i);
	if (be32(d->active) != ENABLED || !slot_possible(u, s, be32(h->payload) * 512ull)) {
		s->state = LUKS_SLOT_IMPOSSIBLE;
		finding_fact(l, LUKS_KEYSLOT_IMPOSSIBLE,
			     &(struct fact){.in = u->meta, .at = at, .at_len = sizeof(*d)},
			     "keyslot %u: state 0x%08" PRIx32 ", %" PRIu32
			     " stripes at sector %" PRIu32 ": can't be true",
			     i, be32(d->active), be32(d->stripes), be32(d->off));
	} else if (u->header_end < s->off + s->len) {
		u->header_end = s->off + s->len;
	}
}

int luks1_parse(struct layer *l)
{
	struct luks *u = l->priv;
	struct luks1_header h;
	struct luks_segment *g = &u->segment[0];
	struct luks_digest *d = &u->digest[0];
	char cipher[33], mode[33], hash[33], text[2 * 33 + 1];
	uint64_t payload;
	int r = layer_read(u->meta, u->base, &h, sizeof(h), NULL);

	if (r)
		return r;
	payload = be32(h.payload) * 512ull;
	u->version = 1;
	u->hot.segment = -1;
	u->n_segments = u->n_digests = 1;
	u->header_end = u->base + sizeof(h);
	memcpy(u->uuid, h.uuid, 40);
	*d = (struct luks_digest){.passes = be32(h.digest_iterations),
				  .salt_len = sizeof(h.digest_salt),
				  .value_len = DIGEST,
				  .segments = 1};
	memcpy(d->salt, h.digest_salt, sizeof(h.digest_salt));
	memcpy(d->value, h.digest, DIGEST);
	if (!text_copy(h.cipher, sizeof(h.cipher), cipher) ||
	    !text_copy(h.mode, sizeof(h.mode), mode) || !text_copy(h.hash, sizeof(h.hash), hash) ||
	    !be32(h.key_bytes) || be32(h.key_bytes) > LUKS_KEY_MAX) {
		finding_fact(l, LUKS_HEADER_IMPOSSIBLE,
			     &(struct fact){.in = u->meta, .at = u->base, .at_len = sizeof(h)},
			     "the LUKS1 header's cipher, hash or key size can't be true");
		return -EBADMSG;
	}
	snprintf(text, sizeof(text), "%s-%s", cipher, mode);
	d->hash = prim_hash_find(hash);
	if (!luks_cipher_parse(text, &g->cipher) || d->hash < 0) {
		finding_fact(l, LUKS_UNSUPPORTED,
			     &(struct fact){.in = u->meta, .at = u->base + 8, .at_len = 96},
			     "cipher %s with hash %s is not known", text, hash);
		return -EOPNOTSUPP;
	}
	if (!u->limit && payload > l->below->size) {
		finding_fact(
			l, LUKS_TRUNCATED, &(struct fact){.in = u->meta, .at = 0x68, .at_len = 4},
			"the payload starts at sector %" PRIu32 ", behind the end of the device",
			be32(h.payload));
		payload = l->below->size;
	}
	g->kind = LUKS_CRYPT;
	g->off = payload;
	/* a sector that is cut is none */
	g->len = l->below->size > payload ? (l->below->size - payload) & ~511ull : 0;
	g->sector = 512;
	l->size = g->len;
	for (unsigned i = 0; i < SLOTS; i++)
		slot_parse(l, &h, i);
	check_unused(l, &h);
	luks_check_overlap(l);
	luks_kdf_judge(l);
	if (!u->n_slots)
		finding_fact(l, LUKS_NO_KEYSLOT,
			     &(struct fact){.in = u->meta,
					    .at = u->base + offsetof(struct luks1_header, slot),
					    .at_len = sizeof(h.slot)},
			     "no keyslot is in use: only the volume key opens this device");
	return 0;
}
