/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FAT12, FAT16, FAT32. Source: Microsoft, "FAT: General Overview of On-Disk Format" 1.03 (fatgen),
 * named FG below; ECMA-107. What fsck.fat and real systems do where it is silent is said there.
 */
#ifndef VDISKCK_FORMATS_FS_FAT_H
#define VDISKCK_FORMATS_FS_FAT_H

#include "formats/fs/fat_table.h"
#include "formats/fs/fs.h"
#include "vdiskck/core/endian.h"

enum {
	FAT_ENTRY = 32,		    /* bytes of an entry of a folder */
	FAT_DIR_BYTES = 65536 * 32, /* of a folder, at most: FG, "FAT directory structure" */
	FAT_NAME_BYTES = 255 * 3 + 1,
	FAT_ROOT_ID = 1, /* other ids are addresses of entries, multiples of 32 */
};

/* Boot sector with its BPB, FG; the second part differs. */
struct fat_boot {
	uint8_t jump[3];
	uint8_t oem[8];
	le16_t sector;	      /* 0x0b bytes */
	uint8_t per_cluster;  /* 0x0d sectors */
	le16_t reserved;      /* 0x0e sectors before the first FAT */
	uint8_t fats;	      /* 0x10 */
	le16_t root_entries;  /* 0x11 0: FAT32 */
	le16_t sectors16;     /* 0x13 0: see sectors32 */
	uint8_t media;	      /* 0x15 the first byte of each FAT repeats it */
	le16_t fat_sectors16; /* 0x16 0: FAT32 */
	le16_t track, heads;  /* 0x18 */
	le32_t hidden;	      /* 0x1c */
	le32_t sectors32;     /* 0x20 */
	union {
		struct { /* FAT12, FAT16 */
			uint8_t drive, state, sig;
			le32_t serial;
			uint8_t label[11], type[8];
		} old;
		struct {		     /* FAT32 */
			le32_t fat_sectors;  /* 0x24 */
			le16_t flags;	     /* 0x28 bit 7: one FAT is active, its number in 0..3 */
			le16_t version;	     /* 0x2a 0 */
			le32_t root_cluster; /* 0x2c */
			le16_t fsinfo;	     /* 0x30 sector */
			le16_t backup;	     /* 0x32 sector of the copy of this one: 6 */
			uint8_t unused[12];
			uint8_t drive, state, sig;
			le32_t serial;
			uint8_t label[11], type[8];
		} f32;
	};
	uint8_t code[420];
	uint8_t magic[2]; /* 0x1fe 55 aa */
};
_Static_assert(sizeof(struct fat_boot) == 512, "FG, boot sector");

/* An entry of a folder, FG */
struct fat_dirent {
	uint8_t name[11]; /* 0xe5 first: deleted; 0: no more entries; 0x05: stands for 0xe5 */
	uint8_t attr;
	uint8_t nt_case; /* 0x08: base is lower case, 0x10: extension (Windows NT) */
	uint8_t born_10ms;
	le16_t born_time, born_date, access_date, cluster_hi;
	le16_t time, date, cluster;
	le32_t size;
};
_Static_assert(sizeof(struct fat_dirent) == FAT_ENTRY, "FG, directory entry");

enum { CLUSTERS_12 = 4085 }; /* fewer: FAT12; more: FAT16, to a point. FG, "FAT type" */
enum {
	ATTR_LABEL = 0x08,
	ATTR_DIR = 0x10,
	ATTR_LONG = 0x0f, /* of the low six bits */
	ATTR_MASK = 0x3f,
	CASE_BASE = 0x08,
	CASE_EXT = 0x10,
};

enum fat_from { FAT_FROM_BOOT, FAT_FROM_BACKUP, FAT_FROM_FATS };

struct fat {
	struct fat_boot boot; /* what is used */
	enum fat_from from;
	unsigned bits; /* 12, 16, 32 */
	uint32_t sector;
	uint32_t root_cluster;	    /* FAT32 */
	uint64_t root_at, root_len; /* FAT12, FAT16 */
	uint64_t size;		    /* stated, in bytes */
	unsigned fats;
	struct fat_table t;
};

/* fat_geometry() - what a boot sector states; false: it can't be one. Touches all but g->t.cache. */
bool fat_geometry(const struct fat_boot *b, struct fat *g);
/*
 * fat_find_boot() - the boot sector or its copy, and how sure (0..100); -ENOENT
 * @rebuild: without both, what the FATs say
 */
int fat_find_boot(struct layer *below, bool rebuild, struct fat *g);

/* fat_rebuild() - sizes and places from the FATs and folders alone; how sure, 0: nothing */
int fat_rebuild(struct layer *below, struct fat *g);

/* A folder's bytes, all of it. */
struct fat_dir {
	uint8_t *buf;
	size_t len;
	uint64_t *at; /* address of each piece of @unit bytes */
	size_t unit;
	struct ranges bad; /* lost, in offsets of @buf */
	enum chain_end end;
	uint32_t last; /* cluster at which the chain ended */
};

/*
 * fat_dir_load() - the folder that begins at @cluster (0: the root)
 * @gone: it was deleted: its clusters are guessed to lie together, as long as they look like it
 * Returns 0 also when parts are lost; -ENOMEM, -EINTR.
 */
int fat_dir_load(struct layer *l, uint32_t cluster, bool gone, struct fat_dir *d);
void fat_dir_free(struct fat_dir *d);

/* One entry with the long name before it. */
struct fat_name {
	struct fat_dirent e;
	uint64_t at;	 /* address of the entry */
	unsigned i;	 /* its index in the folder */
	unsigned n_long; /* long entries that belong to it, right before it */
	bool deleted;
	bool first_guessed; /* deleted, and nothing tells the first character */
	bool garbage;	    /* no system has written this as an entry */
	bool long_bad;	    /* long entries stood before it that don't belong to it */
	uint32_t cluster;
	char name[FAT_NAME_BYTES]; /* UTF-8: the long name, or the short one */
	char shrt[13 * 3];
};

/* fat_dir_next() - the next entry from index *@i on, deleted ones too; false: no more */
bool fat_dir_next(const struct fat *g, const struct fat_dir *d, unsigned *i, struct fat_name *n);
uint8_t fat_name_sum(const uint8_t name[11]);
bool fat_is_dots(const struct fat_dirent *e);
/* fat_same_name() - without case, as far as the scripts go that have it */
bool fat_same_name(const char *a, size_t len, const char *b);
struct fs_time fat_time(le16_t date, le16_t time, uint8_t ten_ms);

/* fat_file_runs() - where the data of a file or folder lies; *@sure: how sure */
int fat_file_runs(struct layer *l, const struct fat_dirent *e, uint32_t first, bool deleted,
		  struct fs_runs *runs, struct chain *c);
uint32_t fat_first(const struct fat *g, const struct fat_dirent *e);

/* fat_compare() - both FATs; which is right where they differ; reports it. Once. */
int fat_compare(struct layer *l);
int fat_check(struct layer *l);

extern const struct fs_ops fat_fs;

#endif
