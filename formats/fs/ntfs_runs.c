/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapping pairs: a byte with the sizes of two numbers, the length of the run in clusters, and how
 * far its first cluster lies from that of the run before (signed; no bytes: a hole). A zero ends
 * them. Source: libfsntfs, "Data runs".
 */
#include <errno.h>

#include "formats/fs/ntfs.h"

static int64_t number(const uint8_t *p, unsigned size)
{
	uint64_t v = size && p[size - 1] & 0x80 ? UINT64_MAX : 0;

	for (unsigned i = size; i-- > 0;)
		v = v << 8 | p[i];
	return (int64_t)v;
}

/* Clusters that a file can have: their bytes must fit 63 bits. */
static bool possible(const struct ntfs_geometry *g, uint64_t vcn, int64_t clusters)
{
	uint64_t most = (uint64_t)INT64_MAX / g->cluster;

	return clusters > 0 && vcn <= most && (uint64_t)clusters <= most - vcn;
}

int ntfs_pairs_decode(const struct ntfs_geometry *g, struct span pairs, uint64_t vcn,
		      struct fs_runs *runs, uint64_t *next, uint64_t *stored_clusters)
{
	int64_t lcn = 0;
	size_t i = 0;
	int r = 0;

	while (!r && i < pairs.len && pairs.p[i]) {
		unsigned len_size = pairs.p[i] & 15, lcn_size = pairs.p[i] >> 4;
		const uint8_t *p = span_at(pairs, i + 1, len_size + lcn_size);
		struct fs_run run = {.off = vcn * g->cluster, .kind = EXTENT_DATA};
		int64_t clusters, by;

		if (!p || !len_size || len_size > 8 || lcn_size > 8)
			return -EBADMSG;
		clusters = number(p, len_size);
		by = number(p + len_size, lcn_size);
		if (!possible(g, vcn, clusters) || __builtin_add_overflow(lcn, by, &lcn))
			return -EBADMSG;
		run.len = (uint64_t)clusters * g->cluster;
		if (lcn_size) {
			if (lcn < 0 || (uint64_t)lcn >= g->clusters ||
			    (uint64_t)clusters > g->clusters - (uint64_t)lcn) {
				run.kind = EXTENT_LOST;
				run.why = NTFS_RUN_OUTSIDE;
			} else {
				run.at = (uint64_t)lcn * g->cluster;
			}
			r = fs_runs_add(runs, &run);
			*stored_clusters += (uint64_t)clusters;
		}
		vcn += (uint64_t)clusters;
		*next = vcn;
		i += 1 + len_size + lcn_size;
	}
	if (r == -EINVAL)
		r = -EBADMSG;
	return !r && i >= pairs.len ? -EBADMSG : r;
}
