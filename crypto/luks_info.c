/* SPDX-License-Identifier: Apache-2.0 */
/* What `info` shows of LUKS, and what its metadata are called. */
#include <stdio.h>

#include "crypto/luks.h"
#include "crypto/luks_aead.h"
#include "vdiskck/core/json.h"

static const char *slot_state(const struct luks_slot *s)
{
	static const char *const text[] = {
		[LUKS_SLOT_GOOD] = "in use",
		[LUKS_SLOT_IMPOSSIBLE] = "damaged",
		[LUKS_SLOT_UNKNOWN] = "not known",
		[LUKS_SLOT_OVERWRITTEN] = "overwritten",
		[LUKS_SLOT_REENCRYPT] = "reencryption",
		[LUKS_SLOT_COSTLY] = "too costly",
		[LUKS_SLOT_OPENED] = "opened",
	};

	return text[s->state];
}

static struct json *info_slots(const struct luks *u)
{
	struct json *list = js_array();

	for (size_t i = 0; i < u->n_slots; i++) {
		const struct luks_slot *s = &u->slot[i];
		struct json *j = js_object();

		js_u64(j, "id", s->id);
		js_str(j, "state", slot_state(s));
		if (s->state != LUKS_SLOT_UNKNOWN && s->state != LUKS_SLOT_REENCRYPT) {
			js_str(j, "opened_by", "passphrase, keyfile");
			if (s->kdf == LUKS_PBKDF2)
				js_strf(j, "kdf", "PBKDF2-%s, %llu iterations",
					prim_hash_name((enum prim_hash)s->kdf_hash),
					(unsigned long long)s->passes);
			else
				js_strf(j, "kdf", "%s, %llu passes, %u KiB, %u lanes",
					s->kdf == LUKS_ARGON2I ? "Argon2i" : "Argon2id",
					(unsigned long long)s->passes, s->memory, s->lanes);
		}
		js_u64(j, "offset", s->off);
		js_u64(j, "length", s->len);
		js_add(list, j);
	}
	return list;
}

void luks_info(struct layer *l, struct json *to)
{
	const struct luks *u = l->priv;
	static const char *const verdict[] = {"good", "absent", "wrong checksum", "torn JSON",
					      "misplaced"};
	struct json *list = js_array();

	js_str(to, "cipher", u->n_segments ? u->segment[0].cipher.text : "none");
	if (u->n_segments && u->segment[0].integrity[0])
		js_str(to, "integrity", u->segment[0].integrity);
	js_bool(to, "locked", !u->open);
	js_str(to, "uuid", u->uuid);
	if (u->label[0])
		js_str(to, "label", u->label);
	if (u->subsystem[0])
		js_str(to, "subsystem", u->subsystem);
	if (l->aside)
		js_str(to, "header", u->header);
	if (u->n_segments)
		js_u64(to, "payload_offset", u->segment[0].off);
	js_u64(to, "sector_size", l->sector);
	if (u->n_segments > 1)
		js_u64(to, "segments", u->n_segments);
	if (u->requirements[0])
		js_str(to, "requirements", u->requirements);
	if (u->reencryption)
		js_bool(to, "reencryption", true);
	js_put(to, "keyslots", info_slots(u));
	for (size_t i = 0; i < u->n_tokens; i++)
		js_add_str(list, u->token[i].type);
	js_put(to, "tokens", list);
	if (u->version != 2)
		return;
	list = js_array();
	for (int i = 0; i < 2; i++) {
		struct json *c = js_object();

		js_u64(c, "offset", u->copy[i].off);
		js_str(c, "state", verdict[u->copy[i].verdict]);
		js_u64(c, "sequence_id", u->copy[i].seqid);
		js_bool(c, "used", i == u->used);
		js_add(list, c);
	}
	js_put(to, "metadata_copies", list);
	for (size_t i = 0; i < u->n_segments; i++)
		if (u->segment[i].aead) {
			struct json *j = js_object();

			luks_aead_info(u->segment[i].aead, j);
			js_put(to, "dm_integrity", j);
		}
}

bool luks_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
		    uint64_t *len)
{
	const struct luks *u = l->priv;

	if (u->meta != l->below)
		return false;
	for (size_t i = 0; i < u->n_slots; i++)
		if (at >= u->slot[i].off && at - u->slot[i].off < u->slot[i].len) {
			snprintf(name, cap, "LUKS keyslot %u", u->slot[i].id);
			*start = u->slot[i].off;
			*len = u->slot[i].len;
			return true;
		}
	for (int i = 0; i < 2 && u->version == 2; i++)
		if (at >= u->copy[i].off && at - u->copy[i].off < u->copy[i].size) {
			snprintf(name, cap, "LUKS2 %s header", i ? "secondary" : "primary");
			*start = u->copy[i].off;
			*len = u->copy[i].size;
			return true;
		}
	for (size_t i = 0; i < u->n_segments; i++)
		if (u->segment[i].aead &&
		    luks_aead_structure(u->segment[i].aead, at, name, cap, start, len))
			return true;
	if (at >= u->header_end)
		return false;
	snprintf(name, cap, u->version == 1 ? "LUKS1 header" : "LUKS2 header area");
	*start = 0;
	*len = u->header_end;
	return true;
}
