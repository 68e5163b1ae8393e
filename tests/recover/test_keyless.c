/* SPDX-License-Identifier: Apache-2.0 */
/* Damage to ciphertext is seen without a key, and what only looks like it is not. */
#include "recover/keyless.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "crypto/luks.h"
#include "crypto/prim.h"
#include "tests/lib/luks1_build.h"

enum { SIZE = 8 << 20, AT = LUKS1_PAYLOAD };

static struct image *volume(void)
{
	return luks1_build(SIZE, "xts-plain64");
}

/* Findings of the pass alone: that the volume is locked, and has no keyslot, is not our subject. */
static void pass(struct image *img)
{
	image_open(img, &luks1_ops);
	while (img->n_seen)
		img->n_seen--;
	assert_int_equal(keyless_check(img->top), 0);
}

static void noise(uint8_t *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		p[i] = (uint8_t)((seed * 0x2545f4914f6cdd1dull) >> 56);
	}
}

/* Exactly one finding above INFO: @id, about @len bytes from @off of the volume on. */
static void one(struct image *img, enum finding_id id, uint64_t off, uint64_t len)
{
	const struct seen *f = image_first(img, id);

	if (image_worse(img, BLEMISH) != 1 || !f || f->fact.at != AT + off ||
	    f->fact.at_len != len || f->fact.off != off || f->fact.len != len ||
	    !f->fact.doubtful) {
		image_print(img);
		fail_msg("not one %s at %#llx", finding_name(id), (unsigned long long)off);
	}
}

static void aes_output_raises_no_alarm(void **state)
{
	enum { CHUNK = 16 << 20, CHUNKS = 32 }; /* 512 MiB: a million sectors */
	struct sector_spec spec = {"aes", "xts", "plain64", 512, 512};
	uint8_t key[64], *buf = malloc(CHUNK);
	struct sector_cipher *c;
	unsigned seen[5] = {0};

	(void)state;
	assert_non_null(buf);
	noise(key, sizeof(key), 7);
	assert_int_equal(sector_open(&c, &spec, key, sizeof(key)), 0);
	for (uint64_t i = 0; i < CHUNKS; i++) {
		memset(buf, 0, CHUNK);
		assert_int_equal(sector_encrypt(c, i * CHUNK, buf, CHUNK), 0);
		for (size_t k = 0; k < CHUNK; k += 512)
			seen[keyless_look(buf + k)]++;
	}
	assert_int_equal(seen[LOOK_PLAIN] + seen[LOOK_CONSTANT] + seen[LOOK_ZERO], 0);
	assert_true(seen[LOOK_WEAK] < 8); /* 0.09 expected */
	sector_close(c);
	free(buf);
}

static void looks_are_told_apart(void **state)
{
	uint8_t p[512];

	(void)state;
	memset(p, 0, sizeof(p));
	assert_int_equal(keyless_look(p), LOOK_ZERO);
	memset(p, 0xff, sizeof(p));
	assert_int_equal(keyless_look(p), LOOK_CONSTANT);
	for (int i = 0; i < 512; i++)
		p[i] = i & 1 ? 'a' : 'b'; /* 256 of each: no count may wrap */
	assert_int_equal(keyless_look(p), LOOK_PLAIN);
	luks1_text(5, p);
	assert_int_equal(keyless_look(p), LOOK_PLAIN);
	noise(p, sizeof(p), 3);
	assert_int_equal(keyless_look(p), LOOK_RANDOM);
	memset(p + 100, 0, 48); /* a part of a sector is enough */
	assert_int_equal(keyless_look(p), LOOK_PLAIN);
	/* Every byte twice: more even than random, and that is no alarm. */
	for (int i = 0; i < 512; i++)
		p[i] = (uint8_t)i;
	assert_int_equal(keyless_look(p), LOOK_RANDOM);
}

