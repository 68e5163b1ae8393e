/* SPDX-License-Identifier: Apache-2.0 */
/* dm-integrity devices of our own, damaged; those of a real kernel are in test_integrity_corpus.c */
#include <errno.h>
#include <stdio.h>

#include "crypto/keys.h"
#include "crypto/prim.h"
#include "tests/lib/integrity_build.h"

enum { FIXED = INTEGRITY_FIXED_PADDING | INTEGRITY_FIXED_HMAC };

/* crc32c, two sections of journal, areas of 64 sectors */
static const struct integrity_spec small = {0, NULL, 0, 6, 4, 3, 1000, FIXED};

static void check_data(struct image *img)
{
	image_open(img, &integrity_ops);
	assert_int_equal(img->err, 0);
	img->s.opt.data = true;
	assert_int_equal(img->top->ops->check(img->top), 0);
}

/* Block @n reads as @value; why it is doubtful, or FINDING_COUNT. */
static enum finding_id block_is(struct integrity_image *b, uint64_t n, uint8_t value)
{
	struct ranges bad = {0};
	uint8_t buf[4096];
	enum finding_id why = FINDING_COUNT;

	assert_int_equal(layer_read(b->img->top, n * b->block, buf, b->block, &bad), 0);
	for (uint32_t i = 0; i < b->block; i++)
		assert_int_equal(buf[i], value);
	if (bad.n) {
		assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
		why = bad.v[0].why;
	}
	ranges_free(&bad);
	return why;
}

static uint8_t number(uint64_t n)
{
	return (uint8_t)(n % 255 + 1);
}

static void every_hash_block_and_tag_size_is_found(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 22; i++) {
		/* 15 hashes without a key and 7 HMACs; tags cut short, exact, and filled up. */
		struct integrity_spec s = {i < 15 ? i : i - 15,
					   i < 15 ? NULL : "secret",
					   i % 4,
					   6,
					   i % 3 ? 4 + i : 64,
					   1 + i % 3,
					   512,
					   i % 2 ? FIXED : 0};
		struct integrity_image b = integrity_build(&s);

		if (s.key)
			image_key(b.img, KEY_KEYFILE, s.key, strlen(s.key));
		check_data(b.img);
		if (b.img->n_seen)
			image_print(b.img);
		assert_int_equal(b.img->n_seen, 0);
		for (uint64_t n = 0; n < s.sectors >> s.log2_block; n += 13)
			assert_int_equal(block_is(&b, n, number(n)), FINDING_COUNT);
		image_exercise(b.img->top);
		integrity_build_free(&b);
	}
}

static void map_says_where_each_area_lies(void **state)
{
	struct integrity_image b = integrity_build(&small);
	struct extent run;
	char name[80];
	uint64_t start, len;

	(void)state;
	check_data(b.img);
	assert_int_equal(layer_map(b.img->top, 64 * 512 + 7, &run), 0);
	assert_int_equal(run.at, integrity_build_data(&b, 64) + 7);
	assert_int_equal(run.len, 64 * 512 - 7);
	assert_true(integrity_ops.structure(b.img->top, integrity_build_tag(&b, 70), name,
					    sizeof(name), &start, &len));
	assert_string_equal(name, "dm-integrity tags of 0x8000..0x10000");
	assert_int_equal(start, integrity_build_tag(&b, 64));
	assert_true(integrity_ops.structure(b.img->top, 4096 + 512 * b.section, name, sizeof(name),
					    &start, &len));
	assert_string_equal(name, "dm-integrity journal section 1");
	assert_false(integrity_ops.structure(b.img->top, integrity_build_data(&b, 3), name,
					     sizeof(name), &start, &len));
	integrity_build_free(&b);
}

