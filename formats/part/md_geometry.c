/* SPDX-License-Identifier: Apache-2.0 */
/*
 * md: which member has a byte, and what it must be by the others. Layouts: kernel,
 * drivers/md/raid5.h and raid10.c name them; md(4) says what they are. Parity Q is a sum over
 * GF(2^8) with the polynomial 0x11d: H. P. Anvin, "The mathematics of RAID-6".
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/part/md.h"

/* Those of level 6 that DDF and LVM have: Q is a sum over all disks in their order. */
static bool ddf_order(const struct md *a)
{
	return a->s.layout >= MD_ZERO_RESTART && a->s.layout <= MD_N_CONTINUE;
}

/* Level 5 on all disks but the last one, which has Q. */
static bool q_last(const struct md *a)
{
	return a->s.layout >= MD_SIX && a->s.layout <= MD_SIX + MD_PARITY_0;
}

static uint32_t near_copies(const struct md *a)
{
	return a->s.layout & 0xff;
}
static uint32_t far_copies(const struct md *a)
{
	return a->s.layout >> 8 & 0xff;
}

uint32_t md_copies(const struct md *a)
{
	return a->s.level == 1 ? a->disks : a->s.level == 10 ? near_copies(a) * far_copies(a) : 1;
}

/* A member that is not there had, most likely, the length of the others. */
static uint64_t member_len(const struct md *a, uint32_t i)
{
	return a->member[i].on ? a->member[i].s.data_len : a->column;
}

static uint64_t linear_size(const struct md *a)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < a->disks; i++)
		all += member_len(a, i);
	return all;
}

/* raid0 of members of different sizes goes on with those that are left: zones. */
static uint64_t raid0_size(const struct md *a)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < a->disks; i++)
		all += member_len(a, i) / a->s.chunk * a->s.chunk;
	return all;
}

static bool same_sizes(const struct md *a)
{
	uint64_t first = 0;

	for (uint32_t i = 0; i < a->disks; i++) {
		uint64_t len = member_len(a, i) / a->s.chunk;

		if (first && len != first)
			return false;
		first = len;
	}
	return true;
}

uint64_t md_size(const struct md *a)
{
	uint64_t chunks, data;

	if (!a->disks || (a->s.level != MD_LINEAR && a->s.level != 1 &&
			  (a->s.chunk < MD_SECTOR || a->s.chunk % MD_SECTOR)))
		return 0;
	chunks = a->s.chunk ? a->column / a->s.chunk : 0;
	data = chunks * a->s.chunk;
	switch (a->s.level) {
	case MD_LINEAR: return linear_size(a);
	case 0: return same_sizes(a) ? data * a->disks : raid0_size(a);
	case 1: return a->column;
	case 4: return a->disks > 1 ? data * (a->disks - 1) : 0;
	case 5: return a->disks > 1 && a->s.layout <= MD_PARITY_N ? data * (a->disks - 1) : 0;
	case 6:
		return a->disks > 2 && (a->s.layout <= MD_PARITY_N || ddf_order(a) || q_last(a))
			       ? data * (a->disks - 2)
			       : 0;
	case 10:
		/* Bit 16: "offset", far copies in the next stripe. */
		if (!near_copies(a) || !far_copies(a) || md_copies(a) > a->disks ||
		    a->s.layout >> 17 || (a->s.layout >> 16 & 1 && far_copies(a) < 2))
			return 0;
		chunks = chunks / far_copies(a) * a->disks / near_copies(a);
		return chunks * a->s.chunk;
	default: return 0;
	}
}

static void place_linear(const struct md *a, uint64_t off, struct md_place *p)
{
	p->disk = a->disks - 1;
	p->at = off;
	p->len = UINT64_MAX;
	for (uint32_t i = 0; i < a->disks; i++) {
		uint64_t len = member_len(a, i);

		if (p->at < len) {
			p->disk = i;
			p->len = len - p->at;
			return;
		}
		p->at -= len;
	}
}

/* One zone after the other: each is striped over the members that are long enough. */
static void place_raid0(const struct md *a, uint64_t chunk, uint64_t in, struct md_place *p)
{
	uint64_t from = 0; /* chunks of each member that earlier zones took */

	for (;;) {
		uint64_t to = UINT64_MAX;
		uint32_t n = 0, k;

		for (uint32_t i = 0; i < a->disks; i++) {
			uint64_t len = member_len(a, i) / a->s.chunk;

			if (len <= from)
				continue;
			n++;
			to = len < to ? len : to;
		}
		if (!n)
			return;
		if (chunk >= (to - from) * n) {
			chunk -= (to - from) * n;
			from = to;
			continue;
		}
		k = (uint32_t)(chunk % n);
		for (uint32_t i = 0; i < a->disks; i++) {
			uint64_t len = member_len(a, i) / a->s.chunk;

			if (len > from && !k--) {
				p->disk = i;
				p->at = (from + chunk / n) * a->s.chunk + in;
				return;
			}
		}
		return;
	}
}

