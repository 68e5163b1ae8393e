/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that Windows made: each opened by each of its keys, and its plaintext is the truth's. */
#include <errno.h>
#include <stdio.h>

#include "crypto/bitlocker.h"
#include "tests/lib/corpus.h"

/*
 * Where the manifest's digests disagree, or come from one tool only, the volume itself decides:
 * of these images only the first 32 KiB and the metadata were kept, the rest is zeros. All that
 * was kept decrypts to structure (test below; $MFTMirr's records have their magic and fixups),
 * so the digests differ in what the zeros "decrypt" to, which no Windows ever saw.
 *
 * aes_128, aes_256, aes_128_diffuser: ours are dislocker's, dissect.fve's are others.
 * vista, win7_partial: only dissect.fve's exist; ours, given here, differ from them.
 */
static const struct volume {
	const char *name;
	const char *sha256;
	uint64_t len;	       /* that the digest is over; 0: the whole layer */
	uint64_t unpack;       /* bytes to unpack; 0: all */
	const char *password;  /* NULL: none */
	const char *recovery;  /* more than one: by blanks */
	const char *bek;       /* file of the corpus */
	enum finding_id wrong; /* the one finding above INFO that it has */
	int findings;
} volumes[] = {
	{.name = "cryptsetup-bitlk-aes-cbc-128-4k.img.xz",
	 .sha256 = "2bf0ee1198cfcc95654636c045f72a91727f7d5b1208db88eafb77ac65b60109",
	 .password = "anaconda",
	 .recovery = "482548-408683-386023-032725-083754-344718-228228-361845"},
	{.name = "cryptsetup-bitlk-aes-cbc-128.img.xz",
	 .sha256 = "04500a8120ba355ed206284e03e26e59b7e1f1832868e1d69bb47023ebd3460f",
	 .password = "anaconda",
	 .recovery = "042647-302313-590458-071500-554323-116567-412181-516978"},
	{.name = "cryptsetup-bitlk-aes-cbc-elephant-256.img.xz",
	 .sha256 = "0af06f010fe21522bdd77f8d2d3cb0ad5fceaf2729295ff0fd50e65adfa0b7b3",
	 .password = "anaconda",
	 .recovery = "618871-562507-462814-555324-264660-562727-105171-668195"},
	{.name = "cryptsetup-bitlk-aes-xts-128-crc.img.xz",
	 .sha256 = "674e3a976927fd62f3fc26df2c695cac75b8d364e3b45393717efa971f16db0f",
	 .password = "anaconda",
	 .recovery = "235818-357951-253979-013365-241120-245575-342914-591910",
	 .wrong = FVE_COPY_BAD,
	 .findings = 2},
	{.name = "cryptsetup-bitlk-aes-xts-128-new-entry.img.xz",
	 .sha256 = "794163062398ae43b796f85eafde8acf5dc7830a93ec2aa7ef0c6baaa14b2757",
	 .password = "anaconda",
	 .recovery = "199067-214280-266398-508123-023584-402875-562793-012067"},
	{.name = "cryptsetup-bitlk-aes-xts-128-startup-key.img.xz",
	 .sha256 = "bbb68369d8f7badb2c2330349d9d0cf12e68f54eece25e718d2bb13feba23f7a",
	 .recovery = "363770-230505-096371-652674-567006-579150-291038-408111",
	 .bek = "cryptsetup-4381F759-C4F8-4DE0-BB61-FC33A831BDA5.BEK"},
	{.name = "cryptsetup-bitlk-aes-xts-128-two-recovery.img.xz",
	 .sha256 = "15570b2a7a1255e2d0f34a0ff82b6e255d8a7e25c24c7849c91321bcb1858cb3",
	 .password = "anaconda",
	 .recovery = "478401-067859-043868-000935-121330-337425-718509-484979 "
		     "297693-343387-338492-284526-405482-424886-634931-555093"},
	{.name = "cryptsetup-bitlk-aes-xts-128.img.xz",
	 .sha256 = "674e3a976927fd62f3fc26df2c695cac75b8d364e3b45393717efa971f16db0f",
	 .password = "anaconda",
	 .recovery = "235818-357951-253979-013365-241120-245575-342914-591910"},
	{.name = "cryptsetup-bitlk-togo-aes-cbc-128.img.xz",
	 .sha256 = "3fb19a2b9cf89962216cc7b27f7127ea7f241c39b7b340d7431a232f81c36eb1",
	 .password = "anaconda",
	 .recovery = "607552-529496-550902-707531-545787-248358-370216-060401"},
	{.name = "dissect-aes-xts_256.bin.gz",
	 .sha256 = "b8c012482b9e8219db651d2414a7685fca9a7fff94e45575145883f19be6e4ff",
	 .password = "password12!@",
	 .wrong = FVE_TRUNCATED,
	 .findings = 1},
	{.name = "dissect-aes_128.bin.gz",
	 .sha256 = "d90b6e46f837d9b2f25c7ebca4cf42d6c17dbd08fc7f2ef1a8aed7d149becf75",
	 .password = "password12!@",
	 .wrong = FVE_TRUNCATED,
	 .findings = 1},
	{.name = "dissect-aes_128_diffuser.bin.gz",
	 .sha256 = "68c7bbbe5dc6c96538472fe13220875ac4d212a6a62da07117a9f51cb639e645",
	 .len = 4 << 20,
	 .password = "password12!@",
	 .wrong = FVE_TRUNCATED,
	 .findings = 1},
	{.name = "dissect-aes_256.bin.gz",
	 .sha256 = "c0b7b3e40e55b02e84432a93c95256a2a19438848fe65c66627b0c32056aff5a",
	 .password = "password12!@",
	 .wrong = FVE_TRUNCATED,
	 .findings = 1},
	{.name = "dissect-decrypted.bin.gz",
	 .sha256 = "b3f17a20397b06aa2030da90398cb5e02b5138e96bfe63316c0f863a66282b82"},
	{.name = "dissect-startup_key.bin.gz",
	 .sha256 = "2b03452675750d10795cdb2048ee9a501f6475347e4bceb0cb2960b88453af48",
	 .bek = "dissect-startup_key.bek",
	 .wrong = FVE_TRUNCATED,
	 .findings = 1},
	{.name = "dissect-suspended.bin.gz",
	 .sha256 = "d421f4a2ec130af8b7b8abcdeade66dac0d4d552dead0994aafd8c6e3e74fe79",
	 .wrong = FVE_TRUNCATED,
	 .findings = 1},
	{.name = "dissect-vista.bin.gz",
	 .sha256 = "dbe79012159ecff65fb5fc3e2f0855ed56a0762c1b1dade6ab8cee31687852a7",
	 .recovery = "517506-503998-044583-576191-587004-635965-501270-087802",
	 .wrong = FVE_COPY_BAD, /* the file was cut: two copies lie behind its end */
	 .findings = 2},
	{.name = "dissect-win7_partial.bin.gz",
	 .sha256 = "cec6df6f7b0e8de310311c96afd09f3919bd339fb63b4a7826003c96eddf28ae",
	 .len = 256 << 20,
	 .recovery = "131450-120197-153989-250338-511368-495572-680944-381546",
	 .unpack = 0x442d8000,	/* decryption was paused at 0x442d5000; nothing follows */
	 .wrong = FVE_COPY_BAD, /* whoever made the file kept one copy only */
	 .findings = 2},
};
enum { VOLUMES = sizeof(volumes) / sizeof(*volumes) };

