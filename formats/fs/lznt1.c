/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/lznt1.h"

#include <stdbool.h>
#include <string.h>

#include "vdiskck/core/endian.h"

/* Chunk header, [MS-XCA] 2.5.1.1 */
#define CHUNK_PACKED	0x8000
#define CHUNK_SIZE	0x0fff /* of the data, minus one */
#define CHUNK_SIGNATURE 0x7000
#define CHUNK_IS	0x3000 /* the signature "MUST always be 3" */

/* One decoding of one unit. */
struct unit {
	const uint8_t *in;
	size_t in_len;
	const struct ranges *in_bad;
	uint8_t *out;
	size_t out_len, want;
	struct ranges *bad;
};

/* The first bad range that begins or reaches into in[from, to); NULL: none. */
static const struct range *bad_in(const struct unit *u, size_t from, size_t to)
{
	size_t i = u->in_bad ? ranges_find(u->in_bad, from) : 0;

	if (!u->in_bad || i == u->in_bad->n || u->in_bad->v[i].off >= to)
		return NULL;
	return &u->in_bad->v[i];
}

/*
 * The tokens of a packed chunk: @n bytes into at most @cap bytes at @out. Returns how many came
 * out; *@whole: all tokens were used, and none was impossible. A file ends where it ends, and its
 * last chunk may go on: what is behind a @cap of less than a chunk is left out.
 */
static size_t unpack(const uint8_t *in, size_t n, uint8_t *out, size_t cap, bool *whole)
{
	size_t i = 0, o = 0;

	*whole = cap < LZNT1_CHUNK;
	while (i < n) {
		unsigned flags = in[i++];

		for (unsigned bit = 0; bit < 8 && i < n; bit++, flags >>= 1) {
			unsigned shift = 12, phrase;
			size_t back, len;

			if (!(flags & 1)) {
				if (o == cap)
					return o; /* whole if @cap was ours, too much else */
				out[o++] = in[i++];
				continue;
			}
			if (n - i < 2)
				goto broken;
			phrase = in[i] | (unsigned)in[i + 1] << 8;
			i += 2;
			/* The further into the chunk, the more bits tell how far back. */
			for (size_t p = o ? o - 1 : 0; p >= 0x10; p >>= 1)
				shift--;
			back = (phrase >> shift) + 1;
			len = (phrase & ((1u << shift) - 1)) + 3;
			if (back > o)
				goto broken;
			for (; len && o < cap; len--, o++)
				out[o] = out[o - back];
			if (len)
				return o;
		}
	}
	*whole = true;
	return o;
broken:
	*whole = false;
	return o;
}

static int add(const struct unit *u, size_t off, size_t len, enum grade grade, enum finding_id why)
{
	return len ? ranges_add(u->bad, off, len, grade, why) : 0;
}

/* in[at, at + n) is the data of the chunk for out[o, o + room). */
static int one_chunk(const struct unit *u, bool packed, size_t at, size_t n, size_t o, size_t room)
{
	const struct range *hit = bad_in(u, at, at + n);
	bool cut = hit && hit->grade == GRADE_LOST, whole = true;
	enum finding_id why = hit ? hit->why : NTFS_LZNT1;
	uint8_t *out = u->out + o;
	size_t given;
	int r;

	if (cut)
		n = hit->off > at ? (size_t)(hit->off - at) : 0;
	if (packed) {
		given = unpack(u->in + at, n, out, room, &whole);
	} else {
		given = n < room ? n : room;
		memcpy(out, u->in + at, given);
	}
	memset(out + given, 0, room - given);
	if (cut)
		return add(u, o + given, room - given, GRADE_LOST, why);
	if (!whole) {
		r = add(u, o, given, GRADE_DOUBTFUL, why);
		return r ? r : add(u, o + given, room - given, GRADE_LOST, why);
	}
	return hit ? add(u, o, room, GRADE_DOUBTFUL, why) : 0;
}

/* From out[o] on nothing can be had: @why. */
static int rest_is_lost(const struct unit *u, size_t o, enum finding_id why)
{
	memset(u->out + o, 0, u->out_len - o);
	return add(u, o, u->out_len - o, GRADE_LOST, why);
}

int lznt1_decode(const uint8_t *in, size_t in_len, const struct ranges *in_bad, uint8_t *out,
		 size_t out_len, size_t want, struct ranges *bad)
{
	const struct unit u = {in, in_len, in_bad, out, out_len, want, bad};
	size_t at = 0, o = 0;

	while (o < out_len) {
		size_t room = out_len - o < LZNT1_CHUNK ? out_len - o : LZNT1_CHUNK, n;
		const struct range *hit = bad_in(&u, at, at + 2);
		unsigned head = in_len - at >= 2 ? in[at] | (unsigned)in[at + 1] << 8 : 0;
		int r;

		if (hit && hit->grade == GRADE_LOST)
			return rest_is_lost(&u, o, hit->why);
		if (!head)
			break;
		n = (head & CHUNK_SIZE) + 1;
		if ((head & CHUNK_SIGNATURE) != CHUNK_IS || n > in_len - at - 2)
			return rest_is_lost(&u, o, hit ? hit->why : NTFS_LZNT1);
		r = one_chunk(&u, head & CHUNK_PACKED, at + 2, n, o, room);
		if (r)
			return r;
		at += 2 + n;
		o += room;
	}
	/* An end mark before all is there: somebody wrote zeros over the chunks. */
	if (o < want)
		return rest_is_lost(&u, o, NTFS_LZNT1);
	memset(out + o, 0, out_len - o);
	return 0;
}
