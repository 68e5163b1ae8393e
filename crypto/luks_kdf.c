/* SPDX-License-Identifier: Apache-2.0 */
/* What a passphrase costs: key derivation for LUKS, its bounds, and its progress. */
#include "crypto/luks_kdf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vdiskck/core/pool.h"
#include "vdiskck/core/session.h"

/*
 * What a header may ask for. cryptsetup makes as much PBKDF2 as a machine does in two seconds, at
 * most 4 GiB of Argon2, and some passes of it; beyond this a header was made to hang whoever opens
 * it. The sums are for one passphrase on all keyslots, the cheapest first: half a minute of PBKDF2
 * on one processor.
 */
enum { PBKDF2_SLOT = 100000000, PBKDF2_DIGEST = 20000000, ARGON2_MEMORY_MAX = 4 << 20 };
static const uint64_t pbkdf2_all = 200000000;
static const uint64_t argon2_slot = 64ull << 20, argon2_all = 128ull << 20; /* KiB filled */

static uint64_t blocks(int hash, size_t len)
{
	size_t n = prim_hash_len((enum prim_hash)hash);

	return (len + n - 1) / n;
}

static bool argon2_possible(const struct luks_slot *s)
{
	/* Four fifths of memory: what is asked for is all touched, in every pass. */
	uint64_t have = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	return s->passes && s->memory && s->memory <= ARGON2_MEMORY_MAX &&
	       s->memory <= have / 1024 / 5 * 4 && s->passes <= argon2_slot / s->memory;
}

struct cost {
	size_t slot;
	uint64_t hmacs, filled; /* PBKDF2: pairs of hash blocks; Argon2: KiB */
	bool possible;
};

static struct cost cost_of(const struct luks *u, size_t i)
{
	const struct luks_slot *s = &u->slot[i];
	struct cost c = {.slot = i, .possible = true};

	if (s->state != LUKS_SLOT_GOOD)
		return c;
	if (s->kdf == LUKS_PBKDF2) {
		c.possible = s->passes && s->passes <= PBKDF2_SLOT;
		c.hmacs = c.possible ? s->passes * blocks(s->kdf_hash, s->area_key) : 0;
	} else {
		c.possible = argon2_possible(s);
		c.filled = c.possible ? s->passes * s->memory : 0;
	}
	for (size_t d = 0; d < u->n_digests; d++)
		if (s->digests >> d & 1 && u->digest[d].passes <= PBKDF2_DIGEST)
			c.hmacs += u->digest[d].passes *
				   blocks(u->digest[d].hash, u->digest[d].value_len);
	return c;
}

static int cost_cmp(const void *a, const void *b)
{
	const struct cost *x = a, *y = b;
	/* A MiB filled takes about as long as 4000 HMACs. */
	uint64_t cx = x->hmacs + 4 * x->filled, cy = y->hmacs + 4 * y->filled;

	return cx != cy ? (cx > cy) - (cx < cy) : (x->slot > y->slot) - (x->slot < y->slot);
}

static void say_costly(struct layer *l, struct luks_slot *s)
{
	struct luks *u = l->priv;
	char what[96];

	s->state = LUKS_SLOT_COSTLY;
	snprintf(what, sizeof(what),
		 s->kdf == LUKS_PBKDF2 ? "%" PRIu64 " iterations"
				       : "%" PRIu64 " passes over %u KiB",
		 s->passes, s->memory);
	finding_fact(l, LUKS_KEYSLOT_COSTLY,
		     &(struct fact){.in = u->meta, .at = s->off, .at_len = s->len, .stored = what},
		     "keyslot %u asks for more work than any tool would make it: it is not tried",
		     s->id);
}

void luks_kdf_judge(struct layer *l)
{
	struct luks *u = l->priv;
	struct cost c[LUKS_SLOTS] = {0};
	uint64_t hmacs = 0, filled = 0;

	for (size_t i = 0; i < u->n_slots; i++)
		c[i] = cost_of(u, i);
	qsort(c, u->n_slots, sizeof(*c), cost_cmp);
	for (size_t i = 0; i < u->n_slots; i++) {
		struct luks_slot *s = &u->slot[c[i].slot];

		u->order[i] = (uint8_t)c[i].slot;
		if (s->state != LUKS_SLOT_GOOD)
			continue;
		hmacs += c[i].hmacs;
		filled += c[i].filled;
		if (!c[i].possible || hmacs > pbkdf2_all || filled > argon2_all)
			say_costly(l, s);
	}
}

/* PBKDF2, its blocks on as many threads as there are of both. */
struct pbkdf2 {
	struct session *s;
	enum prim_hash hash;
	const void *pass, *salt;
	size_t pass_len, salt_len;
	uint64_t passes;
	uint8_t *out; /* secret */
};

static bool stop(void *arg)
{
	return session_stopped(arg);
}

static int pbkdf2_block(void *arg, size_t i)
{
	const struct pbkdf2 *p = arg;

	return prim_pbkdf2_blocks(p->hash, p->pass, p->pass_len, p->salt, p->salt_len, p->passes,
				  (uint32_t)i + 1, 1, p->out + i * prim_hash_len(p->hash), stop,
				  p->s);
}

static int pbkdf2(struct pbkdf2 *p, uint8_t *out, size_t len)
{
	enum { WORTH_A_THREAD = 10000 };
	size_t n = (size_t)blocks((int)p->hash, len);
	int r;

	p->out = prim_secret(n * prim_hash_len(p->hash));
	if (!p->out)
		return -ENOMEM;
	r = pool_run(p->passes < WORTH_A_THREAD ? 1 : session_jobs(p->s), n, pbkdf2_block, p);
	memcpy(out, p->out, len);
	prim_secret_free(p->out);
	return r;
}

int luks_kdf_derive(struct session *s, const struct luks_slot *slot, const void *pass, size_t len,
		    uint8_t *out)
{
	if (slot->kdf == LUKS_PBKDF2) {
		struct pbkdf2 p = {.s = s,
				   .hash = (enum prim_hash)slot->kdf_hash,
				   .pass = pass,
				   .pass_len = len,
				   .salt = slot->salt,
				   .salt_len = slot->salt_len,
				   .passes = slot->passes};

		return pbkdf2(&p, out, slot->area_key);
	}
	return prim_argon2(slot->kdf == LUKS_ARGON2I ? PRIM_ARGON2I : PRIM_ARGON2ID, pass, len,
			   slot->salt, slot->salt_len, (uint32_t)slot->passes, slot->memory,
			   slot->lanes, out, slot->area_key);
}

bool luks_digest_fits(struct session *s, const struct luks_digest *d, const uint8_t *key,
		      size_t len)
{
	struct pbkdf2 p = {.s = s,
			   .hash = (enum prim_hash)d->hash,
			   .pass = key,
			   .pass_len = len,
			   .salt = d->salt,
			   .salt_len = d->salt_len,
			   .passes = d->passes};
	uint8_t out[PRIM_HASH_MAX];

	if (!d->passes || d->passes > PBKDF2_DIGEST || d->value_len > sizeof(out))
		return false;
	return !pbkdf2(&p, out, d->value_len) && prim_equal(out, d->value, d->value_len);
}
