/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/luks_aead.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/integrity.h"
#include "crypto/unit.h"
#include "crypto/verify.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum { SECTOR = 512, SAID_MAX = 1000, NONCE_MAX = 16 };

struct luks_aead {
	struct layer *l;
	struct integrity_dev d;
	struct luks_cipher cipher;
	uint64_t iv_tweak;
	const struct scheme *scheme;
	bool random; /* the IV is stored behind the tag */
	size_t tag;  /* bytes of it */
	size_t nonce;
	struct prim_aead_key *aead;
	struct prim_mac *mac;	     /* with a cipher that does not authenticate */
	struct sector_cipher *plain; /* IVs made from the sector's number */
	struct prim_cipher *block;   /* random IVs */
};

/* What the segment's "integrity" type and its cipher mean together. */
static const struct scheme {
	const char *integrity, *cipher, *mode; /* mode NULL: a block cipher's, any */
	enum { AEAD, HMAC } kind;
	enum prim_aead aead;
	enum prim_hash hash;
	size_t tag, nonce;
} schemes[] = {
	{"aead", "aes", "gcm", AEAD, PRIM_AES_GCM, 0, 16, 12},
	{"poly1305", "chacha20", "random", AEAD, PRIM_CHACHA20_POLY1305, 0, 16, 12},
	{"poly1305", "chacha20", "plain64", AEAD, PRIM_CHACHA20_POLY1305, 0, 16, 12},
	{"hmac(sha256)", NULL, NULL, HMAC, 0, PRIM_SHA256, 32, 16},
	{"hmac(sha512)", NULL, NULL, HMAC, 0, PRIM_SHA512, 64, 16},
	{"hmac(sha1)", NULL, NULL, HMAC, 0, PRIM_SHA1, 20, 16},
};

static const struct scheme *scheme_find(const struct luks_segment *g)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		const struct scheme *s = &schemes[i];

		if (strcmp(s->integrity, g->integrity))
			continue;
		if (!s->cipher ||
		    (!strcmp(s->cipher, g->cipher.name) && !strcmp(s->mode, g->cipher.mode)))
			return s;
	}
	return NULL;
}

static void unknown(struct luks_aead *a, const struct luks_segment *g, const char *why)
{
	finding(a->l, LUKS_UNSUPPORTED, g->off, INTEGRITY_SB,
		"segment %u: %s with integrity %s: %s", g->id, g->cipher.text, g->integrity, why);
}

/* aes-gcm-random and aes-xts-random have the IV third; chacha20-random, second. */
static bool layout(struct luks_aead *a, const struct luks_segment *g)
{
	const char *iv = g->cipher.iv[0] ? g->cipher.iv : g->cipher.mode;

	a->scheme = scheme_find(g);
	if (!a->scheme)
		return false;
	a->random = !strcmp(iv, "random");
	a->tag = a->scheme->tag;
	a->nonce = a->scheme->nonce;
	if (a->scheme->kind == AEAD && !a->random && strcmp(iv, "plain64"))
		return false;
	return a->d.tag_size == a->tag + (a->random ? a->nonce : 0);
}

int luks_aead_open(struct layer *l, struct luks_segment *g)
{
	struct luks_aead *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->l = l;
	a->cipher = g->cipher;
	a->iv_tweak = g->iv_tweak;
	r = integrity_dev_open(&a->d, l, l->below, g->off, l->below);
	if (r == -ENOMEM || r == -EINTR)
		goto out;
	if (r) {
		g->len = 0;
	} else if (a->d.block != g->sector) {
		unknown(a, g, "dm-integrity has blocks of another size than LUKS2 has sectors");
		r = -EOPNOTSUPP;
	} else if (!layout(a, g)) {
		unknown(a, g, "not known");
		r = -EOPNOTSUPP;
	} else {
		g->len = a->d.size;
		g->aead = a;
		return 0;
	}
	r = 0;
out:
	luks_aead_close(a);
	return r;
}

static int key_hmac(struct luks_aead *a, const uint8_t *key, size_t len)
{
	/* The volume key is the cipher's, then the MAC's, as long as its digest. */
	size_t mac = prim_hash_len(a->scheme->hash);
	struct sector_spec spec = {a->cipher.name, a->cipher.mode, a->cipher.iv, a->d.block,
				   SECTOR};
	int r;

	if (len <= mac)
		return -EOPNOTSUPP;
	a->mac = prim_mac_open(a->scheme->hash, key + len - mac, mac);
	if (!a->mac)
		return -ENOMEM;
	if (a->random)
		r = prim_cipher_open(&a->block, a->cipher.name,
				     !strcmp(a->cipher.mode, "xts") ? PRIM_XTS : PRIM_CBC, key,
				     len - mac);
	else
		r = sector_open(&a->plain, &spec, key, len - mac);
	if (r) {
		prim_mac_close(a->mac);
		a->mac = NULL;
	}
	return r;
}

