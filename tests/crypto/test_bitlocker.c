/* SPDX-License-Identifier: Apache-2.0 */
/* BitLocker volumes of our own writer: every method, every protector, every state. */
#include <errno.h>

#include "crypto/bitlocker.h"
#include "tests/lib/bitlocker_build.h"
#include "tests/lib/image.h"

enum { SIZE = 512 << 10 };

#define RECOVERY "111111-222222-333333-444444-555555-666666-011011-022022"

/* A volume in plaintext: an NTFS boot sector, data here and there, room for metadata. */
static void plain(uint8_t *p)
{
	memset(p, 0, SIZE);
	for (size_t i = 0; i < SIZE; i++)
		if (i < 64 << 10 || (i >= 200 << 10 && i < 240 << 10) || i >= 496 << 10)
			p[i] = (uint8_t)(i / 512 + i % 7);
	memcpy(p + 3, "NTFS    ", 8);
	memcpy(p + 510, "\x55\xaa", 2);
}

static struct image *make(struct bitlocker_build *b)
{
	struct image *img = image_new(SIZE);

	plain(img->buf);
	assert_int_equal(bitlocker_build(b, img->buf, SIZE), 0);
	return img;
}

static void assert_plaintext(struct image *img)
{
	uint8_t *want = malloc(SIZE), *got = malloc(SIZE);
	struct ranges bad = {0};

	assert_true(want && got);
	plain(want);
	assert_int_equal(img->top->size, SIZE);
	assert_int_equal(layer_read(img->top, 0, got, SIZE, &bad), 0);
	assert_int_equal(bad.n, 0);
	assert_memory_equal(got, want, SIZE);
	/* In odd pieces, too. */
	for (size_t off = 1; off + 3001 < SIZE; off += 30011) {
		assert_int_equal(layer_read(img->top, off, got, 3001, &bad), 0);
		assert_memory_equal(got, want + off, 3001);
	}
	free(want);
	free(got);
}

static void assert_opens(struct image *img)
{
	image_check(img, &bitlocker_ops);
	assert_int_equal(img->err, 0);
	assert_clean(img);
	assert_plaintext(img);
}

static void every_method_and_sector_size_opens(void **state)
{
	(void)state;
	for (int m = FVE_CBC128_ELEPHANT; m <= FVE_XTS256; m++)
		for (uint32_t sector = 512; sector <= 4096; sector *= 8) {
			struct bitlocker_build b = {
				.method = (enum fve_method)m, .sector = sector, .clear = true};
			struct image *img = make(&b);

			assert_opens(img);
			assert_int_equal(img->top->sector, sector);
			image_free(img);
		}
}

static void each_protector_opens(void **state)
{
	struct bitlocker_build b = {
		.password = "p\xc3\xa4ss \xf0\x9f\x98\x80", .recovery = RECOVERY, .startup = true};
	struct image *img = make(&b);

	(void)state;
	image_open(img, &bitlocker_ops);
	assert_int_equal(img->err, -ENOKEY);
	image_key(img, KEY_PASSPHRASE, b.password, strlen(b.password));
	assert_opens(img);
	image_no_keys(img);
	image_key(img, KEY_RECOVERY, RECOVERY, strlen(RECOVERY));
	assert_opens(img);
	image_no_keys(img);
	image_key(img, KEY_BEK, b.bek, sizeof(b.bek));
	assert_opens(img);
	image_no_keys(img);
	image_key(img, KEY_VMK, b.vmk, sizeof(b.vmk));
	assert_opens(img);
	image_no_keys(img);
	image_key(img, KEY_FVEK, b.fvek, b.fvek_len);
	assert_opens(img);
	image_free(img);
}

static void wrong_keys_are_rejected_whatever_their_kind(void **state)
{
	struct bitlocker_build b = {.recovery = RECOVERY, .startup = true};
	struct bitlocker_build o = {.startup = true, .seed = "another volume"};
	struct image *img = make(&b), *other = make(&o);
	uint8_t zero[32] = {0};
	const struct {
		int kind;
		const void *p;
		size_t len;
	} wrong[] = {{KEY_RECOVERY, "222222-222222-333333-444444-555555-666666-011011-022022", 55},
		     {KEY_RECOVERY, "no recovery password", 20},
		     {KEY_BEK, o.bek, sizeof(o.bek)},
		     {KEY_BEK, "no key file", 11},
		     {KEY_VMK, o.vmk, sizeof(o.vmk)},
		     {KEY_VMK, "short", 5},
		     {KEY_FVEK, o.fvek, o.fvek_len},
		     {KEY_FVEK, zero, 16}};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		image_no_keys(img);
		image_key(img, wrong[i].kind, wrong[i].p, wrong[i].len);
		image_open(img, &bitlocker_ops);
		assert_int_equal(img->err, -EKEYREJECTED);
	}
	/* A right one behind all wrong ones. */
	image_no_keys(img);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		image_key(img, wrong[i].kind, wrong[i].p, wrong[i].len);
	image_key(img, KEY_BEK, b.bek, sizeof(b.bek));
	assert_opens(img);
	/* A password fits no protector of this volume: it isn't tried. */
	image_no_keys(img);
	image_key(img, KEY_PASSPHRASE, "x", 1);
	image_open(img, &bitlocker_ops);
	assert_int_equal(img->err, -ENOKEY);
	image_free(other);
	image_free(img);
}

