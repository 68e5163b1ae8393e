/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/part/gpt.h"
#include "vdiskck/core/sum.h"

static uint64_t entry_at(const struct gpt *g, uint32_t i)
{
	return g->array->array_at + (uint64_t)i * g->entry_size;
}

static void field(struct layer *l, const struct gpt_copy *c, size_t at, size_t len,
		  const char *stored, const char *expected, const char *what)
{
	finding_fact(
		l, GPT_HEADER_FIELD,
		&(struct fact){
			.at = c->at + at, .at_len = len, .stored = stored, .expected = expected},
		"the %s GPT header has %s %s, not %s", c->what, what, stored, expected);
}
#define FIELD(l, c, name, stored, expected, what)                                                  \
	field(l, c, offsetof(struct gpt_header, name), sizeof((c)->h.name), stored, expected, what)

/* The disk ends before the place where the primary header says the backup is. */
static bool is_cut(const struct gpt *g)
{
	const struct gpt_copy *p = &g->copy[0];

	return gpt_good(p) && le64(p->h.alternate_lba) >= g->sectors && !g->copy[1].magic;
}

static void report_cut(struct layer *l, const struct gpt *g)
{
	const struct gpt_copy *p = &g->copy[0];
	uint64_t end = le64(p->h.alternate_lba), missing = end - (g->sectors - 1);
	char size[SIZE_TEXT];

	if (missing > UINT64_MAX / g->sector)
		missing = UINT64_MAX / g->sector;
	finding_fact(l, GPT_DISK_CUT,
		     &(struct fact){.at = p->at + offsetof(struct gpt_header, alternate_lba),
				    .at_len = 8,
				    .stored = strf("LBA %" PRIu64, end),
				    .expected = strf("LBA %" PRIu64, g->sectors - 1)},
		     "the disk was larger: its last %s are missing, the backup GPT with them; "
		     "partitions that reach there are named on their own",
		     size_text(missing * g->sector, size));
}

static void report_header(struct layer *l, const struct gpt_copy *c)
{
	if (!c->magic) {
		finding_fact(
			l, GPT_HEADER_LOST,
			&(struct fact){
				.at = c->at,
				.at_len = 8,
				.stored = c->lost ? "nothing readable"
					  : all_zero(c->h.signature, 8)
						  ? "zeros"
						  : strf("0x%016" PRIx64,
							 le64(*(const le64_t *)c->h.signature)),
				.expected = "\"EFI PART\""},
			"there is no %s GPT header at LBA %" PRIu64, c->what, c->lba);
		return;
	}
	if (!c->crc)
		finding_fact(l, GPT_HEADER_CRC,
			     &(struct fact){.at = c->at,
					    .at_len = sizeof(c->h),
					    .stored = strf("0x%08" PRIx32, le32(c->h.header_crc32)),
					    .expected = strf("0x%08" PRIx32, c->sum)},
			     "the %s GPT header at LBA %" PRIu64 " fails its checksum", c->what,
			     c->lba);
	if (!c->place)
		finding_fact(l, GPT_HEADER_PLACE,
			     &(struct fact){.at = c->at + offsetof(struct gpt_header, my_lba),
					    .at_len = 8,
					    .stored = strf("LBA %" PRIu64, le64(c->h.my_lba)),
					    .expected = strf("LBA %" PRIu64, c->lba)},
			     "the %s GPT header at LBA %" PRIu64 " was written for LBA %" PRIu64,
			     c->what, c->lba, le64(c->h.my_lba));
	if (!c->sane)
		finding_fact(
			l, GPT_HEADER_FIELD,
			&(struct fact){.at = c->at + offsetof(struct gpt_header, array_lba),
				       .at_len = 16,
				       .stored = strf("%" PRIu32 " entries of %" PRIu32
						      " bytes at LBA %" PRIu64,
						      le32(c->h.entries), le32(c->h.entry_size),
						      le64(c->h.array_lba)),
				       .expected = "an array on this disk, 4 MiB at most"},
			"the %s GPT header states an array that can't be", c->what);
}

