/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the bytes come from: image files, devices, split files. Opened read-only, always, and
 * with O_NOATIME where the system lets us (the file is ours, or we are root).
 *
 * A read error is tried again in halves down to one sector (l->sector), that one twice; then the
 * sector is lost with SOURCE_UNREADABLE, and is not tried again in this run. What is known to be
 * lost before reading (missing parts, --bad-map) is EXTENT_LOST in map() and never read.
 *
 * Who reports what: source_open() says what it had to decide (SOURCE_PART_*, SOURCE_EMPTY);
 * the layer's check() adds what a map says (SOURCE_BAD_MAP, SOURCE_MAP_LONGER) and, for files
 * that an image named, their missing parts; source_changed() at the end of a run says what
 * reading met (SOURCE_UNREADABLE, one finding for each area, SOURCE_SHRANK, SOURCE_CHANGED).
 */
#ifndef VDISKCK_CORE_SOURCE_H
#define VDISKCK_CORE_SOURCE_H

#include "vdiskck/core/layer.h"

/*
 * source_open() - the image that the user named: a path, or the URI of an NBD export
 * A path that ends in .001 (.000, .01, .0001 ...) with neighbours is a split image. Its parts
 * have the size of most of them, but the last: one that is missing or smaller leaves a gap. If
 * one is larger they follow each other as they are, after SOURCE_PART_SIZE.
 * With s->opt.bad_map its unrescued areas are lost; a map that ends behind the file gives the
 * layer's size. Folders, FIFOs and character devices are refused. Returns 0, or -errno after
 * session_err(); also when a --chain folder or the map can't be opened.
 */
int source_open(struct session *s, const char *path, struct layer **l);

/*
 * source_open_beside() - a file that an image names: parent, extent, data file
 * @by:   the source of the image that names it
 * @name: what the image says, UTF-8; either kind of slash
 * Opened only if, after resolving links, it lies in the folder of the image (as it was named, or
 * where a link leads) or in one of s->opt.chain, or below; and only if it is a regular file, or
 * a file or block device that the user named with --chain itself. A relative name counts from
 * the folder of @by, then from the others. An absolute name is tried as it is; if that finds
 * nothing, the last component is tried beside @by and in each of the folders. Windows names
 * (drives, UNC, \\?\), file:// URLs and qemu's "file:" are understood.
 * Returns 0; -ENOENT: no such file; -EACCES: it exists but must not be opened (outside, or no
 * regular file); other -errno. No findings: the caller knows what the file was for.
 */
int source_open_beside(struct layer *by, const char *name, struct layer **l);

/*
 * source_each_beside() - every regular file in the folder of @by and in the --chain folders
 * @fn gets an open source that it may keep (return 1: it is kept and the search ends), or not
 * (0: it is closed). By name within a folder; @by itself is left out. At most 4096 files are
 * tried; not below sub-folders. Returns what @fn returned last, or -errno.
 */
int source_each_beside(struct layer *by, int (*fn)(void *arg, struct layer *source), void *arg);

/*
 * source_folder() - the @i-th folder (or file that --chain names) that source_open_beside() may
 * open something in, as an absolute path; NULL: no more, or @l is NULL or no file
 */
const char *source_folder(const struct layer *l, size_t i);

/*
 * source_fd() - the file that holds byte @off of a source, to take bytes from it by its descriptor
 * @at: where in the file; @len: for how many bytes. -1: no file does. What it fails to give, a
 * read() of the layer gives: only that knows how to go round bad sectors.
 */
int source_fd(const struct layer *l, uint64_t off, uint64_t *at, uint64_t *len);

/*
 * source_dirty() - of an NBD export: what the bitmap s->opt.bitmap names as written to, sorted
 * 0; -EOPNOTSUPP: no export; -ENOENT: it has no such bitmap, or the user named none; other -errno
 */
int source_dirty(const struct layer *l, struct ranges *dirty);
/* source_is_remote() - does reading it take a network connection? */
bool source_is_remote(const struct layer *l);

/* source_same() - are the two the same file (device and inode)? */
bool source_same(const struct layer *a, const struct layer *b);
/* source_mtime() - last modification, seconds since 1970; false: not known */
bool source_mtime(const struct layer *l, int64_t *sec);
/* source_mtime_ns() - the same in nanoseconds: to tell whether it is the file that it was, a write in
 * the second of the last look included */
bool source_mtime_ns(const struct layer *l, int64_t *ns);
/* source_birth() - when the file was made where it lies now, likewise; many systems don't know */
bool source_birth(const struct layer *l, int64_t *sec);
/*
 * source_changed() - report what reading met: areas that can't be read, a file that was cut
 * short or written to since it was opened. Each once; for every source, at the end of a run.
 */
void source_changed(struct layer *l);

/*
 * source_unreadable() - what could not be read so far: another run that goes on need not try it
 * source_unreadable_add() - that was so: it is lost from now on. 0 or -ENOMEM; of no source: nothing
 */
int source_unreadable(struct layer *l, struct ranges *bad);
int source_unreadable_add(struct layer *l, uint64_t off, uint64_t len);

/* source_forget() - drop [off, off + len) from the system's cache: the next read is from the disk */
void source_forget(struct layer *l, uint64_t off, uint64_t len);

extern const struct layer_ops source_ops;

#endif
