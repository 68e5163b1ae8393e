/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other parts of what lies on several disks: volume groups, arrays. They are looked for in the
 * partitions beside the one at hand, and in other images: in the folder of this one and those that
 * --chain names, whatever container they are in, as a whole or in a partition.
 */
#ifndef VDISKCK_FORMATS_PART_MEMBERS_H
#define VDISKCK_FORMATS_PART_MEMBERS_H

#include "vdiskck/core/layer.h"

struct members {
	struct layer **source; /* other images that are in use; ours to free */
	size_t n;
	struct session
		*quiet; /* theirs: what is wrong with other disks is not this one's finding */
};

/*
 * members_find() - show @wanted every place where a part of @l may be
 * @wanted: true: it keeps the layer, which stays open until members_free()
 * @complete: nothing is missing any more: other images are not looked at
 * Nothing is looked for in what is found but what @wanted looks at: no discovery. 0 or -ENOMEM.
 */
int members_find(struct layer *l, bool (*wanted)(void *arg, struct layer *candidate),
		 bool (*complete)(void *arg), void *arg, struct members *m);
void members_free(struct members *m);

#endif
