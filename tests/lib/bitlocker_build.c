/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/bitlocker_build.h"

#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/elephant.h"
#include "crypto/prim.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/core/text.h"

enum {
	KEY = 32,
	NONCE = 12,
	MAC = 16,
	MOVED = 8192, /* Windows moves 16 sectors of 512 bytes, or 2 of 4096 */
	STRETCH = 1 << 20,
	EOW_LOG = 4096,
	BLOCK_ALIGN = 4096, /* clusters */
};
#define FILETIME UINT64_C(132066973151562352) /* 2019-07-04 */

static const uint8_t guid_info[16] = {0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a,
				      0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01};
static const uint8_t guid_eow[16] = {0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d,
				     0x9e, 0x4e, 0xb1, 0xe3, 0x28, 0x4e, 0xae, 0xd8};

static void put16(uint8_t *p, uint64_t v)
{
	le16_t d = to_le16((uint16_t)v);

	memcpy(p, &d, sizeof(d));
}

static void put32(uint8_t *p, uint64_t v)
{
	le32_t d = to_le32((uint32_t)v);

	memcpy(p, &d, sizeof(d));
}

static void put64(uint8_t *p, uint64_t v)
{
	le64_t d = to_le64(v);

	memcpy(p, &d, sizeof(d));
}

/* --- randomness, room --- */

static void fill_random(struct bitlocker_build *b, void *p, size_t len)
{
	const char *seed = b->seed ? b->seed : "vdiskck";
	uint8_t out[32];

	for (size_t at = 0; at < len; at += sizeof(out)) {
		const struct prim_part part[] = {{seed, strlen(seed)},
						 {&b->random, sizeof(b->random)}};

		prim_hash_parts(PRIM_SHA256, part, 2, out);
		memcpy((uint8_t *)p + at, out, len - at < sizeof(out) ? len - at : sizeof(out));
		b->random++;
	}
}

static bool is_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static bool is_taken(const struct bitlocker_build *b, uint64_t at, uint64_t need)
{
	for (size_t i = 0; i < b->n_taken; i++)
		if (at < b->taken[i][1] && b->taken[i][0] < at + need)
			return true;
	return false;
}

/* Room for @need bytes, from @from on or before it. 0: none. */
static uint64_t take_room(struct bitlocker_build *b, uint64_t from, uint64_t need)
{
	need = (need + BLOCK_ALIGN - 1) & ~(uint64_t)(BLOCK_ALIGN - 1);
	from &= ~(uint64_t)(BLOCK_ALIGN - 1);
	for (int pass = 0; pass < 2; pass++) {
		uint64_t at = pass ? MOVED : from, end = pass ? from : b->len;

		for (; at + need <= b->len && at < end; at += BLOCK_ALIGN)
			if (!is_taken(b, at, need) && is_zero(b->vol + at, need)) {
				b->taken[b->n_taken][0] = at;
				b->taken[b->n_taken++][1] = at + need;
				return at;
			}
	}
	return 0;
}

/* --- datums --- */

struct out {
	uint8_t p[4096];
	size_t n;
};

static void out_bytes(struct out *o, const void *p, size_t len)
{
	if (len > sizeof(o->p) - o->n)
		abort();
	memcpy(o->p + o->n, p, len);
	o->n += len;
}

/* Start a datum; its size is put by datum_end(). */
static size_t datum(struct out *o, int role, int type, int flags)
{
	uint8_t h[8];

	put16(h, 0);
	put16(h + 2, (uint64_t)role);
	put16(h + 4, (uint64_t)type);
	put16(h + 6, (uint64_t)flags);
	out_bytes(o, h, sizeof(h));
	return o->n - sizeof(h);
}

static void datum_end(struct out *o, size_t start)
{
	put16(o->p + start, o->n - start);
}

static void out_text(struct out *o, int role, const char *ascii)
{
	size_t at = datum(o, role, FVE_TYPE_UNICODE, 1);

	do {
		out_bytes(o, (uint8_t[2]){(uint8_t)*ascii, 0}, 2);
	} while (*ascii++);
	datum_end(o, at);
}

