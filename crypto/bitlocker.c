/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BitLocker volumes, Vista to Windows 11, To Go too.
 *
 * The metadata stands three times on the volume; any copy that holds opens it, and when the
 * volume header that names them is gone, they are found by their signature.
 */
#include "crypto/bitlocker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/prim.h"
#include "crypto/unit.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	SEARCH = 96 << 20, /* where discovery looks for a block without a header: Windows puts the
			       * first one behind 33 MiB, in all volumes seen before 48 */
	VISTA_PLAIN = 0x2000, /* Vista leaves this much of the volume's start in plaintext */
	VISTA_BLOCK = 0x4000,
};

static int bitlocker_probe(struct layer *below)
{
	uint8_t sector[512];
	struct fve_boot boot;

	if (layer_read(below, 0, sector, sizeof(sector), NULL))
		return 0;
	fve_boot_parse(sector, &boot);
	return !boot.found ? 0 : boot.to_go || boot.vista ? 85 : 95;
}

/* Discovery found nothing else in @below: is there metadata without a volume header? */
static int bitlocker_search(struct layer *below)
{
	uint64_t off;

	return fve_search(below, 0, SEARCH, &off) == 1 ? 80 : 0;
}

/*
 * Read the copy that is said to lie at @off into slot @i. A slot that holds metadata keeps it: a
 * second opinion on where a copy lies counts only where the first led nowhere.
 */
static int copy_read(struct layer *l, int i, uint64_t off)
{
	struct bitlocker *b = l->priv;
	struct fve_copy *c = &b->copy[i];

	if (!off || (c->bytes && (c->usable || c->off == off)))
		return 0;
	fve_copy_free(c);
	return fve_copy_read(l->below, off, c);
}

/* The copy to use: a good one; else one whose datums can be walked. -1: none. */
static int copy_best(const struct bitlocker *b)
{
	int best = -1;

	for (int i = 0; i < FVE_COPIES; i++) {
		const struct fve_copy *c = &b->copy[i];

		if (!c->bytes || !c->usable)
			continue;
		if (c->verdict == FVE_GOOD)
			return i;
		if (best < 0 || c->verdict == FVE_MISPLACED)
			best = i;
	}
	return best;
}

static int copies_read(struct layer *l)
{
	struct bitlocker *b = l->priv;
	uint64_t off = 0;
	int r = 0, best;

	for (int i = 0; !r && i < FVE_COPIES; i++)
		r = copy_read(l, i, b->boot.copy[i]);
	if (!r && copy_best(b) < 0) {
		r = fve_search(l->below, 0, l->below->size, &off);
		if (r == 1)
			r = copy_read(l, 0, off);
		b->header_lost = true;
	}
	best = copy_best(b);
	/* Vista's header names one copy only, and a damaged header perhaps none: the rest follow. */
	if (r >= 0 && best >= 0) {
		struct fve_header h = *fve_copy_header(&b->copy[best]);

		/* A block that was found by search stands in slot 0, wherever it belongs. */
		for (int i = 1; b->header_lost && i < FVE_COPIES; i++)
			if (le64(h.copy[i]) == b->copy[0].off) {
				b->copy[i] = b->copy[0];
				b->copy[0] = (struct fve_copy){0};
			}
		for (int i = 0; r >= 0 && i < FVE_COPIES; i++)
			r = copy_read(l, i, le64(h.copy[i]));
		best = copy_best(b);
	}
	b->used = best;
	return r < 0 ? r : best < 0 ? -EBADMSG : 0;
}

static void report_copies(struct layer *l)
{
	struct bitlocker *b = l->priv;
	const struct fve_copy *u = &b->copy[b->used];

	if (b->header_lost)
		finding(l, FVE_HEADER_LOST, 0, 512,
			"the volume header does not name the metadata; found at 0x%" PRIx64
			" by its signature",
			u->off);
	for (int i = 0; i < FVE_COPIES; i++) {
		const struct fve_copy *c = &b->copy[i];
		struct fact f = {.at = c->off, .at_len = c->size ? c->size : FVE_BLOCK};

		if (!c->bytes || c->verdict == FVE_GOOD)
			continue;
		if (c->verdict == FVE_BAD_CRC) {
			f.stored = strf("CRC-32 0x%08" PRIx32, c->stored_crc);
			f.expected = strf("0x%08" PRIx32, c->crc);
		}
		finding_fact(l, i == b->used ? FVE_COPY_USED_BAD : FVE_COPY_BAD, &f,
			     "metadata copy %d at 0x%" PRIx64 ": %s%s", i + 1, c->off,
			     fve_verdict_text(c->verdict),
			     i == b->used ? "; used all the same, for none is better" : "");
	}
	for (int i = 0; i < FVE_COPIES; i++) {
		const struct fve_copy *c = &b->copy[i];

		if (c->bytes && c->verdict == FVE_GOOD && u->verdict == FVE_GOOD &&
		    (c->size != u->size || memcmp(c->bytes, u->bytes, u->size)))
			finding(l, FVE_COPY_DIFFERS, c->off, c->size,
				"metadata copy %d at 0x%" PRIx64
				" is good, but differs from copy %d, which is used",
				i + 1, c->off, b->used + 1);
	}
}

