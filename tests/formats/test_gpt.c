/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/drivers.h"
#include "formats/part/gpt.h"
#include "tests/lib/disk_build.h"

enum { DISK = 4 << 20, LAST = DISK / 512 - 1, BACKUP = LAST * 512, ARRAY2 = (LAST - 32) * 512 };

static const struct slot two[] = {{2048, 2048, 0}, {4096, 1024, 0}};

static struct image *disk(void)
{
	struct image *img = image_new(DISK);

	disk_gpt(img, 512, two, 2);
	memset(img->buf + 2048 * 512, 0xa1, 512);
	memset(img->buf + 4096 * 512, 0xa2, 512);
	return img;
}

static struct layer *part(struct image *img, const char *name)
{
	for (struct layer *l = img->top->child; l; l = l->next)
		if (!strcmp(l->name, name))
			return l;
	fail_msg("no partition %s", name);
	return NULL;
}

static void assert_part(struct image *img, const char *name, uint8_t first, uint64_t size)
{
	struct layer *l = part(img, name);
	uint8_t b;

	assert_int_equal(l->size, size);
	assert_int_equal(layer_read(l, 0, &b, 1, NULL), 0);
	assert_int_equal(b, first);
}

static void assert_both(struct image *img)
{
	assert_int_equal(img->err, 0);
	assert_part(img, "p1", 0xa1, 2048 * 512);
	assert_part(img, "p2", 0xa2, 1024 * 512);
}

static void check(struct image *img)
{
	image_check(img, &gpt_ops);
}

static void a_clean_disk_has_no_finding(void **state)
{
	struct image *img = disk();

	(void)state;
	assert_true(gpt_ops.probe != NULL);
	image_discover(img);
	assert_string_equal(img->top->name, "gpt");
	check(img);
	assert_int_equal(img->n_seen, 0);
	assert_both(img);
	assert_readable(img, 0, img->top->size);
	image_free(img);
}

static void sectors_of_4096_bytes_are_recognised(void **state)
{
	static const struct slot slots[] = {{256, 100, 0}};
	struct image *img = image_new(DISK);

	(void)state;
	disk_gpt(img, 4096, slots, 1);
	memset(img->buf + 256 * 4096, 0xa1, 512);
	image_discover(img);
	assert_string_equal(img->top->name, "gpt");
	assert_clean(img);
	assert_int_equal(img->top->sector, 4096);
	assert_part(img, "p1", 0xa1, 100 * 4096);
	image_free(img);
}

static void a_lost_primary_header_is_replaced_by_the_backup(void **state)
{
	struct image *img = disk();

	(void)state;
	memset(img->buf + 512, 0, 512);
	check(img);
	assert_finding(img, GPT_HEADER_LOST, 512);
	assert_finding(img, GPT_BACKUP_USED, BACKUP);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	assert_both(img);
	image_free(img);
}

static void a_lost_first_mebibyte_is_replaced_by_the_backup(void **state)
{
	struct image *img = disk();

	(void)state;
	memset(img->buf, 0, 1 << 20);
	image_discover(img);
	assert_string_equal(img->top->name, "gpt");
	assert_finding(img, GPT_PMBR_MISSING, 510);
	assert_finding(img, GPT_BACKUP_USED, BACKUP);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	assert_both(img);
	image_free(img);
}

static void a_header_that_is_wrong_about_the_place_does_not_blame_the_array(void **state)
{
	struct image *img = disk();

	(void)state;
	image_poke(img, 512 + 0x48, "\xff", 1); /* array_lba */
	check(img);
	assert_finding(img, GPT_HEADER_CRC, 512);
	assert_finding(img, GPT_BACKUP_USED, BACKUP);
	assert_false(image_seen(img, GPT_ARRAY_CRC, ANYWHERE));
	assert_both(img);

	/* Damaged as well, it is blamed where it lies. */
	image_poke(img, 1024 + 0x20, "\xff", 1);
	check(img);
	assert_finding(img, GPT_ARRAY_CRC, 1024);
	assert_both(img);
	image_free(img);
}

