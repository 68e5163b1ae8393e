/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/pe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/endian.h"
#include "vdiskck/core/session.h"

enum {
	PIECE = 1 << 20,
	SIZE_MAX_PE = 1 << 30,
	LFANEW = 0x3c,		/* where the offset of the PE header stands */
	CHECKSUM = 4 + 20 + 64, /* from there: signature, COFF header, and in the optional header */
};

/* Where the checksum stands; 0: this is no PE image. */
static uint64_t find_sum(struct layer *file, int *err)
{
	uint8_t mz[64], pe[4];
	le32_t at;

	*err = layer_read(file, 0, mz, sizeof(mz), NULL);
	if (*err || memcmp(mz, "MZ", 2))
		return 0;
	memcpy(&at, mz + LFANEW, sizeof(at));
	if (le32(at) % 2 || le32(at) > file->size || file->size - le32(at) < CHECKSUM + 4)
		return 0;
	*err = layer_read(file, le32(at), pe, sizeof(pe), NULL);
	return *err || memcmp(pe, "PE\0\0", 4) ? 0 : le32(at) + (uint64_t)CHECKSUM;
}

/* 16-bit words with the carry added back; the checksum itself counts as zero. */
static uint32_t add_words(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += 2) {
		sum += (uint32_t)p[i] | (i + 1 < len ? (uint32_t)p[i + 1] << 8 : 0);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

int pe_check(struct layer *file, enum pe_state *state, uint32_t *stored, uint32_t *sum)
{
	uint64_t at = 0;
	uint8_t *buf;
	le32_t word;
	int r = 0;

	*state = PE_NO_IMAGE;
	*stored = *sum = 0;
	if (file->size >= 64 && file->size <= SIZE_MAX_PE)
		at = find_sum(file, &r);
	if (r || !at)
		return r;
	r = layer_read(file, at, &word, sizeof(word), NULL);
	*stored = le32(word);
	*state = PE_NO_SUM;
	if (r || !*stored)
		return r;
	buf = malloc(PIECE);
	if (!buf)
		return -ENOMEM;
	for (uint64_t off = 0; off < file->size && !r; off += PIECE) {
		size_t n = file->size - off < PIECE ? (size_t)(file->size - off) : PIECE;

		r = session_stopped(file->s) ? -EINTR : layer_read(file, off, buf, n, NULL);
		/* The field is two words, each of which may be in another piece. */
		for (uint64_t i = at; i < at + 4; i++)
			if (i >= off && i - off < n)
				buf[i - off] = 0;
		*sum = add_words(*sum, buf, n);
	}
	free(buf);
	*sum += (uint32_t)file->size;
	*state = *sum == *stored ? PE_FITS : PE_DIFFERS;
	return r;
}
