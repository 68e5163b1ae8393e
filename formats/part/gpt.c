/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/part/gpt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/part/scan.h"
#include "formats/signature.h"
#include "vdiskck/core/json.h"

/* The first entries of the primary array, to judge by before anything is allocated. */
enum { PEEK = 4 };

static int peek(struct layer *below, const struct gpt *g, struct gpt_entry e[PEEK])
{
	struct ranges bad = {0};
	int r = layer_read(below, 2ull * g->sector, e, PEEK * sizeof(*e), &bad);

	if (!r && bad.n)
		r = -EIO;
	ranges_free(&bad);
	return r;
}

/* Does an entry cover byte @at? An ISO image for sticks has a partition over its own start. */
static bool covers(const struct gpt *g, const struct gpt_entry *e, uint64_t at)
{
	return gpt_entry_used(e) && le64(e->start_lba) <= at / g->sector &&
	       le64(e->end_lba) >= at / g->sector;
}

/* Without headers: a protective MBR, and entries that make sense where the array should be. */
static int probe_lone_array(struct layer *below, struct gpt *g)
{
	struct gpt_entry e[PEEK];
	unsigned sane = 0;

	if (g->mbr.gpt < 0)
		return 0;
	for (g->sector = 512; g->sector <= 4096; g->sector *= 8) {
		g->sectors = below->size / g->sector;
		if (peek(below, g, e))
			continue;
		for (int i = 0; i < PEEK; i++) {
			if (gpt_entry_used(&e[i]) &&
			    (!gpt_entry_sane(g, &e[i]) || le64(e[i].start_lba) >= g->sectors))
				return 0;
			sane += gpt_entry_used(&e[i]);
		}
		if (sane)
			return 62;
	}
	return 0;
}

/*
 * A real MBR beside a GPT: the disk was partitioned anew by a tool that left the GPT there. Its
 * owner's systems follow the MBR. One entry from sector 1 on is a protective MBR, bad type or not.
 */
static bool mbr_rules(const struct mbr_view *m)
{
	if (m->gpt >= 0 || !m->magic || !m->used || !m->strict)
		return false;
	for (int i = 0; i < 4; i++)
		if (le32(m->m.entry[i].sectors) && le32(m->m.entry[i].start) != 1)
			return true;
	return false;
}

static int gpt_probe(struct layer *below)
{
	struct gpt g = {0};
	struct signature sig;
	struct gpt_entry e[PEEK];
	int r = gpt_find(below, &g);
	bool good;

	if (r <= 0)
		return r ? 0 : probe_lone_array(below, &g);
	good = gpt_good(&g.copy[0]) || gpt_good(&g.copy[1]);
	if (signature_at(below, 0, &sig)) {
		/* A whole-disk file system was made over a GPT: its backup, at least, stays. */
		if (!gpt_good(&g.copy[0]) || sig.boot)
			return 0;
		if (!strcmp(sig.name, "iso9660") && !peek(below, &g, e))
			for (int i = 0; i < PEEK; i++)
				if (covers(&g, &e[i], 32768))
					return 0;
	}
	if (mbr_rules(&g.mbr))
		return good ? 45 : 0;
	return good ? 95 : 70;
}

static int add_entry(struct layer *l, struct gpt *g, uint32_t i)
{
	const struct gpt_entry *e = &g->entry[i];
	struct part p = {
		.start = le64(e->start_lba) * g->sector,
		.len = (le64(e->end_lba) - le64(e->start_lba) + 1) * g->sector,
		.at = g->array->array_at + (uint64_t)i * g->entry_size,
		.at_len = sizeof(*e),
	};
	uint64_t flags = le64(e->attributes);
	char name[36 * 3 + 1];

	snprintf(p.name, sizeof(p.name), "p%" PRIu32, i + 1);
	guid_text_le(e->type, p.type_id);
	guid_text_le(e->unique, p.id);
	p.type = gpt_type(p.type_id);
	utf16_text(e->name, 36, 0, name, sizeof(name));
	name_escape(name, strlen(name), p.label, sizeof(p.label));
	/* UEFI 2.10, table 5-8; bits 60, 62, 63 are Microsoft's, for basic data */
	snprintf(p.flags, sizeof(p.flags), "%s%s%s%s%s%s", flags & 1 ? "required " : "",
		 flags & 2 ? "no-block-io " : "", flags & 4 ? "legacy-boot " : "",
		 flags >> 60 & 1 ? "read-only " : "", flags >> 62 & 1 ? "hidden " : "",
		 flags >> 63 & 1 ? "no-drive-letter " : "");
	if (*p.flags)
		p.flags[strlen(p.flags) - 1] = '\0';
	return part_add(l, &g->parts, &p);
}

static void report_impossible(struct layer *l, const struct gpt *g, uint32_t i)
{
	const struct gpt_entry *e = &g->entry[i];

	finding_fact(l, GPT_ENTRY_BAD,
		     &(struct fact){.at = g->array->array_at + (uint64_t)i * g->entry_size + 0x20,
				    .at_len = 16,
				    .stored = strf("LBA %" PRIu64 " to %" PRIu64,
						   le64(e->start_lba), le64(e->end_lba)),
				    .expected = strf("within 2 to %" PRIu64, g->sectors - 1)},
		     "entry %" PRIu32 " can't be a partition: it goes from LBA %" PRIu64
		     " to %" PRIu64,
		     i + 1, le64(e->start_lba), le64(e->end_lba));
}

