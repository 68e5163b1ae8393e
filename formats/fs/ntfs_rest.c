/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left of a file whose base record is lost: the records that continue it say whose they
 * are, and the runs, streams and names in them are as good as ever.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs.h"

enum {
	RECORDS_MAX = 8192,	 /* of one file, as its attribute list could name them */
	RECORDS_BYTES = 32 << 20 /* and their size */
};

int ntfs_rest_add(struct ntfs_tree *t, uint64_t base, uint64_t record)
{
	if (base > UINT32_MAX || record > UINT32_MAX)
		return 0;
	if (t->n_rests == t->cap_rests) {
		size_t cap = t->cap_rests ? 2 * t->cap_rests : 256;
		struct ntfs_rest *more = realloc(t->rests, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		t->rests = more;
		t->cap_rests = cap;
	}
	t->rests[t->n_rests++] = (struct ntfs_rest){(uint32_t)base, (uint32_t)record};
	return 0;
}

static int by_base(const void *pa, const void *pb)
{
	const struct ntfs_rest *a = pa, *b = pb;

	if (a->base != b->base)
		return a->base < b->base ? -1 : 1;
	return a->record < b->record ? -1 : a->record > b->record;
}

void ntfs_rest_keep(struct ntfs_tree *t, const uint8_t *lost, uint64_t records)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n_rests; i++) {
		uint32_t base = t->rests[i].base;

		if (base >= records || lost[base / 8] >> (base % 8) & 1)
			t->rests[kept++] = t->rests[i];
	}
	t->n_rests = kept;
	if (kept)
		qsort(t->rests, kept, sizeof(*t->rests), by_base);
}

static size_t first_of(const struct ntfs_tree *t, uint64_t base)
{
	size_t lo = 0, hi = t->n_rests;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->rests[mid].base < base)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int ntfs_rest_load(struct layer *l, const struct ntfs_tree *t, uint64_t number,
		   struct ntfs_inode *ino)
{
	const struct ntfs *n = l->priv;
	size_t from = first_of(t, number), count = 0, most = RECORDS_BYTES / n->g.record;
	struct ntfs_record_header *h;
	int r = 0;

	*ino = (struct ntfs_inode){.number = number, .cap_attrs = NTFS_FEW_ATTRS};
	ino->attrs = ino->few;
	while (from + count < t->n_rests && t->rests[from + count].base == number &&
	       count < RECORDS_MAX && count < most)
		count++;
	if (!count)
		return -ENOENT;
	ino->buf = calloc(1, n->g.record);
	ino->more = malloc(count * n->g.record);
	if (!ino->buf || !ino->more)
		return -ENOMEM;
	/* An empty record stands for the lost one. */
	h = (void *)ino->buf;
	h->flags = to_le16(NTFS_IN_USE);
	ino->base = (struct ntfs_record){.number = number, .p = ino->buf, .state = NTFS_TORN};
	ino->listed = ino->incomplete = true;
	for (size_t i = 0; i < count && !r; i++) {
		struct ntfs_record more;

		r = ntfs_record_read(l, t->rests[from + i].record, ino->more + i * n->g.record,
				     &more);
		if (!r && (more.state == NTFS_GOOD || more.state == NTFS_TORN) &&
		    ntfs_ref_number(le64(ntfs_head(&more)->base)) == number)
			r = ntfs_inode_add(n, ino, &more);
		r = r == -EBADMSG ? 0 : r;
	}
	return r;
}
