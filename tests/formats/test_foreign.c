/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "formats/drivers.h"
#include "tests/lib/disk_build.h"

enum { LEN = 1 << 20 };

/* What a probe looks at, per format. */
static const struct specimen {
	const struct layer_ops *ops;
	struct {
		uint32_t at;
		uint8_t len;
		const char *bytes;
	} poke[4];
	const char *message; /* must be in it */
} specimens[] = {
	{&foreign_vhdx_ops,
	 {{0, 8, "vhdxfile"}, {64 << 10, 4, "head"}, {192 << 10, 4, "regi"}},
	 "VHDX"},
	{&foreign_vmdk_ops,
	 {{0, 8, "KDMV\1\0\0\0"},
	  {12, 8, "\0\x20\0\0\0\0\0\0"},
	  {20, 1, "\x80"},
	  {73, 4, "\n \r\n"}},
	 "disk of 4 MiB"},
	{&foreign_vmdk_ops, {{0, 21, "# Disk DescriptorFile"}}, "VMDK"},
	{&foreign_vmdk_ops,
	 {{0, 8, "COWD\1\0\0\0"}, {12, 4, "\0\x20\0\0"}, {16, 1, "\1"}},
	 "4 MiB"},
	{&foreign_vdi_ops, {{0x40, 8, "\x7f\x10\xda\xbe\1\0\1\0"}, {0x172, 1, "\x40"}}, "4 MiB"},
	{&foreign_qcow1_ops,
	 {{0, 8, "QFI\xfb\0\0\0\1"}, {29, 1, "\x40"}, {32, 1, "\x0c"}},
	 "4 MiB"},
	{&foreign_qed_ops, {{0, 12, "QED\0\0\0\1\0\4\0\0\0"}, {50, 1, "\x40"}}, "4 MiB"},
	{&foreign_parallels_ops, {{0, 17, "WithoutFreeSpace\2"}, {37, 1, "\x20"}}, "4 MiB"},
	{&foreign_bochs_ops, {{0, 22, "Bochs Virtual HD Image"}, {32, 7, "Redolog"}}, "Bochs"},
	{&foreign_dmg_ops, {{LEN - 512, 12, "koly\0\0\0\4\0\0\2\0"}}, "DMG"},
	{&foreign_cloop_ops, {{0, 23, "#!/bin/sh\n#V2.0 Format\n"}}, "cloop"},
	{&foreign_ewf_ops, {{0, 9, "EVF\x09\r\n\xff\0\1"}}, "ewfexport"},
	{&foreign_aff_ops, {{0, 8, "AFF10\r\n\0"}}, "AFF"},
	{&foreign_wim_ops, {{0, 8, "MSWIM\0\0\0"}, {8, 1, "\xd0"}}, "WIM"},
	{&foreign_xz_ops,
	 {{0, 7,
	   "\xfd"
	   "7zXZ\0\0"}},
	 "unpack"},
	{&foreign_gzip_ops, {{0, 4, "\x1f\x8b\x08\x08"}, {9, 1, "\3"}}, "unpack"},
	{&foreign_bzip2_ops, {{0, 10, "BZh91AY&SY"}}, "unpack"},
	{&foreign_zstd_ops, {{0, 5, "\x28\xb5\x2f\xfd\x04"}}, "unpack"},
	{&foreign_zip_ops, {{0, 6, "PK\3\4\x14\0"}}, "unpack"},
	{&foreign_ova_ops, {{0, 8, "node.ovf"}, {257, 5, "ustar"}}, "OVA"},
};
enum { SPECIMENS = sizeof(specimens) / sizeof(specimens[0]) };

static struct image *make(const struct specimen *s)
{
	struct image *img = image_new(LEN);

	for (int k = 0; k < 4; k++)
		image_poke(img, s->poke[k].at, s->poke[k].bytes ? s->poke[k].bytes : "",
			   s->poke[k].len);
	return img;
}

