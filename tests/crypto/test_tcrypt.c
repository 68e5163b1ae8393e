/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "crypto/keys.h"
#include "formats/drivers.h"
#include "tests/lib/image.h"
#include "tests/lib/tcrypt_build.h"

enum {
	DATA = TCRYPT_GROUP,
	DATA_LEN = 64 << 10,
	SIZE = 2 * TCRYPT_GROUP + DATA_LEN,
	BACKUP = SIZE - TCRYPT_GROUP,
	HIDDEN_HEADER = 64 << 10,
	HIDDEN = DATA + (32 << 10),
	HIDDEN_LEN = 16 << 10,
};

static void password(struct image *img, const char *text)
{
	image_no_keys(img);
	image_key(img, KEY_PASSPHRASE, text, strlen(text));
}

/* A volume with both headers and "outer" for its password; the rest of it is noise. */
static struct image *volume(struct tcrypt_header *h)
{
	struct image *img = image_new(SIZE);

	tcrypt_noise_put(img->buf, 0, SIZE);
	tcrypt_header_init(h, DATA, DATA_LEN, 0);
	tcrypt_header_put(img->buf, 0, "outer", h);
	tcrypt_header_put(img->buf, BACKUP, "outer", h);
	tcrypt_data_put(img->buf, DATA, DATA_LEN, h);
	password(img, "outer");
	return img;
}

/* Whatever [off, off + len) of the layer holds, if it is not lost, is what was written. */
static void assert_content(struct image *img, uint64_t off, uint64_t len)
{
	uint8_t *buf = malloc(len);

	assert_int_equal(layer_read(img->top, off, buf, len, NULL), 0);
	for (uint64_t i = 0; i + 8 <= len; i += 8) {
		le64_t v;

		memcpy(v.b, buf + i, 8);
		assert_int_equal(le64(v), (off + i) / 512);
	}
	free(buf);
}

static void a_volume_opens_by_its_password(void **state)
{
	struct tcrypt_header h;
	struct image *img = volume(&h);
	struct extent run;
	char name[64];
	uint64_t start, len;

	(void)state;
	image_check(img, &tcrypt_ops);
	assert_int_equal(img->err, 0);
	assert_clean(img);
	assert_int_equal(img->top->size, DATA_LEN);
	assert_readable(img, 0, DATA_LEN);
	assert_content(img, 0, DATA_LEN);
	assert_content(img, 8, 8); /* inside a data unit */
	assert_int_equal(layer_map(img->top, 513, &run), 0);
	assert_int_equal(run.at, DATA + 513);
	assert_true(tcrypt_ops.structure(img->top, BACKUP + 5, name, sizeof(name), &start, &len));
	assert_string_equal(name, "backup header");
	assert_false(tcrypt_ops.structure(img->top, DATA, name, sizeof(name), &start, &len));
	image_exercise(img->top);
	image_free(img);
}

static void a_hidden_volume_opens_by_its_own_password(void **state)
{
	struct tcrypt_header h, inner;
	struct image *img = volume(&h);

	(void)state;
	tcrypt_header_init(&inner, HIDDEN, HIDDEN_LEN, HIDDEN_LEN);
	tcrypt_header_put(img->buf, HIDDEN_HEADER, "inner", &inner);
	tcrypt_header_put(img->buf, SIZE - HIDDEN_HEADER, "inner", &inner);
	tcrypt_data_put(img->buf, HIDDEN, HIDDEN_LEN, &inner);
	password(img, "inner");
	image_check(img, &tcrypt_ops);
	assert_int_equal(img->err, 0);
	assert_clean(img);
	assert_int_equal(img->top->size, HIDDEN_LEN);
	assert_content(img, 0, HIDDEN_LEN);

	/* With both passwords: the first one that fits. */
	image_key(img, KEY_PASSPHRASE, "outer", 5);
	image_open(img, &tcrypt_ops);
	assert_int_equal(img->top->size, HIDDEN_LEN);
	password(img, "outer");
	image_key(img, KEY_PASSPHRASE, "inner", 5);
	image_open(img, &tcrypt_ops);
	assert_int_equal(img->top->size, DATA_LEN);

	password(img, "inner");
	memset(img->buf + HIDDEN_HEADER, 0, TCRYPT_HEADER);
	image_check(img, &tcrypt_ops);
	assert_finding(img, TCRYPT_BACKUP_USED, HIDDEN_HEADER);
	assert_content(img, 0, HIDDEN_LEN);
	image_free(img);
}

