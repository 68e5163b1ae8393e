/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk at a glance: what each part of it is, in a bounded number of cells, for the terminal
 * and for the report. Bytes are counted once each; a cell is drawn as the worst that lies in it.
 */
#ifndef VDISKCK_DISKMAP_H
#define VDISKCK_DISKMAP_H

#include <stdbool.h>
#include <stdio.h>

#include "vdiskck/core/engine.h"
#include "vdiskck/core/ranges.h"

/* In the order of drawing: the last one that a cell holds is what it shows. */
enum cell_kind {
	CELL_ZERO,     /* the format states zeros */
	CELL_DATA,     /* stored, and read or mapped */
	CELL_UNKNOWN,  /* not examined: the run ended before it */
	CELL_DOUBTFUL, /* read, but a check on it failed */
	CELL_LOST,
	CELL_KINDS
};

struct cell {
	uint64_t bytes[CELL_KINDS];
};

struct diskmap {
	uint64_t size;	    /* of the disk, in bytes */
	uint64_t cell_len;  /* bytes in a cell; the last one may be shorter */
	size_t n;	    /* number of cells: at most DISKMAP_CELLS, 0 for an empty disk */
	struct cell *cells; /* as counted so far: what is in none of them is CELL_UNKNOWN */
	struct ranges bad;  /* after diskmap_bad(): what is lost or doubtful, without overlaps */
};

enum { DISKMAP_CELLS = 16384 };

/* diskmap_init() - an empty map of a disk of @size bytes; 0 or -ENOMEM */
int diskmap_init(struct diskmap *m, uint64_t size);
void diskmap_free(struct diskmap *m);

/* diskmap_run() - [off, off + len) is zero or data; each byte once */
void diskmap_run(struct diskmap *m, uint64_t off, uint64_t len, enum cell_kind kind);
/* diskmap_piece() - a piece of @l that the engine delivered; 0, or -errno of map() */
int diskmap_piece(struct diskmap *m, struct layer *l, const struct piece *p);
/* diskmap_scan() - all of @l by map() alone; 0, -EINTR when stopped, or -errno of map() */
int diskmap_scan(struct diskmap *m, struct layer *l);
/*
 * diskmap_bad() - what is lost or doubtful, however that was found: called once, at the end
 * Where ranges overlap, lost wins. Returns 0 or -ENOMEM.
 */
int diskmap_bad(struct diskmap *m, const struct ranges *bad);

/*
 * diskmap_bounds(), diskmap_part() - part @i of the disk cut into @parts equal ones (at most m->n)
 * Its bytes by kind (UNKNOWN is what was never added), and where it lies.
 */
void diskmap_bounds(const struct diskmap *m, size_t i, size_t parts, uint64_t *off, uint64_t *len);
struct cell diskmap_part(const struct diskmap *m, size_t i, size_t parts);
/* cell_shown() - the kind that a part is drawn as */
enum cell_kind cell_shown(const struct cell *c);
/* cell_share() - how much of it is stored data, in 0..4 quarters, rounded up */
unsigned cell_share(const struct cell *c);
const char *cell_name(enum cell_kind k); /* "zero", "data" ... */

/*
 * diskmap_print() - rows of marks with their offsets, and a legend of the marks that occur
 * @columns: width of the terminal; @unicode: block characters, else ASCII only; @colour: SGR
 */
void diskmap_print(FILE *f, const struct diskmap *m, unsigned columns, bool unicode, bool colour);

#endif
