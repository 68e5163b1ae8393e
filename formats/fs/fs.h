/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file system can be asked, whatever its format. A driver is a layer (kind
 * LAYER_FILESYSTEM) that presents its volume's bytes unchanged, and these operations beside.
 *
 * A file is a layer, too: opened, it can be read, mapped, hashed, parsed or probed like anything
 * else, and walking map() down from it ends in the image file. What is lost is never left out
 * silently: entries say how sure their path and their data are.
 *
 * Names are UTF-8, of UTF-16 with lone surrogates WTF-8, of ext4 whatever bytes the disk holds. A
 * '/' inside a name becomes U+F02F, a NUL U+F000 (as Cygwin and Samba have it): so a path is
 * always parts between slashes. Paths begin with '/', and never end with one but for the root.
 */
#ifndef VDISKCK_FORMATS_FS_FS_H
#define VDISKCK_FORMATS_FS_FS_H

#include "vdiskck/core/layer.h"

enum fs_kind { FS_FILE, FS_DIR, FS_SYMLINK, FS_SPECIAL /* device, FIFO, socket */ };

/* How sure something is that an entry says. */
enum fs_sure {
	FS_SURE,    /* read where the format keeps it, and the checks on the way held */
	FS_REBUILT, /* from a second source: a copy, an index entry, a link back to the parent */
	FS_GUESSED, /* may be another's: a parent that was used again, clusters written since */
	FS_GONE,    /* nothing says it any more */
};

struct fs_time {
	int64_t sec; /* since 1970, UTC */
	uint32_t nsec;
	bool set; /* the format has it, and it is not zero */
};

/* One name of one file. Strings are the driver's, and live until the callback returns. */
struct fs_entry {
	uint64_t id;	     /* of the file: inode, MFT record number, address of its entry */
	uint32_t generation; /* tells apart two files that had the same id; or 0 */
	uint64_t parent;     /* id of its folder */
	const char *path;    /* of a named stream: "/folder/file:stream" */
	const char *stream;  /* the part of @path behind the colon, or NULL */
	enum fs_kind kind;
	bool deleted;
	bool system;	 /* the file system's own: $MFT, journal */
	uint64_t size;	 /* bytes of data */
	uint64_t stored; /* bytes of the volume that hold it */
	/* Deleted: bytes of @stored that are in use by others by now. */
	uint64_t overwritten;
	uint64_t reused; /* Deleted: bytes of @stored that files own which are there now */
	struct fs_time modified, accessed, changed, born;
	uint32_t mode; /* st_mode as stat(2) has it, 0: the format has none */
	uint32_t uid, gid, links;
	const char *target; /* SYMLINK (and junctions): where it leads; else NULL */
	const char *remark; /* what to know about the data: "encrypted (EFS)"; or NULL */
	enum fs_sure path_sure, data_sure;
	uint64_t ref; /* the driver's: what it needs to open the file again */
};

struct fs_query {
	const char *dir; /* where to begin: the path of a folder; NULL: the root */
	bool recursive; /* all that is below, in the order that costs least; else its own entries */
	bool deleted;	/* deleted entries, too */
	bool system;	/* the file system's own files, too */
};

enum owner {
	OWNER_FILE,	 /* data of a file */
	OWNER_STRUCTURE, /* metadata of a layer */
	OWNER_FREE,	 /* what stands on these bytes does not use them */
	OWNER_UNKNOWN,	 /* nobody knows what these bytes are */
};

/* Bytes [off, off + len) of the volume, and whose they are. */
struct fs_owner {
	uint64_t off, len;
	enum owner kind;
	const struct fs_entry *file; /* FILE; STRUCTURE: the file that it describes, or NULL */
	uint64_t file_off;	     /* FILE: where byte @off stands in the file */
	bool packed; /* FILE: stored compressed; @file_off is where its unit begins */
	const char *
		structure; /* STRUCTURE: "inode 12", "$MFT record 5121", "block bitmap of group 3" */
	uint64_t start, size; /* STRUCTURE: its bounds in the volume; size 0: @off, @len */
};

/* All of these are called from several threads at once: files are opened while a walk goes on. */
struct fs_ops {
	/*
	 * Call @fn for every entry asked for; a non-zero result ends the walk and is returned.
	 * A recursive walk finds what no folder names any more, as well: a file whose path is lost
	 * stands in "/$orphans", under its id. The folder itself is not among its entries.
	 * Memory may grow with the number of files, by some tens of bytes each at most.
	 * -ENOENT, -ENOTDIR: no such folder.
	 */
	int (*walk)(struct layer *l, const struct fs_query *q,
		    int (*fn)(void *arg, const struct fs_entry *e), void *arg);
	/*
	 * The entry at a path, links not followed; NAME:STREAM for a named stream. One that is not
	 * deleted before one that is. @e: for fs_entry_free(). -ENOENT, -ENOTDIR.
	 */
	int (*lookup)(struct layer *l, const char *path, struct fs_entry **e);
	/* The file as a layer (fs_file_new() or a driver's own), not attached: layer_free() it. */
	int (*open_file)(struct layer *l, const struct fs_entry *e, struct layer **file);
	/*
	 * Whose are these bytes? One pass over the metadata answers all of @r (flat). Every byte of @r
	 * is passed to @fn at least once, more often where several own it; in any order.
	 */
	int (*owners)(struct layer *l, const struct ranges *r,
		      int (*fn)(void *arg, const struct fs_owner *o), void *arg);
	/* Every run that no file owns (@slack: behind the end of a file, in its last cluster). */
	int (*unused)(struct layer *l, int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack),
		      void *arg);
	/* open_file() takes folders, too: what is read then is a listing (keys of a registry hive). */
	bool opens_folders;
};

/* fs_entry_copy() - NULL: no memory; fs_entry_free() - @e may be NULL */
struct fs_entry *fs_entry_copy(const struct fs_entry *e);
void fs_entry_free(struct fs_entry *e);

/* fs_read(), fs_map() - the layer operations of a file system: the volume, byte for byte */
int fs_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad);
int fs_map(struct layer *l, uint64_t off, struct extent *run);

/*
 * fs_find() - lookup(), with symbolic links followed inside the file system, 16 at most
 * An absolute target starts at the root. -ELOOP; else as lookup().
 */
int fs_find(struct layer *l, const char *path, struct fs_entry **e);

/* fs_name_put() - a name from disk into @out, '/' and NUL replaced; cut at @cap. Returns its length. */
size_t fs_name_put(const char *name, size_t len, char *out, size_t cap);

#endif
