/* SPDX-License-Identifier: Apache-2.0 */
/* FAT12, FAT16, FAT32 as mkfs.vfat and mtools make them. */
#include <errno.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "tests/lib/corpus.h"
#include "tests/lib/fs_list.h"

/* Each with folders, long names, a fragmented file, and files that were deleted. */
static const char script[] =
	"mkdir -p tree/Docs/inner 'tree/Ünï çode näme folder'\n"
	"seq 1 3000 >tree/README.TXT; seq 1 9 >tree/lower.txt; : >tree/EMPTY\n"
	"seq 5 500 >'tree/A rather long name with spaces.text'\n"
	"seq 7 4000 >tree/Docs/inner/deep.dat\n"
	"seq 8 800 >'tree/Ünï çode näme folder/файл.txt'\n"
	"for i in 1 2 3 4 5 6 7 8 9; do seq $i 300 >tree/Docs/file$i; done\n"
	"seq 1 6000 >tree/Docs/frag\n"
	"truncate -s $SIZE disk; mkfs.vfat $OPTIONS -n TESTVOL disk\n"
	"export MTOOLS_SKIP_CHECK=1\n"
	"seq 1 2000 >gone.txt; seq 2 2000 >gone\n"
	"mcopy -i disk -s tree/Docs tree/README.TXT tree/EMPTY ::\n"
	"mcopy -i disk gone.txt '::Deleted long name.txt'; mcopy -i disk gone ::SHORT.DEL\n"
	"mdel -i disk ::Docs/file2 ::Docs/file5 ::Docs/file7\n"
	"rm tree/Docs/file2 tree/Docs/file5 tree/Docs/file7\n"
	"mcopy -i disk -s 'tree/Ünï çode näme folder' 'tree/A rather long name with spaces.text' ::\n"
	"mcopy -i disk tree/lower.txt ::; mdel -i disk ::SHORT.DEL\n"
	"mdel -i disk '::Deleted long name.txt'; fsck.fat -n disk\n";

static const struct {
	unsigned bits;
	const char *size, *options;
} kinds[] = {{12, "2M", "-F 12 -s 1"}, {16, "16M", "-F 16 -s 4"}, {32, "40M", "-F 32 -s 1"}};

static struct image *good[3];
static struct fs_sums sums[3];

static int make_all(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		setenv("SIZE", kinds[i].size, 1);
		setenv("OPTIONS", kinds[i].options, 1);
		good[i] = fs_made(script, &sums[i]);
	}
	return 0;
}

static int free_all(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		if (good[i])
			image_free(good[i]);
	return 0;
}

/* A copy of a good one, to damage. */
static struct image *fresh(int i)
{
	struct image *img;

	if (!good[i])
		skip();
	img = image_new(good[i]->len);
	memcpy(img->buf, good[i]->buf, img->len);
	return img;
}

static void every_file_is_there_as_it_was_put_in(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct image *img = fresh(i);
		struct fs_list list;

		image_check(img, &fat_ops);
		assert_int_equal(img->err, 0);
		assert_clean(img);
		fs_list(img->top, false, &list);
		assert_true(sums[i].n > 10);
		assert_int_equal(fs_intact(&list, &sums[i]), sums[i].n);
		assert_int_equal(list.n, sums[i].n + 3);
		assert_owners_agree(img->top);
		fs_list_free(&list);
		image_free(img);
	}
}

static uint64_t id_of(struct layer *fs, const char *path)
{
	struct fs_entry *e = NULL;
	int r = fs->ops->fs->lookup(fs, path, &e);
	uint64_t id = r ? 0 : e->id;

	fs_entry_free(e);
	return id;
}

static void paths_are_looked_up_without_case(void **state)
{
	struct image *img = fresh(1);
	struct fs_entry *e;
	uint64_t id;

	(void)state;
	image_open(img, &fat_ops);
	id = id_of(img->top, "/Docs/inner/deep.dat");
	assert_true(id);
	assert_int_equal(id_of(img->top, "/DOCS/Inner/DEEP.DAT"), id);
	id = id_of(img->top, "/Ünï çode näme folder/файл.txt");
	assert_true(id);
	assert_int_equal(id_of(img->top, "/ÜNÏ ÇODE NÄME FOLDER/ФАЙЛ.TXT"), id);
	assert_int_equal(id_of(img->top, "/ARATHE~1.TEX"),
			 id_of(img->top, "/a rather long name with spaces.text"));
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/nothing", &e), -ENOENT);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/EMPTY/x", &e), -ENOTDIR);
	assert_int_equal(id_of(img->top, "/"), 1);
	image_free(img);
}

