/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LVM2. Source: the on-disk format is described by what lvm2 writes and its manual pages state
 * (lvmsystemid, lvmraid, lvmthin, pvck); checksums verified against real volumes (EVIDENCE.md).
 * The device-mapper targets below it: the kernel's Documentation/admin-guide/device-mapper.
 */
#ifndef VDISKCK_FORMATS_PART_LVM2_H
#define VDISKCK_FORMATS_PART_LVM2_H

#include "formats/part/members.h"
#include "vdiskck/core/cache.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/layer.h"

enum {
	LVM_ID = 32, /* characters of a UUID, without hyphens */
	LVM_ID_TEXT = 40,
	LVM_SECTOR = 512,
	LVM_TEXT_MAX = 16 << 20, /* of metadata; usual areas have 1 MiB */
	LVM_DEPTH = 16,		 /* volumes on volumes */
	LVM_STRIPES = 128,
	LVM_LVS_MAX = 8192,
	LVM_MIRROR_DEPTH = 6, /* a mirror counts as so many: each leg may be one again */
	LVM_LEGS = 10,	      /* of a mirror */
};

/* --- metadata text (lvm2_text.c) --- */

enum lvm_kind { LVM_SECTION, LVM_STRING, LVM_NUMBER, LVM_LIST };

/* A member of a section, or an element of a list. */
struct lvm_node {
	enum lvm_kind kind;
	const char *key;  /* NULL: an element */
	const char *text; /* STRING */
	int64_t number;
	uint32_t child, next; /* index of the first child, the next sibling; 0: none */
};

struct lvm_text {
	char *buf;
	struct lvm_node *node; /* node[0] is the section that holds all */
	size_t n, cap;
};

/* lvm_text_parse() - @text is copied; -EBADMSG: it is torn, or no metadata; -ENOMEM */
int lvm_text_parse(const char *text, size_t len, struct lvm_text *t);
void lvm_text_free(struct lvm_text *t);
/* lvm_get() - the member @key of section @of; NULL: there is none */
const struct lvm_node *lvm_get(const struct lvm_text *t, const struct lvm_node *of,
			       const char *key);
const char *lvm_string(const struct lvm_text *t, const struct lvm_node *of, const char *key);
uint64_t lvm_number(const struct lvm_text *t, const struct lvm_node *of, const char *key,
		    uint64_t missing);
static inline const struct lvm_node *lvm_child(const struct lvm_text *t, const struct lvm_node *of)
{
	return of && of->child ? &t->node[of->child] : NULL;
}
static inline const struct lvm_node *lvm_next(const struct lvm_text *t, const struct lvm_node *n)
{
	return n->next ? &t->node[n->next] : NULL;
}

/* --- a physical volume's label and metadata areas (lvm2_label.c) --- */

struct lvm_area {
	uint64_t at, len;    /* the area */
	uint64_t text, size; /* where the newest text is, from @at on; it may wrap */
	uint32_t sum;	     /* of it */
	bool header_ok, text_ok;
};

struct lvm_label {
	uint64_t at; /* of the sector with the label */
	bool sum_ok;
	char id[LVM_ID + 1];
	uint64_t size;
	uint64_t data; /* of the first data area */
	struct lvm_area area[2];
	unsigned n_areas;
};

/* lvm_label_read() - silent; false: there is none in the first four sectors */
bool lvm_label_read(struct layer *below, struct lvm_label *label);
/* lvm_metadata_read() - the newest metadata that is whole; reports what is not. -EBADMSG: none */
int lvm_metadata_read(struct layer *l, const struct lvm_label *label, struct lvm_text *t);
uint32_t lvm_crc(const void *p, size_t len);

/* --- the volume group --- */

struct lvm_pv {
	const char *name, *id; /* "pv0" */
	struct layer *on;      /* NULL: it was not found */
	uint64_t start, len;   /* bytes of its extents */
};

struct lvm_lv;