static void a_bad_primary_array_is_replaced_by_the_backup(void **state)
{
	struct image *img = disk();

	(void)state;
	image_poke(img, 1024 + 0x20, "\xff", 1);
	check(img);
	assert_finding(img, GPT_ARRAY_CRC, 1024);
	assert_finding(img, GPT_BACKUP_USED, BACKUP);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	assert_both(img);
	image_free(img);
}

static void one_header_goes_with_the_array_of_the_other(void **state)
{
	struct image *img = disk();

	(void)state;
	image_poke(img, 1024 + 0x20, "\xff", 1);
	memset(img->buf + BACKUP, 0, 512);
	check(img);
	assert_finding(img, GPT_ARRAY_CRC, 1024);
	assert_finding(img, GPT_BACKUP_USED, ARRAY2);
	assert_finding(img, GPT_HEADER_LOST, BACKUP);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	assert_both(img);
	image_free(img);
}

static void a_bad_backup_is_a_blemish(void **state)
{
	struct image *img = disk();

	(void)state;
	image_poke(img, ARRAY2 + 5, "\xff", 1);
	check(img);
	assert_finding(img, GPT_ARRAY_CRC, ARRAY2);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	image_poke(img, BACKUP + 0x40, "\xff", 1);
	check(img);
	assert_finding(img, GPT_HEADER_CRC, BACKUP);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	assert_both(img);
	image_free(img);
}

static void two_bad_headers_are_damage_but_the_array_holds(void **state)
{
	struct image *img = disk();

	(void)state;
	image_poke(img, 512 + 0x40, "\xff", 1);
	image_poke(img, BACKUP + 0x40, "\xff", 1);
	image_discover(img);
	assert_finding(img, GPT_HEADER_CRC, 512);
	assert_finding(img, GPT_HEADER_CRC, BACKUP);
	assert_finding(img, GPT_HEADERS_BAD, 512);
	assert_both(img);
	memset(img->buf + 512, 0, 512);
	memset(img->buf + BACKUP, 0, 512);
	image_discover(img);
	assert_string_equal(img->top->name, "gpt");
	assert_finding(img, GPT_HEADERS_BAD, 512);
	assert_both(img);
	image_free(img);
}

static void two_bad_arrays_are_taken_entry_by_entry(void **state)
{
	struct image *img = disk();

	(void)state;
	memset(img->buf + 1024, 0, 128);	 /* p1 lost here */
	memset(img->buf + ARRAY2 + 128, 0, 128); /* p2 lost there */
	check(img);
	assert_finding(img, GPT_ARRAY_CRC, 1024);
	assert_finding(img, GPT_ARRAY_CRC, ARRAY2);
	assert_finding(img, GPT_ARRAYS_BAD, 1024);
	assert_both(img);
	image_free(img);
}

static void a_header_in_the_wrong_sector_is_not_used(void **state)
{
	struct image *img = disk();

	(void)state;
	memcpy(img->buf + 512, img->buf + BACKUP, 512); /* a misplaced write */
	check(img);
	assert_finding(img, GPT_HEADER_PLACE, 512 + 0x18);
	assert_finding(img, GPT_BACKUP_USED, BACKUP);
	assert_both(img);
	image_free(img);
}

static void copies_that_differ_are_told(void **state)
{
	struct image *img = disk();

	(void)state;
	image_le64(img, ARRAY2 + 0x28, 3000);
	disk_gpt_seal(img, 512, BACKUP);
	check(img);
	assert_finding(img, GPT_COPIES_DIFFER, BACKUP);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	assert_both(img);
	image_free(img);
}

static void a_disk_that_grew_keeps_its_backup_in_the_middle(void **state)
{
	struct image *img = disk();

	(void)state;
	image_resize(img, DISK + (9 << 20));
	check(img);
	assert_finding(img, GPT_BACKUP_NOT_AT_END, BACKUP);
	assert_finding(img, GPT_PMBR_SIZE, MBR_ENTRY_AT + 12);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	/* Even without the primary: the protective MBR knows the old size. */
	memset(img->buf + 512, 0, 512);
	image_discover(img);
	assert_finding(img, GPT_BACKUP_USED, BACKUP);
	assert_both(img);
	image_free(img);
}

