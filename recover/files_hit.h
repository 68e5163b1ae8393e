/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage by name: from bytes that are lost or doubtful in any layer to the files, the structures
 * and the free space of every file system that rests on them, each with what it lost, ranked.
 */
#ifndef VDISKCK_RECOVER_FILES_HIT_H
#define VDISKCK_RECOVER_FILES_HIT_H

#include "formats/fs/fs.h"
#include "recover/impact.h"
#include "recover/rank.h"

enum { HIT_WHY = 4 };

/* A file, or a structure of the file system, that something happened to. */
struct file_hit {
	struct layer *fs;
	const char *path;      /* NULL: a structure that belongs to no file */
	const char *structure; /* the first structure that was hit: "$MFT record 5121"; or NULL */
	uint64_t id, size;
	bool deleted;
	enum rank rank;
	uint64_t lost, doubtful;      /* bytes of its data, or of the structure */
	uint64_t structure_lost;      /* bytes of structures that describe it, lost or doubtful */
	uint64_t first;		      /* file offset of the first byte; UINT64_MAX: not its data */
	enum finding_id why[HIT_WHY]; /* the findings that explain it; the first few kinds */
	unsigned n_why;
	bool told;   /* for who writes records: this one was */
	size_t next; /* ours: in the hash chain, 1 more than the index */
};

struct files_hit {
	struct file_hit *v; /* ranked after files_hit_sort() */
	size_t n, cap;
	uint64_t more, more_bytes; /* pieces of files beyond what is kept, and their bytes */
	uint64_t free_lost, free_doubtful, unknown;
	size_t *hash;
	size_t hash_size;
	/* Sees each piece with its owner, before it is added. May be NULL. 0, or -errno. */
	int (*on_owner)(void *arg, struct layer *fs, const struct fs_owner *o);
	void *arg;
};

/*
 * files_hit_run() - ask every file system that was hit whose bytes they are
 * @im: after impact_run(). One pass over the metadata of each. Memory is bounded: past 200,000
 * files only those that matter most are still kept, see @more. 0, -EINTR, -ENOMEM.
 */
int files_hit_run(struct files_hit *h, const struct impact *im);
/* files_hit_add() - all of @o is lost or doubtful; 0 or -ENOMEM */
int files_hit_add(struct files_hit *h, struct layer *fs, const struct fs_owner *o, enum grade grade,
		  enum finding_id why);
/* files_hit_named() - a finding named the file @path of @fs; what it lost may not be known */
int files_hit_named(struct files_hit *h, struct layer *fs, const char *path, enum finding_id why);
/* files_hit_sort() - worst rank first, then what lost most, then by path */
void files_hit_sort(struct files_hit *h);
void files_hit_free(struct files_hit *h);

#endif