static void the_old_kind_of_hidden_volume_ends_before_its_header(void **state)
{
	struct tcrypt_header h;
	struct image *img = image_new(40 << 10);
	uint64_t at = img->len - 1536 - HIDDEN_LEN;

	(void)state;
	tcrypt_noise_put(img->buf, 0, img->len);
	tcrypt_header_init(&h, 0, 0, HIDDEN_LEN);
	h.version = to_be16(3);
	tcrypt_header_put(img->buf, img->len - 1536, "inner", &h);
	tcrypt_data_put(img->buf, at, HIDDEN_LEN, &h);
	password(img, "inner");
	image_check(img, &tcrypt_ops);
	assert_int_equal(img->err, 0);
	assert_clean(img);
	assert_int_equal(img->top->size, HIDDEN_LEN);
	assert_content(img, 0, HIDDEN_LEN);
	image_free(img);
}

static void a_lost_header_is_read_from_its_backup(void **state)
{
	struct tcrypt_header h;
	struct image *img = volume(&h);

	(void)state;
	memset(img->buf, 0, 4096);
	image_check(img, &tcrypt_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, TCRYPT_BACKUP_USED, 0);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	assert_content(img, 0, DATA_LEN);

	tcrypt_noise_put(img->buf, 0, 4096);
	image_check(img, &tcrypt_ops);
	assert_finding(img, TCRYPT_BACKUP_USED, 0);
	assert_content(img, 0, DATA_LEN);
	image_free(img);
}

static void of_two_copies_the_whole_one_is_used(void **state)
{
	struct tcrypt_header h;
	struct image *img = volume(&h);

	(void)state;
	img->buf[64 + 100] ^= 1; /* 16 bytes of reserved fields */
	image_check(img, &tcrypt_ops);
	assert_finding(img, TCRYPT_BACKUP_USED, 0);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	assert_content(img, 0, DATA_LEN);
	image_free(img);
}

static void damage_to_both_headers_is_told_apart(void **state)
{
	struct tcrypt_header h;
	struct image *img = volume(&h);
	struct ranges bad = {0};
	uint8_t sector[512];

	(void)state;
	h.reserved[3] ^= 1;
	tcrypt_header_put(img->buf, 0, "outer", &h);
	tcrypt_header_put(img->buf, BACKUP, "outer", &h);
	image_open(img, &tcrypt_ops);
	assert_finding(img, TCRYPT_HEADER_CRC, 64);
	assert_readable(img, 0, DATA_LEN);
	assert_content(img, 0, DATA_LEN);

	/* The CRC of the keys: bytes that AES alone does not use, but who is to know. */
	h.reserved[3] ^= 1;
	h.keys[200] ^= 1;
	tcrypt_header_put(img->buf, 0, "outer", &h);
	tcrypt_header_put(img->buf, BACKUP, "outer", &h);
	image_open(img, &tcrypt_ops);
	assert_finding(img, TCRYPT_KEYS_CRC, 256);
	assert_content(img, 0, DATA_LEN);
	assert_int_equal(layer_read(img->top, 0, sector, sizeof(sector), &bad), 0);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
	assert_int_equal(bad.v[0].why, TCRYPT_KEYS_CRC);
	ranges_free(&bad);
	image_free(img);
}

static void a_bad_backup_is_pointed_out(void **state)
{
	struct tcrypt_header h;
	struct image *img = volume(&h);

	(void)state;
	memset(img->buf + BACKUP, 0, TCRYPT_HEADER);
	image_check(img, &tcrypt_ops);
	assert_finding(img, TCRYPT_BACKUP_BAD, BACKUP);
	assert_int_equal(image_worse(img, BLEMISH), 1);

	h.reserved[3] ^= 1;
	tcrypt_header_put(img->buf, BACKUP, "outer", &h);
	image_check(img, &tcrypt_ops);
	assert_finding(img, TCRYPT_BACKUP_BAD, BACKUP);

	h.keys[0] ^= 1;
	tcrypt_header_sign(&h);
	tcrypt_header_put(img->buf, BACKUP, "outer", &h);
	image_check(img, &tcrypt_ops);
	assert_finding(img, TCRYPT_COPIES_DIFFER, BACKUP);
	assert_content(img, 0, DATA_LEN);
	image_free(img);
}