static struct image *unpack(const char *name, uint64_t limit)
{
	char path[128];
	const char *file;

	snprintf(path, sizeof(path), "bitlocker/%s", name);
	file = limit ? corpus_file_head(path, limit) : corpus_file(path);
	if (!file)
		skip();
	return image_path(file);
}

static void add_bek(struct image *img, const char *name)
{
	char path[128];
	size_t len;
	uint8_t *bek;

	snprintf(path, sizeof(path), "bitlocker/%s", name);
	bek = corpus_bytes(path, &len);
	assert_non_null(bek);
	image_key(img, KEY_BEK, bek, len);
	free(bek);
}

/*
 * Every sector that is stored turns into something with structure: chi² of its bytes is far from
 * that of noise. The first 16 bytes of a sector under a wrong IV would not show here, but they do
 * in the magics of $MFTMirr's records and in the boot sector.
 */
static void assert_structure(struct image *img, uint64_t len)
{
	struct bitlocker *b = img->top->priv;
	uint8_t stored[512], plain[512];
	uint64_t off = 0;

	while (off < len) {
		struct extent run, source;
		unsigned count[256] = {0}, chi2 = 0, zeros = 0;

		assert_int_equal(layer_map(img->top, off, &run), 0);
		if (run.kind != EXTENT_DATA || run.len < 512) {
			off += run.len;
			continue;
		}
		assert_int_equal(layer_resolve(run.in, run.at, &source), 0);
		if (source.kind != EXTENT_DATA) {
			off += (source.len < run.len ? source.len : run.len) & ~511ull;
			continue;
		}
		layer_read(run.in, run.at, stored, 512, NULL);
		layer_read(img->top, off, plain, 512, NULL);
		for (int i = 0; i < 512; i++) {
			count[plain[i]]++;
			zeros += !stored[i];
		}
		for (int i = 0; i < 256; i++)
			chi2 += (count[i] - 2) * (count[i] - 2) / 2;
		if (zeros < 512 && chi2 < 400)
			fail_msg("%s: noise at %#llx (stored at %#llx), chi2 %u", img->path,
				 (unsigned long long)off, (unsigned long long)run.at, chi2);
		off += 512;
	}
	assert_true(b->open);
}

