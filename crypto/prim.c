/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/prim.h"

#include <errno.h>
#include <gcrypt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
	SECRETS =
		1 << 20, /* locked memory for keys and key schedules; more is added when used up */
	POOL_MAX = 64,	 /* handles kept for reuse: one per thread that reads */
	PARTS_MAX = 8,
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
	gcry_check_version(NULL);
	/* Without the right to lock memory the library warns on stderr and goes on. */
	gcry_control(GCRYCTL_DISABLE_SECMEM_WARN);
	gcry_control(GCRYCTL_AUTO_EXPAND_SECMEM, SECRETS);
	gcry_control(GCRYCTL_INIT_SECMEM, SECRETS, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

void *prim_secret(size_t len)
{
	pthread_once(&once, init);
	return gcry_calloc_secure(1, len ? len : 1);
}

void prim_secret_free(void *p)
{
	gcry_free(p); /* wipes what is secure memory */
}

void prim_wipe(void *p, size_t len)
{
	explicit_bzero(p, len);
}

bool prim_equal(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t d = 0;

	for (size_t i = 0; i < len; i++)
		d |= x[i] ^ y[i];
	return !d;
}

static int err(gcry_error_t e)
{
	switch (gcry_err_code(e)) {
	case GPG_ERR_NO_ERROR: return 0;
	case GPG_ERR_CHECKSUM: return -EBADMSG;
	case GPG_ERR_ENOMEM: return -ENOMEM;
	case GPG_ERR_CIPHER_ALGO:
	case GPG_ERR_DIGEST_ALGO:
	case GPG_ERR_MAC_ALGO:
	case GPG_ERR_INV_CIPHER_MODE:
	case GPG_ERR_INV_KEYLEN:
	case GPG_ERR_NOT_SUPPORTED: return -EOPNOTSUPP;
	default: return -EINVAL;
	}
}

/* --- hashes --- */

static const struct {
	const char *name;
	int md, mac;
} hashes[PRIM_HASHES] = {
	[PRIM_MD5] = {"md5", GCRY_MD_MD5, GCRY_MAC_HMAC_MD5},
	[PRIM_SHA1] = {"sha1", GCRY_MD_SHA1, GCRY_MAC_HMAC_SHA1},
	[PRIM_SHA224] = {"sha224", GCRY_MD_SHA224, GCRY_MAC_HMAC_SHA224},
	[PRIM_SHA256] = {"sha256", GCRY_MD_SHA256, GCRY_MAC_HMAC_SHA256},
	[PRIM_SHA384] = {"sha384", GCRY_MD_SHA384, GCRY_MAC_HMAC_SHA384},
	[PRIM_SHA512] = {"sha512", GCRY_MD_SHA512, GCRY_MAC_HMAC_SHA512},
	[PRIM_RIPEMD160] = {"ripemd160", GCRY_MD_RMD160, GCRY_MAC_HMAC_RMD160},
	[PRIM_WHIRLPOOL] = {"whirlpool", GCRY_MD_WHIRLPOOL, GCRY_MAC_HMAC_WHIRLPOOL},
	[PRIM_STREEBOG512] = {"stribog512", GCRY_MD_STRIBOG512, GCRY_MAC_HMAC_STRIBOG512},
	[PRIM_BLAKE2S256] = {"blake2s-256", GCRY_MD_BLAKE2S_256, GCRY_MAC_HMAC_BLAKE2S_256},
	[PRIM_BLAKE2B512] = {"blake2b-512", GCRY_MD_BLAKE2B_512, GCRY_MAC_HMAC_BLAKE2B_512},
	[PRIM_SHA3_224] = {"sha3-224", GCRY_MD_SHA3_224, GCRY_MAC_HMAC_SHA3_224},
	[PRIM_SHA3_256] = {"sha3-256", GCRY_MD_SHA3_256, GCRY_MAC_HMAC_SHA3_256},
	[PRIM_SHA3_384] = {"sha3-384", GCRY_MD_SHA3_384, GCRY_MAC_HMAC_SHA3_384},
	[PRIM_SHA3_512] = {"sha3-512", GCRY_MD_SHA3_512, GCRY_MAC_HMAC_SHA3_512},
	[PRIM_SM3] = {"sm3", GCRY_MD_SM3, GCRY_MAC_HMAC_SM3},
};

int prim_hash_find(const char *name)
{
	for (int i = 0; i < PRIM_HASHES; i++)
		if (!strcmp(hashes[i].name, name))
			return i;
	return -1;
}

const char *prim_hash_name(enum prim_hash h)
{
	return hashes[h].name;
}

size_t prim_hash_len(enum prim_hash h)
{
	pthread_once(&once, init);
	return gcry_md_get_algo_dlen(hashes[h].md);
}

void prim_hash(enum prim_hash h, const void *p, size_t len, uint8_t *out)
{
	pthread_once(&once, init);
	gcry_md_hash_buffer(hashes[h].md, out, p, len);
}

/* gcry wants pointers without const; it only reads. */
static gcry_buffer_t buffer(const void *p, size_t len)
{
	return (gcry_buffer_t){.data = (void *)(uintptr_t)p, .len = len};
}

static void hash_parts(enum prim_hash h, unsigned flags, gcry_buffer_t *iov, size_t at,
		       const struct prim_part *part, size_t n, uint8_t *out)
{
	pthread_once(&once, init);
	if (n > PARTS_MAX)
		abort(); /* a mistake of ours: callers have a fixed, small number of parts */
	for (size_t i = 0; i < n; i++)
		iov[at + i] = buffer(part[i].p, part[i].len);
	gcry_md_hash_buffers(hashes[h].md, flags, out, iov, (int)(at + n));
}

/* struct prim_digest is never defined: it is libgcrypt's handle under another name. */
struct prim_digest *prim_digest_open(enum prim_hash h)
{
	gcry_md_hd_t md;

	pthread_once(&once, init);
	return gcry_md_open(&md, hashes[h].md, 0) ? NULL : (struct prim_digest *)md;
}

void prim_digest_add(struct prim_digest *d, const void *p, size_t len)
{
	gcry_md_write((gcry_md_hd_t)d, p, len);
}

void prim_digest_end(struct prim_digest *d, uint8_t *out)
{
	gcry_md_hd_t md = (gcry_md_hd_t)d;
	int algo = gcry_md_get_algo(md);

	memcpy(out, gcry_md_read(md, 0), gcry_md_get_algo_dlen(algo));
	gcry_md_reset(md);
}

void prim_digest_close(struct prim_digest *d)
{
	gcry_md_close((gcry_md_hd_t)d);
}

void prim_hash_parts(enum prim_hash h, const struct prim_part *part, size_t n, uint8_t *out)
{
	gcry_buffer_t iov[PARTS_MAX];

	hash_parts(h, 0, iov, 0, part, n, out);
}

void prim_hmac_parts(enum prim_hash h, const void *key, size_t key_len,
		     const struct prim_part *part, size_t n, uint8_t *out)
{
	gcry_buffer_t iov[PARTS_MAX + 1] = {buffer(key, key_len)};

	hash_parts(h, GCRY_MD_FLAG_HMAC, iov, 1, part, n, out);
}

/* --- handles that are borrowed --- */

struct pool {
	pthread_mutex_t lock;
	void *free[POOL_MAX];
	size_t n;
};

static void *pool_get(struct pool *p)
{
	void *h = NULL;

	pthread_mutex_lock(&p->lock);
	if (p->n)
		h = p->free[--p->n];
	pthread_mutex_unlock(&p->lock);
	return h;
}

static void pool_put(struct pool *p, void *h, void (*close)(void *h))
{
	pthread_mutex_lock(&p->lock);
	if (p->n < POOL_MAX) {
		p->free[p->n++] = h;
		h = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	if (h)
		close(h);
}

/* What a handle is made from; the key is kept, for a handle can't be copied. */
struct recipe {
	int algo, mode;
	uint8_t *key;
	size_t key_len;
	struct pool pool;
};

static int recipe_init(struct recipe *r, int algo, int mode, const void *key, size_t key_len)
{
	r->algo = algo;
	r->mode = mode;
	r->key_len = key_len;
	pthread_mutex_init(&r->pool.lock, NULL);
	r->key = prim_secret(key_len);
	if (!r->key)
		return -ENOMEM;
	memcpy(r->key, key, key_len);
	return 0;
}

static void recipe_fini(struct recipe *r, void (*close)(void *h))
{
	while (r->pool.n)
		close(r->pool.free[--r->pool.n]);
	pthread_mutex_destroy(&r->pool.lock);
	prim_secret_free(r->key);
}

static void cipher_close(void *h)
{
	gcry_cipher_close(h);
}

static int cipher_make(struct recipe *r, gcry_cipher_hd_t *h)
{
	int e = err(gcry_cipher_open(h, r->algo, r->mode, GCRY_CIPHER_SECURE));

	if (e)
		return e;
	e = err(gcry_cipher_setkey(*h, r->key, r->key_len));
	if (e)
		gcry_cipher_close(*h);
	return e;
}

static gcry_cipher_hd_t cipher_get(struct recipe *r)
{
	gcry_cipher_hd_t h = pool_get(&r->pool);

	if (h || !cipher_make(r, &h))
		return h;
	return NULL;
}

/* --- MAC --- */

struct prim_mac {
	struct recipe r;
};

static void mac_close(void *h)
{
	gcry_mac_close(h);
}

struct prim_mac *prim_mac_open(enum prim_hash h, const void *key, size_t key_len)
{
	struct prim_mac *m = calloc(1, sizeof(*m));

	pthread_once(&once, init);
	if (m && recipe_init(&m->r, hashes[h].mac, 0, key, key_len)) {
		prim_mac_close(m);
		m = NULL;
	}
	return m;
}

static int mac_make(struct recipe *r, gcry_mac_hd_t *h)
{
	int e = err(gcry_mac_open(h, r->algo, GCRY_MAC_FLAG_SECURE, NULL));

	if (e)
		return e;
	e = err(gcry_mac_setkey(*h, r->key, r->key_len));
	if (e)
		gcry_mac_close(*h);
	return e;
}

int prim_mac_sum(struct prim_mac *m, const struct prim_part *part, size_t n, uint8_t *out)
{
	gcry_mac_hd_t h = pool_get(&m->r.pool);
	size_t len = PRIM_HASH_MAX;
	int e = h ? err(gcry_mac_reset(h)) : mac_make(&m->r, &h);

	if (!h)
		return e;
	for (size_t i = 0; !e && i < n; i++)
		e = err(gcry_mac_write(h, part[i].p, part[i].len));
	if (!e)
		e = err(gcry_mac_read(h, out, &len));
	pool_put(&m->r.pool, h, mac_close);
	return e;
}

void prim_mac_close(struct prim_mac *m)
{
	if (m) {
		recipe_fini(&m->r, mac_close);
		free(m);
	}
}

/* --- key derivation --- */

int prim_pbkdf2(enum prim_hash h, const void *pass, size_t pass_len, const void *salt,
		size_t salt_len, uint64_t iterations, void *out, size_t out_len)
{
	pthread_once(&once, init);
	return err(gcry_kdf_derive(pass, pass_len, GCRY_KDF_PBKDF2, hashes[h].md, salt, salt_len,
				   iterations, out_len, out));
}

int prim_pbkdf2_blocks(enum prim_hash h, const void *pass, size_t pass_len, const void *salt,
		       size_t salt_len, uint64_t iterations, uint32_t first, uint32_t n,
		       uint8_t *out, bool (*stop)(void *arg), void *arg)
{
	size_t len = prim_hash_len(h);
	gcry_md_hd_t md;
	int e = err(gcry_md_open(&md, hashes[h].md, GCRY_MD_FLAG_HMAC | GCRY_MD_FLAG_SECURE));

	if (e)
		return e;
	e = err(gcry_md_setkey(md, pass, pass_len));
	for (uint32_t i = 0; !e && i < n; i++, out += len) {
		uint8_t u[PRIM_HASH_MAX], number[4];
		uint32_t be = __builtin_bswap32(first + i);

		memcpy(number, &be, sizeof(number));
		gcry_md_reset(md);
		gcry_md_write(md, salt, salt_len);
		gcry_md_write(md, number, sizeof(number));
		memcpy(u, gcry_md_read(md, 0), len);
		memcpy(out, u, len);
		for (uint64_t k = 1; !e && k < iterations; k++) {
			gcry_md_reset(md); /* back to where the key is already hashed */
			gcry_md_write(md, u, len);
			memcpy(u, gcry_md_read(md, 0), len);
			for (size_t b = 0; b < len; b++)
				out[b] ^= u[b];
			if (!(k & 4095) && stop(arg))
				e = -EINTR;
		}
		prim_wipe(u, sizeof(u));
	}
	gcry_md_close(md);
	return e;
}

struct lane {
	pthread_t thread;
	gcry_kdf_job_fn_t fn;
	void *priv;
};

struct lanes {
	struct lane *v;
	size_t n, cap;
};

static void *lane_run(void *arg)
{
	struct lane *l = arg;

	l->fn(l->priv);
	return NULL;
}

static int lane_dispatch(void *ctx, gcry_kdf_job_fn_t fn, void *priv)
{
	struct lanes *l = ctx;

	if (l->n < l->cap) {
		l->v[l->n] = (struct lane){.fn = fn, .priv = priv};
		if (!pthread_create(&l->v[l->n].thread, NULL, lane_run, &l->v[l->n])) {
			l->n++;
			return 0;
		}
	}
	fn(priv); /* no thread to be had: the lane runs here */
	return 0;
}

static int lane_wait(void *ctx)
{
	struct lanes *l = ctx;

	while (l->n)
		pthread_join(l->v[--l->n].thread, NULL);
	return 0;
}

int prim_argon2(enum prim_argon2 kind, const void *pass, size_t pass_len, const void *salt,
		size_t salt_len, uint32_t passes, uint32_t memory, uint32_t parallel, void *out,
		size_t out_len)
{
	unsigned long param[4] = {out_len, passes, memory, parallel};
	struct lanes l = {.cap = parallel};
	const gcry_kdf_thread_ops_t ops = {&l, lane_dispatch, lane_wait};
	gcry_kdf_hd_t h = NULL;
	int e;

	pthread_once(&once, init);
	if (!parallel || parallel > 256)
		return -EINVAL;
	l.v = calloc(parallel, sizeof(*l.v));
	if (!l.v)
		return -ENOMEM;
	e = err(gcry_kdf_open(&h, GCRY_KDF_ARGON2,
			      kind == PRIM_ARGON2I ? GCRY_KDF_ARGON2I : GCRY_KDF_ARGON2ID, param, 4,
			      pass, pass_len, salt, salt_len, NULL, 0, NULL, 0));
	if (!e)
		e = err(gcry_kdf_compute(h, &ops));
	if (!e)
		e = err(gcry_kdf_final(h, out_len, out));
	if (h)
		gcry_kdf_close(h);
	free(l.v);
	return e;
}

/* --- ciphers --- */

static const struct {
	const char *name;
	size_t key_len;
	int algo;
} ciphers[] = {
	{"aes", 16, GCRY_CIPHER_AES128},
	{"aes", 24, GCRY_CIPHER_AES192},
	{"aes", 32, GCRY_CIPHER_AES256},
	{"serpent", 16, GCRY_CIPHER_SERPENT128},
	{"serpent", 24, GCRY_CIPHER_SERPENT192},
	{"serpent", 32, GCRY_CIPHER_SERPENT256},
	{"twofish", 16, GCRY_CIPHER_TWOFISH128},
	{"twofish", 32, GCRY_CIPHER_TWOFISH},
	{"camellia", 16, GCRY_CIPHER_CAMELLIA128},
	{"camellia", 24, GCRY_CIPHER_CAMELLIA192},
	{"camellia", 32, GCRY_CIPHER_CAMELLIA256},
	{"cast5", 16, GCRY_CIPHER_CAST5},
	{"blowfish", 16, GCRY_CIPHER_BLOWFISH},
	{"blowfish", 56, GCRY_CIPHER_BLOWFISH}, /* TrueCrypt: 448 bits */
	{"des3", 24, GCRY_CIPHER_3DES},
	{"chacha20", 32, GCRY_CIPHER_CHACHA20},
};

struct prim_cipher {
	struct recipe r;
	size_t block;
};

int prim_cipher_open(struct prim_cipher **c, const char *name, enum prim_mode mode, const void *key,
		     size_t key_len)
{
	static const int modes[] = {GCRY_CIPHER_MODE_ECB, GCRY_CIPHER_MODE_CBC,
				    GCRY_CIPHER_MODE_XTS, GCRY_CIPHER_MODE_CTR};
	size_t one = mode == PRIM_XTS ? key_len / 2 : key_len;
	gcry_cipher_hd_t h;
	int algo = 0, e;

	*c = NULL;
	pthread_once(&once, init);
	for (size_t i = 0; i < sizeof(ciphers) / sizeof(*ciphers); i++)
		if (!strcmp(ciphers[i].name, name) && ciphers[i].key_len == one)
			algo = ciphers[i].algo;
	if (!algo || (mode == PRIM_XTS && key_len % 2) ||
	    (algo == GCRY_CIPHER_CHACHA20 && mode != PRIM_CTR))
		return -EOPNOTSUPP;
	*c = calloc(1, sizeof(**c));
	if (!*c)
		return -ENOMEM;
	(*c)->block = algo == GCRY_CIPHER_CHACHA20 ? PRIM_BLOCK : gcry_cipher_get_algo_blklen(algo);
	e = recipe_init(&(*c)->r, algo,
			algo == GCRY_CIPHER_CHACHA20 ? GCRY_CIPHER_MODE_STREAM : modes[mode], key,
			key_len);
	if (!e)
		e = cipher_make(&(*c)->r, &h);
	if (!e) {
		pool_put(&(*c)->r.pool, h, cipher_close);
		return 0;
	}
	prim_cipher_close(*c);
	*c = NULL;
	return e;
}

void prim_cipher_close(struct prim_cipher *c)
{
	if (c) {
		recipe_fini(&c->r, cipher_close);
		free(c);
	}
}

size_t prim_cipher_block(const struct prim_cipher *c)
{
	return c->block;
}

struct prim_handle *prim_begin(struct prim_cipher *c)
{
	return (struct prim_handle *)cipher_get(&c->r);
}

void prim_end(struct prim_cipher *c, struct prim_handle *h)
{
	if (h)
		pool_put(&c->r.pool, h, cipher_close);
}

void prim_iv(struct prim_cipher *c, struct prim_handle *h, const uint8_t *iv)
{
	if (c->r.mode == GCRY_CIPHER_MODE_CTR)
		gcry_cipher_setctr((gcry_cipher_hd_t)h, iv, c->block);
	else
		gcry_cipher_setiv((gcry_cipher_hd_t)h, iv, c->block);
}

void prim_decrypt(struct prim_handle *h, void *buf, size_t len)
{
	gcry_cipher_decrypt((gcry_cipher_hd_t)h, buf, len, NULL, 0);
}

void prim_encrypt(struct prim_handle *h, void *buf, size_t len)
{
	gcry_cipher_encrypt((gcry_cipher_hd_t)h, buf, len, NULL, 0);
}

/* --- AEAD --- */

struct prim_aead_key {
	struct recipe r;
	enum prim_aead kind;
};

struct prim_aead_key *prim_aead_open(enum prim_aead a, const void *key, size_t key_len)
{
	int mode = a == PRIM_AES_CCM   ? GCRY_CIPHER_MODE_CCM
		   : a == PRIM_AES_GCM ? GCRY_CIPHER_MODE_GCM
				       : GCRY_CIPHER_MODE_POLY1305;
	int aes = key_len == 16	  ? GCRY_CIPHER_AES128
		  : key_len == 24 ? GCRY_CIPHER_AES192
		  : key_len == 32 ? GCRY_CIPHER_AES256
				  : 0;
	struct prim_aead_key *k;

	pthread_once(&once, init);
	if (!aes || (a == PRIM_CHACHA20_POLY1305 && key_len != 32))
		return NULL;
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->kind = a;
	if (recipe_init(&k->r, a == PRIM_CHACHA20_POLY1305 ? GCRY_CIPHER_CHACHA20 : aes, mode, key,
			key_len)) {
		prim_aead_close(k);
		return NULL;
	}
	return k;
}

void prim_aead_close(struct prim_aead_key *k)
{
	if (k) {
		recipe_fini(&k->r, cipher_close);
		free(k);
	}
}

/* Everything before the message; CCM wants all lengths before the first byte (SP 800-38C). */
static int aead_start(gcry_cipher_hd_t h, enum prim_aead a, const void *nonce, size_t nonce_len,
		      const struct prim_part *aad, size_t n_aad, size_t len, size_t tag_len)
{
	uint64_t lengths[3] = {len, 0, tag_len};
	int e = err(gcry_cipher_reset(h));

	for (size_t i = 0; i < n_aad; i++)
		lengths[1] += aad[i].len;
	if (!e)
		e = err(gcry_cipher_setiv(h, nonce, nonce_len));
	if (!e && a == PRIM_AES_CCM)
		e = err(gcry_cipher_ctl(h, GCRYCTL_SET_CCM_LENGTHS, lengths, sizeof(lengths)));
	for (size_t i = 0; !e && i < n_aad; i++)
		if (aad[i].len)
			e = err(gcry_cipher_authenticate(h, aad[i].p, aad[i].len));
	return e;
}

/* One message in place, and its tag verified (decryption) or made. */
static int aead_message(struct prim_aead_key *k, bool decrypt, const void *nonce, size_t nonce_len,
			const struct prim_part *aad, size_t n_aad, void *buf, size_t len, void *tag,
			size_t tag_len)
{
	gcry_cipher_hd_t h = cipher_get(&k->r);
	int e;

	if (!h)
		return -ENOMEM;
	e = aead_start(h, k->kind, nonce, nonce_len, aad, n_aad, len, tag_len);
	if (!e)
		e = err(decrypt ? gcry_cipher_decrypt(h, buf, len, NULL, 0)
				: gcry_cipher_encrypt(h, buf, len, NULL, 0));
	if (!e)
		e = err(decrypt ? gcry_cipher_checktag(h, tag, tag_len)
				: gcry_cipher_gettag(h, tag, tag_len));
	pool_put(&k->r.pool, h, cipher_close);
	return e;
}

int prim_aead_decrypt(struct prim_aead_key *k, const void *nonce, size_t nonce_len,
		      const struct prim_part *aad, size_t n_aad, void *buf, size_t len,
		      const void *tag, size_t tag_len)
{
	return aead_message(k, true, nonce, nonce_len, aad, n_aad, buf, len, (void *)(uintptr_t)tag,
			    tag_len);
}

int prim_aead_encrypt(struct prim_aead_key *k, const void *nonce, size_t nonce_len,
		      const struct prim_part *aad, size_t n_aad, void *buf, size_t len, void *tag,
		      size_t tag_len)
{
	return aead_message(k, false, nonce, nonce_len, aad, n_aad, buf, len, tag, tag_len);
}