/* --- regions --- */

static int region_add(struct bitlocker *b, uint64_t off, uint64_t len, int kind, uint64_t at)
{
	struct fve_region *v;

	if (!len || off + len < off)
		return 0;
	v = realloc(b->region, (b->n_regions + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	b->region = v;
	v[b->n_regions++] = (struct fve_region){off, len, kind, at};
	return 0;
}

static int region_cmp(const void *a, const void *b)
{
	const struct fve_region *x = a, *y = b;

	/* What is moved or patched wins over metadata that claims the same bytes. */
	if (x->off != y->off)
		return x->off < y->off ? -1 : 1;
	return (x->kind == FVE_ZERO) - (y->kind == FVE_ZERO);
}

static void regions_sort(struct bitlocker *b)
{
	size_t out = 0;
	uint64_t end = 0;

	if (b->n_regions)
		qsort(b->region, b->n_regions, sizeof(*b->region), region_cmp);
	for (size_t i = 0; i < b->n_regions; i++) {
		struct fve_region r = b->region[i];

		if (r.off + r.len <= end)
			continue;
		if (r.off < end) {
			r.at += end - r.off;
			r.len -= end - r.off;
			r.off = end;
		}
		end = r.off + r.len;
		b->region[out++] = r;
	}
	b->n_regions = out;
}

static int regions_of_eow(struct bitlocker *b)
{
	struct fve_eow *e = &b->eow;
	int r = 0;

	for (int i = 0; !r && e->region && i < FVE_EOW_COPIES; i++)
		r = region_add(b, e->off[i], (e->size + b->sector - 1ull) & -(uint64_t)b->sector,
			       FVE_ZERO, 0);
	for (size_t i = 0; !r && i < e->n; i++) {
		r = region_add(b, e->region[i].bitmap, e->region[i].bitmap_len, FVE_ZERO, 0);
		if (!r && e->region[i].log)
			r = region_add(b, e->region[i].log, e->log_size, FVE_ZERO, 0);
	}
	return r;
}

static int regions_make(struct layer *l)
{
	struct bitlocker *b = l->priv;
	const struct fve_header *h = fve_copy_header(&b->copy[b->used]);
	bool vista = le16(h->version) < 2;
	uint64_t moved = (uint64_t)le32(h->header_sectors) * b->sector, block = FVE_BLOCK;
	int r = 0;

	if (vista) {
		uint64_t cluster = b->boot.cluster ? b->boot.cluster : 4096;

		block = (cluster + VISTA_BLOCK - 1) / cluster * cluster;
		r = region_add(b, 0, b->sector, FVE_PATCHED, 0);
		if (!r)
			r = region_add(b, b->sector, VISTA_PLAIN - b->sector, FVE_PLAIN, b->sector);
	} else {
		r = region_add(b, 0, moved, FVE_MOVED, le64(h->header_offset));
		if (!r)
			r = region_add(b, le64(h->header_offset), moved ? moved : b->sector,
				       FVE_ZERO, 0);
	}
	for (int i = 0; !r && i < FVE_COPIES; i++)
		if (le64(h->copy[i]))
			r = region_add(b, le64(h->copy[i]), block, FVE_ZERO, 0);
	if (!r && b->state == FVE_SWITCHING_DIRTY)
		r = region_add(b, le64(h->state_offset), le32(h->state_size), FVE_ZERO, 0);
	if (!r)
		r = regions_of_eow(b);
	regions_sort(b);
	return r;
}

/* --- open --- */

static int set_cipher(struct layer *l, const uint8_t *fvek, size_t len)
{
	struct bitlocker *b = l->priv;
	int r = fve_cipher_open(b, fvek, len);

	b->open = !r;
	return r;
}

/* Does the start of the plaintext look like a volume? Decides for a raw FVEK, and sector size. */
static bool plaintext_looks_right(struct layer *l)
{
	static const struct {
		size_t off;
		const char *magic;
	} known[] = {
		{3, "NTFS    "}, {3, "EXFAT   "}, {3, "ReFS"}, {0x36, "FAT1"}, {0x52, "FAT32"}};
	uint8_t sector[512];

	if (layer_read(l, 0, sector, sizeof(sector), NULL))
		return false;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!memcmp(sector + known[i].off, known[i].magic, strlen(known[i].magic)))
			return true;
	return false;
}

/* Without its header nothing says how large a sector is: the plaintext does. */
static int guess_sector(struct layer *l)
{
	struct bitlocker *b = l->priv;

	for (b->sector = 512; b->sector <= 4096; b->sector *= 8) {
		free(b->region);
		b->region = NULL;
		b->n_regions = 0;
		if (regions_make(l))
			return -ENOMEM;
		if (plaintext_looks_right(l))
			break;
	}
	if (b->sector > 4096) {
		b->sector = 512;
		finding(l, FVE_SECTOR_SIZE, 0, 512,
			"the sector size is not known: 512 bytes are assumed");
	}
	l->sector = b->sector;
	return 0;
}

static int bitlocker_unlock(struct layer *l)
{
	struct bitlocker *b = l->priv;
	uint8_t fvek[FVE_FVEK_MAX];
	size_t len;
	int r = fve_unlock(l, fvek, &len);

	if (!r)
		r = set_cipher(l, fvek, len);
	prim_wipe(fvek, sizeof(fvek));
	if (!r && !b->boot.sector) {
		r = guess_sector(l);
	} else if (!r && !b->vmk && !plaintext_looks_right(l)) {
		/* A raw FVEK has nothing to prove itself by but what it decrypts. */
		fve_cipher_close(b);
		b->open = false;
		r = -EKEYREJECTED;
	}
	return r;
}

static int bitlocker_open(struct layer *l)
{
	struct bitlocker *b = calloc(1, sizeof(*b));
	const struct fve_header *h;
	uint8_t sector[512];
	int r;

	if (!b)
		return -ENOMEM;
	l->priv = b;
	l->size = l->below->size;
	r = layer_read(l->below, 0, sector, sizeof(sector), NULL);
	if (!r) {
		fve_boot_parse(sector, &b->boot);
		r = copies_read(l);
	}
	if (r)
		return r;
	report_copies(l);
	h = fve_copy_header(&b->copy[b->used]);
	if (!b->boot.found)
		b->boot.sector = 0;
	b->sector = b->boot.sector ? b->boot.sector : 512;
	l->sector = b->sector;
	b->method = le16(fve_copy_dataset(&b->copy[b->used])->method);
	b->state = le16(h->state);
	b->watermark = b->state == FVE_DECRYPTED ? 0
		       : le64(h->state_offset)	 ? le64(h->state_offset)
						 : UINT64_MAX;
	if (b->boot.eow)
		r = fve_eow_read(l);
	if (!r)
		r = regions_make(l);
	if (r)
		return r;
	if (b->state == FVE_DECRYPTED) {
		b->open = true;
		return 0;
	}
	if (!fve_fvek_len(b->method)) {
		finding_fact(l, FVE_METHOD,
			     &(struct fact){.at = b->copy[b->used].off + sizeof(*h) + 0x24,
					    .at_len = 2,
					    .len = l->size,
					    .stored = strf("0x%04x", b->method)},
			     "encryption method 0x%04x is not known", b->method);
		return -EOPNOTSUPP;
	}
	return bitlocker_unlock(l);
}

/* --- reading --- */

enum run_kind { RUN_CIPHER, RUN_PLAIN, RUN_ZERO, RUN_PATCHED };

struct run {
	enum run_kind kind;
	uint64_t at, len; /* where it lies below */
};

/* Is the sector at @at stored encrypted, and for how many bytes does that hold? */
static enum run_kind state_at(const struct bitlocker *b, uint64_t at, uint64_t *len)
{
	const struct fve_eow *e = &b->eow;

	*len = UINT64_MAX - at;
	if (b->state == FVE_DECRYPTED)
		return RUN_PLAIN;
	for (size_t i = 0; b->state != FVE_ENCRYPTED && i < e->n; i++) {
		const struct fve_eow_region *g = &e->region[i];
		uint64_t bit, end;
		bool set;

		if (at < g->off || at - g->off >= g->len || !g->bits)
			continue;
		bit = (at - g->off) / e->chunk;
		set = bit >= g->n_bits || g->bits[bit / 8] >> bit % 8 & 1;
		for (end = bit + 1; end < g->n_bits; end++)
			if ((g->bits[end / 8] >> end % 8 & 1) != set)
				break;
		*len = end < g->n_bits ? end * e->chunk - (at - g->off) : g->len - (at - g->off);
		return set ? RUN_CIPHER : RUN_PLAIN;
	}
	if (at >= b->watermark)
		return RUN_PLAIN;
	*len = b->watermark - at;
	return RUN_CIPHER;
}

static void run_at(const struct bitlocker *b, uint64_t off, struct run *run)
{
	size_t lo = 0, hi = b->n_regions;
	uint64_t limit = UINT64_MAX - off, len;

	while (lo < hi) { /* the first region that ends behind @off */
		size_t mid = (lo + hi) / 2;

		if (b->region[mid].off + b->region[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	run->at = off;
	if (lo < b->n_regions && b->region[lo].off <= off) {
		const struct fve_region *g = &b->region[lo];

		limit = g->off + g->len - off;
		run->len = limit;
		run->at = g->at + (off - g->off);
		switch (g->kind) {
		case FVE_ZERO: run->kind = RUN_ZERO; return;
		case FVE_PATCHED: run->kind = RUN_PATCHED; return;
		case FVE_PLAIN: run->kind = RUN_PLAIN; return;
		case FVE_MOVED: break;
		}
	} else if (lo < b->n_regions) {
		limit = b->region[lo].off - off;
	}
	run->kind = state_at(b, run->at, &len);
	run->len = len < limit ? len : limit;
}

static int bitlocker_map(struct layer *l, uint64_t off, struct extent *run)
{
	struct bitlocker *b = l->priv;
	struct run here;

	run_at(b, off, &here);
	run->len = here.len;
	if (here.kind == RUN_ZERO) {
		run->kind = EXTENT_ZERO;
	} else if (!b->open) {
		run->kind = EXTENT_LOST;
		run->why = LAYER_LOCKED;
	} else if (here.at >= l->below->size) {
		run->kind = EXTENT_LOST;
		run->why = LAYER_READ_PAST_END;
	} else {
		run->kind = EXTENT_DATA;
		run->in = l->below;
		run->at = here.at;
		if (run->len > l->below->size - here.at)
			run->len = l->below->size - here.at;
	}
	return 0;
}

/* Vista: NTFS's name and the cluster of $MFTMirr come back where BitLocker wrote its own. */
static void patch(const struct bitlocker *b, uint64_t off, uint8_t *buf, size_t len)
{
	const struct fve_header *h = fve_copy_header(&b->copy[b->used]);
	uint8_t sector[512];

	if (off || len < sizeof(sector))
		return;
	memcpy(sector, buf, sizeof(sector));
	memcpy(sector + 3, "NTFS    ", 8);
	memcpy(sector + 0x38, &h->header_offset, 8);
	memcpy(buf, sector, sizeof(sector));
}

static int read_sectors(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct bitlocker *b = l->priv;
	uint8_t *p = buf;
	/* A lost byte costs its AES block; in CBC the next one too; with Elephant the sector. */
	size_t grain = b->tweak ? b->sector : PRIM_BLOCK, echo = b->iv ? PRIM_BLOCK : 0;
	int r = 0;

	while (!r && len) {
		size_t from = bad ? bad->n : 0, n;
		struct run run;

		run_at(b, off, &run);
		n = run.len < len ? (size_t)run.len : len;
		if (run.kind == RUN_ZERO) {
			memset(p, 0, n);
		} else {
			r = layer_read_as(l->below, run.at, p, n, off, bad);
			if (!r && run.kind == RUN_CIPHER) {
				r = fve_decrypt(b, run.at, p, n & ~(size_t)(b->sector - 1));
				unit_blank(bad, from, off, p, n, grain, echo, b->sector);
			} else if (!r && run.kind == RUN_PATCHED) {
				patch(b, off, p, n);
			}
		}
		off += n;
		p += n;
		len -= n;
	}
	return r;
}

static int bitlocker_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct bitlocker *b = l->priv;

	if (!b->open) {
		memset(buf, 0, len);
		return ranges_add(bad, off, len, GRADE_LOST, LAYER_LOCKED);
	}
	return unit_read(l, b->sector, off, buf, len, bad, read_sectors);
}

/*
 * run_at() the other way round: from the volume below to what is shown. The first sectors are
 * encrypted where they were moved to; what stands in their old place is nobody's.
 */
static int bitlocker_ciphertext(struct layer *l, uint64_t at, uint64_t *len, uint64_t *off)
{
	const struct bitlocker *b = l->priv;
	uint64_t limit = UINT64_MAX - at;
	enum run_kind kind = RUN_CIPHER;
	bool moved = false;

	*off = at;
	for (size_t i = 0; i < b->n_regions; i++) {
		const struct fve_region *g = &b->region[i];
		uint64_t end = g->off + g->len;

		if (g->kind == FVE_MOVED && at - g->at < g->len) {
			*off = g->off + (at - g->at);
			limit = g->at + g->len - at;
			moved = true;
			break;
		}
		if (g->kind == FVE_MOVED && g->at > at && g->at - at < limit)
			limit = g->at - at;
		if (at >= g->off && at < end)
			kind = RUN_ZERO;
		if (g->off > at && g->off - at < limit)
			limit = g->off - at;
		if (end > at && end - at < limit)
			limit = end - at;
	}
	if (moved || kind == RUN_CIPHER)
		kind = state_at(b, at, len);
	else
		*len = limit;
	if (*len > limit)
		*len = limit;
	return kind == RUN_CIPHER;
}

static int bitlocker_decrypt_as(struct layer *l, uint64_t at, void *buf, size_t len)
{
	const struct bitlocker *b = l->priv;

	if (!b->open || !b->cipher || at % b->sector || len % b->sector)
		return -ENOENT;
	return fve_decrypt(b, at, buf, len);
}

/* --- check and info --- */

static int bitlocker_check(struct layer *l)
{
	struct bitlocker *b = l->priv;

	for (int i = 0; i < FVE_COPIES; i++) {
		struct fve_copy *c = &b->copy[i];

		if (!c->bytes || !c->usable || c->verdict == FVE_NO_SIGNATURE)
			continue;
		session_checked(l->s, c->size);
		if (b->vmk && c->verdict == FVE_GOOD && !fve_hash_fits(c, b->vmk)) {
			c->verdict = FVE_BAD_HASH;
			finding(l, FVE_COPY_HASH, c->off, c->size,
				"metadata copy %d at 0x%" PRIx64
				": its CRC fits, its encrypted SHA-256 does not",
				i + 1, c->off);
		}
	}
	return 0;
}

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

static void bitlocker_info(struct layer *l, struct json *to)
{
	struct bitlocker *b = l->priv;
	const struct fve_copy *u = &b->copy[b->used];
	const struct fve_dataset *ds = fve_copy_dataset(u);
	struct json *copies = js_array();
	char text[600], time[TIME_TEXT];
	struct fve_datum d;

	js_str(to, "cipher", fve_method_name(b->method));
	js_str(to, "state", state_name(b->state));
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

static bool bitlocker_structure(struct layer *l, uint64_t at, char *name, size_t cap,
				uint64_t *start, uint64_t *len)
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

static void bitlocker_close(struct layer *l)
{
	struct bitlocker *b = l->priv;

	if (!b)
		return;
	for (int i = 0; i < FVE_COPIES; i++)
		fve_copy_free(&b->copy[i]);
	fve_cipher_close(b);
	fve_eow_free(&b->eow);
	prim_secret_free(b->vmk);
	free(b->region);
	free(b);
}

const struct layer_ops bitlocker_ops = {
	.name = "bitlocker",
	.kind = LAYER_CIPHER,
	.probe = bitlocker_probe,
	.search = bitlocker_search,
	.open = bitlocker_open,
	.unlock = bitlocker_unlock,
	.read = bitlocker_read,
	.map = bitlocker_map,
	.check = bitlocker_check,
	.info = bitlocker_info,
	.structure = bitlocker_structure,
	.ciphertext = bitlocker_ciphertext,
	.decrypt_as = bitlocker_decrypt_as,
	.close = bitlocker_close,
};
