/* SPDX-License-Identifier: Apache-2.0 */
/* The three metadata blocks of a BitLocker volume: which are there, which is used, and why. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "crypto/bitlocker.h"
#include "vdiskck/core/session.h"

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

int fve_copies_read(struct layer *l)
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

void fve_copies_report(struct layer *l)
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
