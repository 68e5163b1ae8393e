/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for a header that a key opens: every passphrase, with and without the key files, at
 * every place, with every KDF. Nothing says which of them is the right one; the costs are the KDFs,
 * so these are what is spread over threads.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keys.h"
#include "crypto/tcrypt.h"
#include "vdiskck/core/pool.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/core/text.h"

enum kdf_use {
	USE_TRUECRYPT = 1,
	USE_VERACRYPT = 2,
	USE_BOOT = 4, /* VeraCrypt, system encryption with a BIOS boot loader */
};

static const struct kdf {
	enum kdf_use use;
	int hash; /* -1: Argon2id */
	uint32_t iterations;
} kdfs[] = {
	{USE_TRUECRYPT, PRIM_RIPEMD160, 2000},	   {USE_TRUECRYPT, PRIM_RIPEMD160, 1000},
	{USE_TRUECRYPT, PRIM_SHA512, 1000},	   {USE_TRUECRYPT, PRIM_WHIRLPOOL, 1000},
	{USE_TRUECRYPT, PRIM_SHA1, 2000},	   {USE_BOOT, PRIM_SHA256, 200000},
	{USE_BOOT, PRIM_BLAKE2S256, 200000},	   {USE_BOOT, PRIM_RIPEMD160, 327661},
	{USE_VERACRYPT, PRIM_SHA512, 500000},	   {USE_VERACRYPT, PRIM_SHA256, 500000},
	{USE_VERACRYPT, PRIM_BLAKE2S256, 500000},  {USE_VERACRYPT, -1, 6}, /* 416 MiB */
	{USE_VERACRYPT, PRIM_WHIRLPOOL, 500000},   {USE_VERACRYPT, PRIM_RIPEMD160, 655331},
	{USE_VERACRYPT, PRIM_STREEBOG512, 500000},
};
enum { KDFS = sizeof(kdfs) / sizeof(*kdfs) };

struct job {
	uint32_t candidate, pim;
	uint8_t kdf, place;
};

struct search {
	struct layer *l;
	struct tcrypt_candidates c;
	struct job *job;
	size_t n, done;
	const struct tcrypt_header *header; /* as stored, by place */
	struct tcrypt_hit *hit;
	atomic_size_t found;  /* index of the job that *hit is from; SIZE_MAX: none yet */
	bool no_memory;	      /* a KDF did not get what it needs */
	pthread_mutex_t lock; /* of all that changes */
	pthread_mutex_t one;  /* held for Argon2: one at a time, it takes up to 1 GiB */
};

/* One job at work. */
struct trial {
	struct search *s;
	size_t index;
	const struct job *job;
	const struct kdf *kdf;
	const struct tcrypt_candidate *c;
	uint8_t *key; /* secret: what is derived so far */
	size_t have;
};

/* --- one trial --- */

/* VeraCrypt, "PIM": Argon2id's passes and memory in KiB, or iterations of PBKDF2. */
static uint32_t kdf_cost(const struct kdf *k, uint32_t pim, uint32_t *memory)
{
	*memory = 0;
	if (k->hash < 0) {
		*memory = (!pim ? 416 : pim <= 31 ? 64 + (pim - 1) * 32 : 1024) * 1024;
		return !pim ? k->iterations : pim <= 31 ? 3 + (pim - 1) / 3 : pim - 18;
	}
	if (!pim || k->use == USE_TRUECRYPT)
		return k->iterations;
	return k->use == USE_BOOT ? 2048 * pim : 15000 + 1000 * pim;
}

static const char *kdf_text(const struct kdf *k)
{
	static const char *const text[PRIM_HASHES] = {
		[PRIM_RIPEMD160] = "PBKDF2-RIPEMD-160", [PRIM_SHA512] = "PBKDF2-SHA-512",
		[PRIM_WHIRLPOOL] = "PBKDF2-Whirlpool",	[PRIM_SHA1] = "PBKDF2-SHA-1",
		[PRIM_SHA256] = "PBKDF2-SHA-256",	[PRIM_BLAKE2S256] = "PBKDF2-BLAKE2s-256",
		[PRIM_STREEBOG512] = "PBKDF2-Streebog",
	};

	return k->hash < 0 ? "Argon2id" : text[k->hash];
}

/* Somebody wants an end, or a job before this one has found the header. */
static bool not_needed(void *arg)
{
	const struct trial *t = arg;

	return session_stopped(t->s->l->s) || atomic_load(&t->s->found) < t->index;
}

static int derive_argon2(struct trial *t, const uint8_t *salt)
{
	struct search *s = t->s;
	uint32_t memory, passes = kdf_cost(t->kdf, t->job->pim, &memory);
	int r;

	pthread_mutex_lock(&s->one);
	r = not_needed(t) ? -EINTR
			  : prim_argon2(PRIM_ARGON2ID, t->c->text, t->c->len, salt, TCRYPT_SALT,
					passes, memory, 1, t->key, TCRYPT_DERIVED);
	if (r == -ENOMEM)
		s->no_memory = true;
	pthread_mutex_unlock(&s->one);
	t->have = TCRYPT_DERIVED;
	return r;
}