/* One column of a segment: an area of a physical volume, or all of a logical one. */
struct lvm_column {
	struct lvm_pv *pv;
	struct lvm_lv *lv;
	uint64_t off; /* bytes: in the extents of @pv, or in @lv */
};

enum lvm_type {
	LVM_STRIPED,
	LVM_MIRROR,
	LVM_RAID,
	LVM_SNAPSHOT,
	LVM_THIN,
	LVM_ZERO,
	LVM_UNKNOWN,
	LVM_OTHER
};

struct lvm_segment {
	enum lvm_type type;
	const char *type_name;
	uint64_t off, len; /* bytes, in the logical volume */
	uint64_t stripe;   /* bytes; of several columns */
	struct lvm_column *column;
	unsigned n;
	struct lvm_lv *pool; /* THIN */
	struct lvm_lv *external;
	uint64_t device;
	int level; /* RAID: as md has it */
	uint32_t layout;
	struct layer *array; /* RAID: its bytes */
	/* What may hold newer blocks than the volume that is read, and is not; NULL: nothing. */
	const char *cache;
};

struct lvm_snapshot; /* lvm2_snapshot.c */
struct lvm_pool;     /* lvm2_thin.c */

struct lvm_lv {
	const char *name, *id;
	const struct lvm_node *node;
	bool visible, pool;
	uint64_t size;
	struct lvm_segment *segment;
	unsigned n;
	struct lvm_lv *origin; /* of a snapshot, whose changes this volume holds */
	struct lvm_snapshot *snapshot;
	uint64_t chunk;		    /* of the snapshot, or of the pool: bytes */
	struct lvm_lv *meta, *data; /* of a thin pool */
	struct lvm_pool *thin;
};

struct lvm {
	struct layer *l;
	struct lvm_label label;
	struct lvm_text text;
	const char *vg, *id;
	uint64_t seqno, extent;
	struct lvm_pv *pv;
	unsigned n_pvs;
	struct lvm_lv *lv;
	unsigned n_lvs;
	struct members members;
	bool elsewhere; /* a partition before this one presents the volumes */
};

/* lvm_build() - lvm2_group.c: volumes and segments from the text. -EBADMSG: it is none */
int lvm_build(struct layer *l, struct lvm *g);
void lvm_unbuild(struct lvm *g);
/* lvm_map() - lvm2_map.c: byte @off of a volume as it is used: a snapshot with its origin */
int lvm_map(struct lvm *g, const struct lvm_lv *lv, uint64_t off, struct extent *run,
	    unsigned depth);
/* lvm_map_own() - the same of what is stored for it: a snapshot's changes */
int lvm_map_own(struct lvm *g, const struct lvm_lv *lv, uint64_t off, struct extent *run,
		unsigned depth);
/* lvm_read() - bytes of a volume's own storage */
int lvm_read(struct lvm *g, const struct lvm_lv *lv, uint64_t off, void *buf, size_t len,
	     struct ranges *bad);

/* lvm_raid_type() - level and layout of a segment's type; false: no such, or one of no parity */
bool lvm_raid_type(struct lvm_segment *s, const char *type, uint64_t copies);
/* lvm_raid_open() - the array of a segment, from the volumes that are its members */
int lvm_raid_open(struct lvm *g, const struct lvm_lv *lv, struct lvm_segment *s);

int lvm_snapshot_open(struct lvm *g, struct lvm_lv *lv);
int lvm_snapshot_map(struct lvm *g, const struct lvm_lv *lv, uint64_t off, struct extent *run,
		     unsigned depth);
void lvm_snapshot_close(struct lvm_snapshot *s);

int lvm_pool_open(struct lvm *g, struct lvm_lv *pool);
int lvm_thin_map(struct lvm *g, const struct lvm_segment *s, uint64_t off, struct extent *run,
		 unsigned depth);
/* lvm_pool_check() - every node of the pool's trees */
int lvm_pool_check(struct lvm *g, struct lvm_lv *pool);
void lvm_pool_close(struct lvm_pool *p);

#endif