static void deleted_files_come_back(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct image *img = fresh(i);
		struct fs_list list;
		const struct fs_item *item;

		image_open(img, &fat_ops);
		fs_list(img->top, true, &list);
		/* Its first character is gone from the entry; the sum of the long name tells it. */
		item = fs_listed(&list, "/Deleted long name.txt", true);
		assert_non_null(item);
		assert_int_equal(item->e->path_sure, FS_SURE);
		assert_int_equal(item->e->data_sure, FS_GUESSED);
		item = fs_listed(&list, "/_HORT.DEL", true);
		assert_non_null(item);
		assert_int_equal(item->e->path_sure, FS_GUESSED);
		assert_int_equal(item->e->size, 8891);
		fs_list_free(&list);
		image_free(img);
	}
}

static void a_lost_boot_sector_is_read_from_its_copy(void **state)
{
	struct image *img = fresh(2);
	struct fs_list list;

	(void)state;
	memset(img->buf, 0, 512);
	image_discover(img);
	assert_finding(img, FAT_BOOT_LOST, 0);
	fs_list(img->source->child, false, &list);
	assert_int_equal(fs_intact(&list, &sums[2]), sums[2].n);
	fs_list_free(&list);
	image_free(img);
}

static void a_volume_that_was_cut_short_says_so(void **state)
{
	struct image *img = fresh(1);

	(void)state;
	image_resize(img, img->len / 2);
	image_open(img, &fat_ops);
	assert_finding(img, FAT_TRUNCATED, 0);
	image_free(img);
}

static void without_any_boot_sector_the_fats_tell(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct image *img = fresh(i);
		struct fs_list list;

		memset(img->buf, 0, 512);
		memset(img->buf + 6 * 512, 0, i == 2 ? 512 : 0);
		image_discover(img);
		assert_finding(img, FAT_BOOT_REBUILT, 0);
		fs_list(img->source->child, false, &list);
		assert_int_equal(fs_intact(&list, &sums[i]), sums[i].n);
		fs_list_free(&list);
		image_free(img);
	}
}

/* Layout of kinds[], as mkfs.vfat makes it. */
static uint64_t le(const struct image *img, size_t at, int bytes)
{
	uint64_t v = 0;

	memcpy(&v, img->buf + at, (size_t)bytes);
	return v;
}
static uint64_t fat_len(const struct image *img)
{
	return 512 * (le(img, 22, 2) ? le(img, 22, 2) : le(img, 36, 4));
}
static uint64_t fat_at(const struct image *img, unsigned k)
{
	return 512 * le(img, 14, 2) + k * fat_len(img);
}
static uint64_t heap_at(const struct image *img)
{
	return fat_at(img, 2) + 32 * le(img, 17, 2);
}
static uint64_t cluster_len(const struct image *img)
{
	return 512 * le(img, 13, 1);
}

enum damage { ZEROS, NOISE, ONES };

static void spoil(struct image *img, uint64_t at, uint64_t len, enum damage how)
{
	uint32_t x = 12345;

	for (uint64_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		img->buf[at + i] = (uint8_t)(how == ZEROS ? 0 : how == ONES ? 0xff : x >> 24);
	}
}

/* Either FAT, all of it or a part, in any way: nothing is lost. */
static void one_fat_is_enough(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		for (unsigned k = 0; k < 2; k++)
			for (enum damage how = ZEROS; how <= ONES; how++)
				for (int part = 0; part < 2; part++) {
					struct image *img = fresh(i);
					struct fs_list list;

					spoil(img, fat_at(img, k) + (unsigned)part * 512,
					      part ? 512 : fat_len(img), how);
					image_check(img, &fat_ops);
					assert_int_equal(img->err, 0);
					if (memcmp(img->buf, good[i]->buf, img->len))
						assert_finding(img, FAT_COPIES_DIFFER, ANYWHERE);
					fs_list(img->top, false, &list);
					if (fs_intact(&list, &sums[i]) != sums[i].n) {
						image_print(img);
						fail_msg("FAT%u, copy %u, %d, %d: %u of %zu",
							 kinds[i].bits, k, how, part,
							 fs_intact(&list, &sums[i]), sums[i].n);
					}
					assert_int_equal(
						image_seen(img, FAT_CHAIN_BROKEN, ANYWHERE), 0);
					assert_int_equal(
						image_seen(img, FAT_CROSS_LINKED, ANYWHERE), 0);
					fs_list_free(&list);
					image_free(img);
				}
}

