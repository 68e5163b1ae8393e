/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/inflate.h"

#include <errno.h>
#include <libdeflate.h>
#include <limits.h>
#include <lz4.h>
#include <lzma.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { ZSTD_WINDOW_BITS = 23 }; /* 8 MiB; QEMU's clusters have 2 MiB at most */

struct scratch {
	size_t len;
	_Alignas(16) uint8_t buf[];
};

/* What a thread keeps. */
struct context {
	struct libdeflate_decompressor *deflate;
	ZSTD_DCtx *zstd;
	z_stream zlib;
	int zlib_bits;		 /* window bits that @zlib was made for; 0: not made */
	struct scratch *scratch; /* NULL: not made yet, or somebody holds it */
};

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int key_err;

static void context_free(void *p)
{
	struct context *c = p;

	if (!c)
		return;
	if (c->deflate)
		libdeflate_free_decompressor(c->deflate);
	ZSTD_freeDCtx(c->zstd);
	if (c->zlib_bits)
		inflateEnd(&c->zlib);
	free(c->scratch);
	free(c);
}

/* Thread-specific data is freed for threads that end, not for the main thread at exit. */
static void main_thread_free(void)
{
	context_free(pthread_getspecific(key));
	pthread_setspecific(key, NULL);
}

static void key_make(void)
{
	key_err = pthread_key_create(&key, context_free);
	if (!key_err)
		atexit(main_thread_free);
}

static struct context *context(void)
{
	struct context *c;

	pthread_once(&once, key_make);
	if (key_err)
		return NULL;
	c = pthread_getspecific(key);
	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (c && pthread_setspecific(key, c)) {
		free(c);
		c = NULL;
	}
	return c;
}

void *scratch_take(size_t len)
{
	struct context *c = context();
	struct scratch *s;

	if (c && c->scratch && c->scratch->len >= len) {
		s = c->scratch;
		c->scratch = NULL;
	} else {
		s = malloc(sizeof(*s) + len);
		if (!s)
			return NULL;
		s->len = len;
	}
	return s->buf;
}

void scratch_give(void *buf)
{
	struct context *c = context();
	struct scratch *s = NULL;

	if (buf)
		s = (struct scratch *)(void *)((char *)buf - offsetof(struct scratch, buf));
	if (s && c && (!c->scratch || c->scratch->len < s->len)) {
		free(c->scratch);
		c->scratch = s;
	} else {
		free(s);
	}
}

/* Twice as fast as zlib, and a tenth faster than ISA-L; what it refuses, zlib judges. */
static bool by_libdeflate(struct context *c, enum inflate_method method, const void *in,
			  size_t in_len, void *out, size_t out_len)
{
	size_t used;

	if (!c->deflate)
		c->deflate = libdeflate_alloc_decompressor();
	if (!c->deflate)
		return false;
	/* Without a place for the length, exactly out_len bytes must come out. */
	if (method == INFLATE_RAW)
		return libdeflate_deflate_decompress_ex(c->deflate, in, in_len, out, out_len, &used,
							NULL) == LIBDEFLATE_SUCCESS;
	return libdeflate_zlib_decompress_ex(c->deflate, in, in_len, out, out_len, &used, NULL) ==
	       LIBDEFLATE_SUCCESS;
}

static int by_zlib(struct context *c, enum inflate_method method, const void *in, size_t in_len,
		   void *out, size_t out_len)
{
	int bits = method == INFLATE_RAW ? -MAX_WBITS : MAX_WBITS;
	z_stream *z = &c->zlib;
	int r;

	if (c->zlib_bits != bits) {
		if (c->zlib_bits)
			inflateEnd(z);
		c->zlib_bits = 0;
		memset(z, 0, sizeof(*z));
		if (inflateInit2(z, bits) != Z_OK)
			return -ENOMEM;
		c->zlib_bits = bits;
	} else {
		inflateReset(z);
	}
	z->next_in = (uint8_t *)(uintptr_t)in;
	z->avail_in = (uInt)in_len;
	z->next_out = out;
	z->avail_out = (uInt)out_len;
	r = inflate(z, Z_FINISH);
	if (r == Z_MEM_ERROR)
		return -ENOMEM;
	/* Z_BUF_ERROR with a full buffer: there is more to come out than was asked for. */
	return (r == Z_STREAM_END || r == Z_BUF_ERROR) && !z->avail_out ? 0 : -EBADMSG;
}

