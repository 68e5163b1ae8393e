/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NTFS: structures on disk, and what the files of this driver share. Not for others.
 *
 * Sources: libfsntfs, "New Technologies File System (NTFS)"; ntfs-3g include/ntfs-3g/layout.h;
 * B. Carrier, File System Forensic Analysis, ch. 11-13; [MS-FSCC] 2.1.2 for reparse points.
 */
#ifndef VDISKCK_FORMATS_FS_NTFS_H
#define VDISKCK_FORMATS_FS_NTFS_H

#include <pthread.h>

#include "formats/fs/fs.h"
#include "formats/fs/runs.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/span.h"

/* ---- on disk ---- */

/* The first sector, and the one behind the volume's last. */
struct ntfs_boot {
	uint8_t jump[3];	     /* 0x00 */
	char oem[8];		     /* 0x03 "NTFS    " */
	le16_t bytes_per_sector;     /* 0x0b 256..4096 */
	uint8_t sectors_per_cluster; /* 0x0d 1..0x80; above: two to the power of 256 - it */
	uint8_t reserved0[26];	     /* 0x0e */
	le64_t sectors;		     /* 0x28 of the volume, without the copy of this sector */
	le64_t mft_lcn;		     /* 0x30 */
	le64_t mirr_lcn;	     /* 0x38 */
	int8_t clusters_per_record;  /* 0x40 below zero: two to the power of minus it, in bytes */
	uint8_t reserved1[3];	     /* 0x41 */
	int8_t clusters_per_index;   /* 0x44 likewise */
	uint8_t reserved2[3];	     /* 0x45 */
	le64_t serial;		     /* 0x48 */
	uint8_t code[0x1fe - 0x50];  /* 0x50 */
	le16_t signature;	     /* 0x1fe 0xaa55 */
};
_Static_assert(sizeof(struct ntfs_boot) == 512, "NTFS boot sector");

/* Head of an MFT record. */
struct ntfs_record_header {
	char magic[4];	  /* 0x00 "FILE"; "BAAD": chkdsk found a torn write */
	le16_t usa_off;	  /* 0x04 update sequence array */
	le16_t usa_count; /* 0x06 one more than there are 512-byte pieces */
	le64_t lsn;	  /* 0x08 of the last change, in $LogFile */
	le16_t sequence;  /* 0x10 how often the record was used */
	le16_t links;	  /* 0x12 */
	le16_t attrs_off; /* 0x14 */
	le16_t flags;	  /* 0x16 enum ntfs_record_flags */
	le32_t used;	  /* 0x18 bytes */
	le32_t allocated; /* 0x1c */
	le64_t base;	  /* 0x20 reference of the base record; 0: this is one */
	le16_t next_id;	  /* 0x28 */
	le16_t reserved;  /* 0x2a */
	le32_t number;	  /* 0x2c since NTFS 3.1: here usa_off is 0x30 at least */
};
_Static_assert(sizeof(struct ntfs_record_header) == 48, "MFT record");

enum ntfs_record_flags {
	NTFS_IN_USE = 1,
	NTFS_IS_DIR = 2,
};

enum ntfs_attr_type {
	NTFS_STANDARD_INFORMATION = 0x10,
	NTFS_ATTRIBUTE_LIST = 0x20,
	NTFS_FILE_NAME = 0x30,
	NTFS_SECURITY_DESCRIPTOR = 0x50,
	NTFS_VOLUME_NAME = 0x60,
	NTFS_VOLUME_INFORMATION = 0x70,
	NTFS_DATA = 0x80,
	NTFS_INDEX_ROOT = 0x90,
	NTFS_INDEX_ALLOCATION = 0xa0,
	NTFS_BITMAP = 0xb0,
	NTFS_REPARSE_POINT = 0xc0,
	NTFS_END = -1, /* 0xffffffff */
};

