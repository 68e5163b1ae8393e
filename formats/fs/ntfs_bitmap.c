/* SPDX-License-Identifier: Apache-2.0 */
/* $Bitmap: a bit for each cluster. */
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs.h"
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

uint64_t ntfs_used_bytes(const struct ntfs *n, const uint8_t *bitmap, const struct fs_runs *runs)
{
	uint64_t used = 0;

	for (size_t i = 0; i < runs->n; i++) {
		const struct fs_run *run = &runs->v[i];
		uint64_t lcn = run->at / n->g.cluster, end;

		if (run->kind != EXTENT_DATA)
			continue;
		end = lcn + run->len / n->g.cluster;
		while (lcn < end && lcn < n->g.clusters) {
			if (lcn % 8 == 0 && end - lcn >= 8 &&
			    (!bitmap[lcn / 8] || bitmap[lcn / 8] == 0xff)) {
				used += bitmap[lcn / 8] ? 8 : 0;
				lcn += 8;
			} else {
				used += ntfs_cluster_used(n, bitmap, lcn++);
			}
		}
	}
	return used * n->g.cluster;
}
