/* SPDX-License-Identifier: Apache-2.0 */
/* What can be wrong with LUKS headers, on devices of our own; detached headers. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/header.h"
#include "crypto/keys.h"
#include "crypto/luks.h"
#include "tests/lib/luks1_build.h"
#include "tests/lib/luks2_build.h"

enum { LEN = LUKS2_PLAIN, SLOT = 0xd0 }; /* SLOT: LUKS1's first keyslot */

static struct image *luks2(void)
{
	static uint8_t plain[LEN];

	luks2_fill(plain, LEN);
	return luks2_build(plain, LEN, 512);
}

/* A LUKS1 header with one keyslot in use that has its place. */
static struct image *luks1_with_slot(void)
{
	struct image *img = luks1_build(LEN, "xts-plain64");

	image_resize(img, img->len + 4096);
	memmove(img->buf + LUKS1_PAYLOAD + 4096, img->buf + LUKS1_PAYLOAD, LEN);
	image_be32(img, 0x68, (LUKS1_PAYLOAD + 4096) / 512);
	image_be32(img, SLOT, 0xac71f3);
	image_be32(img, SLOT + 4, 1000);
	image_be32(img, SLOT + 40, 8); /* sector */
	image_be32(img, SLOT + 44, 16);
	for (size_t i = 0; i < 1024; i++)
		img->buf[4096 + i] = (uint8_t)(i * i * 7 + i * 3 + (i >> 3) * 89 + 1);
	return img;
}

/* --- LUKS1 --- */

static void luks1_values_that_cannot_be(void **state)
{
	static const struct {
		uint64_t at;
		uint32_t v;
	} damage[] = {{0x6c, 0}, {0x6c, 513}, {0x08, 0x80ffffff}, {0x48, 0x01020304}};

	(void)state;
	for (size_t i = 0; i < sizeof(damage) / sizeof(*damage); i++) {
		struct image *img = luks1_with_slot();

		image_be32(img, damage[i].at, damage[i].v);
		image_check(img, &luks1_ops);
		assert_int_equal(img->err, -EBADMSG);
		assert_finding(img, LUKS_HEADER_IMPOSSIBLE, 0);
		image_free(img);
	}
}

static void luks1_cut_before_its_payload(void **state)
{
	struct image *img = luks1_with_slot();

	(void)state;
	image_resize(img, LUKS1_PAYLOAD + 4096 - 512);
	image_check(img, &luks1_ops);
	assert_finding(img, LUKS_TRUNCATED, 0x68);
	assert_int_equal(img->top->size, 0);
	image_free(img);
}

static void luks1_without_a_keyslot_needs_the_volume_key(void **state)
{
	struct image *img = luks1_build(LEN, "xts-plain64");

	(void)state;
	luks1_key(img);
	image_check(img, &luks1_ops);
	assert_finding(img, LUKS_NO_KEYSLOT, SLOT);
	assert_int_equal(img->err, 0);
	luks2_assert_plain(img, 0, LEN);
	image_free(img);
}

static void luks1_keyslots_that_cannot_be(void **state)
{
	static const struct {
		uint64_t at;
		uint32_t v;
	} damage[] = {
		{SLOT, 0x12345678},	 /* neither in use nor free */
		{SLOT + 40, 0},		 /* in the header */
		{SLOT + 40, 1 << 20},	 /* behind the payload's start */
		{SLOT + 44, 0},		 /* no stripes */
		{SLOT + 44, 0xffffffff}, /* too many */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(damage) / sizeof(*damage); i++) {
		struct image *img = luks1_with_slot();

		image_be32(img, damage[i].at, damage[i].v);
		luks1_key(img);
		image_check(img, &luks1_ops);
		assert_finding(img, LUKS_KEYSLOT_IMPOSSIBLE, SLOT);
		assert_int_equal(img->err, 0);
		luks2_assert_plain(img, 0, LEN); /* the data itself is not hit */
		image_free(img);
	}
}

/* Whatever is wrong with it, the others open. */
static void luks1_keyslots_that_are_not_in_use_are_looked_at(void **state)
{
	static const uint32_t sector[] = {12, 1, 9, 1 << 30};

	(void)state;
	for (size_t i = 0; i < sizeof(sector) / sizeof(*sector); i++) {
		struct image *img = luks1_with_slot();

		/* The one that is used takes two sectors, from 8 on. */
		image_be32(img, SLOT + 48 + 40, sector[i]);
		image_be32(img, SLOT + 48 + 44, 4);
		luks1_key(img);
		image_check(img, &luks1_ops);
		assert_int_equal(img->err, 0);
		if (i)
			assert_finding(img, LUKS_KEYSLOT_UNUSED_BAD, SLOT + 48);
		else
			assert_clean(img);
		luks2_assert_plain(img, 0, LEN);
		image_free(img);
	}
}

