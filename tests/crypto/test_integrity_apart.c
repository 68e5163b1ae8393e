/* SPDX-License-Identifier: Apache-2.0 */
/* dm-integrity whose journal is encrypted, and whose tags lie on a device of their own. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "crypto/header.h"
#include "crypto/keys.h"
#include "crypto/prim.h"
#include "tests/lib/integrity_build.h"
#include "vdiskck/core/json.h"

enum { FIXED = INTEGRITY_FIXED_PADDING | INTEGRITY_FIXED_HMAC, LEN = 1000 * 512 };

/* crc32c, three sections of journal, areas of 64 sectors */
static const struct integrity_spec small = {0, NULL, 0, 6, 4, 3, 1000, FIXED};
static const char key[] = "thirty-two bytes of journal key!";
static const uint64_t ones = 0x1111111111111111ull;

static void check_data(struct image *img)
{
	image_open(img, &integrity_ops);
	assert_int_equal(img->err, 0);
	img->s.opt.data = true;
	assert_int_equal(img->top->ops->check(img->top), 0);
}

/* Block @n reads as @value; why it is doubtful, or FINDING_COUNT. */
static enum finding_id block_is(struct image *img, uint64_t n, uint8_t value)
{
	struct ranges bad = {0};
	uint8_t buf[512];
	enum finding_id why = FINDING_COUNT;

	assert_int_equal(layer_read(img->top, n * 512, buf, 512, &bad), 0);
	for (uint32_t i = 0; i < 512; i++)
		assert_int_equal(buf[i], value);
	if (bad.n)
		why = bad.v[0].why;
	ranges_free(&bad);
	return why;
}

static uint8_t number(uint64_t n)
{
	return (uint8_t)(n % 255 + 1);
}

/* Blocks 5 and 70 have newer data in the journal. */
static struct integrity_image with_journal(void)
{
	struct integrity_image b = integrity_build(&small);

	integrity_build_journal(&b, 0, 9, 5, 0xb1);
	integrity_build_journal(&b, 1, 3, 70, 0xb2);
	integrity_build_commit(&b, 0, 1);
	integrity_build_commit(&b, 1, 1);
	return b;
}

static void assert_applied(struct integrity_image *b, const char *how)
{
	struct json *info = js_object();

	check_data(b->img);
	assert_clean(b->img);
	assert_finding(b->img, INTEGRITY_JOURNAL_REPLAYED, INTEGRITY_SB);
	assert_int_equal(block_is(b->img, 5, 0xb1), FINDING_COUNT);
	assert_int_equal(block_is(b->img, 70, 0xb2), FINDING_COUNT);
	assert_int_equal(block_is(b->img, 71, number(71)), FINDING_COUNT);
	b->img->top->ops->info(b->img->top, info);
	assert_string_equal(js_text(js_get(info, "journal_encryption")), how);
	js_free(info);
	image_exercise(b->img->top);
}

static struct prim_handle *start(struct prim_cipher **c, const char *cipher, enum prim_mode mode)
{
	static const uint8_t zero[16];
	struct prim_handle *h;

	assert_int_equal(prim_cipher_open(c, cipher, mode, key, 32), 0);
	h = prim_begin(*c);
	prim_iv(*c, h, zero);
	return h;
}

/* One stream over the journal in pages, and over the commit ids behind it. */
static void encrypt_stream(struct integrity_image *b, const char *cipher, size_t page)
{
	size_t len = (size_t)b->s.sections * b->section * 512;
	size_t pages = (len + page - 1) / page * page;
	uint8_t *stream = calloc(1, pages + 32), *p = b->img->buf + INTEGRITY_SB;
	struct prim_cipher *c;
	struct prim_handle *h = start(&c, cipher, PRIM_CTR);
	uint64_t id[4];

	for (uint64_t k = 0; k < 4; k++) {
		id[k] = ones * (k + 1);
		memcpy(stream + pages + 8 * k, &id[k], 8);
	}
	prim_encrypt(h, stream, pages + 32);
	prim_end(c, h);
	prim_cipher_close(c);
	for (uint32_t i = 0; i < b->s.sections * b->section; i++) {
		uint64_t place = (uint64_t)(i / b->section) << 32 ^ i % b->section, v, secret;

		memcpy(&v, p + (size_t)i * 512 + 504, 8);
		memcpy(&secret, stream + pages + 8 * (((v ^ place) & 15) - 1), 8);
		secret ^= place;
		memcpy(p + (size_t)i * 512 + 504, &secret, 8);
	}
	for (size_t i = 0; i < len; i++)
		p[i] ^= stream[i];
	free(stream);
}

