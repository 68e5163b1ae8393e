/* SPDX-License-Identifier: Apache-2.0 */
/* NTFS: $Bitmap against the runs of all records, in both directions; clusters with two owners. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs_check.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum { NAMED_MAX = 4096, OWNERS_MAX = 4 * NAMED_MAX, REPORTED_MAX = 64 };

/* Who owns what of the ranges that need a name. */
struct owner_text {
	uint64_t off, len;
	char *text;
};

struct naming {
	struct owner_text *v;
	size_t n;
};

static int note_owner(void *arg, const struct fs_owner *o)
{
	char name[NTFS_CHECK_NAME];
	struct naming *m = arg;
	struct owner_text *t;
	const char *text;
	int len;

	if (m->n == OWNERS_MAX || (o->kind != OWNER_FILE && o->kind != OWNER_STRUCTURE))
		return 0;
	t = &m->v[m->n];
	*t = (struct owner_text){.off = o->off, .len = o->len};
	text = o->kind == OWNER_FILE ? o->file->path : o->structure;
	name_escape(text, strlen(text), name, sizeof(name));
	if (o->kind == OWNER_FILE)
		len = asprintf(&t->text, "\"%s\" at %" PRIu64, name, o->file_off);
	else
		len = asprintf(&t->text, "\"%s\"", name);
	if (len < 0)
		return -ENOMEM;
	m->n++;
	return 0;
}

/* The owners of [off, off + len), in @out. */
static const char *owners_text(const struct naming *m, uint64_t off, uint64_t len, char *out,
			       size_t cap)
{
	size_t used = 0;

	*out = '\0';
	for (size_t i = 0; i < m->n; i++) {
		const struct owner_text *t = &m->v[i];

		if (t->off >= off + len || off >= t->off + t->len || used + 8 >= cap)
			continue;
		used += (size_t)snprintf(out + used, cap - used, "%s%s", used ? " and " : "",
					 t->text);
		if (used >= cap)
			used = cap - 1;
	}
	return *out ? out : "a record that is not in use any more";
}

static int name_owners(struct ntfs_check *k, struct ranges *r, struct naming *m)
{
	m->v = calloc(OWNERS_MAX, sizeof(*m->v));
	if (!m->v)
		return -ENOMEM;
	return ntfs_owners(k->l, r, note_owner, m);
}

static void report_twice(struct ntfs_check *k, const struct naming *m)
{
	uint32_t cluster = k->n->g.cluster;
	char text[4 * NTFS_CHECK_NAME];

	for (size_t i = 0; i < k->c.twice.n; i++) {
		const struct range *w = &k->c.twice.v[i];

		finding_fact(k->l, NTFS_CROSS_LINKED,
			     &(struct fact){.at = w->off,
					    .at_len = w->len,
					    .off = w->off,
					    .len = w->len,
					    .doubtful = true},
			     "%" PRIu64 " clusters from %" PRIu64 " on belong to %s",
			     w->len / cluster, w->off / cluster,
			     owners_text(m, w->off, w->len, text, sizeof(text)));
	}
}

static void report_free(struct ntfs_check *k, const struct ranges *used, const struct naming *m)
{
	uint32_t cluster = k->n->g.cluster;
	char text[4 * NTFS_CHECK_NAME];

	/* A bitmap that is garbage: one fact, not thousands. */
	if (used->n > REPORTED_MAX) {
		finding(k->l, NTFS_BITMAP_FREE, used->v[0].off, used->v[0].len,
			"%" PRIu64
			" clusters in %zu places that files own are marked as free; the first is "
			"%" PRIu64 ", of %s",
			ranges_bytes(used, GRADE_DOUBTFUL) / cluster, used->n,
			used->v[0].off / cluster,
			owners_text(m, used->v[0].off, used->v[0].len, text, sizeof(text)));
		return;
	}
	for (size_t i = 0; i < used->n; i++)
		finding(k->l, NTFS_BITMAP_FREE, used->v[i].off, used->v[i].len,
			"%" PRIu64 " clusters from %" PRIu64 " on, marked as free, belong to %s",
			used->v[i].len / cluster, used->v[i].off / cluster,
			owners_text(m, used->v[i].off, used->v[i].len, text, sizeof(text)));
}

