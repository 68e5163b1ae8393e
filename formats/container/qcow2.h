/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2, versions 2 and 3: what the reader (qcow2*.c) and the checker (qcow2_check*.c) share.
 * Source: QEMU, docs/interop/qcow2.txt, called "the spec" below; its words are used.
 */
#ifndef VDISKCK_FORMATS_CONTAINER_QCOW2_H
#define VDISKCK_FORMATS_CONTAINER_QCOW2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vdiskck/core/endian.h"
#include "vdiskck/core/layer.h"

#define QCOW2_MAGIC 0x514649fbu /* "QFI\xfb" */

/* Header, spec "Header". Version 2 ends after snapshots_offset. */
struct qcow2_header {
	be32_t magic;			/* 0x00 */
	be32_t version;			/* 0x04 2 or 3 */
	be64_t backing_file_offset;	/* 0x08 0: none */
	be32_t backing_file_size;	/* 0x10 at most 1023 */
	be32_t cluster_bits;		/* 0x14 9..21 */
	be64_t size;			/* 0x18 of the virtual disk, in bytes */
	be32_t crypt_method;		/* 0x20 0 none, 1 AES, 2 LUKS */
	be32_t l1_size;			/* 0x24 in entries */
	be64_t l1_table_offset;		/* 0x28 */
	be64_t refcount_table_offset;	/* 0x30 */
	be32_t refcount_table_clusters; /* 0x38 */
	be32_t nb_snapshots;		/* 0x3c */
	be64_t snapshots_offset;	/* 0x40 */
	/* version 3 */
	be64_t incompatible_features; /* 0x48 */
	be64_t compatible_features;   /* 0x50 */
	be64_t autoclear_features;    /* 0x58 */
	be32_t refcount_order;	      /* 0x60 refcount_bits = 1 << order, at most 6 */
	be32_t header_length;	      /* 0x64 104 at least, a multiple of 8 */
	uint8_t compression_type;     /* 0x68 only if header_length covers it */
	uint8_t padding[7];	      /* 0x69 */
};
_Static_assert(sizeof(struct qcow2_header) == 112, "spec, Header");

enum {
	QCOW2_V2_HEADER = 72,  /* length of a version 2 header */
	QCOW2_V3_HEADER = 104, /* least header_length of version 3 */
	QCOW2_CLUSTER_BITS_MIN = 9,
	QCOW2_CLUSTER_BITS_MAX = 21,  /* QEMU's limit */
	QCOW2_L1_MAX = 0x2000000 / 8, /* entries; QEMU's limit of 32 MiB */
	QCOW2_SNAPSHOTS_MAX = 65536,  /* QEMU's limit */
	QCOW2_BITMAPS_MAX = 65535,    /* QEMU's limit */
	QCOW2_NAME_MAX = 1023,	      /* of a backing file, a bitmap */
	QCOW2_SUBCLUSTER_COUNT = 32,  /* in a cluster, with extended L2 entries */
};

/* incompatible_features */
#define QCOW2_INCOMPAT_DIRTY	      (UINT64_C(1) << 0)
#define QCOW2_INCOMPAT_CORRUPT	      (UINT64_C(1) << 1)
#define QCOW2_INCOMPAT_DATA_FILE      (UINT64_C(1) << 2)
#define QCOW2_INCOMPAT_COMPRESSION    (UINT64_C(1) << 3)
#define QCOW2_INCOMPAT_EXTENDED_L2    (UINT64_C(1) << 4)
#define QCOW2_INCOMPAT_KNOWN	      UINT64_C(0x1f)
/* compatible_features */
#define QCOW2_COMPAT_LAZY_REFCOUNTS   (UINT64_C(1) << 0)
/* autoclear_features */
#define QCOW2_AUTOCLEAR_BITMAPS	      (UINT64_C(1) << 0)
#define QCOW2_AUTOCLEAR_DATA_FILE_RAW (UINT64_C(1) << 1)

/* Header extensions, spec "Header": each has an 8-byte head and is padded to 8 bytes. */
struct qcow2_extension {
	be32_t type;   /* 0x00 */
	be32_t length; /* 0x04 of the data that follows, without padding */
};
_Static_assert(sizeof(struct qcow2_extension) == 8, "spec, Header");

