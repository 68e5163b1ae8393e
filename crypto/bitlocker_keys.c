/* SPDX-License-Identifier: Apache-2.0 */
/* From what the user knows to the FVEK: password → stretched key → VMK → FVEK. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/bitlocker.h"
#include "crypto/prim.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	STRETCH = 1 << 20, /* rounds of SHA-256 */
	NONCE = 12,
	MAC = 16,
	PASSWORD_MAX = 1024, /* bytes of UTF-8; Windows takes 256 characters */
	STRETCHES = 1024,    /* protectors times keys; a volume has a few protectors */
	PLAIN_MAX = 256,     /* an unwrapped key datum has 44 to 76 bytes */
};

const char *fve_protector_name(uint16_t protector)
{
	switch (protector & 0xff00) {
	case FVE_CLEAR: return "clear key";
	case FVE_TPM: return "TPM";
	case FVE_EXTERNAL: return "startup key";
	case FVE_TPM | FVE_EXTERNAL: return "TPM and startup key";
	case FVE_TPM_PIN: return "PIN";
	case FVE_TPM | FVE_TPM_PIN: return "TPM and PIN";
	case FVE_TPM | FVE_TPM_PIN | FVE_EXTERNAL: return "TPM, PIN and startup key";
	case FVE_RECOVERY: return "recovery password";
	case FVE_PASSWORD: return "password";
	default: return "unknown protector";
	}
}

unsigned fve_opened_by(uint16_t protector)
{
	switch (protector & 0xff00) {
	case FVE_EXTERNAL: return KEY_BEK;
	case FVE_RECOVERY: return KEY_RECOVERY;
	case FVE_PASSWORD: return KEY_PASSPHRASE;
	default: return 0;
	}
}

/*
 * A key datum wrapped with AES-CCM: @body is nonce, MAC, ciphertext. @out gets the key's bytes.
 * 0; -EBADMSG: the MAC does not fit, so key or datum is wrong; -EPROTO: no key inside.
 */
static int unwrap(struct span body, const uint8_t key[FVE_KEY_LEN], uint8_t *out, size_t cap,
		  size_t *len)
{
	const uint8_t *p = span_at(body, 0, NONCE + MAC);
	size_t n = p ? body.len - NONCE - MAC : 0;
	uint8_t plain[PLAIN_MAX];
	struct prim_aead_key *k;
	struct span rest = {plain, n, 0};
	struct fve_datum d;
	int r;

	if (!n || n > sizeof(plain))
		return -EPROTO;
	k = prim_aead_open(PRIM_AES_CCM, key, FVE_KEY_LEN);
	if (!k)
		return -ENOMEM;
	memcpy(plain, p + NONCE + MAC, n);
	r = prim_aead_decrypt(k, p, NONCE, NULL, 0, plain, n, p + NONCE, MAC);
	prim_aead_close(k);
	if (!r && (!fve_datum_next(&rest, &d) || d.type != FVE_TYPE_KEY || d.body.len < 4 ||
		   d.body.len - 4 > cap))
		r = -EPROTO;
	if (!r) {
		*len = d.body.len - 4; /* behind key type and flags */
		memcpy(out, d.body.p + 4, *len);
	}
	prim_wipe(plain, sizeof(plain));
	return r;
}

/* 2^20 rounds over {last hash, first hash, salt, count}; [libbde] 5.6 */
static void stretch(const uint8_t first[32], const uint8_t salt[16], uint8_t key[FVE_KEY_LEN])
{
	struct {
		uint8_t last[32], first[32], salt[16];
		le64_t count;
	} s = {0};

	memcpy(s.first, first, 32);
	memcpy(s.salt, salt, 16);
	for (uint64_t i = 0; i < STRETCH; i++) {
		s.count = to_le64(i);
		prim_hash(PRIM_SHA256, &s, sizeof(s), s.last);
	}
	memcpy(key, s.last, FVE_KEY_LEN);
	prim_wipe(&s, sizeof(s));
}

/* A password as UTF-16LE, hashed twice. False: no valid UTF-8, or too long. */
static bool password_hash(const uint8_t *p, size_t len, uint8_t out[32])
{
	uint8_t u[2 * PASSWORD_MAX];
	size_t n = 0;
	bool good = len <= PASSWORD_MAX;

	for (size_t i = 0; good && i < len;) {
		unsigned k = p[i] < 0x80 ? 0 : p[i] >> 5 == 6 ? 1 : p[i] >> 4 == 14 ? 2 : 3;
		uint32_t c = k ? p[i] & (0x3fu >> k) : p[i];

		good = i + k < len && (p[i] < 0x80 || p[i] >= 0xc0);
		for (i++; good && k; k--, i++) {
			good = p[i] >> 6 == 2;
			c = c << 6 | (p[i] & 0x3f);
		}
		if (c >= 0x10000) {
			uint32_t hi = 0xd800 + ((c - 0x10000) >> 10);

			u[n++] = (uint8_t)hi;
			u[n++] = (uint8_t)(hi >> 8);
			c = 0xdc00 + (c & 0x3ff);
		}
		u[n++] = (uint8_t)c;
		u[n++] = (uint8_t)(c >> 8);
	}
	if (good) {
		prim_hash(PRIM_SHA256, u, n, out);
		prim_hash(PRIM_SHA256, out, 32, out);
	}
	prim_wipe(u, sizeof(u));
	return good;
}

