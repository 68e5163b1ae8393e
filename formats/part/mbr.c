/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MBR: four entries in sector 0, and extended partitions that hold a chain of further ones
 * (EBR), each with a logical partition and a link to the next. No checksums and no copies: what
 * can be said is whether the entries make sense together.
 *
 * Numbered, and walked, as Linux does (block/partitions/msdos.c: facts): primary partitions are
 * p1 to p4 by their place, logical ones p5 and up in the order of the chain.
 *
 * The sector size is stated nowhere. Addresses count 512 or 4096 bytes; the one for which EBRs
 * and known file systems lie where the entries point is taken.
 */
#include "formats/part/mbr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/part/gpt.h"
#include "formats/part/scan.h"
#include "formats/signature.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/sum.h"

struct mbr_map {
	struct part_map parts; /* first: scan and gpt code take it as the layer's priv */
	struct mbr_view view;
	uint64_t *ebr; /* addresses visited */
	size_t ebrs;
};

/* --- judging sector 0 --- */

static bool entry_used(const struct mbr_entry *e)
{
	return e->type && le32(e->sectors);
}

static bool entry_plausible(const struct mbr_entry *e, uint64_t size)
{
	uint64_t start = le32(e->start);

	return !(e->status & 0x7f) && start && start * 512 < size;
}

int mbr_look(struct layer *below, struct mbr_view *v)
{
	struct ranges bad = {0};
	int r = layer_read(below, 0, &v->m, sizeof(v->m), &bad);

	v->lost = bad.n != 0;
	ranges_free(&bad);
	if (r)
		return r;
	v->magic = v->m.signature[0] == 0x55 && v->m.signature[1] == 0xaa;
	v->used = v->plausible = 0;
	v->strict = v->shaped = true;
	v->gpt = -1;
	for (int i = 0; i < 4; i++) {
		const struct mbr_entry *e = &v->m.entry[i];

		if (e->type == MBR_TYPE_GPT && v->gpt < 0)
			v->gpt = i;
		if (!entry_used(e)) {
			v->shaped = v->shaped && all_zero(e, sizeof(*e));
			continue;
		}
		v->used += e->type != MBR_TYPE_GPT;
		v->plausible += e->type != MBR_TYPE_GPT && entry_plausible(e, below->size);
		v->shaped = v->shaped && entry_plausible(e, UINT64_MAX);
		v->strict = v->strict && entry_plausible(e, below->size);
	}
	v->strict = v->strict && v->shaped;
	return 0;
}

/*
 * An ISO image made bootable from a stick ("isohybrid") has a table in which one partition holds
 * the whole image, table included: a trick for firmware, and no map of volumes.
 */
static bool is_isohybrid(struct layer *below, const struct mbr_view *v)
{
	static const uint64_t volume_descriptors = 16 * 2048;
	struct signature sig;

	if (!signature_at(below, 0, &sig) || strcmp(sig.name, "iso9660") != 0)
		return false;
	for (int i = 0; i < 4; i++) {
		uint64_t start = le32(v->m.entry[i].start);

		if (le32(v->m.entry[i].sectors) && start * 512 <= volume_descriptors)
			return true;
	}
	return !v->used;
}

static int mbr_probe(struct layer *below)
{
	struct mbr_view v;
	struct signature sig;
	bool content;

	if (below->size < 512 || mbr_look(below, &v) || v.lost)
		return 0;
	/* A protective MBR alone says nothing that the GPT does not say better. */
	if (v.gpt >= 0 && !v.used)
		return 0;
	content = signature_at(below, 0, &sig);
	if (content && (sig.boot || is_isohybrid(below, &v)))
		return 0;
	if (!v.magic)
		return v.used && v.strict && !content ? 40 : 0;
	if (v.used && v.strict)
		return content ? 70 : 80;
	/* Boot code of a file system that isn't known may lie where the table would. */
	if (v.plausible)
		return content ? 0 : v.plausible == v.used ? 65 : 50;
	if (content || !v.shaped)
		return 0;
	return v.used ? 40 : 35; /* of a disk that was cut, or with nothing in it */
}

/* --- sector size --- */