static void a_cut_image_is_read_as_far_as_it_goes(void **state)
{
	static const uint32_t ends[] = {512,	    513,	 65535,	       65536 + 511,
					DATA - 1,   DATA,	 DATA + 1,     DATA + 511,
					DATA + 512, DATA + 4100, BACKUP - 512, BACKUP - 1};
	struct tcrypt_header h;

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		struct image *img = volume(&h);
		uint64_t left = ends[i] > DATA ? (ends[i] - DATA) & ~511u : 0;

		image_resize(img, ends[i]);
		image_open(img, &tcrypt_ops);
		if (ends[i] < DATA) {
			assert_int_equal(img->err, -EBADMSG);
			assert_finding(img, TCRYPT_HEADER_IMPOSSIBLE, 0x5c);
		} else {
			assert_int_equal(img->err, 0);
			assert_finding(img, TCRYPT_TRUNCATED, 0x64);
			assert_int_equal(img->top->size, DATA_LEN);
			assert_readable(img, 0, left);
			assert_content(img, 0, left);
			assert_lost(img, left, DATA_LEN - left, TCRYPT_TRUNCATED);
			image_exercise(img->top);
		}
		image_free(img);
	}
}

static void what_a_header_says_is_not_believed(void **state)
{
	static const struct {
		uint64_t start, size;
	} wrong[] = {{UINT64_MAX - 511, DATA_LEN}, {DATA + 1, DATA_LEN}, {DATA, 0},
		     {DATA, UINT64_MAX},	   {1ull << 40, 512},	 {DATA, 1ull << 61}};
	struct tcrypt_header h;
	struct image *img = volume(&h);

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		tcrypt_header_init(&h, wrong[i].start, wrong[i].size, 0);
		tcrypt_header_put(img->buf, 0, "outer", &h);
		image_open(img, &tcrypt_ops);
		assert_int_equal(img->err, -EBADMSG);
		assert_finding(img, TCRYPT_HEADER_IMPOSSIBLE, 0x5c);
	}
	/* An exbibyte less: possible, and lost but for what is there. */
	tcrypt_header_init(&h, DATA, (1ull << 60) - 512, 0);
	tcrypt_header_put(img->buf, 0, "outer", &h);
	image_check(img, &tcrypt_ops);
	assert_finding(img, TCRYPT_TRUNCATED, 0x64);
	assert_content(img, 0, DATA_LEN);
	image_free(img);
}

static void encryption_in_place_that_stopped_is_said(void **state)
{
	struct tcrypt_header h;
	struct image *img = volume(&h);

	(void)state;
	h.flags = to_be32(TCRYPT_IN_PLACE_ENCRYPTION);
	h.len = to_be64(4096);
	tcrypt_header_sign(&h);
	tcrypt_header_put(img->buf, 0, "outer", &h);
	image_open(img, &tcrypt_ops);
	assert_finding(img, TCRYPT_UNFINISHED, 0x74);
	image_free(img);
}

/* --- system encryption --- */

enum { SYSTEM = 62 * 512, PART = 64 << 10, PART_LEN = 32 << 10 };

/* A disk with an MBR and one partition, which is encrypted. */
static struct image *disk(const char *loader)
{
	static const uint8_t entry[16] = {0x80,		 0, 2, 0, 7, 0, 3, 0, PART / 512, 0, 0, 0,
					  PART_LEN / 512};
	struct image *img = image_new(PART + PART_LEN + 4096);
	struct tcrypt_header h;

	memcpy(img->buf + 6, loader, strlen(loader));
	memcpy(img->buf + 446, entry, sizeof(entry));
	image_poke(img, 510, "\x55\xaa", 2);
	memset(img->buf + PART + PART_LEN, 'x', 4096);
	tcrypt_header_init(&h, PART, PART_LEN, 0);
	h.flags = to_be32(TCRYPT_SYSTEM_ENCRYPTION);
	tcrypt_header_sign(&h);
	tcrypt_header_put(img->buf, SYSTEM, "boot", &h);
	tcrypt_data_put(img->buf, PART, PART_LEN, &h);
	return img;
}

static void a_system_disk_is_read_in_place(void **state)
{
	struct image *img = disk(" TrueCrypt Boot Loader");
	uint8_t buf[8];

	(void)state;
	password(img, "boot");
	image_discover(img);
	assert_clean(img);
	assert_string_equal(img->source->child->ops->name, "tcrypt");
	assert_string_equal(img->source->child->child->ops->name, "mbr");
	assert_int_equal(img->source->child->size, img->len);
	image_open(img, &tcrypt_ops);
	layer_read(img->top, img->len - 8, buf, 8, NULL);
	assert_memory_equal(buf, "xxxxxxxx", 8); /* behind the encrypted part */
	layer_read(img->top, PART + 1024, buf, 8, NULL);
	assert_memory_equal(buf, "\2\0\0\0\0\0\0", 8);
	image_exercise(img->top);
	image_free(img);
}

