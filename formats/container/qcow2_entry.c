/* SPDX-License-Identifier: Apache-2.0 */
/* What an L1 entry, an L2 entry and a subcluster bitmap say: see qcow2.h. */
#include "formats/container/qcow2_parts.h"

struct qcow2_desc qcow2_l1_desc(const struct qcow2 *q, uint64_t entry)
{
	struct qcow2_desc d = {.host = entry & QCOW2_OFFSET_MASK,
			       .reserved = entry & QCOW2_L1_RESERVED_MASK};

	if (!d.host && !d.reserved) {
		d.kind = QCOW2_KIND_UNALLOCATED;
	} else if (!d.host || d.host % q->cluster_size || d.host >= q->file_size) {
		d.kind = QCOW2_KIND_BAD;
		d.why = QCOW2_L1_ENTRY;
	} else {
		d.kind = QCOW2_KIND_NORMAL;
	}
	return d;
}

static struct qcow2_desc bad_desc(struct qcow2_desc d, enum finding_id why)
{
	d.kind = QCOW2_KIND_BAD;
	d.why = why;
	return d;
}

/* spec "Compressed Clusters Descriptor" */
static struct qcow2_desc compressed_desc(const struct qcow2 *q, uint64_t entry)
{
	unsigned x = 62 - (q->cluster_bits - 8);
	struct qcow2_desc d = {.kind = QCOW2_KIND_COMPRESSED};
	uint64_t sectors = ((entry & ~(QCOW2_COPIED | QCOW2_COMPRESSED)) >> x) + 1;

	d.host = entry & ((UINT64_C(1) << x) - 1);
	d.packed = sectors * 512 - d.host % 512;
	if (q->incompat & QCOW2_INCOMPAT_DATA_FILE)
		return bad_desc(d, QCOW2_PACKED_IN_DATA_FILE);
	if (d.host >= q->file_size)
		return bad_desc(d, QCOW2_L2_PAST_END);
	/* The file may end inside the last sector: nothing pads it. */
	if (d.packed > q->file_size - d.host)
		d.packed = q->file_size - d.host;
	return d;
}

static struct qcow2_desc subclusters_desc(struct qcow2_desc d, uint64_t bitmap)
{
	d.alloc = (uint32_t)bitmap;
	d.zero = (uint32_t)(bitmap >> 32);
	d.bad = d.alloc & d.zero;
	if (d.kind == QCOW2_KIND_UNALLOCATED)
		d.bad = d.alloc;
	d.why = QCOW2_SUBCLUSTERS;
	d.kind = QCOW2_KIND_SUBCLUSTERS;
	return d;
}

struct qcow2_desc qcow2_desc(const struct qcow2 *q, uint64_t entry, uint64_t bitmap)
{
	struct qcow2_desc d = {.host = entry & QCOW2_OFFSET_MASK};
	bool in_data_file = q->incompat & QCOW2_INCOMPAT_DATA_FILE;
	uint64_t reserved = entry & QCOW2_L2_RESERVED_MASK;

	if (entry & QCOW2_COMPRESSED) {
		d = compressed_desc(q, entry);
		d.reserved = bitmap != 0; /* "must be set to 0" for compressed clusters */
		return d;
	}
	/* In version 2 and with subclusters, bit 0 is reserved as well. */
	if (q->version < 3 || q->extended_l2)
		reserved |= entry & QCOW2_ZERO;
	d.reserved = reserved;
	/* Offset 0 is a cluster of an external data file if the refcount bit says so. */
	if (d.host || (in_data_file && entry & QCOW2_COPIED))
		d.kind = QCOW2_KIND_NORMAL;
	if (entry & QCOW2_ZERO && q->version > 2 && !q->extended_l2)
		d.kind = QCOW2_KIND_ZERO;
	if (d.host % q->cluster_size)
		return d.kind == QCOW2_KIND_ZERO ? d : bad_desc(d, QCOW2_L2_UNALIGNED);
	if (d.kind == QCOW2_KIND_NORMAL && q->data && d.host >= q->data->size)
		return bad_desc(d, QCOW2_L2_PAST_END);
	if (reserved && d.kind == QCOW2_KIND_UNALLOCATED)
		return bad_desc(d, QCOW2_L2_RESERVED);
	return q->extended_l2 ? subclusters_desc(d, bitmap) : d;
}
