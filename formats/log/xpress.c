/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wimlib decodes one block of a known size (fs/wof.c). In a MAM file, blocks of 64 KiB follow each
 * other without a table of where they begin: a decoder must know where it stopped.
 */
#include "formats/log/xpress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	SYMBOLS = 512,	       /* 256 literals, 256 matches */
	LENGTHS = SYMBOLS / 2, /* bytes of the table: four bits each */
	BITS = 15,	       /* of the longest code */
	BLOCK = 65536,	       /* bytes that come out of one table */
};

struct decoder {
	const uint8_t *in, *end;
	uint32_t bits;		   /* [MS-XCA] 2.2.4: 16 to 32 of them, the next at the top */
	int extra;		   /* beyond 16 */
	uint16_t table[1 << BITS]; /* symbol << 4 | length; 0: no such code */
};

static int word(struct decoder *d, uint32_t *v)
{
	if (d->end - d->in < 2)
		return -EBADMSG;
	*v = (uint32_t)(d->in[0] | d->in[1] << 8);
	d->in += 2;
	return 0;
}

/* Codes in the order of their lengths, then of their symbols. */
static int make_table(struct decoder *d)
{
	size_t at = 0;

	if (d->end - d->in < LENGTHS)
		return -EBADMSG;
	memset(d->table, 0, sizeof(d->table));
	for (unsigned len = 1; len <= BITS; len++)
		for (unsigned s = 0; s < SYMBOLS; s++) {
			unsigned own = d->in[s / 2] >> s % 2 * 4 & 15;
			size_t n = (size_t)1 << (BITS - len);

			if (own != len)
				continue;
			if (n > sizeof(d->table) / sizeof(*d->table) - at)
				return -EBADMSG;
			while (n--)
				d->table[at++] = (uint16_t)(s << 4 | len);
		}
	d->in += LENGTHS;
	return 0;
}

static int begin_block(struct decoder *d)
{
	uint32_t hi, lo;
	int r = make_table(d);

	if (!r)
		r = word(d, &hi);
	if (!r)
		r = word(d, &lo);
	if (r)
		return r;
	d->bits = hi << 16 | lo;
	d->extra = 16;
	return 0;
}

/* Behind the end of the data, zeros: the last symbols need no more words. */
static void drop(struct decoder *d, unsigned n)
{
	d->bits = n < 32 ? d->bits << n : 0;
	d->extra -= (int)n;
	if (d->extra < 0) {
		uint32_t v = 0;

		word(d, &v);
		d->bits |= v << -d->extra;
		d->extra += 16;
	}
}

/* The length of a match: 15 goes on in a byte, 255 in two, 0 in four. */
static int match_length(struct decoder *d, unsigned symbol, size_t *len)
{
	uint32_t v, hi;

	*len = symbol & 15;
	if (*len == 15) {
		if (d->in == d->end)
			return -EBADMSG;
		v = *d->in++;
		*len += v;
		if (v == 255) {
			if (word(d, &v))
				return -EBADMSG;
			if (!v) {
				if (word(d, &v) || word(d, &hi))
					return -EBADMSG;
				v |= hi << 16;
			}
			if (v < 15)
				return -EBADMSG;
			*len = v;
		}
	}
	*len += 3;
	return 0;
}

static int match(struct decoder *d, unsigned symbol, uint8_t *out, size_t out_len, size_t *at)
{
	unsigned width = symbol >> 4 & 15;
	size_t len, back;
	int r = match_length(d, symbol, &len);

	if (r)
		return r;
	back = ((size_t)1 << width) + (width ? d->bits >> (32 - width) : 0);
	drop(d, width);
	if (back > *at || len > out_len - *at)
		return -EBADMSG;
	for (; len; len--, ++*at)
		out[*at] = out[*at - back];
	return 0;
}

static int block(struct decoder *d, uint8_t *out, size_t out_len, size_t *at)
{
	size_t end = out_len - *at < BLOCK ? out_len : *at + BLOCK;
	int r = begin_block(d);

	/* A match may run past the block's end. */
	while (!r && *at < end) {
		unsigned entry = d->table[d->bits >> (32 - BITS)], symbol = entry >> 4;

		if (!entry)
			return -EBADMSG;
		drop(d, entry & 15);
		if (symbol < 256)
			out[(*at)++] = (uint8_t)symbol;
		else
			r = match(d, symbol, out, out_len, at);
	}
	return r;
}

int xpress_unpack(const uint8_t *in, size_t in_len, uint8_t *out, size_t out_len, size_t *done)
{
	struct decoder *d = malloc(sizeof(*d));
	int r = 0;

	*done = 0;
	if (!d)
		return -ENOMEM;
	d->in = in;
	d->end = in + in_len;
	while (!r && *done < out_len)
		r = block(d, out, out_len, done);
	free(d);
	return r;
}