/* Eight groups of six digits, each a multiple of 11 and less than 11 * 65536. */
static bool recovery_hash(const char *text, uint8_t out[32])
{
	uint8_t key[16];
	bool good = true;

	for (int g = 0; good && g < 8; g++) {
		uint32_t v = 0;

		for (int i = 0; i < 6; i++, text++) {
			good &= *text >= '0' && *text <= '9';
			if (!good)
				return false;
			v = 10 * v + (uint32_t)(*text - '0');
		}
		good = v % 11 == 0 && v / 11 <= 0xffff && (*text == '-' || g == 7);
		key[2 * g] = (uint8_t)(v / 11);
		key[2 * g + 1] = (uint8_t)(v / 11 >> 8);
		if (good && g < 7)
			text++;
	}
	if (good)
		prim_hash(PRIM_SHA256, key, sizeof(key), out);
	prim_wipe(key, sizeof(key));
	return good;
}

/* The key of a .BEK file, if it is the one for protector @id. */
static bool bek_key(const struct key *k, const uint8_t id[16], uint8_t out[FVE_KEY_LEN])
{
	struct span file = {k->data, k->len, 0};
	struct fve_datum ext, key;
	struct span datums = fve_dataset_datums(file);

	if (!fve_datum_find(datums, FVE_ROLE_STARTUP_KEY, FVE_TYPE_EXTERNAL, &ext) ||
	    !span_at(ext.body, 0, 24) || memcmp(ext.body.p, id, 16) ||
	    !fve_datum_find(span_from(ext.body, 24), -1, FVE_TYPE_KEY, &key) ||
	    key.body.len != 4 + FVE_KEY_LEN)
		return false;
	memcpy(out, key.body.p + 4, FVE_KEY_LEN);
	return true;
}

/* The key that unwraps the VMK of one protector, made from what the user gave. */
static bool protector_key(const struct key *k, const struct fve_vmk *v, struct span nested,
			  uint8_t out[FVE_KEY_LEN])
{
	uint8_t first[32];
	struct fve_datum d;
	bool good;

	if (k->kind == KEY_BEK)
		return bek_key(k, v->id, out);
	if (!fve_datum_find(nested, -1, FVE_TYPE_STRETCH_KEY, &d) || d.body.len < 20)
		return false;
	good = k->kind == KEY_RECOVERY ? recovery_hash((const char *)k->data, first)
				       : password_hash(k->data, k->len, first);
	if (good)
		stretch(first, d.body.p + 4, out);
	prim_wipe(first, sizeof(first));
	return good;
}

/* Everything that a VMK opens in this copy: the FVEK. */
static int open_fvek(const struct fve_copy *c, const uint8_t vmk[FVE_KEY_LEN], uint8_t *fvek,
		     size_t *len)
{
	struct span rest = c->datums;
	struct fve_datum d;
	int r = -EPROTO;

	while (r && fve_datum_next(&rest, &d))
		if (d.role == FVE_ROLE_FVEK && d.type == FVE_TYPE_AES_CCM)
			r = unwrap(d.body, vmk, fvek, FVE_FVEK_MAX, len);
	return r;
}

/* With a VMK in hand: the FVEK from this copy, or from another one if this is damaged. */
static int try_vmk(struct bitlocker *b, const uint8_t vmk[FVE_KEY_LEN], uint8_t *fvek, size_t *len)
{
	int r = -EPROTO;

	for (int i = 0; r && i < FVE_COPIES; i++) {
		const struct fve_copy *c = &b->copy[(b->used + i) % FVE_COPIES];

		if (c->usable)
			r = open_fvek(c, vmk, fvek, len);
	}
	if (!r) {
		prim_secret_free(b->vmk);
		b->vmk = prim_secret(FVE_KEY_LEN);
		if (!b->vmk)
			return -ENOMEM;
		memcpy(b->vmk, vmk, FVE_KEY_LEN);
	}
	return r;
}

