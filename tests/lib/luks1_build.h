/* SPDX-License-Identifier: Apache-2.0 */
/* LUKS1 volumes in memory whose plaintext is known, opened by their volume key. */
#ifndef VDISKCK_TESTS_LUKS1_BUILD_H
#define VDISKCK_TESTS_LUKS1_BUILD_H

#include "tests/lib/image.h"

enum { LUKS1_PAYLOAD = 4096 }; /* where the ciphertext starts */

/*
 * luks1_build() - a volume of @len bytes; every sector is text that names its number
 * @cipher: "aes", @mode: "xts-plain64", "cbc-essiv:sha256", "ecb"
 */
struct image *luks1_build(size_t len, const char *mode);
/* luks1_write() - encrypt @len bytes of @p as what stands at @off of the volume, and put them at @at */
void luks1_write(struct image *img, uint64_t off, const void *p, size_t len, uint64_t at);
/* luks1_text() - what luks1_build() put into the sector */
void luks1_text(uint64_t sector, uint8_t p[512]);
/* luks1_key() - give the session the volume key */
void luks1_key(struct image *img);

#endif