/* How many entries point at something known, if a sector has @sector bytes. */
static int evidence(struct layer *below, const struct mbr *m, uint32_t sector)
{
	int n = 0;

	for (int i = 0; i < 4; i++) {
		const struct mbr_entry *e = &m->entry[i];
		uint64_t at = (uint64_t)le32(e->start) * sector;
		struct signature sig;
		uint8_t magic[2] = {0};

		if (!entry_used(e) || !le32(e->start))
			continue;
		if (mbr_extended(e->type)) {
			if (!layer_read(below, at + 510, magic, 2, NULL))
				n += magic[0] == 0x55 && magic[1] == 0xaa ? 4 : 0;
		} else if (signature_at(below, at, &sig)) {
			n += 4;
		}
		n += range_inside(at, (uint64_t)le32(e->sectors) * sector, below->size);
	}
	return n;
}

static uint32_t sector_size(struct layer *below, const struct mbr *m)
{
	int small = evidence(below, m, 512), large = evidence(below, m, 4096);

	if (small == large)
		return below->sector == 4096 ? 4096 : 512;
	return large > small ? 4096 : 512;
}

/* --- entries --- */

static int add_entry(struct layer *l, const struct mbr_entry *e, unsigned number, uint64_t base,
		     uint64_t at, bool inside)
{
	struct mbr_map *map = l->priv;
	struct part p = {
		.start = base + (uint64_t)le32(e->start) * l->sector,
		.len = (uint64_t)le32(e->sectors) * l->sector,
		.at = at,
		.at_len = sizeof(*e),
		.container = mbr_extended(e->type) && !inside,
		.inside = inside,
		.type = mbr_type(e->type),
	};

	snprintf(p.name, sizeof(p.name), "p%u", number);
	snprintf(p.type_id, sizeof(p.type_id), "0x%02x", e->type);
	if (e->status & 0x80)
		snprintf(p.flags, sizeof(p.flags), "active");
	return part_add(l, &map->parts, &p);
}

/* Remember an EBR; false if the chain was here before. */
static bool visit(struct mbr_map *map, uint64_t at)
{
	for (size_t i = 0; i < map->ebrs; i++)
		if (map->ebr[i] == at)
			return false;
	map->ebr[map->ebrs++] = at;
	return true;
}

/* One extended partition, and how far its chain was walked. */
struct chain {
	uint64_t base, len; /* of the extended partition */
	uint64_t at;	    /* the EBR at hand */
	uint64_t link;	    /* address of the entry that led here */
	unsigned number;    /* of the next logical partition */
	bool first;
};

static int lost_chain(struct layer *l, const struct chain *c, enum finding_id id, const char *why)
{
	finding_fact(l, id,
		     &(struct fact){.at = c->link,
				    .at_len = sizeof(struct mbr_entry),
				    .off = c->at,
				    .len = c->at < l->size ? 512 : 0,
				    .stored = strf("%" PRIu64, c->at),
				    .expected = strf("%" PRIu64 " to %" PRIu64, c->base,
						     c->base + c->len)},
		     "%s: logical partitions from p%u on, if any, are not found", why, c->number);
	return 0;
}

/* The partitions of one EBR. Linux takes any entry that is no link; there should be one. */
static int ebr_partitions(struct layer *l, struct chain *c, const struct mbr *m)
{
	int r = 0;

	for (int i = 0; i < 4 && !r; i++) {
		const struct mbr_entry *e = &m->entry[i];
		uint64_t at = c->at + MBR_ENTRY_AT + (uint64_t)i * sizeof(*e);
		uint64_t off = (uint64_t)le32(e->start) * l->sector;
		uint64_t len = (uint64_t)le32(e->sectors) * l->sector;
		bool inside = range_inside(c->at - c->base + off, len, c->len);

		if (!entry_used(e) || mbr_extended(e->type))
			continue;
		if (i >= 2) {
			finding(l, EBR_EXTRA, at, sizeof(*e),
				"entry %d of an EBR is in use; only two should be", i + 1);
			if (!inside || !off)
				continue;
		}
		if (!inside)
			finding_fact(l, EBR_PARTITION_OUTSIDE,
				     &(struct fact){
					     .at = at,
					     .at_len = sizeof(*e),
					     .off = c->at + off,
					     .len = len,
					     .stored = strf("%" PRIu64 " bytes at %" PRIu64, len,
							    c->at + off),
					     .expected = strf("up to %" PRIu64, c->base + c->len)},
				     "p%u does not lie inside its extended partition", c->number);
		r = add_entry(l, e, c->number++, c->at, at, true);
	}
	return r;
}