/* A key as a datum: what is wrapped, or stands in a .BEK file, or a clear key. */
static void out_key(struct out *o, int method, const void *key, size_t len)
{
	size_t at = datum(o, 0, FVE_TYPE_KEY, 1);
	uint8_t kind[4] = {0};

	put16(kind, (uint64_t)method);
	out_bytes(o, kind, sizeof(kind));
	out_bytes(o, key, len);
	datum_end(o, at);
}

/* @len bytes of @p, which @key wraps with AES-CCM. */
static void out_wrapped(struct out *o, int role, const uint8_t key[KEY], const void *p, size_t len,
			unsigned counter)
{
	size_t at = datum(o, role, FVE_TYPE_AES_CCM, 1);
	struct prim_aead_key *k = prim_aead_open(PRIM_AES_CCM, key, KEY);
	uint8_t nonce[NONCE], mac[MAC], buf[256];

	if (!k || len > sizeof(buf))
		abort();
	put64(nonce, FILETIME);
	put32(nonce + 8, counter);
	memcpy(buf, p, len);
	if (prim_aead_encrypt(k, nonce, NONCE, NULL, 0, buf, len, mac, MAC))
		abort();
	prim_aead_close(k);
	out_bytes(o, nonce, NONCE);
	out_bytes(o, mac, MAC);
	out_bytes(o, buf, len);
	datum_end(o, at);
}

static void out_wrapped_key(struct out *o, int role, const uint8_t wrap[KEY], int method,
			    const void *key, size_t len, unsigned counter)
{
	struct out inner = {.n = 0};

	out_key(&inner, method, key, len);
	out_wrapped(o, role, wrap, inner.p, inner.n, counter);
}

/* --- protectors --- */

static void stretch(const uint8_t first[32], const uint8_t salt[16], uint8_t key[KEY])
{
	uint8_t s[88] = {0};

	memcpy(s + 32, first, 32);
	memcpy(s + 64, salt, 16);
	for (uint64_t i = 0; i < STRETCH; i++) {
		put64(s + 80, i);
		prim_hash(PRIM_SHA256, s, sizeof(s), s);
	}
	memcpy(key, s, KEY);
}

static int hash_password(const char *utf8, uint8_t out[32])
{
	iconv_t cd = iconv_open("UTF-16LE", "UTF-8");
	char *in = (char *)(uintptr_t)utf8, buf[1024], *to = buf;
	size_t left = strlen(utf8), room = sizeof(buf), r;

	if (cd == (iconv_t)-1)
		return -EINVAL;
	r = iconv(cd, &in, &left, &to, &room);
	iconv_close(cd);
	if (r == (size_t)-1)
		return -EINVAL;
	prim_hash(PRIM_SHA256, buf, sizeof(buf) - room, out);
	prim_hash(PRIM_SHA256, out, 32, out);
	return 0;
}

static int hash_recovery(const char *digits, uint8_t out[32])
{
	unsigned v[8];
	uint8_t key[16];

	if (sscanf(digits, "%6u-%6u-%6u-%6u-%6u-%6u-%6u-%6u", v, v + 1, v + 2, v + 3, v + 4, v + 5,
		   v + 6, v + 7) != 8)
		return -EINVAL;
	for (int i = 0; i < 8; i++) {
		if (v[i] % 11 || v[i] / 11 > UINT16_MAX)
			return -EINVAL;
		put16(key + 2 * i, v[i] / 11);
	}
	prim_hash(PRIM_SHA256, key, sizeof(key), out);
	return 0;
}

static size_t protector(struct bitlocker_build *b, struct out *o, int kind, uint8_t id[16])
{
	size_t at = datum(o, FVE_ROLE_VMK, FVE_TYPE_VMK, 1);
	uint8_t head[28] = {0};

	fill_random(b, id, 16);
	memcpy(head, id, 16);
	put64(head + 16, FILETIME);
	put16(head + 26, (uint64_t)kind);
	out_bytes(o, head, sizeof(head));
	return at;
}

