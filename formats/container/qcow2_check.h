/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking qcow2 metadata: what qcow2_check*.c and qcow2_orphan*.c share.
 *
 * Three steps, each linear in the metadata that is there:
 *
 *   1. collect  every structure by its place in the file: header, L1 tables of the active disk
 *		 and of the snapshots, refcount table and blocks, bitmaps, and each L2 table once,
 *		 with the number of L1 entries that name it
 *   2. count	 the references to each host cluster: L2 tables are read in the order in which
 *		 they lie in the file, by all threads
 *   3. compare  the counts with the stored refcounts
 *
 * What differs is kept as runs of host clusters. If there are any, the L2 tables are read once
 * more to find which guest clusters refer to them (qcow2_check_report.c), and what is stored as
 * used, but referred to by nothing, is looked at for lost tables (qcow2_orphan.c).
 */
#ifndef VDISKCK_FORMATS_CONTAINER_QCOW2_CHECK_H
#define VDISKCK_FORMATS_CONTAINER_QCOW2_CHECK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "formats/container/qcow2.h"
#include "vdiskck/core/session.h"

enum {
	QC_OWNER_ACTIVE = 0,   /* of an L1 table; snapshot N is N + 1 */
	QC_EVENTS_MAX = 65536, /* entries, runs, references that are kept; beyond, only counted */
	QC_BATCH = 1 << 18,    /* bytes that one thread reads at a time: stays in its cache */
};

/* ---- Counters of references, one per host cluster: qcow2_count.c ---- */

/*
 * Flags of a reference. Only the active L1 and its L2 tables have a say in COPIED: as in QEMU,
 * it is not looked at in snapshots.
 */
enum {
	QC_COPIED = 1, /* by an active entry that says: refcount 1 */
	QC_SHARED = 2, /* by an active entry that does not */
};

enum qc_width { QC_2BIT, QC_8BIT, QC_32BIT };

struct qc_over; /* what does not fit into the small counters */

struct qc_counts {
	enum qc_width width;
	uint64_t first, n; /* host clusters [first, first + n): the window */
	void *v;	   /* mapped, not allocated */
	size_t v_len;
	pthread_mutex_t lock;
	struct qc_over *over;
	size_t over_n, over_cap;
	atomic_bool full; /* more clusters overflowed than fit; counts are wrong */
};

struct qc_count {
	uint32_t n;	/* references, at most QC_COUNT_MAX */
	uint32_t flags; /* QC_COPIED, QC_SHARED: of any of them */
};
#define QC_COUNT_MAX 0x3fffffffu

int qc_counts_init(struct qc_counts *c, enum qc_width width, uint64_t first, uint64_t n);
void qc_counts_fini(struct qc_counts *c);
/* qc_add() - @weight references with @flags (one of them, or 0) to host cluster @cluster */
void qc_add(struct qc_counts *c, uint64_t cluster, uint32_t weight, uint32_t flags);
/* qc_add_run() - the same for @n clusters in a row */
void qc_add_run(struct qc_counts *c, uint64_t cluster, uint64_t n, uint32_t weight, uint32_t flags);
struct qc_count qc_get(const struct qc_counts *c, uint64_t cluster);
/* qc_all_64() - do all 64 have one reference, with COPIED; or none at all? */
bool qc_all_64(const struct qc_counts *c, uint64_t cluster, bool one);
static inline void qc_prefetch(const struct qc_counts *c, uint64_t cluster)
{
	if (c->width == QC_8BIT && cluster - c->first < c->n)
		__builtin_prefetch((const uint8_t *)c->v + (cluster - c->first), 1);
}

/* ---- What is collected ---- */

/* An L2 table: once, however many L1 entries name it. */
struct qc_table {
	uint64_t off;
	uint32_t weight;    /* L1 entries that name it */
	uint32_t active;    /* of these, in the active L1 */
	uint32_t flags;	    /* QC_COPIED, QC_SHARED of those */
	uint32_t l1_index;  /* of the first of them; an active one if there is any */
	uint32_t owner;	    /* whose L1 that is */
	uint32_t allocated; /* its entries that are not zero: filled in by the count */
};

/* A structure other than L2 tables and refcount blocks; whole clusters. */
struct qc_region {
	uint64_t off, len;
	char name[48];
};

