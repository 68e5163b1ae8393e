/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <unistd.h>

#include "formats/drivers.h"
#include "formats/signature.h"
#include "tests/lib/disk_build.h"

static bool look(struct image *img, uint64_t at, struct signature *sig)
{
	image_open(img, &raw_ops);
	return signature_at(img->source, at, sig);
}

/* The first sector that tells of a volume, as a search over the disk would meet it. */
static bool first_sector(struct image *img, struct signature *sig)
{
	image_open(img, &raw_ops);
	for (uint64_t at = 0; at + 512 <= img->len; at += 512)
		if (signature_in_sector(img->source, at, img->buf + at, sig))
			return true;
	return false;
}

/* Names, sizes and identities as blkid 2.38 gives them. */
static const struct {
	const char *file, *name;
	uint64_t size;
	const char *id;
} corpus_files[] = {
	{"bitlocker/cryptsetup-bitlk-aes-xts-128.img.xz", "bitlocker", 104857600, ""},
	{"bitlocker/cryptsetup-bitlk-togo-aes-cbc-128.img.xz", "bitlocker", 104857600, ""},
	{"bitlocker/dissect-vista.bin.gz", "bitlocker", 96292830720, ""},
	{"dm/lvm.img.xz", "lvm2", 41943040, "jfGteu-0zgi-Kz5i-fWbI-1Jmq-PhzB-XXj7Tv"},
	{"dm/icrc32c.img.xz", "integrity", 0, ""},
	{"dm/l2gcm.img.xz", "luks2", 0, NULL},
	{"ext/e2fsprogs-f_badcluster.img.gz", "ext4", 2097152,
	 "3dec3974-ec57-4fae-b645-3c13a0286d48"},
	{"ext/util-linux-jbd.img.xz", "jbd", 1048576, "0d7a07df-7b06-4829-bce7-3b9c3ece570c"},
	{"fat/util-linux-fat16_noheads.img.xz", "fat16", 219898368, "2004-1014"},
};

static struct image *unpack(const char *file)
{
	const char *corpus = getenv("CORPUS");
	struct image *img = image_new(0);
	char command[512];

	snprintf(command, sizeof(command), "%s -dc '%s/%s' >$DISK",
		 strstr(file, ".gz") ? "gzip" : "xz", corpus, file);
	assert_true(disk_tool(img, command));
	return img;
}

static bool have_corpus(void)
{
	const char *corpus = getenv("CORPUS");

	return corpus && !access(corpus, R_OK);
}

static void real_volumes_are_named(void **state)
{
	(void)state;
	if (!have_corpus())
		skip();
	for (size_t i = 0; i < sizeof(corpus_files) / sizeof(corpus_files[0]); i++) {
		struct image *img = unpack(corpus_files[i].file);
		struct signature sig;

		if (!look(img, 0, &sig))
			fail_msg("%s: nothing", corpus_files[i].file);
		assert_string_equal(sig.name, corpus_files[i].name);
		assert_int_equal(sig.size, corpus_files[i].size);
		if (corpus_files[i].id)
			assert_string_equal(sig.id, corpus_files[i].id);
		image_free(img);
	}
}

