/* SPDX-License-Identifier: Apache-2.0 */
/* Which clusters are in use: a bit for each, of $Bitmap, and of what files own. */
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs_claimed.h"
#include "vdiskck/core/session.h"

/* One byte says 8 clusters: 512 MiB are 16 TiB of the usual 4 KiB. */
#define BITMAP_MAX ((uint64_t)512 << 20)

/* What can't be read counts as in use: then nothing that lies there is called intact. */
static uint8_t *load(struct layer *l)
{
	const struct ntfs *n = l->priv;
	uint64_t len = n->g.clusters / 8 + 1;
	struct ranges bad = {0};
	uint8_t *map, *stored;
	size_t got = 0;

	if (len > BITMAP_MAX || !(map = malloc(len)))
		return NULL;
	memset(map, 0xff, len);
	stored = ntfs_stream_load(l, NTFS_BITMAP_FILE, NTFS_DATA, NULL, len, &got, &bad);
	if (stored)
		memcpy(map, stored, got);
	for (size_t i = 0; i < bad.n; i++)
		if (range_inside(bad.v[i].off, bad.v[i].len, got))
			memset(map + bad.v[i].off, 0xff, bad.v[i].len);
	ranges_free(&bad);
	free(stored);
	return map;
}

const uint8_t *ntfs_cluster_bitmap(struct layer *l)
{
	struct ntfs *n = l->priv;

	pthread_mutex_lock(&n->lock);
	if (!n->bitmap)
		n->bitmap = load(l);
	pthread_mutex_unlock(&n->lock);
	return n->bitmap;
}

bool ntfs_cluster_used(const struct ntfs *n, const uint8_t *bitmap, uint64_t lcn)
{
	return lcn >= n->g.clusters || (bitmap[lcn / 8] >> (lcn % 8) & 1);
}

/* ---- by the runs of files ---- */

static int claim_record(void *arg, struct ntfs_record *r, void *out)
{
	(void)out;
	return ntfs_claimed_record(arg, r);
}

static int nothing(void *arg, struct ntfs_record *r, size_t count, void *out)
{
	(void)arg;
	(void)r;
	(void)count;
	(void)out;
	return 0;
}

static uint64_t *collect(struct layer *l)
{
	struct ntfs_claimed c;
	struct ntfs_scan scan = {.l = l, .work = claim_record, .deliver = nothing, .arg = &c};
	uint64_t *bits = NULL;
	int r = ntfs_claimed_init(&c, l->priv);

	if (!r)
		r = ntfs_scan(&scan);
	if (!r) {
		ntfs_claimed_places(&c);
		bits = c.bits;
		c.bits = NULL;
	}
	ntfs_claimed_free(&c);
	return bits;
}

const uint64_t *ntfs_owned_bitmap(struct layer *l)
{
	struct ntfs *n = l->priv;

	pthread_mutex_lock(&n->lock);
	if (!n->owned)
		n->owned = collect(l);
	pthread_mutex_unlock(&n->lock);
	return n->owned;
}

struct ntfs_in_use ntfs_in_use(const struct ntfs *n, const uint8_t *bitmap, const uint64_t *owned,
			       const struct fs_runs *runs)
{
	struct ntfs_in_use u = {0, 0};

	for (size_t i = 0; i < runs->n; i++) {
		const struct fs_run *run = &runs->v[i];
		uint64_t lcn = run->at / n->g.cluster, end = lcn + run->len / n->g.cluster;

		if (run->kind != EXTENT_DATA)
			continue;
		for (; lcn < end && lcn < n->g.clusters; lcn++) {
			u.by_bitmap += ntfs_cluster_used(n, bitmap, lcn);
			u.by_files += owned && ntfs_cluster_owned(n, owned, lcn);
		}
	}
	u.by_bitmap *= n->g.cluster;
	u.by_files *= n->g.cluster;
	return u;
}