/* One protector with one key (or, for a clear key, none). */
static int try_protector(struct bitlocker *b, struct span body, const struct key *k, uint8_t *fvek,
			 size_t *len)
{
	const struct fve_vmk *v = span_at(body, 0, sizeof(*v));
	struct span nested = span_from(body, sizeof(*v));
	uint8_t key[FVE_KEY_LEN], vmk[FVE_KEY_LEN];
	struct fve_datum d;
	size_t n;
	int r = -EKEYREJECTED;

	if (k) {
		if (!protector_key(k, v, nested, key))
			goto out;
	} else if (fve_datum_find(nested, -1, FVE_TYPE_KEY, &d) && d.body.len == 4 + FVE_KEY_LEN) {
		memcpy(key, d.body.p + 4, FVE_KEY_LEN);
	} else {
		goto out;
	}
	if (fve_datum_find(nested, -1, FVE_TYPE_AES_CCM, &d) &&
	    !unwrap(d.body, key, vmk, sizeof(vmk), &n) && n == FVE_KEY_LEN)
		r = try_vmk(b, vmk, fvek, len);
	if (r != -ENOMEM && r)
		r = -EKEYREJECTED;
out:
	prim_wipe(key, sizeof(key));
	prim_wipe(vmk, sizeof(vmk));
	return r;
}

/* All protectors of one copy. */
static int try_copy(struct layer *l, const struct fve_copy *c, const char *volume, unsigned *budget,
		    uint8_t *fvek, size_t *len)
{
	struct bitlocker *b = l->priv;
	struct span rest = c->datums;
	struct fve_datum d;
	int r = -ENOKEY;

	while (fve_datum_next(&rest, &d)) {
		const struct fve_vmk *v = span_at(d.body, 0, sizeof(*v));
		const struct key *k = NULL;
		char id[GUID_TEXT];
		unsigned kinds;
		int one;

		if (d.type != FVE_TYPE_VMK || !v)
			continue;
		guid_text_le(v->id, id);
		kinds = fve_opened_by(le16(v->protector));
		if ((le16(v->protector) & 0xff00) == FVE_CLEAR) {
			one = try_protector(b, d.body, NULL, fvek, len);
			if (one != -EKEYREJECTED)
				return one;
		}
		while ((k = keys_next(l->s->keys, k, kinds, volume, id))) {
			if (session_stopped(l->s))
				return -EINTR;
			r = -EKEYREJECTED;
			if (!*budget)
				break;
			--*budget;
			one = try_protector(b, d.body, k, fvek, len);
			if (one != -EKEYREJECTED)
				return one;
		}
	}
	return r;
}

/* A raw VMK proves itself by the FVEK's MAC. */
static int try_raw(struct layer *l, const char *volume, uint8_t *fvek, size_t *len)
{
	const struct key *k = NULL;
	int r = -ENOKEY;

	while ((k = keys_next(l->s->keys, k, KEY_VMK, volume, NULL))) {
		r = k->len == FVE_KEY_LEN ? try_vmk(l->priv, k->data, fvek, len) : -EKEYREJECTED;
		if (!r || r == -ENOMEM)
			return r;
		r = -EKEYREJECTED;
	}
	return r;
}

/* Copies whose datums are the same need no second try: each costs a second of stretching. */
static bool seen_before(const struct bitlocker *b, int i)
{
	const struct fve_copy *c = &b->copy[(b->used + i) % FVE_COPIES];

	for (int k = 0; k < i; k++) {
		const struct fve_copy *o = &b->copy[(b->used + k) % FVE_COPIES];

		if (o->usable && o->datums.len == c->datums.len &&
		    !memcmp(o->datums.p, c->datums.p, c->datums.len))
			return true;
	}
	return false;
}

int fve_unlock(struct layer *l, const char *volume, uint8_t fvek[FVE_FVEK_MAX], size_t *fvek_len)
{
	struct bitlocker *b = l->priv;
	unsigned budget = STRETCHES;
	int r = try_raw(l, volume, fvek, fvek_len);
	bool rejected = r == -EKEYREJECTED;

	for (int i = 0; (r == -ENOKEY || r == -EKEYREJECTED) && i < FVE_COPIES; i++) {
		const struct fve_copy *c = &b->copy[(b->used + i) % FVE_COPIES];

		if (!c->usable || seen_before(b, i))
			continue;
		r = try_copy(l, c, volume, &budget, fvek, fvek_len);
		rejected |= r == -EKEYREJECTED;
	}
	return r == -ENOKEY && rejected ? -EKEYREJECTED : r;
}

int fve_hash_fits(const struct fve_copy *c, const uint8_t vmk[FVE_KEY_LEN])
{
	struct span s = {c->bytes, FVE_BLOCK, c->off};
	const struct fve_validation *v = span_at(s, c->size, sizeof(*v));
	struct span rest = span_from(s, c->size + sizeof(*v));
	uint8_t stored[FVE_FVEK_MAX], hash[32];
	struct fve_datum d;
	size_t n;

	if (!v || le16(v->version) < 2 || !fve_datum_next(&rest, &d) || d.type != FVE_TYPE_AES_CCM)
		return -ENOENT;
	if (unwrap(d.body, vmk, stored, sizeof(stored), &n) || n != sizeof(hash))
		return 0;
	prim_hash(PRIM_SHA256, c->bytes, c->size, hash);
	return !memcmp(hash, stored, sizeof(hash));
}
