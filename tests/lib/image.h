/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image in memory for a test: build it, poke it, open a driver on it, look at what it finds.
 *
 *	struct image *img = image_new(len);		or image_file(path)
 *	image_poke(img, off, bytes, n);
 *	image_check(img, &vhd_ops);			opens and checks, afresh each time
 *	assert_finding(img, VHD_FOOTER_SUM, off);
 *	assert_readable(img, 0, img->top->size);
 *	image_free(img);
 */
#ifndef VDISKCK_TESTS_IMAGE_H
#define VDISKCK_TESTS_IMAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* wants the ones above first */

#include "vdiskck/core/layer.h"
#include "vdiskck/core/session.h"

struct seen {
	enum finding_id id;
	char layer[64];
	struct fact fact; /* stored, expected: copied; in: may be gone after image_close() */
	char message[256];
	char stored[128], expected[128];
};

struct image {
	uint8_t *buf;
	size_t len;
	const char *path;	    /* a file instead of @buf (image_path()), or NULL */
	struct keyring *keys;	    /* what the session has: image_key() */
	const char *const *headers; /* --header, from the next image_open() on */
	struct session s;
	struct layer *source, *top; /* after image_open() */
	int err;		    /* what open() returned */
	struct seen *seen;
	size_t n_seen;
};

struct image *image_new(size_t len);
struct image *image_file(const char *path);
/* image_path() - an image that is read where it lies, for what is large and sparse; @path is kept */
struct image *image_path(const char *path);
/* image_key() - give the session one more key (enum key_kind), from the next image_open() on */
void image_key(struct image *img, int kind, const void *data, size_t len);
void image_no_keys(struct image *img);
void image_free(struct image *img);
void image_resize(struct image *img, size_t len); /* new bytes are zero */
void image_poke(struct image *img, uint64_t off, const void *bytes, size_t n);
void image_be32(struct image *img, uint64_t off, uint32_t v);
void image_be64(struct image *img, uint64_t off, uint64_t v);
void image_le32(struct image *img, uint64_t off, uint32_t v);
void image_le64(struct image *img, uint64_t off, uint64_t v);
void image_write(const struct image *img, const char *path); /* to a file, for an oracle */

/* image_open() - forget what was seen, open @ops on the bytes; img->err says how that went */
void image_open(struct image *img, const struct layer_ops *ops);
/* image_check() - image_open(), then the driver's check() */
void image_check(struct image *img, const struct layer_ops *ops);
/* image_discover() - let discovery find what is in the bytes, then check every layer */
void image_discover(struct image *img);
/*
 * image_stack() - open a file as the program does, with what its chain names, and check all of it
 * @chain: folders, NULL-terminated, or NULL. The image has no bytes to poke; img->top is what
 * stands on the source, or NULL.
 */
struct image *image_stack(const char *path, const char *const *chain);
/* image_stack_map() - the same, with a ddrescue map of the file */
struct image *image_stack_map(const char *path, const char *const *chain, const char *bad_map);
void image_close(struct image *img);

/* How many findings of @id were seen, at @at (or anywhere: ANYWHERE). */
#define ANYWHERE UINT64_MAX
size_t image_seen(const struct image *img, enum finding_id id, uint64_t at);
const struct seen *image_first(const struct image *img, enum finding_id id);
/* Findings of @least severity and above (UNDECIDED counts as above DAMAGE). */
size_t image_worse(const struct image *img, enum severity least);
void image_print(const struct image *img); /* what was seen, to stderr: for a failing test */

#define assert_finding(img, id, at)                                                                \
	do {                                                                                       \
		if (!image_seen(img, id, at)) {                                                    \
			image_print(img);                                                          \
			fail_msg("no %s at %#llx", #id, (unsigned long long)(at));                 \
		}                                                                                  \
	} while (0)
#define assert_clean(img)                                                                          \
	do {                                                                                       \
		if (image_worse(img, BLEMISH)) {                                                   \
			image_print(img);                                                          \
			fail_msg("findings on a clean image");                                     \
		}                                                                                  \
	} while (0)
/* No byte of [off, off + len) of img->top is lost or doubtful. */
#define assert_readable(img, off, len)	assert_true(image_readable(img, off, len))
/* Exactly all of it is lost, for this reason. */
#define assert_lost(img, off, len, why) assert_true(image_lost(img, off, len, why))
bool image_readable(struct image *img, uint64_t off, uint64_t len);
bool image_lost(struct image *img, uint64_t off, uint64_t len, enum finding_id why);

/* A source over memory that the caller keeps; also for fuzz targets. */
struct layer *memory_source(struct session *s, const char *name, const void *buf, size_t len);

/* image_exercise() - read and map all of @top in odd pieces: for flip and fuzz loops */
void image_exercise(struct layer *top);

#endif
