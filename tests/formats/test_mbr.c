/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <unistd.h>

#include "formats/drivers.h"
#include "formats/part/mbr.h"
#include "tests/lib/disk_build.h"

enum { DISK = 4 << 20, SECTORS = DISK / 512 };

/* p1, and an extended p2 with two logical partitions. */
enum { EXT = 2000, EXT_LEN = 4000, EBR2 = 3000 };

static struct image *disk(void)
{
	static const struct slot slots[] = {{63, 1000, 0x83}, {EXT, EXT_LEN, 0x05}};
	struct image *img = image_new(DISK);

	disk_mbr(img, slots, 2);
	disk_ebr(img, 512, EXT, 10, 500, EBR2 - EXT, 900);
	disk_ebr(img, 512, EBR2, 20, 700, 0, 0);
	img->buf[63 * 512] = 0xb1;
	img->buf[(EXT + 10) * 512] = 0xb5;
	img->buf[(EBR2 + 20) * 512] = 0xb6;
	return img;
}

static struct layer *find(struct image *img, const char *name)
{
	for (struct layer *l = img->top->child; l; l = l->next)
		if (!strcmp(l->name, name))
			return l;
	return NULL;
}

static void assert_part(struct image *img, const char *name, uint8_t first, uint64_t size)
{
	struct layer *l = find(img, name);
	uint8_t b;

	assert_non_null(l);
	assert_int_equal(l->size, size);
	assert_int_equal(layer_read(l, 0, &b, 1, NULL), 0);
	assert_int_equal(b, first);
}

static void check(struct image *img)
{
	image_check(img, &mbr_ops);
	assert_int_equal(img->err, 0);
}

static uint64_t entry(uint64_t sector, int i)
{
	return sector * 512 + MBR_ENTRY_AT + 16 * (uint64_t)i;
}

static void primary_and_logical_partitions_are_numbered_as_linux_does(void **state)
{
	struct image *img = disk();

	(void)state;
	image_discover(img);
	assert_string_equal(img->top->name, "mbr");
	check(img);
	assert_int_equal(img->n_seen, 0);
	assert_part(img, "p1", 0xb1, 1000 * 512);
	assert_part(img, "p5", 0xb5, 500 * 512);
	assert_part(img, "p6", 0xb6, 700 * 512);
	assert_null(find(img, "p2"));
	assert_readable(img, 0, DISK);
	image_free(img);
}

static void a_chain_that_returns_ends(void **state)
{
	struct image *img = disk();

	(void)state;
	disk_mbr_entry(img, EBR2 * 512, 1, 0x05, 0, 100);
	check(img);
	assert_finding(img, EBR_LOOP, entry(EBR2, 1));
	assert_part(img, "p6", 0xb6, 700 * 512);
	image_free(img);
}

static void a_chain_that_leaves_its_partition_ends(void **state)
{
	struct image *img = disk();

	(void)state;
	disk_mbr_entry(img, EXT * 512, 1, 0x05, EXT_LEN + 5, 100);
	check(img);
	assert_finding(img, EBR_OUTSIDE, entry(EXT, 1));
	assert_part(img, "p5", 0xb5, 500 * 512);
	image_free(img);
}

static void a_lost_ebr_is_told_where_the_chain_broke(void **state)
{
	struct image *img = disk();

	(void)state;
	image_poke(img, EBR2 * 512 + 510, "xx", 2);
	check(img);
	assert_finding(img, EBR_LOST, entry(EXT, 1));
	assert_part(img, "p5", 0xb5, 500 * 512);
	assert_null(find(img, "p6"));
	image_free(img);
}

static void an_extended_partition_may_be_empty(void **state)
{
	struct image *img = disk();

	(void)state;
	memset(img->buf + EXT * 512, 0, 512);
	check(img);
	assert_clean(img);
	image_free(img);
}