int luks_aead_key(struct luks_aead *a, const void *key, size_t len)
{
	if (luks_aead_ready(a))
		return 0;
	if (a->scheme->kind == HMAC)
		return key_hmac(a, key, len);
	a->aead = prim_aead_open(a->scheme->aead, key, len);
	return a->aead ? 0 : -EOPNOTSUPP;
}

bool luks_aead_ready(const struct luks_aead *a)
{
	return a->aead || a->mac;
}

/* dm-crypt's plain64: the sector's number, little-endian, filled up with zeros */
static void iv_make(const struct luks_aead *a, uint64_t sector, const uint8_t *tag, uint8_t *iv)
{
	const le64_t n = to_le64(sector + a->iv_tweak);

	if (a->random) {
		memcpy(iv, tag + a->tag, a->nonce);
		return;
	}
	memset(iv, 0, NONCE_MAX);
	memcpy(iv, &n, 8);
}

/* Decrypt one sector in place. 0, -EBADMSG: it does not fit its tag; or -errno */
static int sector_open_one(struct luks_aead *a, struct prim_handle *h, uint64_t sector,
			   uint8_t *data, const uint8_t *tag)
{
	const le64_t number = to_le64(sector);
	uint8_t iv[NONCE_MAX], sum[PRIM_HASH_MAX];
	const struct prim_part aad[] = {{&number, 8}, {iv, a->nonce}, {data, a->d.block}};
	int r, fits;

	iv_make(a, sector, tag, iv);
	if (a->scheme->kind == AEAD)
		return prim_aead_decrypt(a->aead, iv, a->nonce, aad, 2, data, a->d.block, tag,
					 a->tag);
	r = prim_mac_sum(a->mac, aad, 3, sum);
	if (r)
		return r;
	fits = prim_equal(sum, tag, a->tag);
	if (a->random) {
		prim_iv(a->block, h, iv);
		prim_decrypt(h, data, a->d.block);
	} else {
		r = sector_decrypt(a->plain, sector * SECTOR + a->iv_tweak * SECTOR, data,
				   a->d.block);
	}
	return r ? r : fits ? 0 : -EBADMSG;
}

/* A tag that nobody wrote: cryptsetup --integrity-no-wipe leaves zeros. */
static bool blank(const struct luks_aead *a, const uint8_t *tag)
{
	for (size_t i = 0; i < a->d.tag_size; i++)
		if (tag[i])
			return false;
	return true;
}

static int decrypt(struct luks_aead *a, uint64_t off, uint8_t *p, size_t len, const uint8_t *tags,
		   const struct ranges *lost, struct ranges *bad)
{
	struct prim_handle *h = a->block ? prim_begin(a->block) : NULL;
	size_t block = a->d.block;
	int r = a->block && !h ? -ENOMEM : 0;

	for (size_t i = 0; !r && i < len / block; i++, off += block, p += block) {
		const uint8_t *tag = tags + i * a->d.tag_size;

		r = sector_open_one(a, h, off / SECTOR, p, tag);
		if (lost->n && ranges_overlap(lost, off, block))
			r = r == -EBADMSG ? 0 : r; /* said as lost, or as without a tag */
		else if (r == -EBADMSG)
			r = ranges_add(bad, off, block, GRADE_DOUBTFUL,
				       blank(a, tag) ? INTEGRITY_NEVER_WRITTEN : INTEGRITY_TAG);
	}
	if (h)
		prim_end(a->block, h);
	return r;
}

/*
 * What a lost byte costs: in GCM, ChaCha20 itself; in XTS its 16 bytes, in CBC those and the next
 * 16. The rest of its sector decrypts, but nothing proves it. Without a stored IV all is lost.
 */
static int spread(struct luks_aead *a, uint64_t off, uint8_t *p, size_t len, struct ranges *lost,
		  struct ranges *bad)
{
	size_t n = bad->n, block = a->d.block;
	bool cbc = !strcmp(a->cipher.mode, "cbc");
	int r = 0;

