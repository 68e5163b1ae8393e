/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes that TrueCrypt and VeraCrypt made, each opened by its keys. The digests were computed by
 * an independent program on libgcrypt; where there is none (LRW, CBC, Argon2id) the serial number of
 * the FAT volume inside is the truth, and that its structures are no noise.
 *
 * VeraCrypt's key derivation takes seconds: these are skipped unless TCRYPT_ALL=1 is set.
 */
#include <errno.h>
#include <stdio.h>

#include "crypto/keys.h"
#include "crypto/tcrypt.h"
#include "tests/lib/corpus.h"

static const struct volume {
	const char *name, *password, *keyfile, *keyfile2, *pim;
	uint64_t off, len; /* of the data in the image; len 0: not known */
	const char *sha256;
	const char *id;	       /* NULL: the image has headers, but no data */
	enum finding_id wrong; /* the one finding above INFO that it has; 0: none */
	bool hidden, slow;
} volumes[] = {
	{"cryptsetup-sys_vc_1_gpt_part-sha512-xts-aes", .password = "aaaaaaaaaaaa", .off = 34603008,
	 .len = 16777216,
	 .sha256 = "b6836795602495e5b9c9b73862a79b079f39b23d5fc7b02d31bce40d9f76155d",
	 .id = "DEAD-BABE", .slow = true, .wrong = TCRYPT_TRUNCATED},
	{"cryptsetup-sys_vc_1_mbr_full-sha256-xts-aes", .password = "aaaaaaaaaaaa",
	 .wrong = TCRYPT_TRUNCATED, .off = 32256, .len = 18842112,
	 .sha256 = "648c4c5229d377b5957a200b75c47fe3ce4e157c89efedb02111366868c02d1d"},
	{"cryptsetup-tc_1-ripemd160-cbc-aes", .password = "aaaaaaaaaaaa", .id = "DEAD-BABE"},
	{"cryptsetup-tc_1-sha1-cbc-aes", .password = "aaaaaaaaaaaa", .id = "DEAD-BABE"},
	{"cryptsetup-tc_1-sha1-cbc-cast5", .password = "aaaaaaaaaaaa", .id = "DEAD-BABE"},
	{"cryptsetup-tc_2-ripemd160-cbc-aes-blowfish-serpent", .password = "aaaaaaaaaaaa"},
	{"cryptsetup-tc_2-ripemd160-cbc-aes-twofish", .password = "aaaaaaaaaaaa"},
	{"cryptsetup-tc_2-ripemd160-cbc-aes", .password = "aaaaaaaaaaaa", .id = "DEAD-BABE"},
	{"cryptsetup-tc_2-ripemd160-cbc-serpent-aes", .password = "aaaaaaaaaaaa"},
	{"cryptsetup-tc_2-ripemd160-cbc-serpent-twofish-aes-hidden", .password = "aaaaaaaaaaaa"},
	{"cryptsetup-tc_2-ripemd160-cbc-serpent-twofish-aes-hidden", .password = "bbbbbbbbbbbb",
	 .hidden = true},
	{"cryptsetup-tc_2-ripemd160-cbc-twofish-serpent", .password = "aaaaaaaaaaaa"},
	{"cryptsetup-tc_2-ripemd160-lrw-aes-hidden", .password = "aaaaaaaaaaaa", .id = "DEAD-BABE"},
	{"cryptsetup-tc_2-ripemd160-lrw-aes-hidden", .password = "bbbbbbbbbbbb", .id = "CAFE-BABE",
	 .hidden = true},
	{"cryptsetup-tc_2-ripemd160-lrw-aes-twofish-serpent", .password = "aaaaaaaaaaaa",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_2-ripemd160-lrw-serpent-aes", .password = "aaaaaaaaaaaa",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_2-ripemd160-lrw-serpent-twofish-aes-hidden", .password = "aaaaaaaaaaaa",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_2-ripemd160-lrw-serpent-twofish-aes-hidden", .password = "bbbbbbbbbbbb",
	 .id = "CAFE-BABE", .hidden = true},
	{"cryptsetup-tc_2-ripemd160-lrw-twofish-serpent", .password = "aaaaaaaaaaaa",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_3-ripemd160-xts-aes-twofish-serpent", .password = "aaaaaaaaaaaa",
	 .off = 512, .len = 18944,
	 .sha256 = "5f32bf69bc781006a58c6d969296b643718a6d8047543b3aabd7b3a4b155be8f",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_3-ripemd160-xts-aes", .password = "aaaaaaaaaaaa", .off = 512, .len = 18944,
	 .sha256 = "a3bc3bdccb89f6d80558aedd064b118fa2c5e415f428cb6a8d9378941d4f6ebf",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_3-ripemd160-xts-serpent-aes", .password = "aaaaaaaaaaaa", .off = 512,
	 .len = 18944, .sha256 = "f9629b7010285cd49f6b50e545cd4c978c61445bdb8917b2c5d6f93aaf748c9b",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_3-ripemd160-xts-twofish", .password = "aaaaaaaaaaaa", .off = 512,
	 .len = 18944, .sha256 = "253fbfb8e4ad9c4b097d82a7ef6fc4e9ae120c6259a3f175569d0f95569c8b0c",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_3-sha512-xts-aes", .password = "aaaaaaaaaaaa", .off = 512, .len = 18944,
	 .sha256 = "f32a7a8e022ea50a00009a47855edf4950e02520d2799972cda5f5cbbf298cca",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_3-sha512-xts-serpent-twofish-aes-hidden", .password = "aaaaaaaaaaaa",
	 .off = 512, .len = 40448,
	 .sha256 = "d750a2c170951b89af3fac90b7bd08bf8dca8cb1e11c6ecb4039e66f6a868fc7",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_3-sha512-xts-serpent-twofish-aes-hidden", .password = "bbbbbbbbbbbb",
	 .off = 19968, .len = 19456,
	 .sha256 = "dbe0bdc1dd9458f0ce91cfd2296c4f5f8e5636457b4660b730e7950bcf6cc458",
	 .id = "CAFE-BABE", .hidden = true},
	{"cryptsetup-tc_4-sha512-xts-aes-twofish", .password = "aaaaaaaaaaaa", .off = 131072,
	 .len = 19456, .sha256 = "320e893c482b05079865e636b64fe0eada9d6f4cc3b787b0f417c09a297e94e6",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_4-sha512-xts-aes", .password = "aaaaaaaaaaaa", .off = 131072, .len = 19456,
	 .sha256 = "8f612567bc83136df4fe6c2d49c22c8edfded7f3746a7720cba5680c873762b0",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_4-sha512-xts-serpent-twofish-aes", .password = "aaaaaaaaaaaa",
	 .off = 131072, .len = 19456,
	 .sha256 = "0a3f89b30878ecf41448d9e6b86544b4f4b75712aa7c84d9db9b36e1b12ca2d9",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_4-sha512-xts-serpent", .password = "aaaaaaaaaaaa", .off = 131072,
	 .len = 19456, .sha256 = "dbb23f30b231819e3767e5e3fee4b235cf5125b60796fda38fb4aefc5481814d",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_4-sha512-xts-twofish", .password = "aaaaaaaaaaaa", .off = 131072,
	 .len = 19456, .sha256 = "0838fb5a83fa623188513fbcacc763778d8c609d026283d6f2631446c74b93ad",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_5-sha512-xts-aes-twofish-serpent", .password = "aaaaaaaaaaaa",
	 .off = 131072, .len = 36864,
	 .sha256 = "a0d91b78c44c6c7f4854bb2e99ed4a369c3111574fdf87df7737739a7b78c6da",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_5-sha512-xts-aes", .password = "aaaaaaaaaaaa", .off = 131072, .len = 36864,
	 .sha256 = "1f7205ba0927180ad9a563f6ce5731305aa661d509499b0c4c9fd44e7a21d788",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_5-sha512-xts-serpent-aes", .password = "aaaaaaaaaaaa", .off = 131072,
	 .len = 36864, .sha256 = "ae8d12b6d6221aa16d011a81748f0594ba6e24b8a601278c2d12aba1cd5b4e6b",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_5-sha512-xts-serpent-twofish-aes-hidden", .password = "aaaaaaaaaaaa",
	 .off = 131072, .len = 86016,
	 .sha256 = "1bcf11d5d0b47207f34fdcade810325b72c2e673af28387f1d471a379a2e6fec",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_5-sha512-xts-serpent-twofish-aes-hidden", .password = "bbbbbbbbbbbb",
	 .off = 176128, .len = 36864,
	 .sha256 = "b8d51eddaf8372bd141ff2cee1644accdb00c5710fa3bcf09d4c1c4562436a10",
	 .id = "CAFE-BABE", .hidden = true},
	{"cryptsetup-tc_5-sha512-xts-twofish-serpent", .password = "aaaaaaaaaaaa", .off = 131072,
	 .len = 36864, .sha256 = "8c487b0bdec6438876ed35da313008cf8a3902ea72538f08c3bc67362aa7bfcf",
	 .id = "DEAD-BABE"},
	{"cryptsetup-tc_5-whirlpool-xts-aes", .password = "aaaaaaaaaaaa", .off = 131072,
	 .len = 36864, .sha256 = "6ca532ec3bb1d6bae3e425695dec9d95aa52597c97a0bef14b1a09922b151ed2",
	 .id = "DEAD-BABE"},
	{"cryptsetup-vc_1-ripemd160-xts-aes", .password = "aaaaaaaaaaaa", .off = 131072,
	 .len = 36864, .sha256 = "a33434b55c9602a3722f34144d0fda91c6eccd9351a9ddb57e663b340e528bb7",
	 .id = "DEAD-BABE", .slow = true},
	{"cryptsetup-vc_1-sha512-xts-aes-hidden", .password = "aaaaaaaaaaaa", .off = 131072,
	 .len = 86016, .sha256 = "d48ba4c45988d66f86f99460346237051ec167cab99a16cdbf95bd1063c19f10",
	 .id = "DEAD-BABE", .slow = true},
	{"cryptsetup-vc_1-sha512-xts-aes-hidden", .password = "bbbbbbbbbbbb", .off = 165888,
	 .len = 47104, .sha256 = "91e367b7171a5d357019c3daabd2efd4f515f8e92af46f29d9f595c2e8620167",
	 .id = "CAFE-BABE", .hidden = true, .slow = true},
	{"cryptsetup-vc_1-sha512-xts-aes-twofish-serpent", .password = "aaaaaaaaaaaa",
	 .off = 131072, .len = 36864,
	 .sha256 = "cb6325ad0d77b181420c71ffec9f8cc93215436c601a480a399befc01dc6dec0",
	 .id = "DEAD-BABE", .slow = true},
	{"cryptsetup-vc_1-sha512-xts-aes", .password = "aaaaaaaaaaaa", .off = 131072, .len = 36864,
	 .sha256 = "cad5592c5ec2b1eb3d51737fe53817391aa55dd7a050861937cfcdc4d22ad6c8",
	 .id = "DEAD-BABE"},
	{"cryptsetup-vc_1-sha512-xts-camellia", .password = "aaaaaaaaaaaa", .off = 131072,
	 .len = 36864, .sha256 = "1d68307df531a63fb14ad1c7429a4cfb6e2d1f276c1e86d65d80d35860765566",
	 .id = "DEAD-BABE", .slow = true},
	{"cryptsetup-vc_1-sha512-xts-kuznyechik", .password = "aaaaaaaaaaaa", .id = "DEAD-BABE",
	 .slow = true},
	{"cryptsetup-vck_1-sha512-xts-aes", .password = "aaaaaaaaaaaa",
	 .keyfile = "cryptsetup-tcrypt-keyfile1", .keyfile2 = "cryptsetup-tcrypt-keyfile2",
	 .off = 131072, .len = 36864,
	 .sha256 = "d6d56b70750f5eb42ac78524a1c4d3480527bc402de89bc7babb1163f77bb74c",
	 .id = "DEAD-BABE", .slow = true},
	{"cryptsetup-vck_1_nopw-sha256-xts-aes", .keyfile = "cryptsetup-tcrypt-keyfile1",
	 .keyfile2 = "cryptsetup-tcrypt-keyfile2", .off = 131072, .len = 36864,
	 .sha256 = "f34d38a15baa6e6ec152415b16c23d45fa6df4a63b848f862c2a453222bc3426",
	 .id = "DEAD-BABE", .slow = true},
	{"cryptsetup-vck_1_pw12-blake2s-xts-aes", .password = "aaaaaaaaaaaa",
	 .keyfile = "cryptsetup-tcrypt-keyfile1", .keyfile2 = "cryptsetup-tcrypt-keyfile2",
	 .off = 131072, .len = 36864,
	 .sha256 = "81d88d6c2856a3970debe8c00b0685342ff365a4ec98e7c544abee90b3e7fcd3",
	 .id = "DEAD-BABE", .slow = true},
	{"cryptsetup-vck_1_pw12-sha512-xts-aes", .password = "aaaaaaaaaaaa",
	 .keyfile = "cryptsetup-tcrypt-keyfile1", .keyfile2 = "cryptsetup-tcrypt-keyfile2",
	 .off = 131072, .len = 36864,
	 .sha256 = "bce1dc62911f182d1e5b9ebcf0d5e169d87d254313f190a4373c1b7fe7227f37",
	 .id = "DEAD-BABE", .slow = true},
	{"cryptsetup-vck_1_pw72-sha512-xts-aes",
	 .password = "aaaaaaaaaaaabbbbbbbbbbbbccccccccccccddddddddddddeeeeeeeeeeeeffffffffffff",
	 .keyfile = "cryptsetup-tcrypt-keyfile1", .keyfile2 = "cryptsetup-tcrypt-keyfile2",
	 .off = 131072, .len = 36864,
	 .sha256 = "62a1c9d0a9f9c41e928bd61c172fce656f045f2db1742051acad834825f6ef16",
	 .id = "DEAD-BABE", .slow = true},
	{"cryptsetup-vcpim_1_1234-sha256-xts-aes", .password = "cccccccccccccccccccc",
	 .pim = "1234", .off = 131072, .len = 36864,
	 .sha256 = "1cf12d77dd266a1855a34477a740b0aff9a7441bc6b889e0af05518ac5177fa5",
	 .id = "DEAD-BABE", .slow = true},
	{"cryptsetup-vcpim_1_8-argon2id-xts-aes", .password = "cccccccccccccccccccc", .pim = "8",
	 .id = "DEAD-BABE", .slow = true},
	{"john-TC-Hidden-2.tc", .password = "truecrypt",
	 .keyfile = "john-TC-Volume-2-RIPEMD-160-Keyfile", .off = 131072, .len = 2883584,
	 .sha256 = "19cdd5c3cd7b7e33ac5a473be277d57fabca337f27f23565f65dff832e6da1b5",
	 .id = "6AAB-114E"},
	{"john-TC-Hidden-2.tc", .password = "TRUECRYPT", .keyfile = "john-TC-Volume-2-SHA-512-kf",
	 .off = 917504, .len = 1966080,
	 .sha256 = "a7123089f02139234006833a07105443be9de857d1738d87055baeed4088f528",
	 .id = "49BD-783C", .hidden = true},
	{"john-TC-STD-Volume.tc", .password = "truecrypt",
	 .keyfile = "john-TC-STD-Volume-RIPEMD-160-Keyfile", .off = 131072, .len = 2883584,
	 .sha256 = "006f0632eb3c2c068b3f12636ca9f3d4de0479d3b5967539ec1eac203b13c81f",
	 .id = "7A28-9BB6"},
	{"john-tc-openwall", .password = "openwall", .off = 131072, .len = 786432,
	 .sha256 = "72bb10dc25c2ad2b17df39602dd464e7745e107c83161b31be80ccb1ec5e8e3a",
	 .id = "F62C-EB52"},
};
enum { VOLUMES = sizeof(volumes) / sizeof(*volumes) };