static void the_journal_is_applied_newest_last(void **state)
{
	struct integrity_image b = integrity_build(&small);
	struct extent run;

	(void)state;
	/* Section 2 was written in the round before, section 0 and 1 since. */
	integrity_build_journal(&b, 2, 0, 5, 0xa1);
	integrity_build_journal(&b, 2, 1, 6, 0xa2);
	integrity_build_journal(&b, 0, 9, 5, 0xb1);
	integrity_build_journal(&b, 1, 3, 70, 0xb2);
	integrity_build_journal(&b, 1, 4, 70, 0xb3);
	integrity_build_commit(&b, 2, 0);
	integrity_build_commit(&b, 0, 1);
	integrity_build_commit(&b, 1, 1);
	check_data(b.img);
	assert_clean(b.img);
	assert_finding(b.img, INTEGRITY_JOURNAL_REPLAYED, INTEGRITY_SB);
	assert_int_equal(block_is(&b, 5, 0xb1), FINDING_COUNT);
	assert_int_equal(block_is(&b, 6, 0xa2), FINDING_COUNT);
	assert_int_equal(block_is(&b, 70, 0xb3), FINDING_COUNT);
	assert_int_equal(block_is(&b, 71, number(71)), FINDING_COUNT);
	assert_int_equal(layer_map(b.img->top, 5 * 512 + 3, &run), 0);
	assert_int_equal(run.at, integrity_build_entry_data(&b, 0, 9) + 3);
	assert_int_equal(run.len, 501);
	assert_int_equal(layer_map(b.img->top, 5 * 512 + 506, &run), 0);
	assert_int_equal(run.at, integrity_build_entry(&b, 0, 9) + 8 + 2);
	assert_int_equal(run.len, 6);
	image_exercise(b.img->top);
	integrity_build_free(&b);
}

static void a_section_torn_by_a_crash_is_not_applied(void **state)
{
	struct integrity_image b = integrity_build(&small);

	(void)state;
	integrity_build_journal(&b, 0, 0, 5, 0xb1);
	integrity_build_commit(&b, 0, 1);
	integrity_build_journal(&b, 1, 0, 6, 0xb2);
	integrity_build_commit(&b, 1, 1);
	image_le64(b.img, 4096 + 512 * (b.section + 20) + 504,
		   0x1111111111111111ull ^ (1ull << 32 ^ 20));
	check_data(b.img);
	assert_clean(b.img);
	assert_int_equal(block_is(&b, 5, 0xb1), FINDING_COUNT);
	assert_int_equal(block_is(&b, 6, number(6)), FINDING_COUNT);
	integrity_build_free(&b);
}

static void a_commit_id_that_can_not_be_is_damage_and_the_rest_is_applied(void **state)
{
	struct integrity_image b = integrity_build(&small);
	uint64_t at = 4096 + 512 * 3;

	(void)state;
	integrity_build_journal(&b, 0, 0, 5, 0xb1);
	integrity_build_commit(&b, 0, 1);
	b.img->buf[at + 510] ^= 8;
	check_data(b.img);
	assert_finding(b.img, INTEGRITY_JOURNAL_COMMIT, at);
	assert_int_equal(image_worse(b.img, BLEMISH), 1);
	assert_int_equal(block_is(&b, 5, 0xb1), FINDING_COUNT);
	integrity_build_free(&b);
}

static void all_four_commit_ids_at_once_are_damage(void **state)
{
	struct integrity_spec s = small;
	struct integrity_image b;

	(void)state;
	s.sections = 4;
	b = integrity_build(&s);
	integrity_build_journal(&b, 0, 0, 5, 0xb1);
	for (unsigned i = 0; i < 4; i++)
		integrity_build_commit(&b, i, i);
	check_data(b.img);
	assert_finding(b.img, INTEGRITY_JOURNAL_COMMIT, INTEGRITY_SB);
	assert_int_equal(block_is(&b, 5, number(5)), FINDING_COUNT);
	integrity_build_free(&b);
}

static void a_journal_that_is_no_journal_is_undecided(void **state)
{
	struct integrity_image b = integrity_build(&small);

	(void)state;
	for (uint64_t i = INTEGRITY_SB; i < b.initial; i++)
		b.img->buf[i] = (uint8_t)(i * 7 >> 3);
	check_data(b.img);
	assert_finding(b.img, INTEGRITY_JOURNAL_OPAQUE, INTEGRITY_SB);
	assert_int_equal(image_worse(b.img, BLEMISH), 1);
	integrity_build_free(&b);
}