/* Both FATs zeroed: files that lie in one piece are guessed right, and doubtful. */
static void without_fats_files_are_guessed(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct image *img = fresh(i);
		struct fs_list list;
		const struct fs_item *item;

		spoil(img, fat_at(img, 0) + 4, 2 * fat_len(img) - 4, ZEROS);
		image_check(img, &fat_ops);
		assert_finding(img, FAT_CHAIN_BROKEN, ANYWHERE);
		fs_list(img->top, false, &list);
		item = fs_listed(&list, "/README.TXT", false);
		assert_non_null(item);
		assert_int_equal(item->lost, 0);
		assert_int_equal(item->doubtful, item->e->size);
		assert_int_equal(item->e->data_sure, FS_GUESSED);
		for (size_t k = 0; k < sums[i].n; k++)
			if (!strcmp(sums[i].v[k].path, "/README.TXT"))
				assert_string_equal(item->sha256, sums[i].v[k].sha256);
		fs_list_free(&list);
		image_free(img);
	}
}

static uint64_t entry_of(struct image *img, const char *path)
{
	image_open(img, &fat_ops);
	return id_of(img->top, path);
}

static uint32_t first_of(const struct image *img, uint64_t entry)
{
	return (uint32_t)(le(img, entry + 26, 2) | le(img, entry + 20, 2) << 16);
}

static void put_fat16(struct image *img, uint32_t cluster, uint16_t value)
{
	for (unsigned k = 0; k < 2; k++)
		image_poke(img, fat_at(img, k) + 2 * cluster, &value, 2);
}

static void chains_are_checked(void **state)
{
	struct image *img = fresh(1);
	uint64_t readme = entry_of(img, "/README.TXT"),
		 deep = entry_of(img, "/Docs/inner/deep.dat");
	uint32_t a = first_of(img, readme), b = first_of(img, deep);
	struct fs_list list;

	(void)state;
	put_fat16(img, a + 1, (uint16_t)a);
	image_check(img, &fat_ops);
	assert_finding(img, FAT_CHAIN_LOOP, readme);
	assert_finding(img, FAT_LOST_CHAIN, ANYWHERE);
	assert_string_equal(image_first(img, FAT_CHAIN_LOOP)->message,
			    "the chain returns to a cluster that it had before, after 2");
	put_fat16(img, a + 1, (uint16_t)(b + 1));
	image_check(img, &fat_ops);
	assert_finding(img, FAT_CROSS_LINKED, readme);
	assert_finding(img, FAT_CROSS_LINKED, deep);
	put_fat16(img, a + 1, 0xffff);
	image_check(img, &fat_ops);
	assert_finding(img, FAT_CHAIN_BROKEN, readme);
	fs_list(img->top, false, &list);
	assert_int_equal(fs_listed(&list, "/README.TXT", false)->lost,
			 le(img, readme + 28, 4) - 2 * cluster_len(img));
	fs_list_free(&list);
	put_fat16(img, a + 1, 0xfff0);
	image_check(img, &fat_ops);
	assert_finding(img, FAT_CHAIN_BROKEN, readme);
	put_fat16(img, a + 1, (uint16_t)(a + 2));
	image_check(img, &fat_ops);
	assert_clean(img);
	image_le32(img, readme + 28, 10);
	image_check(img, &fat_ops);
	assert_finding(img, FAT_CHAIN_LONG, readme);
	image_free(img);
}

