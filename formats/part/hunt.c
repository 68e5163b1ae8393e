/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/part/hunt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

/* Where partitions begin: 1 MiB since 2007; before, tracks and cylinders of 63 and 255 * 63. */
#define MIB	   (1ull << 20)
#define TRACK	   (63ull * 512)
#define CYLINDER   (255 * TRACK)
/* What a volume may have as zeros before its magic: btrfs and reiserfs 64 KiB. */
#define BLANK_HEAD (128ull << 10)

static bool known(const struct hunt *h, uint64_t start)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct signature *s = &h->v[i];

		if (start == s->start || (start > s->start && start - s->start < s->size))
			return true;
	}
	return false;
}

/* The end of the found volume that holds @at; @at if there is none. */
static uint64_t behind_known(const struct hunt *h, uint64_t at)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct signature *s = &h->v[i];

		if (at >= s->start && at - s->start < s->size)
			return s->start + s->size;
	}
	return at;
}

static bool add(struct hunt *h, const struct signature *sig, uint64_t from, uint64_t to)
{
	if (h->n == HUNT_MAX || sig->start % 512 || sig->start < from || sig->start >= to ||
	    known(h, sig->start))
		return false;
	h->v[h->n] = *sig;
	/* A size that would wrap is no size. */
	if (sig->size > UINT64_MAX - sig->start)
		h->v[h->n].size = 0;
	h->n++;
	return true;
}

/* Where the volume at @at ends, or where to go on if there is none. */
static uint64_t probe(struct hunt *h, uint64_t at, uint64_t from, uint64_t to, uint64_t otherwise)
{
	struct signature sig;

	h->probes++;
	if (!signature_at(h->in, at, &sig) || !add(h, &sig, from, to))
		return otherwise;
	sig = h->v[h->n - 1];
	return sig.size && sig.size < to - at ? at + sig.size : sig.size ? to : otherwise;
}

static uint64_t next_multiple(uint64_t at, uint64_t unit, uint64_t plus)
{
	return at <= plus ? plus : (at - plus + unit - 1) / unit * unit + plus;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The next customary start from @at on. */
static uint64_t candidate(uint64_t at)
{
	uint64_t next = least(next_multiple(at, MIB, 0), next_multiple(at, CYLINDER, 0));

	next = least(next, next_multiple(at, CYLINDER, TRACK));
	/* The first usable sectors of a GPT: parted and macOS begin there. */
	if (at <= 34 * 512)
		next = least(next, 34 * 512);
	else if (at <= 40 * 512)
		next = least(next, 40 * 512);
	return next;
}

/* The end of the run of zeros or lost bytes that holds @at; @at itself if it is data. */
static int skip_empty(struct hunt *h, uint64_t at, uint64_t *end)
{
	struct extent run;
	int r;

	*end = at;
	while (*end < h->in->size) {
		r = layer_map(h->in, *end, &run);
		if (r)
			return r;
		if (run.kind == EXTENT_DATA) {
			struct extent deep;

			/* A hole in the image file, a cluster that the parent lacks, too. */
			r = layer_resolve(h->in, *end, &deep);
			if (r || deep.kind == EXTENT_DATA)
				return r;
			run = deep;
		}
		*end = run.off + run.len;
	}
	return 0;
}

int hunt_quick(struct hunt *h, uint64_t from, uint64_t to)
{
	uint64_t at = from;

	while (at < to && h->probes < QUICK_PROBES && !session_stopped(h->in->s)) {
		uint64_t end, behind = probe(h, at, from, to, at);
		int r;

		if (behind > at) {
			at = behind;
			continue;
		}
		r = skip_empty(h, at, &end);
		if (r)
			return r;
		at = end > at + BLANK_HEAD ? end - BLANK_HEAD : at + 512;
		at = candidate(at);
	}
	return 0;
}

/* One piece of data: @len bytes at @at. Returns where to go on. */
static uint64_t search_piece(struct hunt *h, uint64_t at, const uint8_t *buf, size_t len,
			     uint64_t from, uint64_t to)
{
	for (size_t i = 0; i + 512 <= len; i += 512) {
		struct signature sig;

		if (all_zero(buf + i, 512) || !signature_in_sector(h->in, at + i, buf + i, &sig) ||
		    !add(h, &sig, from, to))
			continue;
		/* What lies inside a volume is its own business. */
		sig = h->v[h->n - 1];
		if (sig.size && sig.start + sig.size > at + len)
			return sig.start + sig.size;
		if (sig.size && sig.start + sig.size > at + i)
			i = (size_t)((sig.start + sig.size - at - 1) / 512 * 512);
	}
	return at + len;
}

int hunt_full(struct hunt *h, uint64_t from, uint64_t to)
{
	enum { PIECE = 1 << 20 };
	uint8_t *buf = malloc(PIECE);
	uint64_t at = from;
	int r = buf ? 0 : -ENOMEM;

	while (!r && at < to && h->n < HUNT_MAX) {
		size_t len = to - at < PIECE ? (size_t)(to - at) : PIECE;
		uint64_t end;

		if (session_stopped(h->in->s)) {
			r = -EINTR;
			break;
		}
		session_progress(h->in->s, "searching for lost partitions", h->done + at - from,
				 h->total);
		end = behind_known(h, at);
		if (end == at)
			r = skip_empty(h, at, &end);
		if (r)
			break;
		if (end > at) {
			at = end / 512 * 512 > at ? end / 512 * 512 : at + 512;
			continue;
		}
		if (!h->budget) {
			r = 1;
			break;
		}
		h->budget -= least(len, h->budget);
		r = layer_read(h->in, at, buf, len, NULL);
		if (!r)
			at = search_piece(h, at, buf, len, from, to);
	}
	h->done += to - from;
	free(buf);
	return r;
}

static int by_start(const void *a, const void *b)
{
	const struct signature *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

void hunt_sort(struct hunt *h, uint64_t end)
{
	qsort(h->v, h->n, sizeof(h->v[0]), by_start);
	for (size_t i = 0; i < h->n; i++)
		if (!h->v[i].size && h->v[i].start < end)
			h->v[i].size = (i + 1 < h->n ? h->v[i + 1].start : end) - h->v[i].start;
}
