/* SPDX-License-Identifier: Apache-2.0 */
/* Reencryptions of LUKS2 that were cut short, in place and with data that moves. */
#include <errno.h>
#include <stdio.h>

#include "crypto/luks.h"
#include "tests/lib/luks2_build.h"

enum { LEN = LUKS2_PLAIN };

enum { HOT = 20 << 10, HOT_LEN = 8 << 10, OLD_FROM = HOT + HOT_LEN };

/*
 * A reencryption from key 0 to key 1, cut short: what lies before HOT is done, what lies behind
 * OLD_FROM is not. In between, every other block of @sector bytes is.
 */
static struct image *reencrypting(const char *resilience, uint32_t sector)
{
	static const char segment[] =
		"\"%d\":{\"type\":\"crypt\",\"offset\":\"%d\",\"size\":\"%s\",\"iv_tweak\":\"%d\","
		"\"encryption\":\"aes-xts-plain64\",\"sector_size\":%u%s}%s";
	static uint8_t plain[LEN], old[LEN];
	static char json[LUKS2_HEADER];
	struct image *img;
	const char *head, *tail;
	char size[32], keyslot[256];
	size_t n;

	luks2_fill(plain, LEN);
	img = luks2_build(plain, LEN, sector);
	memcpy(old, img->buf + LUKS2_DATA, LEN);
	for (uint32_t at = 0; at < OLD_FROM; at += sector) {
		bool journal = !strncmp(resilience, "\"journal", 8);

		if (at >= HOT && (at - HOT) / sector % 2)
			continue;
		memcpy(img->buf + LUKS2_DATA + at, plain + at, sector);
		if (at >= HOT && journal) /* a torn write: nobody can make sense of it */
			memset(img->buf + LUKS2_DATA + at, 0xa5, sector);
		else
			luks2_encrypt(1, sector, at, img->buf + LUKS2_DATA + at, sector);
	}
	for (uint32_t at = 0; at < HOT_LEN; at += sector)
		if (!strncmp(resilience, "\"journal", 8))
			image_poke(img, LUKS2_AREA + at, old + HOT + at, sector);
		else
			prim_hash(PRIM_SHA256, old + HOT + at, sector,
				  img->buf + LUKS2_AREA + at / sector * 32);
	snprintf(
		keyslot, sizeof(keyslot),
		",\"2\":{\"type\":\"reencrypt\",\"key_size\":1,\"mode\":\"reencrypt\",\"direction\":"
		"\"forward\",\"area\":{\"type\":%s,\"offset\":\"%d\",\"size\":\"%d\"}}},\"tokens\"",
		resilience, LUKS2_AREA, LUKS2_DATA - LUKS2_AREA);
	luks2_edit(img, "\"1\":{", "},\"tokens\"", keyslot);
	head = luks2_json(img);
	tail = strstr(head, "},\"digests\"");
	head = strstr(head, "\"segments\"");
	n = (size_t)snprintf(json, sizeof(json), "%.*s{", (int)(head - luks2_json(img)) + 11,
			     luks2_json(img));
	snprintf(size, sizeof(size), "%d", HOT);
	n += (size_t)snprintf(json + n, sizeof(json) - n, segment, 0, LUKS2_DATA, size, 0, sector,
			      "", ",");
	snprintf(size, sizeof(size), "%d", HOT_LEN);
	n += (size_t)snprintf(json + n, sizeof(json) - n, segment, 1, LUKS2_DATA + HOT, size,
			      HOT / 512, sector, ",\"flags\":[\"in-reencryption\"]", ",");
	n += (size_t)snprintf(json + n, sizeof(json) - n, segment, 2, LUKS2_DATA + OLD_FROM,
			      "dynamic", OLD_FROM / 512, sector, "", ",");
	n += (size_t)snprintf(json + n, sizeof(json) - n, segment, 3, LUKS2_DATA, "dynamic", 0,
			      sector, ",\"flags\":[\"backup-previous\"]", ",");
	n += (size_t)snprintf(json + n, sizeof(json) - n, segment, 4, LUKS2_DATA, "dynamic", 0,
			      sector, ",\"flags\":[\"backup-final\"]", "");
	snprintf(json + n, sizeof(json) - n, "%s", tail);
	luks2_set_json(img, json);
	luks2_edit(img, "\"digests\"", "\"segments\":[]", "\"segments\":[\"0\",\"1\",\"4\"]");
	luks2_edit(img, "\"digests\"", "\"segments\":[\"0\"]", "\"segments\":[\"2\",\"3\"]");
	return img;
}

