/* SPDX-License-Identifier: Apache-2.0 */
/* What no file owns: clusters that no record claims, and what is behind the end of a file. */
#include <errno.h>

#include "formats/fs/ntfs_claimed.h"

struct unused {
	struct ntfs_claimed c;
	struct layer *l;
	int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack);
	void *arg;
};

static int claim_all(void *arg, struct ntfs_record *r, void *out)
{
	(void)out;
	return ntfs_claimed_record(&((struct unused *)arg)->c, r);
}

/*
 * From @size on, what this piece of a $DATA has is slack: behind the end, or never written. Packed
 * units have none that is known.
 */
static int slack_of(struct unused *u, const struct ntfs_attr *a, uint64_t size)
{
	struct fs_runs runs = {0};
	uint64_t next, stored = 0;
	int r = ntfs_pairs_decode(&u->c.n->g, a->value, a->lowest_vcn, &runs, &next, &stored);

	if (r == -EBADMSG)
		r = 0;
	for (size_t i = 0; i < runs.n && !r; i++) {
		const struct fs_run *run = &runs.v[i];
		uint64_t skip = run->off < size ? size - run->off : 0;

		if (run->kind == EXTENT_DATA && skip < run->len)
			r = u->fn(u->arg, run->at + skip, run->len - skip, true);
	}
	fs_runs_free(&runs);
	return r;
}

/*
 * Files of one piece: the size stands in it. The last piece of a longer one would have to be
 * looked up, for less than a cluster each.
 */
static int deliver(void *arg, struct ntfs_record *r, size_t count, void *out)
{
	struct unused *u = arg;
	int err = 0;

	(void)out;
	for (size_t i = 0; i < count && !err; i++) {
		const struct ntfs_record_header *h = ntfs_head(&r[i]);
		struct ntfs_attr a;
		uint32_t pos = 0;

		if ((r[i].state != NTFS_GOOD && r[i].state != NTFS_TORN) ||
		    !(le16(h->flags) & NTFS_IN_USE) || r[i].number < NTFS_SYSTEM_RECORDS)
			continue;
		while (!err && ntfs_attr_next(u->c.n, &r[i], &pos, &a))
			if (a.type == NTFS_DATA && !a.resident && !a.lowest_vcn &&
			    !(a.flags & NTFS_COMPRESSED))
				err = slack_of(u, &a,
					       a.initialized < a.size ? a.initialized : a.size);
	}
	return err;
}

int ntfs_unused(struct layer *l, int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack),
		void *arg)
{
	struct unused u = {.l = l, .fn = fn, .arg = arg};
	struct ntfs *n = l->priv;
	struct ntfs_scan scan = {
		.l = l, .what = "unused", .work = claim_all, .deliver = deliver, .arg = &u};
	int r = ntfs_claimed_init(&u.c, n);

	if (!r)
		r = ntfs_scan(&scan);
	if (!r)
		ntfs_claimed_places(&u.c);
	for (uint64_t lcn = 0, end; lcn < n->g.clusters && !r; lcn = end) {
		end = lcn;
		if (ntfs_claimed_has(&u.c, lcn)) {
			end++;
			continue;
		}
		while (end < n->g.clusters && !ntfs_claimed_has(&u.c, end))
			end++;
		r = fn(arg, lcn * n->g.cluster, (end - lcn) * n->g.cluster, false);
	}
	ntfs_claimed_free(&u.c);
	return r;
}
