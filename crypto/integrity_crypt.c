/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encryption of dm-integrity's journal (journal_crypt:ALG:KEY): create_journal() and
 * crypt_journal(), xor_journal() of the kernel. Nothing on disk says that there is any, nor which:
 * a key and a cipher fit when the commit ids of a section's entry sectors come out.
 *
 * A stream cipher, from an IV of zeros, makes one stream over all of the journal in memory, which is
 * whole pages, and the four commit ids behind it: those are no constants then. A block cipher takes
 * each section as one message; its IV is the section's number, itself encrypted under an IV of zeros.
 */
#include "crypto/integrity_crypt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keys.h"
#include "crypto/prim.h"
#include "crypto/unit.h"
#include "vdiskck/core/session.h"

enum {
	SECTOR = 512,
	HEADS = 8, /* entry sectors of a section */
	LOOK = 4,  /* sections to look at: one may be damaged */
	CHACHA_BLOCK = 64,
};

struct integrity_crypt {
	struct prim_cipher *c;
	enum { CTR, CHACHA, CBC } kind;
	char name[24];
};

static int open_as(struct integrity_crypt *c, const char *cipher, int kind, const struct key *key)
{
	c->kind = kind;
	snprintf(c->name, sizeof(c->name),
		 kind == CTR   ? "ctr(%s)"
		 : kind == CBC ? "cbc(%s)"
			       : "%s",
		 cipher);
	return prim_cipher_open(&c->c, cipher, kind == CBC ? PRIM_CBC : PRIM_CTR, key->data,
				key->len);
}

/* The counter of the stream's byte @off, a multiple of both block sizes. */
static void stream_iv(const struct integrity_crypt *c, uint64_t off, uint8_t iv[PRIM_BLOCK])
{
	be64_t be = to_be64(off / PRIM_BLOCK);
	le32_t le = to_le32((uint32_t)(off / CHACHA_BLOCK));

	memset(iv, 0, PRIM_BLOCK);
	if (c->kind == CTR)
		memcpy(iv + 8, &be, sizeof(be));
	else
		memcpy(iv, &le, sizeof(le));
}

static void section_iv(struct integrity_crypt *c, struct prim_handle *h, uint32_t section,
		       uint8_t iv[PRIM_BLOCK])
{
	static const uint8_t zero[PRIM_BLOCK];
	le32_t le = to_le32(section);

	memset(iv, 0, PRIM_BLOCK);
	memcpy(iv, &le, sizeof(le));
	prim_iv(c->c, h, zero);
	prim_encrypt(h, iv, PRIM_BLOCK);
}

size_t integrity_crypt_echo(const struct integrity_dev *d)
{
	return d->crypt && d->crypt->kind == CBC ? PRIM_BLOCK : 0;
}

int integrity_crypt_decrypt(struct integrity_dev *d, uint32_t section, uint32_t sector,
			    const uint8_t before[PRIM_BLOCK], void *buf, size_t len)
{
	struct integrity_crypt *c = d->crypt;
	struct prim_handle *h = c ? prim_begin(c->c) : NULL;
	uint8_t iv[PRIM_BLOCK];

	if (!c)
		return 0;
	if (!h)
		return -ENOMEM;
	if (c->kind != CBC)
		stream_iv(c, ((uint64_t)section * d->section_sectors + sector) * SECTOR, iv);
	else if (sector)
		memcpy(iv, before, sizeof(iv));
	else
		section_iv(c, h, section, iv);
	prim_iv(c->c, h, iv);
	prim_decrypt(h, buf, len);
	prim_end(c->c, h);
	return 0;
}

/* The commit ids: encrypted, too, behind a journal in pages of @page bytes. */
static void ids_make(struct integrity_dev *d, uint64_t page)
{
	uint64_t bytes = (uint64_t)d->sections * d->section_sectors * SECTOR;
	struct integrity_crypt *c = d->crypt;
	le64_t id[INTEGRITY_IDS];
	struct prim_handle *h;
	uint8_t iv[PRIM_BLOCK];

	for (unsigned k = 0; k < INTEGRITY_IDS; k++)
		id[k] = to_le64(0x1111111111111111ull * (k + 1));
	h = c && c->kind != CBC ? prim_begin(c->c) : NULL;
	if (h) {
		stream_iv(c, (bytes + page - 1) / page * page, iv);
		prim_iv(c->c, h, iv);
		prim_encrypt(h, id, sizeof(id));
		prim_end(c->c, h);
	}
	for (unsigned k = 0; k < INTEGRITY_IDS; k++)
		d->commit_id[k] = le64(id[k]);
}

