/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_FORMATS_PART_SCAN_H
#define VDISKCK_FORMATS_PART_SCAN_H

#include "formats/part/part.h"

/* scan_gaps_at_open() - with --rebuild, what lies in the gaps becomes layers, found... */
int scan_gaps_at_open(struct layer *l, struct part_map *m);
/* scan_gaps_at_check() - what lies in the gaps becomes findings */
int scan_gaps_at_check(struct layer *l, const struct part_map *m);

#endif