static void a_lost_folder_is_found_by_its_clusters(void **state)
{
	struct image *img = fresh(2);
	uint64_t docs = entry_of(img, "/Docs");
	struct fs_list list;
	struct fs_entry *e;
	char path[64];
	uint32_t first = first_of(img, docs);

	(void)state;
	memset(img->buf + docs, 0xe5, 1);
	memset(img->buf + docs - 32, 0xe5, 1);
	image_check(img, &fat_ops);
	assert_finding(img, FAT_LOST_CHAIN, ANYWHERE);
	fs_list(img->top, false, &list);
	snprintf(path, sizeof(path), "/$orphans/%u/inner/deep.dat", first);
	assert_non_null(fs_listed(&list, path, false));
	assert_int_equal(fs_listed(&list, path, false)->lost, 0);
	fs_list_free(&list);
	assert_int_equal(img->top->ops->fs->lookup(img->top, path, &e), 0);
	assert_string_equal(e->path, path);
	fs_entry_free(e);
	assert_owners_agree(img->top);
	image_free(img);
}

static void folders_are_checked(void **state)
{
	struct image *img = fresh(1);
	uint64_t docs = entry_of(img, "/Docs"), file1 = entry_of(img, "/Docs/file1");
	uint64_t dots = heap_at(img) + (first_of(img, docs) - 2) * cluster_len(img);
	uint64_t lfn = entry_of(img, "/A rather long name with spaces.text");
	uint8_t keep[32];

	(void)state;
	image_le32(img, docs + 28, 5);
	image_poke(img, dots + 26, "\x07", 1);
	image_check(img, &fat_ops);
	assert_finding(img, FAT_DIR_SIZE, docs + 28);
	assert_finding(img, FAT_DIR_DOTS, dots);
	image_poke(img, lfn + 1, "Q", 1);
	image_check(img, &fat_ops);
	assert_finding(img, FAT_LONG_NAME, lfn);
	memcpy(keep, img->buf + file1, 32);
	image_poke(img, file1, "a*", 2);
	image_check(img, &fat_ops);
	assert_finding(img, FAT_NAME_BAD, file1);
	image_poke(img, file1, "FILE3", 5);
	image_check(img, &fat_ops);
	assert_finding(img, FAT_NAME_TWICE, ANYWHERE);
	spoil(img, file1, 32, NOISE);
	image_check(img, &fat_ops);
	assert_finding(img, FAT_ENTRY_BAD, file1);
	image_free(img);
}

static void the_boot_sectors_company_is_checked(void **state)
{
	struct image *img = fresh(2);

	(void)state;
	img->buf[6 * 512 + 13] ^= 4;
	image_le32(img, 512 + 488, 17);
	img->buf[65] |= 3;
	image_check(img, &fat_ops);
	assert_finding(img, FAT_BACKUP_BAD, 6 * 512 + 13);
	assert_finding(img, FAT_FREE_COUNT, 512 + 488);
	assert_finding(img, FAT_DIRTY, 0);
	assert_finding(img, FAT_IO_ERRORS, 0);
	img->buf[512] = 0;
	image_check(img, &fat_ops);
	assert_finding(img, FAT_FSINFO_BAD, 512);
	image_free(img);
}

static void owners_are_named(void **state)
{
	struct image *img = fresh(2);
	uint64_t readme = entry_of(img, "/README.TXT");
	uint64_t at = heap_at(img) + (first_of(img, readme) - 2) * cluster_len(img);

	(void)state;
	assert_string_equal(fs_owner_of(img->top, at + 5), "file /README.TXT at 5");
	assert_string_equal(fs_owner_of(img->top, 0), "structure boot sector");
	assert_string_equal(fs_owner_of(img->top, 512), "structure FSInfo");
	assert_string_equal(fs_owner_of(img->top, fat_at(img, 1)), "structure second FAT");
	assert_string_equal(fs_owner_of(img->top, heap_at(img)), "structure root folder");
	assert_string_equal(fs_owner_of(img->top, img->len - 4096), "free");
	image_free(img);
}

static int count_claim(void *arg, const struct fs_owner *o)
{
	(void)o;
	++*(unsigned *)arg;
	return 0;
}

