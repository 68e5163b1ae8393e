/* SPDX-License-Identifier: Apache-2.0 */
/* exFAT: made by mkfs.exfat, filled here, judged by fsck.exfat as well. */
#include <errno.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/exfat.h"
#include "tests/lib/corpus.h"
#include "tests/lib/disk_build.h"
#include "tests/lib/fs_list.h"

/* --- a writer, as small as can be --- */

struct ex {
	struct image *img;
	uint64_t fat, heap, bitmap;
	uint32_t unit, next; /* cluster: bytes; the next one that is free */
};

static uint32_t get32(const struct ex *x, uint64_t at)
{
	uint32_t v;

	memcpy(&v, x->img->buf + at, 4);
	return v;
}

static uint64_t cluster_at(const struct ex *x, uint32_t cluster)
{
	return x->heap + (uint64_t)(cluster - 2) * x->unit;
}

static void look_at(struct ex *x, struct image *img)
{
	uint64_t root;

	x->img = img;
	x->unit = 512u << img->buf[109];
	x->fat = 512 * (uint64_t)get32(x, 80);
	x->heap = 512 * (uint64_t)get32(x, 88);
	root = cluster_at(x, get32(x, 96));
	for (uint64_t at = root;; at += 32)
		if (img->buf[at] == EXFAT_BITMAP) {
			x->bitmap = cluster_at(x, get32(x, at + 20));
			break;
		}
	x->next = 64;
}

static uint32_t take(struct ex *x, uint32_t n, uint32_t gap)
{
	uint32_t first = x->next;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t bit = first - 2 + i * gap;

		x->img->buf[x->bitmap + bit / 8] |= (uint8_t)(1 << bit % 8);
		if (gap > 1)
			image_le32(x->img, x->fat + 4 * (uint64_t)(first + i * gap),
				   i + 1 < n ? first + (i + 1) * gap : UINT32_MAX);
	}
	x->next += n * gap;
	return first;
}

static uint16_t turn(uint16_t sum, uint8_t b)
{
	return (uint16_t)((sum << 15 | sum >> 1) + b);
}

static void seal_set(struct image *img, uint64_t at)
{
	uint16_t sum = exfat_set_sum(img->buf + at, (1u + img->buf[at + 1]) * 32u);

	image_poke(img, at + 2, &sum, 2);
}

/* A file of ASCII name at entry address @at: its first cluster. @gap 1: no chain. */
static uint32_t put_file(struct ex *x, uint64_t at, const char *name, const void *data,
			 uint32_t len, uint32_t gap, bool dir)
{
	uint8_t e[19 * 32] = {0}, names = (uint8_t)((strlen(name) + 14) / 15);
	uint32_t n = (len + x->unit - 1) / x->unit, first = n ? take(x, n, gap) : 0;
	uint64_t size = dir ? (uint64_t)n * x->unit : len;
	uint16_t hash = 0;

	e[0] = EXFAT_FILE;
	e[1] = (uint8_t)(1 + names);
	e[4] = dir ? 0x10 : 0x20;
	memcpy(e + 12, "\x00\x60\x21\x58", 4);
	e[32] = EXFAT_STREAM;
	e[33] = gap == 1 && n ? 3 : 1;
	e[35] = (uint8_t)strlen(name);
	for (size_t i = 0; name[i]; i++) {
		uint8_t c = (uint8_t)name[i], up = c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;

		e[64 + i / 15 * 32 + 2 + i % 15 * 2] = c;
		hash = turn(turn(hash, up), 0);
	}
	for (int i = 0; i < names; i++)
		e[64 + i * 32] = EXFAT_NAME;
	memcpy(e + 36, &hash, 2);
	memcpy(e + 40, &size, 8);
	memcpy(e + 52, &first, 4);
	memcpy(e + 56, &size, 8);
	image_poke(x->img, at, e, (2u + names) * 32u);
	seal_set(x->img, at);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t piece = len - i * x->unit < x->unit ? len - i * x->unit : x->unit;

		image_poke(x->img, cluster_at(x, first + i * gap),
			   (const uint8_t *)data + i * x->unit, piece);
	}
	return first;
}

/* --- one volume for all tests --- */

static struct image *good;
static uint64_t root_at, dir_at, whole_at, chained_at, inner_at, empty_at;
static uint8_t data[60000];

