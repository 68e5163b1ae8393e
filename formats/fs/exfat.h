/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exFAT. Source: Microsoft, "exFAT file system specification" (2019), named XS below; where it is
 * silent, what fsck.exfat (exfatprogs) and Linux accept.
 */
#ifndef VDISKCK_FORMATS_FS_EXFAT_H
#define VDISKCK_FORMATS_FS_EXFAT_H

#include "formats/fs/fat_table.h"
#include "formats/fs/fs.h"
#include "vdiskck/core/endian.h"

enum {
	EXFAT_ENTRY = 32,
	EXFAT_SET_MAX = 19,	  /* entries of a set: file, stream, 17 of name. XS 7.4.2 */
	EXFAT_DIR_MAX = 64 << 20, /* bytes of a folder that are looked at; XS 7: 256 MiB */
	EXFAT_NAME_BYTES = 255 * 3 + 1,
	EXFAT_BOOT_SECTORS = 12, /* a boot region, and as many the copy behind it. XS 3 */
	EXFAT_ROOT_ID = 1,	 /* other ids are addresses of entries */
};

/* XS 3.1 */
struct exfat_boot {
	uint8_t jump[3];
	char name[8]; /* "EXFAT   " */
	uint8_t zero[53];
	le64_t partition_offset;
	le64_t sectors;		/* 0x48 */
	le32_t fat_sector;	/* 0x50 */
	le32_t fat_sectors;	/* 0x54 */
	le32_t heap_sector;	/* 0x58 */
	le32_t clusters;	/* 0x5c */
	le32_t root_cluster;	/* 0x60 */
	le32_t serial;		/* 0x64 */
	le16_t revision;	/* 0x68 0x0100 */
	le16_t flags;		/* 0x6a 1: second FAT is active, 2: dirty, 4: media failed */
	uint8_t sector_shift;	/* 0x6c 9..12 */
	uint8_t cluster_shift;	/* 0x6d of sectors in a cluster */
	uint8_t fats;		/* 0x6e */
	uint8_t drive, percent; /* 0x6f */
	uint8_t reserved[7];
	uint8_t code[390];
	uint8_t magic[2]; /* 55 aa */
};
_Static_assert(sizeof(struct exfat_boot) == 512, "XS 3.1");

/* Types of entries; without bit 7 they are deleted. XS 6.2.1 */
enum {
	EXFAT_END = 0,
	EXFAT_IN_USE = 0x80,
	EXFAT_BITMAP = 0x81,
	EXFAT_UPCASE = 0x82,
	EXFAT_LABEL = 0x83,
	EXFAT_FILE = 0x85,
	EXFAT_STREAM = 0xc0,
	EXFAT_NAME = 0xc1,
	EXFAT_SECONDARY = 0x40,
	EXFAT_BENIGN = 0x20,
	EXFAT_NO_CHAIN = 2, /* of a stream's flags: its clusters lie together */
	EXFAT_ATTR_DIR = 0x10,
};

/* XS 7.4 */
struct exfat_file {
	uint8_t type, secondaries;
	le16_t sum; /* of the set, without itself */
	le16_t attributes;
	le16_t zero;
	le32_t born, modified, accessed;
	uint8_t born_10ms, modified_10ms;
	uint8_t born_zone, modified_zone, accessed_zone;
	uint8_t zero2[7];
};
_Static_assert(sizeof(struct exfat_file) == EXFAT_ENTRY, "XS 7.4");

/* XS 7.6; with other fields, also the allocation bitmap (7.1) and the up-case table (7.2) */
struct exfat_stream {
	uint8_t type, flags;
	uint8_t zero, name_length;
	le16_t name_hash;
	le16_t zero2;
	le64_t valid_length; /* behind it the data is not defined, and read as zeros */
	le32_t zero3;
	le32_t cluster; /* 0x14 */
	le64_t length;	/* 0x18 */
};
_Static_assert(sizeof(struct exfat_stream) == EXFAT_ENTRY, "XS 7.6");