static int by_zstd(struct context *c, const void *in, size_t in_len, void *out, size_t out_len)
{
	ZSTD_inBuffer i = {in, in_len, 0};
	ZSTD_outBuffer o = {out, out_len, 0};
	size_t frame = ZSTD_findFrameCompressedSize(in, in_len);

	if (!c->zstd)
		c->zstd = ZSTD_createDCtx();
	if (!c->zstd)
		return -ENOMEM;
	if (!ZSTD_isError(frame) &&
	    ZSTD_decompressDCtx(c->zstd, out, out_len, in, frame) == out_len)
		return 0;
	/* Several frames, or one that gives more than asked for. A window is memory: bound it. */
	ZSTD_DCtx_reset(c->zstd, ZSTD_reset_session_only);
	ZSTD_DCtx_setParameter(c->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_BITS);
	while (o.pos < o.size) {
		size_t in_was = i.pos, out_was = o.pos;

		if (ZSTD_isError(ZSTD_decompressStream(c->zstd, &o, &i)) ||
		    (i.pos == in_was && o.pos == out_was))
			return -EBADMSG;
	}
	return 0;
}

int inflate_exactly(enum inflate_method method, const void *in, size_t in_len, void *out,
		    size_t out_len)
{
	struct context *c = context();

	if (!c)
		return -ENOMEM;
	if (in_len > INT_MAX || out_len > INT_MAX) /* the libraries count in 32 bits */
		return -EBADMSG;
	if (method == INFLATE_ZSTD)
		return by_zstd(c, in, in_len, out, out_len);
	if (by_libdeflate(c, method, in, in_len, out, out_len))
		return 0;
	return by_zlib(c, method, in, in_len, out, out_len);
}

int inflate_block(const void *in, size_t in_len, const void *dict, size_t dict_len, void *out,
		  size_t out_len)
{
	z_stream z = {.next_in = (uint8_t *)(uintptr_t)in, .next_out = out};
	int r;

	if (in_len > INT_MAX || out_len > INT_MAX || dict_len > INT_MAX)
		return -EBADMSG;
	z.avail_in = (uInt)in_len;
	z.avail_out = (uInt)out_len;
	if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
		return -ENOMEM;
	if (dict_len)
		inflateSetDictionary(&z, dict, (uInt)dict_len);
	r = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return r == Z_STREAM_END && !z.avail_out ? 0 : r == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

/* A stream decoder of any of the libraries: how much it took and gave in one call. */
struct unpacker {
	enum unpack_method method;
	lzma_stream xz;
	z_stream zlib;
	ZSTD_DCtx *zstd;
};

enum { UNPACK_STEP = 64 << 10, XZ_MEMORY = 128 << 20 };

static int unpacker_begin(struct unpacker *u, const void *in, size_t in_len)
{
	u->xz = (lzma_stream)LZMA_STREAM_INIT;
	if (u->method == UNPACK_XZ) {
		u->xz.next_in = in;
		u->xz.avail_in = in_len;
		return lzma_stream_decoder(&u->xz, XZ_MEMORY, LZMA_CONCATENATED) == LZMA_OK
			       ? 0
			       : -ENOMEM;
	}
	if (u->method == UNPACK_GZIP) {
		u->zlib.next_in = (uint8_t *)(uintptr_t)in;
		u->zlib.avail_in = (uInt)in_len;
		return inflateInit2(&u->zlib, MAX_WBITS + 16) == Z_OK ? 0 : -ENOMEM;
	}
	u->zstd = ZSTD_createDCtx();
	if (!u->zstd)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, 27);
	return 0;
}

/* The next bytes into out[0, cap). *n: how many. 1: the end, 0: more may come, -EBADMSG. */
static int unpacker_step(struct unpacker *u, ZSTD_inBuffer *in, uint8_t *out, size_t cap, size_t *n)
{
	if (u->method == UNPACK_XZ) {
		lzma_ret r;

		u->xz.next_out = out;
		u->xz.avail_out = cap;
		r = lzma_code(&u->xz, LZMA_FINISH);
		*n = cap - u->xz.avail_out;
		return r == LZMA_STREAM_END ? 1 : r == LZMA_OK && *n ? 0 : -EBADMSG;
	}
	if (u->method == UNPACK_GZIP) {
		int r;

		u->zlib.next_out = out;
		u->zlib.avail_out = (uInt)cap;
		r = inflate(&u->zlib, Z_NO_FLUSH);
		*n = cap - u->zlib.avail_out;
		/* Members follow each other, as `cat a.gz b.gz` makes them. */
		if (r == Z_STREAM_END && u->zlib.avail_in > 18 && u->zlib.next_in[0] == 0x1f &&
		    u->zlib.next_in[1] == 0x8b)
			return inflateReset(&u->zlib) == Z_OK ? 0 : -EBADMSG;
		return r == Z_STREAM_END ? 1 : r == Z_OK && *n ? 0 : -EBADMSG;
	} else {
		ZSTD_outBuffer o = {out, cap, 0};
		size_t r = ZSTD_decompressStream(u->zstd, &o, in);

		*n = o.pos;
		if (ZSTD_isError(r))
			return -EBADMSG;
		return r == 0 && in->pos == in->size ? 1 : *n ? 0 : -EBADMSG;
	}
}

