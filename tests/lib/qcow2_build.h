/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small writer of qcow2 images for tests, for what qemu-img can't be asked to make: every
 * structure at a known place, one cluster each.
 *
 *	struct qcow2_build b = {.size = 1 << 20};
 *	qcow2_build(&b);
 *	qcow2_build_data(&b, 0x3000, 'A');
 *	image_open(b.img, &qcow2_ops);
 */
#ifndef VDISKCK_TESTS_QCOW2_BUILD_H
#define VDISKCK_TESTS_QCOW2_BUILD_H

#include "formats/container/qcow2.h"
#include "tests/lib/image.h"

/* Zero fields have the default in brackets when qcow2_build() is called. */
struct qcow2_build {
	uint64_t size;	  /* [1 MiB] */
	unsigned version; /* [3] */
	unsigned bits;	  /* [12] cluster_bits */
	bool extended_l2, zstd;
	/* made by qcow2_build() */
	struct image *img;
	uint64_t cluster, l1_off, refcounts_off;
	unsigned l2_bits, l2_entry;
	uint64_t extensions; /* where the next header extension goes */
	uint64_t snapshots;  /* end of the snapshot table */
};

void qcow2_build(struct qcow2_build *b);
/* qcow2_build_cluster() - one more cluster at the end of the file; returns its offset */
uint64_t qcow2_build_cluster(struct qcow2_build *b);
/* qcow2_build_l1(), _l2() - address of the entry for guest byte @off; the L2 table is made */
uint64_t qcow2_build_l1(const struct qcow2_build *b, uint64_t off);
uint64_t qcow2_build_l2(struct qcow2_build *b, uint64_t off);
/* qcow2_build_data() - a data cluster full of @fill for @off; returns its host offset */
uint64_t qcow2_build_data(struct qcow2_build *b, uint64_t off, int fill);
/* qcow2_build_packed() - @bytes, one cluster, compressed; returns the packed bytes' address */
uint64_t qcow2_build_packed(struct qcow2_build *b, uint64_t off, const void *bytes);
/* qcow2_build_extension() - returns the address of the extension's head */
uint64_t qcow2_build_extension(struct qcow2_build *b, uint32_t type, const void *data, size_t len);
/* qcow2_build_snapshot() - of the disk as it is; returns the address of its table entry */
uint64_t qcow2_build_snapshot(struct qcow2_build *b, const char *id, const char *name);
/* qcow2_build_bitmap() - an extension with one bitmap named "b"; returns its directory's address */
uint64_t qcow2_build_bitmap(struct qcow2_build *b, uint32_t flags);

#endif
