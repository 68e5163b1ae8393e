/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHD: check of footers, header and locators; vhd_blocks.c checks blocks and the space between
 * them, vhd_bitmaps.c what bitmaps say. Faults are reported once per run of neighbours, and none stops it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "formats/container/vhd_check.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/core/text.h"

enum { CLOCK_SLACK = 1800, NAME_CAP = 6200 };

#define FIELD_AT(base, type, field) ((base) + offsetof(struct type, field))

static void field(struct layer *l, enum finding_id id, uint64_t at, uint64_t len, uint64_t stored,
		  const char *expected, const char *what)
{
	finding_fact(l, id,
		     &(struct fact){.at = at,
				    .at_len = len,
				    .stored = strf("0x%" PRIx64, stored),
				    .expected = expected},
		     "%s", what);
}

static void check_time(struct layer *l, uint64_t at, uint32_t stated, const char *what)
{
	char text[TIME_TEXT];

	if (VHD_EPOCH + stated > (int64_t)time(NULL) + CLOCK_SLACK)
		finding_fact(l, VHD_TIME,
			     &(struct fact){.at = at,
					    .at_len = 4,
					    .stored = time_text(VHD_EPOCH + stated, 0, text)},
			     "%s lies in the future", what);
}

/* "All ones": some writers took the field for one of 32 bits. */
static bool is_no_offset(uint64_t off)
{
	return off == VHD_NO_OFFSET || off == UINT32_MAX;
}

static void check_footer_fields(struct layer *l)
{
	struct vhd *v = l->priv;
	const struct vhd_footer *f = &v->footer;
	uint64_t at = v->footer_at, size = be64(f->current_size);
	uint32_t features = be32(f->features), version = be32(f->version);
	uint32_t g = be32(f->geometry);
	bool hidden_known = !memcmp(f->creator, "tap", 3) && f->hidden == 1;

	if ((features & 3) != features || !(features & 2))
		field(l, VHD_FOOTER_FIELD, FIELD_AT(at, vhd_footer, features), 4, features,
		      "0x2 or 0x3", "unknown features in the footer");
	if (version != VHD_VERSION_1)
		field(l, VHD_VERSION_UNKNOWN, FIELD_AT(at, vhd_footer, version), 4, version,
		      "0x10000", "unknown version of the format");
	if (v->type == VHD_FIXED && !is_no_offset(be64(f->data_offset)))
		field(l, VHD_FOOTER_FIELD, FIELD_AT(at, vhd_footer, data_offset), 8,
		      be64(f->data_offset), "all ones", "a fixed disk has no dynamic header");
	if (!size || size % VHD_SECTOR)
		field(l, VHD_FOOTER_FIELD, FIELD_AT(at, vhd_footer, current_size), 8, size,
		      "a multiple of 512", "impossible size of the disk");
	if (g != VHD_CHS_MAX && vhd_chs_bytes(g) > size)
		field(l, VHD_GEOMETRY, FIELD_AT(at, vhd_footer, geometry), 4, g,
		      strf("no more than %" PRIu64 " sectors", size / VHD_SECTOR),
		      "the geometry holds more than the disk");
	if (f->saved_state > 1)
		field(l, VHD_FOOTER_FIELD, FIELD_AT(at, vhd_footer, saved_state), 1, f->saved_state,
		      "0 or 1", "unknown saved state");
	if (f->hidden && !hidden_known)
		field(l, VHD_FOOTER_FIELD, FIELD_AT(at, vhd_footer, hidden), 1, f->hidden,
		      "0, or 1 by XenServer", "unknown hidden state");
	if (!all_zero(f->reserved, sizeof(f->reserved)))
		finding(l, VHD_FOOTER_FIELD, FIELD_AT(at, vhd_footer, reserved),
			sizeof(f->reserved), "reserved bytes of the footer are not zero");
	check_time(l, FIELD_AT(at, vhd_footer, time), be32(f->time), "the time of creation");
}

/* The copy in front, if another one is in use. */
static int check_copy(struct layer *l)
{
	struct vhd *v = l->priv;
	struct vhd_footer copy;
	size_t i = 0;
	int r = 0;

	if (v->type == VHD_FIXED || v->from == FOOTER_COPY || v->from == FOOTER_MADE)
		return 0;
	r = layer_read(l->below, 0, &copy, sizeof(copy), NULL);
	if (r)
		return r;
	while (i < v->footer_len && ((char *)&copy)[i] == ((char *)&v->footer)[i])
		i++;
	if (i == v->footer_len)
		return 0;
	if (memcmp(copy.cookie, VHD_COOKIE, 8) || !vhd_footer_sum_ok(&copy))
		finding(l, VHD_FOOTER_COPY, 0, sizeof(copy),
			"the copy of the footer at 0 is damaged, first at byte %zu", i);
	else if (copy.hidden != v->footer.hidden && i >= offsetof(struct vhd_footer, checksum) &&
		 v->tap && be32(copy.creator_version) <= 0x00010001)
		return 0; /* the first XenServer tools hid a VHD in the copy only */
	else
		finding_fact(l, VHD_FOOTER_DIFFERS,
			     &(struct fact){.at = i,
					    .at_len = 1,
					    .stored = strf("0x%02x", ((uint8_t *)&copy)[i]),
					    .expected = strf("0x%02x", ((uint8_t *)&v->footer)[i])},
			     "the copy of the footer differs from byte %zu on", i);
	return 0;
}

