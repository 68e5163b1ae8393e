/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partitions found again by what they contain, when no table tells.
 *
 * Where and when. Opening a healthy disk must not cost a pass over it, so:
 * - a table with entries: nothing at open. check looks into the gaps at the places where tools
 *   put partitions (quick, at most QUICK_PROBES reads); with --data, at every sector of them.
 *   With --rebuild every sector is looked at when opening, and what is found becomes a layer.
 * - an empty table: quick at open; what is found becomes a layer.
 * - no table and nothing known in sector 0 (driver "scan"): quick at open, then every sector of
 *   what is left, until FULL_AT_OPEN bytes of data were read. check goes on to the end.
 * Zero runs of the container (unallocated blocks, holes) are skipped, so the cost is that of the
 * data. Found volumes are named by their first sector, "found2048s", so that a name stays the
 * same however far a search went.
 */
#ifndef VDISKCK_FORMATS_PART_SCAN_H
#define VDISKCK_FORMATS_PART_SCAN_H

#include "formats/part/part.h"

/* scan_at_open() - for a table that was just opened: see above. 0 or -errno */
int scan_at_open(struct layer *l, struct part_map *m);
/* scan_at_check() - report what lies in the gaps. 0, -EINTR, -errno */
int scan_at_check(struct layer *l, struct part_map *m);

#endif