static int make(void **state)
{
	struct fs_sums none;
	struct ex x;
	uint8_t zero[8192] = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	good = fs_made("truncate -s 8M disk; mkfs.exfat -c 4096 -L VOLUME disk", &none);
	if (!good)
		return 0;
	look_at(&x, good);
	root_at = cluster_at(&x, get32(&x, 96));
	for (whole_at = root_at; good->buf[whole_at]; whole_at += 32)
		;
	put_file(&x, whole_at, "In one piece.bin", data, 50001, 1, false);
	chained_at = whole_at + 4 * 32;
	put_file(&x, chained_at, "chained", data, 20000, 2, false);
	empty_at = chained_at + 3 * 32;
	put_file(&x, empty_at, "EMPTY", NULL, 0, 1, false);
	dir_at = empty_at + 3 * 32;
	inner_at = cluster_at(&x, put_file(&x, dir_at, "Folder", zero, 8192, 1, true));
	/* A set that goes on in the folder's second cluster. */
	for (uint64_t at = inner_at; at < inner_at + 4096 - 32; at += 32)
		good->buf[at] = 0x60;
	inner_at += 4096 - 32;
	put_file(&x, inner_at, "inner file.dat", data + 7, 12345, 3, false);
	return 0;
}

static int drop(void **state)
{
	(void)state;
	if (good)
		image_free(good);
	return 0;
}

static struct image *fresh(void)
{
	struct image *img;

	if (!good)
		skip();
	img = image_new(good->len);
	memcpy(img->buf, good->buf, img->len);
	return img;
}

static void assert_data(struct layer *fs, const char *path, const uint8_t *want, size_t len)
{
	static uint8_t buf[sizeof(data)];
	struct fs_entry *e = NULL;
	struct layer *file = NULL;
	struct ranges bad = {0};

	assert_int_equal(fs->ops->fs->lookup(fs, path, &e), 0);
	assert_int_equal(e->size, len);
	assert_int_equal(fs->ops->fs->open_file(fs, e, &file), 0);
	assert_int_equal(layer_read(file, 0, buf, len, &bad), 0);
	assert_int_equal(bad.n, 0);
	assert_memory_equal(buf, want, len);
	layer_free(file);
	fs_entry_free(e);
}

static void assert_all(struct layer *fs)
{
	assert_data(fs, "/In one piece.bin", data, 50001);
	assert_data(fs, "/CHAINED", data, 20000);
	assert_data(fs, "/empty", data, 0);
	assert_data(fs, "/folder/INNER FILE.dat", data + 7, 12345);
}

static void files_are_read(void **state)
{
	struct image *img = fresh();
	struct fs_list list;
	struct fs_entry *e;

	(void)state;
	assert_true(disk_tool(img, "fsck.exfat -n $DISK"));
	image_discover(img);
	assert_string_equal(img->source->child->ops->name, "exfat");
	assert_clean(img);
	assert_all(img->source->child);
	assert_owners_agree(img->source->child);
	fs_list(img->source->child, false, &list);
	assert_int_equal(list.n, 5);
	assert_int_equal(fs_listed(&list, "/chained", false)->e->modified.sec, 1704110400);
	fs_list_free(&list);
	assert_int_equal(exfat_lookup(img->source->child, "/chained/x", &e), -ENOTDIR);
	assert_int_equal(exfat_lookup(img->source->child, "/none", &e), -ENOENT);
	image_free(img);
}

static void either_boot_region_is_enough(void **state)
{
	struct image *img = fresh();

	(void)state;
	img->buf[3] = 0;
	image_discover(img);
	assert_finding(img, EXFAT_BOOT_LOST, 0);
	assert_all(img->source->child);
	memcpy(img->buf, good->buf, 512);
	img->buf[92] ^= 1; /* makes sense, but not with the checksum */
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_BOOT_LOST, 0);
	assert_all(img->top);
	img->buf[92] ^= 1;
	img->buf[12 * 512 + 92] ^= 1;
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_BACKUP_BAD, 12 * 512);
	img->buf[106] |= 6; /* outside of the checksum */
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_DIRTY, 106);
	assert_finding(img, EXFAT_MEDIA_FAILED, 106);
	image_resize(img, img->len / 2);
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_TRUNCATED, 0);
	image_free(img);
}

static void sets_are_checked(void **state)
{
	struct image *img = fresh();
	uint64_t big = 1 << 20;

	(void)state;
	img->buf[chained_at + 5] ^= 1;
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_SET_SUM, chained_at);
	assert_all(img->top);
	img->buf[chained_at + 5] ^= 1;
	img->buf[chained_at + 36] ^= 1;
	seal_set(img, chained_at);
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_NAME_HASH, chained_at);
	img->buf[chained_at + 66] = '*';
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_NAME_BAD, chained_at);
	img->buf[chained_at + 35] = 40;
	img->buf[whole_at + 64] = 0x60;
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_SET_BAD, chained_at);
	image_free(img);

	img = fresh();
	image_poke(img, chained_at + 40, &big, 8);
	seal_set(img, chained_at);
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_LENGTH_BAD, chained_at);
	memcpy(img->buf + empty_at + 32, img->buf + chained_at + 32, 64);
	seal_set(img, empty_at);
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_NAME_TWICE, empty_at);
	assert_finding(img, EXFAT_CROSS_LINKED, chained_at);
	img->buf[dir_at + 5 * 32] = 0x05;
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_BEHIND_END, dir_at + 5 * 32);
	image_free(img);
}

