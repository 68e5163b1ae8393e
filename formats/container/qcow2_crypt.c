/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encrypted images, spec "Data encryption". Data clusters are encrypted by sectors of 512 bytes;
 * compressed clusters and all metadata are not. With LUKS the IV counts from the start of the file
 * that holds the cluster, so snapshots and the active disk share clusters; with the old AES it
 * counts the guest's sectors.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keys.h"
#include "crypto/luks.h"
#include "crypto/qcow2_aes.h"
#include "crypto/unit.h"
#include "formats/container/qcow2_parts.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"

enum {
	AES = 1,
	LUKS = 2,
	SECTOR = 512,
	PROOF_PIECE = 64 << 10, /* ciphertext looked at together */
	PROOF_MAX = 8 << 20,	/* looked at altogether, to prove a key of the old AES */
	PROOF_RUNS = 4096,
};

static void locked(struct qcow2 *q, int why)
{
	q->l->locked = why;
	for (struct layer *c = q->l->child; c; c = c->next)
		if (c->ops == &qcow2_snapshot_ops)
			c->locked = why;
}

/* No key will ever open it: @why says what is the matter. */
static int hopeless(struct qcow2 *q, int err, enum finding_id why)
{
	q->crypt_why = why;
	locked(q, err);
	return 0;
}

static int header_bad(struct qcow2 *q, uint64_t at, uint64_t len, const char *what)
{
	finding_fact(q->l, QCOW2_CRYPT_HEADER,
		     &(struct fact){.at = at, .at_len = len, .len = q->l->size, .lost = true},
		     "%s: what is stored can't be decrypted", what);
	return hopeless(q, -EBADMSG, QCOW2_CRYPT_HEADER);
}

static int luks_open(struct qcow2 *q)
{
	uint8_t magic[8];
	int r;

	if (!q->luks_len)
		return header_bad(q, offsetof(struct qcow2_header, crypt_method), 4,
				  "the disk is encrypted with LUKS, but no header extension says "
				  "where its header is");
	if (!q->luks_off || !range_inside(q->luks_off, q->luks_len, q->file_size) ||
	    q->luks_len < SECTOR)
		return header_bad(q, q->luks_at, 16,
				  "the LUKS header can't be where the image says");
	r = layer_read(q->l->below, q->luks_off, magic, sizeof(magic), NULL);
	if (r)
		return r;
	/* Where it must be is known: it is used without its magic, if all else makes sense. */
	if (memcmp(magic, "LUKS\xba\xbe\0\1", sizeof(magic)))
		finding(q->l, QCOW2_CRYPT_MAGIC, q->luks_off, sizeof(magic),
			"no LUKS1 magic where the LUKS header is");
	r = luks1_inside_open(q->l, q->luks_off, q->luks_len, &q->luks);
	if (r == -EBADMSG)
		return header_bad(q, q->luks_off, SECTOR, "the LUKS header is damaged");
	return r == -EOPNOTSUPP ? hopeless(q, r, QCOW2_ENCRYPTED) : r;
}

int qcow2_crypt_open(struct qcow2 *q)
{
	int r = 0;

	q->crypt_why = LAYER_LOCKED;
	if (!q->crypt_method)
		return 0;
	if (q->crypt_method == LUKS) {
		r = luks_open(q);
	} else if (q->crypt_method != AES) {
		finding_fact(q->l, QCOW2_ENCRYPTED,
			     &(struct fact){.at = offsetof(struct qcow2_header, crypt_method),
					    .at_len = 4,
					    .len = q->l->size,
					    .stored = strf("%" PRIu32, q->crypt_method)},
			     "encryption method %" PRIu32 " is not known: what is stored can't be "
			     "read",
			     q->crypt_method);
		return hopeless(q, -EOPNOTSUPP, QCOW2_ENCRYPTED);
	}
	if (r || q->l->locked)
		return r;
	r = qcow2_unlock(q->l);
	return r == -ENOKEY || r == -EKEYREJECTED ? 0 : r;
}

/* Stored bytes of [off, off + len) of the disk; 1: @c makes sense of them. */
static int proof_piece(struct sector_cipher *c, const struct extent *run, uint64_t in, size_t len,
		       uint8_t *buf)
{
	struct ranges bad = {0};
	int r = layer_read(run->in, run->at + in, buf, len, &bad);

	if (!r && !bad.n)
		r = qcow2_aes_fits(c, run->off + in, buf, buf + PROOF_PIECE, len);
	ranges_free(&bad);
	return r;
}

