/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/part/scan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/part/hunt.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

enum { GAP_MIN = 64 << 10 }; /* smaller than any volume worth finding */

struct scan {
	struct part_map parts;
};

/* The volumes that lie in the gaps of @m; *@from tells new ones from those of an earlier call. */
static int search_gaps(struct layer *l, struct part_map *m, struct hunt *h, bool full)
{
	struct part_area *gap = NULL;
	int n = part_gaps(l, m, &gap), r = n < 0 ? n : 0;

	for (int i = 0; i < n; i++)
		h->total += gap[i].len >= GAP_MIN ? gap[i].len : 0;
	for (int i = 0; i < n && !r; i++) {
		uint64_t end = gap[i].start + gap[i].len;
		size_t before = h->n;

		if (gap[i].len < GAP_MIN)
			continue;
		r = hunt_quick(h, gap[i].start, end);
		if (!r && full)
			r = hunt_full(h, gap[i].start, end);
		/* What a volume states may be long out of date: it ends where a partition begins. */
		for (size_t k = before; k < h->n; k++)
			if (h->v[k].size > end - h->v[k].start || !h->v[k].size)
				h->v[k].size = end - h->v[k].start;
	}
	m->searched = m->searched || (full && !r);
	hunt_sort(h, l->size);
	free(gap);
	return r > 0 ? 0 : r;
}

static int add_found(struct layer *l, struct part_map *m, const struct signature *sig)
{
	struct part p = {
		.start = sig->start,
		.len = sig->size,
		.at = sig->start,
		.at_len = 512,
		.found = true,
		.type = sig->name,
	};

	if (!p.len)
		return 0;
	snprintf(p.name, sizeof(p.name), "found%" PRIu64 "s", sig->start / 512);
	snprintf(p.flags, sizeof(p.flags), "found by its %s", sig->from ? sig->from : "content");
	return part_add(l, m, &p);
}

static void report_found(struct layer *l, const struct signature *sig)
{
	char size[SIZE_TEXT];

	finding_fact(l, PART_FOUND,
		     &(struct fact){.at = sig->start,
				    .at_len = 512,
				    .off = sig->start,
				    .len = sig->size,
				    .stored = *sig->id ? strf("id %s", sig->id) : NULL},
		     "%s volume of %s at sector %" PRIu64
		     "%s%s%s%s, which no partition table names",
		     sig->name, sig->size ? size_text(sig->size, size) : "unknown size",
		     sig->start / 512, *sig->label ? ", label " : "", sig->label,
		     sig->from ? ", told from its " : "", sig->from ? sig->from : "");
}

static struct hunt *hunt_new(struct layer *l)
{
	struct hunt *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->in = l->below;
	h->budget = l->s->opt.rebuild || l->s->opt.data ? UINT64_MAX : FULL_AT_OPEN;
	return h;
}

int scan_at_open(struct layer *l, struct part_map *m)
{
	bool empty = !m->n_parts;
	struct hunt *h;
	int r;

	if (!empty && !l->s->opt.rebuild)
		return 0;
	h = hunt_new(l);
	if (!h)
		return -ENOMEM;
	r = search_gaps(l, m, h, l->s->opt.rebuild);
	if (r == -EINTR)
		r = 0; /* the disk is readable; what was found until then is good */
	if (!r && h->n && empty)
		finding_fact(l, PART_TABLE_EMPTY, &(struct fact){.at = 0, .at_len = l->sector},
			     "the partition table is empty, but %zu volume%s found by content",
			     h->n, h->n > 1 ? "s were" : " was");
	for (size_t i = 0; i < h->n && !r; i++) {
		report_found(l, &h->v[i]);
		r = add_found(l, m, &h->v[i]);
	}
	free(h);
	return r;
}

int scan_at_check(struct layer *l, struct part_map *m)
{
	struct hunt *h;
	int r;

	if (m->searched)
		return 0;
	h = hunt_new(l);
	if (!h)
		return -ENOMEM;
	r = search_gaps(l, m, h, l->s->opt.data);
	for (size_t i = 0; i < h->n; i++)
		report_found(l, &h->v[i]);
	free(h);
	return r;
}