void gpt_report_copy(struct layer *l, const struct gpt *g, const struct gpt_copy *c)
{
	const struct gpt_copy *other = &g->copy[c == &g->copy[0]];

	if (c == &g->copy[1] && is_cut(g)) {
		report_cut(l, g);
		return;
	}
	if (!c->looked)
		return; /* no room for a backup: a disk of three sectors */
	report_header(l, c);
	if (!c->magic || !c->sane || c->array_ok)
		return;
	/* A damaged header proves nothing against an array that the other header vouches for. */
	if (!c->crc && gpt_good(other) && c->array && !c->array_lost &&
	    c->array_sum == le32(other->h.array_crc32))
		return;
	finding_fact(l, GPT_ARRAY_CRC,
		     &(struct fact){.at = c->array_at,
				    .at_len = c->array_len,
				    .stored = strf("0x%08" PRIx32, le32(c->h.array_crc32)),
				    .expected = strf("0x%08" PRIx32, c->array_sum)},
		     c->array_lost ? "the %s partition array can't be read in full"
				   : "the %s partition array fails its checksum",
		     c->what);
}

/* --- both headers --- */

static void check_fields(struct layer *l, const struct gpt *g, const struct gpt_copy *c)
{
	const struct gpt_header *h = &c->h;
	uint64_t first = le64(h->first_usable_lba), last = le64(h->last_usable_lba);
	uint64_t array = le64(h->array_lba), sectors;

	if (!gpt_good(c))
		return;
	sectors = ((uint64_t)le32(h->entries) * le32(h->entry_size) + g->sector - 1) / g->sector;
	if (le32(h->revision) != 0x10000)
		FIELD(l, c, revision, strf("0x%08" PRIx32, le32(h->revision)), "0x00010000",
		      "revision");
	if (first > last)
		FIELD(l, c, first_usable_lba, strf("LBA %" PRIu64, first),
		      strf("up to LBA %" PRIu64, last), "its first usable sector at");
	else if (array <= last && array + sectors > first)
		FIELD(l, c, first_usable_lba, strf("LBA %" PRIu64 " to %" PRIu64, first, last),
		      strf("clear of its array at LBA %" PRIu64, array), "usable sectors from");
}

/*
 * The largest cylinder there is, 255 heads of 63 sectors: up to a whole one qemu-img and Hyper-V
 * round the size of a disk that becomes a VHD, for its geometry's sake. Nobody enlarged it.
 */
enum { CYLINDER = 255 * 63 * 512 };

static void check_end(struct layer *l, const struct gpt *g)
{
	const struct gpt_copy *b = &g->copy[1];
	uint64_t grown = (g->sectors - 1 - b->lba) * g->sector;
	struct fact fact = {.at = b->at, .at_len = sizeof(b->h)};
	char text[SIZE_TEXT];

	if (!grown)
		return;
	fact.stored = strf("LBA %" PRIu64, b->lba);
	fact.expected = strf("LBA %" PRIu64, g->sectors - 1);
	size_text(grown, text);
	if (grown < CYLINDER)
		finding_fact(l, GPT_DISK_ROUNDED_UP, &fact,
			     "the disk ends %s behind its table, less than a cylinder", text);
	else
		finding_fact(l, GPT_BACKUP_NOT_AT_END, &fact,
			     "the backup GPT is not at the end of the disk: the disk was enlarged "
			     "by %s, and the table not yet",
			     text);
}

static void check_pair(struct layer *l, const struct gpt *g)
{
	const struct gpt_copy *p = &g->copy[0], *b = &g->copy[1];

	if (gpt_good(b) && b->lba < g->sectors)
		check_end(l, g);
	if (!gpt_good(p) || !gpt_good(b))
		return;
	if (le64(p->h.alternate_lba) != b->lba)
		FIELD(l, p, alternate_lba, strf("LBA %" PRIu64, le64(p->h.alternate_lba)),
		      strf("LBA %" PRIu64, b->lba), "the backup at");
	if (le64(b->h.alternate_lba) != 1)
		FIELD(l, b, alternate_lba, strf("LBA %" PRIu64, le64(b->h.alternate_lba)), "LBA 1",
		      "the primary at");
	if (memcmp(p->h.disk_guid, b->h.disk_guid, 16) != 0 ||
	    memcmp(&p->h.first_usable_lba, &b->h.first_usable_lba, 16) != 0 ||
	    (p->array_ok && b->array_ok &&
	     (p->array_len != b->array_len || memcmp(p->array, b->array, p->array_len) != 0)))
		finding_fact(
			l, GPT_COPIES_DIFFER,
			&(struct fact){.at = b->at,
				       .at_len = sizeof(b->h),
				       .stored = strf("array 0x%08" PRIx32, le32(b->h.array_crc32)),
				       .expected =
					       strf("array 0x%08" PRIx32, le32(p->h.array_crc32))},
			"both copies of the GPT hold, but they differ: a tool wrote only one "
			"of them. The primary is used");
}