/* At least @want bytes of the key: what single ciphers need is a third of all. */
static int derive(struct trial *t, const uint8_t *salt, size_t want)
{
	uint32_t memory, passes = kdf_cost(t->kdf, t->job->pim, &memory);
	size_t len, done, n;
	int r;

	if (t->have >= want)
		return 0;
	if (t->kdf->hash < 0)
		return derive_argon2(t, salt);
	len = prim_hash_len((enum prim_hash)t->kdf->hash);
	done = t->have / len;
	n = (want + len - 1) / len - done;
	r = prim_pbkdf2_blocks((enum prim_hash)t->kdf->hash, t->c->text, t->c->len, salt,
			       TCRYPT_SALT, passes, (uint32_t)done + 1, (uint32_t)n,
			       t->key + t->have, not_needed, t);
	t->have += n * len;
	return r;
}

/*
 * Is it a header? The four letters alone come up by chance once in 2^32 trials, and there are some
 * hundred for each key: one of the two CRCs must fit as well.
 */
static bool header_holds(const struct tcrypt_header *h, bool vera, struct tcrypt_hit *hit)
{
	if (memcmp(h->magic, vera ? "VERA" : "TRUE", 4))
		return false;
	hit->keys_ok = sum_crc32(0, h->keys, sizeof(h->keys)) == be32(h->keys_crc);
	hit->crc_ok =
		be16(h->version) < 4 ||
		sum_crc32(0, h->magic, offsetof(struct tcrypt_header, header_crc) - TCRYPT_SALT) ==
			be32(h->header_crc);
	return hit->keys_ok || (hit->crc_ok && be16(h->version) >= 4);
}

/* Try one cipher with the derived key. 1: it opens, *@h is the header. */
static int try_cipher(const struct trial *t, const struct tcrypt_alg *a,
		      const struct tcrypt_header *stored, struct tcrypt_header *h,
		      struct tcrypt_hit *hit)
{
	struct tcrypt_cipher *c;
	int r = tcrypt_cipher_open(&c, a, t->key);

	if (r == -EOPNOTSUPP || r == -EINVAL)
		return 0; /* a weak key of 3DES, or a library without the cipher */
	if (r)
		return r;
	memcpy(h, stored, sizeof(*h));
	r = tcrypt_decrypt_header(c, (uint8_t *)h + TCRYPT_SALT);
	tcrypt_cipher_close(c);
	return r ? r : header_holds(h, t->kdf->use != USE_TRUECRYPT, hit);
}

/* Ciphers that need little of the key first. 1: one opens, hit->h and hit->alg are set. */
static int try_ciphers(struct trial *t, const struct tcrypt_header *stored, struct tcrypt_hit *hit)
{
	struct tcrypt_header *h = prim_secret(sizeof(*h));
	int r = h ? 0 : -ENOMEM;

	for (size_t want = 64; !r && want <= TCRYPT_DERIVED; want += 64) {
		r = derive(t, stored->salt, want);
		for (size_t i = 0; !r && i < tcrypt_n_algs; i++) {
			const struct tcrypt_alg *a = &tcrypt_algs[i];
			size_t need = tcrypt_alg_need(a);

			if (need > want || need + 64 <= want ||
			    (t->kdf->use != USE_TRUECRYPT && a->mode != TCRYPT_XTS))
				continue;
			r = try_cipher(t, a, stored, h, hit);
			hit->alg = a;
		}
	}
	if (r == 1)
		hit->h = h;
	else
		prim_secret_free(h);
	return r;
}

static int try_header(struct search *s, size_t index, const struct job *j,
		      const struct tcrypt_header *stored, struct tcrypt_hit *hit)
{
	struct trial t = {.s = s,
			  .index = index,
			  .job = j,
			  .kdf = &kdfs[j->kdf],
			  .c = &s->c.v[j->candidate],
			  .key = prim_secret(TCRYPT_DERIVED + PRIM_HASH_MAX)};
	int r = t.key ? try_ciphers(&t, stored, hit) : -ENOMEM;

	if (r < 0 && t.key && r != -EINTR)
		r = 0; /* this KDF is not to be had: the others are */
	prim_secret_free(t.key);
	if (r == -EINTR && !session_stopped(s->l->s))
		r = 0;
	if (r != 1)
		return r;
	hit->place = j->place;
	hit->kdf = kdf_text(t.kdf);
	hit->kdf_no = j->kdf;
	hit->pim = t.kdf->use == USE_TRUECRYPT ? 0 : j->pim;
	hit->passes = kdf_cost(t.kdf, j->pim, &hit->memory);
	hit->key = t.c->key;
	hit->keyfiles = t.c->keyfiles;
	return 1;
}

/* --- all of them --- */

static int run_job(void *arg, size_t i)
{
	struct search *s = arg;
	struct tcrypt_hit hit = {0};
	struct tcrypt_header *drop = NULL;
	int r;

	if (session_stopped(s->l->s))
		return -EINTR;
	r = try_header(s, i, &s->job[i], &s->header[s->job[i].place], &hit);
	pthread_mutex_lock(&s->lock);
	/* Of several the first in order: which one it is does not depend on how threads ran. */
	if (r == 1 && i < atomic_load(&s->found)) {
		drop = s->hit->h;
		*s->hit = hit;
		atomic_store(&s->found, i);
	} else if (r == 1) {
		drop = hit.h;
	}
	session_progress(s->l->s, "trying keys", ++s->done, s->n);
	pthread_mutex_unlock(&s->lock);
	prim_secret_free(drop);
	return r;
}

