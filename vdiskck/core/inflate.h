/* SPDX-License-Identifier: Apache-2.0 */
/* Decompression into a buffer of known size. The only caller of the compression libraries. */
#ifndef VDISKCK_CORE_INFLATE_H
#define VDISKCK_CORE_INFLATE_H

#include <stddef.h>
#include <stdint.h>

enum inflate_method {
	INFLATE_RAW,  /* deflate without any wrapper, RFC 1951 */
	INFLATE_ZLIB, /* with zlib's head and Adler-32, RFC 1950 */
	INFLATE_ZSTD, /* RFC 8878 */
};

/*
 * inflate_exactly() - the first @out_len bytes that come out of @in
 * @in may go on behind the compressed data, as formats that count in sectors have it.
 * Contexts are kept per thread. Returns 0; -EBADMSG: @in is no such data or gives less than
 * @out_len bytes, @out holds anything then; -ENOMEM.
 */
int inflate_exactly(enum inflate_method method, const void *in, size_t in_len, void *out,
		    size_t out_len);

/* inflate_block() - INFLATE_RAW of data that also refers to the @dict_len bytes at @dict before it */
int inflate_block(const void *in, size_t in_len, const void *dict, size_t dict_len, void *out,
		  size_t out_len);

enum unpack_method {
	UNPACK_XZ,
	UNPACK_LZ4_SIZED, /* a block behind its unpacked length in 64 bits: journald */
	UNPACK_LZ4_LEGACY, /* `lz4 -l`, as the kernel wants an initramfs: blocks behind a magic number */
	UNPACK_ZSTD,
	UNPACK_GZIP,
};

/*
 * unpack_all() - everything that comes out of @in, @max bytes at most
 * @out: malloc'd; free() it. Where the data breaks off or is damaged, what came out until then is
 * kept with -EBADMSG (so it is with more than @max bytes); @out is NULL if nothing did. -ENOMEM.
 */
int unpack_all(enum unpack_method method, const void *in, size_t in_len, size_t max, uint8_t **out,
	       size_t *out_len);

/*
 * scratch_take() - a buffer for compressed bytes that this thread keeps for the next taker
 * NULL: no memory. A reader that is called while another one holds the buffer gets one of its own.
 * scratch_give() - give it back; @buf may be NULL
 */
void *scratch_take(size_t len);
void scratch_give(void *buf);

#endif
