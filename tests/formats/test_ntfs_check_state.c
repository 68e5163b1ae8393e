/* SPDX-License-Identifier: Apache-2.0 */
/* What the check of NTFS finds in copies, constants, logs and the volume's state; volumes of others. */
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/ntfs_check.h"
#include "tests/lib/corpus.h"
#include "tests/lib/ntfs_volume.h"

static struct ntfs_volume *volume;

/* ---- copies and constants ---- */

static void copies_in_the_mirror(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	struct ntfs *n = img->top->priv;
	uint64_t mirr = n->g.mirr_lcn * n->g.cluster;

	(void)state;
	ntfs_flip(img, mirr + 1024 + 8, 1);
	ntfs_flip(img, mirr + 3 * 1024, 1);
	ntfs_expect(img, NTFS_MIRROR_DIFFERS, mirr + 1024);
	assert_finding(img, NTFS_MIRROR_BAD, mirr + 3 * 1024);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	image_free(img);
}

static void the_copy_of_the_boot_sector(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t at = ((struct ntfs *)img->top->priv)->g.sectors * 512;

	(void)state;
	ntfs_flip(img, at + 0x50, 1);
	ntfs_expect(img, NTFS_BACKUP_BOOT, at);
	ntfs_flip(img, at + 0x50, 1);
	ntfs_flip(img, at + 0x0e, 1);
	ntfs_flip(img, 0x0e, 1);
	ntfs_expect(img, NTFS_BOOT_VALUE, 0x0e);
	assert_int_equal(img->n_seen, 1);
	image_free(img);
}

static void security_descriptors(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t first = ntfs_at_stream(img, NTFS_SECURE, NTFS_DATA, "$SDS", 0);
	uint64_t copy = ntfs_at_stream(img, NTFS_SECURE, NTFS_DATA, "$SDS", 0x40000);

	(void)state;
	ntfs_flip(img, copy + 0x20, 4);
	ntfs_expect(img, NTFS_SECURE_COPY, copy);
	assert_int_equal(img->n_seen, 1);
	ntfs_flip(img, first + 0x24, 4);
	ntfs_expect(img, NTFS_SECURE_LOST, first);
	ntfs_flip(img, copy + 0x20, 4);
	ntfs_expect(img, NTFS_SECURE_COPY, first);
	image_free(img);
}

static void tables_that_are_the_same_everywhere(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t e_grave = ntfs_at_stream(img, NTFS_UPCASE_FILE, NTFS_DATA, "", 2 * 0xc9);

	(void)state;
	image_poke(img, e_grave, "c\0", 2);
	ntfs_expect(img, NTFS_UPCASE_VALUE, e_grave);
	image_free(img);
	img = ntfs_volume_fresh(volume);
	ntfs_flip(img, ntfs_at_stream(img, NTFS_ATTRDEF, NTFS_DATA, "", 4), 1);
	ntfs_expect(img, NTFS_ATTRDEF_VALUE, ntfs_at_record(img, NTFS_ATTRDEF));
	image_free(img);
}

/* ---- the state of the volume ---- */

static void a_dirty_volume_is_no_damage(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	struct ntfs_attr a;

	(void)state;
	ntfs_at_attr(img, NTFS_VOLUME, 0x70, "", &a);
	ntfs_flip(img, ntfs_at_record(img, NTFS_VOLUME) + a.value.addr + 10, 1);
	ntfs_expect(img, NTFS_DIRTY, ntfs_at_record(img, NTFS_VOLUME));
	assert_int_equal(image_worse(img, DAMAGE), 0);
	image_free(img);
}

static void a_system_that_sleeps(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t at = ntfs_at_stream(img, ntfs_id_of(img, "/hiberfil.sys"), NTFS_DATA, "", 0);

	(void)state;
	image_poke(img, at, "HIBR", 4);
	ntfs_expect(img, NTFS_HIBERNATED, 0);
	assert_int_equal(image_worse(img, BLEMISH), 0);
	image_free(img);
}