static void clusters_are_checked(void **state)
{
	struct image *img = fresh();
	struct ex x;
	uint32_t first, whole;

	(void)state;
	look_at(&x, img);
	first = get32(&x, chained_at + 52);
	whole = get32(&x, whole_at + 52);
	image_le32(img, x.fat + 4 * (first + 2), first);
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_CHAIN_LOOP, chained_at);
	image_le32(img, x.fat + 4 * (first + 2), UINT32_MAX);
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_CHAIN_BROKEN, chained_at);
	assert_finding(img, EXFAT_LOST_CLUSTERS, ANYWHERE);
	image_le32(img, x.fat + 4 * (first + 2), whole);
	image_check(img, &exfat_ops);
	/* The other file needs no chain: what lies there has none to go on in. */
	assert_finding(img, EXFAT_CHAIN_BROKEN, chained_at);
	image_free(img);

	img = fresh();
	x.img = img;
	img->buf[x.bitmap + (whole - 2) / 8] &= (uint8_t) ~(1 << (whole - 2) % 8);
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_NOT_ALLOCATED, whole_at);
	image_le32(img, whole_at + 52, 0x12345678);
	seal_set(img, whole_at);
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_CLUSTER_BAD, whole_at);
	image_le32(img, chained_at + 56, 4096);
	image_le32(img, chained_at + 40, 4096);
	seal_set(img, chained_at);
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_CHAIN_LONG, chained_at);
	image_free(img);
}

static void tables_are_checked(void **state)
{
	struct image *img = fresh();
	uint64_t at = root_at, upcase = 0, bitmap = 0;

	(void)state;
	for (; img->buf[at]; at += 32) {
		upcase = img->buf[at] == EXFAT_UPCASE ? at : upcase;
		bitmap = img->buf[at] == EXFAT_BITMAP ? at : bitmap;
	}
	img->buf[upcase + 4] ^= 1;
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_UPCASE_BAD, upcase);
	assert_all(img->top);
	image_le32(img, bitmap + 24, 5);
	image_check(img, &exfat_ops);
	assert_finding(img, EXFAT_BITMAP_LOST, bitmap);
	assert_all(img->top);
	image_free(img);
}

static void deleted_files_come_back(void **state)
{
	struct image *img = fresh();
	struct fs_list list;
	const struct fs_item *item;
	struct ex x;
	uint32_t first;

	(void)state;
	look_at(&x, img);
	for (int i = 0; i < 4; i++)
		img->buf[whole_at + (unsigned)i * 32] &= 0x7f;
	for (int i = 0; i < 3; i++)
		img->buf[chained_at + (unsigned)i * 32] &= 0x7f;
	/* Windows and Linux clear the bitmap only. */
	first = get32(&x, whole_at + 52);
	for (uint32_t c = first; c < first + 13; c++)
		img->buf[x.bitmap + (c - 2) / 8] &= (uint8_t) ~(1 << (c - 2) % 8);
	first = get32(&x, chained_at + 52);
	for (uint32_t c = first; c < first + 10; c += 2)
		img->buf[x.bitmap + (c - 2) / 8] &= (uint8_t) ~(1 << (c - 2) % 8);
	image_check(img, &exfat_ops);
	assert_clean(img);
	fs_list(img->top, true, &list);
	item = fs_listed(&list, "/In one piece.bin", true);
	assert_non_null(item);
	assert_int_equal(item->e->data_sure, FS_GUESSED);
	assert_int_equal(item->e->overwritten, 0);
	assert_data(img->top, "/In one piece.bin", data, 50001);
	assert_data(img->top, "/chained", data, 20000);
	fs_list_free(&list);
	image_free(img);
}

static void an_unreadable_folder_is_told(void **state)
{
	static char path[] = "/tmp/vdiskck-exfat-bad", map[] = "/tmp/vdiskck-exfat-bad.map";
	struct image *img = fresh(), *bad;
	FILE *f = fopen(map, "w");

	(void)state;
	fprintf(f, "0x0 +\n0x0 0x%llx +\n0x%llx 0x200 -\n0x%llx 0x%llx +\n",
		(unsigned long long)inner_at - 480, (unsigned long long)inner_at - 480,
		(unsigned long long)inner_at + 32, (unsigned long long)(img->len - inner_at - 32));
	fclose(f);
	image_write(img, path);
	bad = image_stack_map(path, NULL, map);
	assert_finding(bad, EXFAT_DIR_LOST, ANYWHERE);
	remove(path);
	remove(map);
	image_free(bad);
	image_free(img);
}

