/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How users name files: LAYER:/path, N:/path, or /path where one volume only has it; and behind a
 * file that holds a file system itself, a registry hive, FILE:\path in that.
 */
#ifndef VDISKCK_FILESPEC_H
#define VDISKCK_FILESPEC_H

#include "formats/fs/fs.h"
#include "vdiskck/run.h"

/* A file system of the image. */
struct volume {
	struct layer *l;
	unsigned number; /* of the volume that it stands on, as `info` prints it; 0: on none */
	bool windows;	 /* names have no case, and a backslash separates them */
};

struct volumes {
	struct volume *v;
	size_t n;
};

/* volumes_find() - the open file systems within r->volume; 0 or -errno, said. volumes_free(). */
int volumes_find(struct run *r, struct volumes *vs);
void volumes_free(struct volumes *vs);
/* volumes_damaged() - is there a finding of damage in a file system, or in a file? */
bool volumes_damaged(struct run *r);
/* volumes_none() - say that there is no file system to work on, and what is there; -ENOENT */
int volumes_none(struct run *r);

/* One FILE argument, understood. */
struct filespec {
	const char *text; /* as typed */
	struct volume vol;
	char *path; /* begins with '/', has no trailing one but in "/"; of a glob: pattern */
	bool glob;  /* a pattern, and no file has that name literally */
	bool below; /* it ended with a slash: the folder's contents are meant */
	struct fs_entry *e; /* the file itself; NULL for a glob and for the root */
	struct layer *hive; /* the file that holds @vol, if that is none of the image's own */
};

/*
 * filespec_parse() - find out which volume and which file @text means
 * A path alone must be on one volume only. Links are followed but for the last part of the path,
 * and for that too with @follow. What `ls` prints for a name can be given back: where the path
 * does not exist as it stands, its "\xHH" are read as bytes; where that is not there either, and
 * a colon stands before a slash in it, what is before that is a file to look into. (No stream of
 * NTFS has a name with a slash in it.)
 * Returns 0, or -errno (-ENOENT, -ENOTUNIQ ...), said. filespec_free().
 */
int filespec_parse(struct run *r, const struct volumes *vs, const char *text, bool follow,
		   struct filespec *fs);
void filespec_free(struct filespec *fs);
/*
 * filespec_on() - the same for one volume, and nothing is said: 0, -ENOENT (no such file, and
 * @text is no pattern) or -ENOMEM
 */
int filespec_on(const struct volume *vol, const char *text, struct filespec *fs);
/* filespec_names() - does @text begin with the number or the path of @l, or of what it stands on? */
bool filespec_names(struct layer *source, const char *text, struct layer *l);

/* name_unescape() - undo name_escape(), in place */
void name_unescape(char *name);

/*
 * filespec_walk() - every entry that @fs means
 * @recursive: what is below a folder, too; @deleted, @system: those, too. The file itself comes
 * first. Entries that @fs names come whatever their state. Results as fs->walk().
 */
struct filespec_walk {
	bool recursive, deleted, system;
	bool contents; /* of a folder that is named: its entries instead of itself */
	int (*fn)(void *arg, const struct fs_entry *e);
	void *arg;
};
int filespec_walk(const struct filespec *fs, const struct filespec_walk *w);

#endif
