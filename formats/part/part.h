/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every table of partitions has in common: its volumes, the sectors that the table itself
 * lies in, the gaps between both. A map layer presents the bytes below it as they are; its
 * partitions are layers of their own, made by the driver while it opens.
 */
#ifndef VDISKCK_FORMATS_PART_PART_H
#define VDISKCK_FORMATS_PART_PART_H

#include "vdiskck/core/layer.h"
#include "vdiskck/core/text.h"

/*
 * More than any system uses (Linux: 256 a disk); each is a layer, and an overlap, a gap, and a
 * probe of every driver, so a hostile table is not to choose the number.
 */
enum { PARTS_MAX = 1024 };

struct part {
	char name[24];	     /* "p2", numbered as Linux does */
	uint64_t start, len; /* bytes */
	uint64_t at;	     /* address of the entry that states it */
	uint32_t at_len;
	bool container;		    /* an extended partition: holds others, no volume */
	bool inside;		    /* lies in one: a logical partition */
	bool found;		    /* by its content: no table names it */
	const char *type;	    /* "EFI system"; NULL: not known by name */
	char type_id[GUID_TEXT];    /* "0x83", or a GUID */
	char id[GUID_TEXT];	    /* its own GUID; empty: none */
	char label[4 * 36 * 3 + 1]; /* escaped; empty: none */
	char flags[96];		    /* "active"; empty: none */
};

/* Sectors of the table itself. */
struct part_area {
	uint64_t start, len;
	char name[32]; /* "MBR", "EBR of p5" */
};

struct part_map {
	struct part *part;
	size_t n_parts, cap_parts;
	struct part_area *table;
	size_t n_tables, cap_tables;
	bool full;     /* PART_TOO_MANY was reported */
	bool searched; /* every sector of the gaps was looked at */
};

extern const struct layer_ops part_ops;

/*
 * part_add() - one more partition of @l; its layer unless it is a container
 * A partition that ends behind the disk keeps its size; what is missing reads as lost, and
 * PART_PAST_END is reported. Returns 0, also when there are too many (reported once); -ENOMEM.
 */
int part_add(struct layer *l, struct part_map *m, const struct part *p);
/* part_table() - the table's own sectors [start, start + len), for gaps, overlaps, structure() */
int part_table(struct part_map *m, uint64_t start, uint64_t len, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* part_check_overlaps() - partitions over each other or over the table; one linear sweep */
int part_check_overlaps(struct layer *l, const struct part_map *m);
/*
 * part_gaps() - what neither a partition nor the table covers, in order
 * @gaps: malloc()ed, for the caller to free. Returns their number, or -ENOMEM.
 */
int part_gaps(const struct layer *l, const struct part_map *m, struct part_area **gaps);
/* part_info() - members "sector_size", "partitions", "gaps" */
void part_info(struct layer *l, const struct part_map *m, struct json *to);
bool part_structure(const struct part_map *m, uint64_t at, char *name, size_t cap, uint64_t *start,
		    uint64_t *len);
void part_map_free(struct part_map *m);

/* A map layer's own bytes are those below it. */
int part_map_run(struct layer *l, uint64_t off, struct extent *run);

#endif