static void flips_and_truncation_are_survived(void **state)
{
	struct image *img = fresh();
	static const uint64_t spot[][2] = {{64, 120}, {1, 0}, {2, 0}};
	uint64_t len = img->len;

	(void)state;
	for (int k = 0; k < 3; k++) {
		uint64_t from = k == 1 ? root_at : k == 2 ? inner_at : spot[0][0];
		uint64_t end = k ? from + 448 : spot[0][1];

		for (uint64_t at = from; at < end; at++)
			for (int bit = 0; bit < 8; bit += 3) {
				img->buf[at] ^= (uint8_t)(1 << bit);
				image_check(img, &exfat_ops);
				if (!img->err)
					fs_exercise(img->top);
				img->buf[at] ^= (uint8_t)(1 << bit);
			}
	}
	for (uint64_t end = 0; end < len; end = end ? end * 3 / 2 : 512) {
		image_resize(img, end);
		image_check(img, &exfat_ops);
		if (!img->err)
			fs_exercise(img->top);
	}
	image_free(img);
}

/* Verdicts of fsck.exfat, and of the test that each image comes from. */
static void specimens_are_judged_as_fsck_judges_them(void **state)
{
	static const struct {
		const char *path;
		unsigned files;
		enum finding_id id; /* 0: nothing is wrong */
	} all[] = {
		{"exfat/dfir_ntfs-exfat_win.raw.gz", 702, 0},
		{"exfat/go-exfat-test.img.xz", 10, 0},
		{"exfat/syzkaller-exfat_0.img.xz", 5, 0},
		{"exfat/exfatprogs-bad_bitmap_size.img.tar.xz", 0, EXFAT_BITMAP_LOST},
		{"exfat/exfatprogs-bad_dentries2.img.tar.xz", 0, EXFAT_SET_BAD},
		{"exfat/exfatprogs-bad_first_clu.img.tar.xz", 0, EXFAT_CLUSTER_BAD},
		{"exfat/exfatprogs-bad_root.img.tar.xz", 0, EXFAT_CHAIN_BROKEN},
		{"exfat/exfatprogs-de_bad_csum.img.tar.xz", 0, EXFAT_SET_SUM},
		{"exfat/exfatprogs-duplicated_name.img.tar.xz", 0, EXFAT_NAME_TWICE},
		{"exfat/exfatprogs-invalid_name.img.tar.xz", 0, EXFAT_SET_BAD},
		{"exfat/exfatprogs-loop_chain.img.tar.xz", 0, EXFAT_CHAIN_LOOP},
		{"exfat/exfatprogs-unused-dentries.img.tar.xz", 460, EXFAT_BEHIND_END},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		const char *path = corpus_file(all[i].path);
		static char plain[64], command[256];
		struct image *img;
		struct fs_list list;

		if (!path)
			skip();
		if (strstr(all[i].path, ".tar")) {
			snprintf(plain, sizeof(plain), "%s.img", path);
			snprintf(command, sizeof(command), "tar -xOf %s >%s", path, plain);
			assert_int_equal(system(command), 0);
			path = plain;
		}
		img = image_path(path);
		image_check(img, &exfat_ops);
		assert_int_equal(img->err, 0);
		if (!all[i].id && image_worse(img, BLEMISH)) {
			image_print(img);
			fail_msg("%s", all[i].path);
		}
		if (all[i].id)
			assert_finding(img, all[i].id, ANYWHERE);
		fs_list(img->top, false, &list);
		if (list.n < all[i].files)
			fail_msg("%s: %zu of %u files", all[i].path, list.n, all[i].files);
		fs_list_free(&list);
		fs_exercise(img->top);
		image_free(img);
		if (path == plain)
			remove(plain);
	}
	corpus_file(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_read),
		cmocka_unit_test(either_boot_region_is_enough),
		cmocka_unit_test(sets_are_checked),
		cmocka_unit_test(clusters_are_checked),
		cmocka_unit_test(tables_are_checked),
		cmocka_unit_test(deleted_files_come_back),
		cmocka_unit_test(an_unreadable_folder_is_told),
		cmocka_unit_test(flips_and_truncation_are_survived),
		cmocka_unit_test(specimens_are_judged_as_fsck_judges_them),
	};

	return cmocka_run_group_tests(tests, make, drop);
}