static void check_no_parent(struct layer *l)
{
	struct vhd *v = l->priv;
	const struct vhd_header *h = &v->header;

	if (!all_zero(h->parent_uuid, 16) || be32(h->parent_time) ||
	    !all_zero(h->parent_name, sizeof(h->parent_name)) ||
	    !all_zero(h->locator, sizeof(h->locator)))
		finding(l, VHD_HEADER_FIELD, FIELD_AT(v->header_at, vhd_header, parent_uuid), 0x2d8,
			"a dynamic disk states a parent");
}

static void check_header(struct layer *l)
{
	struct vhd *v = l->priv;
	const struct vhd_header *h = &v->header;
	uint64_t at = v->header_at, entries = be32(h->max_table_entries);

	if (!vhd_header_sum_ok(h))
		field(l, VHD_HEADER_SUM, FIELD_AT(at, vhd_header, checksum), 4, be32(h->checksum),
		      strf("0x%" PRIx32, vhd_sum(h, sizeof(*h), be32(h->checksum))),
		      "wrong checksum of the dynamic header");
	if (memcmp(h->cookie, "cxsparse", 8))
		finding(l, VHD_HEADER_FIELD, at, 8, "the dynamic header's cookie is overwritten");
	if (be32(h->version) != VHD_VERSION_1)
		field(l, VHD_VERSION_UNKNOWN, FIELD_AT(at, vhd_header, version), 4,
		      be32(h->version), "0x10000", "unknown version of the dynamic header");
	if (!is_no_offset(be64(h->data_offset)))
		field(l, VHD_HEADER_FIELD, FIELD_AT(at, vhd_header, data_offset), 8,
		      be64(h->data_offset), "all ones", "nothing can follow the dynamic header");
	if (be32(h->reserved1) || !all_zero(h->reserved2, sizeof(h->reserved2)))
		finding(l, VHD_HEADER_FIELD, FIELD_AT(at, vhd_header, reserved2),
			sizeof(h->reserved2), "reserved bytes of the dynamic header are not zero");
	if (entries > v->blocks && v->bat_at + entries * 4 > v->data_end)
		field(l, VHD_HEADER_FIELD, FIELD_AT(at, vhd_header, max_table_entries), 4, entries,
		      strf("%" PRIu64 " blocks", v->blocks),
		      "the table would run past the end of the file");
	if (entries < v->blocks) {
		uint64_t first = entries << v->block_shift;

		finding_fact(l, VHD_BAT_SHORT,
			     &(struct fact){.at = FIELD_AT(at, vhd_header, max_table_entries),
					    .at_len = 4,
					    .off = first,
					    .len = l->size - first,
					    .lost = true,
					    .stored = strf("%" PRIu64 " entries", entries),
					    .expected = strf("%" PRIu64, v->blocks)},
			     "the block allocation table has no entries for the end of the disk");
	}
	if (v->type == VHD_DIFFERENCING)
		check_time(l, FIELD_AT(at, vhd_header, parent_time), be32(h->parent_time),
			   "the parent's time");
	else
		check_no_parent(l);
}

static const char *last_part(const char *path)
{
	const char *last = path;

	for (; *path; path++)
		if (*path == '/' || *path == '\\')
			last = path + 1;
	return last;
}

static bool code_known(uint32_t code)
{
	static const char known[][5] = {"W2ru", "W2ku", "MacX", "Mac ", "Wi2r", "Wi2k"};
	be32_t c = to_be32(code);

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!memcmp(&c, known[i], 4))
			return true;
	return false;
}

/* What is wrong with locator @i, or NULL. */
static const char *locator_fault(struct layer *l, unsigned i)
{
	static const char mac[4] = {'M', 'a', 'c', ' '};
	struct vhd *v = l->priv;
	const struct vhd_locator *c = &v->header.locator[i];
	char name[NAME_CAP], stated[NAME_CAP];

	if (!be32(c->code))
		return all_zero(c, sizeof(*c)) ? NULL : "is unused, but not empty";
	if (!code_known(be32(c->code)))
		return "has an unknown platform code";
	for (unsigned k = 0; k < i; k++)
		if (!memcmp(&c->code, &v->header.locator[k].code, 4))
			return "has the platform code of an earlier one";
	if (!be64(c->offset) || !be32(c->len) || !be32(c->space))
		return "has no place, no space or no length";
	if (!range_inside(be64(c->offset), be32(c->len), v->data_end))
		return "lies behind the end of the file";
	if (be32(c->reserved))
		return "has reserved bytes that are not zero";
	if (!memcmp(&c->code, mac, 4))
		return NULL; /* an alias record: nothing to read outside of a Mac */
	if (!vhd_locator_name(l, i, name, sizeof(name)))
		return "holds no name";
	vhd_parent_name(v, stated, sizeof(stated));
	if (*stated && strcasecmp(last_part(name), last_part(stated)))
		return "names another file than the header";
	return NULL;
}