static void add_keyfile(struct image *img, const char *name)
{
	char path[128];
	size_t len;
	uint8_t *bytes;

	if (!name)
		return;
	snprintf(path, sizeof(path), "veracrypt/%s", name);
	bytes = corpus_bytes(path, &len);
	assert_non_null(bytes);
	image_key(img, KEY_KEYFILE, bytes, len);
	free(bytes);
}

static struct image *unpack(const struct volume *v)
{
	char path[128];
	const char *file;
	struct image *img;

	snprintf(path, sizeof(path), "veracrypt/%s.xz", v->name);
	file = corpus_file(path);
	if (!file)
		skip();
	img = image_path(file);
	if (v->password)
		image_key(img, KEY_PASSPHRASE, v->password, strlen(v->password));
	if (v->pim)
		image_key(img, KEY_PIM, v->pim, strlen(v->pim));
	add_keyfile(img, v->keyfile);
	add_keyfile(img, v->keyfile2);
	return img;
}

/* The serial number of a FAT12 or FAT16 volume, as blkid writes it. */
static void assert_fat(struct layer *l, uint64_t off, const char *id)
{
	uint8_t boot[512];
	char text[10];

	assert_int_equal(layer_read(l, off, boot, sizeof(boot), NULL), 0);
	snprintf(text, sizeof(text), "%02X%02X-%02X%02X", boot[42], boot[41], boot[40], boot[39]);
	assert_string_equal(text, id);
	assert_memory_equal(boot + 510, "\x55\xaa", 2);
}