/* Runs of clusters where the two disagree: @used ones are called free; leaks are counted. */
struct differ {
	struct ranges used;
	uint64_t leaked, leaks, first_leak;
};

static int differ(struct ntfs_check *k, const uint8_t *bitmap, struct differ *d)
{
	uint32_t cluster = k->n->g.cluster;
	bool leaking = false;
	int r = 0;

	for (uint64_t lcn = 0; lcn < k->n->g.clusters && !r; lcn++) {
		bool owned, used;

		if (lcn % 64 == 0 && lcn + 64 <= k->n->g.clusters &&
		    !memcmp(&k->c.bits[lcn / 64], bitmap + lcn / 8, 8)) {
			leaking = false;
			lcn += 63;
			continue;
		}
		owned = ntfs_claimed_has(&k->c, lcn);
		used = ntfs_cluster_used(k->n, bitmap, lcn);
		if (owned && !used && d->used.n < NAMED_MAX)
			r = ranges_add(&d->used, lcn * cluster, cluster, GRADE_DOUBTFUL,
				       NTFS_BITMAP_FREE);
		if (!owned && used) {
			if (!d->leaked++)
				d->first_leak = lcn;
			d->leaks += !leaking;
		}
		leaking = !owned && used;
	}
	return r;
}

/* Where the bitmap can't be read, nothing follows from what the driver assumes of it. */
static bool bitmap_is_whole(struct ntfs_check *k)
{
	uint64_t need = (k->n->g.clusters + 7) / 8;
	struct ranges bad = {0};
	size_t len = 0;
	uint8_t *p =
		ntfs_stream_load(k->l, NTFS_BITMAP_FILE, NTFS_DATA, NULL, (size_t)need, &len, &bad);
	bool whole = p && len >= need && !bad.n;

	if (!whole)
		finding(k->l, NTFS_BITMAP_SHORT, ntfs_check_at(k, NTFS_BITMAP_FILE, 0),
			k->n->g.record, "%zu of the %" PRIu64 " bytes of $Bitmap can be read",
			bad.n ? 0 : len, need);
	free(p);
	ranges_free(&bad);
	return whole;
}

int ntfs_check_clusters(struct ntfs_check *k)
{
	const uint8_t *bitmap = ntfs_cluster_bitmap(k->l);
	struct differ d = {0};
	struct naming m = {0};
	struct ranges all = {0};
	int r = 0;

	ranges_sort(&k->c.twice);
	ntfs_claimed_places(&k->c);
	if (bitmap && bitmap_is_whole(k))
		r = differ(k, bitmap, &d);
	if (!r)
		r = ranges_append(&all, &k->c.twice);
	if (!r)
		r = ranges_append(&all, &d.used);
	if (!r)
		r = ranges_flatten(&all);
	if (!r && all.n)
		r = name_owners(k, &all, &m);
	if (!r) {
		report_twice(k, &m);
		report_free(k, &d.used, &m);
	}
	if (!r && d.leaked)
		finding(k->l, NTFS_BITMAP_LEAK, d.first_leak * k->n->g.cluster, k->n->g.cluster,
			"no file owns %" PRIu64 " cluster%s in %" PRIu64
			" place%s, marked as in use; the first is %" PRIu64,
			d.leaked, d.leaked > 1 ? "s" : "", d.leaks, d.leaks > 1 ? "s" : "",
			d.first_leak);
	for (size_t i = 0; i < m.n; i++)
		free(m.v[i].text);
	free(m.v);
	ranges_free(&all);
	ranges_free(&d.used);
	return r;
}
