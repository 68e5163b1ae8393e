/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/cause_bit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

enum {
	BLOCK = 16, /* of a cipher */
	UNIT_MAX = 4096,
	CAUSE_BIT_WORK = 1 << 29, /* bytes decrypted, where each bit spoils a whole sector */
};

/* The register one bit of zeros earlier, as if time ran backwards. */
static uint32_t back(uint32_t crc, uint32_t poly)
{
	return crc & 0x80000000u ? (crc ^ poly) << 1 | 1 : crc << 1;
}

static uint32_t back_bytes(uint32_t crc, uint32_t poly, unsigned bytes)
{
	for (unsigned i = 0; i < 8 * bytes; i++)
		crc = back(crc, poly);
	return crc;
}

/* Register after @len bytes from 0 on. */
static uint32_t run(const uint8_t *p, size_t len, uint32_t poly)
{
	return poly == CRC32C_POLY ? sum_crc32c(0, p, len) : sum_crc32_raw(0, p, len);
}

static bool counts(const struct cause_sum *s, uint64_t off)
{
	return off < s->hole || off >= s->hole + s->hole_len;
}

/*
 * One wrong bit at bit k of the byte that is n bytes from the end leaves the register that its own
 * byte gives, moved on by n bytes. Moved back from the end, @differs meets it where it is 1 << k
 * moved by one byte.
 */
static int find_plain(const struct cause_sum *s, struct cause_bit *b)
{
	uint32_t crc = s->differs, of[8];
	uint64_t found = 0;

	if (!(crc & (crc - 1))) {
		*b = (struct cause_bit){.in_sum = true};
		while (!(crc >> b->bit & 1))
			b->bit++;
		return 1;
	}
	for (unsigned k = 0; k < 8; k++)
		of[k] = run(&(uint8_t){(uint8_t)(1 << k)}, 1, s->poly);
	for (uint64_t off = s->len; off-- > 0;) {
		if (!counts(s, off))
			continue;
		if (!(off & 0xfffff) && session_stopped(s->l->s))
			return -EINTR;
		for (unsigned k = 0; k < 8; k++)
			if (crc == of[k] && !found++)
				*b = (struct cause_bit){.off = s->off + off, .bit = k};
		crc = back_bytes(crc, s->poly, 1);
	}
	return found == 1;
}

struct layer *cause_below(struct layer *l, uint64_t off, uint64_t *at, uint64_t *len)
{
	struct where w[WHERE_MAX];
	size_t n = layer_where(l, off, *len, w, WHERE_MAX);

	for (size_t i = 1; i < n; i++)
		if (w[i].l->ops->kind == LAYER_CIPHER && w[i].l->ops->decrypt_as &&
		    !w[i].l->state && w[i].l->sector <= UNIT_MAX && w[i - 1].l == w[i].l->below) {
			*at = w[i - 1].off;
			*len = w[i].len;
			return w[i].l;
		}
	return NULL;
}

/* How many blocks one bit of ciphertext spoils. */
enum reach { ONE, TWO, ALL };

struct trying {
	enum reach reach;
	const struct cause_sum *s;
	struct layer *cipher;
	uint64_t unit_at;  /* of the cipher's sector, below it */
	uint64_t unit_off; /* of @s->l, of its first byte; may lie before @s->off */
	size_t unit;
	uint8_t stored[UNIT_MAX], plain[UNIT_MAX], trial[UNIT_MAX];
	uint32_t want[UNIT_MAX / BLOCK]; /* what the difference of block i must leave behind it */
	uint64_t found;
	struct cause_bit *b;
};

