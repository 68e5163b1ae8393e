/* SPDX-License-Identifier: Apache-2.0 */
/* What the header of a TrueCrypt or VeraCrypt volume says, and which of its copies says it. */
#include <errno.h>
#include <inttypes.h>

#include "crypto/tcrypt.h"
#include "vdiskck/core/session.h"

enum {
	UNIT = 512,
	SIZE_MAX_BITS = 60,    /* a volume of an exbibyte is no volume */
	OLD_HIDDEN_END = 1536, /* from there to the end: the old hidden volume's header */
};

uint64_t tcrypt_place_off(enum tcrypt_place p, uint64_t size)
{
	static const struct {
		uint64_t off;
		bool from_end;
	} at[TCRYPT_PLACES] = {
		[TCRYPT_AT_PRIMARY] = {0, false},    [TCRYPT_AT_SYSTEM] = {62 * 512, false},
		[TCRYPT_AT_HIDDEN] = {65536, false}, [TCRYPT_AT_OLD_HIDDEN] = {1536, true},
		[TCRYPT_AT_BACKUP] = {131072, true}, [TCRYPT_AT_HIDDEN_BACKUP] = {65536, true},
	};
	uint64_t off = at[p].off;

	if (size < TCRYPT_HEADER || off > size - TCRYPT_HEADER)
		return UINT64_MAX;
	return at[p].from_end ? size - off : off;
}

const char *tcrypt_place_name(enum tcrypt_place p)
{
	static const char *const name[TCRYPT_PLACES] = {
		[TCRYPT_AT_PRIMARY] = "primary header",
		[TCRYPT_AT_SYSTEM] = "system header",
		[TCRYPT_AT_HIDDEN] = "hidden volume's header",
		[TCRYPT_AT_OLD_HIDDEN] = "hidden volume's header",
		[TCRYPT_AT_BACKUP] = "backup header",
		[TCRYPT_AT_HIDDEN_BACKUP] = "hidden volume's backup header",
	};

	return name[p];
}

bool tcrypt_is_hidden(enum tcrypt_place p)
{
	return p == TCRYPT_AT_HIDDEN || p == TCRYPT_AT_HIDDEN_BACKUP || p == TCRYPT_AT_OLD_HIDDEN;
}

/* Where the data is and how its units are numbered, by the words of header @h. */
static void claim(const struct layer *below, const struct tcrypt_hit *hit, uint64_t *start,
		  uint64_t *len, uint64_t *unit)
{
	const struct tcrypt_header *h = hit->h;
	bool old = be16(h->version) < 4;

	*start = be64(h->start);
	*len = be64(tcrypt_is_hidden(hit->place) ? h->hidden_size : h->volume_size);
	if (hit->place == TCRYPT_AT_SYSTEM) {
		*len = be64(h->len);
	} else if (hit->place == TCRYPT_AT_OLD_HIDDEN) {
		/* It ends where its header begins. */
		*start = below->size - OLD_HIDDEN_END;
		*start = *len <= *start ? *start - *len : 0;
	} else if (old) {
		*start = UNIT;
		*len = below->size - UNIT;
	}
	*unit = *start / UNIT;
	if (hit->alg->mode == TCRYPT_LRW)
		*unit = 0;
}

void tcrypt_report_copy(struct layer *l, const struct tcrypt_hit *bad)
{
	const struct tcrypt *t = l->priv;

	if (t->hit.place == TCRYPT_AT_BACKUP || t->hit.place == TCRYPT_AT_HIDDEN_BACKUP) {
		enum tcrypt_place first =
			t->hit.place == TCRYPT_AT_BACKUP ? TCRYPT_AT_PRIMARY : TCRYPT_AT_HIDDEN;

		finding(l, TCRYPT_BACKUP_USED, tcrypt_place_off(first, l->below->size),
			TCRYPT_HEADER, "the %s %s; its backup at 0x%" PRIx64 " is used",
			tcrypt_place_name(first),
			bad->h ? "is damaged" : "can't be opened with the key that opens its copy",
			t->hit.off);
	}
	if (!t->hit.crc_ok)
		finding(l, TCRYPT_HEADER_CRC, t->hit.off + 64, 252 - 64,
			"the %s opens, but its CRC is wrong: what it says of sizes may be",
			tcrypt_place_name(t->hit.place));
	if (!t->hit.keys_ok)
		finding_fact(l, TCRYPT_KEYS_CRC,
			     &(struct fact){.at = t->hit.off + 256,
					    .at_len = TCRYPT_KEYS,
					    .len = l->size,
					    .doubtful = true},
			     "the %s opens, but the CRC of the master keys is wrong: all that they "
			     "decrypt is in doubt",
			     tcrypt_place_name(t->hit.place));
}