/* NTFS: the records of $MFTMirr, each with its number, its fixups, and attributes to their end. */
static void assert_mft_mirror(struct image *img)
{
	uint8_t boot[512], r[1024];
	uint64_t at;

	layer_read(img->top, 0, boot, sizeof(boot), NULL);
	if (memcmp(boot + 3, "NTFS    ", 8) || boot[0x40] != 0xf6)
		return; /* a FAT volume */
	memcpy(&at, boot + 0x38, 8);
	at *= (boot[11] | boot[12] << 8) * boot[13];
	if (at >= 32 << 10)
		return; /* Vista moved it to where this image has nothing */
	for (uint32_t n = 0; n < 4; n++, at += sizeof(r)) {
		uint32_t attr, number, used, len;

		layer_read(img->top, at, r, sizeof(r), NULL);
		assert_memory_equal(r, "FILE", 4);
		for (int i = 0; i < 2; i++) {
			assert_memory_equal(r + 512 * i + 510, r + (r[4] | r[5] << 8), 2);
			memcpy(r + 512 * i + 510, r + (r[4] | r[5] << 8) + 2 + 2 * i, 2);
		}
		memcpy(&number, r + 0x2c, 4);
		memcpy(&used, r + 0x18, 4);
		assert_int_equal(number, n);
		for (attr = r[0x14]; attr + 8 < used; attr += len) {
			memcpy(&len, r + attr + 4, 4);
			assert_true(len >= 24 && len % 8 == 0);
		}
		assert_memory_equal(r + attr, "\xff\xff\xff\xff", 4);
	}
}

static void assert_content(struct image *img, const struct volume *v)
{
	char hex[65];

	image_check(img, &bitlocker_ops);
	if (img->err)
		fail_msg("%s: error %d", v->name, img->err);
	if ((int)image_worse(img, BLEMISH) != v->findings ||
	    (v->findings && (int)image_seen(img, v->wrong, ANYWHERE) != v->findings)) {
		image_print(img);
		fail_msg("%s: other findings than expected", v->name);
	}
	layer_sha256(img->top, v->len ? v->len : img->top->size, hex);
	if (strcmp(hex, v->sha256))
		fail_msg("%s: content is %s", v->name, hex);
}

/* One more key, alone: what matters is that it leads to the same FVEK. */
static void assert_opens(struct image *img, const struct volume *v, const char *what)
{
	uint8_t boot[512];

	image_open(img, &bitlocker_ops);
	if (img->err)
		fail_msg("%s: %s does not open it: %d", v->name, what, img->err);
	layer_read(img->top, 0, boot, sizeof(boot), NULL);
	assert_memory_equal(boot + 510, "\x55\xaa", 2);
	image_no_keys(img);
}