enum qcow2_extension_type {
	QCOW2_EXT_END = 0,
	QCOW2_EXT_CRYPTO = 0x0537be77,
	QCOW2_EXT_BITMAPS = 0x23852875,
	QCOW2_EXT_DATA_FILE = 0x44415441,
	QCOW2_EXT_FEATURES = 0x6803f857,
};
#define QCOW2_EXT_BACKING_FORMAT 0xe2792acau /* does not fit an enum constant */

/* An entry of the feature name table. */
struct qcow2_feature_name {
	uint8_t type;  /* 0x00 0 incompatible, 1 compatible, 2 autoclear */
	uint8_t bit;   /* 0x01 */
	char name[46]; /* 0x02 padded with zeros, not always terminated */
};
_Static_assert(sizeof(struct qcow2_feature_name) == 48, "spec, Feature name table");

/* Snapshot table entry, followed by extra data, ID, name and padding to 8 bytes. */
struct qcow2_snapshot_entry {
	be64_t l1_table_offset; /* 0x00 */
	be32_t l1_size;		/* 0x08 in entries */
	be16_t id_size;		/* 0x0c */
	be16_t name_size;	/* 0x0e */
	be32_t date_sec;	/* 0x10 since 1970 */
	be32_t date_nsec;	/* 0x14 */
	be64_t vm_clock_nsec;	/* 0x18 */
	be32_t vm_state_size;	/* 0x20 */
	be32_t extra_size;	/* 0x24 */
};
_Static_assert(sizeof(struct qcow2_snapshot_entry) == 40, "spec, Snapshots");

/* Bitmap directory entry, followed by extra data, name and padding to 8 bytes. */
struct qcow2_bitmap_entry {
	be64_t table_offset;	  /* 0x00 */
	be32_t table_size;	  /* 0x08 in entries */
	be32_t flags;		  /* 0x0c */
	uint8_t type;		  /* 0x10 1: dirty tracking */
	uint8_t granularity_bits; /* 0x11 9..31 */
	be16_t name_size;	  /* 0x12 */
	be32_t extra_size;	  /* 0x14 */
};
_Static_assert(sizeof(struct qcow2_bitmap_entry) == 24, "spec, Bitmap directory");

#define QCOW2_BITMAP_IN_USE	      (1u << 0)
#define QCOW2_BITMAP_AUTO	      (1u << 1)
#define QCOW2_BITMAP_EXTRA_COMPATIBLE (1u << 2)
#define QCOW2_BITMAP_RESERVED	      0xfffffff8u
/* Entries of a bitmap's table: bits 1-8 and 56-63; bit 0 says "all ones" and needs offset 0. */
#define QCOW2_BITMAP_ENTRY_RESERVED   UINT64_C(0xff000000000001fe)
enum {
	QCOW2_BITMAP_DIRTY = 1,		  /* type */
	QCOW2_BITMAP_GRANULARITY_MIN = 9, /* bits; QEMU's limits */
	QCOW2_BITMAP_GRANULARITY_MAX = 31,
	QCOW2_BITMAP_TABLE_MAX = 0x8000000 / 8, /* entries, QEMU's limit */
};

/* Table entries. */
#define QCOW2_OFFSET_MASK      UINT64_C(0x00fffffffffffe00) /* bits 9-55 of L1, L2, bitmap entries */
#define QCOW2_COPIED	       (UINT64_C(1) << 63)
#define QCOW2_COMPRESSED       (UINT64_C(1) << 62)
#define QCOW2_ZERO	       (UINT64_C(1) << 0)
#define QCOW2_L1_RESERVED_MASK UINT64_C(0x7f000000000001ff)
#define QCOW2_L2_RESERVED_MASK UINT64_C(0x3f000000000001fe) /* of a standard descriptor */

struct qcow2_snapshot {
	uint64_t at, at_len; /* its entry in the snapshot table, with padding */
	uint64_t l1_off;
	uint32_t l1_entries;
	uint64_t size; /* of its virtual disk; the image's if the entry does not say */
	bool has_size; /* the entry says */
	uint32_t date_sec, date_nsec;
	uint64_t vm_state_size, vm_clock_nsec;
	char *id, *name; /* bytes from disk with NUL behind; not escaped */
};

struct qcow2_bitmap {
	uint64_t at, at_len; /* its entry in the directory, with padding */
	uint64_t table_off;
	uint32_t table_entries;
	uint32_t flags;
	uint8_t type, granularity_bits;
	uint32_t extra_size;
	char *name;
};

