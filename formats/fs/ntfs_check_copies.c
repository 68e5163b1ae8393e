/* SPDX-License-Identifier: Apache-2.0 */
/* NTFS: what is on the volume twice, and what is the same on every volume. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs_check.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

enum {
	MIRRORED = 4, /* records: as many as fit a cluster, four at least */
	UPCASE_UNITS = 65536,
	ATTRDEF_ENTRY = 160,
};

/* False: some of it is lost, which others report. */
static bool read_whole(struct layer *below, uint64_t at, void *buf, size_t len, int *r)
{
	struct ranges bad = {0};
	bool whole;

	*r = layer_read(below, at, buf, len, &bad);
	whole = !*r && !bad.n;
	ranges_free(&bad);
	return whole;
}

static void check_boot_values(struct ntfs_check *k, const struct ntfs_boot *b)
{
	/* reserved_sectors, fats, root_entries, small_sectors; media and sectors_per_fat behind. */
	if (!all_zero(b->reserved0, 7) || !all_zero(b->reserved0 + 8, 2))
		finding(k->l, NTFS_BOOT_VALUE, k->n->boot_at + 0xe, 26,
			"fields of FAT in the boot sector are not zero");
	if (le16(b->signature) != 0xaa55)
		finding(k->l, NTFS_BOOT_VALUE, k->n->boot_at + 0x1fe, 2,
			"the boot sector does not end in 55 aa");
}

static int check_boot(struct ntfs_check *k)
{
	uint64_t at = k->n->g.sectors * k->n->g.sector;
	struct ntfs_boot first, copy;
	int r;

	if (k->n->boot != NTFS_BOOT_FIRST)
		return 0; /* open() has said so */
	if (!read_whole(k->l->below, 0, &first, sizeof(first), &r))
		return r;
	check_boot_values(k, &first);
	if (!range_inside(at, sizeof(copy), k->l->below->size))
		return 0; /* the partition ends before it, or the volume was cut short */
	if (!read_whole(k->l->below, at, &copy, sizeof(copy), &r))
		return r;
	if (memcmp(&first, &copy, sizeof(first)))
		finding(k->l, NTFS_BACKUP_BOOT, at, sizeof(copy), "%s",
			memcmp(copy.oem, first.oem, 8)
				? "behind the last cluster is no copy of the boot sector"
				: "the copy of the boot sector differs from it");
	return 0;
}

/* One record and its copy. */
static int check_mirrored(struct ntfs_check *k, uint64_t number, uint8_t *a, uint8_t *b)
{
	const struct ntfs_geometry *g = &k->n->g;
	uint64_t at = g->mirr_lcn * g->cluster + number * g->record;
	struct ntfs_record own, copy;
	int r;

	r = ntfs_record_read(k->l, number, a, &own);
	if (r || own.state != NTFS_GOOD || ntfs_record_at(k->n, number, 0) == at)
		return r == -EBADMSG ? 0 : r;
	if (!read_whole(k->l->below, at, b, g->record, &r))
		return r;
	ntfs_record_init(k->n, number, b, NULL, &copy);
	if (copy.state != NTFS_GOOD)
		finding(k->l, NTFS_MIRROR_BAD, at, g->record,
			"the copy of record %" PRIu64 " in $MFTMirr is damaged", number);
	else if (memcmp(a, b, g->record))
		finding(k->l, NTFS_MIRROR_DIFFERS, at, g->record,
			"record %" PRIu64 " and its copy in $MFTMirr differ", number);
	return 0;
}

static int check_mirror(struct ntfs_check *k)
{
	uint8_t *a = malloc(k->n->g.record), *b = malloc(k->n->g.record);
	int r = a && b ? 0 : -ENOMEM;

	for (uint64_t i = 0; i < MIRRORED && !r; i++)
		r = check_mirrored(k, i, a, b);
	free(a);
	free(b);
	return r;
}

/* What a letter maps to is upper case, so it maps to itself: true of every $UpCase there is. */
static void check_upcase(struct ntfs_check *k)
{
	const uint16_t *up = k->n->upcase;
	struct ntfs_stream s = {0};
	uint64_t at = 0;
	size_t wrong = 0;
	uint32_t first = 0;

	if (!k->upcase_good)
		return;
	for (uint32_t c = 0; c < UPCASE_UNITS; c++)
		if (up[up[c]] != up[c] && !wrong++)
			first = c;
	if (!wrong)
		return;
	if (!ntfs_inode_load(k->l, NTFS_UPCASE_FILE, k->ino) &&
	    !ntfs_stream_get(k->l, k->ino, NTFS_DATA, (struct span){0}, &s) && s.runs.n &&
	    s.runs.v[0].kind == EXTENT_DATA)
		at = s.runs.v[0].at;
	fs_runs_free(&s.runs);
	ntfs_inode_free(k->ino);
	finding(k->l, NTFS_UPCASE_VALUE, at + 2 * first, 2,
		"%zu letters map to lower case; the first is U+%04" PRIX32 ", to U+%04X", wrong,
		first, up[first]);
}

/* An entry of $AttrDef: a label of 64 units, and the type at 0x80. */
static bool is_definition(struct span table, uint32_t i, uint32_t type, const char *label)
{
	const uint8_t *e = span_at(table, (uint64_t)i * ATTRDEF_ENTRY, ATTRDEF_ENTRY);
	size_t len = strlen(label);

	return e && le32(*(const le32_t *)(e + 0x80)) == type &&
	       ntfs_name_is((struct span){e, len * 2, 0}, label) && !e[len * 2] && !e[len * 2 + 1];
}

static int check_attrdef(struct ntfs_check *k)
{
	struct ranges bad = {0};
	struct span s = {0};
	uint8_t *p = ntfs_stream_load(k->l, NTFS_ATTRDEF, NTFS_DATA, NULL, 65536, &s.len, &bad);

	s.p = p;
	if (!bad.n && (!is_definition(s, 0, NTFS_STANDARD_INFORMATION, "$STANDARD_INFORMATION") ||
		       !is_definition(s, 1, NTFS_ATTRIBUTE_LIST, "$ATTRIBUTE_LIST") ||
		       !is_definition(s, 2, NTFS_FILE_NAME, "$FILE_NAME")))
		finding(k->l, NTFS_ATTRDEF_VALUE, ntfs_check_at(k, NTFS_ATTRDEF, 0), k->n->g.record,
			"the table of attributes does not begin with $STANDARD_INFORMATION, "
			"$ATTRIBUTE_LIST, $FILE_NAME");
	free(p);
	ranges_free(&bad);
	return 0;
}

int ntfs_check_copies(struct ntfs_check *k)
{
	int r = check_boot(k);

	if (!r)
		r = check_mirror(k);
	check_upcase(k);
	return r ? r : check_attrdef(k);
}