static void luks1_keyslots_on_the_same_material(void **state)
{
	struct image *img = luks1_with_slot();

	(void)state;
	image_open(img, &luks1_ops);
	assert_int_equal(image_seen(img, LUKS_KEYSLOT_OVERLAP, ANYWHERE), 0);
	memcpy(img->buf + SLOT + 48, img->buf + SLOT, 48);
	image_be32(img, SLOT + 48 + 40, 9);
	image_open(img, &luks1_ops);
	assert_finding(img, LUKS_KEYSLOT_OVERLAP, 9 * 512);
	image_free(img);
}

/* --- LUKS2 --- */

static void luks2_opens_with_its_passphrase(void **state)
{
	static const uint32_t sectors[] = {512, 4096};
	static uint8_t plain[LEN];

	(void)state;
	luks2_fill(plain, LEN);
	for (int i = 0; i < 2; i++) {
		struct image *img = luks2_build(plain, LEN, sectors[i]);

		luks2_key(img, 0);
		image_check(img, &luks2_ops);
		assert_int_equal(img->err, 0);
		assert_clean(img);
		luks2_assert_plain(img, 0, LEN);
		image_no_keys(img);
		luks2_key(img, 1); /* its keyslot holds a key that no segment uses */
		image_check(img, &luks2_ops);
		assert_int_equal(img->err, -EKEYREJECTED);
		image_free(img);
	}
}