static void damage_in_the_journal_is_told_by_its_tag(void **state)
{
	struct integrity_image b = integrity_build(&small);
	const struct seen *s;
	uint64_t at;

	(void)state;
	integrity_build_journal(&b, 0, 0, 5, 0xb1);
	integrity_build_journal(&b, 0, 1, 2000, 0xb1);
	integrity_build_commit(&b, 0, 1);
	at = integrity_build_entry_data(&b, 0, 0);
	b.img->buf[at + 100] ^= 1;
	image_check(b.img, &integrity_ops); /* without --data */
	assert_finding(b.img, INTEGRITY_JOURNAL_TAG, at);
	s = image_first(b.img, INTEGRITY_JOURNAL_TAG);
	assert_int_equal(s->fact.off, 5 * 512);
	assert_int_equal(s->fact.len, 512);
	/* And an entry for a block that the volume does not have. */
	assert_finding(b.img, INTEGRITY_JOURNAL_ENTRY, integrity_build_entry(&b, 0, 1));
	check_data(b.img);
	assert_int_equal(image_worse(b.img, DAMAGE), 1);
	integrity_build_free(&b);
}

static void a_dirty_region_is_not_verified_and_the_rest_is(void **state)
{
	struct integrity_image b = integrity_build(&small);

	(void)state;
	image_le32(b.img, 24, FIXED | INTEGRITY_DIRTY_BITMAP);
	b.img->buf[29] = 7; /* 128 sectors a bit */
	memset(b.img->buf + INTEGRITY_SB, 0, b.initial - INTEGRITY_SB);
	b.img->buf[INTEGRITY_SB] = 2; /* sectors 128 to 255 */
	b.img->buf[integrity_build_data(&b, 130)] ^= 1;
	check_data(b.img);
	assert_clean(b.img);
	assert_finding(b.img, INTEGRITY_DIRTY, INTEGRITY_SB);
	assert_int_equal(image_first(b.img, INTEGRITY_DIRTY)->fact.off, 128 * 512);
	b.img->buf[integrity_build_data(&b, 127)] ^= 1;
	b.img->buf[integrity_build_data(&b, 256)] ^= 1;
	check_data(b.img);
	assert_int_equal(image_seen(b.img, INTEGRITY_TAG, ANYWHERE), 2);
	assert_finding(b.img, INTEGRITY_TAG, integrity_build_data(&b, 127));
	assert_finding(b.img, INTEGRITY_TAG, integrity_build_data(&b, 256));
	integrity_build_free(&b);
}

static void tags_not_computed_yet_are_not_verified(void **state)
{
	struct integrity_image b = integrity_build(&small);

	(void)state;
	image_le32(b.img, 24, FIXED | INTEGRITY_RECALCULATING);
	image_le64(b.img, 32, 600);
	b.img->buf[integrity_build_data(&b, 600)] ^= 1;
	b.img->buf[integrity_build_data(&b, 999)] ^= 1;
	check_data(b.img);
	assert_clean(b.img);
	assert_finding(b.img, INTEGRITY_RECALCULATE, 32);
	b.img->buf[integrity_build_data(&b, 599)] ^= 1;
	check_data(b.img);
	assert_int_equal(image_seen(b.img, INTEGRITY_TAG, integrity_build_data(&b, 599)), 1);
	integrity_build_free(&b);
}

static void blocks_never_written_and_discarded_ones_are_told_apart(void **state)
{
	struct integrity_image b = integrity_build(&small);

	(void)state;
	for (uint64_t n = 100; n < 110; n++) {
		memset(b.img->buf + integrity_build_data(&b, n), 0, 512);
		memset(b.img->buf + integrity_build_tag(&b, n), 0, 4);
	}
	memset(b.img->buf + integrity_build_tag(&b, 200), INTEGRITY_DISCARDED, 4);
	memset(b.img->buf + integrity_build_tag(&b, 300), 0, 4);
	check_data(b.img);
	assert_finding(b.img, INTEGRITY_NEVER_WRITTEN, integrity_build_data(&b, 100));
	assert_int_equal(image_first(b.img, INTEGRITY_NEVER_WRITTEN)->fact.len, 10 * 512);
	assert_int_equal(block_is(&b, 105, 0), INTEGRITY_NEVER_WRITTEN);
	assert_int_equal(block_is(&b, 200, number(200)), FINDING_COUNT);
	assert_int_equal(image_seen(b.img, INTEGRITY_TAG, ANYWHERE), 1);
	assert_non_null(
		strstr(image_first(b.img, INTEGRITY_TAG)->message, "never written or wiped"));
	integrity_build_free(&b);
}