static void unpacker_end(struct unpacker *u)
{
	lzma_end(&u->xz);
	if (u->method == UNPACK_GZIP)
		inflateEnd(&u->zlib);
	ZSTD_freeDCtx(u->zstd);
}

static int unpack_lz4(const uint8_t *in, size_t in_len, size_t max, uint8_t **out, size_t *out_len)
{
	uint64_t size;
	int n;

	if (in_len < sizeof(size))
		return -EBADMSG;
	memcpy(&size, in, sizeof(size)); /* little-endian, as the host (endian.h) */
	/* LZ4 makes at most 255 bytes of one. */
	if (!size || size > max || size > INT_MAX || size / 255 > in_len)
		return -EBADMSG;
	*out = malloc(size);
	if (!*out)
		return -ENOMEM;
	n = LZ4_decompress_safe((const char *)in + sizeof(size), (char *)*out,
				(int)(in_len - sizeof(size)), (int)size);
	*out_len = n > 0 ? (size_t)n : 0;
	if (n > 0)
		return (uint64_t)n == size ? 0 : -EBADMSG;
	free(*out);
	*out = NULL;
	return -EBADMSG;
}

/*
 * The legacy frame (lz4, doc/lz4_Frame_format.md): a magic number, then blocks behind their length, each
 * of 8 MiB unpacked but the last. Another magic number begins the next frame; zeros pad the file.
 */
static int unpack_lz4_legacy(const uint8_t *in, size_t in_len, size_t max, uint8_t **out,
			     size_t *out_len)
{
	enum { MAGIC = 0x184c2102, BLOCK_MAX = 8 << 20 };
	size_t at = 0;

	while (in_len - at >= 4) {
		uint8_t *more;
		uint32_t len;
		int n;

		memcpy(&len, in + at, 4); /* little-endian, as the host (endian.h) */
		at += 4;
		if (!len)
			break;
		if (len == MAGIC)
			continue;
		if (len > in_len - at || len > LZ4_COMPRESSBOUND(BLOCK_MAX) || *out_len >= max)
			return -EBADMSG;
		more = realloc(*out, *out_len + BLOCK_MAX);
		if (!more)
			return -ENOMEM;
		*out = more;
		n = LZ4_decompress_safe((const char *)in + at, (char *)*out + *out_len, (int)len,
					BLOCK_MAX);
		if (n <= 0)
			return -EBADMSG;
		*out_len += (size_t)n;
		at += len;
	}
	return *out_len ? 0 : -EBADMSG;
}

int unpack_all(enum unpack_method method, const void *in, size_t in_len, size_t max, uint8_t **out,
	       size_t *out_len)
{
	struct unpacker u = {.method = method};
	ZSTD_inBuffer zin = {in, in_len, 0};
	size_t cap = 0;
	int r;

	*out = NULL;
	*out_len = 0;
	if (in_len > INT_MAX)
		return -EBADMSG;
	if (method == UNPACK_LZ4_SIZED)
		return unpack_lz4(in, in_len, max, out, out_len);
	if (method == UNPACK_LZ4_LEGACY)
		return unpack_lz4_legacy(in, in_len, max, out, out_len);
	r = unpacker_begin(&u, in, in_len);
	while (!r) {
		size_t n;

		if (*out_len == cap) {
			size_t more = cap ? cap * 2 : UNPACK_STEP;
			uint8_t *p;

			/* A byte more than asked for tells that there is more. */
			more = more < max + 1 ? more : max + 1;
			p = more > cap ? realloc(*out, more) : NULL;
			if (!p) {
				r = more > cap ? -ENOMEM : -EBADMSG;
				break;
			}
			*out = p;
			cap = more;
		}
		r = unpacker_step(&u, &zin, *out + *out_len, cap - *out_len, &n);
		*out_len += n;
	}
	unpacker_end(&u);
	if (*out_len > max) {
		*out_len = max;
		r = -EBADMSG;
	}
	if (r == -ENOMEM || !*out_len) {
		free(*out);
		*out = NULL;
		*out_len = 0;
	}
	return r == 1 ? 0 : r;
}