enum ntfs_attr_flags {
	NTFS_COMPRESSED = 0x00ff, /* the method; 1: LZNT1 */
	NTFS_ENCRYPTED = 0x4000,
	NTFS_SPARSE = 0x8000,
};

/* What both kinds of attribute begin with. */
struct ntfs_attr_header {
	le32_t type;	      /* 0x00 */
	le32_t length;	      /* 0x04 of all of it */
	uint8_t non_resident; /* 0x08 */
	uint8_t name_len;     /* 0x09 in UTF-16 units */
	le16_t name_off;      /* 0x0a */
	le16_t flags;	      /* 0x0c enum ntfs_attr_flags */
	le16_t id;	      /* 0x0e */
};
_Static_assert(sizeof(struct ntfs_attr_header) == 16, "attribute");

struct ntfs_resident {
	struct ntfs_attr_header h;
	le32_t value_len; /* 0x10 */
	le16_t value_off; /* 0x14 */
	uint8_t indexed;  /* 0x16 */
	uint8_t reserved; /* 0x17 */
};
_Static_assert(sizeof(struct ntfs_resident) == 24, "resident attribute");

struct ntfs_nonresident {
	struct ntfs_attr_header h;
	le64_t lowest_vcn;	  /* 0x10 first cluster that the runs here tell */
	le64_t highest_vcn;	  /* 0x18 last one */
	le16_t pairs_off;	  /* 0x20 mapping pairs */
	uint8_t compression_unit; /* 0x22 log2 of clusters; 0: not compressed */
	uint8_t reserved[5];	  /* 0x23 */
	le64_t allocated;	  /* 0x28 bytes; these three only where lowest_vcn is 0 */
	le64_t size;		  /* 0x30 */
	le64_t initialized;	  /* 0x38 what is behind reads as zeros */
	/* 0x40 sparse or compressed: le64_t, bytes that are really allocated */
};
_Static_assert(sizeof(struct ntfs_nonresident) == 64, "non-resident attribute");

struct ntfs_standard_info {
	le64_t born, modified, changed, accessed; /* 0x00 FILETIME */
	le32_t attributes;			  /* 0x20 FILE_ATTRIBUTE_ */
	uint8_t reserved[12];			  /* 0x24 */
};
_Static_assert(sizeof(struct ntfs_standard_info) == 48, "$STANDARD_INFORMATION");

/* $FILE_NAME, and the key of an entry of $I30. */
struct ntfs_file_name {
	le64_t parent;				  /* 0x00 reference */
	le64_t born, modified, changed, accessed; /* 0x08 */
	le64_t allocated, size;			  /* 0x28 up to date in the index only */
	le32_t attributes;			  /* 0x38 and NTFS_NAME_DIR */
	le32_t tag;				  /* 0x3c of the reparse point, or size of EAs */
	uint8_t name_len;			  /* 0x40 in UTF-16 units */
	uint8_t space;				  /* 0x41 enum ntfs_name_space */
	uint8_t name[];				  /* 0x42 */
};
_Static_assert(sizeof(struct ntfs_file_name) == 66, "$FILE_NAME");

enum ntfs_name_space { NTFS_POSIX, NTFS_WIN32, NTFS_DOS, NTFS_WIN32_AND_DOS };
enum { NTFS_NAME_DIR = 0x10000000 };

struct ntfs_list_entry {
	le32_t type;	   /* 0x00 */
	le16_t length;	   /* 0x04 */
	uint8_t name_len;  /* 0x06 */
	uint8_t name_off;  /* 0x07 */
	le64_t lowest_vcn; /* 0x08 */
	le64_t ref;	   /* 0x10 the record that holds it */
	le16_t id;	   /* 0x18 */
};
_Static_assert(sizeof(struct ntfs_list_entry) == 26, "$ATTRIBUTE_LIST");