/* Are the differences in blocks [@i, @i + @n) all that is wrong with the sum? */
static bool fits(const struct trying *t, size_t i, size_t n)
{
	uint64_t from = t->unit_off + i * BLOCK, hole = t->s->off + t->s->hole;
	uint8_t d[UNIT_MAX];
	bool any = false;

	/* What is left out between two blocks would have to be left out between their differences. */
	if (n > 1 && t->s->hole_len && hole < from + n * BLOCK && from < hole + t->s->hole_len)
		return false;
	for (size_t k = 0; k < n * BLOCK; k++) {
		uint64_t off = from + k - t->s->off;

		d[k] = t->trial[i * BLOCK + k] ^ t->plain[i * BLOCK + k];
		/* Bytes before and behind what is summed, or left out, say nothing. */
		if (off >= t->s->len || !counts(t->s, off))
			d[k] = 0;
		any |= d[k];
	}
	return any && run(d, n * BLOCK, t->s->poly) == t->want[i + n - 1];
}

static void hit(struct trying *t, size_t block, unsigned bit, size_t from, uint32_t spoilt)
{
	if (t->found++)
		return;
	*t->b = (struct cause_bit){.in_cipher = true,
				   .in = t->cipher->below,
				   .at = t->unit_at + block * BLOCK + bit / 8,
				   .off = t->unit_off + from * BLOCK,
				   .bit = bit % 8,
				   .spoilt = spoilt,
				   .chained = t->reach == TWO};
}

/* The stored sector with @bit of @n blocks flipped, decrypted into @trial; 1: it can't be decrypted. */
static int decrypt(struct trying *t, size_t first, size_t n, unsigned bit)
{
	int r;

	memcpy(t->trial, t->stored, t->unit);
	for (size_t i = first; i < first + n; i++)
		t->trial[i * BLOCK + bit / 8] ^= (uint8_t)(1 << bit % 8);
	r = t->cipher->ops->decrypt_as(t->cipher, t->unit_at, t->trial, t->unit);
	return r == -ENOENT ? 1 : r;
}

/* How far one bit of the first block reaches: what mode the cipher works in need not be asked. */
static int find_reach(struct trying *t)
{
	int r = decrypt(t, 0, 1, 0);

	t->reach = ONE;
	if (r || t->unit < 3 * BLOCK)
		return r;
	if (memcmp(t->trial + 2 * BLOCK, t->plain + 2 * BLOCK, t->unit - 2 * BLOCK))
		t->reach = ALL;
	else if (memcmp(t->trial + BLOCK, t->plain + BLOCK, BLOCK))
		t->reach = TWO;
	return 0;
}

/*
 * Blocks that do not hang together (XTS), or only with the next one (CBC): one bit of each at a time,
 * all at once. In CBC the bit of the block before comes through as it is, and is taken out again.
 */
static int try_blocks(struct trying *t)
{
	size_t n = t->unit / BLOCK;

	for (unsigned bit = 0; bit < 8 * BLOCK; bit++) {
		uint8_t mask = (uint8_t)(1 << bit % 8);
		int r = decrypt(t, 0, n, bit);

		if (r)
			return r > 0 ? 0 : r;
		for (size_t i = 0; i < n; i++) {
			uint8_t *own = t->trial + i * BLOCK, *next = own + BLOCK, other[BLOCK];
			bool two = t->reach == TWO && i + 1 < n;

			if (t->reach == TWO && i)
				own[bit / 8] ^= mask;
			if (two) {
				/* The next block's own trial is not this one's: only the bit is. */
				memcpy(other, next, BLOCK);
				memcpy(next, next - t->trial + t->plain, BLOCK);
				next[bit / 8] ^= mask;
			}
			if (fits(t, i, two ? 2 : 1))
				hit(t, i, bit, i, BLOCK);
			if (two)
				memcpy(next, other, BLOCK);
		}
	}
	return 0;
}

