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
	int slot;

	return fve_search(below, 0, SEARCH, &off, &slot) == 1 ? 80 : 0;
}

static int copy_rank(const struct fve_copy *c)
{
	if (!c->bytes)
		return 0;
	if (!c->usable)
		return 1;
	return c->verdict == FVE_GOOD ? 4 : c->verdict == FVE_MISPLACED ? 3 : 2;
}

/*
 * Read the copy that is said to lie at @off into slot @i. A second opinion on where a copy lies
 * counts only where it leads to something better.
 */
static int copy_read(struct layer *l, int i, uint64_t off)
{
	struct bitlocker *b = l->priv;
	struct fve_copy *c = &b->copy[i], other;
	int r;

	if (!off || copy_rank(c) == 4 || (c->bytes && c->off == off))
		return 0;
	r = fve_copy_read(l->below, off, &other);
	if (!r && copy_rank(&other) > copy_rank(c)) {
		fve_copy_free(c);
		*c = other;
	} else {
		fve_copy_free(&other);
	}
	return r;
}

/* The copy to use: a good one; else one whose datums can be walked. -1: none. */
static int copy_best(const struct bitlocker *b)
{
	int best = -1;

	for (int i = 0; i < FVE_COPIES; i++)
		if (b->copy[i].usable &&
		    (best < 0 || copy_rank(&b->copy[i]) > copy_rank(&b->copy[best])))
			best = i;
	return best;
}

/* The copies that copy @i names. */
static int copies_named(struct layer *l, int i)
{
	const struct bitlocker *b = l->priv;
	struct fve_header h = *fve_copy_header(&b->copy[i]);
	int r = 0;

	for (int k = 0; !r && k < FVE_COPIES; k++)
		r = copy_read(l, k, le64(h.copy[k]));
	return r;
}

/* Look for blocks by their signature until a good one is known. */
static int copies_search(struct layer *l)
{
	enum { HITS = 64 }; /* of which the damaged ones, and those in a backup, are read in vain */
	struct bitlocker *b = l->priv;
	uint64_t off = 0;
	int r = 0;

	for (int hit = 0; hit < HITS; hit++, off += 512) {
		int best, slot = 0;

		r = fve_search(l->below, off, l->below->size, &off, &slot);
		if (r != 1)
			break;
		r = copy_read(l, slot, off);
		best = copy_best(b);
		if (!r && best >= 0)
			r = copies_named(l, best);
		best = copy_best(b);
		if (r || (best >= 0 && b->copy[best].verdict == FVE_GOOD))
			break;
	}
	return r < 0 ? r : 0;
}

static int copies_read(struct layer *l)
{
	struct bitlocker *b = l->priv;
	int r = 0, best;

	for (int i = 0; !r && i < FVE_COPIES; i++)
		r = copy_read(l, i, b->boot.copy[i]);
	best = copy_best(b);
	b->header_lost = best < 0;
	/* Vista's header names one copy only, and a damaged one perhaps none: the rest follow. */
	if (!r && best >= 0)
		r = copies_named(l, best);
	best = copy_best(b);
	if (!r && (best < 0 || (b->copy[best].verdict != FVE_GOOD && !b->boot.copy[1])))
		r = copies_search(l);
	b->used = copy_best(b);
	return r ? r : b->used < 0 ? -EBADMSG : 0;
}