/* A restart page of 4 KiB, its fixups done. */
static void restart_page(uint8_t *p, bool in_use)
{
	memset(p, 0, 4096);
	memcpy(p, "RSTR\x1e\0\x09\0", 8);
	memcpy(p + 0x10, "\0\x10\0\0\0\x10\0\0\x30\0\1\0\1\0", 14);
	memcpy(p + 0x1e, "\1\0", 2);
	memcpy(p + 0x30, "\x00\x10\0\0\0\0\0\0\1\0\xff\xff", 12);
	memcpy(p + 0x3c, in_use ? "\0\0" : "\xff\xff", 2);
	memcpy(p + 0x40, "\x2d\0\0\0\x20\0\x20\0\0\0\x01\0", 12);
	for (int i = 1; i <= 8; i++)
		memcpy(p + i * 512 - 2, "\1\0", 2);
}

static void the_log(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t log = ntfs_at_stream(img, NTFS_LOGFILE, NTFS_DATA, "", 0);
	uint64_t record = ntfs_at_record(img, NTFS_LOGFILE);

	(void)state;
	restart_page(img->buf + log, false);
	restart_page(img->buf + log + 4096, false);
	image_check(img, &ntfs_ops);
	assert_int_equal(img->n_seen, 0);
	/* A page that is from two writes. */
	memset(img->buf + log + 0x4000, 0, 4096);
	memcpy(img->buf + log + 0x4000, "RCRD\x28\0\x09\0", 8);
	memcpy(img->buf + log + 0x4028, "\5\0", 2);
	ntfs_expect(img, NTFS_LOG_PAGE, log + 0x4000);
	memset(img->buf + log + 0x4000, 0xff, 4096);
	/* One restart page is enough. */
	ntfs_flip(img, log, 1);
	ntfs_expect(img, NTFS_LOG_RESTART, log);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	restart_page(img->buf + log, true);
	restart_page(img->buf + log + 4096, true);
	ntfs_expect(img, NTFS_LOG_DIRTY, record);
	assert_int_equal(image_worse(img, BLEMISH), 0);
	ntfs_flip(img, log, 1);
	ntfs_flip(img, log + 4096, 1);
	ntfs_expect(img, NTFS_LOG_LOST, record);
	image_free(img);
}

static void replace_name(struct image *img, uint64_t at, size_t len)
{
	static const uint8_t from[] = "R\0e\0p\0a\0r\0s\0e", to[] = "U\0s\0n\0J\0r\0n\0l";
	uint8_t *p = memmem(img->buf + at, len, from, sizeof(from));

	assert_non_null(p);
	memcpy(p, to, sizeof(to));
}

/* ntfs-3g makes no journal: $Reparse becomes one, whose $J holds anything but records. */
static void a_journal_that_holds_no_records(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t id = ntfs_id_of(img, "/$Extend/$Reparse"), at = ntfs_at_record(img, id);
	struct ntfs_attr a;
	uint64_t root = ntfs_at_attr(img, id, NTFS_INDEX_ROOT, "$R", &a);

	(void)state;
	replace_name(img, ntfs_at_record(img, NTFS_EXTEND), 1024);
	replace_name(img, at, 1024);
	image_le32(img, root, NTFS_DATA);
	img->buf[at + a.name.addr + 2] = 'J';
	image_check(img, &ntfs_ops);
	assert_int_equal(image_seen(img, NTFS_USN, ANYWHERE), 1);
	image_free(img);
}

/* ---- the journal by itself ---- */

struct breaks {
	size_t n;
	uint64_t off;
};

static void count(void *arg, uint64_t off, const char *why)
{
	struct breaks *b = arg;

	(void)why;
	if (!b->n++)
		b->off = off;
}

/* Two pages of records of 0x60 bytes, the rest of each page zero. */
static void build_journal(uint8_t *p)
{
	memset(p, 0, 8192);
	for (size_t page = 0; page < 8192; page += 4096)
		for (size_t i = 0; i + 0x60 <= 4096 - 64; i += 0x60) {
			uint64_t usn = page + i;

			memcpy(p + usn, "\x60\0\0\0\2\0\0\0", 8);
			memcpy(p + usn + 0x18, &usn, 8);
		}
}

