/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extraction: entries are found by one thread, copied into batches, and written by several, each
 * with its folders open and its buffers at hand, so that many small files cost little more than
 * the system calls that make them. Large files are read by the engine, one at a time.
 */
#ifndef VDISKCK_EXTRACT_H
#define VDISKCK_EXTRACT_H

#include <pthread.h>
#include <stdio.h>

#include "vdiskck/filespec.h"
#include "vdiskck/out_tree.h"

struct prim_digest;

enum { BATCH = 128 };

/* Entries of one file system that wait to be written. */
struct batch {
	const struct volume *vol;
	const char *root; /* folders of the output above theirs */
	struct fs_entry *e[BATCH];
	size_t n;
};

/* A folder whose times are set once nothing is made in it any more. */
struct folder_time {
	char *root_path; /* "ROOT" NUL "PATH" NUL, and its name in the output */
	struct timespec t[2];
};

struct extract {
	struct run *r;
	bool deleted, all; /* extract -d, -a */
	bool records;	   /* the manifest goes to standard output, too */
	/* Told of a pattern that nothing fits, which then is no error. May be NULL. */
	void (*nothing)(void *arg, const struct filespec *fs);
	void *arg;
	bool quiet; /* files that are not whole are not told of */
	bool trees; /* folders or patterns were asked for: what a file system lost may be of them */
	struct out_tree tree;
	FILE *manifest;
	char *buffer;	      /* of that stream: 4 KiB are a system call for each few files */
	pthread_mutex_t lock; /* of all that follows; of the manifest, standard output and error */
	pthread_cond_t wake;
	pthread_mutex_t big; /* one large file at a time: the engine has threads of its own */
	struct batch **queue;
	size_t n_queue, queue_max;
	bool ended;
	int err; /* the first that stops all: no space, no memory */
	struct folder_time *folder;
	size_t n_folders, folders_cap;
	uint64_t files, folders, links, bytes; /* written */
	uint64_t damaged;		       /* files that are not all there, or doubtful */
	uint64_t left;			       /* entries that could not be written */
	uint64_t lost;			       /* bytes of files */
	unsigned told;
};

/* What one thread works with. */
struct extract_worker {
	struct extract *x;
	struct out_dirs dirs;
	struct prim_digest *digest;
	uint8_t *buf; /* SMALL bytes */
	struct line record, to, map_to;
	struct line records; /* of a batch */
};

/*
 * extract_files() - the trees of @fs into x->tree, which is open and empty, with manifest.jsonl
 * Returns 0, -EINTR, or -errno, said. extract_init() before anything, extract_fini() at the end.
 */
void extract_init(struct extract *x, struct run *r);
int extract_files(struct extract *x, const struct filespec *fs, size_t n);
void extract_fini(struct extract *x);

int extract_worker_init(struct extract_worker *w, struct extract *x);
void extract_worker_free(struct extract_worker *w);
/* extract_entry() - write one entry, and its record to w->records; -errno only to stop all */
int extract_entry(struct extract_worker *w, const struct batch *b, const struct fs_entry *e);

#endif