/* Entries of one L2 table, in a row, that are wrong in the same way. */
struct qc_bad {
	enum finding_id id;
	uint64_t at;	/* of the first entry in the file */
	uint64_t entry; /* its value */
	uint64_t guest; /* cluster */
	uint32_t n, owner;
};

enum qc_diff {
	QC_ORPHAN,	 /* stored > 0, no reference */
	QC_HIGH,	 /* stored > references > 0 */
	QC_LOW,		 /* stored < references */
	QC_COPIED_SET,	 /* an entry says COPIED, refcount is not 1 */
	QC_COPIED_CLEAR, /* an entry does not say COPIED, refcount is 1 */
	QC_DIFFS,
};

/* Host clusters in a row that differ in the same way. */
struct qc_run {
	uint64_t first, n;
	enum qc_diff diff;
	uint32_t stored, counted; /* of the first; bounded by UINT32_MAX */
};

/* Guest clusters that refer to host clusters of interest, in a row. */
struct qc_ref {
	uint64_t host, guest; /* clusters */
	uint64_t n;
	uint64_t at; /* its L2 entry */
	uint64_t entry;
	uint32_t owner;
	bool packed;
};

/* A span of host clusters whose referrers are wanted. */
struct qc_span {
	uint64_t first, n;
};

enum qc_sure {
	QC_UNKNOWN,  /* it is a table, but where it belongs is open */
	QC_LIKELY,   /* the order in the file leaves one place */
	QC_CERTAIN,  /* only one place is free, or the lost entry is one bit away */
	QC_SNAPSHOT, /* it belongs to an L1 table that nothing refers to: a deleted snapshot's */
};

/* An L2 table that no L1 entry names. */
struct qc_lost {
	uint64_t off;
	uint64_t l1_index; /* unless @sure is QC_UNKNOWN or QC_SNAPSHOT */
	uint32_t entries;  /* that are not zero */
	uint32_t orphans;  /* of these, clusters that nothing refers to */
	bool l1;	   /* it is an L1 table, and leads to others that were found */
	bool data;	   /* another table holds it: guest data that looks like a table */
	uint32_t last;	   /* index of its last entry that is not zero */
	enum qc_sure sure;
	const char *why;
};

/* Host clusters that nothing refers to, and the guest clusters between their neighbours. */
struct qc_hole {
	uint64_t first, end;   /* host clusters; structures may lie in between */
	uint64_t n;	       /* orphans among them */
	uint64_t below, above; /* the host clusters of data beside them, or NONE */
	uint64_t guest;	       /* the first guest cluster they held, or NONE */
};
#define QC_NONE UINT64_MAX

#define QC_VECTOR(type)                                                                            \
	struct {                                                                                   \
		type *v;                                                                           \
		size_t n, cap;                                                                     \
	}

#define QC_BLOCK_LOST UINT64_MAX /* in qc.blocks: an entry that can't be right */

struct qc {
	struct layer *l;
	struct qcow2 *q;
	uint64_t clusters;	/* host clusters of the file, the last one may be cut */
	uint64_t block_entries; /* refcounts in a refcount block */
	bool silent;		/* collect and count, report nothing: for --rebuild */

	QC_VECTOR(struct qc_table) tables;   /* by offset */
	size_t tables_sorted;		     /* the first so many are sorted and unique */
	QC_VECTOR(struct qc_region) regions; /* by offset */
	uint64_t *blocks;		     /* refcount table: offsets, 0 none */
	uint64_t n_blocks;		     /* entries in it */
	bool table_ok;			     /* the refcount table could be read */
	uint64_t *blocks_sorted; /* those that are used, by offset; made for the report */
	uint64_t n_blocks_sorted;
	uint64_t *l1; /* the active L1 table, in host order; NULL: lost */
	uint64_t l1_entries;