struct ntfs_index_header {
	le32_t entries_off; /* 0x00 all from here on */
	le32_t used;	    /* 0x04 */
	le32_t allocated;   /* 0x08 */
	uint8_t flags;	    /* 0x0c 1: there are blocks below */
	uint8_t reserved[3];
};
_Static_assert(sizeof(struct ntfs_index_header) == 16, "index header");

struct ntfs_index_root {
	le32_t type;		    /* 0x00 of the attribute that is indexed */
	le32_t collation;	    /* 0x04 */
	le32_t block_size;	    /* 0x08 bytes */
	uint8_t clusters_per_block; /* 0x0c */
	uint8_t reserved[3];
	struct ntfs_index_header h; /* 0x10 */
};
_Static_assert(sizeof(struct ntfs_index_root) == 32, "$INDEX_ROOT");

struct ntfs_index_block {
	char magic[4];		    /* 0x00 "INDX" */
	le16_t usa_off, usa_count;  /* 0x04 */
	le64_t lsn;		    /* 0x08 */
	le64_t vcn;		    /* 0x10 its own place */
	struct ntfs_index_header h; /* 0x18 */
};
_Static_assert(sizeof(struct ntfs_index_block) == 40, "INDX");

struct ntfs_index_entry {
	le64_t ref;	/* 0x00 of the file */
	le16_t length;	/* 0x08 */
	le16_t key_len; /* 0x0a */
	le16_t flags;	/* 0x0c 1: the VCN of a block below ends it, 2: the last, without a key */
	le16_t reserved;
};
_Static_assert(sizeof(struct ntfs_index_entry) == 16, "index entry");

/* Records that every volume has. */
enum {
	NTFS_MFT,
	NTFS_MFTMIRR,
	NTFS_LOGFILE,
	NTFS_VOLUME,
	NTFS_ATTRDEF,
	NTFS_ROOT,
	NTFS_BITMAP_FILE,
	NTFS_BOOT_FILE,
	NTFS_BADCLUS,
	NTFS_SECURE,
	NTFS_UPCASE_FILE,
	NTFS_EXTEND,
	NTFS_SYSTEM_RECORDS = 24, /* the rest are reserved */
};

/* A reference: record number in 48 bits, and the sequence number that it had. */
static inline uint64_t ntfs_ref_number(uint64_t ref)
{
	return ref & 0xffffffffffffu;
}
static inline uint16_t ntfs_ref_sequence(uint64_t ref)
{
	return (uint16_t)(ref >> 48);
}

/* ---- in memory ---- */

enum {
	NTFS_BLOCK = 512, /* what a fixup protects, whatever the sector size */
	NTFS_RECORD_MAX = 65536,
	NTFS_NAME_MAX = 255 * 3 + 1,	/* WTF-8, with NUL */
	NTFS_LIST_MAX = 1 << 20,	/* bytes of an $ATTRIBUTE_LIST; Windows ends at 256 KiB */
	NTFS_FEW_ATTRS = 42,		/* fit a record of 1 KiB */
	NTFS_PATH_MAX = 3 * 32768 + 64, /* bytes */
};

enum ntfs_boot_source { NTFS_BOOT_FIRST, NTFS_BOOT_BACKUP, NTFS_BOOT_NONE };

/* Where the volume's parts lie, and how large they are. */
struct ntfs_geometry {
	uint32_t sector, cluster, record, index_block; /* bytes */
	uint64_t sectors;			       /* without the backup boot sector */
	uint64_t clusters;
	uint64_t mft_lcn, mirr_lcn, serial;
};

struct ntfs_tree;