/* Made here by the real tool, then the first header wiped: the copy says where the volume began. */
static void copies_tell_where_the_volume_began(void **state)
{
	static const struct {
		const char *command, *name, *from;
		uint32_t wipe; /* bytes at the volume's start */
	} made[] = {
		{"mkfs.vfat -F32 -C $DISK.f 40000 && cat $DISK.f >>$DISK; rm $DISK.f", "fat32",
		 "backup boot sector", 512},
		{"mkfs.ntfs -qFf $DISK.f 4096; truncate -s 8M $DISK.f; mkfs.ntfs -qFf $DISK.f && "
		 "cat $DISK.f >>$DISK; rm $DISK.f",
		 "ntfs", "backup boot sector", 512},
		{"truncate -s 20M $DISK.f; mkfs.ext4 -qF -b 1024 $DISK.f && cat $DISK.f >>$DISK; "
		 "rm $DISK.f",
		 "ext4", "backup superblock", 4096},
	};
	size_t run = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		struct image *img = image_new(12345 * 512);
		struct signature sig;
		uint64_t size;

		if (disk_tool(img, made[i].command) && img->len > 12345 * 512) {
			assert_true(look(img, 12345 * 512, &sig));
			assert_string_equal(sig.name, made[i].name);
			assert_null(sig.from);
			size = sig.size;
			memset(img->buf + 12345 * 512, 0, made[i].wipe);
			assert_false(look(img, 12345 * 512, &sig));
			assert_true(first_sector(img, &sig));
			assert_string_equal(sig.name, made[i].name);
			assert_int_equal(sig.start, 12345 * 512);
			assert_int_equal(sig.size, size);
			assert_non_null(sig.from);
			assert_string_equal(sig.from, made[i].from);
			run++;
		}
		image_free(img);
	}
	if (!run)
		skip();
}

static void copies_of_real_volumes_tell_too(void **state)
{
	static const struct {
		const char *file, *name;
	} made[] = {
		{"dm/l2xts512.img.xz", "luks2"},
		{"xfs/cryptsetup-img_fs_xfs.img.xz", "xfs"},
	};

	(void)state;
	if (!have_corpus())
		skip();
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		struct image *img = unpack(made[i].file);
		struct signature sig;

		assert_true(look(img, 0, &sig));
		assert_string_equal(sig.name, made[i].name);
		memset(img->buf, 0, 4096);
		assert_true(first_sector(img, &sig));
		assert_string_equal(sig.name, made[i].name);
		assert_int_equal(sig.start, 0);
		assert_non_null(sig.from);
		image_free(img);
	}
}

static void noise_is_nothing(void **state)
{
	struct image *img = image_new(8 << 20);
	uint64_t x = 88172645463325252ull;
	struct signature sig;

	(void)state;
	for (size_t i = 0; i < img->len; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(img->buf + i, &x, 8);
	}
	/* Even with the boot signature in every sector. */
	for (size_t i = 510; i < img->len; i += 512)
		memcpy(img->buf + i, "\x55\xaa", 2);
	assert_false(first_sector(img, &sig));
	image_free(img);
}

/* A magic at each place where one is looked for, with any bytes around it: no crash, no answer
 * that lies outside the disk's beginning. */
static void hostile_headers_are_survived(void **state)
{
	static const struct {
		uint32_t at;
		const char *magic;
	} magics[] = {{3, "NTFS    "},	   {3, "EXFAT   "},	{3, "-FVE-FS-"},
		      {3, "ReFS"},	   {0, "LUKS\xba\xbe"}, {0, "SKUL\xba\xbe"},
		      {0, "XFSB"},	   {512, "LABELONE"},	{1080, "\x53\xef"},
		      {65600, "_BHRfS_M"}, {32769, "CD001"},	{0, "hsqs"},
		      {1024, "H+"},	   {32, "NXSB"},	{0, "\xfc\x4e\x2b\xa9"}};
	uint64_t x = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		for (int round = 0; round < 200; round++) {
			struct image *img = image_new(round % 2 ? 1 << 17 : 70000);
			struct signature sig;

			for (size_t k = 0; k < img->len; k += round % 7 + 1)
				img->buf[k] = (uint8_t)((x = x * 6364136223846793005ull + 1) >> 56);
			image_poke(img, magics[i].at, magics[i].magic, strlen(magics[i].magic));
			image_poke(img, 510, "\x55\xaa", 2);
			look(img, 0, &sig);
			first_sector(img, &sig);
			image_free(img);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_volumes_are_named),
		cmocka_unit_test(copies_tell_where_the_volume_began),
		cmocka_unit_test(copies_of_real_volumes_tell_too),
		cmocka_unit_test(noise_is_nothing),
		cmocka_unit_test(hostile_headers_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