/* What `qemu-img convert -O vpc` does to a disk of no whole number of cylinders. */
static void a_disk_that_was_rounded_up_is_sound(void **state)
{
	struct image *img = disk();

	(void)state;
	image_resize(img, DISK + 512);
	check(img);
	assert_finding(img, GPT_DISK_ROUNDED_UP, BACKUP);
	assert_int_equal(image_worse(img, BLEMISH), 0);
	assert_both(img);
	image_free(img);
}

static void a_disk_that_was_cut_is_told(void **state)
{
	struct image *img = disk();

	(void)state;
	image_resize(img, DISK - (1 << 20));
	check(img);
	assert_finding(img, GPT_DISK_CUT, 512 + 0x20);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	assert_both(img);
	image_resize(img, 4500 * 512);
	check(img);
	assert_finding(img, PART_PAST_END, 1024 + 128);
	assert_part(img, "p2", 0xa2, 1024 * 512);
	img->top = part(img, "p2");
	assert_readable(img, 0, 404 * 512);
	assert_lost(img, 404 * 512, 620 * 512, PART_PAST_END);
	image_free(img);
}

static void fields_that_can_not_be_right_are_told(void **state)
{
	struct image *img = disk();

	(void)state;
	image_le32(img, 512 + 8, 0x20000);
	image_le64(img, 512 + 0x28, 20); /* first usable, inside the array */
	disk_gpt_seal(img, 512, 512);
	image_le64(img, BACKUP + 0x20, 7);
	disk_gpt_seal(img, 512, BACKUP);
	check(img);
	assert_finding(img, GPT_HEADER_FIELD, 512 + 8);
	assert_finding(img, GPT_HEADER_FIELD, 512 + 0x28);
	assert_finding(img, GPT_HEADER_FIELD, BACKUP + 0x20);
	assert_both(img);
	image_free(img);
}

static void an_absurd_array_is_refused_before_it_is_read(void **state)
{
	struct image *img = disk();

	(void)state;
	image_le32(img, 512 + 0x50, 0xffffffff);
	check(img);
	assert_finding(img, GPT_HEADER_FIELD, 512 + 0x48);
	assert_both(img);
	image_free(img);
}

static void entries_are_checked(void **state)
{
	struct image *img = disk();
	static const uint8_t type[16] = {1}, guid[16] = {2};

	(void)state;
	image_poke(img, 1024 + 2 * 128, type, 16); /* p3: goes backwards */
	image_le64(img, 1024 + 2 * 128 + 0x20, 5000);
	image_le64(img, 1024 + 2 * 128 + 0x28, 4000);
	image_poke(img, 1024 + 3 * 128, type, 16); /* p4: in the array, and p1's GUID */
	image_poke(img, 1024 + 3 * 128 + 16, img->buf + 1024 + 16, 16);
	image_le64(img, 1024 + 3 * 128 + 0x20, 10);
	image_le64(img, 1024 + 3 * 128 + 0x28, 20);
	image_poke(img, 1024 + 4 * 128 + 16, guid, 16); /* deleted */
	image_le64(img, 1024 + 4 * 128 + 0x20, 6000);
	image_le64(img, 1024 + 4 * 128 + 0x28, 6100);
	image_poke(img, 1024 + 5 * 128, type, 16); /* p6: over p1 and p2 */
	image_poke(img, 1024 + 5 * 128 + 16, type, 16);
	image_le64(img, 1024 + 5 * 128 + 0x20, 4000);
	image_le64(img, 1024 + 5 * 128 + 0x28, 4200);
	disk_gpt_seal(img, 512, 512);
	check(img);
	assert_finding(img, GPT_ENTRY_BAD, 1024 + 2 * 128 + 0x20);
	assert_finding(img, GPT_ENTRY_OUTSIDE, 1024 + 3 * 128 + 0x20);
	assert_finding(img, PART_OVER_TABLE, 1024 + 3 * 128);
	assert_finding(img, GPT_GUID_TWICE, 1024 + 3 * 128 + 0x10);
	assert_finding(img, GPT_ENTRY_DELETED, 1024 + 4 * 128);
	assert_finding(img, PART_OVERLAP, 1024 + 5 * 128);
	assert_int_equal(image_seen(img, PART_OVERLAP, ANYWHERE), 2);
	assert_both(img);
	image_free(img);
}