static void a_logical_partition_outside_is_told(void **state)
{
	struct image *img = disk();

	(void)state;
	disk_mbr_entry(img, EBR2 * 512, 0, 0x83, 20, EXT_LEN);
	check(img);
	assert_finding(img, EBR_PARTITION_OUTSIDE, entry(EBR2, 0));
	assert_part(img, "p6", 0xb6, EXT_LEN * 512);
	image_free(img);
}

static void further_entries_of_an_ebr_are_taken_if_they_fit(void **state)
{
	struct image *img = disk();

	(void)state;
	disk_mbr_entry(img, EBR2 * 512, 2, 0x83, 800, 50);
	disk_mbr_entry(img, EBR2 * 512, 3, 0x83, 0x7fffffff, 50);
	check(img);
	assert_finding(img, EBR_EXTRA, entry(EBR2, 2));
	assert_finding(img, EBR_EXTRA, entry(EBR2, 3));
	assert_non_null(find(img, "p7"));
	assert_null(find(img, "p8"));
	assert_clean(img);
	image_free(img);
}

static void an_endless_chain_is_bounded(void **state)
{
	struct image *img = image_new(DISK);
	static const struct slot slots[] = {{1, SECTORS - 1, 0x05}};

	(void)state;
	disk_mbr(img, slots, 1);
	for (uint32_t i = 0; i < SECTORS - 3; i++)
		disk_ebr(img, 512, 1 + i, 1, 1, i + 1, 1);
	check(img);
	assert_int_equal(image_seen(img, PART_TOO_MANY, ANYWHERE), 1);
	image_free(img);
}

static void a_lost_signature_does_not_cost_the_partitions(void **state)
{
	struct image *img = disk();

	(void)state;
	image_poke(img, 510, "\0\0", 2);
	image_discover(img);
	assert_string_equal(img->top->name, "mbr");
	assert_finding(img, MBR_SIGNATURE, 510);
	assert_part(img, "p6", 0xb6, 700 * 512);
	image_free(img);
}

static void entries_are_checked(void **state)
{
	struct image *img = disk();

	(void)state;
	image_poke(img, entry(0, 0), "\x13", 1);
	disk_mbr_entry(img, 0, 2, 0x83, 7000, 0);
	disk_mbr_entry(img, 0, 3, 0, 7000, 10);
	check(img);
	assert_finding(img, MBR_STATUS, entry(0, 0));
	assert_finding(img, MBR_ENTRY_EMPTY, entry(0, 2));
	assert_finding(img, MBR_ENTRY_DELETED, entry(0, 3));
	image_poke(img, entry(0, 0), "\x80", 1);
	image_poke(img, entry(0, 1), "\x80", 1);
	check(img);
	assert_finding(img, MBR_ACTIVE, entry(0, 0));
	image_free(img);
}

static void overlaps_are_damage(void **state)
{
	struct image *img = disk();

	(void)state;
	disk_mbr_entry(img, 0, 2, 0x83, 1000, 100); /* over p1 */
	disk_mbr_entry(img, 0, 3, 0x83, 5900, 200); /* over the end of the extended one */
	check(img);
	assert_finding(img, PART_OVERLAP, entry(0, 2));
	assert_finding(img, PART_OVERLAP, entry(0, 3));
	assert_int_equal(image_worse(img, DAMAGE), 2);
	image_free(img);
	img = disk();
	disk_mbr_entry(img, EXT * 512, 0, 0x83, 10, EBR2 - EXT); /* p5 holds the next EBR */
	check(img);
	assert_finding(img, PART_OVER_TABLE, entry(EXT, 0));
	image_free(img);
}

static void what_lies_behind_the_end_is_lost(void **state)
{
	struct image *img = disk();
	struct layer *p1;

	(void)state;
	image_resize(img, 1000 * 512);
	check(img);
	assert_finding(img, PART_PAST_END, entry(0, 0));
	p1 = find(img, "p1");
	assert_non_null(p1);
	assert_int_equal(p1->size, 1000 * 512);
	img->top = p1;
	assert_readable(img, 0, (1000 - 63) * 512);
	assert_lost(img, (1000 - 63) * 512, 63 * 512, PART_PAST_END);
	image_free(img);
}