static void a_short_device_is_read_as_far_as_it_goes(void **state)
{
	struct integrity_image b = integrity_build(&small);

	(void)state;
	image_resize(b.img, integrity_build_data(&b, 900) + 100);
	check_data(b.img);
	assert_finding(b.img, INTEGRITY_TRUNCATED, 16);
	assert_int_equal(image_first(b.img, INTEGRITY_TRUNCATED)->fact.off, 896 * 512);
	assert_readable(b.img, 0, 900 * 512);
	assert_lost(b.img, 901 * 512, 99 * 512, LAYER_READ_PAST_END);
	/* Of block 900 the first 100 bytes are there: nothing proves them. */
	assert_int_equal(image_first(b.img, INTEGRITY_TAG_LOST)->fact.off, 900 * 512);
	integrity_build_free(&b);
}

static void a_device_with_room_to_spare_is_noted(void **state)
{
	struct integrity_image b = integrity_build(&small);

	(void)state;
	image_resize(b.img, b.img->len + 100000);
	check_data(b.img);
	assert_clean(b.img);
	assert_finding(b.img, INTEGRITY_SIZE, 16);
	integrity_build_free(&b);
}

static void tags_of_an_unknown_hash_are_undecided(void **state)
{
	struct integrity_image b = integrity_build(&small);

	(void)state;
	for (uint64_t n = 0; n < 1000; n++)
		b.img->buf[integrity_build_tag(&b, n)] ^= 0x55;
	check_data(b.img);
	assert_finding(b.img, INTEGRITY_KEY, b.initial);
	assert_int_equal(block_is(&b, 3, number(3)), FINDING_COUNT);
	integrity_build_free(&b);
}

static void impossible_and_foreign_superblocks_are_told_apart(void **state)
{
	static const struct {
		unsigned at, value;
		int err;
		enum finding_id id;
	} t[] = {
		{8, 0, -EBADMSG, INTEGRITY_SUPERBLOCK},	 {8, 7, -EOPNOTSUPP, INTEGRITY_UNSUPPORTED},
		{9, 2, -EBADMSG, INTEGRITY_SUPERBLOCK},	 {9, 0, -EOPNOTSUPP, INTEGRITY_UNSUPPORTED},
		{11, 9, -EBADMSG, INTEGRITY_SUPERBLOCK}, {15, 1, -EBADMSG, INTEGRITY_SUPERBLOCK},
		{23, 9, -EBADMSG, INTEGRITY_SUPERBLOCK}, {28, 4, -EBADMSG, INTEGRITY_SUPERBLOCK},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct integrity_image b = integrity_build(&small);

		b.img->buf[t[i].at] = (uint8_t)t[i].value;
		image_open(b.img, &integrity_ops);
		assert_int_equal(b.img->err, t[i].err);
		assert_int_equal(image_seen(b.img, t[i].id, ANYWHERE), 1);
		integrity_build_free(&b);
	}
}

static void inline_tags_are_undecided_and_data_is_read(void **state)
{
	struct integrity_image b = integrity_build(&small);

	(void)state;
	image_le32(b.img, 12, 0);
	image_le32(b.img, 24, INTEGRITY_INLINE);
	check_data(b.img);
	assert_finding(b.img, INTEGRITY_UNSUPPORTED, 24);
	assert_readable(b.img, 0, 512);
	integrity_build_free(&b);
}

static void truncation_anywhere_never_crashes(void **state)
{
	struct integrity_image b = integrity_build(&small);

	(void)state;
	for (size_t len = b.img->len; len > 600; len -= len > b.initial + 9000 ? 6007 : 509) {
		image_resize(b.img, len);
		image_open(b.img, &integrity_ops);
		b.img->s.opt.data = true;
		if (b.img->err)
			continue;
		assert_int_equal(integrity_ops.check(b.img->top), 0);
		image_exercise(b.img->top);
	}
	integrity_build_free(&b);
}