/* After open() all but @tree and @bitmap is constant; those are made once, under @lock. */
struct ntfs {
	struct ntfs_geometry g;
	enum ntfs_boot_source boot;
	uint64_t boot_at; /* where the boot sector in use lies */
	struct fs_runs mft_runs;
	struct layer *mft;   /* the data of $MFT as a file; its lost parts are lost in it */
	bool mft_rebuilt;    /* by a scan: nothing says it is complete */
	uint64_t records;    /* that fit @mft */
	uint8_t *mft_bitmap; /* of @records bits, or NULL */
	uint16_t *upcase;    /* of 65536 units */
	char label[NTFS_NAME_MAX];
	uint8_t major, minor;  /* version; 0: not known */
	uint16_t volume_flags; /* of $VOLUME_INFORMATION: 1 dirty */
	pthread_mutex_t lock;
	struct ntfs_tree *tree;
	uint8_t *bitmap; /* $Bitmap, of g.clusters bits; ntfs_cluster_bitmap() */
	uint64_t *owned; /* clusters that files own, the same; ntfs_owned_bitmap() */
};

enum ntfs_record_state {
	NTFS_GOOD,
	NTFS_TORN,  /* some blocks are lost or fail their fixup: @bad */
	NTFS_EMPTY, /* never used: zeros */
	NTFS_BAD,   /* no record, as far as can be seen */
};

/* An MFT record, its fixups undone. @p is never NULL, and holds n->g.record bytes. */
struct ntfs_record {
	uint64_t number;
	uint8_t *p;
	enum ntfs_record_state state;
	uint64_t lost; /* bit i: block i could not be read */
	uint64_t torn; /* bit i: block i fails its fixup */
	unsigned slot; /* in a scan: number of the buffer that it lies in, below NTFS_SLOTS */
};

static inline const struct ntfs_record_header *ntfs_head(const struct ntfs_record *r)
{
	return (const struct ntfs_record_header *)r->p;
}

/* An attribute inside a record; the spans point into it (their addr is the offset in the record). */
struct ntfs_attr {
	uint32_t type;
	uint16_t flags, id;
	bool resident;
	bool doubtful;	   /* it touches a block that is lost or torn */
	uint8_t unit;	   /* NON-RESIDENT: log2 of clusters of a compression unit */
	struct span name;  /* UTF-16 */
	struct span value; /* RESIDENT: the value; else the mapping pairs */
	uint64_t lowest_vcn, highest_vcn, allocated, size, initialized;
	uint64_t
		stored; /* bytes of clusters that hold it: less than @allocated if there are holes */
	uint64_t at;	/* of the attribute in the record */
};

/* All records of a file, and its attributes. */
struct ntfs_inode {
	uint64_t number;
	struct ntfs_record base;
	struct ntfs_inode_attr {
		struct ntfs_attr a;
		uint64_t record; /* number of the one that holds it */
	} * attrs;		 /* @few, until there are more */
	size_t n_attrs, cap_attrs;
	bool listed;	     /* it has an attribute list */
	bool incomplete;     /* the list, or a record that it names, is lost */
	uint64_t index_size; /* of $DATA as an index has it, for where its first piece is lost */
	uint8_t *buf, *more; /* records that were read for it */
	struct ntfs_inode_attr few[NTFS_FEW_ATTRS];
};

/* ntfs_names.c */
/* ntfs_name_put() - UTF-16 to WTF-8 as fs.h wants names, NUL-terminated; returns its length */
size_t ntfs_name_put(struct span utf16, char *out, size_t cap);
/* ntfs_name_get() - the other way; returns the units, at most @cap, or SIZE_MAX: not a name */
size_t ntfs_name_get(const char *name, size_t len, uint16_t *out, size_t cap);
/* ntfs_name_compare() - as the index has it: by $UpCase, unit by unit, then length */
int ntfs_name_compare(const uint16_t *upcase, struct span a, struct span b);
/* ntfs_upcase_builtin() - ASCII, Latin, Greek and Cyrillic: for where $UpCase is lost */
void ntfs_upcase_builtin(uint16_t *table);