/* --- protective and hybrid MBR --- */

static bool in_gpt(const struct gpt *g, uint64_t start, uint64_t sectors)
{
	for (uint32_t i = 0; i < g->entries; i++) {
		const struct gpt_entry *e = &g->entry[i];

		if (gpt_entry_used(e) && le64(e->start_lba) == start &&
		    le64(e->end_lba) - le64(e->start_lba) + 1 == sectors)
			return true;
	}
	return false;
}

static void check_hybrid(struct layer *l, const struct gpt *g)
{
	for (int i = 0; i < 4; i++) {
		const struct mbr_entry *e = &g->mbr.m.entry[i];
		uint64_t at = MBR_ENTRY_AT + (uint64_t)i * sizeof(*e);

		if (!e->type || e->type == MBR_TYPE_GPT || !le32(e->sectors))
			continue;
		if (in_gpt(g, le32(e->start), le32(e->sectors)))
			finding(l, GPT_HYBRID, at, sizeof(*e),
				"hybrid MBR: entry %d shows a partition of the GPT to systems that "
				"read MBRs only",
				i + 1);
		else
			finding_fact(l, GPT_HYBRID_DIFFERS,
				     &(struct fact){.at = at,
						    .at_len = sizeof(*e),
						    .off = (uint64_t)le32(e->start) * g->sector,
						    .len = (uint64_t)le32(e->sectors) * g->sector},
				     "hybrid MBR: entry %d (type 0x%02x, sector %" PRIu32
				     ", %" PRIu32 " sectors) is no partition of the GPT",
				     i + 1, e->type, le32(e->start), le32(e->sectors));
	}
}

static void check_protective(struct layer *l, const struct gpt *g)
{
	const struct mbr_view *m = &g->mbr;
	const struct mbr_entry *e = m->gpt < 0 ? NULL : &m->m.entry[m->gpt];
	uint64_t at = MBR_ENTRY_AT + (uint64_t)(m->gpt < 0 ? 0 : m->gpt) * sizeof(*e);
	uint64_t whole = g->sectors - 1;

	if (!m->magic || !e) {
		finding_fact(l, GPT_PMBR_MISSING,
			     &(struct fact){.at = m->magic ? MBR_ENTRY_AT : 510,
					    .at_len = m->magic ? 64 : 2,
					    .stored = m->lost ? "nothing readable" : NULL,
					    .expected = "an entry of type 0xee, and 55 aa"},
			     "there is no protective MBR: systems may take the disk for empty, or "
			     "refuse the GPT");
		return;
	}
	if (whole > UINT32_MAX)
		whole = UINT32_MAX;
	if (le32(e->start) != 1 && m->used == 0)
		finding_fact(l, GPT_PMBR_SIZE,
			     &(struct fact){.at = at + offsetof(struct mbr_entry, start),
					    .at_len = 4,
					    .stored = strf("%" PRIu32, le32(e->start)),
					    .expected = "1"},
			     "the protective MBR starts at sector %" PRIu32, le32(e->start));
	/* Many tools write 0xffffffff; a hybrid covers what its other entries leave. */
	else if (m->used == 0 && le32(e->sectors) != whole && le32(e->sectors) != UINT32_MAX)
		finding_fact(l, GPT_PMBR_SIZE,
			     &(struct fact){.at = at + offsetof(struct mbr_entry, sectors),
					    .at_len = 4,
					    .stored = strf("%" PRIu32, le32(e->sectors)),
					    .expected = strf("%" PRIu64, whole)},
			     "the protective MBR covers %" PRIu32 " sectors, not the whole disk",
			     le32(e->sectors));
	if (m->used)
		check_hybrid(l, g);
}