static void luks2_keyslots_that_cannot_be(void **state)
{
	static const char *const damage[][2] = {
		{"\"offset\":\"32768\"", "\"offset\":\"4096\""},
		{"\"offset\":\"32768\"", "\"offset\":\"18446744073709551000\""},
		{"\"size\":\"4096\"", "\"size\":\"256\""},
		{"\"stripes\":8", "\"stripes\":0"},
		{"\"stripes\":8", "\"stripes\":4000000000"},
		{"\"key_size\":64", "\"key_size\":0"},
		{"\"key_size\":64", "\"key_size\":100000"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(damage) / sizeof(*damage); i++) {
		struct image *img = luks2();

		luks2_edit(img, "\"keyslots\"", damage[i][0], damage[i][1]);
		luks2_key(img, 0);
		image_check(img, &luks2_ops);
		assert_finding(img, LUKS_KEYSLOT_IMPOSSIBLE, 4096);
		assert_int_equal(img->err, -ENOKEY); /* none of what is left could take it */
		image_free(img);
	}
}

static void luks2_keyslots_of_an_unknown_kind(void **state)
{
	static const char *const change[][2] = {{"\"pbkdf2\"", "\"scrypt\""},
						{"\"luks2\"", "\"luks9\""},
						{"\"sha256\"", "\"md17\""},
						{"\"aes-xts-plain64\"", "\"\""}};

	(void)state;
	for (size_t i = 0; i < sizeof(change) / sizeof(*change); i++) {
		struct image *img = luks2();

		luks2_edit(img, "\"keyslots\"", change[i][0], change[i][1]);
		image_open(img, &luks2_ops);
		assert_finding(img, LUKS_KEYSLOT_UNKNOWN, 4096);
		image_free(img);
	}
}

/* The passphrase is right: that it could not be tried is said, and not that it is none. */
static void a_passphrase_that_no_keyslot_can_take(void **state)
{
	struct image *img = luks2();

	(void)state;
	luks2_key(img, 0);
	luks2_edit(img, "\"keyslots\"", "\"sha256\"", "\"md17\"");
	image_open(img, &luks2_ops);
	assert_int_equal(img->err, -ENOKEY);
	assert_finding(img, LUKS_KEYSLOT_UNKNOWN, 4096);
	assert_finding(img, LUKS_UNSUPPORTED, 0);
	image_free(img);
}

static void luks1_with_a_key_that_its_cipher_does_not_take(void **state)
{
	struct image *img = luks1_with_slot();

	(void)state;
	image_be32(img, 0x6c, 5);
	image_open(img, &luks1_ops);
	assert_int_equal(img->err, -EOPNOTSUPP);
	assert_finding(img, LUKS_UNSUPPORTED, 0);
	image_free(img);
}

static void luks2_keyslots_on_the_same_material(void **state)
{
	struct image *img = luks2();

	(void)state;
	luks2_edit(img, "\"1\":{", "\"offset\":\"36864\"", "\"offset\":\"32768\"");
	image_open(img, &luks2_ops);
	assert_finding(img, LUKS_KEYSLOT_OVERLAP, LUKS2_SLOT0);
	image_free(img);
}

static void the_newer_luks2_header_is_used(void **state)
{
	(void)state;
	for (int newer = 0; newer < 2; newer++) {
		struct image *img = luks2();
		uint64_t older_at = (uint64_t)!newer * LUKS2_HEADER;

		image_be64(img, (uint64_t)newer * LUKS2_HEADER + 16, 6);
		/* What only the older one says must not count. */
		memcpy(img->buf + older_at + 0x18, "older", 5);
		luks2_sum(img, 0);
		luks2_sum(img, 1);
		luks2_key(img, 0);
		image_check(img, &luks2_ops);
		assert_int_equal(img->err, 0);
		assert_finding(img, LUKS2_HEADER_STALE, older_at + 16);
		assert_string_equal(image_first(img, LUKS2_HEADER_STALE)->stored, "sequence id 5");
		assert_string_equal(((struct luks *)img->top->priv)->label, "");
		luks2_assert_plain(img, 0, LEN);
		image_free(img);
	}
}

/* A device whose segment ends behind its end. */
static void luks2_cut_in_its_data(void **state)
{
	struct image *img = luks2();

	(void)state;
	luks2_edit(img, "\"segments\"", "\"dynamic\"", "\"65536\"");
	image_resize(img, LUKS2_DATA + LEN - 4096);
	luks2_key(img, 0);
	image_check(img, &luks2_ops);
	assert_finding(img, LUKS_TRUNCATED, 4096);
	luks2_assert_plain(img, 0, LEN - 4096);
	assert_lost(img, LEN - 4096, 4096, LAYER_READ_PAST_END);
	image_free(img);
}

/* --- work that a header asks for --- */

static void a_keyslot_made_to_hang_is_not_tried(void **state)
{
	static const char *const kdf[] = {
		"\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":4294967295",
		"\"argon2id\",\"time\":4000000000,\"memory\":1024,\"cpus\":1",
		"\"argon2id\",\"time\":4,\"memory\":4294967295,\"cpus\":4",
		"\"argon2i\",\"time\":1000000,\"memory\":4194304,\"cpus\":4",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kdf) / sizeof(*kdf); i++) {
		struct image *img = luks2();

		luks2_edit(img, "\"keyslots\"",
			   "\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":1000", kdf[i]);
		luks2_key(img, 0);
		luks2_key(img, 1);
		image_open(img, &luks2_ops);
		assert_finding(img, LUKS_KEYSLOT_COSTLY, LUKS2_SLOT0);
		assert_int_equal(img->err, -ENOKEY);
		image_free(img);
	}
}

/* Thirty-two keyslots, each just within bounds: what they cost together is bounded, too. */
static void the_sum_over_all_keyslots_is_bounded(void **state)
{
	static char slots[24 << 10], json[32 << 10];
	struct image *img = luks2();
	const char *from, *end, *rest;
	uint64_t work = 0;
	const struct luks *u;

	(void)state;
	luks2_edit(img, "\"keyslots\"", "\"iterations\":1000", "\"iterations\":90000000");
	from = strstr(luks2_json(img), "\"0\":{");
	end = strstr(from, ",\"1\":{");
	rest = strstr(end, "},\"tokens\"");
	for (int i = 0, n = 0; i < 24; i++)
		n += snprintf(slots + n, sizeof(slots) - (size_t)n, "%s\"%d\"%.*s", i ? "," : "", i,
			      (int)(end - from - 3), from + 3);
	snprintf(json, sizeof(json), "{\"keyslots\":{%s%s", slots, rest);
	assert_true(strlen(json) < LUKS2_HEADER - 4096);
	luks2_set_json(img, json);
	image_open(img, &luks2_ops);
	u = img->top->priv;
	assert_int_equal(u->n_slots, 24);
	for (size_t i = 0; i < u->n_slots; i++)
		if (u->slot[i].state == LUKS_SLOT_GOOD)
			work += u->slot[i].passes * 2;
	assert_true(work <= 200000000);
	assert_int_equal(image_seen(img, LUKS_KEYSLOT_COSTLY, ANYWHERE), 23);
	image_free(img);
}

/* A digest is computed for every key that is tried: it may not ask for much either. */
static void a_digest_made_to_hang_opens_nothing(void **state)
{
	struct image *img = luks2();

	(void)state;
	luks2_edit(img, "\"digests\"", "\"iterations\":1000", "\"iterations\":4294967295");
	luks2_key(img, 0);
	image_open(img, &luks2_ops);
	assert_int_equal(img->err, -EKEYREJECTED);
	image_free(img);
}

/* --- headers apart from their devices --- */

static void write_file(const char *path, const uint8_t *p, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(p, len, 1, f), 1);
	assert_int_equal(fclose(f), 0);
}