/* ntfs_runs.c */
/*
 * ntfs_pairs_decode() - add the runs that mapping pairs tell to @runs, in bytes
 * @vcn: of the first; @next: set to the VCN behind the last
 * Holes are left out. Runs outside the volume are lost with NTFS_RUN_OUTSIDE, and reported if
 * @l is given. Returns 0, -ENOMEM, or -EBADMSG: the pairs end inside a run, or can't be true.
 */
int ntfs_pairs_decode(const struct ntfs_geometry *g, struct span pairs, uint64_t vcn,
		      struct fs_runs *runs, uint64_t *next, uint64_t *stored_clusters);

/* ntfs_attr.c */
/* ntfs_attr_next() - the attribute at @*pos (0: the first) of a record; false: there is none */
bool ntfs_attr_next(const struct ntfs *n, const struct ntfs_record *r, uint32_t *pos,
		    struct ntfs_attr *a);
/* ntfs_attr_find() - the first of a type in one record, unnamed if @name is NULL (ASCII) */
bool ntfs_attr_find(const struct ntfs *n, const struct ntfs_record *r, uint32_t type,
		    const char *name, struct ntfs_attr *a);
bool ntfs_name_is(struct span utf16, const char *ascii);
/* ntfs_file_name() - @v as $FILE_NAME, if it holds one with its whole name; else NULL */
const struct ntfs_file_name *ntfs_file_name(struct span v);
static inline struct span ntfs_file_name_text(const struct ntfs_file_name *f)
{
	return (struct span){f->name, f->name_len * 2u, 0};
}
/*
 * ntfs_inode_load() - a file with all its records
 * 0; -EBADMSG: its base record is none (BAD, EMPTY); -ENOMEM. The inode is for ntfs_inode_free()
 * in each case.
 */
int ntfs_inode_load(struct layer *l, uint64_t number, struct ntfs_inode *ino);
/* ntfs_inode_from() - the same from a base record that is at hand, and stays while it is used */
int ntfs_inode_from(struct layer *l, const struct ntfs_record *base, struct ntfs_inode *ino);
/* ntfs_inode_add() - the attributes of one more record, which stays while the inode is used */
int ntfs_inode_add(const struct ntfs *n, struct ntfs_inode *ino, const struct ntfs_record *r);
void ntfs_inode_free(struct ntfs_inode *ino);
/* ntfs_inode_attr() - the first attribute of a type and name (UTF-16; empty: unnamed), or NULL */
const struct ntfs_attr *ntfs_inode_attr(const struct ntfs_inode *ino, uint32_t type,
					struct span name);
const struct ntfs_attr *ntfs_inode_find(const struct ntfs_inode *ino, uint32_t type,
					const char *ascii);

/* The files that NTFS itself rests on are never taken as deleted, whatever a flag says. */
static inline bool ntfs_inode_deleted(const struct ntfs_inode *ino)
{
	return !(le16(ntfs_head(&ino->base)->flags) & NTFS_IN_USE) &&
	       ino->number >= NTFS_SYSTEM_RECORDS;
}

/* A stream: the runs of one attribute, collected from all records. */
struct ntfs_stream {
	struct fs_runs runs; /* resident: where the value lies in the volume */
	uint64_t size, initialized, allocated;
	uint64_t stored; /* bytes of clusters, or of the value */
	bool resident, doubtful, partial /* runs are missing or don't decode: lost in @runs */;
	struct span value; /* RESIDENT: in the inode's record */
	uint16_t flags;
	uint8_t unit;
};
/* ntfs_stream_get() - -ENOENT: no such attribute. @s: for fs_runs_free(&s->runs). */
int ntfs_stream_get(struct layer *l, const struct ntfs_inode *ino, uint32_t type, struct span name,
		    struct ntfs_stream *s);
/* ntfs_stream_open() - the bytes of an attribute as a layer, decompressed */
int ntfs_stream_open(struct layer *l, const struct ntfs_inode *ino, uint32_t type, struct span name,
		     const char *path, struct layer **file);
