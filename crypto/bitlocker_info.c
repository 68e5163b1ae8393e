/* SPDX-License-Identifier: Apache-2.0 */
/* What `info` shows of a BitLocker volume, and what its structures are called. */
#include <stdio.h>

#include "crypto/bitlocker.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

static const char *filetime_text(uint64_t ft, char buf[TIME_TEXT])
{
	return time_text((int64_t)(ft / 10000000) - 11644473600, (uint32_t)(ft % 10000000) * 100,
			 buf);
}

static const char *state_name(uint16_t state)
{
	switch (state) {
	case FVE_DECRYPTED: return "decrypted";
	case FVE_SWITCHING_DIRTY: return "conversion in progress, not cleanly stopped";
	case FVE_PAUSED: return "conversion paused";
	case FVE_ENCRYPTED: return "encrypted";
	case FVE_SWITCHING: return "conversion in progress";
	default: return "unknown";
	}
}

static const char *opened_by(uint16_t protector)
{
	unsigned kinds = fve_opened_by(protector);

	if (kinds)
		return key_kind_name(kinds);
	return (protector & 0xff00) == FVE_CLEAR ? "nothing: opens by itself" : "its machine only";
}

static struct json *info_protectors(const struct bitlocker *b)
{
	struct span rest = b->copy[b->used].datums;
	struct json *list = js_array();
	struct fve_datum d;

	while (fve_datum_next(&rest, &d)) {
		const struct fve_vmk *v = span_at(d.body, 0, sizeof(*v));
		char id[GUID_TEXT], time[TIME_TEXT];
		struct json *p;

		if (d.type != FVE_TYPE_VMK || !v)
			continue;
		p = js_object();
		js_str(p, "id", guid_text_le(v->id, id));
		js_str(p, "type", fve_protector_name(le16(v->protector)));
		js_str(p, "opened_by", opened_by(le16(v->protector)));
		js_str(p, "modified", filetime_text(le64(v->modified), time));
		js_add(list, p);
	}
	return list;
}

void bitlocker_info(struct layer *l, struct json *to)
{
	struct bitlocker *b = l->priv;
	const struct fve_copy *u = &b->copy[b->used];
	const struct fve_dataset *ds = fve_copy_dataset(u);
	struct json *copies = js_array();
	char text[600], time[TIME_TEXT];
	struct fve_datum d;

	js_str(to, "cipher", fve_method_name(b->method));
	js_str(to, "volume_state", state_name(b->state));
	js_bool(to, "locked", !b->open);
	js_str(to, "volume_id", guid_text_le(ds->id, text));
	js_str(to, "created", filetime_text(le64(ds->created), time));
	if (fve_datum_find(u->datums, FVE_ROLE_DESCRIPTION, FVE_TYPE_UNICODE, &d))
		js_str(to, "description",
		       utf16_text(d.body.p, d.body.len / 2, 0, text, sizeof(text)));
	js_u64(to, "metadata_version", le16(fve_copy_header(u)->version));
	js_u64(to, "sector_size", b->sector);
	if (b->boot.to_go)
		js_bool(to, "to_go", true);
	if (b->eow.n)
		js_u64(to, "encrypt_on_write_regions", b->eow.n);
	if (b->watermark != UINT64_MAX && b->watermark < l->size)
		js_u64(to, "encrypted_up_to", b->watermark);
	for (int i = 0; i < FVE_COPIES; i++) {
		struct json *c;

		if (!b->copy[i].bytes)
			continue;
		c = js_object();
		js_u64(c, "offset", b->copy[i].off);
		js_str(c, "state", fve_verdict_text(b->copy[i].verdict));
		js_bool(c, "used", i == b->used);
		js_add(copies, c);
	}
	js_put(to, "metadata_copies", copies);
	js_put(to, "protectors", info_protectors(b));
}

bool bitlocker_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
			 uint64_t *len)
{
	struct bitlocker *b = l->priv;
	const struct fve_header *h = fve_copy_header(&b->copy[b->used]);
	uint64_t moved = (uint64_t)le32(h->header_sectors) * b->sector;

	for (int i = 0; i < FVE_COPIES; i++)
		if (b->copy[i].off && at >= b->copy[i].off && at - b->copy[i].off < FVE_BLOCK) {
			snprintf(name, cap, "BitLocker metadata copy %d", i + 1);
			*start = b->copy[i].off;
			*len = FVE_BLOCK;
			return true;
		}
	if (at < b->sector) {
		snprintf(name, cap, "BitLocker volume header");
		*start = 0;
		*len = b->sector;
		return true;
	}
	if (moved && at >= moved)
		return false;
	if (moved) {
		snprintf(name, cap, "space of sectors that BitLocker moved");
		*start = b->sector;
		*len = moved - b->sector;
	}
	return moved > 0;
}
