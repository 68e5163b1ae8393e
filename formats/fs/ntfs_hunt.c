/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for MFT records where nothing says any more where they are. Since NTFS 3.1 a record
 * states its own number, so wherever it is found, it says where it belongs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs.h"
#include "vdiskck/core/session.h"

enum {
	PIECE = 1 << 20,
	WINDOW = 4 << 20,	 /* at each likely place */
	SIGHTINGS_MAX = 1 << 16, /* of records that lie alone: garbage, mostly */
	BRIDGE = 4096,		 /* records between two sightings that may be damaged ones */
	INDEXES = 16,		 /* folders that are asked where the volume begins */
	WITNESSES = 256,	 /* records that are asked for the geometry */
};

/* A record's head that makes sense; 0, or the size of the record. */
static uint32_t record_size(const uint8_t *p)
{
	const struct ntfs_record_header *h = (const void *)p;
	uint32_t size = le32(h->allocated);

	if (memcmp(h->magic, "FILE", 4) || size < NTFS_BLOCK || size > NTFS_RECORD_MAX / 2 ||
	    size & (size - 1) || le16(h->usa_count) != size / NTFS_BLOCK + 1 ||
	    le16(h->usa_off) < 48 || le16(h->attrs_off) < 48 || le16(h->attrs_off) >= size)
		return 0;
	return size;
}