/* ntfs_stream_load() - all of it in memory, @max bytes at most; NULL: none, or no memory */
uint8_t *ntfs_stream_load(struct layer *l, uint64_t number, uint32_t type, const char *name,
			  size_t max, size_t *len, struct ranges *bad);

/* ntfs_mft.c */
/*
 * ntfs_fixup() - put back what the update sequence array keeps, in place
 * @p: @len bytes that begin with magic, usa_off, usa_count. Returns a bit for each block of 512
 * bytes that does not end in the update sequence number; all ones: the array can't be used.
 */
uint64_t ntfs_fixup(uint8_t *p, size_t len);
/* ntfs_record_init() - make a record of @p: fixups, state. @bad: lost bytes of $MFT, or NULL */
void ntfs_record_init(const struct ntfs *n, uint64_t number, uint8_t *p, const struct ranges *bad,
		      struct ntfs_record *r);
/* ntfs_record_read() - read one; @buf: n->g.record bytes, kept as r->p */
int ntfs_record_read(struct layer *l, uint64_t number, uint8_t *buf, struct ntfs_record *r);
/* ntfs_record_at() - where byte @off of a record lies in the volume; UINT64_MAX: nowhere */
uint64_t ntfs_record_at(struct ntfs *n, uint64_t number, uint32_t off);
bool ntfs_record_in_use(const struct ntfs *n, uint64_t number); /* by $MFT:$BITMAP */
/*
 * ntfs_scan() - every record of $MFT in large pieces: @work for each on a worker thread, then
 * @deliver for each piece, one at a time, in order
 * @work's @out is a piece's own memory of @per_record bytes for each record (zeroed). All records
 * of a piece have the same slot, which is that piece's alone until it was delivered.
 */
enum { NTFS_SLOTS = 64 };
struct ntfs_scan {
	struct layer *l;
	const char *what; /* for progress, or NULL */
	size_t per_record;
	int (*work)(void *arg, struct ntfs_record *r, void *out);
	int (*deliver)(void *arg, struct ntfs_record *r, size_t count, void *out);
	void *arg;
};
int ntfs_scan(const struct ntfs_scan *scan);

/* ntfs_boot.c */
/* ntfs_boot_parse() - is it a boot sector that makes sense? */
bool ntfs_boot_parse(const uint8_t *sector, struct ntfs_geometry *g);
/* ntfs_boot_first(), _last(), _search() - the first sector, the last, one near the end */
bool ntfs_boot_first(struct layer *below, struct ntfs_geometry *g);
bool ntfs_boot_last(struct layer *below, struct ntfs_geometry *g, uint64_t *at);
bool ntfs_boot_search(struct layer *below, struct ntfs_geometry *g, uint64_t *at);
/* ntfs_mft_is_at() - is any of the first records, or of their copies, where @g says? */
bool ntfs_mft_is_at(struct layer *below, const struct ntfs_geometry *g);
/* ntfs_boot_find() - the best of them; false: none is there */
bool ntfs_boot_find(struct layer *below, struct ntfs_geometry *g, enum ntfs_boot_source *from,
		    uint64_t *at);

/* ntfs_hunt.c */
/* Records that lie together: @count from number @number on, at @at of the volume. */
struct ntfs_sighting {
	uint64_t at, number, count;
};
struct ntfs_hunt {
	struct ntfs_sighting *v;
	size_t n, cap;
	uint32_t record; /* bytes of a record, as they state it; 0: none was seen */
};
/* ntfs_hunt() - look for FILE records in [from, to) of @below. 0, -ENOMEM, -EINTR. */
int ntfs_hunt(struct layer *below, uint64_t from, uint64_t to, struct ntfs_hunt *h);
/* ntfs_hunt_likely() - the same at the places where $MFT and $MFTMirr usually begin */
int ntfs_hunt_likely(struct layer *below, struct ntfs_hunt *h);
/* ntfs_hunt_geometry() - what the records say about the volume that they lie in */
bool ntfs_hunt_geometry(struct layer *below, const struct ntfs_hunt *h, struct ntfs_geometry *g);
/* ntfs_hunt_runs() - $MFT as the sightings have it; what nobody has seen is lost. Sorts @h. */
int ntfs_hunt_runs(struct ntfs_hunt *h, struct fs_runs *runs);
void ntfs_hunt_free(struct ntfs_hunt *h);

