/* SPDX-License-Identifier: Apache-2.0 */
/* What each byte of a BitLocker volume is: encrypted, plain, moved, metadata. And reading it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/bitlocker.h"
#include "crypto/prim.h"
#include "crypto/unit.h"
#include "vdiskck/core/session.h"

enum {
	VISTA_PLAIN = 0x2000, /* Vista leaves this much of the volume's start in plaintext */
	VISTA_BLOCK = 0x4000,
};

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

int fve_regions_make(struct layer *l)
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

int bitlocker_map(struct layer *l, uint64_t off, struct extent *run)
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

int bitlocker_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
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
int bitlocker_ciphertext(struct layer *l, uint64_t at, uint64_t *len, uint64_t *off)
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

int bitlocker_decrypt_as(struct layer *l, uint64_t at, void *buf, size_t len)
{
	const struct bitlocker *b = l->priv;

	if (!b->open || !b->cipher || at % b->sector || len % b->sector)
		return -ENOENT;
	return fve_decrypt(b, at, buf, len);
}