static void both_sides_of_a_reencryption_are_read(void **state)
{
	static const struct {
		const char *resilience;
		uint32_t sector;
	} kinds[] = {
		{"\"checksum\",\"hash\":\"sha256\",\"sector_size\":512", 512},
		{"\"checksum\",\"hash\":\"sha256\",\"sector_size\":4096", 4096},
		{"\"journal\"", 512},
		{"\"journal\"", 4096},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct image *img = reencrypting(kinds[i].resilience, kinds[i].sector);

		luks2_key(img, 0);
		luks2_key(img, 1);
		image_check(img, &luks2_ops);
		assert_int_equal(img->err, 0);
		assert_finding(img, LUKS_REENCRYPTION, 0);
		assert_int_equal(image_worse(img, BLEMISH), 1);
		assert_int_equal(img->top->size, LEN);
		luks2_assert_plain(img, 0, LEN);
		for (uint64_t off = 100; off < LEN - 3000; off += 1777)
			luks2_assert_plain(img, off, 2999);
		image_free(img);
	}
}

/* Resilience "none": the zone is read as the new segment has it, and it is said. */
static void a_zone_that_nothing_proves_is_doubtful(void **state)
{
	struct image *img = reencrypting("\"none\"", 512);
	struct ranges bad = {0};
	uint8_t buf[LEN];

	(void)state;
	luks2_key(img, 0);
	luks2_key(img, 1);
	image_check(img, &luks2_ops);
	luks2_assert_plain(img, 0, HOT);
	luks2_assert_plain(img, OLD_FROM, LEN - OLD_FROM);
	assert_int_equal(layer_read(img->top, 0, buf, LEN, &bad), 0);
	ranges_sort(&bad);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].off, HOT);
	assert_int_equal(bad.v[0].len, HOT_LEN);
	assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
	ranges_free(&bad);
	image_free(img);
}

static void one_key_of_two_reads_its_side(void **state)
{
	struct image *img =
		reencrypting("\"checksum\",\"hash\":\"sha256\",\"sector_size\":512", 512);

	(void)state;
	luks2_key(img, 1);
	image_check(img, &luks2_ops);
	assert_int_equal(img->err, 0);
	luks2_assert_plain(img, 0, HOT);
	assert_lost(img, OLD_FROM, LEN - OLD_FROM, LAYER_LOCKED);
	image_no_keys(img);
	luks2_key(img, 0);
	image_check(img, &luks2_ops);
	assert_lost(img, 0, HOT, LAYER_LOCKED);
	luks2_assert_plain(img, OLD_FROM, LEN - OLD_FROM);
	image_free(img);
}

/* --- data that moves --- */

/*
 * An encryption moves data towards the end by SHIFT, the last zone first; a decryption moves it
 * back, the first one first. The first SHIFT bytes lie behind all others until their turn comes.
 */
enum { SHIFT = HOT_LEN, MOVED = LUKS2_DATA + LEN + SHIFT, IMAGE = MOVED + SHIFT };

struct seg {
	const char *type;
	uint64_t off, len, iv;
	const char *flag; /* or NULL */
};