static void a_locked_system_disk_is_said_and_its_table_read(void **state)
{
	struct image *img = disk(" VeraCrypt Boot Loader");

	(void)state;
	image_discover(img); /* no key at all: the boot loader speaks */
	assert_finding(img, TCRYPT_SYSTEM_LOCKED, SYSTEM);
	assert_string_equal(img->source->child->ops->name, "mbr");
	image_free(img);

	img = disk("");
	image_discover(img);
	assert_int_equal(image_seen(img, TCRYPT_SYSTEM_LOCKED, ANYWHERE), 0);
	/* With the least PIM, not to take all day. */
	password(img, "toob");
	image_key(img, KEY_PIM, "1", 1);
	image_discover(img);
	assert_finding(img, TCRYPT_SYSTEM_LOCKED, SYSTEM);
	assert_string_equal(img->source->child->ops->name, "mbr");
	image_free(img);
}

static void an_unfinished_system_encryption_is_said(void **state)
{
	struct image *img = disk("");
	struct tcrypt_header h;

	(void)state;
	tcrypt_header_init(&h, PART, PART_LEN, 0);
	h.len = to_be64(PART_LEN / 2);
	tcrypt_header_sign(&h);
	tcrypt_header_put(img->buf, SYSTEM, "boot", &h);
	password(img, "boot");
	image_open(img, &tcrypt_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, TCRYPT_UNFINISHED, SYSTEM + 0x74);
	image_free(img);
}

/* --- what is none --- */

static void wrong_passwords_are_rejected(void **state)
{
	struct image *img = image_new(4096);
	struct tcrypt_header h;

	(void)state;
	tcrypt_header_init(&h, 512, 0, 0);
	h.version = to_be16(3);
	tcrypt_header_put(img->buf, 0, "right", &h);
	image_open(img, &tcrypt_ops);
	assert_int_equal(img->err, -ENOKEY);
	password(img, "wrong");
	image_key(img, KEY_PIM, "1", 1);
	image_discover(img);
	assert_string_equal(img->source->child->ops->name, "tcrypt");
	assert_int_equal(img->source->child->state, -EKEYREJECTED);
	assert_int_equal(image_seen(img, LAYER_KEY_REJECTED, ANYWHERE), 1);
	image_key(img, KEY_PASSPHRASE, "right", 5);
	image_discover(img);
	assert_int_equal(img->source->child->state, 0);
	image_free(img);
}

static void only_noise_is_tried(void **state)
{
	struct image *img = image_new(SIZE);

	(void)state;
	password(img, "outer");
	memset(img->buf, 'a', SIZE);
	image_discover(img);
	assert_null(img->source->child);
	image_no_keys(img);
	tcrypt_noise_put(img->buf, 0, SIZE);
	image_discover(img); /* noise, but no key */
	assert_null(img->source->child);
	assert_int_equal(img->n_seen, 0);
	image_free(img);
}

static void every_flipped_byte_of_a_header_leaves_the_volume_readable(void **state)
{
	struct tcrypt_header h;
	struct image *img = volume(&h);

	(void)state;
	for (size_t i = 0; i < TCRYPT_HEADER; i += i < 80 ? 11 : 37) {
		img->buf[i] ^= 0x10;
		image_open(img, &tcrypt_ops);
		assert_int_equal(img->err, 0);
		assert_finding(img, TCRYPT_BACKUP_USED, 0);
		assert_content(img, 0, 1024);
		img->buf[i] ^= 0x10;
	}
	for (size_t i = 0; i < TCRYPT_HEADER; i += 73) {
		img->buf[BACKUP + i] ^= 0x10;
		image_check(img, &tcrypt_ops);
		assert_int_equal(img->err, 0);
		assert_finding(img, TCRYPT_BACKUP_BAD, BACKUP);
		assert_content(img, 0, 1024);
		img->buf[BACKUP + i] ^= 0x10;
	}
	image_free(img);
}

/* --- parts --- */

static bool never(void *arg)
{
	++*(int *)arg;
	return false;
}

static bool always(void *arg)
{
	(void)arg;
	return true;
}