/* What is wrong with a volume header that still leads to the metadata. NULL: nothing. */
static const char *header_fault(const struct bitlocker *b)
{
	const struct fve_header *h = fve_copy_header(&b->copy[b->used]);

	for (int i = 0; i < (b->boot.vista ? 1 : FVE_COPIES); i++)
		if (b->boot.copy[i] != le64(h->copy[i]))
			return "it names other places than the metadata does";
	if (!b->boot.oem)
		return "its signature is wrong";
	if (!b->boot.sector)
		return "its sector size can't be";
	return NULL;
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
	else if (u->verdict == FVE_GOOD && header_fault(b))
		finding(l, FVE_HEADER_BAD, 0, 512, "the volume header is damaged: %s",
			header_fault(b));
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
	uint64_t sector = b->sector, end;
	struct fve_region *v;

	/* Addresses that are no multiple of the sector size are damage: whole sectors, then. */
	if (!len || __builtin_add_overflow(off, len, &end) || end > UINT64_MAX - sector)
		return 0;
	off &= -sector;
	at &= -sector;
	len = ((end + sector - 1) & -sector) - off;
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
		r = region_add(b, e->off[i], e->size, FVE_ZERO, 0);
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

static int set_sector(struct layer *l, uint32_t sector)
{
	struct bitlocker *b = l->priv;

	l->sector = b->sector = sector;
	free(b->region);
	b->region = NULL;
	b->n_regions = 0;
	return regions_make(l);
}

/*
 * With the cipher set up: is the sector size that the volume header states right? The plaintext
 * tells, when it is a file system's that we know. 1: it looks right, 0: it can't be told, or -errno.
 */
static int settle_sector(struct layer *l)
{
	struct bitlocker *b = l->priv;
	uint32_t stated = b->boot.sector, other = b->sector == 512 ? 4096 : 512;
	int r;

	if (plaintext_looks_right(l))
		return 1;
	r = set_sector(l, other);
	if (!r && plaintext_looks_right(l)) {
		if (stated)
			finding(l, FVE_SECTOR_SIZE, 11, 2,
				"the volume header says sectors of %" PRIu32
				" bytes, but they have %" PRIu32,
				stated, other);
		return 1;
	}
	if (!r)
		r = set_sector(l, stated ? stated : 512);
	return r;
}

/* Raw FVEKs have nothing to prove themselves by but what they decrypt. */
static int unlock_fvek(struct layer *l, const char *volume)
{
	struct bitlocker *b = l->priv;
	const struct key *k = NULL;
	int r = -ENOKEY;

	while ((k = keys_next(l->s->keys, k, KEY_FVEK, volume, NULL))) {
		int one = k->len == fve_fvek_len(b->method) ? set_cipher(l, k->data, k->len)
							    : -EKEYREJECTED;

		if (!one)
			one = settle_sector(l);
		if (one == 1)
			return 0;
		fve_cipher_close(b);
		b->open = false;
		if (one == -ENOMEM)
			return one;
		r = -EKEYREJECTED;
	}
	return r;
}

static int bitlocker_unlock(struct layer *l)
{
	struct bitlocker *b = l->priv;
	uint8_t fvek[FVE_FVEK_MAX];
	char volume[GUID_TEXT];
	size_t len;
	int r, raw;

	guid_text_le(fve_copy_dataset(&b->copy[b->used])->id, volume);
	raw = unlock_fvek(l, volume);
	if (!raw || raw == -ENOMEM)
		return raw;
	r = fve_unlock(l, volume, fvek, &len);
	if (!r)
		r = set_cipher(l, fvek, len);
	prim_wipe(fvek, sizeof(fvek));
	if (r)
		return r == -ENOKEY ? raw : r;
	r = settle_sector(l);
	if (!r && !b->boot.sector)
		finding(l, FVE_SECTOR_SIZE, 11, 2,
			"the sector size is not known: 512 bytes are assumed");
	return r < 0 ? r : 0;
}

/* Once all is encrypted, the field that holds the watermark holds the volume's size. */
static void report_truncation(struct layer *l)
{
	const struct bitlocker *b = l->priv;
	const struct fve_copy *u = &b->copy[b->used];
	uint64_t size = b->state == FVE_ENCRYPTED ? le64(fve_copy_header(u)->state_offset) : 0;

	if (u->verdict == FVE_GOOD && size > l->size)
		finding_fact(l, FVE_TRUNCATED,
			     &(struct fact){.at = u->off + 0x10,
					    .at_len = 8,
					    .stored = strf("%" PRIu64 " bytes", size),
					    .expected = strf("%" PRIu64, l->size)},
			     "the volume has %" PRIu64 " bytes, of which the last %" PRIu64
			     " are missing",
			     size, size - l->size);
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
	if (b->header_lost)
		b->boot.sector = 0; /* of a header that names nothing, this proves nothing either */
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
	report_truncation(l);
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

enum run_kind {
	RUN_CIPHER,
	RUN_PLAIN,
	RUN_ZERO,
	RUN_PATCHED,
	RUN_UNKNOWN, /* encrypted or not: what said so is lost */
};

struct run {
	enum run_kind kind;
	uint64_t at, len; /* where it lies below */
};

/* Encrypt-on-write: the state of the chunk that holds @at, and of those behind it. */
static enum run_kind eow_state(const struct fve_eow *e, uint64_t at, uint64_t *len)
{
	enum { SCAN = 1 << 16 }; /* bits looked at in one call */
	const struct fve_eow_region *g;
	uint64_t bit, end, left;
	size_t lo = 0, hi = e->n;
	bool set;

	while (lo < hi) { /* the first region that starts behind @at */
		size_t mid = (lo + hi) / 2;

		if (e->region[mid].off <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < e->n)
		*len = e->region[lo].off - at;
	g = lo ? &e->region[lo - 1] : NULL;
	if (!g || at - g->off >= g->len)
		return RUN_UNKNOWN;
	left = g->len - (at - g->off);
	if (*len > left)
		*len = left;
	bit = (at - g->off) / e->chunk;
	if (!g->bits || bit >= g->n_bits)
		return RUN_UNKNOWN;
	set = g->bits[bit / 8] >> bit % 8 & 1;
	for (end = bit + 1; end < g->n_bits && end - bit < SCAN; end++)
		if ((g->bits[end / 8] >> end % 8 & 1) != set)
			break;
	if (*len > end * e->chunk - (at - g->off))
		*len = end * e->chunk - (at - g->off);
	return set ? RUN_CIPHER : RUN_PLAIN;
}

/* Is the sector at @at stored encrypted, and for how many bytes does that hold? */
static enum run_kind state_at(const struct bitlocker *b, uint64_t at, uint64_t *len)
{
	uint64_t watermark = b->watermark & -(uint64_t)b->sector;

	*len = UINT64_MAX - at;
	if (b->state == FVE_DECRYPTED)
		return RUN_PLAIN;
	if (b->boot.eow) /* whatever the state: the bitmaps are there as long as they count */
		return eow_state(&b->eow, at, len);
	if (at >= watermark)
		return RUN_PLAIN;
	*len = watermark - at;
	return RUN_CIPHER;
}

/* The first region that ends behind @off. */
static size_t region_behind(const struct bitlocker *b, uint64_t off)
{
	size_t lo = 0, hi = b->n_regions;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (b->region[mid].off + b->region[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void run_at(const struct bitlocker *b, uint64_t off, struct run *run)
{
	size_t lo = region_behind(b, off);
	uint64_t limit = UINT64_MAX - off, len;

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

/*
 * Sectors of which nothing says whether they are encrypted. What has structure as it is stored is
 * no ciphertext (chance: 1e-15); what gets some by decryption was. The rest, noise both ways, is
 * given decrypted, and is doubtful.
 */
static int read_unknown(const struct bitlocker *b, uint64_t at, uint64_t off, uint8_t *p,
			size_t len, struct ranges *bad)
{
	int r = 0;

	for (size_t i = 0; !r && i < len; i += b->sector) {
		if (unit_has_structure(p + i, b->sector))
			continue;
		r = fve_decrypt(b, at + i, p + i, b->sector);
		if (!r && !unit_has_structure(p + i, b->sector))
			r = ranges_add(bad, off + i, b->sector, GRADE_DOUBTFUL, FVE_EOW_BITMAP);
	}
	return r;
}

static int read_run(struct layer *l, const struct run *run, uint64_t off, uint8_t *p, size_t n,
		    struct ranges *bad)
{
	const struct bitlocker *b = l->priv;
	/* A lost byte costs its AES block; in CBC the next one too; with Elephant the sector. */
	size_t grain = b->tweak ? b->sector : PRIM_BLOCK, echo = b->iv ? PRIM_BLOCK : 0;
	size_t from = bad ? bad->n : 0;
	int r;

	if (run->kind == RUN_ZERO) {
		memset(p, 0, n);
		return 0;
	}
	r = layer_read_as(l->below, run->at, p, n, off, bad);
	if (r)
		return r;
	switch (run->kind) {
	case RUN_CIPHER:
		r = fve_decrypt(b, run->at, p, n);
		unit_blank(bad, from, off, p, n, grain, echo, b->sector);
		break;
	case RUN_UNKNOWN:
		/* The whole sector: what is left of it tells nothing about its state. */
		unit_blank(bad, from, off, p, n, b->sector, 0, b->sector);
		r = read_unknown(b, run->at, off, p, n, bad);
		break;
	case RUN_PATCHED: patch(b, off, p, n); break;
	default: break;
	}
	return r;
}

/* Whole sectors: all that run_at() gives is a multiple of them. */
static int read_sectors(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct bitlocker *b = l->priv;
	uint8_t *p = buf;
	int r = 0;

	while (!r && len) {
		struct run run;
		size_t n;

		run_at(b, off, &run);
		n = run.len < len ? (size_t)run.len : len;
		r = read_run(l, &run, off, p, n, bad);
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
	size_t i = region_behind(b, at);
	/* What is moved is the start of the volume: it wins over all, so it is the first region. */
	const struct fve_region *moved =
		b->n_regions && b->region[0].kind == FVE_MOVED ? &b->region[0] : NULL;
	const struct fve_region *g = i < b->n_regions ? &b->region[i] : NULL;
	uint64_t limit = UINT64_MAX - at;
	enum run_kind kind = RUN_ZERO;

	*off = at;
	if (moved && at >= moved->at && at - moved->at < moved->len) {
		*off = moved->off + (at - moved->at);
		limit = moved->len - (at - moved->at);
		kind = state_at(b, at, len);
	} else if (g && g->off <= at) {
		*len = limit = g->len - (at - g->off);
	} else {
		if (g)
			limit = g->off - at;
		kind = state_at(b, at, len);
	}
	if (moved && moved->at > at && moved->at - at < limit)
		limit = moved->at - at;
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
