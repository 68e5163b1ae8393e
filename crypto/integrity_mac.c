/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MAC of dm-integrity's journal (journal_mac:hmac(...):KEY): 64 bytes for each section, over
 * the sectors that its entries name, kept in pieces of 8 before the commit ids of its entry
 * sectors. The superblock says that there is one, but not which hash: the first section that any
 * key and hash fit decides. section_mac() and rw_section_mac() of the kernel.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/integrity.h"
#include "crypto/keys.h"
#include "crypto/prim.h"
#include "vdiskck/core/session.h"

enum { SECTOR = 512, HEADS = 8, MAC = 64, SAID_MAX = 64 };

struct mac {
	enum prim_hash hash;
	const struct key *key; /* NULL: not known yet */
};

struct section {
	uint8_t head[HEADS * SECTOR]; /* the entry sectors */
	uint8_t *text;		      /* what the MAC is of */
	size_t len;
	uint8_t stored[MAC];
	bool settled; /* all entry sectors are of one commit */
};

static int section_read(struct integrity_dev *d, uint32_t n, struct section *s)
{
	le64_t number = to_le64(n), place, id, first = {{0}};
	bool salted = d->flags & INTEGRITY_FIXED_HMAC;
	int r = integrity_journal_get(d, n, 0, s->head, sizeof(s->head), 0, NULL);

	s->len = 0;
	s->settled = true;
	if (salted) {
		memcpy(s->text, d->salt, INTEGRITY_SALT);
		memcpy(s->text + INTEGRITY_SALT, &number, sizeof(number));
		s->len = INTEGRITY_SALT + sizeof(number);
	}
	for (uint32_t i = 0; i < d->section_entries; i++, s->len += 8)
		memcpy(s->text + s->len,
		       s->head + (size_t)(i % HEADS) * SECTOR + (size_t)(i / HEADS) * d->entry_size,
		       8);
	for (uint32_t i = 0; i < HEADS; i++) {
		const uint8_t *end = s->head + (size_t)(i + 1) * SECTOR;

		memcpy(s->stored + 8 * (size_t)i, end - 16, 8);
		memcpy(&id, end - 8, 8);
		place = to_le64(le64(id) ^ i); /* commit id xor section and sector */
		if (!i)
			first = place;
		s->settled &= !memcmp(&first, &place, 8);
	}
	return r;
}

_Static_assert((int)PRIM_HASH_MAX >= (int)MAC, "longer hashes are cut");

static bool fits(const struct section *s, enum prim_hash h, const struct key *k)
{
	const struct prim_part part = {s->text, s->len};
	uint8_t mac[PRIM_HASH_MAX] = {0};

	prim_hmac_parts(h, k->data, k->len, &part, 1, mac);
	return prim_equal(mac, s->stored, MAC);
}

static void find(const struct integrity_dev *d, const struct section *s, struct mac *m)
{
	static const enum prim_hash hashes[] = {PRIM_SHA256, PRIM_SHA1, PRIM_SHA512,   PRIM_SHA384,
						PRIM_SHA224, PRIM_MD5,	PRIM_RIPEMD160};
	const struct key *k = NULL;

	while (!m->key &&
	       (k = keys_next(d->l->s->keys, k, KEY_VOLUME_KEY | KEY_KEYFILE, NULL, NULL)))
		for (size_t i = 0; !m->key && i < sizeof(hashes) / sizeof(*hashes); i++)
			if (fits(s, hashes[i], k))
				*m = (struct mac){hashes[i], k};
}

int integrity_mac_check(struct integrity_dev *d)
{
	struct section *s = calloc(1, sizeof(*s));
	struct mac m = {.key = NULL};
	size_t said = 0;
	int r = -ENOMEM;

	if (s)
		s->text = malloc(INTEGRITY_SALT + 8 + 8 * (size_t)d->section_entries);
	if (!s || !s->text)
		goto out;
	r = 0;
	for (uint32_t i = 0; !r && !m.key && i < d->sections; i++) {
		r = session_stopped(d->l->s) ? -EINTR : section_read(d, i, s);
		if (!r && s->settled)
			find(d, s, &m);
	}
	for (uint32_t i = 0; !r && m.key && i < d->sections && said < SAID_MAX; i++) {
		r = session_stopped(d->l->s) ? -EINTR : section_read(d, i, s);
		if (r || !s->settled || fits(s, m.hash, m.key))
			continue;
		said++;
		finding_fact(d->l, INTEGRITY_JOURNAL_MAC,
			     INTEGRITY_AT(d, integrity_journal_sector(d, i, 0), HEADS * SECTOR),
			     "section %" PRIu32 " of the journal does not fit its hmac(%s)", i,
			     prim_hash_name(m.hash));
	}
	if (!r && !m.key)
		finding_fact(d->l, INTEGRITY_JOURNAL_MAC_KEY, INTEGRITY_AT(d, d->start + 0x18, 4),
			     "the journal has a MAC, but none of the keys made it");
out:
	if (s)
		free(s->text);
	free(s);
	return r;
}