struct exfat {
	struct exfat_boot boot;
	bool from_backup;
	bool sum_ok[2], there[2]; /* of both boot regions: checksum, any sense at all */
	uint32_t sector;
	uint64_t size; /* stated, in bytes */
	struct fat_table t;
	struct exfat_stream bitmap_entry, upcase_entry;
	uint64_t bitmap_entry_at, upcase_entry_at;
	uint8_t *bitmap;       /* a bit for each cluster, or NULL */
	struct ranges unknown; /* bytes of @bitmap that can't be read */
	uint16_t *upcase;      /* 65536 units */
	bool upcase_ok;
	uint8_t label[22];
	unsigned label_units;
};

/* exfat_find_boot() - the boot region, or its copy; how sure, 0: neither */
int exfat_find_boot(struct layer *below, struct exfat *x);
uint32_t exfat_boot_sum(const uint8_t *region, size_t sector);

/* A stream: where the bytes of a file or folder are. */
struct exfat_place {
	uint32_t cluster;
	uint64_t length; /* UINT64_MAX: as long as the chain (the root) */
	uint64_t valid;
	bool no_chain;
	bool gone; /* deleted: the bitmap has let go of it; the FAT may still tell */
};

struct exfat_dir {
	uint8_t *buf;
	size_t len;
	uint64_t *at; /* address of each cluster */
	uint32_t unit;
	struct ranges bad;
};

/* exfat_dir_load() - 0 also when parts are lost; -ENOMEM */
int exfat_dir_load(struct layer *l, const struct exfat_place *p, struct exfat_dir *d);
void exfat_dir_free(struct exfat_dir *d);
const uint8_t *exfat_dir_entry(const struct exfat_dir *d, unsigned i);
uint64_t exfat_dir_at(const struct exfat_dir *d, unsigned i);

/* A set of entries that describes a file. */
struct exfat_set {
	struct exfat_file f;
	struct exfat_stream s;
	uint64_t at;
	unsigned i, n; /* index in the folder, entries */
	bool deleted, sum_ok, name_ok /* as many characters as stated */;
	uint16_t hash;			   /* of the name that is there */
	unsigned units;			   /* of the name */
	uint8_t utf16[EXFAT_SET_MAX * 30]; /* the name */
	char name[EXFAT_NAME_BYTES];
};

/*
 * exfat_dir_next() - the next set from index *@i on, deleted ones too; false: no more
 * Entries that are no part of a set are passed to @stray, if it is not NULL.
 */
bool exfat_dir_next(const struct exfat *x, const struct exfat_dir *d, unsigned *i,
		    struct exfat_set *set, void (*stray)(void *arg, unsigned i), void *arg);
uint16_t exfat_set_sum(const uint8_t *entries, size_t len);
void exfat_set_place(const struct exfat_set *set, struct exfat_place *p);
uint16_t exfat_name_hash(const struct exfat *x, const uint8_t *utf16, unsigned units);
/* exfat_same_name() - as the volume's up-case table has it */
bool exfat_same_name(const struct exfat *x, const char *utf8, size_t len,
		     const struct exfat_set *set);

/* exfat_place_runs() - @c: how the chain went; NULL: not asked */
int exfat_place_runs(struct layer *l, const struct exfat_place *p, struct fs_runs *runs,
		     struct chain *c);
/* exfat_each_run() - clusters in order, as far as they are known; @max clusters at most */
int exfat_each_run(struct exfat *x, const struct exfat_place *p, uint32_t max, struct chain *c,
		   int (*fn)(void *arg, uint32_t cluster, uint32_t n), void *arg);
/* exfat_in_use() - by the bitmap: 1, 0, -1: not known */
int exfat_in_use(const struct exfat *x, uint32_t cluster);

/* What a walk's entries are the first member of. */
struct exfat_item {
	struct fs_entry e;
	const struct exfat_set *set;
	struct exfat_place place;
	struct chain chain;
};

int exfat_walk(struct layer *l, const struct fs_query *q,
	       int (*fn)(void *arg, const struct fs_entry *e), void *arg);
int exfat_lookup(struct layer *l, const char *path, struct fs_entry **e);
int exfat_open_file(struct layer *l, const struct fs_entry *e, struct layer **file);
int exfat_owners(struct layer *l, const struct ranges *r,
		 int (*fn)(void *arg, const struct fs_owner *o), void *arg);
int exfat_unused(struct layer *l, int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack),
		 void *arg);
int exfat_check(struct layer *l);
void exfat_root_place(const struct exfat *x, struct exfat_place *p);

#endif