/* 1: proven; 0: it makes sense of nothing; 2: nothing is stored that could prove it. -errno. */
static int proof(struct qcow2 *q, struct sector_cipher *c)
{
	uint8_t *buf = malloc(2 * (size_t)PROOF_PIECE);
	uint64_t off = 0, seen = 0;
	int r = buf ? 0 : -ENOMEM;

	for (int i = 0; !r && i < PROOF_RUNS && off < q->l->size && seen < PROOF_MAX; i++) {
		struct extent run;

		if (session_stopped(q->l->s))
			r = -EINTR;
		else
			r = layer_map(q->l, off, &run);
		if (r)
			break;
		off = run.off + run.len;
		if (run.kind != EXTENT_DATA || run.packed || run.in != q->data || run.off % SECTOR)
			continue;
		for (uint64_t in = 0; !r && in + SECTOR <= run.len && seen < PROOF_MAX;) {
			uint64_t left = (run.len - in) & ~(uint64_t)(SECTOR - 1);
			size_t n = left < PROOF_PIECE ? (size_t)left : PROOF_PIECE;

			r = proof_piece(c, &run, in, n, buf);
			in += n;
			seen += n;
		}
	}
	free(buf);
	return !r && !seen ? 2 : r;
}

static int aes_unlock(struct qcow2 *q)
{
	const struct key *k = NULL;
	bool tried = false;
	int r = 0;

	while (!r && (k = keys_next(q->l->s->keys, k, KEY_PASSPHRASE, NULL, NULL))) {
		struct sector_cipher *c = NULL;

		tried = true;
		r = qcow2_aes_open(&c, k->data, k->len);
		if (!r)
			r = proof(q, c);
		if (r > 0)
			q->cipher = c;
		else
			sector_close(c);
	}
	return r > 0 ? 0 : r ? r : tried ? -EKEYREJECTED : -ENOKEY;
}

int qcow2_unlock(struct layer *l)
{
	struct qcow2 *q = qcow2_of(l);
	int r;

	if (q->crypt_method == AES) {
		r = aes_unlock(q);
	} else {
		r = luks_unlock(q->luks);
		if (!r) /* it stays the LUKS header's */
			q->cipher = luks_inside_cipher(q->luks);
		if (!r && !q->cipher) {
			q->crypt_why = QCOW2_ENCRYPTED;
			r = -EOPNOTSUPP; /* known cipher, but not with a key of this size */
		}
	}
	locked(q, r);
	return r;
}

int qcow2_decrypt(const struct qcow2 *q, uint64_t off, uint64_t host, void *buf, size_t len,
		  struct ranges *bad, size_t from)
{
	bool luks = q->crypt_method == LUKS;
	const struct luks *u = luks ? q->luks->priv : NULL;
	bool cbc = !luks || !strcmp(u->segment[0].cipher.mode, "cbc");
	size_t whole = len & ~(size_t)(SECTOR - 1);
	int r;

	/* Subclusters below a sector: QEMU makes none, and nothing says how they would be read. */
	if ((off | host) % SECTOR)
		whole = 0;
	r = sector_decrypt(q->cipher, luks ? host : off, buf, whole);
	if (r)
		return r;
	unit_blank(bad, from, off, buf, len, PRIM_BLOCK, cbc ? PRIM_BLOCK : 0, SECTOR);
	if (whole == len)
		return 0;
	/* A file that ends inside a sector. */
	memset((uint8_t *)buf + whole, 0, len - whole);
	return ranges_add(bad, off + whole, len - whole, GRADE_LOST, QCOW2_L2_PAST_END);
}

/* Without an IV that counts, equal plaintext is equal ciphertext: nothing can be told from it. */
static bool looks_random(const struct qcow2 *q)
{
	const struct luks *u = q->luks ? q->luks->priv : NULL;

	return q->crypt_method == AES || (u && strcmp(u->segment[0].cipher.mode, "ecb") &&
					  strcmp(u->segment[0].cipher.iv, "null"));
}

int qcow2_ciphertext(struct layer *l, uint64_t at, uint64_t *len, uint64_t *off)
{
	const struct qcow2 *q = qcow2_of(l);
	struct extent run;

	*off = at;
	*len = UINT64_MAX - at;
	if (!looks_random(q) || layer_map(l, at, &run))
		return 0;
	/* A packed run starts before @at; QEMU makes none in encrypted images. */
	*len = run.len - (at - run.off);
	return run.kind == EXTENT_DATA && !run.packed && run.in == q->data;
}

int qcow2_crypt_check(struct qcow2 *q)
{
	return q->luks ? luks_check_slots(q->luks) : 0;
}

void qcow2_crypt_info(const struct qcow2 *q, struct json *to)
{
	struct json *luks;

	if (!q->crypt_method)
		return;
	js_str(to, "encryption",
	       q->crypt_method == AES	 ? "aes"
	       : q->crypt_method == LUKS ? "luks"
					 : "unknown");
	if (q->crypt_method == AES) {
		js_str(to, "cipher", "aes-cbc-plain64, 128 bits");
		js_str(to, "opened_by", "passphrase");
	}
	js_bool(to, "locked", !q->cipher);
	if (!q->luks)
		return;
	luks = js_object();
	luks1_ops.info(q->luks, luks);
	js_put(to, "luks", luks);
}

void qcow2_crypt_close(struct qcow2 *q)
{
	if (q->crypt_method == AES)
		sector_close(q->cipher);
	layer_free(q->luks);
}
