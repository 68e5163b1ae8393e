/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the search for orphans only; what calls it is in qcow2_check.h. */
#ifndef VDISKCK_FORMATS_CONTAINER_QCOW2_ORPHAN_H
#define VDISKCK_FORMATS_CONTAINER_QCOW2_ORPHAN_H

#include "formats/container/qcow2_check.h"

enum { QC_SHOWN_MAX = 256 }; /* findings of one kind */

static inline void qc_set_bit(uint8_t *map, uint64_t i)
{
	map[i / 8] |= (uint8_t)(1u << (i % 8));
}

static inline bool qc_is_orphan(const struct qc *c, uint64_t cluster)
{
	return qc_run_find(c, cluster, QC_ORPHAN);
}

/* qcow2_orphan_place.c */
/* qc_l1_needed() - L1 entries that the size of the disk needs */
uint64_t qc_l1_needed(const struct qc *c);
/* qc_place() - lost table @t belongs to that L1 entry, unless a place is known or it can't */
void qc_place(const struct qc *c, struct qc_lost *t, uint64_t l1_index, enum qc_sure sure,
	      const char *why);
/* qc_count_free() - sets c->free_before: how many of the places [0, i) are free */
int qc_count_free(struct qc *c);
uint64_t qc_free_places(const struct qc *c, uint64_t from, uint64_t to);
/* qc_place_all() - find the places of the lost tables, drop those of deleted snapshots */
void qc_place_all(struct qc *c);
/* qc_find_holes() - sets c->holes, and wants what refers to their neighbours */
int qc_find_holes(struct qc *c);
/* qc_fill_holes() - which guest clusters did they hold? After qc_locate(). */
void qc_fill_holes(struct qc *c);

#endif