static bool fits(const struct kdf *k, enum tcrypt_place p, const struct tcrypt_candidate *c,
		 uint32_t use)
{
	if (!(k->use & use) || (k->use == USE_TRUECRYPT && c->is_long))
		return false;
	if (p == TCRYPT_AT_SYSTEM)
		return true;
	/* VeraCrypt never wrote a hidden volume of the old kind. */
	return k->use != USE_BOOT && (p != TCRYPT_AT_OLD_HIDDEN || k->use == USE_TRUECRYPT);
}

static void add_jobs(struct search *s, uint32_t use, unsigned places, uint32_t pim)
{
	for (size_t c = 0; c < s->c.n; c++)
		for (int p = 0; p < TCRYPT_PLACES; p++)
			for (int k = 0; places >> p & 1 && k < KDFS; k++)
				if (fits(&kdfs[k], (enum tcrypt_place)p, &s->c.v[c], use))
					s->job[s->n++] = (struct job){.candidate = (uint32_t)c,
								      .pim = pim,
								      .kdf = (uint8_t)k,
								      .place = (uint8_t)p};
}

/*
 * TrueCrypt's KDFs take milliseconds, so they go first everywhere; VeraCrypt's take seconds: first
 * where headers are used, then where their copies lie.
 */
static int make_jobs(struct search *s, unsigned places)
{
	const unsigned copies = 1u << TCRYPT_AT_BACKUP | 1u << TCRYPT_AT_HIDDEN_BACKUP;

	s->job = calloc(s->c.n * TCRYPT_PLACES * KDFS * (s->c.n_pim + 1), sizeof(*s->job));
	if (!s->job)
		return -ENOMEM;
	add_jobs(s, USE_TRUECRYPT, places, 0);
	for (size_t i = 0; i < s->c.n_pim; i++)
		add_jobs(s, USE_VERACRYPT | USE_BOOT, places & ~copies, s->c.pim[i]);
	for (size_t i = 0; i < s->c.n_pim; i++)
		add_jobs(s, USE_VERACRYPT | USE_BOOT, places & copies, s->c.pim[i]);
	return 0;
}

static void search_init(struct search *s, struct layer *l, struct tcrypt_hit *hit)
{
	*s = (struct search){.l = l, .hit = hit, .found = SIZE_MAX};
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->one, NULL);
	*hit = (struct tcrypt_hit){0};
}

static void search_fini(struct search *s)
{
	tcrypt_candidates_free(&s->c);
	free(s->job);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->one);
}

int tcrypt_search(struct layer *l, unsigned places, struct tcrypt_hit *hit)
{
	struct tcrypt_header stored[TCRYPT_PLACES] = {0};
	struct search s;
	int r;

	search_init(&s, l, hit);
	s.header = stored;
	r = tcrypt_candidates_make(l, &s.c);
	for (int p = 0; !r && p < TCRYPT_PLACES; p++)
		if (places >> p & 1)
			r = layer_read(l->below, tcrypt_place_off(p, l->below->size), &stored[p],
				       sizeof(stored[p]), NULL);
	if (!r && !s.c.n)
		r = -ENOKEY;
	if (!r)
		r = make_jobs(&s, places);
	if (!r)
		r = pool_run(session_jobs(l->s), s.n, run_job, &s);
	if (r == 1) {
		hit->off = tcrypt_place_off(hit->place, l->below->size);
		r = 0;
	} else if (!r) {
		if (s.no_memory)
			layer_err(l, 0,
				  "no memory for Argon2id: VeraCrypt's newest kind of volume "
				  "was not tried");
		r = -EKEYREJECTED;
	}
	if (r) {
		prim_secret_free(hit->h);
		hit->h = NULL;
	}
	search_fini(&s);
	return r;
}

int tcrypt_retry(struct layer *l, const struct tcrypt_hit *hit, enum tcrypt_place place,
		 uint64_t off, struct tcrypt_hit *copy)
{
	struct tcrypt_header stored;
	struct search s;
	int r;

	search_init(&s, l, copy);
	r = layer_read(l->below, off, &stored, sizeof(stored), NULL);
	if (!r)
		r = tcrypt_candidates_make(l, &s.c);
	for (size_t i = 0; !r && i < s.c.n; i++) {
		struct job j = {.candidate = (uint32_t)i,
				.pim = hit->pim,
				.kdf = (uint8_t)hit->kdf_no,
				.place = (uint8_t)place};

		if (s.c.v[i].key == hit->key && s.c.v[i].keyfiles == hit->keyfiles)
			r = try_header(&s, 0, &j, &stored, copy);
	}
	copy->off = off;
	search_fini(&s);
	return r == 1 ? 0 : r ? r : -EKEYREJECTED;
}