static void a_clean_volume_is_silent_locked_and_open(void **state)
{
	struct image *img = volume();

	(void)state;
	pass(img);
	assert_int_equal(img->err, -ENOKEY);
	assert_int_equal(img->n_seen, 0);
	luks1_key(img);
	pass(img);
	assert_int_equal(img->err, 0);
	assert_int_equal(img->n_seen, 0);
	image_free(img);
}

static void a_zeroed_sector_is_found_without_a_key(void **state)
{
	struct image *img = volume();

	(void)state;
	memset(img->buf + AT + 0x123400, 0, 512);
	pass(img);
	one(img, CIPHERTEXT_OVERWRITTEN, 0x123400, 512);
	assert_non_null(strstr(image_first(img, CIPHERTEXT_OVERWRITTEN)->message, "torn"));
	image_free(img);
}

static void a_zeroed_block_across_pieces_is_one_finding(void **state)
{
	struct image *img = volume();

	(void)state;
	/* 1 MiB of the layer below, where the engine cuts, is in the middle. */
	memset(img->buf + (1 << 20) - 4096, 0, 8192);
	pass(img);
	one(img, CIPHERTEXT_OVERWRITTEN, (1 << 20) - 4096 - AT, 8192);
	assert_null(strstr(image_first(img, CIPHERTEXT_OVERWRITTEN)->message, "torn"));
	image_free(img);
}

static void plaintext_written_past_the_cipher_is_named(void **state)
{
	struct image *img = volume();

	(void)state;
	for (int i = 0; i < 3; i++)
		luks1_text(0x1000, img->buf + AT + 0x200000 + 512 * i);
	pass(img);
	one(img, CIPHERTEXT_OVERWRITTEN, 0x200000, 3 * 512);
	assert_string_equal(image_first(img, CIPHERTEXT_OVERWRITTEN)->stored, "text");
	image_free(img);
}

static void the_first_and_the_last_sector_count(void **state)
{
	struct image *img = volume();

	(void)state;
	memset(img->buf + AT, 0x55, 512);
	memset(img->buf + img->len - 512, 0xff, 512);
	pass(img);
	assert_int_equal(image_worse(img, BLEMISH), 2);
	assert_finding(img, CIPHERTEXT_OVERWRITTEN, AT);
	assert_finding(img, CIPHERTEXT_OVERWRITTEN, img->len - 512);
	assert_string_equal(image_first(img, CIPHERTEXT_OVERWRITTEN)->stored, "bytes 0x55");
	image_free(img);
}

static void header_and_keyslots_are_no_ciphertext(void **state)
{
	struct image *img = volume();

	(void)state;
	memset(img->buf + 600, 0, AT - 600);
	memcpy(img->buf + 1024, img->buf + AT + 1024, 2048); /* nor can they be its twin */
	pass(img);
	assert_int_equal(img->n_seen, 0);
	image_free(img);
}

static void a_device_that_was_not_wiped_is_clean(void **state)
{
	struct image *img = volume();

	(void)state;
	memset(img->buf + AT + SIZE / 2, 0, SIZE / 2);
	luks1_text(77, img->buf + AT + SIZE / 2 + 0x10000); /* of an earlier life */
	pass(img);
	assert_clean(img);
	assert_finding(img, CIPHERTEXT_PARTLY, 0);
	image_free(img);
}

static void trimmed_blocks_are_clean(void **state)
{
	struct image *img = volume();

	(void)state;
	for (int i = 0; i < 40; i++)
		memset(img->buf + AT + i * 0x20000, 0, 4096);
	pass(img);
	assert_clean(img);
	image_free(img);
}

/* Holes of whole blocks, as a file system with 4 KiB blocks leaves them. */
static void punch(struct image *img, int n)
{
	for (int i = 0; i < n; i++)
		memset(img->buf + AT + 0x20000 + i * 0x8000, 0, 4096 * (1 + i % 3));
}

