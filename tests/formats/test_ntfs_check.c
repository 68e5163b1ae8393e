/* SPDX-License-Identifier: Apache-2.0 */
/* What the check of NTFS finds: one thing damaged in each test, on a volume that ntfs-3g wrote. */
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/ntfs_check.h"
#include "tests/lib/corpus.h"
#include "tests/lib/ntfs_volume.h"

static struct ntfs_volume *volume;

enum { CLUSTER = 4096 };

/* A fresh copy of the volume, open; NULL: no volume can be made here. */
static struct image *fresh(void)
{
	struct image *img;

	if (!volume)
		skip();
	img = image_new(volume->len);
	memcpy(img->buf, volume->bytes, volume->len);
	image_open(img, &ntfs_ops);
	assert_int_equal(img->err, 0);
	return img;
}

static uint64_t id_of(struct image *img, const char *path)
{
	struct fs_entry *e;
	uint64_t id;

	assert_int_equal(img->top->ops->fs->lookup(img->top, path, &e), 0);
	id = e->id;
	fs_entry_free(e);
	return id;
}

static uint64_t record_at(struct image *img, uint64_t number)
{
	return ntfs_record_at(img->top->priv, number, 0);
}

/* Where an attribute lies in the volume, and what it says. Small volumes have no other records. */
static uint64_t attr_at(struct image *img, uint64_t number, uint32_t type, const char *name,
			struct ntfs_attr *a)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	const struct ntfs_attr *found;

	assert_int_equal(ntfs_inode_load(img->top, number, ino), 0);
	found = ntfs_inode_find(ino, type, name);
	assert_non_null(found);
	*a = *found; /* the spans are of no use any more, but their addr is */
	ntfs_inode_free(ino);
	free(ino);
	return record_at(img, number) + a->at;
}