static void check_locators(struct layer *l)
{
	struct vhd *v = l->priv;

	for (unsigned i = 0; i < VHD_LOCATORS; i++) {
		const char *fault = locator_fault(l, i);
		char code[20];

		if (fault)
			finding(l, VHD_LOCATOR,
				FIELD_AT(v->header_at, vhd_header, locator) +
					i * sizeof(struct vhd_locator),
				sizeof(struct vhd_locator), "parent locator %u (%s) %s", i,
				vhd_code_text(v->header.locator[i].code, code), fault);
	}
}

static int by_place(const void *a, const void *b)
{
	const struct vhd_area *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

size_t vhd_areas(const struct layer *l, struct vhd_area area[VHD_AREAS])
{
	const struct vhd *v = l->priv;
	size_t n = 0;

	area[n++] = (struct vhd_area){0, VHD_SECTOR, "footer copy"};
	area[n++] = (struct vhd_area){v->header_at, sizeof(v->header), "dynamic header"};
	area[n++] = (struct vhd_area){v->bat_at, v->bat_len, "BAT"};
	if (v->has_batmap) {
		uint64_t at = be64(v->batmap.offset);
		uint64_t len = (uint64_t)be32(v->batmap.sectors) * VHD_SECTOR;

		area[n++] = (struct vhd_area){v->batmap_at, VHD_SECTOR, "batmap header"};
		if (range_inside(at, len, v->data_end))
			area[n++] = (struct vhd_area){at, len, "batmap"};
	}
	for (unsigned i = 0; i < VHD_LOCATORS && v->type == VHD_DIFFERENCING; i++) {
		const struct vhd_locator *c = &v->header.locator[i];
		uint64_t at = be64(c->offset), len;

		/* The space may be in either unit: only the bytes in use count, in whole sectors. */
		len = be32(c->len) / VHD_SECTOR * VHD_SECTOR +
		      (be32(c->len) % VHD_SECTOR ? VHD_SECTOR : 0);
		if (be32(c->code) && range_inside(at, len, v->data_end))
			area[n++] = (struct vhd_area){at, len, "parent locator"};
	}
	qsort(area, n, sizeof(*area), by_place);
	return n;
}

static void check_areas(struct layer *l)
{
	struct vhd_area area[VHD_AREAS];
	size_t n = vhd_areas(l, area), last = 0;

	for (size_t i = 1; i < n; i++) {
		const struct vhd_area *a = &area[last], *b = &area[i];

		if (b->at < a->at + a->len)
			finding(l, VHD_METADATA_OVERLAP, b->at, b->len,
				"%s at 0x%" PRIx64 " lies over %s at 0x%" PRIx64, b->what, b->at,
				a->what, a->at);
		if (b->at + b->len > a->at + a->len)
			last = i;
	}
}

/* The end of what the file has to hold, against where it ends. */
static void check_fixed(struct layer *l)
{
	struct vhd *v = l->priv;

	if (l->size > v->data_end)
		finding_fact(l, VHD_TRUNCATED,
			     &(struct fact){.at = v->data_end,
					    .off = v->data_end,
					    .len = l->size - v->data_end,
					    .lost = true,
					    .stored = strf("%" PRIu64 " bytes", v->data_end),
					    .expected = strf("%" PRIu64, l->size)},
			     "the last %" PRIu64 " bytes of the disk are not in the file",
			     l->size - v->data_end);
	else if (v->data_end > be64(v->footer.current_size) && v->data_end > l->size)
		finding(l, VHD_SPACE_UNUSED, l->size, v->data_end - l->size,
			"%" PRIu64 " bytes between the end of the disk and the footer",
			v->data_end - l->size);
}

int vhd_check(struct layer *l)
{
	struct vhd *v = l->priv;
	int r;

	if (v->from != FOOTER_MADE)
		check_footer_fields(l);
	session_checked(l->s, v->footer_len);
	r = check_copy(l);
	if (v->type == VHD_FIXED) {
		check_fixed(l);
		return r;
	}
	if (!v->header_made)
		check_header(l);
	if (v->type == VHD_DIFFERENCING)
		check_locators(l);
	check_areas(l);
	session_checked(l->s, VHD_SECTOR + sizeof(v->header) + v->entries * UINT64_C(4));
	if (!r)
		r = vhd_check_places(l);
	if (!r)
		r = vhd_check_bitmaps(l);
	if (!r)
		r = vhd_check_space(l);
	return r;
}