static void a_hole_inside_a_block_of_a_partly_encrypted_volume(void **state)
{
	struct image *img = volume();

	(void)state;
	punch(img, 128);
	memset(img->buf + AT + 0x506000 + 1024, 0, 512);
	pass(img);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	assert_finding(img, CIPHERTEXT_HOLE, AT + 0x506000 + 1024);
	assert_finding(img, CIPHERTEXT_PARTLY, 0);
	image_free(img);
}

static void small_file_system_blocks_make_no_holes(void **state)
{
	struct image *img = volume();

	(void)state;
	punch(img, 128);
	for (int i = 0; i < 12; i++) /* 1 KiB blocks, never written */
		memset(img->buf + AT + 0x106400 + i * 0x8000, 0, 1024);
	pass(img);
	assert_clean(img);
	image_free(img);
}

static void a_duplicated_block_is_found_without_a_key(void **state)
{
	struct image *img = volume();
	const struct seen *f;

	(void)state;
	memcpy(img->buf + AT + 0x600000, img->buf + AT + 0x100000, 3 * 4096);
	pass(img);
	one(img, CIPHERTEXT_TWICE, 0x600000, 3 * 4096);
	f = image_first(img, CIPHERTEXT_TWICE);
	assert_non_null(strstr(f->message, "0x101000")); /* the other place, below */
	image_free(img);
}

static void with_the_key_a_twin_is_told_from_its_original(void **state)
{
	struct image *img = volume();

	(void)state;
	memcpy(img->buf + AT + 0x100000, img->buf + AT + 0x600000, 1024);
	luks1_key(img);
	pass(img);
	/* The lower one is the copy; without the key the upper one would be named. */
	assert_finding(img, CIPHERTEXT_TWICE, AT + 0x100000);
	assert_non_null(strstr(image_first(img, CIPHERTEXT_TWICE)->message, "noise"));
	image_free(img);
}

static void the_same_archive_twice_under_unused_space_is_no_damage(void **state)
{
	struct image *img = volume();

	(void)state;
	memset(img->buf + AT + SIZE / 2, 0, SIZE / 2);
	noise(img->buf + AT + 0x500000, 0x8000, 9);
	memcpy(img->buf + AT + 0x700000, img->buf + AT + 0x500000, 0x8000);
	pass(img);
	assert_clean(img);
	assert_finding(img, CIPHERTEXT_TWICE_UNSURE, AT + 0x700000);
	luks1_key(img);
	pass(img);
	assert_clean(img);
	/* Real ciphertext twice, on the same volume: the key tells. */
	memcpy(img->buf + AT + 0x300000, img->buf + AT + 0x200000, 4096);
	pass(img);
	assert_finding(img, CIPHERTEXT_TWICE, AT + 0x300000);
	image_free(img);
}

static void without_room_for_all_blocks_a_part_is_compared(void **state)
{
	struct image *img = volume();
	const struct seen *f;

	(void)state;
	memcpy(img->buf + AT + 0x600000, img->buf + AT + 0x100000, 1 << 20);
	image_open(img, &luks1_ops);
	img->n_seen = 0;
	assert_int_equal(keyless_check_in(img->top, 1 << 11), 0); /* of 16384 sectors */
	assert_finding(img, CIPHERTEXT_SAMPLED, 0);
	f = image_first(img, CIPHERTEXT_SAMPLED);
	assert_true(strstr(f->message, "one block of 8 ") ||
		    strstr(f->message, "one block of 16 "));
	/* Some 128 to 256 of 2048 sectors that stand twice are kept, and found. */
	assert_in_range(image_seen(img, CIPHERTEXT_TWICE, ANYWHERE), 60, 320);
	image_free(img);
}

static void modes_that_show_patterns_are_left_alone(void **state)
{
	struct image *img = luks1_build(SIZE, "ecb");

	(void)state;
	memset(img->buf + AT + 0x100000, 0, 4096);
	pass(img);
	assert_int_equal(img->n_seen, 0);
	image_free(img);
}

