/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder that extract writes to. Names come from an image that may be hostile: nothing leaves
 * the folder, nothing in it is overwritten, and no name is lost.
 *
 * Every file is made relative to an open folder, by one name without a slash that is not "." or
 * "..", as a new file or not at all (O_EXCL, O_NOFOLLOW), and folders are opened name by name in
 * the same way: no link is ever followed, whoever laid it.
 *
 * Names: bytes that a name should not have become %HH (control characters, what is not UTF-8,
 * what reorders text, all of "." and "..", the first letter of a device name of Windows such as
 * NUL), and so does a '%' that would be taken for one of these. The colon of a stream becomes %3A.
 * "%~" ends what was kept of a name that is too long (then 16 hex digits of its SHA-256 follow) or
 * that is taken already (then a number). The manifest has the whole name in either case.
 */
#ifndef VDISKCK_OUT_TREE_H
#define VDISKCK_OUT_TREE_H

#include <stdatomic.h>
#include <time.h>

#include "formats/fs/fs.h"
#include "vdiskck/out_entry.h"

struct session;

enum { OUT_NAME = 256 };

/*
 * out_name() - the name for a file named @name[0, len): at most 255 bytes and a NUL. Returns it.
 * @stream: its last colon separates a stream. @strict: what only some file systems refuse is
 * replaced, too (<>:"|?*\ and blanks and dots at the end), and 120 bytes are the limit.
 */
const char *out_name(const char *name, size_t len, const char *stream, bool strict,
		     char out[OUT_NAME]);

struct out_tree {
	struct session *s;
	const char *path;
	int fd;
	/* Told of each file and link before it is made: its path below @path. May be NULL. */
	void (*making)(void *arg, const char *path);
	void *arg;
	atomic_uint_fast64_t taken; /* numbers given to names that were taken */
};

/* out_tree_open() - make the folder @path, or take an empty one; 0 or -errno, said */
int out_tree_open(struct out_tree *t, struct session *s, const char *path);
void out_tree_close(struct out_tree *t);

/* Folders of the tree that one thread has open. All zeros but @t; out_dirs_close(). */
enum { OUT_DIRS = 64 };
struct out_dirs {
	struct out_tree *t;
	struct out_dir {
		char *from; /* path in the file system; NULL: empty slot */
		char *to;   /* path below the output folder; "" for itself */
		int fd;
	} slot[OUT_DIRS];
};
void out_dirs_close(struct out_dirs *d);

/*
 * out_dirs_file() - make the new file for the path @from
 * @root: folders of our own that stand above it: "" or "vhd/mbr/p1"
 * @stream: the part behind the colon if it is a named stream; @suffix: ".map", or ""
 * @to: its path below the output folder. Returns a descriptor or -errno.
 */
int out_dirs_file(struct out_dirs *d, const char *root, const char *from, const char *stream,
		  const char *suffix, struct line *to);
/* out_dirs_folder() - the folder for the path @from, made if need be; its descriptor stays ours */
int out_dirs_folder(struct out_dirs *d, const char *root, const char *from, struct line *to);
/*
 * out_dirs_times() - set the times of a folder that was made
 * @name: its own in the output, the last part of what out_dirs_folder() said. What a file system
 * can't store stays as it is.
 */
void out_dirs_times(struct out_dirs *d, const char *root, const char *from, const char *name,
		    const struct timespec t[2]);
/*
 * out_dirs_link() - a symbolic link, if it can't lead out of the output folder
 * That needs a relative target whose ".." all stand at its beginning, no more of them than there
 * are folders above. Returns 0, -EXDEV: it might lead out and was not made; or -errno.
 */
int out_dirs_link(struct out_dirs *d, const char *root, const char *from, const char *target,
		  struct line *to);

#endif
