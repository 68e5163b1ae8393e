/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TrueCrypt headers that say anything at all. Arbitrary bytes would never get past the cipher, so
 * the input is what the header says, and is encrypted here with the first KDF that is tried.
 *
 * Input: place, flags, size of the image in KiB, fields of the header from its version on.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/keys.h"
#include "formats/drivers.h"
#include "tests/fuzz/harness.h"
#include "tests/lib/tcrypt_build.h"

enum {
	FIELDS = 3,
	SPOIL_HEADER = 1, /* the CRC of the fields is wrong */
	SPOIL_KEYS = 2,	  /* that of the keys is */
	TABLE = 4,	  /* the image starts with a partition table */
	BACKUP = 8,	  /* a second copy, where the backup belongs */
};

static uint8_t image[300 << 10];

static void put(size_t size, enum tcrypt_place place, const struct tcrypt_header *h)
{
	uint64_t off = tcrypt_place_off(place, size);

	if (off != UINT64_MAX)
		tcrypt_header_put(image, off, "fuzz", h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tcrypt_header h;
	size_t len, n = size > FIELDS ? size - FIELDS : 0;

	if (!fuzz_keys && keys_add(&fuzz_keys, KEY_PASSPHRASE, NULL, "fuzz", 4))
		abort();
	if (size < FIELDS)
		return 0;
	len = ((data[2] | 1u) << 10) + (data[1] >> 4);
	memset(image, 0, sizeof(image));
	tcrypt_header_init(&h, TCRYPT_GROUP, 16384, 0);
	if (n > sizeof(h) - offsetof(struct tcrypt_header, version))
		n = sizeof(h) - offsetof(struct tcrypt_header, version);
	memcpy(&h.version, data + FIELDS, n);
	tcrypt_header_sign(&h);
	/* One CRC must fit, or every KDF of VeraCrypt is tried. */
	if (be16(h.version) >= 4 && data[1] & SPOIL_KEYS)
		h.keys[255] ^= 1;
	else if (be16(h.version) >= 4 && data[1] & SPOIL_HEADER)
		h.header_crc.b[0] ^= 1;
	if (data[1] & TABLE) {
		memcpy(image + 446, "\x80\0\0\0\7\0\0\0\x7f\0\0\0\x10\0\0\0", 16);
		memcpy(image + 510, "\x55\xaa", 2);
	}
	put(len, data[0] % TCRYPT_PLACES, &h);
	/* Headers that overlap open with no key. */
	if (data[1] & BACKUP && data[0] % TCRYPT_PLACES == TCRYPT_AT_PRIMARY &&
	    len > TCRYPT_GROUP + TCRYPT_HEADER)
		put(len, TCRYPT_AT_BACKUP, &h);
	fuzz_driver(&tcrypt_ops, image, len);
	return 0;
}
