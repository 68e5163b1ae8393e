/* SPDX-License-Identifier: Apache-2.0 */
/* A file whose bytes lie in the volume as they are: a list of runs, as a layer. */
#ifndef VDISKCK_FORMATS_FS_RUNS_H
#define VDISKCK_FORMATS_FS_RUNS_H

#include "vdiskck/core/layer.h"

/* Bytes [off, off + len) of a file. */
struct fs_run {
	uint64_t off, len;
	enum extent_kind kind;
	enum finding_id why; /* LOST */
	uint64_t at;	     /* DATA: in the volume; may be past its end: read() then says lost */
};

/* An empty list is all zeros. In order of @off, without overlaps; what is between them is a hole. */
struct fs_runs {
	struct fs_run *v;
	size_t n, cap;
	struct ranges doubtful; /* of the file: there, but only guessed to be its own */
};

/*
 * fs_runs_add() - append a run; joined with the last one if it continues it
 * Runs must come in order: -EINVAL for one that begins before the last one ends, or wraps around.
 * -ENOMEM.
 */
int fs_runs_add(struct fs_runs *r, const struct fs_run *run);
/* fs_runs_at() - the first run that ends behind @off; NULL: none */
const struct fs_run *fs_runs_at(const struct fs_runs *r, uint64_t off);
void fs_runs_free(struct fs_runs *r);

/*
 * fs_file_new() - a layer of kind LAYER_FILE on the file system @fs
 * @path: in the file system; the layer's own is "FS-LAYER:/path"
 * @runs: taken over, and emptied, whatever is returned
 * Holes read as zeros; runs behind @size are cut off. Returns 0 or -ENOMEM.
 */
int fs_file_new(struct layer *fs, const char *path, uint64_t size, struct fs_runs *runs,
		struct layer **file);
/*
 * fs_file_held() - the same for bytes that are at hand: small ones, that came with their metadata
 * @bytes: @size of them, copied; @runs: where they lie
 */
int fs_file_held(struct layer *fs, const char *path, const void *bytes, size_t size,
		 struct fs_runs *runs, struct layer **file);

#endif
