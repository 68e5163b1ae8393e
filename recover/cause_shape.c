/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/cause_shape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "recover/keyless.h"

enum {
	SECTOR = 512,
	PAGE = 4096,
	BLOCK = 16,
	ONE = 256,	  /* a bit, as scores are counted */
	ODD = 32 * ONE,	  /* of a block that fits nothing: 3 to 35 of a million blocks by chance */
	AHEAD = 12 * ONE, /* of the next best one */
};

/* log2(@v) in 1/256 bits: the mantissa is taken for its own logarithm, which is off by 0.09 at most. */
static int log2_of(uint32_t v)
{
	int bits = 31 - __builtin_clz(v);
	uint32_t rest = bits > 8 ? v >> (bits - 8) : v << (8 - bits);

	return bits * ONE + (int)(rest & 0xff);
}

/* How much less likely the block is by the bytes of its page than if it were random. */
static int score(const uint8_t *p, const uint16_t count[256], uint32_t n)
{
	int bits = 0;

	for (size_t i = 0; i < BLOCK; i++) {
		/* Its own bytes are in the histogram: one less of each. Half an event for what never was. */
		uint32_t c = count[p[i]] - 1u;

		bits += log2_of(2 * (n + 128)) - log2_of(2 * c + 1) - 8 * ONE;
	}
	return bits;
}

/* The block of the page that stands out, among those that touch [from, to). */
static void find_noise(const uint8_t *page, size_t len, size_t from, size_t to, uint64_t at,
		       struct cause_shape *sh)
{
	uint16_t count[256] = {0};
	int best = 0, next = 0;
	size_t where = 0;

	for (size_t i = 0; i < len; i++)
		count[page[i]]++;
	for (size_t i = 0; i + BLOCK <= len; i += BLOCK) {
		int s = score(page + i, count, (uint32_t)len);

		if (s > best) {
			next = best;
			best = s;
			where = i;
		} else if (s > next) {
			next = s;
		}
	}
	if (best < ODD || best - next < AHEAD || where + BLOCK <= from || where >= to)
		return;
	sh->noise = true;
	sh->noise_off = at + where;
}

static void find_flat(const uint8_t *p, size_t len, uint64_t at, struct cause_shape *sh)
{
	for (size_t i = 0; i + SECTOR <= len; i += SECTOR) {
		if (memcmp(p + i, p + i + 1, SECTOR - 1) || (sh->flat && p[i] != sh->value))
			continue;
		if (!sh->flat) {
			sh->flat_off = at + i;
			sh->value = p[i];
		}
		sh->flat += SECTOR;
	}
}

int cause_shape(struct layer *l, uint64_t off, uint64_t len, struct cause_shape *sh)
{
	uint64_t from = off & ~(uint64_t)(SECTOR - 1), page = off & ~(uint64_t)(PAGE - 1), end;
	struct ranges bad = {0};
	uint8_t *buf;
	size_t n;
	int r;

	*sh = (struct cause_shape){0};
	if (!len || off >= l->size)
		return 0;
	end = len < l->size - off ? off + len : l->size;
	if (end - page > CAUSE_SHAPE_MAX)
		end = page + CAUSE_SHAPE_MAX;
	n = (size_t)((end + PAGE - 1) / PAGE * PAGE - page);
	if (n > l->size - page)
		n = (size_t)(l->size - page);
	buf = malloc(n);
	if (!buf)
		return -ENOMEM;
	r = layer_read(l, page, buf, n, &bad);
	/* What can't be had reads as zeros, and says nothing. */
	if (!r && !ranges_overlap(&bad, off, end - off)) {
		size_t skip = (size_t)(from - page), to = (size_t)(end - page);

		to = (to + SECTOR - 1) / SECTOR * SECTOR < n ? (to + SECTOR - 1) / SECTOR * SECTOR
							     : n;
		sh->len = to - skip;
		find_flat(buf + skip, to - skip, from, sh);
		for (size_t i = skip; i + SECTOR <= to; i += SECTOR)
			sh->random =
				(i == skip || sh->random) && keyless_look(buf + i) == LOOK_RANDOM;
		for (size_t i = 0; i < n && !sh->noise; i += PAGE)
			find_noise(buf + i, n - i < PAGE ? n - i : PAGE,
				   off - page > i ? (size_t)(off - page - i) : 0,
				   end - page > i ? (size_t)(end - page - i) : 0, page + i, sh);
	}
	free(buf);
	ranges_free(&bad);
	return r;
}
