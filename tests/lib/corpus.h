/* SPDX-License-Identifier: Apache-2.0 */
/* Images that other projects made, in $CORPUS, for tests in C. */
#ifndef VDISKCK_TESTS_CORPUS_H
#define VDISKCK_TESTS_CORPUS_H

#include <stdint.h>

#include "tests/lib/image.h"

/*
 * corpus_file() - unpack (xz, gz, zst) or copy a file of the corpus; the sparse copy's path, good until
 * the next call, which removes it (NULL: only removes). NULL, too, when there is no corpus.
 */
const char *corpus_file(const char *path);
/* corpus_file_head() - no more than the first @limit bytes of it */
const char *corpus_file_head(const char *path, uint64_t limit);
/* corpus_bytes() - a small file of the corpus as it is; NULL: no corpus. free() it. */
uint8_t *corpus_bytes(const char *path, size_t *len);
/* layer_sha256() - of the first @len bytes of @l, in hex; nothing may be lost */
void layer_sha256(struct layer *l, uint64_t len, char hex[65]);

#endif