static const struct mbr_entry *ebr_link(const struct mbr *m)
{
	for (int i = 0; i < 4; i++)
		if (entry_used(&m->entry[i]) && mbr_extended(m->entry[i].type))
			return &m->entry[i];
	return NULL;
}

/* Read the EBR at c->at. Positive: the chain ends here, and why was said. */
static int ebr_read(struct layer *l, struct chain *c, struct mbr *m)
{
	struct mbr_map *map = l->priv;
	struct ranges bad = {0};
	int r;

	if (c->at >= l->size)
		return 1; /* behind the disk's end: PART_PAST_END says what is missing */
	if (map->parts.full)
		return 1;
	if (map->ebrs == PARTS_MAX)
		return lost_chain(l, c, PART_TOO_MANY, "the chain of EBRs is too long") + 1;
	if (!visit(map, c->at))
		return lost_chain(l, c, EBR_LOOP, "the chain of EBRs returns to one it has seen") +
		       1;
	r = layer_read(l->below, c->at, m, sizeof(*m), &bad);
	if (!r && bad.n)
		r = lost_chain(l, c, EBR_LOST, "an EBR can't be read") + 1;
	/* An extended partition in which nothing was made yet: some tools write no first EBR. */
	else if (!r && c->first && all_zero(m, sizeof(*m)))
		r = 1;
	else if (!r && (m->signature[0] != 0x55 || m->signature[1] != 0xaa))
		r = lost_chain(l, c, EBR_LOST, "there is no EBR where the chain leads") + 1;
	ranges_free(&bad);
	return r;
}

static int walk_extended(struct layer *l, const struct mbr_entry *e, uint64_t at, unsigned *number)
{
	struct mbr_map *map = l->priv;
	struct chain c = {
		.base = (uint64_t)le32(e->start) * l->sector,
		.len = (uint64_t)le32(e->sectors) * l->sector,
		.at = (uint64_t)le32(e->start) * l->sector,
		.link = at,
		.number = *number,
		.first = true,
	};
	int r = 0;

	while (!r) {
		const struct mbr_entry *link;
		unsigned before = c.number;
		struct mbr m;

		r = ebr_read(l, &c, &m);
		if (!r)
			r = ebr_partitions(l, &c, &m);
		if (!r && c.number > before)
			r = part_table(&map->parts, c.at, l->sector, "EBR of p%u", before);
		else if (!r)
			r = part_table(&map->parts, c.at, l->sector, "EBR without a partition");
		link = r ? NULL : ebr_link(&m);
		if (!link)
			break;
		c.link = c.at + MBR_ENTRY_AT + (uint64_t)(link - m.entry) * sizeof(*link);
		c.at = c.base + (uint64_t)le32(link->start) * l->sector;
		c.first = false;
		if (c.at - c.base >= c.len) {
			lost_chain(l, &c, EBR_OUTSIDE,
				   "the chain of EBRs leaves its extended partition");
			break;
		}
	}
	*number = c.number;
	return r < 0 ? r : 0;
}

/* --- the driver --- */

