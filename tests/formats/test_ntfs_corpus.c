/* SPDX-License-Identifier: Apache-2.0 */
/* NTFS volumes that others made, Windows among them, against what their makers say is in them. */
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/ntfs.h"
#include "tests/lib/corpus.h"
#include "tests/lib/fs_list.h"

static size_t count(struct image *img)
{
	struct fs_list list;
	size_t n;

	fs_list(img->top, false, &list);
	n = list.n;
	fs_list_free(&list);
	return n;
}

static struct image *open_file(const char *name)
{
	const char *path = corpus_file(name);
	struct image *img;

	if (!path)
		skip();
	img = image_file(path);
	image_open(img, &ntfs_ops);
	return img;
}

static void volumes_of_windows_and_linux_are_clean(void **state)
{
	static const struct {
		const char *name;
		size_t files; /* as fls -r has them, and named streams */
	} volumes[] = {
		{"ntfs/colinfinck-testfs1.img.xz", 517}, {"ntfs/dfir_ntfs-ntfs3.raw.gz", 4},
		{"ntfs/syzkaller-ntfs3_0.img.xz", 7},	 {"ntfs/syzkaller-ntfs3_10.img.xz", 7},
		{"ntfs/syzkaller-ntfs3_12.img.xz", 7},	 {"ntfs/syzkaller-ntfs3_14.img.xz", 7},
		{"ntfs/syzkaller-ntfs3_2.img.xz", 7},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(volumes) / sizeof(*volumes); i++) {
		struct image *img = open_file(volumes[i].name);

		assert_int_equal(img->err, 0);
		assert_int_equal(count(img), volumes[i].files);
		assert_int_equal(image_worse(img, DAMAGE), 0);
		image_free(img);
	}
}

/*
 * DFTT #7 (B. Carrier): the MD5 sums of its index.html were compared by hand with what is read here,
 * and these are the SHA-256 of the same bytes.
 */
static void deleted_files_of_dftt_7(void **state)
{
	static const struct {
		const char *path;
		uint64_t size;
		enum fs_sure path_sure;
		const char *sha256;
	} files[] = {
		{"/res1.dat", 101, FS_SURE,
		 "edf171b5da0fba963e0954c31aa691b4fde032b8fd1dea2dec9923bb1bbf567f"},
		{"/sing1.dat", 780, FS_SURE,
		 "799f8870dbb8b31511e1cd8102a43c94bd8ba76b987d338d4ba05ee32269490f"},
		{"/mult1.dat", 3801, FS_SURE,
		 "aada10bcb73925a71b330eaceef5cd9f8484d733b45da70ea39cdb22cddf78c0"},
		{"/mult1.dat:ADS", 1234, FS_SURE,
		 "46ec753170adcc8fdbc4cf2d10ae042d5dbcf484c09146f0ba29ab621f246f0d"},
		{"/frag1.dat", 1584, FS_SURE,
		 "bd859916c83cdc3b1c17eee34f7f88270f5ad763a44f79997a6fda68b85e7760"},
		{"/frag2.dat", 3873, FS_SURE,
		 "f9196f6c1deb7c9272526b3d308a993e903df7ae39973864af9558db9f1471df"},
		{"/dir1/mult2.dat", 1715, FS_SURE,
		 "8553e78eb8f13c9639f96c61cfba799bbb094376c5f86ec54cbc0afb8635e138"},
		{"/dir1/dir2/frag3.dat", 2027, FS_SURE,
		 "01331adeaac1d7e93b138e28ed69fd1063319f32d79ed9958303de496ec08fe8"},
		/* Its folder's record is a file's by now. */
		{"/$orphans/37/sing2.dat", 1005, FS_GONE,
		 "d2e23d7b2e996a12270737d463f562de9fc407599da97c302fc5ddc0afdcc15b"},
	};
	const char *corpus = getenv("CORPUS"), path[] = "/tmp/vdiskck-dftt7.dd";
	char command[512];
	struct image *img;
	struct fs_list list;

	(void)state;
	if (!corpus)
		skip();
	snprintf(
		command, sizeof(command),
		"python3 -c 'import zipfile; open(\"%s\", \"wb\").write(zipfile.ZipFile("
		"\"%s/ntfs/dftt-7-undel-ntfs.zip\").read(\"7-undel-ntfs/7-ntfs-undel.dd\"))' 2>/dev/null",
		path, corpus);
	if (system(command))
		skip();
	img = image_file(path);
	remove(path);
	image_open(img, &ntfs_ops);
	fs_list(img->top, true, &list);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		const struct fs_item *item = fs_listed(&list, files[i].path, true);

		assert_non_null(item);
		assert_int_equal(item->e->size, files[i].size);
		assert_int_equal(item->e->path_sure, files[i].path_sure);
		assert_int_equal(item->e->overwritten, 0);
		assert_string_equal(item->sha256, files[i].sha256);
	}
	fs_list_free(&list);
	image_free(img);
}