static void a_hybrid_mbr_is_compared_with_the_gpt(void **state)
{
	struct image *img = disk();

	(void)state;
	disk_mbr_entry(img, 0, 1, 0x83, 2048, 2048);
	image_discover(img);
	assert_string_equal(img->top->name, "gpt");
	assert_finding(img, GPT_HYBRID, MBR_ENTRY_AT + 16);
	assert_clean(img);
	disk_mbr_entry(img, 0, 2, 0x83, 2048, 2000);
	image_discover(img);
	assert_string_equal(img->top->name, "gpt");
	assert_finding(img, GPT_HYBRID_DIFFERS, MBR_ENTRY_AT + 32);
	image_free(img);
}

static void a_damaged_type_of_the_protective_mbr_changes_nothing(void **state)
{
	struct image *img = disk();

	(void)state;
	image_poke(img, MBR_ENTRY_AT + 4, "\x6e", 1);
	image_discover(img);
	assert_string_equal(img->top->name, "gpt");
	assert_finding(img, GPT_PMBR_MISSING, MBR_ENTRY_AT);
	assert_both(img);
	image_free(img);
}

static void a_protective_mbr_of_all_ones_is_usual(void **state)
{
	struct image *img = disk();

	(void)state;
	image_le32(img, MBR_ENTRY_AT + 12, 0xffffffff);
	check(img);
	assert_int_equal(img->n_seen, 0);
	image_le32(img, MBR_ENTRY_AT + 8, 63);
	check(img);
	assert_finding(img, GPT_PMBR_SIZE, MBR_ENTRY_AT + 8);
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
	assert_true(gpt_ops.structure(img->top, 1024 + 300, name, sizeof(name), &start, &len));
	assert_string_equal(name, "GPT entry 3");
	assert_int_equal(start, 1024 + 256);
	assert_int_equal(len, 128);
	assert_true(gpt_ops.structure(img->top, BACKUP, name, sizeof(name), &start, &len));
	assert_string_equal(name, "backup GPT header");
	assert_false(gpt_ops.structure(img->top, 2048 * 512, name, sizeof(name), &start, &len));
	image_free(img);
}

static void too_many_partitions_are_told(void **state)
{
	struct slot *many = calloc(PARTS_MAX + 10, sizeof(*many));
	struct image *img = image_new(16 << 20);
	uint64_t array = 100;
	struct gpt_header h;

	(void)state;
	assert_non_null(many);
	disk_gpt(img, 512, two, 1);
	for (uint32_t i = 0; i < PARTS_MAX + 10; i++) {
		memcpy(img->buf + array * 512 + i * 128, img->buf + 1024, 128);
		image_le64(img, array * 512 + i * 128 + 16, i);
		image_le64(img, array * 512 + i * 128 + 0x20, 2048 + i);
		image_le64(img, array * 512 + i * 128 + 0x28, 2048 + i);
	}
	memcpy(&h, img->buf + 512, sizeof(h));
	h.array_lba = to_le64(array);
	h.entries = to_le32(PARTS_MAX + 10);
	image_poke(img, 512, &h, sizeof(h));
	disk_gpt_seal(img, 512, 512);
	check(img);
	assert_int_equal(image_seen(img, PART_TOO_MANY, ANYWHERE), 1);
	image_free(img);
	free(many);
}

/* Cut at every sector near a structure: no crash, and whatever is there reads. */
static void truncation_at_every_structure_is_survived(void **state)
{
	static const uint32_t cut[] = {0,	    511,    512,	 600,	      604,
				       1023,	    1024,   1100,	 1152,	      4096,
				       8192,	    17407,  17408,	 1 << 20,     ARRAY2,
				       ARRAY2 + 64, BACKUP, BACKUP + 91, BACKUP + 511};

	(void)state;
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		struct image *img = disk();

		image_resize(img, cut[i]);
		image_discover(img);
		if (img->top)
			image_exercise(img->top);
		if (cut[i] > 17408)
			assert_non_null(img->top);
		check(img);
		image_free(img);
	}
}