static int mbr_open(struct layer *l)
{
	struct mbr_map *map = calloc(1, sizeof(*map));
	unsigned logical = 5;
	int r;

	if (!map)
		return -ENOMEM;
	l->priv = map;
	l->size = l->below->size;
	map->ebr = calloc(PARTS_MAX, sizeof(*map->ebr));
	if (!map->ebr)
		return -ENOMEM;
	r = mbr_look(l->below, &map->view);
	if (r)
		return r;
	if (map->view.lost)
		return -EBADMSG;
	l->sector = sector_size(l->below, &map->view.m);
	r = part_table(&map->parts, 0, l->sector, "MBR");
	if (!map->view.magic)
		finding_fact(l, MBR_SIGNATURE,
			     &(struct fact){.at = 510,
					    .at_len = 2,
					    .stored = strf("%02x %02x", map->view.m.signature[0],
							   map->view.m.signature[1]),
					    .expected = "55 aa"},
			     "the MBR lacks its signature; its entries make sense and are used");
	for (int i = 0; i < 4 && !r; i++) {
		const struct mbr_entry *e = &map->view.m.entry[i];

		if (entry_used(e) && le32(e->start) && e->type != MBR_TYPE_GPT)
			r = add_entry(l, e, (unsigned)i + 1, 0,
				      MBR_ENTRY_AT + (uint64_t)i * sizeof(*e), false);
	}
	for (int i = 0; i < 4 && !r; i++) {
		const struct mbr_entry *e = &map->view.m.entry[i];

		if (entry_used(e) && le32(e->start) && mbr_extended(e->type))
			r = walk_extended(l, e, MBR_ENTRY_AT + (uint64_t)i * sizeof(*e), &logical);
	}
	return r ? r : scan_at_open(l, &map->parts);
}

static void check_entry(struct layer *l, const struct mbr_entry *e, int i)
{
	uint64_t at = MBR_ENTRY_AT + (uint64_t)i * sizeof(*e);

	if (e->status & 0x7f)
		finding_fact(l, MBR_STATUS,
			     &(struct fact){.at = at,
					    .at_len = 1,
					    .stored = strf("0x%02x", e->status),
					    .expected = "0x00 or 0x80"},
			     "entry %d has status 0x%02x", i + 1, e->status);
	if (e->type && (!le32(e->sectors) || !le32(e->start)))
		finding(l, MBR_ENTRY_EMPTY, at, sizeof(*e),
			"entry %d has type 0x%02x, start %" PRIu32 " and %" PRIu32 " sectors",
			i + 1, e->type, le32(e->start), le32(e->sectors));
	if (!e->type && le32(e->sectors))
		finding(l, MBR_ENTRY_DELETED, at, sizeof(*e),
			"entry %d has no type, but %" PRIu32 " sectors at sector %" PRIu32
			": perhaps a deleted partition",
			i + 1, le32(e->sectors), le32(e->start));
}

static void check_primary(struct layer *l, const struct mbr *m)
{
	unsigned active = 0;

	for (int i = 0; i < 4; i++) {
		check_entry(l, &m->entry[i], i);
		active += m->entry[i].status == 0x80;
	}
	if (active > 1)
		finding(l, MBR_ACTIVE, MBR_ENTRY_AT, 4 * sizeof(m->entry[0]),
			"%u partitions are marked active; a boot sector takes the first, or none",
			active);
}

static int mbr_check(struct layer *l)
{
	struct mbr_map *map = l->priv;
	int r;

	check_primary(l, &map->view.m);
	if (map->view.gpt < 0)
		gpt_report_stale(l);
	session_checked(l->s, (map->ebrs + 1) * sizeof(struct mbr));
	r = part_check_overlaps(l, &map->parts);
	return r ? r : scan_at_check(l, &map->parts);
}

static void mbr_info(struct layer *l, struct json *to)
{
	struct mbr_map *map = l->priv;

	js_strf(to, "disk_id", "0x%08" PRIx32, le32(map->view.m.disk_id));
	part_info(l, &map->parts, to);
}

static bool mbr_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
			  uint64_t *len)
{
	struct mbr_map *map = l->priv;

	return part_structure(&map->parts, at, name, cap, start, len);
}

static void mbr_close(struct layer *l)
{
	struct mbr_map *map = l->priv;

	if (!map)
		return;
	part_map_free(&map->parts);
	free(map->ebr);
	free(map);
}

const struct layer_ops mbr_ops = {
	.name = "mbr",
	.kind = LAYER_MAP,
	.probe = mbr_probe,
	.open = mbr_open,
	.read = layer_read_mapped,
	.map = part_map_run,
	.check = mbr_check,
	.info = mbr_info,
	.structure = mbr_structure,
	.close = mbr_close,
};