static void sectors_of_4096_bytes_show_by_the_ebr(void **state)
{
	static const struct slot slots[] = {{1, 99, 0x83}, {100, 900, 0x05}};
	struct image *img = image_new(DISK);

	(void)state;
	disk_mbr(img, slots, 2);
	disk_ebr(img, 4096, 100, 1, 50, 0, 0);
	img->buf[101 * 4096] = 0xb5;
	image_discover(img);
	assert_clean(img);
	assert_int_equal(img->top->sector, 4096);
	assert_part(img, "p5", 0xb5, 50 * 4096);
	image_free(img);
}

static void sectors_of_4096_bytes_show_by_the_file_system(void **state)
{
	static const struct slot slots[] = {{256, 100, 0x07}};
	struct image *img = image_new(DISK);

	(void)state;
	disk_mbr(img, slots, 1);
	disk_ntfs(img, 256 * 4096, 799, true);
	image_discover(img);
	assert_clean(img);
	assert_int_equal(img->top->sector, 4096);
	image_free(img);
}

static bool is_table(const struct image *img)
{
	return img->top && img->top->ops->kind == LAYER_MAP;
}

/* A file system on the whole disk is no partition table, whatever its boot code looks like. */
static void a_boot_sector_of_a_file_system_is_not_claimed(void **state)
{
	struct image *img = image_new(DISK);

	(void)state;
	disk_ntfs(img, 0, SECTORS - 1, true);
	assert_int_equal(img->n_seen, 0);
	disk_mbr_entry(img, 0, 0, 0x83, 63, 100); /* boot code may look like anything */
	image_discover(img);
	assert_false(is_table(img));
	memset(img->buf, 0, 512);
	disk_fat16(img, 0, SECTORS);
	image_discover(img);
	assert_false(is_table(img));
	disk_mbr_entry(img, 0, 0, 0x83, 63, 100);
	image_discover(img);
	assert_false(is_table(img));
	image_free(img);
}

static void an_iso_image_for_sticks_is_not_claimed(void **state)
{
	static const struct slot slots[] = {{0, SECTORS, 0x17}, {3000, 100, 0xef}};
	struct image *img = image_new(DISK);

	(void)state;
	disk_mbr(img, slots, 2);
	image_poke(img, 32768,
		   "\x01"
		   "CD001\x01",
		   7);
	image_le32(img, 32768 + 80, DISK / 2048);
	image_le32(img, 32768 + 128, 2048);
	image_discover(img);
	assert_null(img->top);
	image_free(img);
}

static void garbage_with_a_signature_is_not_claimed(void **state)
{
	struct image *img = image_new(DISK);

	(void)state;
	memset(img->buf, 0x5a, 510);
	image_poke(img, 510, "\x55\xaa", 2);
	image_discover(img);
	assert_null(img->top);
	image_free(img);
}

static void a_gpt_that_was_replaced_by_an_mbr_is_stale(void **state)
{
	static const struct slot gpt[] = {{2048, 1000, 0}};
	static const struct slot mbr[] = {{2048, 1000, 0x83}, {4000, 1000, 0x83}};
	struct image *img = image_new(DISK);

	(void)state;
	disk_gpt(img, 512, gpt, 1);
	disk_mbr(img, mbr, 2);
	image_discover(img);
	assert_string_equal(img->top->name, "mbr");
	assert_finding(img, GPT_STALE, 512);
	assert_finding(img, GPT_STALE, (SECTORS - 1) * 512);
	assert_clean(img);
	image_free(img);
}