/* P goes back or forth by one each stripe; Q is beside it, before it where data goes on behind. */
static void place_ddf(const struct md *a, uint64_t stripe, uint32_t i, struct md_place *p)
{
	uint32_t n = a->disks, on = (uint32_t)(stripe % n);

	if (a->s.layout == MD_N_RESTART)
		on = n - 1 - (uint32_t)((stripe + 1) % n);
	else if (a->s.layout == MD_N_CONTINUE)
		on = n - 1 - on;
	p->p = on;
	p->q = (on + 1) % n;
	if (a->s.layout == MD_N_CONTINUE) {
		p->q = (on + n - 1) % n;
		p->disk = (on + 1 + i) % n;
	} else if (on == n - 1) {
		p->disk = i + 1;
	} else {
		p->disk = i >= on ? i + 2 : i;
	}
}

static void place_parity(const struct md *a, uint64_t chunk, uint64_t in, struct md_place *p)
{
	uint32_t n = a->disks, data = n - a->parities, i = (uint32_t)(chunk % data);
	uint64_t stripe = chunk / data;
	uint32_t back = n - 1 - (uint32_t)(stripe % n), layout = a->s.layout, skip = a->parities;

	if (a->s.level == 4)
		layout = MD_PARITY_N;
	p->q = UINT32_MAX;
	p->at = stripe * a->s.chunk + in;
	if (a->parities == 2 && ddf_order(a)) {
		place_ddf(a, stripe, i, p);
		return;
	}
	if (a->parities == 2 && q_last(a)) {
		p->q = --n;
		back = n - 1 - (uint32_t)(stripe % n);
		layout -= MD_SIX;
	}
	switch (layout) {
	case MD_LEFT_ASYMMETRIC:
	case MD_LEFT_SYMMETRIC: p->p = back; break;
	case MD_RIGHT_ASYMMETRIC:
	case MD_RIGHT_SYMMETRIC: p->p = (uint32_t)(stripe % n); break;
	case MD_PARITY_0: p->p = 0; break;
	default: p->p = data; break;
	}
	if (a->parities == 2 && p->q == UINT32_MAX)
		p->q = (p->p + 1) % n;
	else
		skip = 1;
	if (layout == MD_LEFT_SYMMETRIC || layout == MD_RIGHT_SYMMETRIC) {
		p->disk = (p->p + skip + i) % n;
	} else if (layout == MD_PARITY_0) {
		p->disk = i + skip;
	} else if (layout == MD_PARITY_N) {
		p->disk = i;
	} else if (skip == 2 && p->p == n - 1) {
		p->disk = i + 1; /* Q stands before the data */
	} else {
		p->disk = i >= p->p ? i + skip : i;
	}
}

static void place_raid10(const struct md *a, uint64_t chunk, uint64_t in, uint32_t k,
			 struct md_place *p)
{
	uint32_t n = a->disks, nc = near_copies(a), fc = far_copies(a), far = k / nc;
	uint64_t slot = chunk * nc, stripe = slot / n;
	bool offset = a->s.layout >> 16 & 1;
	uint64_t half = a->column / a->s.chunk / fc; /* chunks of a member for each far copy */

	p->disk = (uint32_t)((slot + k % nc) % n);
	/* A near copy may run over into the next row. */
	stripe += (slot % n + k % nc) / n;
	p->disk = (p->disk + far * nc) % n;
	p->at = (offset ? stripe * fc + far : stripe + far * half) * a->s.chunk + in;
}

void md_place(const struct md *a, uint64_t off, uint32_t k, struct md_place *p)
{
	uint64_t chunk = a->s.chunk ? off / a->s.chunk : 0, in = a->s.chunk ? off % a->s.chunk : 0;

	*p = (struct md_place){.p = UINT32_MAX, .q = UINT32_MAX};
	p->len = a->s.chunk - in;
	switch (a->s.level) {
	case MD_LINEAR: place_linear(a, off, p); break;
	case 0: place_raid0(a, chunk, in, p); break;
	case 1:
		p->disk = k;
		p->at = off;
		p->len = UINT64_MAX;
		break;
	case 10: place_raid10(a, chunk, in, k, p); break;
	default: place_parity(a, chunk, in, p); break;
	}
}