struct cache;
struct sector_cipher;

/* An L2 table that qcow2_adopt_l2() put in. */
struct qcow2_adopted {
	uint64_t l1_index, host_off;
	bool certain; /* else what is read through it is doubtful: QCOW2_L2_ADOPTED */
};

/* One virtual disk in the image: the active one, or a snapshot's. */
struct qcow2_view {
	struct qcow2 *q;
	uint64_t l1_off;
	uint64_t l1_entries;	/* those that size needs, the table has, and the file holds */
	enum finding_id l1_why; /* why those behind them are lost */
	uint64_t size;		/* l->size of its layer */
	/* tables put in by qcow2_adopt_l2(), by L1 index */
	struct qcow2_adopted *adopted;
	size_t n_adopted;
};

/*
 * An open image. qcow2_of(l) gives it for the layer "qcow2" and for its snapshots.
 * All header fields are as stored but bounded where the comment says so.
 */
struct qcow2 {
	struct qcow2_view active; /* must be first: l->priv of "qcow2" */
	struct layer *l;	  /* the container; l->below is the image file */
	struct layer *data;	  /* holds guest clusters: l->below, the data file, NULL: lost */
	struct layer *data_file;  /* the external data file's source, or NULL */
	uint64_t file_size;	  /* of l->below */
	uint32_t version;
	uint32_t cluster_bits; /* 9..21 */
	uint64_t cluster_size;
	uint64_t size; /* as stored; l->size is bounded by what an L1 table can address */
	uint32_t crypt_method;
	uint32_t l1_size; /* as stored */
	uint64_t l1_off;
	uint64_t refcount_table_off;
	uint32_t refcount_table_clusters;
	uint32_t refcount_bits; /* 1..64; 0: refcount_order is impossible */
	uint32_t nb_snapshots;	/* as stored */
	uint64_t snapshots_off;
	uint64_t incompat, compat, autoclear;
	uint32_t header_length;
	uint8_t compression; /* 0 zlib, 1 zstd, others: clusters are lost */
	bool extended_l2;    /* 16-byte entries with 32 subclusters */
	uint32_t l2_bits;    /* an L2 table has 1 << l2_bits entries */
	uint32_t l2_entry;   /* bytes of an L2 entry: 8 or 16 */

	uint64_t backing_off;	      /* 0: no backing file */
	char *backing;		      /* its name, bytes from disk; NULL: none */
	char *backing_format;	      /* NULL: the header does not say */
	enum finding_id backing_why;  /* why l->parent is missing though @backing is there */
	char *data_name;	      /* external data file, or NULL */
	enum finding_id data_why;     /* why @data is NULL */
	bool data_raw;		      /* guest byte N is byte N of the data file */
	uint64_t luks_off, luks_len;  /* full disk encryption header; 0, 0: none */
	uint64_t luks_at;	      /* of the header extension that says so */
	struct layer *luks;	      /* the LUKS header, if it makes sense (crypto/luks.h) */
	struct sector_cipher *cipher; /* of data clusters; NULL: they are lost with @crypt_why */
	enum finding_id crypt_why;
	struct qcow2_feature_name *features;
	size_t n_features;

	bool has_bitmaps; /* the extension is there */
	uint64_t bitmap_dir_off, bitmap_dir_len;
	uint32_t nb_bitmaps; /* as stored */
	struct qcow2_bitmap *bitmaps;
	size_t n_bitmaps; /* those that could be parsed */
	struct qcow2_snapshot *snapshots;
	size_t n_snapshots;	     /* those that could be parsed */
	uint64_t snapshot_table_len; /* bytes of the entries that were parsed */

	struct cache *tables;	/* slices of L1 and L2 tables, by offset in the image file */
	struct cache *clusters; /* decompressed clusters, by their packed bytes */
};

static inline struct qcow2 *qcow2_of(const struct layer *l)
{
	return ((struct qcow2_view *)l->priv)->q;
}

/* What an L2 entry says, and whether it can be true. */
enum qcow2_kind {
	QCOW2_KIND_UNALLOCATED, /* the backing file's, or zeros */
	QCOW2_KIND_ZERO,
	QCOW2_KIND_NORMAL,	/* @host, in q->data */
	QCOW2_KIND_COMPRESSED,	/* @packed bytes at @host in the image file */
	QCOW2_KIND_SUBCLUSTERS, /* @alloc and @zero say it for each; @host may be 0 */
	QCOW2_KIND_BAD,		/* @why: lost */
};