/* Opened by what a human types: a password or a recovery password, whose hash is @first. */
static void out_typed(struct bitlocker_build *b, struct out *o, int kind, const uint8_t first[32])
{
	uint8_t id[16], salt[16], key[KEY], method[4];
	size_t at = protector(b, o, kind, id), inner = datum(o, 0, FVE_TYPE_STRETCH_KEY, 1);

	fill_random(b, salt, sizeof(salt));
	stretch(first, salt, key);
	put32(method, kind == FVE_RECOVERY ? 0x1000 : 0x1001);
	out_bytes(o, method, sizeof(method));
	out_bytes(o, salt, sizeof(salt));
	/* Windows keeps the stretched key here, wrapped with the VMK. */
	out_wrapped_key(o, 0, b->vmk, 0x2000, key, KEY, 2 + b->random);
	datum_end(o, inner);
	out_wrapped_key(o, 0, key, 0x2003, b->vmk, KEY, 3 + b->random);
	datum_end(o, at);
}

static void out_clear(struct bitlocker_build *b, struct out *o)
{
	uint8_t id[16], key[KEY];
	size_t at = protector(b, o, FVE_CLEAR, id);

	fill_random(b, key, sizeof(key));
	out_key(o, 0x2000, key, KEY);
	out_wrapped_key(o, 0, key, 0x2003, b->vmk, KEY, 3 + b->random);
	datum_end(o, at);
}

/* The file: a dataset of its own with one external key, which holds the key itself. */
static void make_bek(struct bitlocker_build *b, const uint8_t id[16], const uint8_t key[KEY])
{
	struct out o = {.n = 48};
	size_t at = datum(&o, FVE_ROLE_STARTUP_KEY, FVE_TYPE_EXTERNAL, 1);
	uint8_t time[8];
	char guid[GUID_TEXT];

	put64(time, FILETIME);
	out_bytes(&o, id, 16);
	out_bytes(&o, time, sizeof(time));
	out_text(&o, 0, "ExternalKey");
	out_key(&o, 0x2002, key, KEY);
	datum_end(&o, at);
	put32(o.p, o.n);
	put32(o.p + 4, 1);
	put32(o.p + 8, 48);
	put32(o.p + 12, o.n);
	memcpy(o.p + 16, id, 16);
	put32(o.p + 32, 1);
	put64(o.p + 40, FILETIME);
	if (o.n != sizeof(b->bek))
		abort();
	memcpy(b->bek, o.p, o.n);
	snprintf(b->bek_name, sizeof(b->bek_name), "%s.BEK", guid_text_le(id, guid));
	for (char *c = b->bek_name; *c != '.'; c++)
		*c = (char)(*c >= 'a' ? *c - 32 : *c);
}

static void out_startup(struct bitlocker_build *b, struct out *o)
{
	uint8_t id[16], key[KEY], method[4];
	size_t at = protector(b, o, FVE_EXTERNAL, id), inner;

	fill_random(b, key, sizeof(key));
	make_bek(b, id, key);
	out_text(o, 0, "ExternalKey");
	inner = datum(o, 0, FVE_TYPE_USE_KEY, 1);
	put32(method, 0x2002);
	out_bytes(o, method, sizeof(method));
	out_wrapped_key(o, 0, b->vmk, 0x2002, key, KEY, 2 + b->random);
	datum_end(o, inner);
	out_wrapped_key(o, 0, key, 0x2003, b->vmk, KEY, 3 + b->random);
	datum_end(o, at);
}