static void structures_are_named(void **state)
{
	struct image *img = disk();
	uint64_t start, len;
	char name[64];

	(void)state;
	check(img);
	assert_true(mbr_ops.structure(img->top, 5, name, sizeof(name), &start, &len));
	assert_string_equal(name, "MBR");
	assert_true(mbr_ops.structure(img->top, EBR2 * 512 + 9, name, sizeof(name), &start, &len));
	assert_string_equal(name, "EBR of p6");
	assert_int_equal(start, EBR2 * 512);
	assert_false(mbr_ops.structure(img->top, 63 * 512, name, sizeof(name), &start, &len));
	image_free(img);
}

static void every_flipped_byte_is_survived(void **state)
{
	struct image *img = disk();

	(void)state;
	for (uint64_t k = 0; k < 3; k++) {
		uint64_t base = (k == 0 ? 0 : k == 1 ? EXT : EBR2) * 512;

		for (uint64_t at = base + MBR_ENTRY_AT; at < base + 512; at++) {
			for (int bit = 0; bit < 9; bit++) {
				uint8_t old = img->buf[at];

				img->buf[at] ^= bit == 8 ? 0xff : 1 << bit;
				image_discover(img);
				if (img->top)
					image_exercise(img->top);
				image_check(img, &mbr_ops);
				img->buf[at] = old;
			}
		}
	}
	image_free(img);
}

static void truncation_at_every_structure_is_survived(void **state)
{
	static const uint32_t cut[] = {0,
				       1,
				       446,
				       511,
				       512,
				       1024,
				       63 * 512,
				       EXT * 512,
				       EXT * 512 + 446,
				       EXT * 512 + 511,
				       EXT * 512 + 512,
				       EBR2 * 512,
				       EBR2 * 512 + 300,
				       EBR2 * 512 + 512,
				       DISK - 1};

	(void)state;
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		struct image *img = disk();

		image_resize(img, cut[i]);
		image_check(img, &mbr_ops);
		if (!img->err)
			image_exercise(img->top);
		image_discover(img);
		if (cut[i] >= 512)
			assert_non_null(img->top);
		image_free(img);
	}
}

static void disks_made_by_tools_are_clean(void **state)
{
	static const struct {
		const char *command;
		unsigned parts;
	} made[] = {
		{"printf 'label: dos\\n,8M,c,*\\n,8M,E\\n,,83\\n' | sfdisk $DISK", 2},
		{"printf 'label: dos\\n,4M,c\\n,20M,E\\n,4M,83\\n,,82\\n,4M\\n,5M\\n,3M\\n' | sfdisk $DISK",
		 6},
		{"printf 'label: dos\\n' | sfdisk $DISK", 0},
		{"parted -s $DISK mklabel msdos mkpart primary ext4 1MiB 10MiB mkpart extended 10MiB "
		 "30MiB mkpart logical ext4 11MiB 15MiB mkpart logical 16MiB 20MiB",
		 3},
		{"parted -s $DISK mklabel msdos mkpart extended 3MiB 9MiB", 0},
	};
	size_t run = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		struct image *img = image_new(32 << 20);

		if (disk_tool(img, made[i].command)) {
			unsigned n = 0;

			image_discover(img);
			assert_non_null(img->top);
			assert_string_equal(img->top->name, "mbr");
			assert_clean(img);
			for (struct layer *l = img->top->child; l; l = l->next)
				n++;
			assert_int_equal(n, made[i].parts);
			run++;
		}
		image_free(img);
	}
	if (!run)
		skip();
}