static void a_chain_that_many_files_share_is_not_followed_for_each(void **state)
{
	enum { FIRST = 4000, LAST = 7000, FILES = 200 };
	struct image *img = fresh(1);
	uint64_t root = fat_at(img, 2), last = heap_at(img) + (LAST - 2) * cluster_len(img);
	uint32_t size = (LAST - FIRST + 1) * (uint32_t)cluster_len(img);
	struct ranges wanted = {0};
	unsigned claims = 0, files = 0;

	(void)state;
	for (unsigned c = FIRST; c < LAST; c++)
		put_fat16(img, c, (uint16_t)(c + 1));
	put_fat16(img, LAST, 0xffff);
	for (uint64_t at = root; at < heap_at(img) && files < FILES; at += 32) {
		char entry[32] = "           \x20";

		if (img->buf[at])
			continue;
		snprintf(entry, 9, "SHARE%03u", files++);
		memcpy(entry + 8, "DAT\x20", 4);
		entry[26] = (char)(FIRST & 0xff);
		entry[27] = (char)(FIRST >> 8);
		memcpy(entry + 28, &size, 4);
		image_poke(img, at, entry, sizeof(entry));
	}
	assert_int_equal(files, FILES);
	image_open(img, &fat_ops);
	ranges_add(&wanted, last, 1, GRADE_LOST, LAYER_UNREADABLE);
	assert_int_equal(img->top->ops->fs->owners(img->top, &wanted, count_claim, &claims), 0);
	assert_in_range(claims, 2, 100);
	ranges_free(&wanted);
	image_free(img);
}

/* The image with sectors that can't be read, by a ddrescue map. */
static struct image *with_bad(const struct image *from, const uint64_t *sector, int n)
{
	static char path[] = "/tmp/vdiskck-fat-bad", map[] = "/tmp/vdiskck-fat-bad.map";
	FILE *f = fopen(map, "w");
	uint64_t off = 0;
	struct image *img;

	assert_non_null(f);
	fprintf(f, "0x0 +\n");
	for (int i = 0; i < n; i++) {
		fprintf(f, "0x%llx 0x%llx +\n", (unsigned long long)off,
			(unsigned long long)(sector[i] - off));
		fprintf(f, "0x%llx 0x200 -\n", (unsigned long long)sector[i]);
		off = sector[i] + 512;
	}
	fprintf(f, "0x%llx 0x%llx +\n", (unsigned long long)off,
		(unsigned long long)(from->len - off));
	fclose(f);
	image_write(from, path);
	img = image_stack_map(path, NULL, map);
	remove(path);
	remove(map);
	return img;
}

static void unreadable_sectors_cost_what_was_in_them(void **state)
{
	struct image *img = fresh(1), *bad;
	uint64_t docs = entry_of(img, "/Docs");
	uint64_t dir = heap_at(img) + (first_of(img, docs) - 2) * cluster_len(img);
	uint64_t fat[2] = {fat_at(img, 0), fat_at(img, 1)};
	struct fs_list list;

	(void)state;
	bad = with_bad(img, fat, 1);
	assert_finding(bad, FAT_COPY_LOST, fat[0]);
	fs_list(bad->top->child, false, &list);
	assert_int_equal(fs_intact(&list, &sums[1]), sums[1].n);
	fs_list_free(&list);
	image_free(bad);

	bad = with_bad(img, fat, 2);
	assert_finding(bad, FAT_TABLE_LOST, fat[0]);
	fs_list(bad->top->child, false, &list);
	assert_true(fs_listed(&list, "/README.TXT", false)->doubtful > 0);
	assert_int_equal(fs_listed(&list, "/README.TXT", false)->lost, 0);
	fs_list_free(&list);
	image_free(bad);

	bad = with_bad(img, &dir, 1);
	assert_finding(bad, FAT_DIR_LOST, ANYWHERE);
	image_free(bad);
	image_free(img);
}

static void flips_and_truncation_are_survived(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct image *img = fresh(i);
		uint64_t heap = heap_at(img), step = heap / 150 + 1;
		size_t len = img->len;

		for (uint64_t at = 0; at < 64; at++) { /* what states the sizes */
			img->buf[at] ^= (uint8_t)(1 << at % 8);
			image_check(img, &fat_ops);
			if (!img->err)
				fs_exercise(img->top);
			img->buf[at] ^= (uint8_t)(1 << at % 8);
		}
		for (uint64_t at = 64; at < heap + 4096; at += step) {
			img->buf[at] ^= (uint8_t)(1 << at % 8);
			image_check(img, &fat_ops);
			if (!img->err && at % 3 == 0)
				fs_exercise(img->top);
			img->buf[at] ^= (uint8_t)(1 << at % 8);
		}
		for (uint64_t end = 0; end < len; end = end < heap ? end + step : end * 2) {
			image_resize(img, end);
			image_check(img, &fat_ops);
			if (!img->err)
				fs_exercise(img->top);
		}
		image_free(img);
	}
}