static int out_protectors(struct bitlocker_build *b, struct out *o)
{
	uint8_t first[32];
	int r = 0;

	if (b->password) {
		r = hash_password(b->password, first);
		if (!r)
			out_typed(b, o, FVE_PASSWORD, first);
	}
	if (!r && b->recovery) {
		r = hash_recovery(b->recovery, first);
		if (!r)
			out_typed(b, o, FVE_RECOVERY, first);
	}
	if (!r && b->startup)
		out_startup(b, o);
	if (!r && b->clear)
		out_clear(b, o);
	return r;
}

/* --- the information block, the volume header --- */

void bitlocker_build_seal(struct bitlocker_build *b, int copy)
{
	uint8_t *p = b->vol + b->copy[copy], hash[32];
	struct out inner = {.n = 0}, o = {.n = 8};
	size_t at = datum(&inner, 0, FVE_TYPE_KEY, 1);

	prim_hash(PRIM_SHA256, p, b->block, hash);
	out_bytes(&inner, (uint8_t[4]){0x05, 0x20}, 4);
	out_bytes(&inner, hash, sizeof(hash));
	datum_end(&inner, at);
	out_wrapped(&o, 0, b->vmk, inner.p, inner.n, 0x80000009u);
	put16(o.p, FVE_BLOCK - b->block);
	put16(o.p + 2, 2);
	put32(o.p + 4, sum_crc32(0, p, b->block));
	memcpy(p + b->block, o.p, o.n);
}

/* "Virtualization info", as in Windows 7: dislocker wants it. */
static void out_moved(const struct bitlocker_build *b, struct out *o)
{
	size_t at = datum(o, 15, 15, 1);
	uint8_t body[16];

	put64(body, b->header_off);
	put64(body + 8, MOVED);
	out_bytes(o, body, sizeof(body));
	datum_end(o, at);
}

static int make_blocks(struct bitlocker_build *b)
{
	struct out o = {.n = 64 + 48};
	uint8_t id[16];
	int r;

	fill_random(b, id, sizeof(id));
	out_text(&o, FVE_ROLE_DESCRIPTION, "VDISKCK FIXTURE 7/4/2019");
	r = out_protectors(b, &o);
	if (r)
		return r;
	out_wrapped_key(&o, FVE_ROLE_FVEK, b->vmk, b->method, b->fvek, b->fvek_len, 8);
	out_moved(b, &o);
	/* dataset */
	put32(o.p + 64, o.n - 64);
	put32(o.p + 68, 1);
	put32(o.p + 72, 48);
	put32(o.p + 76, o.n - 64);
	memcpy(o.p + 80, id, 16);
	put32(o.p + 96, 10);
	put16(o.p + 100, b->method);
	put64(o.p + 104, FILETIME);
	/* header */
	b->block = (o.n + 15) & ~(size_t)15;
	memcpy(o.p, "-FVE-FS-", 8);
	put16(o.p + 8, b->block / 16);
	put16(o.p + 10, 2);
	put16(o.p + 12, b->watermark ? FVE_PAUSED : FVE_ENCRYPTED);
	put16(o.p + 14, FVE_ENCRYPTED);
	put64(o.p + 16, b->watermark ? b->watermark : b->len);
	put32(o.p + 28, MOVED / b->sector);
	for (int i = 0; i < FVE_COPIES; i++)
		put64(o.p + 32 + 8 * i, b->copy[i]);
	put64(o.p + 56, b->header_off);
	for (int i = 0; i < FVE_COPIES; i++) {
		memset(b->vol + b->copy[i], 0, FVE_BLOCK);
		memcpy(b->vol + b->copy[i], o.p, b->block);
		bitlocker_build_seal(b, i);
	}
	return 0;
}