	for (size_t i = 0; !r && i < lost->n; i++) {
		const struct range *b = &lost->v[i];
		bool no_iv = b->why == INTEGRITY_TAG_LOST && a->random;

		r = ranges_add(bad, b->off, b->len, no_iv ? GRADE_LOST : b->grade, b->why);
	}
	if (r)
		return r;
	if (a->scheme->kind == AEAD)
		unit_blank(bad, n, off, p, len, 1, 0, block);
	else
		unit_blank(bad, n, off, p, len, PRIM_BLOCK, cbc ? PRIM_BLOCK : 0, block);
	for (size_t i = n, end = bad->n; !r && i < end; i++) {
		uint64_t from = bad->v[i].off & ~(uint64_t)(block - 1);
		uint64_t to = (bad->v[i].off + bad->v[i].len + block - 1) & ~(uint64_t)(block - 1);

		if (bad->v[i].grade == GRADE_LOST && bad->v[i].len < to - from)
			r = ranges_add(bad, from, to - from, GRADE_DOUBTFUL, INTEGRITY_TAG_LOST);
	}
	return r;
}

int luks_aead_read(struct luks_aead *a, uint64_t start, uint64_t at, void *buf, size_t len,
		   struct ranges *bad)
{
	uint64_t off = at - start;
	struct ranges lost = {0}, more = {0};
	uint8_t *tags = malloc(len / a->d.block * a->d.tag_size);
	size_t n;
	int r = -ENOMEM;

	if (!tags)
		goto out;
	r = integrity_dev_read(&a->d, off, buf, len, tags, &lost, &lost);
	if (!r && lost.n)
		ranges_sort(&lost);
	if (!r)
		r = decrypt(a, off, buf, len, tags, &lost, &more);
	if (!r && lost.n)
		r = spread(a, off, buf, len, &lost, &more);
	if (!r && bad) {
		n = bad->n;
		r = ranges_append(bad, &more);
		ranges_shift(bad, n, off, at);
	}
out:
	ranges_free(&lost);
	ranges_free(&more);
	free(tags);
	return r;
}

int luks_aead_map(struct luks_aead *a, uint64_t off, struct extent *run)
{
	return integrity_dev_map(&a->d, off, run);
}

/* --- checking --- */

static void report(struct luks_aead *a, uint64_t start, const struct range *b)
{
	uint64_t off = b->off - start, first = b->off / SECTOR, n = b->len / SECTOR;
	bool lost = b->grade == GRADE_LOST;
	struct extent run = {.off = off};
	struct fact f = {
		.in = a->d.below, .off = b->off, .len = b->len, .lost = lost, .doubtful = !lost};

	if (!integrity_dev_map(&a->d, off, &run) && run.kind == EXTENT_DATA) {
		f.at = run.at;
		f.at_len = run.len < b->len ? run.len : b->len;
	}
	finding_fact(a->l, b->why, &f,
		     "sectors %" PRIu64 "..%" PRIu64 ": %s (%s, tag at 0x%" PRIx64 ")", first,
		     first + n - 1,
		     b->why == INTEGRITY_TAG	    ? "the ciphertext does not fit its tag"
		     : b->why == INTEGRITY_TAG_LOST ? "a part of it or its tag can't be read"
						    : "never written, the tag is all zero",
		     a->scheme->integrity, integrity_dev_tag_at(&a->d, off));
}

int luks_aead_check(struct luks_aead *a, uint64_t start)
{
	struct ranges bad = {0};
	uint64_t rest = 0;
	char size[SIZE_TEXT];
	int r;

	if (!a->l->s->opt.data || !luks_aead_ready(a))
		return 0;
	r = verify_bytes(a->l, start, a->d.size, "verifying tags", integrity_reasons, &bad);
	for (size_t i = 0; i < bad.n; i++)
		if (i < SAID_MAX)
			report(a, start, &bad.v[i]);
		else
			rest += bad.v[i].len;
	if (rest)
		finding(a->l, INTEGRITY_TAG, a->d.start + a->d.initial, 0,
			"%zu more runs of sectors whose tags do not fit, %s altogether",
			bad.n - SAID_MAX, size_text(rest, size));
	ranges_free(&bad);
	return r;
}

void luks_aead_info(const struct luks_aead *a, struct json *to)
{
	integrity_dev_info(&a->d, to);
}

bool luks_aead_structure(const struct luks_aead *a, uint64_t at, char *name, size_t cap,
			 uint64_t *start, uint64_t *len)
{
	return integrity_dev_structure(&a->d, at, name, cap, start, len);
}

void luks_aead_close(struct luks_aead *a)
{
	if (!a)
		return;
	prim_aead_close(a->aead);
	prim_mac_close(a->mac);
	sector_close(a->plain);
	prim_cipher_close(a->block);
	integrity_dev_close(&a->d);
	free(a);
}