static void pbkdf2_in_parts_is_pbkdf2(void **state)
{
	/* RFC 6070 */
	static const uint8_t truth[20] = {0x4b, 0x00, 0x79, 0x01, 0xb7, 0x65, 0x48,
					  0x9a, 0xbe, 0xad, 0x49, 0xd9, 0x26, 0xf7,
					  0x21, 0xd0, 0x65, 0xa4, 0x29, 0xc1};
	uint8_t all[192], part[192];
	int asked = 0;

	(void)state;
	assert_int_equal(prim_pbkdf2_blocks(PRIM_SHA1, "password", 8, "salt", 4, 4096, 1, 1, part,
					    never, &asked),
			 0);
	assert_memory_equal(part, truth, sizeof(truth));
	for (int h = 0; h < PRIM_HASHES; h++) {
		size_t len = prim_hash_len(h);

		assert_int_equal(prim_pbkdf2(h, "word", 4, "salt", 4, 5, all, 2 * len), 0);
		assert_int_equal(
			prim_pbkdf2_blocks(h, "word", 4, "salt", 4, 5, 2, 1, part, never, &asked),
			0);
		assert_memory_equal(part, all + len, len);
	}
	assert_int_equal(asked, 0); /* too little work to ask */
	assert_int_equal(prim_pbkdf2_blocks(PRIM_SHA1, "word", 4, "salt", 4, 1u << 30, 1, 1, part,
					    always, NULL),
			 -EINTR);
}

static void units_of_a_cascade_do_not_depend_on_each_other(void **state)
{
	uint8_t key[TCRYPT_KEYS], unit[1024], other[1024];

	(void)state;
	for (int i = 0; i < TCRYPT_KEYS; i++)
		key[i] = (uint8_t)(i * 5 + 3);
	for (size_t i = 0; i < tcrypt_n_algs; i++) {
		const struct tcrypt_alg *a = &tcrypt_algs[i];
		struct tcrypt_cipher *c;

		assert_true(tcrypt_alg_need(a) <= TCRYPT_DERIVED);
		assert_int_equal(tcrypt_cipher_open(&c, a, key), 0);
		memset(unit, 0x5a, sizeof(unit));
		memset(other, 0x5a, sizeof(other));
		/* Two units at once are the same as one by one, and not the same as each other. */
		assert_int_equal(tcrypt_decrypt(c, 7, unit, 1024), 0);
		assert_int_equal(tcrypt_decrypt(c, 8, other + 512, 512), 0);
		assert_int_equal(tcrypt_decrypt(c, 7, other, 512), 0);
		assert_memory_equal(unit, other, 1024);
		assert_memory_not_equal(unit, unit + 512, 512);
		tcrypt_cipher_close(c);
	}
}

static void a_pim_that_can_not_be_is_left_out(void **state)
{
	struct image *img = image_new(4096);
	struct tcrypt_header h;

	(void)state;
	tcrypt_header_init(&h, 512, 0, 0);
	h.version = to_be16(3);
	tcrypt_header_put(img->buf, 0, "right", &h);
	password(img, "right");
	image_key(img, KEY_PIM, "many", 4);
	image_key(img, KEY_PIM, "2147469", 7);
	image_open(img, &tcrypt_ops);
	assert_int_equal(img->err, 0);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pbkdf2_in_parts_is_pbkdf2),
		cmocka_unit_test(units_of_a_cascade_do_not_depend_on_each_other),
		cmocka_unit_test(a_pim_that_can_not_be_is_left_out),
		cmocka_unit_test(a_volume_opens_by_its_password),
		cmocka_unit_test(a_hidden_volume_opens_by_its_own_password),
		cmocka_unit_test(the_old_kind_of_hidden_volume_ends_before_its_header),
		cmocka_unit_test(a_lost_header_is_read_from_its_backup),
		cmocka_unit_test(of_two_copies_the_whole_one_is_used),
		cmocka_unit_test(damage_to_both_headers_is_told_apart),
		cmocka_unit_test(a_bad_backup_is_pointed_out),
		cmocka_unit_test(a_cut_image_is_read_as_far_as_it_goes),
		cmocka_unit_test(what_a_header_says_is_not_believed),
		cmocka_unit_test(encryption_in_place_that_stopped_is_said),
		cmocka_unit_test(a_system_disk_is_read_in_place),
		cmocka_unit_test(a_locked_system_disk_is_said_and_its_table_read),
		cmocka_unit_test(an_unfinished_system_encryption_is_said),
		cmocka_unit_test(wrong_passwords_are_rejected),
		cmocka_unit_test(only_noise_is_tried),
		cmocka_unit_test(every_flipped_byte_of_a_header_leaves_the_volume_readable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