static void set_state(struct image *img, const char *mode, const char *area, const struct seg *s,
		      size_t n)
{
	static char json[LUKS2_HEADER];
	char keyslot[400], *tail;
	const char *head;
	size_t len;

	snprintf(keyslot, sizeof(keyslot),
		 ",\"2\":{\"type\":\"reencrypt\",\"key_size\":1,%s,\"area\":{\"type\":%s,"
		 "\"shift_size\":\"%d\",\"offset\":\"%d\",\"size\":\"%d\"}}},\"tokens\"",
		 mode, area, SHIFT, LUKS2_AREA, LUKS2_DATA - LUKS2_AREA);
	luks2_edit(img, "\"1\":{", "},\"tokens\"", keyslot);
	head = luks2_json(img);
	len = (size_t)(strstr(head, "\"segments\"") - head) + 12;
	tail = strdup(strstr(head, "},\"digests\""));
	memcpy(json, head, len);
	for (size_t i = 0; i < n; i++) {
		len += (size_t)snprintf(
			json + len, sizeof(json) - len,
			"%s\"%zu\":{\"type\":\"%s\",\"offset\":\"%llu\",\"size\":\"%llu\"",
			i ? "," : "", i, s[i].type, (unsigned long long)s[i].off,
			(unsigned long long)s[i].len);
		if (!strcmp(s[i].type, "crypt"))
			len += (size_t)snprintf(
				json + len, sizeof(json) - len,
				",\"iv_tweak\":\"%llu\",\"encryption\":\"aes-xts-plain64\","
				"\"sector_size\":512",
				(unsigned long long)s[i].iv / 512);
		len += (size_t)snprintf(json + len, sizeof(json) - len,
					s[i].flag ? ",\"flags\":[\"%s\"]}" : "}", s[i].flag);
	}
	snprintf(json + len, sizeof(json) - len, "%s", tail);
	free(tail);
	luks2_set_json(img, json);
	luks2_edit(img, "\"digests\"", "\"segments\":[\"0\"]",
		   "\"segments\":[\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"]");
}

/* Nothing but noise, the plaintext in @plain, and its ciphertext in @cipher. */
static struct image *moving(uint8_t plain[LEN], uint8_t cipher[LEN])
{
	struct image *img;

	luks2_fill(plain, LEN);
	img = luks2_build(plain, LEN, 512);
	memcpy(cipher, plain, LEN);
	luks2_encrypt(0, 512, 0, cipher, LEN);
	image_resize(img, IMAGE);
	memset(img->buf + LUKS2_DATA, 0x5a, IMAGE - LUKS2_DATA);
	luks2_key(img, 0);
	return img;
}