/* fsck.fat -n of the same images found: nothing; labels (which we don't judge); lost clusters. */
static void specimens_are_judged_as_fsck_judges_them(void **state)
{
	static const struct {
		const char *path;
		unsigned files;
		enum finding_id id; /* 0: nothing is wrong */
	} all[] = {
		{"fat/dfir_ntfs-fat12.raw.gz", 1025, 0},
		{"fat/dfir_ntfs-fat16_moved.raw.gz", 5, 0},
		{"fat/dfir_ntfs-fat32_small.raw.gz", 0, 0},
		{"fat/dfir_ntfs-fat_deleted_dir.raw.gz", 0, 0},
		{"fat/dfir_ntfs-fat_dir.raw.gz", 0, FAT_LOST_CHAIN},
		{"fat/dfir_ntfs-fat_noloop.raw.gz", 4, 0},
		{"fat/dosfstools-check-bad_names.img.xz", 5, 0},
		{"fat/dosfstools-check-chain_to_other_file.img.xz", 6, 0},
		{"fat/dosfstools-check-encryption_with_invalid_83.img.xz", 0, 0},
		{"fat/rust-fatfs-fat12.img.xz", 9, 0},
		{"fat/syzkaller-msdos_0.img.xz", 6, 0},
		{"fat/syzkaller-msdos_10.img.xz", 6, 0},
		{"fat/util-linux-fat.img.xz", 1, 0},
		{"fat/util-linux-fat16_noheads.img.xz", 0, FAT_TRUNCATED},
		{"fat/util-linux-fat32_mkdosfs_label1.img.xz", 1, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		const char *path = corpus_file(all[i].path);
		struct image *img;
		struct fs_list list;

		if (!path)
			skip();
		img = image_path(path);
		image_check(img, &fat_ops);
		assert_int_equal(img->err, 0);
		if (!all[i].id && image_worse(img, BLEMISH)) {
			image_print(img);
			fail_msg("%s", all[i].path);
		}
		if (all[i].id)
			assert_finding(img, all[i].id, ANYWHERE);
		fs_list(img->top, false, &list);
		if (list.n + 1 < all[i].files) /* fsck.fat counts the root, or the label */
			fail_msg("%s: %zu of %u files", all[i].path, list.n, all[i].files);
		fs_list_free(&list);
		fs_exercise(img->top);
		image_free(img);
	}
	corpus_file(NULL);
}

/* What the origin's own tool lists, deleted files as well. */
static void a_deleted_folder_is_walked(void **state)
{
	const char *path = corpus_file("fat/dfir_ntfs-fat_deleted_dir.raw.gz");
	struct image *img;
	struct fs_list list;

	(void)state;
	if (!path)
		skip();
	img = image_path(path);
	image_check(img, &fat_ops);
	fs_list(img->top, true, &list);
	if (list.n < 500)
		fail_msg("%zu deleted entries; fls finds 504", list.n);
	fs_list_free(&list);
	image_free(img);
	corpus_file(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_file_is_there_as_it_was_put_in),
		cmocka_unit_test(paths_are_looked_up_without_case),
		cmocka_unit_test(deleted_files_come_back),
		cmocka_unit_test(a_lost_boot_sector_is_read_from_its_copy),
		cmocka_unit_test(a_volume_that_was_cut_short_says_so),
		cmocka_unit_test(without_any_boot_sector_the_fats_tell),
		cmocka_unit_test(one_fat_is_enough),
		cmocka_unit_test(without_fats_files_are_guessed),
		cmocka_unit_test(chains_are_checked),
		cmocka_unit_test(a_lost_folder_is_found_by_its_clusters),
		cmocka_unit_test(folders_are_checked),
		cmocka_unit_test(the_boot_sectors_company_is_checked),
		cmocka_unit_test(owners_are_named),
		cmocka_unit_test(a_chain_that_many_files_share_is_not_followed_for_each),
		cmocka_unit_test(unreadable_sectors_cost_what_was_in_them),
		cmocka_unit_test(flips_and_truncation_are_survived),
		cmocka_unit_test(specimens_are_judged_as_fsck_judges_them),
		cmocka_unit_test(a_deleted_folder_is_walked),
	};

	return cmocka_run_group_tests(tests, make_all, free_all);
}