static void plaintext_is_the_truth_by_every_key(void **state)
{
	const struct volume *v = *state;
	struct image *img = unpack(v->name, v->unpack);
	char recovery[256];
	bool first = true;

	snprintf(recovery, sizeof(recovery), "%s", v->recovery ? v->recovery : "");
	for (char *r = strtok(recovery, " "); r; r = strtok(NULL, " ")) {
		image_key(img, KEY_RECOVERY, r, strlen(r));
		if (first && !v->password && !v->bek)
			assert_content(img, v);
		else
			assert_opens(img, v, "a recovery password");
		first = false;
	}
	if (v->bek) {
		image_no_keys(img);
		add_bek(img, v->bek);
		assert_content(img, v);
	}
	if (v->password) {
		image_no_keys(img);
		image_key(img, KEY_PASSPHRASE, v->password, strlen(v->password));
	}
	if (v->password || (!v->bek && !v->recovery))
		assert_content(img, v);
	if (!strncmp(v->name, "dissect", 7)) { /* the others kept less than 32 KiB */
		assert_mft_mirror(img);
		assert_structure(img, img->top->size);
	}
	image_free(img);
}

/*
 * Encrypt-on-write, of which whoever made the image kept neither bitmaps nor their information:
 * the moved boot sector is in plaintext, which only its looks tell. (dissect.fve decrypts it.)
 */
static void encrypt_on_write_without_its_bitmaps_is_read_by_looks(void **state)
{
	static const char recovery[] = "685839-373538-494868-036223-326590-515064-328416-685102";
	struct image *img = unpack("cryptsetup-bitlk-aes-xts-128-eow.img.xz", 0);
	uint8_t boot[512];

	(void)state;
	image_key(img, KEY_RECOVERY, recovery, strlen(recovery));
	image_open(img, &bitlocker_ops);
	assert_int_equal(img->err, 0);
	image_no_keys(img);
	image_key(img, KEY_PASSPHRASE, "anaconda", 8);
	image_check(img, &bitlocker_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, FVE_EOW_BITMAP, 0x21b7000);
	assert_finding(img, FVE_EOW_INFO, 0x31ab000);
	assert_readable(img, 0, img->top->size);
	layer_read(img->top, 0, boot, sizeof(boot), NULL);
	assert_memory_equal(boot + 3, "NTFS    ", 8);
	image_free(img);
}

static void wrong_keys_are_rejected(void **state)
{
	struct image *img = unpack("cryptsetup-bitlk-aes-xts-128.img.xz", 0);

	(void)state;
	image_open(img, &bitlocker_ops);
	assert_int_equal(img->err, -ENOKEY);
	image_key(img, KEY_PASSPHRASE, "anacondb", 8);
	image_open(img, &bitlocker_ops);
	assert_int_equal(img->err, -EKEYREJECTED);
	image_no_keys(img);
	image_key(img, KEY_RECOVERY, "482548-408683-386023-032725-083754-344718-228228-361845", 55);
	image_open(img, &bitlocker_ops);
	assert_int_equal(img->err, -EKEYREJECTED);
	image_no_keys(img);
	/* One digit wrong: no password at all, and no second of stretching either. */
	image_key(img, KEY_RECOVERY, "235818-357951-253979-013365-241120-245575-342914-591911", 55);
	image_open(img, &bitlocker_ops);
	assert_int_equal(img->err, -EKEYREJECTED);
	image_free(img);
}

static void the_startup_key_of_another_volume_is_rejected(void **state)
{
	struct image *img = unpack("dissect-startup_key.bin.gz", 0);

	(void)state;
	add_bek(img, "cryptsetup-4381F759-C4F8-4DE0-BB61-FC33A831BDA5.BEK");
	image_open(img, &bitlocker_ops);
	assert_int_equal(img->err, -EKEYREJECTED);
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
	struct CMUnitTest tests[VOLUMES + 3];

	for (int i = 0; i < VOLUMES; i++)
		tests[i] = (struct CMUnitTest){.name = volumes[i].name,
					       .test_func = plaintext_is_the_truth_by_every_key,
					       .initial_state = (void *)(uintptr_t)&volumes[i]};
	tests[VOLUMES] = (struct CMUnitTest)cmocka_unit_test(wrong_keys_are_rejected);
	tests[VOLUMES + 1] =
		(struct CMUnitTest)cmocka_unit_test(the_startup_key_of_another_volume_is_rejected);
	tests[VOLUMES + 2] = (struct CMUnitTest)cmocka_unit_test(
		encrypt_on_write_without_its_bitmaps_is_read_by_looks);
	return cmocka_run_group_tests(tests, NULL, clean_up);
}