/* All of the superblock bit by bit, entries of the journal and its ids byte by byte. */
static void flips_in_metadata_never_crash(void **state)
{
	struct integrity_spec s = small;
	struct integrity_image b;

	(void)state;
	s.sectors = 100;
	s.sections = 2;
	b = integrity_build(&s);
	integrity_build_journal(&b, 0, 0, 5, 0xb1);
	integrity_build_commit(&b, 0, 1);
	for (size_t at = 0, bit = 0; at < 4096 + 9 * 512;
	     bit = at < 64 ? (bit + 1) % 8 : at % 8, at += at >= 64 || !bit ? 1 : 0) {
		if (at == 64)
			at = 4096;
		b.img->buf[at] ^= (uint8_t)(1u << bit);
		image_open(b.img, &integrity_ops);
		if (!b.img->err) {
			b.img->s.opt.data = at < 64;
			assert_int_equal(integrity_ops.check(b.img->top), 0);
			image_exercise(b.img->top);
		}
		b.img->buf[at] ^= (uint8_t)(1u << bit);
	}
	integrity_build_free(&b);
}

/* As section_mac() of the kernel: over the sectors that the entries name. */
static void write_mac(struct integrity_image *b, uint32_t section, const char *key)
{
	le64_t number = to_le64(section);
	uint8_t text[16 + 8 + 8 * 256], mac[64] = {0};
	size_t len = 24;

	memcpy(text, b->img->buf + 0x30, 16);
	memcpy(text + 16, &number, 8);
	for (uint32_t i = 0; i < b->entries; i++, len += 8)
		memcpy(text + len, b->img->buf + integrity_build_entry(b, section, i), 8);
	prim_hmac_parts(PRIM_SHA256, key, strlen(key), &(struct prim_part){text, len}, 1, mac);
	for (uint32_t i = 0; i < 8; i++)
		image_poke(b->img,
			   INTEGRITY_SB + ((uint64_t)section * b->section + i + 1) * 512 - 16,
			   mac + 8 * i, 8);
}

static void the_mac_of_the_journal_is_verified(void **state)
{
	struct integrity_spec s = small;
	struct integrity_image b;
	uint64_t entry;

	(void)state;
	s.flags |= INTEGRITY_HAVE_JOURNAL_MAC;
	b = integrity_build(&s);
	integrity_build_journal(&b, 0, 2, 5, 0x77);
	integrity_build_commit(&b, 0, 1);
	for (uint32_t i = 0; i < s.sections; i++)
		write_mac(&b, i, "journal key");
	check_data(b.img);
	assert_finding(b.img, INTEGRITY_JOURNAL_MAC_KEY, 0x18);
	image_key(b.img, KEY_KEYFILE, "another key", 11);
	image_key(b.img, KEY_KEYFILE, "journal key", 11);
	check_data(b.img);
	assert_clean(b.img);
	/* An entry that names another block: commit ids and tags need not show it. */
	entry = integrity_build_entry(&b, 0, 2);
	image_le64(b.img, entry, 6ull << s.log2_block);
	check_data(b.img);
	assert_finding(b.img, INTEGRITY_JOURNAL_MAC, INTEGRITY_SB);
	assert_int_equal(image_seen(b.img, INTEGRITY_JOURNAL_MAC, ANYWHERE), 1);
	integrity_build_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_mac_of_the_journal_is_verified),
		cmocka_unit_test(every_hash_block_and_tag_size_is_found),
		cmocka_unit_test(map_says_where_each_area_lies),
		cmocka_unit_test(the_journal_is_applied_newest_last),
		cmocka_unit_test(a_section_torn_by_a_crash_is_not_applied),
		cmocka_unit_test(a_commit_id_that_can_not_be_is_damage_and_the_rest_is_applied),
		cmocka_unit_test(all_four_commit_ids_at_once_are_damage),
		cmocka_unit_test(a_journal_that_is_no_journal_is_undecided),
		cmocka_unit_test(damage_in_the_journal_is_told_by_its_tag),
		cmocka_unit_test(a_dirty_region_is_not_verified_and_the_rest_is),
		cmocka_unit_test(tags_not_computed_yet_are_not_verified),
		cmocka_unit_test(blocks_never_written_and_discarded_ones_are_told_apart),
		cmocka_unit_test(a_short_device_is_read_as_far_as_it_goes),
		cmocka_unit_test(a_device_with_room_to_spare_is_noted),
		cmocka_unit_test(tags_of_an_unknown_hash_are_undecided),
		cmocka_unit_test(impossible_and_foreign_superblocks_are_told_apart),
		cmocka_unit_test(inline_tags_are_undecided_and_data_is_read),
		cmocka_unit_test(truncation_anywhere_never_crashes),
		cmocka_unit_test(flips_in_metadata_never_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