static void assert_moving(struct image *img)
{
	struct extent run;

	image_check(img, &luks2_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, LUKS_REENCRYPTION, 0);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	assert_int_equal(img->top->size, LEN);
	luks2_assert_plain(img, 0, LEN);
	for (uint64_t off = 100; off < LEN - 3000; off += 1777)
		luks2_assert_plain(img, off, 2999);
	assert_int_equal(layer_map(img->top, HOT, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	image_exercise(img->top);
}

#define ENCRYPT "\"mode\":\"encrypt\",\"direction\":\"backward\""
#define DECRYPT "\"mode\":\"decrypt\",\"direction\":\"forward\""

static void an_encryption_that_moves_data_is_read_on_both_sides(void **state)
{
	static const struct seg segs[] = {
		{"linear", MOVED, SHIFT, 0, NULL},
		{"linear", LUKS2_DATA, HOT - SHIFT, 0, NULL},
		{"crypt", LUKS2_DATA + HOT, HOT_LEN, HOT, "in-reencryption"},
		{"crypt", LUKS2_DATA + OLD_FROM, LEN - OLD_FROM, OLD_FROM, NULL},
		{"linear", 0, LEN, 0, "backup-previous"},
		{"crypt", LUKS2_DATA, LEN, 0, "backup-final"},
		{"linear", MOVED, SHIFT, 0, "backup-moved-segment"}};
	static uint8_t plain[LEN], cipher[LEN];
	struct image *img = moving(plain, cipher);
	struct extent run;

	(void)state;
	image_poke(img, MOVED, plain, SHIFT);
	image_poke(img, LUKS2_DATA, plain + SHIFT, HOT_LEN + HOT - SHIFT);
	image_poke(img, LUKS2_DATA + HOT, cipher + HOT, HOT_LEN / 2); /* half of it is written */
	image_poke(img, LUKS2_DATA + OLD_FROM, cipher + OLD_FROM, LEN - OLD_FROM);
	set_state(img, ENCRYPT, "\"datashift\"", segs, 7);
	assert_moving(img);
	assert_int_equal(layer_map(img->top, HOT + 5, &run), 0);
	assert_int_equal(run.at, LUKS2_DATA + HOT - SHIFT + 5);
	image_free(img);
}

/* The last step: what was moved out of the header's way comes to its place. */
static void the_first_zone_is_read_from_where_it_was_moved(void **state)
{
	static const struct seg segs[] = {{"crypt", LUKS2_DATA, SHIFT, 0, "in-reencryption"},
					  {"crypt", LUKS2_DATA + SHIFT, LEN - SHIFT, SHIFT, NULL},
					  {"linear", 0, LEN, 0, "backup-previous"},
					  {"crypt", LUKS2_DATA, LEN, 0, "backup-final"},
					  {"linear", MOVED, SHIFT, 0, "backup-moved-segment"}};
	static uint8_t plain[LEN], cipher[LEN];
	struct image *img = moving(plain, cipher);
	struct extent run;

	(void)state;
	image_poke(img, MOVED, plain, SHIFT);
	image_poke(img, LUKS2_DATA + SHIFT, cipher + SHIFT, LEN - SHIFT);
	set_state(img, ENCRYPT, "\"datashift\"", segs, 5);
	assert_moving(img);
	assert_int_equal(layer_map(img->top, 5, &run), 0);
	assert_int_equal(run.at, MOVED + 5);
	image_free(img);
}

/* A shift that is smaller than the zone has overwritten what it was read from. */
static void a_shift_smaller_than_the_zone_proves_nothing(void **state)
{
	static const struct seg segs[] = {
		{"linear", LUKS2_DATA, HOT, 0, NULL},
		{"crypt", LUKS2_DATA + HOT, 2 * SHIFT, HOT, "in-reencryption"},
		{"crypt", LUKS2_DATA + HOT + 2 * SHIFT, 4096, HOT + 2 * SHIFT, NULL},
		{"linear", 0, LEN, 0, "backup-previous"}};
	static uint8_t plain[LEN], cipher[LEN];
	struct image *img = moving(plain, cipher);
	struct ranges bad = {0};
	uint8_t buf[512];

	(void)state;
	set_state(img, ENCRYPT, "\"datashift\"", segs, 4);
	image_check(img, &luks2_ops);
	assert_int_equal(layer_read(img->top, HOT, buf, sizeof(buf), &bad), 0);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
	ranges_free(&bad);
	image_free(img);
}

static void a_decryption_that_moves_data_is_read_on_both_sides(void **state)
{
	static const struct seg segs[] = {
		{"crypt", LUKS2_DATA, SHIFT, 0, NULL},
		{"linear", LUKS2_DATA + SHIFT, HOT - SHIFT, 0, NULL},
		{"linear", LUKS2_DATA + HOT, HOT_LEN, 0, "in-reencryption"},
		{"crypt", LUKS2_DATA + SHIFT + OLD_FROM, LEN - OLD_FROM, OLD_FROM, NULL},
		{"crypt", LUKS2_DATA + SHIFT, LEN, 0, "backup-previous"},
		{"linear", LUKS2_DATA, LEN, 0, "backup-final"},
		{"crypt", LUKS2_DATA, SHIFT, 0, "backup-moved-segment"}};
	static uint8_t plain[LEN], cipher[LEN];
	struct image *img = moving(plain, cipher);

	(void)state;
	image_poke(img, LUKS2_DATA, cipher, SHIFT);
	image_poke(img, LUKS2_DATA + SHIFT, plain + SHIFT, HOT - SHIFT);
	image_poke(img, LUKS2_DATA + HOT, plain + HOT, HOT_LEN / 2);
	image_poke(img, LUKS2_DATA + SHIFT + HOT, cipher + HOT, LEN - HOT);
	set_state(img, DECRYPT, "\"datashift-journal\"", segs, 7);
	assert_moving(img);
	image_free(img);
}

/* The moved head is decrypted last, and in place: by checksums, or from the journal. */
static void the_moved_head_of_a_decryption_is_told_block_by_block(void **state)
{
	static const char *const areas[] = {
		"\"datashift-checksum\",\"hash\":\"sha256\",\"sector_size\":512",
		"\"datashift-journal\""};
	static const struct seg segs[] = {{"linear", LUKS2_DATA, SHIFT, 0, "in-reencryption"},
					  {"linear", LUKS2_DATA + SHIFT, LEN - SHIFT, 0, NULL},
					  {"crypt", LUKS2_DATA + SHIFT, LEN, 0, "backup-previous"},
					  {"linear", LUKS2_DATA, LEN, 0, "backup-final"},
					  {"crypt", LUKS2_DATA, SHIFT, 0, "backup-moved-segment"}};
	static uint8_t plain[LEN], cipher[LEN];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct image *img = moving(plain, cipher);

		image_poke(img, LUKS2_DATA, plain, LEN);
		for (uint32_t at = 0; at < SHIFT; at += 512) {
			if (at % 1024)
				image_poke(img, LUKS2_DATA + at, cipher + at, 512);
			if (!i)
				prim_hash(PRIM_SHA256, cipher + at, 512,
					  img->buf + LUKS2_AREA + at / 512 * 32);
			else
				image_poke(img, LUKS2_AREA + at, cipher + at, 512);
		}
		set_state(img, DECRYPT, areas[i], segs, 5);
		assert_moving(img);
		image_free(img);
	}
}

/* Nothing is encrypted yet: no key is needed, and none is asked for. */
static void an_encryption_that_was_prepared_only_is_open(void **state)
{
	static const struct seg segs[] = {{"linear", MOVED, SHIFT, 0, NULL},
					  {"linear", LUKS2_DATA, LEN - SHIFT, 0, NULL},
					  {"linear", 0, LEN, 0, "backup-previous"},
					  {"crypt", LUKS2_DATA, LEN, 0, "backup-final"},
					  {"linear", MOVED, SHIFT, 0, "backup-moved-segment"}};
	static uint8_t plain[LEN], cipher[LEN];
	struct image *img = moving(plain, cipher);

	(void)state;
	image_poke(img, MOVED, plain, SHIFT);
	image_poke(img, LUKS2_DATA, plain + SHIFT, LEN - SHIFT);
	set_state(img, ENCRYPT, "\"datashift\"", segs, 5);
	image_no_keys(img);
	assert_moving(img);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_of_a_reencryption_are_read),
		cmocka_unit_test(a_zone_that_nothing_proves_is_doubtful),
		cmocka_unit_test(one_key_of_two_reads_its_side),
		cmocka_unit_test(an_encryption_that_moves_data_is_read_on_both_sides),
		cmocka_unit_test(the_first_zone_is_read_from_where_it_was_moved),
		cmocka_unit_test(a_shift_smaller_than_the_zone_proves_nothing),
		cmocka_unit_test(a_decryption_that_moves_data_is_read_on_both_sides),
		cmocka_unit_test(the_moved_head_of_a_decryption_is_told_block_by_block),
		cmocka_unit_test(an_encryption_that_was_prepared_only_is_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
