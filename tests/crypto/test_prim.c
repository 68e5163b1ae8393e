/* SPDX-License-Identifier: Apache-2.0 */
/* Known answers of others: RFCs, NIST and IEEE documents, the Argon2 reference's test suite. */
#include "tests/lib/image.h"

#include <errno.h>
#include <stdio.h>

#include "crypto/prim.h"
#include "crypto/sector.h"

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;
	unsigned v;

	for (; sscanf(hex, "%2x", &v) == 1; hex += 2)
		out[n++] = (uint8_t)v;
	return n;
}

static void assert_hex(const void *got, const char *hex)
{
	uint8_t want[256];
	size_t n = unhex(hex, want);

	assert_memory_equal(got, want, n);
}

static void hashes_and_hmac(void **state)
{
	const struct prim_part part[] = {{"what do ya want ", 16}, {"for nothing?", 12}};
	struct prim_mac *m = prim_mac_open(PRIM_SHA256, "Jefe", 4);
	uint8_t out[PRIM_HASH_MAX];

	(void)state;
	prim_hash(PRIM_SHA256, "abc", 3, out); /* FIPS 180-4 */
	assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	prim_hmac_parts(PRIM_SHA256, "Jefe", 4, part, 2, out); /* RFC 4231, case 2 */
	assert_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	for (int i = 0; i < 2; i++) { /* a handle that is used again starts afresh */
		memset(out, 0, sizeof(out));
		assert_int_equal(prim_mac_sum(m, part, 2, out), 0);
		assert_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	}
	prim_mac_close(m);
	for (int h = 0; h < PRIM_HASHES; h++) {
		assert_int_equal(prim_hash_find(prim_hash_name((enum prim_hash)h)), h);
		assert_in_range(prim_hash_len((enum prim_hash)h), 16, PRIM_HASH_MAX);
	}
	assert_int_equal(prim_hash_find("crc32"), -1);
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static void key_derivation(void **state)
{
	static const struct {
		enum prim_hash hash;
		const char *pass;
		size_t pass_len;
		const char *salt;
		size_t salt_len;
		uint64_t passes;
		size_t len;
		const char *out;
	} pbkdf2[] = {
		/* RFC 6070 */
		{PRIM_SHA1, "password", 8, "salt", 4, 1, 20,
		 "0c60c80f961f0e71f3a9b524af6012062fe037a6"},
		{PRIM_SHA1, "password", 8, "salt", 4, 2, 20,
		 "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"},
		{PRIM_SHA1, "password", 8, "salt", 4, 4096, 20,
		 "4b007901b765489abead49d926f721d065a429c1"},
		{PRIM_SHA1, "passwordPASSWORDpassword", 24, "saltSALTsaltSALTsaltSALTsaltSALTsalt",
		 36, 4096, 25, "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"},
		{PRIM_SHA1, "pass\0word", 9, "sa\0lt", 5, 4096, 16,
		 "56fa6aa75548099dcc37d7f03425e0c3"},
		/* RFC 7914, 11 */
		{PRIM_SHA256, "passwd", 6, "salt", 4, 1, 64,
		 "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
		 "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"},
		{PRIM_SHA256, "Password", 8, "NaCl", 4, 80000, 64,
		 "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
		 "a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d"},
	};
	uint8_t out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(pbkdf2) / sizeof(*pbkdf2); i++) {
		size_t n = prim_hash_len(pbkdf2[i].hash), blocks = (pbkdf2[i].len + n - 1) / n;
		uint8_t parts[80];

		assert_int_equal(prim_pbkdf2(pbkdf2[i].hash, pbkdf2[i].pass, pbkdf2[i].pass_len,
					     pbkdf2[i].salt, pbkdf2[i].salt_len, pbkdf2[i].passes,
					     out, pbkdf2[i].len),
				 0);
		assert_hex(out, pbkdf2[i].out);
		for (uint32_t b = 1; b <= blocks; b++)
			assert_int_equal(prim_pbkdf2_blocks(pbkdf2[i].hash, pbkdf2[i].pass,
							    pbkdf2[i].pass_len, pbkdf2[i].salt,
							    pbkdf2[i].salt_len, pbkdf2[i].passes, b,
							    1, parts + (b - 1) * n, never, NULL),
					 0);
		assert_memory_equal(parts, out, pbkdf2[i].len);
	}
	/* The Argon2 reference's test suite; those of RFC 9106 have a secret and data, which LUKS has not. */
	assert_int_equal(
		prim_argon2(PRIM_ARGON2ID, "password", 8, "somesalt", 8, 2, 65536, 1, out, 32), 0);
	assert_hex(out, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7");
	assert_int_equal(
		prim_argon2(PRIM_ARGON2I, "password", 8, "somesalt", 8, 2, 65536, 1, out, 32), 0);
	assert_hex(out, "c1628832147d9720c5bd1cfd61367078729f6dfb6f8fea9ff98158e0d7816ed0");
}

static void xts_and_its_counting_tweak(void **state)
{
	uint8_t key[64] = {0}, buf[64] = {0}, iv[16] = {0};
	struct prim_cipher *c;
	struct prim_handle *h;

	(void)state;
	assert_int_equal(prim_cipher_open(&c, "aes", PRIM_XTS, key, 32), 0);
	h = prim_begin(c);
	prim_iv(c, h, iv);
	prim_encrypt(h, buf, 32); /* IEEE 1619-2007, vector 1 */
	assert_hex(buf, "917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e");
	prim_encrypt(h, buf + 32, 32); /* by itself now under tweak 1 */
	iv[0] = 1;
	prim_iv(c, h, iv);
	prim_decrypt(h, buf + 32, 32);
	assert_memory_equal(buf + 32, key, 32);
	prim_end(c, h);
	prim_cipher_close(c);
	assert_int_equal(prim_cipher_open(&c, "aes", PRIM_XTS, key, 31), -EOPNOTSUPP);
	assert_int_equal(prim_cipher_open(&c, "rot13", PRIM_CBC, key, 16), -EOPNOTSUPP);
}

static void streams_from_any_counter(void **state)
{
	static const char text[] = "Ladies and Gentlemen of the class of '99";
	uint8_t key[32], iv[16], buf[64];
	struct prim_cipher *c;
	struct prim_handle *h;

	(void)state;
	/* SP 800-38A, F.5.1: the second block is counter + 1 */
	unhex("2b7e151628aed2a6abf7158809cf4f3c", key);
	unhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", iv);
	unhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51", buf);
	assert_int_equal(prim_cipher_open(&c, "aes", PRIM_CTR, key, 16), 0);
	h = prim_begin(c);
	prim_iv(c, h, iv);
	prim_encrypt(h, buf, 32);
	assert_hex(buf, "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff");
	prim_end(c, h);
	prim_cipher_close(c);
	/* RFC 8439, 2.4.2: counter 1 */
	for (unsigned i = 0; i < 32; i++)
		key[i] = (uint8_t)i;
	unhex("01000000000000000000004a00000000", iv);
	memcpy(buf, text, 32);
	assert_int_equal(prim_cipher_open(&c, "chacha20", PRIM_CBC, key, 32), -EOPNOTSUPP);
	assert_int_equal(prim_cipher_open(&c, "chacha20", PRIM_CTR, key, 32), 0);
	assert_int_equal(prim_cipher_block(c), 16);
	for (int i = 0; i < 2; i++) {
		h = prim_begin(c);
		prim_iv(c, h, iv);
		prim_encrypt(h, buf, 32);
		if (!i)
			assert_hex(buf, "6e2e359a2568f98041ba0728dd0d6981"
					"e97e7aec1d4360c20a27afccfd9fae0b");
		prim_end(c, h);
	}
	assert_memory_equal(buf, text, 32);
	prim_cipher_close(c);
}

static void authenticated_ciphers(void **state)
{
	uint8_t key[32], nonce[12], aad[8], buf[32], tag[16];
	struct prim_aead_key *k;
	struct prim_part part = {aad, 8};

	(void)state;
	/* SP 800-38C, example 1 */
	unhex("404142434445464748494a4b4c4d4e4f", key);
	unhex("10111213141516", nonce);
	unhex("0001020304050607", aad);
	unhex("7162015b", buf);
	unhex("4dac255d", tag);
	k = prim_aead_open(PRIM_AES_CCM, key, 16);
	assert_int_equal(prim_aead_decrypt(k, nonce, 7, &part, 1, buf, 4, tag, 4), 0);
	assert_hex(buf, "20212223");
	unhex("7162015b", buf);
	tag[0] ^= 1;
	assert_int_equal(prim_aead_decrypt(k, nonce, 7, &part, 1, buf, 4, tag, 4), -EBADMSG);
	assert_hex(buf, "20212223"); /* doubtful, but there */
	prim_aead_close(k);

	/* the GCM specification, test case 2 */
	memset(key, 0, 32);
	memset(nonce, 0, 12);
	memset(buf, 0, 16);
	k = prim_aead_open(PRIM_AES_GCM, key, 16);
	assert_int_equal(prim_aead_encrypt(k, nonce, 12, NULL, 0, buf, 16, tag, 16), 0);
	assert_hex(buf, "0388dace60b6a392f328c2b971b2fe78");
	assert_hex(tag, "ab6e47d42cec13bdf53a67b21257bddf");
	prim_aead_close(k);
	assert_null(prim_aead_open(PRIM_CHACHA20_POLY1305, key, 16));

	/* RFC 8439, 2.8.2, its first 32 bytes; the tag is of all 114 */
	for (unsigned i = 0; i < 32; i++)
		key[i] = (uint8_t)(0x80 + i);
	unhex("070000004041424344454647", nonce);
	memcpy(buf, "Ladies and Gentlemen of the clas", 32);
	k = prim_aead_open(PRIM_CHACHA20_POLY1305, key, 32);
	assert_int_equal(prim_aead_encrypt(k, nonce, 12, NULL, 0, buf, 32, tag, 16), 0);
	assert_hex(buf, "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6");
	prim_aead_close(k);
}

static void a_sector_can_be_decrypted_alone_or_with_its_neighbours(void **state)
{
	static const struct sector_spec specs[] = {
		{"aes", "xts", "plain64", 512, 512},
		{"aes", "xts", "plain64", 4096, 512},
		{"aes", "xts", "plain", 512, 512},
		{"serpent", "xts", "plain64be", 4096, 4096},
		{"aes", "cbc", "essiv:sha256", 512, 512},
		{"twofish", "cbc", "benbi", 512, 512},
		{"camellia", "cbc", "null", 1024, 512},
		{"aes", "ecb", "", 512, 512},
	};
	enum { LEN = 512 * 1024 };
	uint8_t key[32], *a = malloc(LEN), *b = malloc(LEN);

	(void)state;
	memset(key, 0x5a, 16);
	memset(key + 16, 0xa5, 16);
	for (size_t i = 0; i < sizeof(specs) / sizeof(*specs); i++) {
		struct sector_cipher *c;

		assert_int_equal(sector_open(&c, &specs[i], key, 32), 0);
		memset(a, 7, LEN);
		assert_int_equal(sector_encrypt(c, 1 << 20, a, LEN), 0);
		memcpy(b, a, LEN);
		assert_int_equal(sector_decrypt(c, 1 << 20, a, LEN), 0);
		for (size_t off = 0; off < LEN; off += specs[i].sector)
			sector_decrypt(c, (1 << 20) + off, b + off, specs[i].sector);
		assert_memory_equal(a, b, LEN);
		for (size_t k = 0; k < LEN; k++)
			assert_int_equal(a[k], 7);
		assert_int_equal(sector_decrypt(c, 1, a, 512), -EINVAL);
		sector_close(c);
	}
	free(a);
	free(b);
}

static void an_unknown_sector_cipher_is_refused(void **state)
{
	static const struct sector_spec specs[] = {
		{"aes", "xts", "lmk", 512, 512},     {"aes", "ctr", "plain64", 512, 512},
		{"aes", "xts", "", 512, 512},	     {"aes", "xts", "plain64", 513, 512},
		{"aes", "cbc", "essiv:x", 512, 512}, {"aes", "xts", "plain64", 0, 512},
		{"aes", "xts", "plain64", 512, 0},
	};
	uint8_t key[32] = {1};
	struct sector_cipher *c;

	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(*specs); i++)
		assert_int_equal(sector_open(&c, &specs[i], key, 32), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_and_hmac),
		cmocka_unit_test(key_derivation),
		cmocka_unit_test(xts_and_its_counting_tweak),
		cmocka_unit_test(streams_from_any_counter),
		cmocka_unit_test(authenticated_ciphers),
		cmocka_unit_test(a_sector_can_be_decrypted_alone_or_with_its_neighbours),
		cmocka_unit_test(an_unknown_sector_cipher_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