/* The corpus: what mmls says of each specimen (MANIFEST.tsv). */
static void specimens_are_read_as_mmls_reads_them(void **state)
{
	static const struct {
		const char *file, *top;
		struct {
			const char *name;
			uint64_t start, len;
		} part[6];
		uint32_t sector;
	} specimen[] = {
		{"dfir_ntfs-gpt-512-0p.raw.gz", "gpt", {{0}}, 512},
		{"dfir_ntfs-mbr-4096-p1e0.bin.gz", "mbr", {{"p1", 1, 125}}, 4096},
		{"dfir_ntfs-mbr-512-p1e2.bin.gz",
		 "mbr",
		 {{"p2", 1025, 1023}, {"p5", 2, 511}, {"p6", 514, 511}},
		 512},
		{"dftt-1-extend-part-ext-part-test-2.dd.xz",
		 "mbr",
		 {{"p1", 63, 52353},
		  {"p2", 52416, 52416},
		  {"p3", 104832, 52416},
		  {"p5", 157311, 52353},
		  {"p6", 209727, 52353},
		  {"p7", 262143, 50337}},
		 512},
	};
	const char *corpus = getenv("CORPUS");
	char command[512];

	(void)state;
	snprintf(command, sizeof(command), "%s/partition", corpus ? corpus : "");
	if (!corpus || access(command, R_OK))
		skip();
	for (size_t i = 0; i < sizeof(specimen) / sizeof(specimen[0]); i++) {
		const char *f = specimen[i].file;
		struct image *img = image_new(0);
		struct layer *l;

		snprintf(command, sizeof(command), "%s -dc '%s/partition/%s' >$DISK",
			 f[strlen(f) - 1] == 'z' && f[strlen(f) - 2] == 'g' ? "gzip" : "xz", corpus,
			 f);
		assert_true(disk_tool(img, command));
		image_discover(img);
		assert_non_null(img->top);
		assert_string_equal(img->top->name, specimen[i].top);
		assert_clean(img);
		assert_int_equal(img->top->sector, specimen[i].sector);
		l = img->top->child;
		for (size_t k = 0; k < 6 && specimen[i].part[k].name; k++, l = l->next) {
			struct extent run;

			assert_non_null(l);
			assert_string_equal(l->name, specimen[i].part[k].name);
			assert_int_equal(l->size, specimen[i].part[k].len * specimen[i].sector);
			assert_int_equal(layer_map(l, 0, &run), 0);
			assert_int_equal(run.at, specimen[i].part[k].start * specimen[i].sector);
		}
		assert_null(l);
		image_free(img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(primary_and_logical_partitions_are_numbered_as_linux_does),
		cmocka_unit_test(a_chain_that_returns_ends),
		cmocka_unit_test(a_chain_that_leaves_its_partition_ends),
		cmocka_unit_test(a_lost_ebr_is_told_where_the_chain_broke),
		cmocka_unit_test(an_extended_partition_may_be_empty),
		cmocka_unit_test(a_logical_partition_outside_is_told),
		cmocka_unit_test(further_entries_of_an_ebr_are_taken_if_they_fit),
		cmocka_unit_test(an_endless_chain_is_bounded),
		cmocka_unit_test(a_lost_signature_does_not_cost_the_partitions),
		cmocka_unit_test(entries_are_checked),
		cmocka_unit_test(overlaps_are_damage),
		cmocka_unit_test(what_lies_behind_the_end_is_lost),
		cmocka_unit_test(sectors_of_4096_bytes_show_by_the_ebr),
		cmocka_unit_test(sectors_of_4096_bytes_show_by_the_file_system),
		cmocka_unit_test(a_boot_sector_of_a_file_system_is_not_claimed),
		cmocka_unit_test(an_iso_image_for_sticks_is_not_claimed),
		cmocka_unit_test(garbage_with_a_signature_is_not_claimed),
		cmocka_unit_test(a_gpt_that_was_replaced_by_an_mbr_is_stale),
		cmocka_unit_test(structures_are_named),
		cmocka_unit_test(every_flipped_byte_is_survived),
		cmocka_unit_test(truncation_at_every_structure_is_survived),
		cmocka_unit_test(disks_made_by_tools_are_clean),
		cmocka_unit_test(specimens_are_read_as_mmls_reads_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