/* ntfs_open.c */
/* ntfs_mft_open() - find $MFT: n->mft, n->records */
int ntfs_mft_open(struct layer *l);

/* ntfs_index.c */
/*
 * ntfs_index_each() - every entry of a folder's $I30 in the order of its blocks
 * @damaged: set when a block could not be used. A non-zero result of @fn ends it.
 */
int ntfs_index_each(struct layer *l, const struct ntfs_inode *dir,
		    int (*fn)(void *arg, uint64_t ref, const struct ntfs_file_name *key), void *arg,
		    bool *damaged);
/* ntfs_index_find() - by name, without case; -ENOENT. @ref: of the file. */
int ntfs_index_find(struct layer *l, const struct ntfs_inode *dir, struct span name, uint64_t *ref);

/* ntfs_tree.c */
/* A record that is lost, as an index of a folder knows it. @key: in @blob. */
struct ntfs_ghost {
	uint32_t number, key, key_len;
	uint16_t sequence;
};
/* A record that continues the file of a base record that is lost. */
struct ntfs_rest {
	uint32_t base, record;
};
struct ntfs_dir;
struct ntfs_tree {
	struct ntfs_dir *dirs; /* by number */
	size_t n_dirs, cap_dirs;
	char *names; /* of folders, each with a NUL */
	size_t names_len, names_cap;
	uint32_t *lost; /* numbers of records that are in use, and none */
	size_t n_lost, cap_lost;
	struct ntfs_ghost *ghosts; /* by number */
	size_t n_ghosts, cap_ghosts;
	struct ntfs_rest *rests; /* by base */
	size_t n_rests, cap_rests;
	uint8_t *blob;
	size_t blob_len, blob_cap;
};
/* ntfs_tree_get() - folders and lost records, made on first use, with findings; -ENOMEM, -EINTR */
int ntfs_tree_get(struct layer *l, struct ntfs_tree **t);
void ntfs_tree_free(struct ntfs_tree *t);
/* What is known of the place of a folder. */
struct ntfs_place {
	size_t len; /* of its path, which has no slash at its end: the root's is empty */
	enum fs_sure sure;
	bool system; /* in $Extend */
};
/*
 * ntfs_tree_path() - the path of a folder into @out (of NTFS_PATH_MAX bytes)
 * @ref: its reference; @deleted: of something deleted, for which a deleted folder is as good
 */
struct ntfs_place ntfs_tree_path(const struct ntfs_tree *t, uint64_t ref, bool deleted, char *out);
/* ntfs_tree_below() - does folder @number lie in folder @top, or is it that folder? */
bool ntfs_tree_below(const struct ntfs_tree *t, uint64_t number, uint64_t top);

/* ntfs_rest.c */
/* ntfs_rest_add() - note a record that has a base */
int ntfs_rest_add(struct ntfs_tree *t, uint64_t base, uint64_t record);
/* ntfs_rest_keep() - keep those whose base is in @lost (a bit for each of @records), or nowhere */
void ntfs_rest_keep(struct ntfs_tree *t, const uint8_t *lost, uint64_t records);
/* ntfs_rest_load() - what is left of the file of a lost record; -ENOENT: nothing */
int ntfs_rest_load(struct layer *l, const struct ntfs_tree *t, uint64_t number,
		   struct ntfs_inode *ino);

