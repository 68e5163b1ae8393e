/* SPDX-License-Identifier: Apache-2.0 */
/* Source: QEMU, docs/interop/qcow2.txt "Data encryption"; crypto/block-qcow.c for the key. */
#include "crypto/qcow2_aes.h"

#include <string.h>

#include "crypto/prim.h"

enum { KEY = 16, SECTOR = 512 };

int qcow2_aes_open(struct sector_cipher **c, const void *password, size_t len)
{
	static const struct sector_spec spec = {"aes", "cbc", "plain64", SECTOR, SECTOR};
	uint8_t key[KEY] = {0};
	int r;

	memcpy(key, password, len < KEY ? len : KEY);
	r = sector_open(c, &spec, key, KEY);
	prim_wipe(key, sizeof(key));
	return r;
}

/* chi² of 512 bytes against uniform, as for LUKS keyslots (EVIDENCE 3.1): noise is below 512. */
static bool noise(const uint8_t *p)
{
	unsigned count[256] = {0}, sum = 0;

	for (int i = 0; i < SECTOR; i++)
		count[p[i]]++;
	for (int i = 0; i < 256; i++)
		sum += (count[i] - 2) * (count[i] - 2);
	return sum / 2 <= 512;
}

int qcow2_aes_fits(struct sector_cipher *c, uint64_t off, const void *stored, void *work,
		   size_t len)
{
	const uint8_t *from = stored, *to = work;
	int r;

	memcpy(work, stored, len);
	r = sector_decrypt(c, off, work, len);
	if (r)
		return r;
	/* What was no ciphertext to begin with (never written) stays a pattern under any key. */
	for (size_t i = 0; i < len; i += SECTOR)
		if (noise(from + i) && !noise(to + i))
			return 1;
	return 0;
}
