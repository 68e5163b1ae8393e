/* SPDX-License-Identifier: Apache-2.0 */
/* LUKS2 devices for tests, and their JSON changed with the checksums made good again. */
#ifndef VDISKCK_TESTS_LUKS2_BUILD_H
#define VDISKCK_TESTS_LUKS2_BUILD_H

#include "tests/lib/image.h"

enum {
	LUKS2_HEADER = 0x4000, /* bytes of each of the two */
	LUKS2_SLOT0 =
		0x8000, /* key material of keyslot 0; of keyslot k, LUKS2_SLOT bytes further */
	LUKS2_SLOT = 0x1000,
	LUKS2_AREA = 0xc000, /* of a reencryption */
	LUKS2_DATA = 0x10000,
	LUKS2_BUILD_KEYS = 2,
	LUKS2_PLAIN = 64 << 10, /* bytes of the plaintext that luks2_fill() makes */
};

/*
 * luks2_build() - AES-XTS with key 0, @sector bytes a sector; @plain of @len bytes
 * Keyslot k opens volume key k with the passphrase luks2_passphrase(k); PBKDF2, 1000 iterations.
 */
struct image *luks2_build(const uint8_t *plain, size_t len, uint32_t sector);
const char *luks2_passphrase(unsigned k);
/* luks2_key() - that passphrase for the session, from the next image_open() on */
void luks2_key(struct image *img, unsigned k);
/* luks2_fill() - text that says in each sector where it belongs; @len at most LUKS2_PLAIN */
void luks2_fill(uint8_t *p, size_t len);
/* luks2_assert_plain() - bytes [off, off + len) of the open layer are that, and none is bad */
void luks2_assert_plain(struct image *img, uint64_t off, size_t len);
/* luks2_json() - the JSON of the primary header */
const char *luks2_json(const struct image *img);
/* luks2_set_json() - in both headers, checksums made good */
void luks2_set_json(struct image *img, const char *json);
/* luks2_edit() - luks2_set_json() with the first @from behind the first @after changed into @to */
void luks2_edit(struct image *img, const char *after, const char *from, const char *to);
/* luks2_sum() - the checksum of header 0 or 1 made good */
void luks2_sum(struct image *img, int which);
/* luks2_encrypt() - @p in place with volume key @k, as it lies @off bytes behind LUKS2_DATA */
void luks2_encrypt(unsigned k, uint32_t sector, uint64_t off, void *p, size_t len);

#endif