/* ntfs_entry.c */
/* What walk() and lookup() need to make entries. */
struct ntfs_entries {
	struct layer *l;
	const struct ntfs_tree *t;
	const uint8_t *bitmap; /* deleted ones are asked for; else NULL */
	const uint64_t *owned; /* ditto */
	int (*fn)(void *arg, const struct fs_entry *e);
	void *arg;
	bool streams; /* named ones, too */
	bool (*wanted)(const struct ntfs_entries *x, const struct ntfs_file_name *name);
	uint64_t top;	 /* for @wanted */
	uint64_t parent; /* whose path @path begins with */
	bool parent_deleted, parent_known;
	struct ntfs_place place; /* of that */
	char *path;		 /* of NTFS_PATH_MAX + NTFS_NAME_MAX * 2 */
	struct ntfs_reparse *rp;
};
int ntfs_entries_init(struct ntfs_entries *x, struct layer *l, const struct ntfs_tree *t);
void ntfs_entries_free(struct ntfs_entries *x);
/* ntfs_entries_of() - an entry for each name and stream of a file that is @wanted */
int ntfs_entries_of(struct ntfs_entries *x, const struct ntfs_inode *ino);
/*
 * ntfs_entries_ghost() - of a file whose record is lost, from its key in an index
 * @rest: what records that continue it know; or NULL
 */
int ntfs_entries_ghost(struct ntfs_entries *x, uint64_t ref, const struct ntfs_file_name *key,
		       const struct ntfs_inode *rest);

/* ntfs_walk.c */
int ntfs_walk(struct layer *l, const struct fs_query *q,
	      int (*fn)(void *arg, const struct fs_entry *e), void *arg);
/* ntfs_lookup.c */
int ntfs_lookup(struct layer *l, const char *path, struct fs_entry **e);

/* ntfs_reparse.c */
struct ntfs_reparse {
	uint32_t tag;
	bool wof;	/* CompactOS: the data are in the stream WofCompressedData */
	int format;	/* WOF: enum wof_format */
	bool elsewhere; /* the data are not in the file: deduplicated, in a cloud, in a WIM */
	bool link;	/* symbolic link or junction; @target */
	char remark[64];
	char target[NTFS_PATH_MAX / 8];
};
/* ntfs_reparse_get() - false: the file has no reparse point, or it can't be read */
bool ntfs_reparse_get(struct layer *l, const struct ntfs_inode *ino, struct ntfs_reparse *rp);

/* ntfs_reparse_target() - the target of a link, as it is stored */
void ntfs_reparse_target(struct span utf16, struct ntfs_reparse *rp);

/* ntfs_bitmap.c */
/* ntfs_cluster_bitmap() - $Bitmap, a bit per cluster, lost parts as in use; NULL: no memory */
const uint8_t *ntfs_cluster_bitmap(struct layer *l);
bool ntfs_cluster_used(const struct ntfs *n, const uint8_t *bitmap, uint64_t lcn);
/*
 * ntfs_owned_bitmap() - a bit for each cluster that a record in use owns; NULL: no memory, or
 * stopped. One pass over $MFT, once.
 */
const uint64_t *ntfs_owned_bitmap(struct layer *l);
static inline bool ntfs_cluster_owned(const struct ntfs *n, const uint64_t *owned, uint64_t lcn)
{
	return lcn < n->g.clusters && owned[lcn / 64] >> (lcn % 64) & 1;
}
/* Bytes of clusters of @runs that $Bitmap says are in use, and that files own. */
struct ntfs_in_use {
	uint64_t by_bitmap, by_files;
};
struct ntfs_in_use ntfs_in_use(const struct ntfs *n, const uint8_t *bitmap, const uint64_t *owned,
			       const struct fs_runs *runs);

/* ntfs_check.c */
int ntfs_check(struct layer *l);
/* ntfs_owners.c */
int ntfs_owners(struct layer *l, const struct ranges *r,
		int (*fn)(void *arg, const struct fs_owner *o), void *arg);
int ntfs_unused(struct layer *l, int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack),
		void *arg);

#endif