static void a_detached_header_opens_its_device(void **state)
{
	char path[] = "/tmp/vdiskck-header-XXXXXX";
	const char *headers[] = {path, NULL};
	struct image *img = luks2(), *bare = image_new(LEN);
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	luks2_edit(img, "\"segments\":{", "\"offset\":\"65536\"", "\"offset\":\"0\"");
	write_file(path, img->buf, LUKS2_DATA);
	memcpy(bare->buf, img->buf + LUKS2_DATA, LEN);
	/* Alone, it is no device. */
	image_resize(img, LUKS2_DATA);
	image_open(img, &luks2_ops);
	assert_int_equal(img->err, -EOPNOTSUPP);
	assert_finding(img, LUKS_HEADER_ALONE, 0);

	bare->headers = headers;
	luks2_key(bare, 0);
	image_discover(bare);
	assert_non_null(bare->top);
	assert_string_equal(bare->top->ops->name, "luks2");
	assert_clean(bare);
	assert_true(headers_used(bare->source));
	luks2_assert_plain(bare, 0, LEN);
	unlink(path);
	image_free(img);
	image_free(bare);
}

/* The backup of a header takes the place of one that is damaged. */
static void a_backup_of_a_header_wins_over_a_damaged_one(void **state)
{
	char path[] = "/tmp/vdiskck-header-XXXXXX";
	const char *headers[] = {path, NULL};
	struct image *img = luks2();
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_file(path, img->buf, LUKS2_DATA);
	memset(img->buf + LUKS2_SLOT0, 0, LUKS2_SLOT); /* the keyslot of the device is gone */
	luks2_key(img, 0);
	image_discover(img);
	assert_int_equal(img->top->state, -EKEYREJECTED);
	assert_finding(img, LUKS_KEYSLOT_OVERWRITTEN, ANYWHERE);
	img->headers = headers;
	image_discover(img);
	assert_int_equal(img->top->state, 0);
	assert_clean(img);
	luks2_assert_plain(img, 0, LEN);
	unlink(path);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(luks1_values_that_cannot_be),
		cmocka_unit_test(luks1_cut_before_its_payload),
		cmocka_unit_test(luks1_without_a_keyslot_needs_the_volume_key),
		cmocka_unit_test(luks1_keyslots_that_cannot_be),
		cmocka_unit_test(luks1_keyslots_that_are_not_in_use_are_looked_at),
		cmocka_unit_test(luks1_keyslots_on_the_same_material),
		cmocka_unit_test(luks2_opens_with_its_passphrase),
		cmocka_unit_test(luks2_keyslots_that_cannot_be),
		cmocka_unit_test(luks2_keyslots_of_an_unknown_kind),
		cmocka_unit_test(a_passphrase_that_no_keyslot_can_take),
		cmocka_unit_test(luks1_with_a_key_that_its_cipher_does_not_take),
		cmocka_unit_test(luks2_keyslots_on_the_same_material),
		cmocka_unit_test(the_newer_luks2_header_is_used),
		cmocka_unit_test(luks2_cut_in_its_data),
		cmocka_unit_test(a_keyslot_made_to_hang_is_not_tried),
		cmocka_unit_test(the_sum_over_all_keyslots_is_bounded),
		cmocka_unit_test(a_digest_made_to_hang_opens_nothing),
		cmocka_unit_test(a_detached_header_opens_its_device),
		cmocka_unit_test(a_backup_of_a_header_wins_over_a_damaged_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
