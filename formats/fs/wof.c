/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/wof.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <wimlib.h>

#include "vdiskck/core/endian.h"

enum {
	PROVIDER_WIM = 1,
	PROVIDER_FILE = 2,
	XPRESS_MAX = 16384,
	LZX_CHUNK = 32768,
};

/* WOF_EXTERNAL_INFO and FILE_PROVIDER_EXTERNAL_INFO_V0 of wofapi.h; V1 adds flags behind them. */
struct wof_info {
	le32_t version;	     /* 0x00 1 */
	le32_t provider;     /* 0x04 */
	le32_t file_version; /* 0x08 of the provider's part: 1 */
	le32_t format;	     /* 0x0c */
};
_Static_assert(sizeof(struct wof_info) == 16, "wofapi.h");

/* wimlib's decompressors hold tables, and serve one thread at a time: each thread has its own. */
struct own {
	struct wimlib_decompressor *xpress, *lzx;
};

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int key_error;

static void drop(void *p)
{
	struct own *own = p;

	wimlib_free_decompressor(own->xpress);
	wimlib_free_decompressor(own->lzx);
	free(own);
}

static void make_key(void)
{
	key_error = pthread_key_create(&key, drop);
}

/* The main thread's are freed when the program ends, not by its key. */
__attribute__((destructor)) static void drop_last(void)
{
	struct own *own;

	pthread_once(&once, make_key);
	own = key_error ? NULL : pthread_getspecific(key);
	if (own) {
		pthread_setspecific(key, NULL);
		drop(own);
	}
}

static struct own *own_get(void)
{
	struct own *own;

	pthread_once(&once, make_key);
	if (key_error)
		return NULL;
	own = pthread_getspecific(key);
	if (own)
		return own;
	own = calloc(1, sizeof(*own));
	if (own && pthread_setspecific(key, own)) {
		free(own);
		own = NULL;
	}
	return own;
}

static struct wimlib_decompressor *decompressor(enum wof_format format)
{
	struct own *own = own_get();
	struct wimlib_decompressor **d;

	if (!own)
		return NULL;
	d = format == WOF_LZX ? &own->lzx : &own->xpress;
	if (!*d && wimlib_create_decompressor(format == WOF_LZX ? WIMLIB_COMPRESSION_TYPE_LZX
								: WIMLIB_COMPRESSION_TYPE_XPRESS,
					      format == WOF_LZX ? LZX_CHUNK : XPRESS_MAX, d))
		*d = NULL;
	return *d;
}

int wof_reparse(struct span data, enum wof_format *format)
{
	const struct wof_info *info = span_at(data, 0, sizeof(*info));
	const le32_t *head = span_at(data, 0, 8);

	if (!head)
		return -EBADMSG;
	if (le32(head[0]) != 1)
		return -EOPNOTSUPP;
	if (le32(head[1]) == PROVIDER_WIM)
		return -ENOENT;
	if (le32(head[1]) != PROVIDER_FILE)
		return -EOPNOTSUPP;
	if (!info)
		return -EBADMSG;
	if (le32(info->file_version) != 1 || le32(info->format) > WOF_XPRESS16K)
		return -EOPNOTSUPP;
	*format = (enum wof_format)le32(info->format);
	return 0;
}

const char *wof_format_name(enum wof_format format)
{
	static const char *const names[] = {"XPRESS4K", "LZX", "XPRESS8K", "XPRESS16K"};

	return names[format];
}

uint32_t wof_chunk(enum wof_format format)
{
	static const uint32_t sizes[] = {4096, LZX_CHUNK, 8192, 16384};

	return sizes[format];
}

int wof_decode(enum wof_format format, const void *in, size_t in_len, void *out, size_t out_len)
{
	struct wimlib_decompressor *d;

	if (in_len > out_len)
		return -EBADMSG;
	if (in_len == out_len) {
		memcpy(out, in, in_len);
		return 0;
	}
	d = decompressor(format);
	if (!d)
		return -ENOMEM;
	return wimlib_decompress(in, in_len, out, out_len, d) ? -EBADMSG : 0;
}