/* A bit spoils all of the sector (Elephant): each is a trial of its own. */
static int try_whole(struct trying *t)
{
	size_t n = t->unit / BLOCK;

	if (t->s->len * t->unit * 8 > CAUSE_BIT_WORK)
		return 0;
	for (size_t i = 0; i < n; i++)
		for (unsigned bit = 0; bit < 8 * BLOCK; bit++) {
			int r = decrypt(t, i, 1, bit);

			if (r)
				return r > 0 ? 0 : r;
			if (fits(t, 0, n))
				hit(t, i, bit, 0, (uint32_t)t->unit);
		}
	return 0;
}

static int try_unit(struct trying *t)
{
	int r = find_reach(t);

	if (r)
		return r > 0 ? 0 : r;
	return t->reach == ALL ? try_whole(t) : try_blocks(t);
}

/*
 * What the difference of each block must be, as a register behind the block: @differs moved back by
 * all summed bytes that follow. Only sums whose hole is not inside a block's reach are exact; the
 * hole of EVTX is 8 bytes, and a block that it cuts is passed over.
 */
static uint32_t targets(struct trying *t, uint32_t crc)
{
	for (size_t i = t->unit / BLOCK; i-- > 0;) {
		uint64_t off = t->unit_off + i * BLOCK - t->s->off;
		unsigned in = 0, behind = 0;

		for (unsigned k = 0; k < BLOCK; k++) {
			bool is = off + k < t->s->len && counts(t->s, off + k);

			in += is;
			behind = is ? 0 : behind + 1;
		}
		/* The register is taken behind 16 bytes: those that are not summed are zeros there. */
		t->want[i] = crc;
		for (unsigned k = 0; k < 8 * behind; k++)
			t->want[i] =
				t->want[i] & 1 ? t->want[i] >> 1 ^ t->s->poly : t->want[i] >> 1;
		crc = back_bytes(crc, t->s->poly, in);
	}
	return crc;
}

/* Sector by sector, from the end. */
static int find_cipher(const struct cause_sum *s, struct cause_bit *b)
{
	struct trying *t = malloc(sizeof(*t));
	uint64_t end = s->off + s->len;
	uint32_t crc = s->differs;
	int r = t ? 0 : -ENOMEM;

	if (t)
		*t = (struct trying){.s = s, .b = b};
	while (!r && end > s->off) {
		uint64_t at, len = 1, into;

		t->cipher = session_stopped(s->l->s) ? NULL : cause_below(s->l, end - 1, &at, &len);
		if (!t->cipher) {
			r = session_stopped(s->l->s) ? -EINTR : 0;
			break;
		}
		/* Sectors are counted from the cipher's start; a file begins at a sector. */
		t->unit = t->cipher->sector;
		into = at % t->unit;
		if (end - 1 < into)
			break;
		t->unit_at = at - into;
		t->unit_off = end - 1 - into;
		r = layer_read(t->cipher->below, t->unit_at, t->stored, t->unit, NULL);
		memcpy(t->plain, t->stored, t->unit);
		if (!r)
			r = t->cipher->ops->decrypt_as(t->cipher, t->unit_at, t->plain, t->unit);
		if (r == -ENOENT) {
			r = 0;
			break;
		}
		crc = targets(t, crc);
		if (!r)
			r = try_unit(t);
		end = t->unit_off > s->off ? t->unit_off : s->off;
	}
	if (!r)
		r = t->found == 1;
	free(t);
	return r;
}

int cause_bit_find(const struct cause_sum *s, struct cause_bit *b)
{
	struct where w[WHERE_MAX];
	size_t n;
	int r;

	*b = (struct cause_bit){.in = NULL};
	if (!s->differs || !s->len || s->len > CAUSE_BIT_PLAIN || s->off + s->len > s->l->size)
		return 0;
	r = find_plain(s, b);
	if (r == 1 && !b->in_sum) {
		n = layer_where(s->l, b->off, 1, w, WHERE_MAX);
		b->in = n ? w[0].l : NULL;
		b->at = n ? w[0].off : 0;
	}
	if (!r && s->len <= CAUSE_BIT_CIPHER)
		r = find_cipher(s, b);
	return r;
}