static void cbc_is_seen_like_xts(void **state)
{
	struct image *img = luks1_build(SIZE, "cbc-essiv:sha256");

	(void)state;
	luks1_key(img);
	pass(img);
	assert_int_equal(img->n_seen, 0);
	memset(img->buf + AT + 0x300200, 0, 512);
	pass(img);
	one(img, CIPHERTEXT_OVERWRITTEN, 0x300200, 512);
	image_free(img);
}

/* What could not be read is zero in memory, and that is the reading's fault. */
static void unreadable_sectors_are_not_judged(void **state)
{
	struct image *img = volume(), *file;
	char path[] = "/tmp/keyless-XXXXXX", map[64];
	FILE *f;

	(void)state;
	assert_true(close(mkstemp(path)) == 0);
	image_write(img, path);
	snprintf(map, sizeof(map), "%s.map", path);
	f = fopen(map, "w");
	assert_non_null(f);
	fprintf(f, "0 +\n0 0x100000 +\n0x100000 0x2000 -\n0x102000 0x%zx +\n", img->len - 0x102000);
	assert_int_equal(fclose(f), 0);
	file = image_stack_map(path, NULL, map);
	assert_non_null(file->top);
	assert_non_null(file->top->child);
	assert_string_equal(file->top->child->ops->name, "luks1");
	file->n_seen = 0;
	assert_int_equal(keyless_check(file->top->child), 0);
	assert_int_equal(file->n_seen, 0);
	unlink(path);
	unlink(map);
	image_free(file);
	image_free(img);
}

/* Whatever the header says of where the payload is, the pass ends. */
static void hostile_headers_end(void **state)
{
	struct image *img = luks1_build(64 << 10, "xts-plain64");

	(void)state;
	for (size_t i = 8; i < 592; i++) {
		uint8_t was = img->buf[i];

		img->buf[i] ^= (uint8_t)(i % 3 ? 0xff : 0x01);
		image_open(img, &luks1_ops);
		keyless_check(img->top);
		img->buf[i] = was;
	}
	image_free(img);
	for (size_t len = 512; len < 8 << 10; len += 700) { /* cut at the header, at the payload */
		img = luks1_build(64 << 10, "xts-plain64");
		image_resize(img, len);
		image_open(img, &luks1_ops);
		assert_int_equal(keyless_check(img->top), 0);
		image_free(img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aes_output_raises_no_alarm),
		cmocka_unit_test(looks_are_told_apart),
		cmocka_unit_test(a_clean_volume_is_silent_locked_and_open),
		cmocka_unit_test(a_zeroed_sector_is_found_without_a_key),
		cmocka_unit_test(a_zeroed_block_across_pieces_is_one_finding),
		cmocka_unit_test(plaintext_written_past_the_cipher_is_named),
		cmocka_unit_test(the_first_and_the_last_sector_count),
		cmocka_unit_test(header_and_keyslots_are_no_ciphertext),
		cmocka_unit_test(a_device_that_was_not_wiped_is_clean),
		cmocka_unit_test(trimmed_blocks_are_clean),
		cmocka_unit_test(a_hole_inside_a_block_of_a_partly_encrypted_volume),
		cmocka_unit_test(small_file_system_blocks_make_no_holes),
		cmocka_unit_test(a_duplicated_block_is_found_without_a_key),
		cmocka_unit_test(with_the_key_a_twin_is_told_from_its_original),
		cmocka_unit_test(the_same_archive_twice_under_unused_space_is_no_damage),
		cmocka_unit_test(without_room_for_all_blocks_a_part_is_compared),
		cmocka_unit_test(modes_that_show_patterns_are_left_alone),
		cmocka_unit_test(cbc_is_seen_like_xts),
		cmocka_unit_test(hostile_headers_end),
		cmocka_unit_test(unreadable_sectors_are_not_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