/* --- the driver "scan": no table at all --- */

static int scan_probe(struct layer *below)
{
	struct signature sig;

	/* Only a whole disk has lost a table. Anything else that is known has a better claim. */
	if (below->ops->kind != LAYER_CONTAINER && below->ops->kind != LAYER_SOURCE)
		return 0;
	return below->size >= GAP_MIN && !signature_at(below, 0, &sig) ? 31 : 0;
}

/* Customary for the first partition of a disk, or for any. */
static bool customary(uint64_t start)
{
	return start && (start % (1 << 20) == 0 || start == 63 * 512 || start == 34 * 512 ||
			 start % (255 * 63 * 512) % (63 * 512) == 0);
}

/*
 * Is it a disk that had a table? Sector 0 wiped or unreadable, an MBR's magic, or volumes where
 * partitioning tools put them. Otherwise the disk may hold something unknown, as a whole, in
 * which images of other disks lie as files.
 */
static bool had_table(struct layer *l, const struct hunt *h)
{
	uint8_t sector[512];
	struct ranges bad = {0};
	bool lost = layer_read(l->below, 0, sector, sizeof(sector), &bad) || bad.n ||
		    all_zero(sector, sizeof(sector)) ||
		    (sector[510] == 0x55 && sector[511] == 0xaa);

	ranges_free(&bad);
	for (size_t i = 0; i < h->n; i++)
		lost = lost || customary(h->v[i].start);
	return lost;
}

static int search_disk(struct layer *l, struct part_map *m, struct hunt *h)
{
	int r = hunt_quick(h, 0, l->size);

	h->total = l->size;
	if (!r)
		r = hunt_full(h, 0, l->size);
	m->searched = !r;
	hunt_sort(h, l->size);
	return r > 0 || r == -EINTR ? 0 : r;
}

static int scan_open(struct layer *l)
{
	struct scan *s = calloc(1, sizeof(*s));
	struct hunt *h;
	int r;

	if (!s)
		return -ENOMEM;
	l->priv = s;
	l->size = l->below->size;
	h = hunt_new(l);
	if (!h)
		return -ENOMEM;
	r = search_disk(l, &s->parts, h);
	if (!r && !h->n)
		r = -EBADMSG;
	if (!r && h->v[0].start && had_table(l, h))
		finding_fact(l, PART_TABLE_LOST, &(struct fact){.at = 0, .at_len = l->sector},
			     "no partition table is readable; %zu volume%s found by content", h->n,
			     h->n > 1 ? "s were" : " was");
	for (size_t i = 0; i < h->n && !r; i++) {
		const struct signature *sig = &h->v[i];

		report_found(l, sig);
		if (sig->from)
			finding_fact(l, PART_FROM_COPY,
				     &(struct fact){.at = sig->start,
						    .at_len = 512,
						    .off = sig->start,
						    .len = sig->size},
				     "the %s volume at sector %" PRIu64
				     " has lost its first header; its %s tells where it is",
				     sig->name, sig->start / 512, sig->from);
		r = add_found(l, &s->parts, sig);
	}
	free(h);
	return r;
}

static int scan_check(struct layer *l)
{
	struct scan *s = l->priv;
	struct hunt *h;
	int r;

	if (s->parts.searched)
		return 0;
	h = hunt_new(l);
	if (!h)
		return -ENOMEM;
	h->budget = UINT64_MAX;
	r = search_gaps(l, &s->parts, h, true);
	for (size_t i = 0; i < h->n; i++)
		report_found(l, &h->v[i]);
	free(h);
	return r;
}

static void scan_info(struct layer *l, struct json *to)
{
	struct scan *s = l->priv;

	part_info(l, &s->parts, to);
}

static void scan_close(struct layer *l)
{
	struct scan *s = l->priv;

	if (!s)
		return;
	part_map_free(&s->parts);
	free(s);
}

const struct layer_ops scan_ops = {
	.name = "scan",
	.kind = LAYER_MAP,
	.probe = scan_probe,
	.open = scan_open,
	.read = layer_read_mapped,
	.map = part_map_run,
	.check = scan_check,
	.info = scan_info,
	.close = scan_close,
};