/* Byte @off of a stream in the volume. */
static uint64_t stream_at(struct image *img, uint64_t number, uint32_t type, const char *name,
			  uint64_t off)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	const struct ntfs_attr *a;
	struct layer *file;
	struct extent run;

	assert_int_equal(ntfs_inode_load(img->top, number, ino), 0);
	a = ntfs_inode_find(ino, type, name);
	assert_non_null(a);
	assert_int_equal(ntfs_stream_open(img->top, ino, type, a->name, "", &file), 0);
	assert_int_equal(layer_map(file, off, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	layer_free(file);
	ntfs_inode_free(ino);
	free(ino);
	return run.at;
}

static void flip(struct image *img, uint64_t at, uint8_t bits)
{
	img->buf[at] ^= bits;
}

static void expect(struct image *img, enum finding_id id, uint64_t at)
{
	image_check(img, &ntfs_ops);
	assert_finding(img, id, at);
}

static void a_volume_of_ntfs_3g_is_clean(void **state)
{
	struct image *img = fresh();

	(void)state;
	image_check(img, &ntfs_ops);
	assert_clean(img);
	assert_int_equal(img->n_seen, 0);
	image_free(img);
}

static void every_cluster_size_is_clean(void **state)
{
	static const char *const options[] = {"-c 512", "-c 1024", "-c 65536", "-s 4096 -c 4096"};

	(void)state;
	for (size_t i = 0; volume && i < 4; i++) {
		struct ntfs_volume *v = ntfs_volume_make(options[i], "40M");
		struct image *img = image_new(v->len);

		memcpy(img->buf, v->bytes, v->len);
		image_check(img, &ntfs_ops);
		assert_clean(img);
		image_free(img);
		ntfs_volume_free(v);
	}
}

/* ---- records ---- */

static void attributes_out_of_order(void **state)
{
	struct image *img = fresh();
	struct ntfs_attr a;
	uint64_t id = id_of(img, "/small/s3.txt");
	uint64_t name = attr_at(img, id, NTFS_FILE_NAME, "", &a);
	uint64_t info = attr_at(img, id, NTFS_STANDARD_INFORMATION, "", &a);

	(void)state;
	image_le32(img, info, 0x40);
	expect(img, NTFS_RECORD_RULE, name);
	image_free(img);
}

static void a_record_without_an_end(void **state)
{
	struct image *img = fresh();
	struct ntfs_attr a;
	uint64_t at = attr_at(img, id_of(img, "/small/s3.txt"), NTFS_DATA, "", &a);

	(void)state;
	image_le32(img, at + 4, 0x12345678);
	expect(img, NTFS_RECORD_RULE, at);
	image_free(img);
}

static void sizes_that_contradict_one_another(void **state)
{
	struct image *img = fresh();
	struct ntfs_attr a;
	uint64_t at = attr_at(img, id_of(img, "/big/b5.bin"), NTFS_DATA, "", &a);

	(void)state;
	image_le64(img, at + 0x38, a.size + 1);
	expect(img, NTFS_SIZES, at + 0x30);
	image_free(img);
}

static void runs_that_end_too_early(void **state)
{
	struct image *img = fresh();
	struct ntfs_attr a;
	uint64_t at = attr_at(img, id_of(img, "/big/b5.bin"), NTFS_DATA, "", &a);

	(void)state;
	image_le64(img, at + 0x18, a.highest_vcn + 1);
	expect(img, NTFS_PAIRS, at + 0x18);
	image_free(img);
}

/* Give /big/b5.bin (49 clusters) one run at another place. Returns where the runs are. */
static uint64_t move_b5(struct image *img, uint32_t lcn)
{
	struct ntfs_attr a;
	uint64_t at;

	attr_at(img, id_of(img, "/big/b5.bin"), NTFS_DATA, "", &a);
	assert_int_equal(a.highest_vcn, 48);
	at = record_at(img, id_of(img, "/big/b5.bin")) + a.value.addr;
	image_poke(
		img, at,
		(uint8_t[]){0x31, 49, (uint8_t)lcn, (uint8_t)(lcn >> 8), (uint8_t)(lcn >> 16), 0},
		6);
	return at;
}

static void a_run_outside_the_volume(void **state)
{
	struct image *img = fresh();

	(void)state;
	expect(img, NTFS_RUN_OUTSIDE, move_b5(img, 0x7fffff));
	image_free(img);
}

static void a_list_that_leads_nowhere(void **state)
{
	struct image *img = fresh();
	uint64_t id = id_of(img, "/small/s9.txt"), at;
	struct ntfs_attr a;

	(void)state;
	/* No file of the fixture needs one. It names a record that is not there. */
	at = attr_at(img, id, NTFS_SECURITY_DESCRIPTOR, "", &a);
	image_le32(img, at, NTFS_ATTRIBUTE_LIST);
	at = record_at(img, id) + a.value.addr;
	image_poke(img, at, "\x80\0\0\0\x20\0\0\x1a\0\0\0\0\0\0\0\0\xe7\x03\0\0\0\0\1\0\0\0", 26);
	expect(img, NTFS_LIST, record_at(img, id));
	image_free(img);
}

/* ---- clusters ---- */

static void two_files_in_one_place(void **state)
{
	struct image *img = fresh();
	uint64_t b4 = stream_at(img, id_of(img, "/big/b4.bin"), NTFS_DATA, "", 0);
	uint64_t b5 = stream_at(img, id_of(img, "/big/b5.bin"), NTFS_DATA, "", 0);
	const struct seen *f;

	(void)state;
	move_b5(img, (uint32_t)(b4 / CLUSTER));
	expect(img, NTFS_CROSS_LINKED, b4);
	f = image_first(img, NTFS_CROSS_LINKED);
	assert_non_null(strstr(f->message, "/big/b4.bin"));
	assert_non_null(strstr(f->message, "/big/b5.bin"));
	assert_finding(img, NTFS_BITMAP_LEAK, b5 + 9 * CLUSTER); /* 9 of its own it has kept */
	image_free(img);
}

static uint64_t bitmap_byte(struct image *img, uint64_t at)
{
	return stream_at(img, NTFS_BITMAP_FILE, NTFS_DATA, "", at / CLUSTER / 8);
}

static void a_used_cluster_that_is_called_free(void **state)
{
	struct image *img = fresh();
	uint64_t b5 = stream_at(img, id_of(img, "/big/b5.bin"), NTFS_DATA, "", 2 * CLUSTER);

	(void)state;
	flip(img, bitmap_byte(img, b5), (uint8_t)(1u << (b5 / CLUSTER % 8)));
	expect(img, NTFS_BITMAP_FREE, b5);
	assert_non_null(
		strstr(image_first(img, NTFS_BITMAP_FREE)->message, "\"/big/b5.bin\" at 8192"));
	assert_int_equal(img->n_seen, 1);
	image_free(img);
}

static void a_cluster_that_nobody_owns(void **state)
{
	struct image *img = fresh();
	uint64_t last = volume->len / CLUSTER * CLUSTER - 3 * CLUSTER;

	(void)state;
	flip(img, bitmap_byte(img, last), (uint8_t)(1u << (last / CLUSTER % 8)));
	expect(img, NTFS_BITMAP_LEAK, last);
	assert_int_equal(img->n_seen, 1);
	image_free(img);
}

static void a_bitmap_too_short(void **state)
{
	struct image *img = fresh();
	struct ntfs_attr a;
	uint64_t at = attr_at(img, NTFS_BITMAP_FILE, NTFS_DATA, "", &a);

	(void)state;
	image_le64(img, at + 0x30, 64);
	image_le64(img, at + 0x38, 64);
	expect(img, NTFS_BITMAP_SHORT, record_at(img, NTFS_BITMAP_FILE));
	image_free(img);
}

static void a_record_that_the_bitmap_denies(void **state)
{
	struct image *img = fresh();
	uint64_t id = id_of(img, "/small/s5.txt");

	(void)state;
	flip(img, stream_at(img, NTFS_MFT, NTFS_BITMAP, "", id / 8), (uint8_t)(1u << (id % 8)));
	expect(img, NTFS_MFT_BITMAP, record_at(img, id));
	image_free(img);
}

/* ---- indexes ---- */

static void an_index_block_that_is_none(void **state)
{
	struct image *img = fresh();
	uint64_t at = stream_at(img, id_of(img, "/many"), NTFS_INDEX_ALLOCATION, "$I30", 0);

	(void)state;
	flip(img, at, 1);
	expect(img, NTFS_INDEX_BLOCK, at);
	image_free(img);
}

static void a_torn_index_block(void **state)
{
	struct image *img = fresh();
	uint64_t at = stream_at(img, id_of(img, "/many"), NTFS_INDEX_ALLOCATION, "$I30", 0);

	(void)state;
	flip(img, at + 3 * 512 + 511, 0x80);
	expect(img, NTFS_INDEX_BLOCK, at + 3 * 512);
	image_free(img);
}

static void an_index_block_that_lies_elsewhere(void **state)
{
	struct image *img = fresh();
	uint64_t at = stream_at(img, id_of(img, "/many"), NTFS_INDEX_ALLOCATION, "$I30", 0);

	(void)state;
	image_le64(img, at + 0x10, 77);
	expect(img, NTFS_INDEX_BLOCK, at);
	image_free(img);
}

/* The first name of a block, with another first letter: no longer in order, and nobody's. */
static void a_name_that_changed(void **state)
{
	struct image *img = fresh();
	uint64_t many = id_of(img, "/many");
	uint64_t at = stream_at(img, many, NTFS_INDEX_ALLOCATION, "$I30", 0);
	uint64_t entry = at + 0x18 + img->buf[at + 0x18], name = entry + 16 + 66;
	uint64_t next = entry + (img->buf[entry + 8] | img->buf[entry + 9] << 8) + 16;
	uint64_t child = img->buf[entry] | (uint64_t)img->buf[entry + 1] << 8;

	(void)state;
	assert_int_equal(img->buf[name], 'e');
	img->buf[name] = 'z';
	expect(img, NTFS_INDEX_ORDER, next);
	assert_finding(img, NTFS_INDEX_DANGLING, record_at(img, many));
	assert_finding(img, NTFS_INDEX_MISSING, record_at(img, child));
	assert_non_null(strstr(image_first(img, NTFS_INDEX_MISSING)->message, "/many/entry-with-"));
	image_free(img);
}

/* A bit of the size that no other rule sees. */
static void a_size_that_the_folder_denies(void **state)
{
	struct image *img = fresh();
	struct ntfs_attr a;
	uint64_t at = attr_at(img, id_of(img, "/big/b1.bin"), NTFS_DATA, "", &a);

	(void)state;
	assert_int_equal(a.size % 2, 1);
	img->buf[at + 0x30] ^= 2;
	img->buf[at + 0x38] ^= 2;
	image_check(img, &ntfs_ops);
	assert_finding(img, NTFS_INDEX_SIZE, ANYWHERE);
	assert_clean(img);
	image_free(img);
}

/* 0x80 became 0x81, the value does not begin where one can. */
static void attributes_that_no_driver_writes(void **state)
{
	struct image *img = fresh();
	struct ntfs_attr a;
	uint64_t number = id_of(img, "/small/s1.txt");
	uint64_t at = attr_at(img, number, NTFS_DATA, "", &a);

	(void)state;
	img->buf[at] ^= 1;
	image_check(img, &ntfs_ops);
	assert_finding(img, NTFS_RECORD_RULE, at);
	img->buf[at] ^= 1;
	img->buf[at + 0x14] ^= 1;
	image_check(img, &ntfs_ops);
	assert_finding(img, NTFS_RECORD_RULE, at + 8);
	image_free(img);
}

static void an_index_bitmap_that_is_wrong(void **state)
{
	struct image *img = fresh();
	uint64_t many = id_of(img, "/many");
	struct ntfs_attr a;
	uint64_t at = attr_at(img, many, NTFS_BITMAP, "$I30", &a);

	(void)state;
	assert_true(a.resident);
	flip(img, record_at(img, many) + a.value.addr, 1);
	expect(img, NTFS_INDEX_BITMAP, at);
	image_free(img);
}

/* ---- copies and constants ---- */

static void copies_in_the_mirror(void **state)
{
	struct image *img = fresh();
	struct ntfs *n = img->top->priv;
	uint64_t mirr = n->g.mirr_lcn * n->g.cluster;

	(void)state;
	flip(img, mirr + 1024 + 8, 1);
	flip(img, mirr + 3 * 1024, 1);
	expect(img, NTFS_MIRROR_DIFFERS, mirr + 1024);
	assert_finding(img, NTFS_MIRROR_BAD, mirr + 3 * 1024);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	image_free(img);
}

static void the_copy_of_the_boot_sector(void **state)
{
	struct image *img = fresh();
	uint64_t at = ((struct ntfs *)img->top->priv)->g.sectors * 512;

	(void)state;
	flip(img, at + 0x50, 1);
	expect(img, NTFS_BACKUP_BOOT, at);
	flip(img, at + 0x50, 1);
	flip(img, at + 0x0e, 1);
	flip(img, 0x0e, 1);
	expect(img, NTFS_BOOT_VALUE, 0x0e);
	assert_int_equal(img->n_seen, 1);
	image_free(img);
}

static void security_descriptors(void **state)
{
	struct image *img = fresh();
	uint64_t first = stream_at(img, NTFS_SECURE, NTFS_DATA, "$SDS", 0);
	uint64_t copy = stream_at(img, NTFS_SECURE, NTFS_DATA, "$SDS", 0x40000);

	(void)state;
	flip(img, copy + 0x20, 4);
	expect(img, NTFS_SECURE_COPY, copy);
	assert_int_equal(img->n_seen, 1);
	flip(img, first + 0x24, 4);
	expect(img, NTFS_SECURE_LOST, first);
	flip(img, copy + 0x20, 4);
	expect(img, NTFS_SECURE_COPY, first);
	image_free(img);
}

static void tables_that_are_the_same_everywhere(void **state)
{
	struct image *img = fresh();
	uint64_t e_grave = stream_at(img, NTFS_UPCASE_FILE, NTFS_DATA, "", 2 * 0xc9);

	(void)state;
	image_poke(img, e_grave, "c\0", 2);
	expect(img, NTFS_UPCASE_VALUE, e_grave);
	image_free(img);
	img = fresh();
	flip(img, stream_at(img, NTFS_ATTRDEF, NTFS_DATA, "", 4), 1);
	expect(img, NTFS_ATTRDEF_VALUE, record_at(img, NTFS_ATTRDEF));
	image_free(img);
}

/* ---- the state of the volume ---- */

static void a_dirty_volume_is_no_damage(void **state)
{
	struct image *img = fresh();
	struct ntfs_attr a;

	(void)state;
	attr_at(img, NTFS_VOLUME, 0x70, "", &a);
	flip(img, record_at(img, NTFS_VOLUME) + a.value.addr + 10, 1);
	expect(img, NTFS_DIRTY, record_at(img, NTFS_VOLUME));
	assert_int_equal(image_worse(img, DAMAGE), 0);
	image_free(img);
}

static void a_system_that_sleeps(void **state)
{
	struct image *img = fresh();
	uint64_t at = stream_at(img, id_of(img, "/hiberfil.sys"), NTFS_DATA, "", 0);

	(void)state;
	image_poke(img, at, "HIBR", 4);
	expect(img, NTFS_HIBERNATED, 0);
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
	struct image *img = fresh();
	uint64_t log = stream_at(img, NTFS_LOGFILE, NTFS_DATA, "", 0);
	uint64_t record = record_at(img, NTFS_LOGFILE);

	(void)state;
	restart_page(img->buf + log, false);
	restart_page(img->buf + log + 4096, false);
	image_check(img, &ntfs_ops);
	assert_int_equal(img->n_seen, 0);
	/* A page that is from two writes. */
	memset(img->buf + log + 0x4000, 0, 4096);
	memcpy(img->buf + log + 0x4000, "RCRD\x28\0\x09\0", 8);
	memcpy(img->buf + log + 0x4028, "\5\0", 2);
	expect(img, NTFS_LOG_PAGE, log + 0x4000);
	memset(img->buf + log + 0x4000, 0xff, 4096);
	/* One restart page is enough. */
	flip(img, log, 1);
	expect(img, NTFS_LOG_RESTART, log);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	restart_page(img->buf + log, true);
	restart_page(img->buf + log + 4096, true);
	expect(img, NTFS_LOG_DIRTY, record);
	assert_int_equal(image_worse(img, BLEMISH), 0);
	flip(img, log, 1);
	flip(img, log + 4096, 1);
	expect(img, NTFS_LOG_LOST, record);
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
	struct image *img = fresh();
	uint64_t id = id_of(img, "/$Extend/$Reparse"), at = record_at(img, id);
	struct ntfs_attr a;
	uint64_t root = attr_at(img, id, NTFS_INDEX_ROOT, "$R", &a);

	(void)state;
	replace_name(img, record_at(img, NTFS_EXTEND), 1024);
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
		cmocka_unit_test(a_volume_of_ntfs_3g_is_clean),
		cmocka_unit_test(every_cluster_size_is_clean),
		cmocka_unit_test(attributes_out_of_order),
		cmocka_unit_test(a_record_without_an_end),
		cmocka_unit_test(sizes_that_contradict_one_another),
		cmocka_unit_test(runs_that_end_too_early),
		cmocka_unit_test(a_run_outside_the_volume),
		cmocka_unit_test(a_list_that_leads_nowhere),
		cmocka_unit_test(two_files_in_one_place),
		cmocka_unit_test(a_used_cluster_that_is_called_free),
		cmocka_unit_test(a_cluster_that_nobody_owns),
		cmocka_unit_test(a_bitmap_too_short),
		cmocka_unit_test(a_record_that_the_bitmap_denies),
		cmocka_unit_test(an_index_block_that_is_none),
		cmocka_unit_test(a_torn_index_block),
		cmocka_unit_test(an_index_block_that_lies_elsewhere),
		cmocka_unit_test(a_name_that_changed),
		cmocka_unit_test(a_size_that_the_folder_denies),
		cmocka_unit_test(attributes_that_no_driver_writes),
		cmocka_unit_test(an_index_bitmap_that_is_wrong),
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