static void a_locked_volume_is_lost_but_for_its_zeros(void **state)
{
	struct bitlocker_build b = {.startup = true};
	struct image *img = make(&b);

	(void)state;
	image_open(img, &bitlocker_ops);
	assert_int_equal(img->err, -ENOKEY);
	assert_lost(img, 0, SIZE, LAYER_LOCKED);
	image_free(img);
}

static void a_paused_conversion_is_plain_behind_its_watermark(void **state)
{
	/* In front of the moved sectors, behind them, and in the middle of data. */
	static const uint64_t marks[] = {130 << 10, 300 << 10, 220 << 10, SIZE - 4096};

	(void)state;
	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
		struct bitlocker_build b = {.clear = true, .watermark = marks[i]};
		struct image *img = make(&b);

		assert_opens(img);
		image_free(img);
	}
}

static bool odd(uint64_t chunk)
{
	return chunk & 1;
}

static bool all(uint64_t chunk)
{
	(void)chunk;
	return true;
}

static void encrypt_on_write_follows_its_newer_bitmap(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct bitlocker_build b = {.clear = true,
					    .method = FVE_CBC128,
					    .eow_chunk = 4096,
					    .eow_set = i ? all : odd};
		struct image *img = make(&b);

		assert_opens(img);
		image_free(img);
	}
}

static void damaged_encrypt_on_write_structures_are_reported(void **state)
{
	struct bitlocker_build b = {.clear = true, .eow_chunk = 8192, .eow_set = odd};
	struct image *img = make(&b);

	(void)state;
	/* One of two information blocks: nothing is lost. */
	img->buf[b.eow[0] + 0x14] ^= 1;
	image_check(img, &bitlocker_ops);
	assert_finding(img, FVE_EOW_INFO, b.eow[0]);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	assert_plaintext(img);
	/* The newer record: the older one, all plain, counts. It would be read as ciphertext... */
	img->buf[b.eow_bitmap + b.eow_record[1] + 40] ^= 1;
	image_check(img, &bitlocker_ops);
	assert_int_equal(img->err, 0);
	assert_int_equal(image_seen(img, FVE_EOW_BITMAP, ANYWHERE), 0);
	/* ... both: what is there tells by its looks. */
	img->buf[b.eow_bitmap + b.eow_record[0] + 37] ^= 1;
	image_check(img, &bitlocker_ops);
	assert_finding(img, FVE_EOW_BITMAP, b.eow_bitmap);
	assert_plaintext(img);
	/* Both information blocks as well. */
	img->buf[b.eow[1]] ^= 1;
	image_check(img, &bitlocker_ops);
	assert_int_equal(image_seen(img, FVE_EOW_INFO, ANYWHERE), 2);
	assert_finding(img, FVE_EOW_BITMAP, b.eow[0]);
	assert_true(image_first(img, FVE_EOW_BITMAP)->fact.doubtful);
	image_free(img);
}

static void noise_of_unknown_state_is_doubtful(void **state)
{
	struct bitlocker_build b = {.clear = true, .eow_chunk = 4096, .eow_set = all};
	struct image *img = make(&b);
	struct ranges bad = {0};
	uint8_t buf[4096];
	uint32_t x = 1;

	(void)state;
	memset(img->buf + b.eow[0], 0, 512);
	memset(img->buf + b.eow[1], 0, 512);
	for (int i = 0; i < 1024; i++) { /* a sector's worth of noise, twice */
		x = x * 1664525 + 1013904223;
		img->buf[(480 << 10) + i] = (uint8_t)(x >> 24);
	}
	image_open(img, &bitlocker_ops);
	assert_int_equal(layer_read(img->top, 480 << 10, buf, sizeof(buf), &bad), 0);
	ranges_sort(&bad);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].off, 480 << 10);
	assert_int_equal(bad.v[0].len, 1024);
	assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
	ranges_free(&bad);
	image_free(img);
}

