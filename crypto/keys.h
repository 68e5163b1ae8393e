/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that the user gave. Typed, in locked memory, wiped when freed, never printed.
 * They come from a file, a descriptor, the environment's file name or a prompt: never from the
 * command line.
 */
#ifndef VDISKCK_CRYPTO_KEYS_H
#define VDISKCK_CRYPTO_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session;
struct keyring;

enum key_kind {
	KEY_PASSPHRASE = 1 << 0,
	KEY_RECOVERY = 1 << 1,	 /* BitLocker: 8 groups of 6 digits, as text */
	KEY_BEK = 1 << 2,	 /* BitLocker startup key file: its contents */
	KEY_KEYFILE = 1 << 3,	 /* its contents */
	KEY_FVEK = 1 << 4,	 /* BitLocker, raw bytes */
	KEY_VMK = 1 << 5,	 /* BitLocker, raw bytes */
	KEY_VOLUME_KEY = 1 << 6, /* LUKS and others, raw bytes */
	KEY_PIM = 1 << 7,	 /* VeraCrypt's personal iterations multiplier, as text */
	KEY_ROOT_HASH = 1 << 8,	 /* dm-verity, raw bytes: no secret, but what all hashes rest on */
};

struct key {
	enum key_kind kind;
	const char *volume;  /* only for the volume with this id (without case), or NULL: any */
	const uint8_t *data; /* in locked memory, NUL behind it */
	size_t len;
	unsigned number; /* from 1, in the order given: how messages name it */
};

/*
 * keys_load() - read a key file; one `kind value` or `kind@VOLUME-ID value` a line
 * @spec: a path, "-" (standard input) or "fd:N"
 * A passphrase is the rest of the line, to the newline; a line's \r before it is dropped.
 * Returns 0 or -errno after session_err(), which never says what a line holds.
 */
int keys_load(struct session *s, const char *spec, struct keyring **ring);
/* keys_add() - one more key (from a prompt); *ring may be NULL. 0 or -ENOMEM. */
int keys_add(struct keyring **ring, enum key_kind kind, const char *volume, const void *data,
	     size_t len);
void keys_free(struct keyring *ring);

/*
 * keys_next() - the key after @prev (NULL: the first) that is of one of @kinds and may be tried on
 * a volume with one of the ids @id, @id2 (NULL: none): NULL when there is no more
 */
const struct key *keys_next(const struct keyring *ring, const struct key *prev, unsigned kinds,
			    const char *id, const char *id2);
/* keys_after() - the key after @prev (NULL: the first), whatever it is for; NULL: no more */
const struct key *keys_after(const struct keyring *ring, const struct key *prev);
/* key_kind_name() - "passphrase", "recovery", ...: as in a key file */
const char *key_kind_name(enum key_kind kind);

#endif