struct qcow2_desc {
	enum qcow2_kind kind;
	uint64_t host;	      /* offset of the host cluster (also of a preallocated ZERO), or 0 */
	uint64_t packed;      /* COMPRESSED: bytes from @host to the end of the last sector */
	uint32_t alloc, zero; /* SUBCLUSTERS: bit N for subcluster N */
	uint32_t bad;  /* SUBCLUSTERS: those whose bits contradict each other; they are lost */
	bool reserved; /* reserved bits are set: what is read by it is doubtful */
	enum finding_id why; /* BAD: QCOW2_L2_UNALIGNED ... */
};

/*
 * qcow2_desc() - decode an L2 entry; the reader's judgement, for the checker too
 * @entry, @bitmap: in host byte order; @bitmap is 0 without extended L2 entries
 */
struct qcow2_desc qcow2_desc(const struct qcow2 *q, uint64_t entry, uint64_t bitmap);
/* qcow2_l1_desc() - the L2 table of an L1 entry: kind is UNALLOCATED, NORMAL or BAD */
struct qcow2_desc qcow2_l1_desc(const struct qcow2 *q, uint64_t entry);

/*
 * qcow2_adopt_l2() - read guest clusters of L1 entry @l1_index through the L2 table at @host_off
 * @l: the layer "qcow2" or a snapshot's. For s->opt.rebuild: the checker finds tables among
 * orphans and says so in a finding; the reader never adopts one by itself. It overrides what the
 * L1 table holds. Not thread-safe: call it from check() or open(), before reads go on.
 * @certain: false: it is only likely that it belongs there, and what is read by it is doubtful
 * Returns 0, -EINVAL (unaligned, past the end of the file, no such index), -EEXIST (another table
 * was put in there), -ENOMEM.
 */
int qcow2_adopt_l2(struct layer *l, uint64_t l1_index, uint64_t host_off, bool certain);

/*
 * qcow2_bitmap_dirty() - what persistent bitmap @name says was written to
 * @l:     the layer "qcow2"; bitmaps belong to its disk, not to snapshots
 * @dirty: appended to, in order, bytes of the disk: GRADE_DOUBTFUL, why FINDING_COUNT: written to,
 *         as the bitmap says. GRADE_LOST: it can't be read for this part of the disk, so take it
 *         as written to. Past a million ranges, what lies between is dirty, too.
 * A bitmap without QCOW2_BITMAP_AUTO has not followed what was written since it was disabled: look
 * at its flags. Returns 0; -ENOENT: no such bitmap; -ESTALE: it must not be used (it was not
 * saved, the image was written to without it, or it needs something that is not known);
 * -EBADMSG: its entry in the directory can't be right; -ENOMEM, -EINTR. No findings: check has
 * them. Source: the spec, "Bitmaps".
 */
int qcow2_bitmap_dirty(struct layer *l, const char *name, struct ranges *dirty);

/* qcow2_bitmap_clusters() - entries that the table of a bitmap needs; its granularity is sane */
static inline uint64_t qcow2_bitmap_clusters(const struct qcow2 *q, const struct qcow2_bitmap *b)
{
	uint64_t bits = (q->size >> b->granularity_bits) +
			((q->size & ((UINT64_C(1) << b->granularity_bits) - 1)) != 0);
	uint64_t bytes = bits / 8 + (bits % 8 != 0);

	return (bytes >> q->cluster_bits) + ((bytes & (q->cluster_size - 1)) != 0);
}

extern const struct layer_ops qcow2_snapshot_ops;

/* The checker, qcow2_check.c: the check() of qcow2_ops and qcow2_snapshot_ops. */
int qcow2_check(struct layer *l);
/*
 * qcow2_rebuild() - look for lost L2 tables, and adopt those whose place is known
 * For s->opt.rebuild, at the end of open(): each one that is used is a finding, QCOW2_L2_ADOPTED.
 */
int qcow2_rebuild(struct layer *l);
/*
 * qcow2_offer() - what qcow2_rebuild() would use, as text for `info`: "" if nothing
 * Looks only if the L1 table has a place for a lost table, and the metadata is small; where that
 * is not so and an L1 entry can't be right, says that check finds out. No findings.
 */
int qcow2_offer(struct layer *l, char *text, size_t cap);

#endif