/* As Windows 7 and later write it: the BPB of a FAT32 volume that isn't there. */
static void make_volume_header(const struct bitlocker_build *b, uint8_t *s)
{
	memset(s, 0, b->sector);
	memcpy(s, "\xeb\x58\x90-FVE-FS-", 11);
	put16(s + 0x0b, b->sector);
	s[0x0d] = (uint8_t)(4096 / b->sector);
	s[0x15] = 0xf8;
	put16(s + 0x18, 63);
	put16(s + 0x1a, 255);
	put32(s + 0x24, 0x1fe0);
	put32(s + 0x30, 0x00060001);
	s[0x40] = 0x80;
	s[0x42] = 0x29;
	memcpy(s + 0x47, "NO NAME    FAT32   ", 19);
	memcpy(s + 0xa0, b->eow_chunk ? guid_eow : guid_info, 16);
	for (int i = 0; i < FVE_COPIES; i++)
		put64(s + 0xb0 + 8 * i, b->copy[i]);
	for (int i = 0; b->eow_chunk && i < FVE_EOW_COPIES; i++)
		put64(s + 0xc8 + 8 * i, b->eow[i]);
	put16(s + 510, 0xaa55);
}

/* --- encrypt-on-write --- */

static void seal(uint8_t *p, size_t len, size_t field)
{
	put32(p + field, 0);
	put32(p + field, sum_crc32(0, p, len));
}

void bitlocker_build_seal_eow(struct bitlocker_build *b)
{
	uint8_t *m = b->vol + b->eow_bitmap;

	for (int i = 0; i < FVE_EOW_COPIES; i++)
		seal(b->vol + b->eow[i], b->eow_size, 0x24);
	for (int i = 0; i < 2; i++)
		seal(m + b->eow_record[i], b->eow_record[1] - b->eow_record[0], 0x20);
	seal(m, b->eow_record[0], 0x38);
}

static void make_eow(struct bitlocker_build *b)
{
	uint64_t bits = (b->len + b->eow_chunk - 1) / b->eow_chunk;
	uint32_t record = (uint32_t)(36 + (bits + 7) / 8);
	uint8_t *m = b->vol + b->eow_bitmap, *r;

	memset(m, 0, 512 + 2 * record);
	memset(b->vol + b->eow_log, 0, EOW_LOG);
	b->eow_size = 56 + 8;
	for (int i = 0; i < FVE_EOW_COPIES; i++) {
		uint8_t *p = b->vol + b->eow[i];

		memset(p, 0, b->sector);
		memcpy(p, "FVE-EOW", 8);
		put16(p + 0x08, 56);
		put16(p + 0x0a, b->eow_size);
		put32(p + 0x0c, b->sector);
		put32(p + 0x14, b->eow_chunk);
		put32(p + 0x18, EOW_LOG);
		put32(p + 0x20, 1);
		put64(p + 0x28, b->eow[0]);
		put64(p + 0x30, b->eow[1]);
		put64(p + 0x38, b->eow_bitmap);
	}
	memcpy(m, "FVE-EOWBM", 10);
	put16(m + 0x0a, 60);
	put32(m + 0x0c, 512 + 2 * record);
	put64(m + 0x1c, b->len);
	put64(m + 0x24, b->eow_log);
	put32(m + 0x34, record);
	for (uint32_t i = 0; i < 2; i++) {
		b->eow_record[i] = 512 + i * record;
		put32(m + 0x2c + 4 * i, b->eow_record[i]);
		r = m + b->eow_record[i];
		memcpy(r, "FVE-EOWBR", 10);
		put16(r + 0x0a, 36);
		put32(r + 0x0c, record);
		put32(r + 0x10, bits);
		put64(r + 0x14, 7 + i); /* the second one is the newer one */
		for (uint64_t k = 0; i && k < bits; k++)
			if (b->eow_set(k))
				r[36 + k / 8] |= (uint8_t)(1 << k % 8);
	}
	bitlocker_build_seal_eow(b);
}

/* --- encryption --- */

struct ciphers {
	struct prim_cipher *data, *iv, *tweak;
};

