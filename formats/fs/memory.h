/* SPDX-License-Identifier: Apache-2.0 */
/* A file whose bytes were put together in memory: small ones, kept among metadata. */
#ifndef VDISKCK_FORMATS_FS_MEMORY_H
#define VDISKCK_FORMATS_FS_MEMORY_H

#include "vdiskck/core/layer.h"

/* Bytes of such a file that lie in the volume as they are. */
struct fs_memory_run {
	uint64_t off, len; /* in the file */
	uint64_t at;	   /* in the volume */
};

/* What a file in memory is made from. @buf, @bad and @run are taken over, whatever is returned. */
struct fs_memory {
	uint8_t *buf; /* malloc'd; NULL if @len is 0 */
	size_t len;
	struct ranges bad;	   /* what of it is lost or doubtful */
	uint64_t at, at_len;	   /* the bytes of the volume that it comes from; at_len 0: none */
	struct fs_memory_run *run; /* malloc'd, by offset; what is in none is lost; NULL: packed */
	size_t runs;
	enum finding_id why; /* it is lost */
};

/* fs_memory_new() - a layer of kind LAYER_FILE on @fs; map() gives its runs, or one packed. 0 or -ENOMEM. */
int fs_memory_new(struct layer *fs, const char *path, struct fs_memory *m, struct layer **file);

#endif
