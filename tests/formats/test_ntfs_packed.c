/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed files of NTFS as layers. CompactOS chunks are made by wimlib's compressors. */
#include "formats/fs/ntfs_packed.h"

#include <errno.h>
#include <stdio.h>
#include <wimlib.h>

#include "tests/lib/image.h"
#include "vdiskck/core/endian.h"

enum { UNIT = 65536, CLUSTER = 4096, VOLUME = 4 << 20 };

struct bench {
	struct session s;
	uint8_t *volume, *plain;
	struct layer *fs;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	session_init(&b->s);
	b->volume = calloc(1, VOLUME);
	b->plain = calloc(1, VOLUME + 1);
	/* Text that packs well and never repeats a chunk. */
	for (size_t i = 0; i + 16 <= VOLUME; i += 16)
		snprintf((char *)b->plain + i, 17, "line %09zu\r\n", i * 37 % 1000003);
	b->fs = memory_source(&b->s, "fs", b->volume, VOLUME);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	layer_free(b->fs);
	session_fini(&b->s);
	free(b->volume);
	free(b->plain);
	free(b);
	return 0;
}

static void run_at(struct fs_runs *r, uint64_t off, uint64_t at, uint64_t len)
{
	assert_int_equal(fs_runs_add(r, &(struct fs_run){off, len, EXTENT_DATA, 0, at}), 0);
}

/* [off, off + len) of the file is what @want says, and @bad is what reading it found. */
static void expect(struct layer *file, uint64_t off, size_t len, const uint8_t *want,
		   struct ranges *bad)
{
	uint8_t *got = malloc(len);

	memset(got, 0xee, len);
	assert_int_equal(layer_read(file, off, got, len, bad), 0);
	assert_memory_equal(got, want, len);
	free(got);
}

/* In pieces of odd sizes, so that units are read in part, too. */
static void expect_all(struct layer *file, const uint8_t *want)
{
	struct ranges bad = {0};

	for (uint64_t off = 0, step = 1; off < file->size; off += step, step = step * 5 % 99991) {
		if (step > file->size - off)
			step = file->size - off;
		expect(file, off, (size_t)step, want + off, &bad);
	}
	expect(file, 0, (size_t)file->size, want, &bad);
	assert_int_equal(bad.n, 0);
}

/* ---- LZNT1 ---- */

/* Every byte of a chunk the same: six bytes are 4096. */
static size_t pack_unit(uint8_t *to, const uint8_t *fill)
{
	for (size_t i = 0; i < UNIT / CLUSTER; i++)
		memcpy(to + i * 6, (uint8_t[]){0x03, 0xb0, 0x02, fill[i], 0xfc, 0x0f}, 6);
	return UNIT / CLUSTER * 6;
}

enum { PACKED_AT = 0x10000, RAW_AT = 0x40000, LAST_AT = 0x80000 };

/* Three units and a bit: packed, a hole, stored as it is, and a packed one that the end cuts. */
static struct layer *lznt1_file(struct bench *b, uint8_t *want)
{
	struct ntfs_lznt1 a = {.size = 3 * UNIT + 5000, .allocated = 4 * UNIT, .unit = UNIT};
	uint8_t fill[UNIT / CLUSTER];
	struct layer *file;

	a.valid = a.size;
	for (size_t i = 0; i < sizeof(fill); i++)
		fill[i] = (uint8_t)('a' + i);
	pack_unit(b->volume + PACKED_AT, fill);
	memcpy(b->volume + RAW_AT, b->plain, UNIT);
	pack_unit(b->volume + LAST_AT, fill);
	run_at(&a.runs, 0, PACKED_AT, CLUSTER);
	run_at(&a.runs, 2 * UNIT, RAW_AT, UNIT);
	run_at(&a.runs, 3 * UNIT, LAST_AT, CLUSTER);
	for (size_t i = 0; i < UNIT; i++) {
		want[i] = want[3 * UNIT + i] = fill[i / CLUSTER];
		want[UNIT + i] = 0;
		want[2 * UNIT + i] = b->plain[i];
	}
	assert_int_equal(ntfs_lznt1_new(b->fs, "/f", &a, &file), 0);
	return file;
}

static void lznt1_packed_raw_and_holes(void **state)
{
	static uint8_t want[4 * UNIT];
	struct layer *file = lznt1_file(*state, want);

	assert_int_equal(file->size, 3 * UNIT + 5000);
	expect_all(file, want);
	layer_free(file);
}