/* --- entries --- */

static void check_bounds(struct layer *l, const struct gpt *g, uint32_t i)
{
	const struct gpt_entry *e = &g->entry[i];
	uint64_t first = le64(g->header->h.first_usable_lba);
	uint64_t last = le64(g->header->h.last_usable_lba);

	if (le64(e->start_lba) >= first && le64(e->end_lba) <= last)
		return;
	finding_fact(l, GPT_ENTRY_OUTSIDE,
		     &(struct fact){.at = entry_at(g, i) + 0x20,
				    .at_len = 16,
				    .stored = strf("LBA %" PRIu64 " to %" PRIu64,
						   le64(e->start_lba), le64(e->end_lba)),
				    .expected = strf("LBA %" PRIu64 " to %" PRIu64, first, last)},
		     "p%" PRIu32 " is not within the usable sectors that the header states", i + 1);
}

static void check_entries(struct layer *l, const struct gpt *g)
{
	unsigned outside = 0, deleted = 0;

	for (uint32_t i = 0; i < g->entries; i++) {
		const struct gpt_entry *e = &g->entry[i];

		if (gpt_entry_sane(g, e)) {
			if (gpt_good(g->header ? g->header : &g->copy[0]) && g->header &&
			    outside++ < PARTS_MAX)
				check_bounds(l, g, i);
		} else if (!gpt_entry_used(e) && le64(e->start_lba) &&
			   le64(e->end_lba) >= le64(e->start_lba) && deleted++ < PARTS_MAX) {
			finding(l, GPT_ENTRY_DELETED, entry_at(g, i), sizeof(*e),
				"entry %" PRIu32 " has no type, but goes from LBA %" PRIu64
				" to %" PRIu64 ": perhaps a deleted partition",
				i + 1, le64(e->start_lba), le64(e->end_lba));
		}
	}
}

static int by_guid(const void *a, const void *b)
{
	const struct gpt_entry *const *x = a, *const *y = b;
	int r = memcmp((*x)->unique, (*y)->unique, 16);

	return r ? r : (*x > *y) - (*x < *y);
}

static int check_guids(struct layer *l, const struct gpt *g)
{
	const struct gpt_entry **v = calloc(g->entries, sizeof(*v));
	char guid[GUID_TEXT];
	unsigned told = 0;
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->entries; i++)
		if (gpt_entry_used(&g->entry[i]))
			v[n++] = &g->entry[i];
	qsort(v, n, sizeof(*v), by_guid);
	for (size_t i = 1; i < n && told < PARTS_MAX; i++) {
		if (memcmp(v[i]->unique, v[i - 1]->unique, 16) != 0)
			continue;
		finding(l, GPT_GUID_TWICE, entry_at(g, (uint32_t)(v[i] - g->entry)) + 0x10, 16,
			"p%d and p%d have one GUID, %s", (int)(v[i - 1] - g->entry) + 1,
			(int)(v[i] - g->entry) + 1, guid_text_le(v[i]->unique, guid));
		told++;
	}
	free(v);
	return 0;
}

int gpt_check_all(struct layer *l, struct gpt *g)
{
	for (int k = 0; k < 2; k++) {
		const struct gpt_copy *c = &g->copy[k];

		if (!g->told[k])
			gpt_report_copy(l, g, c);
		check_fields(l, g, c);
		session_checked(l->s, g->sector + c->array_len);
	}
	check_pair(l, g);
	check_protective(l, g);
	check_entries(l, g);
	return check_guids(l, g);
}

void gpt_report_stale(struct layer *l)
{
	struct gpt g = {0};

	if (gpt_find(l->below, &g) <= 0)
		return;
	for (int k = 0; k < 2; k++) {
		const struct gpt_copy *c = &g.copy[k];

		if (gpt_good(c))
			finding(l, GPT_STALE, c->at, sizeof(c->h),
				"a %s GPT header of an earlier partitioning is still at LBA %" PRIu64
				"; the MBR does not refer to it",
				c->what, c->lba);
	}
}