static int add_entries(struct layer *l, struct gpt *g)
{
	unsigned impossible = 0;
	int r = 0;

	for (uint32_t i = 0; i < g->entries && !r && !g->parts.full; i++) {
		if (!gpt_entry_used(&g->entry[i]))
			continue;
		if (gpt_entry_sane(g, &g->entry[i]))
			r = add_entry(l, g, i);
		else if (impossible++ < PARTS_MAX)
			report_impossible(l, g, i);
	}
	return r;
}

/* The sectors that the table takes, or would take where a copy is lost. */
static int add_tables(struct gpt *g)
{
	const struct gpt_copy *p = &g->copy[0], *b = &g->copy[1];
	int r = part_table(&g->parts, 0, g->sector, "protective MBR");

	if (!r)
		r = part_table(&g->parts, p->at, g->sector, "GPT header");
	if (!r && p->array)
		r = part_table(&g->parts, p->array_at, p->array_len, "GPT array");
	if (!r && (b->magic || (p->magic && le64(p->h.alternate_lba) == b->lba)))
		r = part_table(&g->parts, b->at, g->sector, "backup GPT header");
	if (!r && b->array && b->magic)
		r = part_table(&g->parts, b->array_at, b->array_len, "backup GPT array");
	return r;
}

/* Which copy is in use, when it isn't all of the primary. */
static void report_choice(struct layer *l, struct gpt *g)
{
	const struct gpt_copy *p = &g->copy[0], *b = &g->copy[1];

	if (g->header == p && g->array == p && gpt_good(p) && !g->merged)
		return;
	gpt_report_copy(l, g, p);
	g->told[0] = true;
	if (!gpt_good(p) && !gpt_good(b)) {
		gpt_report_copy(l, g, b);
		g->told[1] = true;
		finding(l, GPT_HEADERS_BAD, p->at, sizeof(p->h), "neither GPT header holds; %s",
			g->header ? "the sizes in one of them make sense and are used"
				  : "the usual array of 128 entries is assumed");
	}
	if (g->merged) {
		if (!g->told[1])
			gpt_report_copy(l, g, b);
		g->told[1] = true;
		finding(l, GPT_ARRAYS_BAD, g->array->array_at, g->array->array_len,
			"no copy of the partition array is proven by its checksum; each entry that "
			"makes sense is used, from the primary copy if it does there");
	} else if (g->header == b || g->array == b) {
		finding(l, GPT_BACKUP_USED, g->header == b ? b->at : b->array_at,
			g->header == b ? sizeof(b->h) : b->array_len,
			"the backup %s at LBA %" PRIu64 " %s used in place of the primary",
			g->header == g->array ? "header and array"
			: g->header == b      ? "header"
					      : "array",
			g->header == b ? b->lba : b->array_at / g->sector,
			g->header == g->array ? "are" : "is");
	}
}

static int gpt_open(struct layer *l)
{
	struct gpt *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	l->priv = g;
	r = gpt_find(l->below, g);
	if (r < 0)
		return r;
	if (!r && g->mbr.gpt < 0)
		return -EBADMSG;
	r = gpt_load(l, g);
	if (r)
		return r;
	l->size = l->below->size;
	l->sector = g->sector;
	if (!g->header) {
		bool any = false;

		for (uint32_t i = 0; i < g->entries; i++)
			any = any || gpt_entry_used(&g->entry[i]);
		if (!any)
			return -EBADMSG;
	}
	report_choice(l, g);
	r = add_tables(g);
	if (!r)
		r = add_entries(l, g);
	return r ? r : scan_at_open(l, &g->parts);
}

static int gpt_check(struct layer *l)
{
	struct gpt *g = l->priv;
	int r = gpt_check_all(l, g);

	if (!r)
		r = part_check_overlaps(l, &g->parts);
	return r ? r : scan_at_check(l, &g->parts);
}

static void gpt_info(struct layer *l, struct json *to)
{
	struct gpt *g = l->priv;
	char guid[GUID_TEXT];

	if (g->header)
		js_str(to, "disk_guid", guid_text_le(g->header->h.disk_guid, guid));
	js_u64(to, "entries", g->entries);
	part_info(l, &g->parts, to);
}

static bool gpt_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
			  uint64_t *len)
{
	struct gpt *g = l->priv;

	for (int k = 0; k < 2; k++) {
		const struct gpt_copy *c = &g->copy[k];
		uint64_t i;

		if (!c->array || (k && !c->magic) || at < c->array_at ||
		    at - c->array_at >= c->array_len)
			continue;
		i = (at - c->array_at) / g->entry_size;
		snprintf(name, cap, "%sGPT entry %" PRIu64, k ? "backup " : "", i + 1);
		*start = c->array_at + i * g->entry_size;
		*len = g->entry_size;
		return true;
	}
	return part_structure(&g->parts, at, name, cap, start, len);
}

static void gpt_close(struct layer *l)
{
	struct gpt *g = l->priv;

	if (!g)
		return;
	gpt_unload(g);
	free(g);
}

const struct layer_ops gpt_ops = {
	.name = "gpt",
	.kind = LAYER_MAP,
	.probe = gpt_probe,
	.open = gpt_open,
	.read = layer_read_mapped,
	.map = part_map_run,
	.check = gpt_check,
	.info = gpt_info,
	.structure = gpt_structure,
	.close = gpt_close,
};