static void lznt1_says_where_each_unit_lies(void **state)
{
	static uint8_t want[4 * UNIT];
	struct bench *b = *state;
	struct layer *file = lznt1_file(b, want);
	struct extent run;

	assert_int_equal(layer_map(file, 70, &run), 0);
	assert_true(run.off == 0 && run.len == UNIT && run.packed == CLUSTER);
	assert_true(run.in == b->fs && run.at == PACKED_AT);
	assert_int_equal(layer_map(file, UNIT + 5, &run), 0);
	assert_true(run.kind == EXTENT_ZERO && run.len == UNIT - 5);
	assert_int_equal(layer_map(file, 2 * UNIT + 7, &run), 0);
	assert_true(!run.packed && run.in == b->fs && run.at == RAW_AT + 7 && run.len == UNIT - 7);
	assert_int_equal(layer_map(file, 3 * UNIT + 7, &run), 0);
	assert_true(run.packed == CLUSTER && run.len == 5000);
	layer_free(file);
}

/* Runs outside the volume are lost: they cost the unit that they belong to. */
static void lznt1_lost_clusters_cost_their_unit(void **state)
{
	struct bench *b = *state;
	struct ntfs_lznt1 a = {
		.size = 2 * UNIT, .valid = 2 * UNIT, .allocated = 2 * UNIT, .unit = UNIT};
	uint8_t fill[UNIT / CLUSTER], want[UNIT];
	struct ranges bad = {0};
	struct layer *file;

	memset(fill, 'x', sizeof(fill));
	memset(want, 'x', sizeof(want));
	pack_unit(b->volume + PACKED_AT, fill);
	run_at(&a.runs, 0, VOLUME + 4096, CLUSTER);
	run_at(&a.runs, UNIT, PACKED_AT, CLUSTER);
	assert_int_equal(ntfs_lznt1_new(b->fs, "/f", &a, &file), 0);
	expect(file, UNIT, UNIT, want, &bad);
	assert_int_equal(bad.n, 0);
	memset(want, 0, sizeof(want));
	expect(file, 0, UNIT, want, &bad);
	assert_true(bad.n == 1 && bad.v[0].off == 0 && bad.v[0].len == UNIT);
	assert_int_equal(bad.v[0].why, LAYER_READ_PAST_END);
	ranges_free(&bad);
	expect(file, 100, 50, want, &bad); /* through the cache, the same */
	assert_true(bad.n == 1 && bad.v[0].off == 100 && bad.v[0].len == 50);
	ranges_free(&bad);
	layer_free(file);
}

/* The packed bytes may lie in pieces: the map then names the stored bytes, not the volume. */
static void lznt1_packed_bytes_in_two_pieces(void **state)
{
	struct bench *b = *state;
	struct ntfs_lznt1 a = {.size = UNIT, .valid = UNIT, .allocated = UNIT, .unit = UNIT};
	uint8_t *p = b->volume + PACKED_AT;
	struct layer *file;
	struct extent run;

	/* 2 chunks that are stored as they are: 8196 bytes; the rest are runs of 'z'. */
	for (size_t i = 0; i < UNIT / CLUSTER; i++) {
		if (i < 2) {
			memcpy(p, "\xff\x3f", 2);
			memcpy(p + 2, b->plain + i * CLUSTER, CLUSTER);
			p += 2 + CLUSTER;
		} else {
			memcpy(p, (uint8_t[]){0x03, 0xb0, 0x02, 'z', 0xfc, 0x0f}, 6);
			p += 6;
			memset(b->plain + i * CLUSTER, 'z', CLUSTER);
		}
	}
	memmove(b->volume + RAW_AT, b->volume + PACKED_AT + CLUSTER, 2 * CLUSTER);
	memset(b->volume + PACKED_AT + CLUSTER, 0xee, 2 * CLUSTER);
	run_at(&a.runs, 0, PACKED_AT, CLUSTER);
	run_at(&a.runs, CLUSTER, RAW_AT, 2 * CLUSTER);
	assert_int_equal(ntfs_lznt1_new(b->fs, "/f", &a, &file), 0);
	expect_all(file, b->plain);
	assert_int_equal(layer_map(file, 0, &run), 0);
	assert_true(run.packed == 3 * CLUSTER && run.in != b->fs && run.at == 0);
	assert_int_equal(layer_map(run.in, CLUSTER, &run), 0);
	assert_true(run.in == b->fs && run.at == RAW_AT);
	layer_free(file);
}