/* A bare $MFT where its first record says that it lies, and nothing else of the volume. */
static struct image *around_mft(const char *name, uint64_t at)
{
	const char *path = corpus_file(name);
	struct image *mft, *img;

	if (!path)
		skip();
	mft = image_file(path);
	img = image_new(at + mft->len);
	memcpy(img->buf + at, mft->buf, mft->len);
	image_free(mft);
	return img;
}

/* The paths of a listing in the form of `fls -rp`. */
static void assert_listing(struct image *img, const char *name, size_t expected)
{
	const char *path = corpus_file(name);
	FILE *f = path ? fopen(path, "r") : NULL;
	char line[1024], file[1024] = "/";
	size_t seen = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *from = strchr(line, '\t');
		struct fs_entry *e;

		assert_non_null(from);
		from[1 + strcspn(from + 1, "\t\n")] = '\0';
		/* Attributes that are indexes are no streams; and what fls itself makes up. */
		if (strstr(line, "-144-") && strrchr(from, ':'))
			continue;
		if (!strcmp(from + 1, "$OrphanFiles"))
			continue;
		snprintf(file + 1, sizeof(file) - 1, "%s", from + 1);
		if (img->top->ops->fs->lookup(img->top, file, &e))
			fail_msg("%s is not found", file);
		assert_string_equal(e->path, file);
		fs_entry_free(e);
		seen++;
	}
	fclose(f);
	assert_int_equal(seen, expected);
}

static void an_mft_of_windows_alone_tells_the_tree(void **state)
{
	struct image *img;

	(void)state;
	img = around_mft("ntfs/dfir_ntfs-4k-large.mft.xz", 10666ull * 4096);
	image_open(img, &ntfs_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, NTFS_BOOT_REBUILT, 0);
	assert_int_equal(((struct ntfs *)img->top->priv)->g.record, 4096);
	assert_listing(img, "ntfs/dfir_ntfs-4k-large.fls.xz", 34);
	image_free(img);

	img = around_mft("ntfs/dfir_ntfs-unicode.mft.xz", 87125ull * 4096);
	image_open(img, &ntfs_ops);
	assert_listing(img, "ntfs/dfir_ntfs-unicode.fls.xz", 34);
	image_free(img);
}

static void what_fuzzers_made_does_no_harm(void **state)
{
	struct image *img = open_file("ntfs/tsk-clusterfuzz-ntfs-5124116049166336.xz");

	(void)state;
	assert_int_equal(img->err, 0);
	assert_finding(img, NTFS_TRUNCATED, ANYWHERE);
	fs_exercise(img->top);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(volumes_of_windows_and_linux_are_clean),
		cmocka_unit_test(deleted_files_of_dftt_7),
		cmocka_unit_test(an_mft_of_windows_alone_tells_the_tree),
		cmocka_unit_test(what_fuzzers_made_does_no_harm),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	corpus_file(NULL);
	return r;
}