/* Each section one message; its IV is its number, encrypted under an IV of zeros. */
static void encrypt_blocks(struct integrity_image *b, const char *cipher)
{
	size_t len = (size_t)b->section * 512;

	for (uint32_t i = 0; i < b->s.sections; i++) {
		uint8_t iv[16] = {(uint8_t)i};
		struct prim_cipher *c;
		struct prim_handle *h = start(&c, cipher, PRIM_CBC);

		prim_encrypt(h, iv, 16);
		prim_iv(c, h, iv);
		prim_encrypt(h, b->img->buf + INTEGRITY_SB + i * len, len);
		prim_end(c, h);
		prim_cipher_close(c);
	}
}

static void an_encrypted_journal_is_applied_with_its_key(void **state)
{
	static const struct {
		const char *cipher, *name;
		size_t page; /* 0: CBC */
	} how[] = {{"aes", "ctr(aes)", 4096},	    {"aes", "ctr(aes)", 65536},
		   {"chacha20", "chacha20", 4096},  {"serpent", "ctr(serpent)", 4096},
		   {"aes", "cbc(aes)", 0},	    {"twofish", "cbc(twofish)", 0},
		   {"camellia", "cbc(camellia)", 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(how) / sizeof(*how); i++) {
		struct integrity_image b = with_journal();

		if (how[i].page)
			encrypt_stream(&b, how[i].cipher, how[i].page);
		else
			encrypt_blocks(&b, how[i].cipher);
		image_key(b.img, KEY_KEYFILE, "of another thing", 16);
		image_key(b.img, i % 2 ? KEY_VOLUME_KEY : KEY_KEYFILE, key, 32);
		assert_applied(&b, how[i].name);
		integrity_build_free(&b);
	}
}

static void without_its_key_the_journal_is_undecided_and_the_data_is_read(void **state)
{
	struct integrity_image b = with_journal();

	(void)state;
	encrypt_stream(&b, "aes", 4096);
	check_data(b.img);
	assert_finding(b.img, INTEGRITY_JOURNAL_OPAQUE, INTEGRITY_SB);
	assert_int_equal(image_worse(b.img, BLEMISH), 1);
	assert_non_null(strstr(image_first(b.img, INTEGRITY_JOURNAL_OPAQUE)->message,
			       "volume-key or keyfile"));
	assert_int_equal(block_is(b.img, 5, number(5)), FINDING_COUNT);
	image_key(b.img, KEY_KEYFILE, "thirty-two bytes of another key!", 32);
	check_data(b.img);
	assert_non_null(strstr(image_first(b.img, INTEGRITY_JOURNAL_OPAQUE)->message,
			       "none of 1 keys fits"));
	integrity_build_free(&b);
}

/* The first section's entry sectors are gone: the second one's still tell which key it is. */
static void damage_in_an_encrypted_journal_costs_what_it_hits(void **state)
{
	struct integrity_image b = with_journal();

	(void)state;
	encrypt_blocks(&b, "aes");
	image_key(b.img, KEY_KEYFILE, key, 32);
	memset(b.img->buf + INTEGRITY_SB + 3 * 512, 0x5a, 512);
	check_data(b.img);
	/* In CBC a sector costs the first block of the next one, too, but not its commit id. */
	assert_finding(b.img, INTEGRITY_JOURNAL_COMMIT, INTEGRITY_SB + 3 * 512);
	assert_int_equal(block_is(b.img, 70, 0xb2), FINDING_COUNT);
	memset(b.img->buf + INTEGRITY_SB, 0x5a, 8 * 512);
	check_data(b.img);
	assert_int_equal(image_seen(b.img, INTEGRITY_JOURNAL_OPAQUE, ANYWHERE), 0);
	assert_finding(b.img, INTEGRITY_JOURNAL_COMMIT, INTEGRITY_SB);
	image_exercise(b.img->top);
	integrity_build_free(&b);
}

/* --- data on another device --- */

struct apart {
	struct image *meta, *data;
	uint64_t tags; /* in @meta */
	char path[40];
	const char *headers[2];
};

static void apart_write(struct apart *a)
{
	image_write(a->meta, a->path);
}

/* The same device with its data taken out, and its tags in one piece. */
static struct apart *apart_build(struct integrity_image b)
{
	struct apart *a = calloc(1, sizeof(*a));
	int fd;

	a->tags = b.initial;
	a->meta = image_new(b.initial + small.sectors * 4);
	a->data = image_new(LEN);
	memcpy(a->meta->buf, b.img->buf, b.initial);
	a->meta->buf[9] = 0; /* log2_interleave_sectors */
	for (uint64_t n = 0; n < small.sectors; n++) {
		memcpy(a->meta->buf + a->tags + 4 * n, b.img->buf + integrity_build_tag(&b, n), 4);
		memcpy(a->data->buf + 512 * n, b.img->buf + integrity_build_data(&b, n), 512);
	}
	integrity_build_free(&b);
	strcpy(a->path, "/tmp/vdiskck-tags-XXXXXX");
	fd = mkstemp(a->path);
	assert_true(fd >= 0);
	close(fd);
	apart_write(a);
	a->headers[0] = a->path;
	a->data->headers = a->headers;
	return a;
}

static void apart_free(struct apart *a)
{
	unlink(a->path);
	image_free(a->meta);
	image_free(a->data);
	free(a);
}

static void tags_and_data_on_two_devices_are_read_together(void **state)
{
	struct apart *a = apart_build(with_journal());
	struct extent run;

	(void)state;
	image_discover(a->data);
	assert_string_equal(a->data->top->ops->name, "integrity");
	assert_true(headers_used(a->data->source));
	check_data(a->data);
	assert_clean(a->data);
	assert_finding(a->data, INTEGRITY_JOURNAL_REPLAYED, INTEGRITY_SB);
	assert_int_equal(a->data->top->size, LEN);
	assert_int_equal(block_is(a->data, 70, 0xb2), FINDING_COUNT);
	assert_int_equal(block_is(a->data, 999, number(999)), FINDING_COUNT);
	assert_int_equal(layer_map(a->data->top, 999 * 512 + 3, &run), 0);
	assert_ptr_equal(run.in, a->data->source);
	assert_int_equal(run.at, 999 * 512 + 3);
	image_exercise(a->data->top);
	/* Damage in either is told, where it is. */
	a->data->buf[700 * 512 + 9] ^= 1;
	a->meta->buf[a->tags + 4 * 44] ^= 1;
	apart_write(a);
	check_data(a->data);
	assert_int_equal(image_worse(a->data, BLEMISH), 2);
	assert_finding(a->data, INTEGRITY_TAG, 700 * 512);
	assert_finding(a->data, INTEGRITY_TAG, 44 * 512);
	apart_free(a);
}

static void a_short_half_of_two_devices_costs_what_it_lacks(void **state)
{
	struct apart *a = apart_build(integrity_build(&small));

	(void)state;
	image_resize(a->meta, a->tags + 4 * 900);
	apart_write(a);
	check_data(a->data);
	assert_int_equal(block_is(a->data, 899, number(899)), FINDING_COUNT);
	assert_int_equal(block_is(a->data, 900, number(900)), INTEGRITY_TAG_LOST);
	image_resize(a->meta, a->tags + 4 * 1000);
	apart_write(a);
	image_resize(a->data, 990 * 512);
	/* Of another size, it is not taken unless it is named for this layer. */
	image_discover(a->data);
	assert_null(a->data->top);
	assert_false(headers_used(a->data->source));
	apart_free(a);
}

static void tags_alone_say_what_is_missing(void **state)
{
	struct apart *a = apart_build(integrity_build(&small));

	(void)state;
	image_open(a->meta, &integrity_ops);
	assert_int_equal(a->meta->err, -EOPNOTSUPP);
	assert_finding(a->meta, INTEGRITY_UNSUPPORTED, 9);
	assert_non_null(strstr(image_first(a->meta, INTEGRITY_UNSUPPORTED)->message, "--header"));
	/* A header that is no such thing is used for no layer. */
	a->meta->buf[0] ^= 1;
	apart_write(a);
	image_discover(a->data);
	assert_false(headers_used(a->data->source));
	apart_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_encrypted_journal_is_applied_with_its_key),
		cmocka_unit_test(without_its_key_the_journal_is_undecided_and_the_data_is_read),
		cmocka_unit_test(damage_in_an_encrypted_journal_costs_what_it_hits),
		cmocka_unit_test(tags_and_data_on_two_devices_are_read_together),
		cmocka_unit_test(a_short_half_of_two_devices_costs_what_it_lacks),
		cmocka_unit_test(tags_alone_say_what_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