static void lznt1_what_is_not_initialised_is_zero(void **state)
{
	static uint8_t want[2 * UNIT];
	struct bench *b = *state;
	struct ntfs_lznt1 a = {.size = 2 * UNIT, .valid = 100, .allocated = 2 * UNIT, .unit = UNIT};
	struct layer *file;

	memset(b->volume + RAW_AT, 'q', 2 * UNIT);
	memset(want, 'q', 100);
	run_at(&a.runs, 0, RAW_AT, 2 * UNIT);
	assert_int_equal(ntfs_lznt1_new(b->fs, "/f", &a, &file), 0);
	expect_all(file, want);
	layer_free(file);
}

static void lznt1_impossible_units_are_refused(void **state)
{
	static const uint32_t units[] = {0, 256, 12345, NTFS_UNIT_MAX * 2};
	struct bench *b = *state;

	for (size_t i = 0; i < 4; i++) {
		struct ntfs_lznt1 a = {.size = 9, .valid = 9, .allocated = 9, .unit = units[i]};
		struct layer *file;

		assert_int_equal(ntfs_lznt1_new(b->fs, "/f", &a, &file), -EINVAL);
	}
}

/* ---- CompactOS ---- */

/* The stream that holds b->plain[0, size): table, then chunks. Returns its length. */
static size_t wof_build(struct bench *b, enum wof_format f, size_t size, uint64_t at)
{
	enum wimlib_compression_type type =
		f == WOF_LZX ? WIMLIB_COMPRESSION_TYPE_LZX : WIMLIB_COMPRESSION_TYPE_XPRESS;
	size_t chunk = wof_chunk(f), n = (size + chunk - 1) / chunk, used = 0;
	uint8_t *table = b->volume + at, *data = table + (n - 1) * 4;
	struct wimlib_compressor *c;

	assert_int_equal(wimlib_create_compressor(type, chunk, 0, &c), 0);
	for (size_t i = 0; i < n; i++) {
		size_t plain = i + 1 < n ? chunk : size - i * chunk;
		size_t packed =
			wimlib_compress(b->plain + i * chunk, plain, data + used, plain - 1, c);

		if (i)
			*(le32_t *)(table + (i - 1) * 4) = to_le32((uint32_t)used);
		if (!packed) {
			memcpy(data + used, b->plain + i * chunk, plain);
			packed = plain;
		}
		used += packed;
	}
	wimlib_free_compressor(c);
	return (n - 1) * 4 + used;
}

static struct layer *wof_file(struct bench *b, enum wof_format f, size_t size, size_t stream)
{
	struct fs_runs runs = {0};
	struct layer *packed, *file;

	/* In two pieces, as on a volume in use. */
	run_at(&runs, 0, PACKED_AT, CLUSTER);
	memmove(b->volume + PACKED_AT + 3 * CLUSTER, b->volume + PACKED_AT + CLUSTER, stream);
	memset(b->volume + PACKED_AT + CLUSTER, 0xee, 2 * CLUSTER);
	run_at(&runs, CLUSTER, PACKED_AT + 3 * CLUSTER, stream - CLUSTER);
	assert_int_equal(fs_file_new(b->fs, "/f:WofCompressedData", stream, &runs, &packed), 0);
	assert_int_equal(ntfs_wof_new(b->fs, "/f", size, f, packed, &file), 0);
	return file;
}

/* Text, a stretch that does not pack, and an end inside a chunk. */
static void wof_all_formats(void **state)
{
	struct bench *b = *state;
	size_t size = 300001;

	for (size_t i = 100000; i < 200000; i++)
		b->plain[i] = (uint8_t)(i * 2654435761u >> 13 ^ i * 40503u >> 3);
	for (unsigned f = WOF_XPRESS4K; f <= WOF_XPRESS16K; f++) {
		size_t stream;
		struct layer *file;

		memset(b->volume, 0, VOLUME);
		stream = wof_build(b, (enum wof_format)f, size, PACKED_AT);
		assert_true(stream < size);
		file = wof_file(b, (enum wof_format)f, size, stream);
		expect_all(file, b->plain);
		layer_free(file);
	}
}

