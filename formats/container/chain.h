/* SPDX-License-Identifier: Apache-2.0 */
/* Parents of an image: finding the file is the source's job, opening the container is ours. */
#ifndef VDISKCK_FORMATS_CONTAINER_CHAIN_H
#define VDISKCK_FORMATS_CONTAINER_CHAIN_H

#include "vdiskck/core/layer.h"

/*
 * chain_open() - open the container in @source as the parent of @child
 * @ops: the driver to use, or NULL: the best probe, and raw only if @raw_ok
 * On success child->parent is the parent's container (which may have parents of its own), it
 * owns @source, and *err is 0. Cycles (the same file twice in a chain) and chains of more than
 * 64 links are refused after a finding. Takes @source in every case.
 * Returns 0; -ELOOP or -EMLINK after a finding; -EBADMSG, -EOPNOTSUPP, -ENOKEY: the parent
 * can't be opened, and CHAIN_PARENT_UNREADABLE was reported.
 */
int chain_open(struct layer *child, struct layer *source, const struct layer_ops *ops, bool raw_ok);

/*
 * chain_map() - the run at @off of a child that leaves it to its parent, up to @len bytes
 * It lies in the parent (in what way, the parent's own map says); zeros beyond the parent's end;
 * lost with @why if there is no parent.
 */
int chain_map(struct layer *child, uint64_t off, uint64_t len, enum finding_id why,
	      struct extent *run);

/* chain_read() - the same for reading; @buf holds @len bytes of the child from @off */
int chain_read(struct layer *child, uint64_t off, void *buf, size_t len, enum finding_id why,
	       struct ranges *bad);

#endif