int md_read_member(const struct md *a, uint32_t disk, uint64_t at, uint8_t *buf, size_t len,
		   uint64_t off, struct ranges *bad)
{
	const struct md_member *m = &a->member[disk];

	return layer_read_as(m->on, m->s.data + at, buf, len, off, bad);
}

/* --- parity --- */

static uint8_t gf_mul(uint8_t a, uint8_t b)
{
	uint8_t r = 0;

	for (; b; b >>= 1) {
		if (b & 1)
			r ^= a;
		a = (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1d : 0));
	}
	return r;
}

static uint8_t gf_pow(unsigned n)
{
	uint8_t r = 1;

	while (n--)
		r = gf_mul(r, 2);
	return r;
}

static uint8_t gf_inverse(uint8_t a)
{
	uint8_t r = 1;

	/* a^254: the group has 255 elements. */
	for (int i = 0; i < 254; i++)
		r = gf_mul(r, a);
	return r;
}

static void add(uint8_t *to, const uint8_t *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] ^= from[i];
}

static void add_times(uint8_t *to, const uint8_t *from, size_t len, uint8_t factor)
{
	uint8_t table[256];

	for (unsigned i = 0; i < 256; i++)
		table[i] = gf_mul((uint8_t)i, factor);
	for (size_t i = 0; i < len; i++)
		to[i] ^= table[from[i]];
}

/* Which power of two a data disk has in Q: it is counted from behind Q on. */
static unsigned power_of(const struct md *a, const struct md_place *p, uint32_t disk)
{
	uint32_t n = a->disks, first = (p->q + 1) % n;
	unsigned power = 0;

	if (ddf_order(a))
		return disk;
	for (uint32_t i = first; i != disk; i = (i + 1) % n)
		power += i != p->p && i != p->q;
	return power;
}

struct sums {
	uint8_t *p, *q, *one; /* xor of P and data; of Q and data times powers; a buffer */
	uint32_t second;      /* another data disk that is missing, or UINT32_MAX */
	bool use_q;
};

/* Sum up what is there, but for @p->disk. False: more is missing than parities make up for. */
static int sum_up(const struct md *a, const struct md_place *p, size_t len, uint64_t off,
		  struct sums *s, bool *enough, struct ranges *bad)
{
	uint32_t missing = 0;
	bool has_p = true, has_q = p->q != UINT32_MAX;
	int r = 0;

	for (uint32_t i = 0; i < a->disks; i++) {
		if (i == p->disk || md_usable(a, i, p->at))
			continue;
		if (i == p->p)
			has_p = false;
		else if (i == p->q)
			has_q = false;
		else if (!missing++)
			s->second = i;
	}
	*enough = missing + 1 <= (unsigned)has_p + has_q;
	s->use_q = !has_p || missing;
	memset(s->p, 0, len);
	memset(s->q, 0, len);
	for (uint32_t i = 0; i < a->disks && *enough && !r; i++) {
		if (i == p->disk || (i == s->second && missing) || (i == p->p && !has_p) ||
		    (i == p->q && !s->use_q))
			continue;
		r = md_read_member(a, i, p->at, s->one, len, off, bad);
		if (i != p->q)
			add(s->p, s->one, len);
		if (i == p->q)
			add(s->q, s->one, len);
		else if (s->use_q && i != p->p)
			add_times(s->q, s->one, len, gf_pow(power_of(a, p, i)));
	}
	return r;
}

int md_rebuild(const struct md *a, const struct md_place *p, uint8_t *buf, size_t len, uint64_t off,
	       struct ranges *bad)
{
	struct sums s = {
		.p = malloc(len), .q = malloc(len), .one = malloc(len), .second = UINT32_MAX};
	bool enough = false;
	int r = s.p && s.q && s.one ? sum_up(a, p, len, off, &s, &enough, bad) : -ENOMEM;

	memset(buf, 0, len);
	if (!r && !enough) {
		r = ranges_add(bad, off, len, GRADE_LOST, MD_MEMBER_MISSING);
	} else if (!r && !s.use_q) {
		memcpy(buf, s.p, len);
	} else if (!r && s.second == UINT32_MAX) {
		add_times(buf, s.q, len, gf_inverse(gf_pow(power_of(a, p, p->disk))));
	} else if (!r) {
		/* Two unknowns x, y: x + y = P, gx*x + gy*y = Q, so x = (Q + gy*P) / (gx + gy). */
		uint8_t gx = gf_pow(power_of(a, p, p->disk)), gy = gf_pow(power_of(a, p, s.second));

		add_times(s.q, s.p, len, gy);
		add_times(buf, s.q, len, gf_inverse(gx ^ gy));
	}
	free(s.p);
	free(s.q);
	free(s.one);
	return r;
}