static void wof_a_bad_chunk_costs_itself(void **state)
{
	struct bench *b = *state;
	size_t size = 10 * 32768, stream = wof_build(b, WOF_LZX, size, PACKED_AT);
	uint8_t *chunk3 = b->volume + PACKED_AT + 36 + le32(*(le32_t *)(b->volume + PACKED_AT + 8));
	struct ranges bad = {0};
	struct layer *file;

	memset(chunk3 + 4, 0xff, 300);
	file = wof_file(b, WOF_LZX, size, stream);
	memset(b->plain + 3 * 32768, 0, 32768);
	expect(file, 0, size, b->plain, &bad);
	assert_true(bad.n == 1 && bad.v[0].off == 3 * 32768 && bad.v[0].len == 32768);
	assert_int_equal(bad.v[0].why, NTFS_WOF);
	ranges_free(&bad);
	layer_free(file);
}

static void wof_a_bad_table_entry_costs_two_chunks(void **state)
{
	struct bench *b = *state;
	size_t size = 10 * 32768, stream = wof_build(b, WOF_LZX, size, PACKED_AT);
	struct ranges bad = {0};
	struct layer *file;

	memset(b->volume + PACKED_AT + 4 * 4, 0xff, 4); /* where chunk 5 begins */
	file = wof_file(b, WOF_LZX, size, stream);
	memset(b->plain + 4 * 32768, 0, 2 * 32768);
	expect(file, 0, size, b->plain, &bad);
	assert_true(bad.n == 1 && bad.v[0].off == 4 * 32768 && bad.v[0].len == 2 * 32768);
	ranges_free(&bad);
	layer_free(file);
}

static void wof_a_stream_cut_short_costs_its_end(void **state)
{
	struct bench *b = *state;
	size_t size = 10 * 32768, stream = wof_build(b, WOF_LZX, size, PACKED_AT);
	struct layer *file = wof_file(b, WOF_LZX, size, stream - 1);
	struct ranges bad = {0};
	uint8_t *got = malloc(size);

	assert_int_equal(layer_read(file, 0, got, size, &bad), 0);
	assert_memory_equal(got, b->plain, 9 * 32768);
	assert_true(!bad.n || bad.v[0].off == 9 * 32768);
	layer_free(file);
	ranges_free(&bad);
	free(got);
	/* Not even the table is whole. */
	file = wof_file(b, WOF_LZX, 1ull << 40, CLUSTER + 1);
	expect(file, 7 << 20, 4096, b->volume + VOLUME - 4096, &bad);
	assert_true(bad.n == 1 && bad.v[0].len == 4096);
	ranges_free(&bad);
	layer_free(file);
}

static void wof_reparse_points(void **state)
{
	static const struct {
		uint32_t w[4];
		size_t len;
		int r;
	} all[] = {
		{{1, 2, 1, WOF_LZX}, 16, 0},	 {{1, 1, 0, 0}, 16, -ENOENT},
		{{1, 2, 1, 4}, 16, -EOPNOTSUPP}, {{2, 2, 1, 0}, 16, -EOPNOTSUPP},
		{{1, 3, 1, 0}, 16, -EOPNOTSUPP}, {{1, 2, 2, 0}, 16, -EOPNOTSUPP},
		{{1, 2, 1, 0}, 15, -EBADMSG},	 {{1, 2, 1, 0}, 7, -EBADMSG},
	};
	enum wof_format f = WOF_XPRESS4K;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		assert_int_equal(
			wof_reparse((struct span){(const uint8_t *)all[i].w, all[i].len, 0}, &f),
			all[i].r);
	assert_int_equal(f, WOF_LZX);
	assert_string_equal(wof_format_name(f), "LZX");
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lznt1_packed_raw_and_holes),
		TEST(lznt1_says_where_each_unit_lies),
		TEST(lznt1_lost_clusters_cost_their_unit),
		TEST(lznt1_packed_bytes_in_two_pieces),
		TEST(lznt1_what_is_not_initialised_is_zero),
		TEST(lznt1_impossible_units_are_refused),
		TEST(wof_all_formats),
		TEST(wof_a_bad_chunk_costs_itself),
		TEST(wof_a_bad_table_entry_costs_two_chunks),
		TEST(wof_a_stream_cut_short_costs_its_end),
		TEST(wof_reparse_points),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