static int heads_fit(struct integrity_dev *d, uint32_t section, const uint8_t *stored, bool *fit)
{
	uint8_t heads[HEADS * SECTOR];
	int r;

	memcpy(heads, stored, sizeof(heads));
	r = integrity_crypt_decrypt(d, section, 0, NULL, heads, sizeof(heads));
	for (uint32_t i = 0; !r && i < HEADS; i++)
		*fit |= integrity_journal_id(d, heads + (size_t)i * SECTOR, section, i) >= 0;
	return r;
}

/* Is d->crypt the one? Stream ciphers: with pages of the size that the kernel had. */
static int try(struct integrity_dev *d, const uint8_t stored[LOOK][HEADS * SECTOR], bool *fit)
{
	static const uint32_t pages[] = {4096, 16384, 65536};
	int r = 0;

	for (size_t p = 0; p < sizeof(pages) / sizeof(*pages); p++) {
		ids_make(d, pages[p]);
		for (uint32_t i = 0; !r && !*fit && i < LOOK && i < d->sections; i++)
			r = heads_fit(d, i, stored[i], fit);
		if (r || *fit || d->crypt->kind == CBC)
			break;
	}
	return r;
}

static int try_key(struct integrity_dev *d, const struct key *key,
		   const uint8_t stored[LOOK][HEADS * SECTOR], bool *fit)
{
	static const struct {
		const char *cipher;
		int kind;
	} known[] = {{"aes", CTR},     {"aes", CBC},	  {"chacha20", CHACHA},
		     {"serpent", CTR}, {"serpent", CBC},  {"twofish", CTR},
		     {"twofish", CBC}, {"camellia", CTR}, {"camellia", CBC}};
	int r = 0;

	for (size_t i = 0; !r && !*fit && i < sizeof(known) / sizeof(*known); i++) {
		r = open_as(d->crypt, known[i].cipher, known[i].kind, key);
		if (!r)
			r = try(d, stored, fit);
		else if (r == -EOPNOTSUPP)
			r = 0; /* no key for this cipher, by its length */
		if (!*fit) {
			prim_cipher_close(d->crypt->c);
			d->crypt->c = NULL;
		}
	}
	return r;
}

int integrity_crypt_find(struct integrity_dev *d, unsigned *keys)
{
	uint8_t(*stored)[HEADS * SECTOR] = malloc(LOOK * sizeof(*stored));
	const struct key *k = NULL;
	bool fit = false;
	int r = -ENOMEM;

	*keys = 0;
	d->crypt = calloc(1, sizeof(*d->crypt));
	if (!stored || !d->crypt)
		goto out;
	r = 0;
	for (uint32_t i = 0; !r && i < LOOK && i < d->sections; i++)
		r = layer_read(d->below, integrity_journal_sector(d, i, 0), stored[i],
			       sizeof(*stored), NULL);
	while (!r && !fit &&
	       (k = keys_next(d->l->s->keys, k, KEY_VOLUME_KEY | KEY_KEYFILE, NULL, NULL))) {
		++*keys;
		r = try_key(d, k, (const uint8_t(*)[HEADS * SECTOR]) stored, &fit);
	}
out:
	free(stored);
	if (!fit)
		integrity_crypt_close(d);
	return r;
}

const char *integrity_crypt_name(const struct integrity_dev *d)
{
	return d->crypt ? d->crypt->name : NULL;
}

void integrity_crypt_close(struct integrity_dev *d)
{
	if (d->crypt)
		prim_cipher_close(d->crypt->c);
	free(d->crypt);
	d->crypt = NULL;
	ids_make(d, 1);
}
