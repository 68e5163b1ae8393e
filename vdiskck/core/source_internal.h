/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the source layer share; nobody else includes this. */
#ifndef VDISKCK_CORE_SOURCE_INTERNAL_H
#define VDISKCK_CORE_SOURCE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "vdiskck/core/source.h"

/* A folder where files that an image names may lie, or one file that --chain names itself. */
struct place {
	int fd;	     /* of the folder; -1: a file */
	char *path;  /* absolute, links resolved */
	char *given; /* absolute, as the user typed it: images name it that way, too */
	dev_t dev;
	ino_t ino;
};

/* All such places of a run: the image's own folder(s) first. Shared by its sources. */
struct places {
	atomic_uint refs;
	size_t n;
	struct place *v;
};

struct nbd_export;

/* One file: all of the source, or one part of a split image. Or an export of an NBD server. */
struct part {
	int fd; /* -1: missing, or an export */
	struct nbd_export *nbd;
	struct stat st;
	uint64_t size;	   /* bytes of the file or device when it was opened */
	uint64_t off, len; /* its bytes in the layer; @len may be more than @size (cut short) */
};

enum { STRETCHES = 16 };

/* Bytes [off, end) of a sparse file that are all data or all hole. */
struct stretch {
	uint64_t off, end;
	bool hole;
};

struct source {
	struct part *part;
	size_t n;
	bool uneven;  /* split: some part before the last is larger than most */
	char *dir[2]; /* its folder by the name it was opened by, and by its real path; or NULL */
	struct places *places;
	struct ranges lost; /* known before reading: missing parts, bad map. Sorted, disjoint. */
	bool lost_parts_said, lost_said;

	pthread_mutex_t lock;
	struct stretch stretch[STRETCHES]; /* met while reading */
	unsigned next_stretch;
	struct ranges unreadable; /* met while reading. Sorted, disjoint, bounded. */
	uint64_t forgotten;	  /* unreadable bytes that the list had no room for */

	atomic_bool met;	 /* the list holds anything */
	atomic_bool ended_early; /* a read found the end before where it was */
	bool shrank_said, changed_said, unreadable_said;
};

/*
 * A way to open a file by name: 0, -ENOENT, -EACCES or another -errno.
 * @fd: read-only, a regular file or a block device; @st: what fstat() says
 * NULL: the path is the URI of an NBD export.
 */
struct opener {
	int (*open)(const struct opener *o, const char *path, int *fd, struct stat *st);
	const struct places *places;
};

/* source_make() - a layer of the file(s) at @path; no findings, no messages. @places: shared. */
int source_make(struct session *s, const struct opener *o, const char *path, struct places *places,
		struct layer **l);
/* source_open_readonly() - openat() for evidence: never writes, not even the access time */
int source_open_readonly(int dir, const char *path, int flags);

/* split_open() - fill f->part with all files that @path stands for */
int split_open(struct source *f, const struct opener *o, const char *path);
/* split_place() - lay the parts out: f->lost, and the size of the whole. 0 or -ENOMEM */
int split_place(struct source *f, uint64_t *size);

/* source_read.c */
/* source_part_at() - the file that holds byte @off of the layer */
const struct part *source_part_at(const struct source *f, uint64_t off);
int source_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad);
int source_map(struct layer *l, uint64_t off, struct extent *run);

/* source_nbd.c */
/* source_is_export() - an NBD URI? */
bool source_is_export(const char *path);
/* export_open() - connect, said if it fails; p->nbd and p->size. export_close(): @x may be NULL */
int export_open(struct session *s, const char *uri, struct part *p);
void export_close(struct nbd_export *x);
/* export_sector() - what the server reads at once, at least: 1, or a power of two */
size_t export_sector(const struct nbd_export *x);
/* export_pread() - as pread(), but for the end: [at, at + n) lies in the export */
ssize_t export_pread(struct nbd_export *x, void *buf, size_t n, uint64_t at);
/* export_forget() - what was read ahead of the requests: the next read asks the server */
void export_forget(struct nbd_export *x);
/* export_stretch() - the zeros or the data around @off; empty if the server can't tell */
struct stretch export_stretch(struct nbd_export *x, uint64_t off);

/* source_places.c */
/*
 * places_new() - the folder of the image at @path and what --chain names; said if it fails
 * @path: NULL for an export, which lies in no folder
 */
int places_new(struct session *s, const char *path, struct places **p);
struct places *places_ref(struct places *p);
void places_free(struct places *p);
/* places_open() - opener: an absolute path without ".." from the place that holds it */
int places_open(const struct opener *o, const char *path, int *fd, struct stat *st);
/* places_open_named() - opener: a file or device that --chain names itself */
int places_open_named(const struct opener *o, const char *path, int *fd, struct stat *st);
/* places_folder() - the folder at @path, which is a place or lies below one, to be listed; -errno */
int places_folder(const struct places *p, const char *path);

#endif