static void metadata_reads_as_zeros_and_maps_as_zeros(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *img = make(&b);
	struct extent run;

	(void)state;
	image_open(img, &bitlocker_ops);
	for (int i = 0; i < FVE_COPIES; i++) {
		assert_int_equal(layer_map(img->top, b.copy[i] + 100, &run), 0);
		assert_int_equal(run.kind, EXTENT_ZERO);
		assert_int_equal(run.off + run.len, b.copy[i] + FVE_BLOCK);
	}
	assert_int_equal(layer_map(img->top, 0, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	assert_int_equal(run.at, b.header_off);
	assert_int_equal(run.len, 8192);
	assert_int_equal(layer_map(img->top, 8192, &run), 0);
	assert_int_equal(run.at, 8192);
	assert_int_equal(run.len, b.copy[0] - 8192);
	image_free(img);
}

static void structures_are_named(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *img = make(&b);
	char name[64];
	uint64_t start, len;

	(void)state;
	image_open(img, &bitlocker_ops);
	assert_true(bitlocker_ops.structure(img->top, 10, name, sizeof(name), &start, &len));
	assert_string_equal(name, "BitLocker volume header");
	assert_true(
		bitlocker_ops.structure(img->top, b.copy[1] + 9, name, sizeof(name), &start, &len));
	assert_string_equal(name, "BitLocker metadata copy 2");
	assert_int_equal(start, b.copy[1]);
	assert_false(bitlocker_ops.structure(img->top, 100000, name, sizeof(name), &start, &len));
	image_free(img);
}

static void an_unknown_method_is_unsupported(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *img = make(&b);

	(void)state;
	for (int i = 0; i < FVE_COPIES; i++) {
		img->buf[b.copy[i] + 0x40 + 0x24] = 0x77;
		bitlocker_build_seal(&b, i);
	}
	image_open(img, &bitlocker_ops);
	assert_int_equal(img->err, -EOPNOTSUPP);
	assert_finding(img, FVE_METHOD, b.copy[0] + 0x64);
	image_free(img);
}

static void a_truncated_volume_is_read_as_far_as_it_goes(void **state)
{
	struct bitlocker_build b = {.clear = true};
	struct image *img = make(&b);
	uint8_t want[SIZE], *got = malloc(SIZE);
	struct extent run;

	(void)state;
	plain(want);
	for (size_t len = SIZE - 1; len > 8192; len -= 13001) {
		image_resize(img, len);
		image_check(img, &bitlocker_ops);
		if (len < b.copy[0] + b.block + 88) {
			assert_int_equal(img->err, -EBADMSG);
			continue;
		}
		assert_int_equal(img->err, 0);
		assert_finding(img, FVE_TRUNCATED, b.copy[0] + 0x10);
		assert_int_equal(img->top->size, len);
		if (len < b.header_off + 8192) {
			assert_false(image_readable(img, 0, 8192));
			continue;
		}
		/* Where a block of AES is cut it is lost, not the whole sector. */
		assert_readable(img, 0, len & ~15ull);
		layer_read(img->top, 0, got, len & ~15ull, NULL);
		assert_memory_equal(got, want, len & ~15ull);
		if (len % 16 == 0)
			continue;
		assert_int_equal(layer_map(img->top, len & ~15ull, &run), 0);
		if (run.kind != EXTENT_ZERO)
			assert_lost(img, len & ~15ull, len % 16, LAYER_READ_PAST_END);
	}
	free(got);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_method_and_sector_size_opens),
		cmocka_unit_test(each_protector_opens),
		cmocka_unit_test(wrong_keys_are_rejected_whatever_their_kind),
		cmocka_unit_test(a_locked_volume_is_lost_but_for_its_zeros),
		cmocka_unit_test(a_paused_conversion_is_plain_behind_its_watermark),
		cmocka_unit_test(encrypt_on_write_follows_its_newer_bitmap),
		cmocka_unit_test(damaged_encrypt_on_write_structures_are_reported),
		cmocka_unit_test(noise_of_unknown_state_is_doubtful),
		cmocka_unit_test(metadata_reads_as_zeros_and_maps_as_zeros),
		cmocka_unit_test(structures_are_named),
		cmocka_unit_test(an_unknown_method_is_unsupported),
		cmocka_unit_test(a_truncated_volume_is_read_as_far_as_it_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
