/* SPDX-License-Identifier: Apache-2.0 */
/* NTFS: the rules that a record of $MFT keeps by itself. Source: libfsntfs, "MFT entry". */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "formats/fs/ntfs_check.h"
#include "vdiskck/core/session.h"

/* One look at one record. */
struct look {
	const struct ntfs_check *k;
	const struct ntfs_record *r;
	bool report, broken;
};

/* A rule about [@off, @off + @len) of the record does not hold. */
__attribute__((format(printf, 5, 6))) static void
broken(struct look *x, enum finding_id id, uint64_t off, uint32_t len, const char *fmt, ...)
{
	char text[192];
	va_list ap;

	x->broken = true;
	if (!x->report)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	finding(x->k->l, id, ntfs_check_at(x->k, x->r->number, (uint32_t)off), len,
		"record %" PRIu64 ": %s", x->r->number, text);
}

static void check_header(struct look *x)
{
	const struct ntfs_record_header *h = ntfs_head(x->r);
	uint32_t used = le32(h->used), size = x->k->n->g.record;
	uint32_t usa_end = le16(h->usa_off) + 2u * le16(h->usa_count);

	if (le32(h->allocated) != size)
		broken(x, NTFS_RECORD_RULE, 0x1c, 4,
		       "it says it has %" PRIu32 " bytes, not %" PRIu32, le32(h->allocated), size);
	if (used > size || used % 8)
		broken(x, NTFS_RECORD_RULE, 0x18, 4, "%" PRIu32 " bytes are in use, of %" PRIu32,
		       used, size);
	if (le16(h->attrs_off) % 8 || le16(h->attrs_off) < usa_end)
		broken(x, NTFS_RECORD_RULE, 0x14, 2, "its attributes begin at %u, in its header",
		       le16(h->attrs_off));
	if (!le16(h->sequence))
		broken(x, NTFS_RECORD_RULE, 0x10, 2, "its sequence number is zero");
}

/* The clusters that the attribute says it has, and the runs that it has. */
static void check_runs(struct look *x, const struct ntfs_attr *a)
{
	const struct ntfs_geometry *g = &x->k->n->g;
	uint64_t next = a->lowest_vcn, stored = 0;
	struct fs_runs runs = {0};
	int r = ntfs_pairs_decode(g, a->value, a->lowest_vcn, &runs, &next, &stored);

	/* No runs at all: the last VCN is -1, or the one before the first. */
	if (r == -EBADMSG)
		broken(x, NTFS_PAIRS, a->value.addr, (uint32_t)a->value.len,
		       "the runs of attribute 0x%" PRIx32 " are no runs", a->type);
	else if (!r && next != a->highest_vcn + 1)
		broken(x, NTFS_PAIRS, a->at + 0x18, 8,
		       "the runs of attribute 0x%" PRIx32 " end before VCN %" PRIu64
		       ", but its last one is %" PRIu64,
		       a->type, next, a->highest_vcn);
	for (size_t i = 0; i < runs.n; i++)
		if (runs.v[i].kind == EXTENT_LOST)
			broken(x, NTFS_RUN_OUTSIDE, a->value.addr, (uint32_t)a->value.len,
			       "a run of attribute 0x%" PRIx32 " lies outside the volume: %" PRIu64
			       " clusters at VCN %" PRIu64,
			       a->type, runs.v[i].len / g->cluster, runs.v[i].off / g->cluster);
	fs_runs_free(&runs);
}

static void check_sizes(struct look *x, const struct ntfs_attr *a)
{
	if (a->lowest_vcn)
		return;
	if (a->size > a->allocated)
		broken(x, NTFS_SIZES, a->at + 0x28, 16,
		       "attribute 0x%" PRIx32 " has %" PRIu64 " bytes in clusters of %" PRIu64
		       " bytes",
		       a->type, a->size, a->allocated);
	if (a->initialized > a->size)
		broken(x, NTFS_SIZES, a->at + 0x30, 16,
		       "attribute 0x%" PRIx32 ": %" PRIu64 " of %" PRIu64 " bytes are initialised",
		       a->type, a->initialized, a->size);
	if (a->allocated % x->k->n->g.cluster)
		broken(x, NTFS_SIZES, a->at + 0x28, 8,
		       "attribute 0x%" PRIx32 " has %" PRIu64
		       " bytes of clusters, no multiple of one",
		       a->type, a->allocated);
}

/* What stands behind the header: a name if there is one, then the value or the mapping pairs. */
static void check_layout(struct look *x, const struct ntfs_attr *a)
{
	const struct ntfs_attr_header *h = (const void *)(x->r->p + a->at);
	uint32_t value = (uint32_t)(a->value.addr - a->at);

	/* From 0x10 to 0x100 in steps of 0x10; what users define begins at 0x1000. */
	if (a->type % 0x10 || !a->type || (a->type > 0x100 && a->type < 0x1000))
		broken(x, NTFS_RECORD_RULE, a->at, 4, "0x%" PRIx32 " is no type of attribute",
		       a->type);
	if (value % 8 || value < (a->resident ? sizeof(struct ntfs_resident) : 0) ||
	    (h->name_len && le16(h->name_off) + 2u * h->name_len > value))
		broken(x, NTFS_RECORD_RULE, a->at + 8, 16,
		       "attribute 0x%" PRIx32
		       ": its name of %u units at 0x%x, its value at 0x%" PRIx32,
		       a->type, h->name_len, le16(h->name_off), value);
}

static void check_attrs(struct look *x)
{
	const struct ntfs_record_header *h = ntfs_head(x->r);
	struct span s = {x->r->p, x->k->n->g.record, 0};
	struct ntfs_attr a;
	uint32_t pos = 0, last = 0, end = le16(h->attrs_off);
	const le32_t *mark;

	while (ntfs_attr_next(x->k->n, x->r, &pos, &a)) {
		if (a.type < last)
			broken(x, NTFS_RECORD_RULE, a.at, 4,
			       "attribute 0x%" PRIx32 " comes after 0x%" PRIx32, a.type, last);
		if ((pos - a.at) % 8)
			broken(x, NTFS_RECORD_RULE, a.at + 4, 4,
			       "attribute 0x%" PRIx32 " is %" PRIu64 " bytes long", a.type,
			       pos - a.at);
		check_layout(x, &a);
		if (!a.resident && !a.doubtful) {
			check_runs(x, &a);
			check_sizes(x, &a);
		}
		last = a.type;
		end = pos;
	}
	mark = span_at(s, end, sizeof(*mark));
	if (!mark || le32(*mark) != (uint32_t)NTFS_END)
		broken(x, NTFS_RECORD_RULE, end, 4,
		       "at %" PRIu32 " is neither an attribute nor the end mark", end);
}

bool ntfs_check_rules(const struct ntfs_check *k, const struct ntfs_record *r, bool report)
{
	struct look x = {.k = k, .r = r, .report = report};

	if (!(le16(ntfs_head(r)->flags) & NTFS_IN_USE))
		return false;
	check_header(&x);
	check_attrs(&x);
	return x.broken;
}