/* Take the header at its word as far as it can be true. */
int tcrypt_apply(struct layer *l)
{
	struct tcrypt *t = l->priv;
	const struct tcrypt_header *h = t->hit.h;
	uint64_t end = l->below->size & ~(uint64_t)(UNIT - 1), start, len;
	uint32_t sector = be32(h->sector);

	claim(l->below, &t->hit, &start, &len, &t->unit);
	t->whole = t->hit.place == TCRYPT_AT_SYSTEM;
	if (start % UNIT || start > end || !len || len >> SIZE_MAX_BITS) {
		finding(l, TCRYPT_HEADER_IMPOSSIBLE, t->hit.off + 0x5c, 0x7c - 0x5c,
			"the header says that %" PRIu64 " bytes at %" PRIu64
			" are encrypted: that can't be",
			len, start);
		return -EBADMSG;
	}
	t->start = start;
	t->len = len & ~(uint64_t)(UNIT - 1);
	if (t->len > end - start) {
		finding_fact(l, TCRYPT_TRUNCATED,
			     &(struct fact){.at = t->hit.off + 0x64,
					    .at_len = 8,
					    .off = t->whole ? 0 : end - start,
					    .len = t->whole ? 0 : t->len - (end - start),
					    .lost = !t->whole},
			     "the volume ends at byte %" PRIu64 ", the image at %" PRIu64,
			     start + t->len, l->below->size);
		if (t->whole)
			t->len = end - start;
	}
	l->size = t->whole ? l->below->size : t->len;
	if (sector == 4096)
		l->sector = 4096;
	if (t->whole ? be64(h->volume_size) > be64(h->len)
		     : be32(h->flags) & TCRYPT_IN_PLACE_ENCRYPTION &&
			       be64(h->len) != be64(h->volume_size))
		finding(l, TCRYPT_UNFINISHED, t->hit.off + 0x74, 8,
			"%" PRIu64 " of %" PRIu64 " bytes are encrypted: this was not finished",
			be64(h->len), be64(h->volume_size));
	return 0;
}

/* The other copy of the header that was opened; UINT64_MAX: there is none. */
uint64_t tcrypt_twin(const struct layer *l, const struct tcrypt_hit *hit, enum tcrypt_place *place)
{
	uint64_t size = l->below->size, end;

	if (be16(hit->h->version) < 4)
		return UINT64_MAX;
	switch (hit->place) {
	case TCRYPT_AT_PRIMARY:
		*place = TCRYPT_AT_BACKUP;
		/* Behind the data, wherever the image ends. */
		end = be64(hit->h->start) + be64(hit->h->volume_size);
		return hit->crc_ok && size >= TCRYPT_HEADER && end <= size - TCRYPT_HEADER
			       ? end
			       : tcrypt_place_off(*place, size);
	case TCRYPT_AT_BACKUP: *place = TCRYPT_AT_PRIMARY; return 0;
	case TCRYPT_AT_HIDDEN:
		*place = TCRYPT_AT_HIDDEN_BACKUP;
		return tcrypt_place_off(*place, size);
	case TCRYPT_AT_HIDDEN_BACKUP:
		*place = TCRYPT_AT_HIDDEN;
		return tcrypt_place_off(*place, size);
	default: return UINT64_MAX;
	}
}

/* A damaged header was opened: its copy may be whole. *bad then is the damaged one. */
int tcrypt_prefer_copy(struct layer *l, struct tcrypt_hit *bad)
{
	struct tcrypt *t = l->priv;
	enum tcrypt_place place = TCRYPT_AT_PRIMARY;
	uint64_t off = tcrypt_twin(l, &t->hit, &place);
	struct tcrypt_hit copy;
	int r;

	*bad = (struct tcrypt_hit){0};
	if ((t->hit.crc_ok && t->hit.keys_ok) || off == UINT64_MAX)
		return 0;
	r = tcrypt_retry(l, &t->hit, place, off, &copy);
	if (!r && copy.crc_ok && copy.keys_ok) {
		*bad = t->hit;
		t->hit = copy;
	} else if (!r) {
		prim_secret_free(copy.h);
	}
	return r == -EKEYREJECTED ? 0 : r;
}
