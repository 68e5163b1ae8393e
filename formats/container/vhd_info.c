/* SPDX-License-Identifier: Apache-2.0 */
/* VHD: what `info` shows, and the names of its structures. */
#include <stdio.h>
#include <string.h>

#include "formats/container/vhd.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"

static const char *type_text(unsigned type)
{
	return type == VHD_FIXED ? "fixed" : type == VHD_DYNAMIC ? "dynamic" : "differencing";
}

static void info_creator(const struct vhd *v, struct json *to)
{
	const struct vhd_footer *f = &v->footer;
	uint32_t version = be32(f->creator_version);
	char text[TIME_TEXT], name[20], os[20];
	size_t len = strnlen(f->creator, 4);

	while (len && f->creator[len - 1] == ' ')
		len--;
	js_str(to, "creator", name_escape(f->creator, len, name, sizeof(name)));
	js_strf(to, "creator_version", "%u.%u", version >> 16, version & 0xffff);
	js_str(to, "creator_os",
	       name_escape(f->creator_os, strnlen(f->creator_os, 4), os, sizeof(os)));
	js_str(to, "created", time_text(VHD_EPOCH + be32(f->time), 0, text));
}

static void info_sizes(const struct layer *l, struct json *to)
{
	const struct vhd *v = l->priv;
	uint32_t g = be32(v->footer.geometry);

	js_u64(to, "current_size", be64(v->footer.current_size));
	js_strf(to, "geometry", "%u/%u/%u", g >> 16, g >> 8 & 0xff, g & 0xff);
	js_str(to, "size_from", v->chs ? "geometry" : "current size");
}

static void info_parent(struct layer *l, struct json *to)
{
	const struct vhd *v = l->priv;
	char text[GUID_TEXT + TIME_TEXT], name[4096];
	struct json *locators = js_array();

	js_str(to, "parent_uuid", guid_text_be(v->header.parent_uuid, text));
	js_str(to, "parent_name", vhd_parent_name(v, name, sizeof(name)));
	if (be32(v->header.parent_time))
		js_str(to, "parent_time",
		       time_text(VHD_EPOCH + be32(v->header.parent_time), 0, text));
	for (unsigned i = 0; i < VHD_LOCATORS; i++) {
		struct json *j;

		if (!be32(v->header.locator[i].code))
			continue;
		j = js_object();
		js_str(j, "code", vhd_code_text(v->header.locator[i].code, text));
		if (vhd_locator_name(l, i, name, sizeof(name)))
			js_str(j, "name", name);
		js_add(locators, j);
	}
	js_put(to, "parent_locators", locators);
	if (l->parent)
		js_str(to, "parent_found_by", v->parent_from);
}

void vhd_info(struct layer *l, struct json *to)
{
	static const char *const from[] = {"end", "end, 511 bytes", "copy", "found by search",
					   "lost"};
	const struct vhd *v = l->priv;
	char uuid[GUID_TEXT];

	js_str(to, "type", type_text(v->type));
	info_creator(v, to);
	js_str(to, "uuid", guid_text_be(v->footer.uuid, uuid));
	js_str(to, "footer", from[v->from]);
	info_sizes(l, to);
	if (v->footer.saved_state)
		js_bool(to, "saved_state", true);
	if (v->footer.hidden)
		js_bool(to, "hidden", true);
	if (v->type == VHD_FIXED)
		return;
	js_u64(to, "block_size", v->block_size);
	js_u64(to, "blocks", v->blocks);
	js_u64(to, "allocated", v->allocated);
	if (v->has_batmap) {
		uint32_t version = be32(v->batmap.version);

		js_strf(to, "batmap", "%u.%u", version >> 16, version & 0xffff);
		js_u64(to, "batmap_marker", v->batmap.marker);
	}
	vhd_crypt_info(l, to);
	if (v->type == VHD_DIFFERENCING)
		info_parent(l, to);
}

static bool hit(uint64_t at, uint64_t start, uint64_t len, uint64_t *s, uint64_t *n)
{
	if (at < start || at - start >= len)
		return false;
	*s = start;
	*n = len;
	return true;
}

/* The BAT a sector at a time: 128 blocks are few enough to look at. */
static bool name_bat(const struct vhd *v, uint64_t at, char *name, size_t cap, uint64_t *start,
		     uint64_t *len)
{
	uint64_t first, end;

	if (!hit(at, v->bat_at, v->bat_len, start, len))
		return false;
	first = (at - v->bat_at) / VHD_SECTOR * (VHD_SECTOR / 4);
	end = first + VHD_SECTOR / 4;
	if (end > be32(v->header.max_table_entries))
		end = be32(v->header.max_table_entries);
	snprintf(name, cap, "BAT entries of blocks %" PRIu64 "..%" PRIu64, first, end - 1);
	*start = v->bat_at + first * 4;
	*len = VHD_SECTOR;
	return true;
}

static bool name_bitmap(const struct vhd *v, uint64_t at, char *name, size_t cap, uint64_t *start,
			uint64_t *len)
{
	uint32_t low = 0, high = v->allocated;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (vhd_block_at(v, v->order[mid]) <= at)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || (v->flags[v->order[low - 1]] & BLOCK_BAD) ||
	    !hit(at, vhd_block_at(v, v->order[low - 1]), v->bitmap_size, start, len))
		return false;
	snprintf(name, cap, "bitmap of block %" PRIu32, v->order[low - 1]);
	return true;
}

bool vhd_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
		   uint64_t *len)
{
	const struct vhd *v = l->priv;
	char code[20];

	snprintf(name, cap, "footer");
	if (v->from != FOOTER_MADE && at >= v->data_end &&
	    hit(at, v->data_end, v->footer_len, start, len))
		return true;
	if (v->type == VHD_FIXED)
		return false;
	snprintf(name, cap, "footer copy");
	if (hit(at, 0, VHD_SECTOR, start, len))
		return true;
	snprintf(name, cap, "dynamic header");
	if (hit(at, v->header_at, sizeof(v->header), start, len))
		return true;
	if (name_bat(v, at, name, cap, start, len))
		return true;
	if (v->has_batmap) {
		snprintf(name, cap, "batmap header");
		if (hit(at, v->batmap_at, VHD_SECTOR, start, len))
			return true;
		snprintf(name, cap, "batmap");
		if (hit(at, be64(v->batmap.offset), (uint64_t)be32(v->batmap.sectors) * VHD_SECTOR,
			start, len))
			return true;
	}
	for (unsigned i = 0; i < VHD_LOCATORS && v->type == VHD_DIFFERENCING; i++) {
		const struct vhd_locator *c = &v->header.locator[i];

		if (!be32(c->code) || !hit(at, be64(c->offset), vhd_locator_space(c), start, len))
			continue;
		snprintf(name, cap, "parent locator %s", vhd_code_text(c->code, code));
		return true;
	}
	return name_bitmap(v, at, name, cap, start, len);
}