static void a_journal_goes_on_where_it_must(void **state)
{
	static uint8_t p[8192];
	struct session s;
	struct layer *j;
	struct breaks b = {0};
	uint64_t records;

	(void)state;
	session_init(&s);
	j = memory_source(&s, "j", p, sizeof(p));
	build_journal(p);
	assert_int_equal(ntfs_usn_check(j, count, &b, &records), 0);
	assert_int_equal(b.n, 0);
	assert_int_equal(records, 84);
	p[4096 + 0x60 + 0x18] ^= 8; /* a record that was elsewhere */
	ntfs_usn_check(j, count, &b, &records);
	assert_true(b.n == 1 && b.off == 4096 + 0x60);
	build_journal(p);
	memset(p + 0x60, 0, 0x60); /* one that is gone */
	b = (struct breaks){0};
	ntfs_usn_check(j, count, &b, &records);
	assert_true(b.n == 1 && b.off == 0x60);
	layer_free(j);
	session_fini(&s);
}

/* ---- volumes and logs of Windows, and of others ---- */

static void volumes_of_others_have_no_damage(void **state)
{
	static const char *const names[] = {
		"ntfs/colinfinck-testfs1.img.xz", "ntfs/syzkaller-ntfs3_0.img.xz",
		"ntfs/syzkaller-ntfs3_10.img.xz", "ntfs/syzkaller-ntfs3_14.img.xz"};
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *path = corpus_file(names[i]);
		struct image *img = path ? image_file(path) : NULL;

		if (!img)
			continue;
		image_check(img, &ntfs_ops);
		if (image_worse(img, DAMAGE))
			image_print(img);
		assert_int_equal(image_worse(img, DAMAGE), 0);
		image_free(img);
		n++;
	}
	corpus_file(NULL);
	if (!n)
		skip();
}

/* Linux's ntfs3, not unmounted in order: fls finds /test/1.txt in no folder, too. */
static void a_file_that_its_folder_does_not_name(void **state)
{
	const char *path = corpus_file("ntfs/dfir_ntfs-ntfs3.raw.gz");
	struct image *img = path ? image_file(path) : NULL;

	(void)state;
	if (!img)
		skip();
	image_check(img, &ntfs_ops);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	assert_non_null(strstr(image_first(img, NTFS_INDEX_MISSING)->message, "/test/1.txt"));
	image_free(img);
	corpus_file(NULL);
}

static void logs_of_windows_are_whole(void **state)
{
	static const char *const names[] = {"ntfs/dfir_ntfs-LogFile_7.bin.xz",
					    "ntfs/dfir_ntfs-LogFile_10.bin.xz",
					    "ntfs/dfir_ntfs-LogFile_empty.bin.xz"};
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		const char *path = corpus_file(names[i]);
		struct image *img = path ? image_file(path) : NULL;
		struct session s;
		struct layer *file;
		struct ntfs_log log;

		if (!img)
			continue;
		session_init(&s);
		file = memory_source(&s, "log", img->buf, img->len);
		assert_int_equal(ntfs_log_read(file, true, NULL, NULL, &log), 0);
		print_message("%s: state %d, version %u.%u, %u pages, %u bad\n", names[i],
			      log.state, log.major, log.minor, log.pages, log.pages_bad);
		assert_true(log.state != NTFS_LOG_NONE);
		assert_true(!log.pages_bad && !log.restart_bad);
		layer_free(file);
		session_fini(&s);
		image_free(img);
		n++;
	}
	corpus_file(NULL);
	if (!n)
		skip();
}

static int setup(void **state)
{
	(void)state;
	volume = ntfs_volume_make("-c 4096", "24M");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ntfs_volume_free(volume);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_in_the_mirror),
		cmocka_unit_test(the_copy_of_the_boot_sector),
		cmocka_unit_test(security_descriptors),
		cmocka_unit_test(tables_that_are_the_same_everywhere),
		cmocka_unit_test(a_dirty_volume_is_no_damage),
		cmocka_unit_test(a_system_that_sleeps),
		cmocka_unit_test(the_log),
		cmocka_unit_test(a_journal_that_holds_no_records),
		cmocka_unit_test(a_journal_goes_on_where_it_must),
		cmocka_unit_test(volumes_of_others_have_no_damage),
		cmocka_unit_test(a_file_that_its_folder_does_not_name),
		cmocka_unit_test(logs_of_windows_are_whole),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