static void assert_sha256(struct layer *l, uint64_t off, uint64_t len, const char *truth)
{
	uint8_t *buf = malloc(len), sum[32];
	struct ranges bad = {0};
	char hex[65];

	assert_int_equal(layer_read(l, off, buf, len, &bad), 0);
	assert_int_equal(bad.n, 0);
	prim_hash(PRIM_SHA256, buf, len, sum);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	assert_string_equal(hex, truth);
	free(buf);
}

/* Boot sector, FATs and root folder; what follows was never written. */
static void assert_no_noise(struct layer *l)
{
	for (uint64_t off = 0; off < 0x800; off += 512)
		if (tcrypt_noise(l, off))
			fail_msg("noise at %#llx", (unsigned long long)off);
}

static void opens_and_holds_what_it_should(void **state)
{
	const struct volume *v = *state;
	struct image *img;
	struct tcrypt *t;
	uint64_t off;

	if (v->slow && !getenv("TCRYPT_ALL"))
		skip();
	img = unpack(v);
	image_check(img, &tcrypt_ops);
	if (img->err)
		fail_msg("%s: error %d", v->name, img->err);
	if (v->wrong ? image_worse(img, BLEMISH) != 1 || !image_seen(img, v->wrong, ANYWHERE)
		     : image_worse(img, BLEMISH)) {
		image_print(img);
		fail_msg("%s: other findings than expected", v->name);
	}
	t = img->top->priv;
	off = t->whole ? t->start : 0;
	if (v->len) {
		assert_int_equal(t->start, v->off);
		/* Headers of 60 GB disks were put into small ones: the rest is missing. */
		assert_true(t->whole ? t->len >= v->len : t->len == v->len);
		assert_sha256(img->top, off, v->len, v->sha256);
	} else if (v->id) {
		assert_no_noise(img->top);
	}
	if (v->id)
		assert_fat(img->top, off, v->id);
	assert_int_equal(t->hit.place == TCRYPT_AT_HIDDEN || t->hit.place == TCRYPT_AT_OLD_HIDDEN,
			 v->hidden);
	/* The file's name says mode and cipher. */
	if (!strncmp(v->name, "cryptsetup", 10)) {
		assert_non_null(strstr(v->name, tcrypt_mode_name(t->hit.alg->mode)));
		assert_non_null(strstr(v->name, t->hit.alg->name));
	}
	image_free(img);
}

static int clean_up(void **state)
{
	(void)state;
	corpus_file(NULL);
	return 0;
}

int main(void)
{
	struct CMUnitTest tests[VOLUMES];
	static char names[VOLUMES][96];

	for (int i = 0; i < VOLUMES; i++) {
		snprintf(names[i], sizeof(names[i]), "%s%s", volumes[i].name,
			 volumes[i].hidden ? ", its hidden volume" : "");
		tests[i] = (struct CMUnitTest){.name = names[i],
					       .test_func = opens_and_holds_what_it_should,
					       .initial_state = (void *)(uintptr_t)&volumes[i]};
	}
	return cmocka_run_group_tests(tests, NULL, clean_up);
}