static int add(struct ntfs_hunt *h, uint64_t at, uint64_t number, uint32_t record)
{
	struct ntfs_sighting *last = h->n ? &h->v[h->n - 1] : NULL;

	if (!h->record)
		h->record = record;
	if (record != h->record)
		return 0;
	if (last && number >= last->number + last->count &&
	    number - last->number - last->count <= BRIDGE &&
	    at - last->at == (number - last->number) * record) {
		last->count = number - last->number + 1;
		return 0;
	}
	if (h->n == h->cap) {
		size_t cap = h->cap ? h->cap * 2 : 64;
		struct ntfs_sighting *v = realloc(h->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		h->v = v;
		h->cap = cap;
	}
	if (h->n < SIGHTINGS_MAX)
		h->v[h->n++] = (struct ntfs_sighting){at, number, 1};
	return 0;
}

int ntfs_hunt(struct layer *below, uint64_t from, uint64_t to, struct ntfs_hunt *h)
{
	uint8_t *buf = malloc(PIECE);
	int r = buf ? 0 : -ENOMEM;

	if (to > below->size)
		to = below->size;
	from = from / NTFS_BLOCK * NTFS_BLOCK;
	while (from < to && !r) {
		size_t len = to - from < PIECE ? (size_t)(to - from) : PIECE, i = 0;

		r = session_stopped(below->s) ? -EINTR : layer_read(below, from, buf, len, NULL);
		while (!r && i + NTFS_BLOCK <= len) {
			uint32_t size = record_size(buf + i);
			const struct ntfs_record_header *head = (const void *)(buf + i);

			if (size)
				r = add(h, from + i, le32(head->number), size);
			i += size && size == h->record ? size : NTFS_BLOCK;
		}
		from += i ? i : len;
		session_progress(below->s, "looking for MFT records", from, to);
	}
	free(buf);
	return r;
}

/*
 * mkntfs: cluster 4, the mirror in the middle; Windows: 3 GiB, or a third; the mirror at 8 or 16 KiB.
 * In a small volume the places overlap, and records are seen twice: that does no harm.
 */
int ntfs_hunt_likely(struct layer *below, struct ntfs_hunt *h)
{
	const uint64_t size = below->size, half = WINDOW / 2;
	const uint64_t places[] = {half, (3ull << 30) + half, size / 3, size / 2};
	int r = 0;

	for (size_t i = 0; i < sizeof(places) / sizeof(*places) && !r; i++) {
		uint64_t from = places[i] > half ? places[i] - half : 0;

		if (!i || from)
			r = ntfs_hunt(below, from, from + WINDOW, h);
	}
	return r;
}

void ntfs_hunt_free(struct ntfs_hunt *h)
{
	free(h->v);
	*h = (struct ntfs_hunt){0};
}

/* ---- the geometry ---- */

struct witness {
	struct ntfs_geometry *g;
	uint32_t votes[32];		    /* by the logarithm of the cluster size */
	uint64_t first_lcn[2], first_at[2]; /* of the data of records 0 and 1 */
	bool seen[2];
	uint64_t bad_size, bitmap_size;
	uint64_t index_lcn[INDEXES]; /* where folders' INDX blocks must be */
	unsigned indexes;
};

/* An attribute that begins at VCN 0 states its bytes, and the last of its clusters. */
static void ask_cluster(struct witness *w, const struct ntfs_attr *a)
{
	uint64_t clusters = a->highest_vcn + 1, size;

	if (a->resident || a->lowest_vcn || !clusters || !a->allocated || a->allocated % clusters)
		return;
	size = a->allocated / clusters;
	if (size >= 256 && size <= (2 << 20) && !(size & (size - 1)))
		w->votes[__builtin_ctzll(size)]++;
}

/* First LCN of mapping pairs, without knowing more. */
static bool first_lcn(struct span pairs, uint64_t *lcn)
{
	const struct ntfs_geometry any = {.cluster = 1, .clusters = INT64_MAX};
	struct fs_runs runs = {0};
	uint64_t next, stored = 0;
	bool good;

	ntfs_pairs_decode(&any, pairs, 0, &runs, &next, &stored);
	good = runs.n && !runs.v[0].off && runs.v[0].kind == EXTENT_DATA;
	if (good)
		*lcn = runs.v[0].at;
	fs_runs_free(&runs);
	return good;
}

static void ask(struct witness *w, const struct ntfs *n, const struct ntfs_record *r)
{
	struct ntfs_attr a;
	uint32_t pos = 0;

	while (ntfs_attr_next(n, r, &pos, &a)) {
		const struct ntfs_index_root *root;

		ask_cluster(w, &a);
		if (a.type == NTFS_DATA && !a.resident && r->number < 2 && !a.name.len)
			w->seen[r->number] |= first_lcn(a.value, &w->first_lcn[r->number]);
		if (a.type == NTFS_DATA && r->number == NTFS_BITMAP_FILE && !a.name.len)
			w->bitmap_size = a.size;
		if (a.type == NTFS_DATA && r->number == NTFS_BADCLUS &&
		    ntfs_name_is(a.name, "$Bad"))
			w->bad_size = a.size;
		if (a.type == NTFS_INDEX_ALLOCATION && !a.resident && w->indexes < INDEXES)
			w->indexes += first_lcn(a.value, &w->index_lcn[w->indexes]);
		if (a.type == NTFS_INDEX_ROOT && a.resident &&
		    (root = span_at(a.value, 0, sizeof(*root))) &&
		    le32(root->block_size) >= NTFS_BLOCK && le32(root->block_size) <= 65536)
			w->g->index_block = le32(root->block_size);
	}
}

static void ask_all(struct layer *below, const struct ntfs_hunt *h, struct witness *w)
{
	const struct ntfs n = {.g.record = h->record};
	uint8_t *buf = malloc(h->record);
	unsigned asked = 0;

	for (size_t i = 0; buf && i < h->n && asked < WITNESSES; i++)
		for (uint64_t k = 0; k < h->v[i].count && k < WITNESSES / 4; k++) {
			struct ntfs_record r;

			if (layer_read(below, h->v[i].at + k * h->record, buf, h->record, NULL))
				continue;
			ntfs_record_init(&n, h->v[i].number + k, buf, NULL, &r);
			if (r.state == NTFS_GOOD)
				ask(w, &n, &r);
			asked++;
		}
	free(buf);
}

static void set_size(struct layer *below, const struct witness *w, struct ntfs_geometry *g)
{
	if (w->bad_size && w->bad_size <= INT64_MAX)
		g->clusters = w->bad_size / g->cluster;
	else if (w->bitmap_size && w->bitmap_size <= INT64_MAX / 8 / g->cluster)
		g->clusters = w->bitmap_size * 8;
	else
		g->clusters = below->size / g->cluster;
	g->sectors = g->clusters * (g->cluster / g->sector);
}

/* If the volume begins elsewhere, nothing is where its records say. */
static bool begins_here(struct layer *below, const struct ntfs_hunt *h,
			const struct ntfs_geometry *g, const struct witness *w)
{
	unsigned here = 0, elsewhere = 0;
	char magic[4];

	for (size_t i = 0; i < h->n && w->seen[0]; i++)
		if (h->v[i].number < NTFS_SYSTEM_RECORDS &&
		    h->v[i].at == g->mft_lcn * g->cluster + h->v[i].number * g->record)
			return true;
	for (unsigned i = 0; i < w->indexes; i++) {
		uint64_t at = w->index_lcn[i] * g->cluster;

		if (w->index_lcn[i] >= below->size / g->cluster ||
		    layer_read(below, at, magic, sizeof(magic), NULL) || memcmp(magic, "INDX", 4))
			elsewhere++;
		else
			here++;
	}
	return here > elsewhere;
}

bool ntfs_hunt_geometry(struct layer *below, const struct ntfs_hunt *h, struct ntfs_geometry *g)
{
	struct witness w = {.g = g};
	uint32_t best = 0;

	*g = (struct ntfs_geometry){.sector = 512, .record = h->record, .index_block = 4096};
	if (!h->n)
		return false;
	ask_all(below, h, &w);
	for (uint32_t i = 1; i < 32; i++)
		if (w.votes[i] > w.votes[best])
			best = i;
	if (!w.votes[best])
		return false;
	g->cluster = 1u << best;
	if (g->cluster < g->sector)
		g->sector = g->cluster;
	set_size(below, &w, g);
	if (w.seen[1])
		g->mirr_lcn = w.first_lcn[1];
	if (w.seen[0]) {
		g->mft_lcn = w.first_lcn[0];
	} else {
		for (size_t i = 0; i < h->n && !g->mft_lcn; i++)
			if (h->v[i].number < NTFS_SYSTEM_RECORDS &&
			    h->v[i].at >= h->v[i].number * h->record &&
			    h->v[i].number + h->v[i].count > 4)
				g->mft_lcn = (h->v[i].at - h->v[i].number * h->record) / g->cluster;
	}
	return g->mft_lcn && g->mft_lcn < g->clusters && g->mirr_lcn < g->clusters &&
	       begins_here(below, h, g, &w);
}

/* ---- $MFT ---- */

static int longest_first(const void *a, const void *b)
{
	const struct ntfs_sighting *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static int by_number(const void *a, const void *b)
{
	const struct ntfs_sighting *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/*
 * Records are seen twice: $MFTMirr, copies in restore points, an $MFT that was before. The longer
 * a run of them is, the more likely it is $MFT. Each takes the numbers that no longer one has.
 */
static size_t settle(struct ntfs_hunt *h)
{
	size_t kept = 0;

	if (!h->n)
		return 0;
	qsort(h->v, h->n, sizeof(*h->v), longest_first);
	for (size_t i = 0; i < h->n && kept < SIGHTINGS_MAX / 16; i++) {
		struct ntfs_sighting s = h->v[i];

		for (size_t k = 0; k < kept && s.count; k++) {
			const struct ntfs_sighting *t = &h->v[k];
			uint64_t end = s.number + s.count;

			if (s.number >= t->number + t->count || t->number >= end)
				continue;
			if (s.number < t->number) {
				s.count = t->number - s.number;
			} else {
				uint64_t skip = t->number + t->count - s.number;

				skip = skip < s.count ? skip : s.count;
				s.number += skip;
				s.at += skip * h->record;
				s.count -= skip;
			}
		}
		if (s.count)
			h->v[kept++] = s;
	}
	qsort(h->v, kept, sizeof(*h->v), by_number);
	return kept;
}

int ntfs_hunt_runs(struct ntfs_hunt *h, struct fs_runs *runs)
{
	uint64_t next = 0;
	int r = 0;

	h->n = settle(h);
	for (size_t i = 0; i < h->n && !r; i++) {
		const struct ntfs_sighting *s = &h->v[i];
		uint64_t off = s->number * h->record;

		if (off > next)
			r = fs_runs_add(runs, &(struct fs_run){next, off - next, EXTENT_LOST,
							       NTFS_MFT_LOST, 0});
		if (!r)
			r = fs_runs_add(runs, &(struct fs_run){off, s->count * h->record,
							       EXTENT_DATA, 0, s->at});
		next = off + s->count * h->record;
	}
	return r;
}