static void encrypt_sector(const struct bitlocker_build *b, const struct ciphers *c, uint64_t at)
{
	bool xts = b->method >= FVE_XTS128;
	uint8_t iv[16] = {0}, key[32] = {0}, *p = b->vol + at;
	struct prim_handle *h = prim_begin(c->data), *e;

	put64(iv, xts ? at / b->sector : at);
	if (c->tweak) {
		memcpy(key, iv, 16);
		memcpy(key + 16, iv, 16);
		key[31] = 0x80;
		e = prim_begin(c->tweak);
		prim_encrypt(e, key, sizeof(key));
		prim_end(c->tweak, e);
		elephant_do(p, b->sector, key);
	}
	if (!xts) {
		e = prim_begin(c->iv);
		prim_encrypt(e, iv, sizeof(iv));
		prim_end(c->iv, e);
	}
	prim_iv(c->data, h, iv);
	prim_encrypt(h, p, b->sector);
	prim_end(c->data, h);
}

static bool is_encrypted(const struct bitlocker_build *b, uint64_t at)
{
	if (b->eow_chunk)
		return b->eow_set(at / b->eow_chunk);
	return !b->watermark || at < b->watermark;
}

/* Everything; what is metadata is written over it afterwards. */
static void encrypt(struct bitlocker_build *b)
{
	static const size_t aes[] = {16, 32, 16, 32, 32, 64};
	size_t key = aes[b->method - FVE_CBC128_ELEPHANT];
	bool xts = b->method >= FVE_XTS128, elephant = b->method <= FVE_CBC256_ELEPHANT;
	struct ciphers c = {0};

	b->fvek_len = elephant ? 64 : key;
	fill_random(b, b->fvek, b->fvek_len);
	if (prim_cipher_open(&c.data, "aes", xts ? PRIM_XTS : PRIM_CBC, b->fvek, key) ||
	    (!xts && prim_cipher_open(&c.iv, "aes", PRIM_ECB, b->fvek, key)) ||
	    (elephant && prim_cipher_open(&c.tweak, "aes", PRIM_ECB, b->fvek + 32, key)))
		abort();
	for (uint64_t at = 0; at + b->sector <= b->len; at += b->sector)
		if (is_encrypted(b, at))
			encrypt_sector(b, &c, at);
	prim_cipher_close(c.data);
	prim_cipher_close(c.iv);
	prim_cipher_close(c.tweak);
}

static int find_places(struct bitlocker_build *b)
{
	uint64_t bits = b->eow_chunk ? (b->len + b->eow_chunk - 1) / b->eow_chunk : 0;

	for (uint64_t i = 0; i < FVE_COPIES; i++) {
		b->copy[i] = take_room(b, b->len / 4 * (i + 1), FVE_BLOCK);
		if (!b->copy[i])
			return -ENOSPC;
	}
	b->header_off = take_room(b, b->copy[0] + FVE_BLOCK, MOVED);
	if (!b->header_off)
		return -ENOSPC;
	if (!b->eow_chunk)
		return 0;
	for (int i = 0; i < FVE_EOW_COPIES; i++)
		b->eow[i] = take_room(b, b->copy[i], b->sector);
	b->eow_bitmap = take_room(b, b->copy[0], 512 + 2 * (36 + (bits + 7) / 8));
	b->eow_log = take_room(b, b->eow_bitmap, EOW_LOG);
	return b->eow[0] && b->eow[1] && b->eow_bitmap && b->eow_log ? 0 : -ENOSPC;
}

int bitlocker_build(struct bitlocker_build *b, uint8_t *vol, uint64_t len)
{
	int r;

	b->vol = vol;
	b->sector = b->sector ? b->sector : 512;
	b->len = len & ~(uint64_t)(b->sector - 1);
	b->method = b->method ? b->method : FVE_XTS128;
	b->header_len = MOVED;
	if (b->len < 4 * MOVED)
		return -ENOSPC;
	r = find_places(b);
	if (r)
		return r;
	memcpy(vol + b->header_off, vol, MOVED);
	encrypt(b);
	fill_random(b, b->vmk, sizeof(b->vmk));
	r = make_blocks(b);
	if (r)
		return r;
	if (b->eow_chunk)
		make_eow(b);
	make_volume_header(b, vol);
	return 0;
}
