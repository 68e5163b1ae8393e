/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file allocation table of FAT and exFAT: what cluster follows which. Kept on disk, read
 * through a cache; where there are two copies, each sector is taken from the better one.
 */
#ifndef VDISKCK_FORMATS_FS_FAT_TABLE_H
#define VDISKCK_FORMATS_FS_FAT_TABLE_H

#include "formats/fs/runs.h"
#include "vdiskck/core/cache.h"
#include "vdiskck/core/layer.h"

enum {
	TABLE_PAGE = 65536, /* of the table, in the cache; more than all of a FAT12 */
	TABLE_SECTOR = 512, /* unit of the choice between two copies */
};

/* A sector in which the copies differ. */
struct table_choice {
	uint32_t sector;   /* in the table */
	uint32_t wrong[2]; /* contradictions found in each copy */
};

struct fat_table {
	struct layer *below;
	unsigned bits;	/* 12, 16, 28; 32: exFAT */
	uint64_t at[2]; /* the copies; all in use: n */
	unsigned n;
	uint64_t len;	   /* bytes of the part in use: of a whole number of entries */
	uint32_t clusters; /* numbered 2 .. clusters + 1 */
	uint32_t cluster;  /* bytes */
	uint64_t heap;	   /* address of cluster 2 */
	struct cache *cache;
	struct table_choice *choice; /* by sector */
	size_t n_choices, cap_choices;
	unsigned prefer; /* where nothing else decides */
	bool compared;	 /* all of both copies was */
};

/* Entry values, whatever the width. */
enum {
	NEXT_FREE = 0,
	NEXT_BAD = 0xfffffff7u,	 /* a bad cluster */
	NEXT_END = 0xffffffffu,	 /* last of its chain */
	NEXT_LOST = 0xfffffffeu, /* can't be read */
};

static inline bool table_second(const struct fat_table *t, const struct table_choice *c)
{
	return c->wrong[1] < c->wrong[0] || (c->wrong[1] == c->wrong[0] && t->prefer == 1);
}
/* table_choice_at() - if the copies differ in this sector, or NULL */
struct table_choice *table_choice_at(const struct fat_table *t, uint32_t sector);

/* table_open() - after all fields but the last ones are set; table_close() - @t may be all zeros */
int table_open(struct fat_table *t);
/* table_reopen() - other choices were made: what was read before is forgotten */
int table_reopen(struct fat_table *t);
void table_close(struct fat_table *t);

/* Goes through entries; holds a page. An empty one is all zeros. */
struct table_pos {
	const struct cache_item *page;
	int err; /* no memory: what is read after it is NEXT_LOST */
};
/* table_next() - the entry of @cluster: a cluster number, possible or not, or one of the above */
uint32_t table_next(struct fat_table *t, struct table_pos *p, uint32_t cluster);
void table_done(struct fat_table *t, struct table_pos *p);
/* table_decode() - the entry of @cluster that begins at @p */
uint32_t table_decode(const struct fat_table *t, const uint8_t *p, uint32_t cluster);
/* table_entry_at() - where the entry of @cluster lies in copy @k; @len: its bytes */
uint64_t table_entry_at(const struct fat_table *t, unsigned k, uint32_t cluster, uint32_t *len);

static inline bool table_valid(const struct fat_table *t, uint32_t cluster)
{
	return cluster >= 2 && cluster - 2 < t->clusters;
}
static inline uint64_t table_addr(const struct fat_table *t, uint32_t cluster)
{
	return t->heap + (uint64_t)(cluster - 2) * t->cluster;
}

/* How a chain ended. */
enum chain_end {
	CHAIN_END,     /* as it should */
	CHAIN_MORE,    /* not followed further */
	CHAIN_FREE,    /* at a cluster that is free */
	CHAIN_BAD,     /* at a cluster that is marked bad */
	CHAIN_OUTSIDE, /* with the number of no cluster */
	CHAIN_LOOP,    /* where it was before */
	CHAIN_LOST,    /* where the table can't be read */
};

struct chain {
	enum chain_end end;
	uint32_t clusters; /* that belong to it */
	uint32_t last;	   /* the last one of them; 0: none */
	uint32_t to;	   /* where that one leads: for FREE, OUTSIDE, LOOP */
};

/*
 * table_chain() - the chain from @first on, @max clusters at most
 * @fn: called for each run of neighbouring clusters; its non-zero result is returned. May be NULL.
 * A chain that begins outside or at a free cluster has no clusters.
 */
int table_chain(struct fat_table *t, uint32_t first, uint32_t max, struct chain *c,
		int (*fn)(void *arg, uint32_t cluster, uint32_t n), void *arg);

#endif
