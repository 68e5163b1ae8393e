/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/ntfs_claimed.h"

#include <errno.h>
#include <stdlib.h>

#define BITS_MAX ((uint64_t)512 << 20) /* bytes: 16 TiB of the usual clusters */

int ntfs_claimed_init(struct ntfs_claimed *c, const struct ntfs *n)
{
	uint64_t words = n->g.clusters / 64 + 1;

	*c = (struct ntfs_claimed){.n = n};
	pthread_mutex_init(&c->lock, NULL);
	if (words > BITS_MAX / 8)
		return -EFBIG;
	c->bits = calloc(words, 8);
	return c->bits ? 0 : -ENOMEM;
}

void ntfs_claimed_free(struct ntfs_claimed *c)
{
	free(c->bits);
	ranges_free(&c->twice);
	pthread_mutex_destroy(&c->lock);
}

/* Clusters of @word that were claimed before. */
static int twice(struct ntfs_claimed *c, uint64_t word, uint64_t bits)
{
	uint32_t cluster = c->n->g.cluster;
	int r = 0;

	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < 64 && !r; i++) {
		if (!(bits >> i & 1))
			continue;
		c->clusters_twice++;
		if (c->twice.n < NTFS_TWICE_MAX)
			r = ranges_add(&c->twice, (word * 64 + i) * cluster, cluster,
				       GRADE_DOUBTFUL, NTFS_CROSS_LINKED);
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

int ntfs_claimed_add(struct ntfs_claimed *c, uint64_t lcn, uint64_t count)
{
	int r = 0;

	while (count && !r) {
		unsigned from = lcn % 64;
		uint64_t some = 64 - from < count ? 64 - from : count;
		uint64_t mask = (some == 64 ? UINT64_MAX : (1ull << some) - 1) << from;
		uint64_t had = __atomic_fetch_or(&c->bits[lcn / 64], mask, __ATOMIC_RELAXED);

		if (had & mask)
			r = twice(c, lcn / 64, had & mask);
		lcn += some;
		count -= some;
	}
	return r;
}

int ntfs_claimed_record(struct ntfs_claimed *c, const struct ntfs_record *r)
{
	const struct ntfs_record_header *h = ntfs_head(r);
	struct ntfs_attr a;
	uint32_t pos = 0;
	int err = 0;

	if ((r->state != NTFS_GOOD && r->state != NTFS_TORN) ||
	    (!(le16(h->flags) & NTFS_IN_USE) && r->number >= NTFS_SYSTEM_RECORDS))
		return 0;
	while (!err && ntfs_attr_next(c->n, r, &pos, &a)) {
		struct fs_runs runs = {0};
		uint64_t next, stored = 0;

		if (a.resident)
			continue;
		err = ntfs_pairs_decode(&c->n->g, a.value, a.lowest_vcn, &runs, &next, &stored);
		if (err == -EBADMSG)
			err = 0;
		for (size_t i = 0; i < runs.n && !err; i++)
			if (runs.v[i].kind == EXTENT_DATA)
				err = ntfs_claimed_add(c, runs.v[i].at / c->n->g.cluster,
						       runs.v[i].len / c->n->g.cluster);
		fs_runs_free(&runs);
	}
	return err;
}

static void place(struct ntfs_claimed *c, uint64_t off, uint64_t len)
{
	uint32_t cluster = c->n->g.cluster;

	for (uint64_t lcn = off / cluster; lcn * cluster < off + len && lcn < c->n->g.clusters;
	     lcn++)
		c->bits[lcn / 64] |= 1ull << (lcn % 64);
}

void ntfs_claimed_places(struct ntfs_claimed *c)
{
	const struct ntfs *n = c->n;

	for (size_t i = 0; i < n->mft_runs.n; i++)
		if (n->mft_runs.v[i].kind == EXTENT_DATA)
			place(c, n->mft_runs.v[i].at, n->mft_runs.v[i].len);
	place(c, n->g.mirr_lcn * n->g.cluster, 4ull * n->g.record);
	place(c, 0, n->g.sector);
}
