/* SPDX-License-Identifier: Apache-2.0 */
/* Devices of boot entries, as Windows writes them: the bytes are those that public descriptions show. */
#include "recover/bcd.h"
#include "tests/lib/corpus.h"

static uint8_t gpt[88], mbr[88];

static void make(void)
{
	memset(gpt, 0, sizeof(gpt));
	gpt[0x10] = 6;
	gpt[0x18] = 0x48;
	memcpy(mbr, gpt, sizeof(gpt));
	for (int i = 0; i < 16; i++) {
		gpt[0x20 + i] = (uint8_t)(0x10 + i);
		gpt[0x38 + i] = (uint8_t)(0xa0 + i);
	}
	/* A partition at 0x15f00000 of a disk with the signature b3eba8f1 */
	memcpy(mbr + 0x20, "\0\0\xf0\x15", 4);
	mbr[0x34] = 1;
	memcpy(mbr + 0x38, "\xf1\xa8\xeb\xb3", 4);
}

static void partitions_are_told_by_guid_or_by_place(void **state)
{
	struct bcd_device d;

	(void)state;
	make();
	bcd_device(gpt, sizeof(gpt), &d);
	assert_int_equal(d.type, BCD_PARTITION);
	assert_true(d.gpt);
	assert_string_equal(d.part, "13121110-1514-1716-1819-1a1b1c1d1e1f");
	assert_string_equal(d.disk, "a3a2a1a0-a5a4-a7a6-a8a9-aaabacadaeaf");
	bcd_device(mbr, sizeof(mbr), &d);
	assert_int_equal(d.type, BCD_PARTITION);
	assert_false(d.gpt);
	assert_int_equal(d.start, 0x15f00000);
	assert_int_equal(d.signature, 0xb3eba8f1);
}

static void what_can_not_be_is_none(void **state)
{
	struct bcd_device d;

	(void)state;
	make();
	for (size_t cut = 0; cut < 0x48; cut++) {
		bcd_device(gpt, cut, &d);
		assert_int_equal(d.type, BCD_NONE);
	}
	gpt[0x34] = 2;
	bcd_device(gpt, sizeof(gpt), &d);
	assert_int_equal(d.type, BCD_NONE);
	gpt[0x10] = 5;
	bcd_device(gpt, 0x20, &d);
	assert_int_equal(d.type, BCD_BOOT);
	gpt[0x10] = 8;
	bcd_device(gpt, sizeof(gpt), &d);
	assert_int_equal(d.type, BCD_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(partitions_are_told_by_guid_or_by_place),
		cmocka_unit_test(what_can_not_be_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