static void flip(struct image *img, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at++) {
		img->buf[at] ^= 0xff;
		image_discover(img);
		assert_non_null(img->top);
		assert_string_equal(img->top->name, "gpt");
		/* One bad byte never costs a partition, and is never silent. */
		assert_part(img, "p1", 0xa1, 2048 * 512);
		assert_part(img, "p2", 0xa2, 1024 * 512);
		assert_int_equal(image_worse(img, DAMAGE), 0);
		img->buf[at] ^= 0xff;
	}
}

static void one_bad_byte_costs_no_partition(void **state)
{
	struct image *img = disk();

	(void)state;
	flip(img, MBR_ENTRY_AT, 512 + 92);
	flip(img, 1024, 1024 + 2 * 128);
	flip(img, ARRAY2, ARRAY2 + 2 * 128);
	flip(img, BACKUP, BACKUP + 92);
	for (uint64_t at = 512; at < 512 + 92; at++) {
		img->buf[at] ^= 1;
		check(img);
		assert_true(image_worse(img, BLEMISH) > 0);
		img->buf[at] ^= 1;
	}
	image_free(img);
}

/* What sgdisk, sfdisk and parted make is clean. */
static void disks_made_by_tools_are_clean(void **state)
{
	static const char *const command[] = {
		"sgdisk -n1:0:+10M -t1:ef00 -n2:0:+16M -t2:0c01 -n3:0:0 -t3:0700 $DISK",
		"sgdisk -n1:0:+10M -n2:0:+16M -h1:2 $DISK",
		"sgdisk -Z $DISK && sgdisk -S 256 -n1:0:+8M -n200:0:0 $DISK",
		"printf 'label: gpt\\n,20M,U\\n,10M,L\\n,,L\\n' | sfdisk $DISK",
		"printf 'label: gpt\\n' | sfdisk $DISK",
		"parted -s $DISK mklabel gpt mkpart a ext4 1MiB 30MiB mkpart b fat32 30MiB 40MiB",
	};
	size_t run = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(command) / sizeof(command[0]); i++) {
		struct image *img = image_new(48 << 20);

		if (disk_tool(img, command[i])) {
			image_discover(img);
			assert_non_null(img->top);
			assert_string_equal(img->top->name, "gpt");
			assert_clean(img);
			run++;
		}
		image_free(img);
	}
	if (!run)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_clean_disk_has_no_finding),
		cmocka_unit_test(sectors_of_4096_bytes_are_recognised),
		cmocka_unit_test(a_lost_primary_header_is_replaced_by_the_backup),
		cmocka_unit_test(a_lost_first_mebibyte_is_replaced_by_the_backup),
		cmocka_unit_test(a_header_that_is_wrong_about_the_place_does_not_blame_the_array),
		cmocka_unit_test(a_bad_primary_array_is_replaced_by_the_backup),
		cmocka_unit_test(one_header_goes_with_the_array_of_the_other),
		cmocka_unit_test(a_bad_backup_is_a_blemish),
		cmocka_unit_test(two_bad_headers_are_damage_but_the_array_holds),
		cmocka_unit_test(two_bad_arrays_are_taken_entry_by_entry),
		cmocka_unit_test(a_header_in_the_wrong_sector_is_not_used),
		cmocka_unit_test(copies_that_differ_are_told),
		cmocka_unit_test(a_disk_that_grew_keeps_its_backup_in_the_middle),
		cmocka_unit_test(a_disk_that_was_rounded_up_is_sound),
		cmocka_unit_test(a_disk_that_was_cut_is_told),
		cmocka_unit_test(fields_that_can_not_be_right_are_told),
		cmocka_unit_test(an_absurd_array_is_refused_before_it_is_read),
		cmocka_unit_test(entries_are_checked),
		cmocka_unit_test(a_hybrid_mbr_is_compared_with_the_gpt),
		cmocka_unit_test(a_damaged_type_of_the_protective_mbr_changes_nothing),
		cmocka_unit_test(a_protective_mbr_of_all_ones_is_usual),
		cmocka_unit_test(structures_are_named),
		cmocka_unit_test(too_many_partitions_are_told),
		cmocka_unit_test(truncation_at_every_structure_is_survived),
		cmocka_unit_test(one_bad_byte_costs_no_partition),
		cmocka_unit_test(disks_made_by_tools_are_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