	uint64_t plain_end;   /* clusters that begin before it lie in the file as a whole */
	uint64_t counted_end; /* clusters that begin before it are counted */
	struct qc_counts counts;
	bool one_window;  /* counts cover the whole file */
	bool bad_seen;	  /* the first pass is through, and has filled in @bad */
	uint8_t *touched; /* parts of the file that anything refers to; NULL: one window */
	uint64_t n_touched;
	QC_VECTOR(struct qc_bad) bad;
	QC_VECTOR(struct qc_run) runs;
	QC_VECTOR(struct qc_ref) refs;
	QC_VECTOR(struct qc_span) wanted; /* by host cluster, no overlaps */
	QC_VECTOR(struct qc_lost) lost;	  /* by offset */
	QC_VECTOR(struct qc_hole) holes;  /* by host cluster */
	uint32_t *free_before;		  /* free places in the L1 table: qcow2_orphan.h */
	uint8_t *explained; /* bit per host cluster: an orphan that a lost table accounts for */
	uint64_t bad_more, runs_more[QC_DIFFS], refs_more; /* not kept */
	uint64_t diff_clusters[QC_DIFFS];
	uint64_t past_end;    /* refcounts > 0 stored for clusters behind the end of the file */
	pthread_mutex_t lock; /* the vectors above, while threads work */
	atomic_int err;
};

/* qc_room() - make room for one more in a vector; -ENOMEM */
int qc_room(void *v, size_t *cap, size_t n, size_t size);
#define QC_PUSH(vec, ...)                                                                          \
	(qc_room(&(vec).v, &(vec).cap, (vec).n, sizeof(*(vec).v))                                  \
		 ? -ENOMEM                                                                         \
		 : ((vec).v[(vec).n++] = __VA_ARGS__, 0))

/* qc_sort() - qsort() that takes an empty vector */
static inline void qc_sort(void *v, size_t n, size_t size, int (*order)(const void *, const void *))
{
	if (n)
		qsort(v, n, size, order);
}

/* qc_checked() - count bytes as verified; not those that are only looked at for --rebuild */
static inline void qc_checked(struct qc *c, uint64_t bytes)
{
	if (!c->silent)
		session_checked(c->l->s, bytes);
}

/* Step 1: qcow2_check.c */
int qc_init(struct qc *c, struct layer *l);
void qc_fini(struct qc *c);
int qc_collect(struct qc *c);
int qc_region(struct qc *c, uint64_t off, uint64_t len, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* qc_owner_name() - "the disk", or "snapshot NAME", escaped */
const char *qc_owner_name(const struct qc *c, uint32_t owner, char buf[80]);
/* qcow2_check_bitmaps.c: check the bitmaps, add their clusters to c->regions */
int qc_bitmaps(struct qc *c);
/* qc_load_blocks() - read the refcount table into c->blocks, report its entries */
int qc_load_blocks(struct qc *c);

/* Step 2: qcow2_check_refs.c. It calls step 3 for each window of host clusters. */
int qc_count_and_compare(struct qc *c);
/* qc_each_table() - read all L2 tables in file order, @fn gets each, zeroed where it is lost */
int qc_each_table(struct qc *c, int (*fn)(struct qc *c, struct qc_table *t, const uint8_t *p));

/* Step 3: qcow2_check_compare.c */
int qc_compare(struct qc *c);
/* qc_stored() - the refcount that is stored for a host cluster; slow */
uint64_t qc_stored(struct qc *c, uint64_t cluster);
/* qc_run_find() - the run of @diff that holds host cluster @cluster, or NULL */
const struct qc_run *qc_run_find(const struct qc *c, uint64_t cluster, enum qc_diff diff);

/* qcow2_check_report.c */
/* qc_want(), qc_locate() - which guest clusters refer to these? Into c->refs, by host cluster. */
int qc_want(struct qc *c, uint64_t first, uint64_t n);
int qc_locate(struct qc *c);
/* qc_ref_first(), qc_ref_next() - index of a reference to host clusters [first, first + n) */
size_t qc_ref_first(const struct qc *c, uint64_t first, uint64_t n);
size_t qc_ref_next(const struct qc *c, size_t i, uint64_t first, uint64_t n);
/* qc_metadata() - the structure that host cluster @cluster belongs to, or NULL */
const char *qc_metadata(struct qc *c, uint64_t cluster, char buf[128]);
int qc_report(struct qc *c);

/* qcow2_orphan.c: what is stored as used and referred to by nothing */
int qc_orphans(struct qc *c);
bool qc_is_explained(const struct qc *c, uint64_t cluster);
void qc_orphans_report(struct qc *c);
void qc_orphans_free(struct qc *c);
/* qc_adopt() - let the reader use the lost tables whose place is known; says so for each */
int qc_adopt(struct qc *c);
/* qc_offer() - the same in a line of text, as qcow2_offer() gives it */
void qc_offer(const struct qc *c, char *text, size_t cap);

#endif