static void each_format_is_named_and_says_what_to_do(void **state)
{
	(void)state;
	for (int i = 0; i < SPECIMENS; i++) {
		struct image *img = make(&specimens[i]);

		image_discover(img);
		assert_non_null(img->top);
		assert_string_equal(img->top->name, specimens[i].ops->name);
		assert_int_equal(img->top->state, -EOPNOTSUPP);
		assert_finding(img, FORMAT_FOREIGN, 0);
		assert_int_equal(img->n_seen, 1);
		if (!strstr(img->seen[0].message, specimens[i].message))
			fail_msg("%s", img->seen[0].message);
		image_free(img);
	}
}

/* One magic alone, in an otherwise empty disk, is no container if the format has more to show. */
static void a_magic_alone_does_not_claim_a_disk(void **state)
{
	static const struct {
		uint32_t at;
		uint8_t len;
		const char *bytes;
	} alone[] = {{0, 4, "KDMV"},	     {0, 4, "QFI\xfb"}, {0, 4, "QED"},
		     {LEN - 512, 4, "koly"}, {0, 3, "BZh"},	{0, 16, "WithoutFreeSpace"},
		     {0, 4, "COWD"},	     {0, 5, "MSWIM"},	{0x40, 3, "\x7f\x10\xda"}};

	(void)state;
	for (size_t i = 0; i < sizeof(alone) / sizeof(alone[0]); i++) {
		struct image *img = image_new(LEN);

		image_poke(img, alone[i].at, alone[i].bytes, alone[i].len);
		image_discover(img);
		assert_null(img->top);
		image_free(img);
	}
}

static void a_raw_disk_is_not_claimed(void **state)
{
	static const struct slot slots[] = {{63, 1000, 0x83}};
	struct image *img = image_new(LEN);

	(void)state;
	disk_mbr(img, slots, 1);
	for (const struct layer_ops *const *d = container_drivers; *d; d++) {
		image_open(img, &raw_ops);
		assert_int_equal((*d)->probe(img->top), 0);
	}
	image_free(img);
}

static void packed_files_count_only_as_image_files(void **state)
{
	struct image *img = image_new(LEN);

	(void)state;
	image_poke(img, 0, "PK\3\4\x14\0", 6);
	image_open(img, &raw_ops); /* the same bytes, a layer further up */
	assert_int_equal(foreign_zip_ops.probe(img->source), 80);
	assert_int_equal(foreign_zip_ops.probe(img->top), 0);
	image_free(img);
}

static void cut_and_flipped_headers_are_survived(void **state)
{
	(void)state;
	for (int i = 0; i < SPECIMENS; i++) {
		struct image *img = make(&specimens[i]);

		for (int at = 0; at < 512; at++) {
			img->buf[at] ^= 0xff;
			image_open(img, specimens[i].ops);
			img->buf[at] ^= 0xff;
		}
		for (size_t len = 0; len < 600; len += 37) {
			image_resize(img, len);
			image_open(img, specimens[i].ops);
			specimens[i].ops->probe(img->source);
		}
		image_free(img);
	}
}

static void images_made_by_qemu_are_recognised(void **state)
{
	static const char *const format[] = {"vhdx", "vmdk", "vdi", "qcow", "qed", "parallels"};
	static const char *const name[] = {"vhdx", "vmdk", "vdi", "qcow1", "qed", "parallels"};
	size_t run = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(format) / sizeof(format[0]); i++) {
		struct image *img = image_new(0);
		char command[128];

		snprintf(command, sizeof(command), "qemu-img create -f %s $DISK 8M", format[i]);
		if (disk_tool(img, command)) {
			image_discover(img);
			assert_non_null(img->top);
			assert_string_equal(img->top->name, name[i]);
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
		cmocka_unit_test(each_format_is_named_and_says_what_to_do),
		cmocka_unit_test(a_magic_alone_does_not_claim_a_disk),
		cmocka_unit_test(a_raw_disk_is_not_claimed),
		cmocka_unit_test(packed_files_count_only_as_image_files),
		cmocka_unit_test(cut_and_flipped_headers_are_survived),
		cmocka_unit_test(images_made_by_qemu_are_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
