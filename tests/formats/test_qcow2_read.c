/* SPDX-License-Identifier: Apache-2.0 */
/* Reading qcow2: each thing that can be wrong, what is said about it, and what is still read. */
#include <errno.h>
#include <stdio.h>

#include "formats/container/qcow2_parts.h"
#include "formats/drivers.h"
#include "tests/lib/image.h"
#include "tests/lib/qcow2_build.h"
#include "vdiskck/core/json.h"

enum { C = 4096 }; /* the builder's cluster */

/* A disk of 1 MiB: 'A' at 0, 'B' at 0x1000, nothing at 0x2000, 'C' packed at 0x3000. */
static struct qcow2_build good(void)
{
	struct qcow2_build b = {0};
	uint8_t packed[C];

	memset(packed, 'C', sizeof(packed));
	memset(packed, 'c', 100);
	qcow2_build(&b);
	qcow2_build_data(&b, 0, 'A');
	qcow2_build_data(&b, C, 'B');
	qcow2_build_packed(&b, 3 * C, packed);
	return b;
}

static void open_image(const struct qcow2_build *b)
{
	image_open(b->img, &qcow2_ops);
}

static void assert_bytes(const struct qcow2_build *b, uint64_t off, size_t len, int fill)
{
	uint8_t *buf = malloc(len + 1);
	struct ranges bad = {0};

	assert_int_equal(layer_read(b->img->top, off, buf, len, &bad), 0);
	assert_int_equal(bad.n, 0);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(buf[i], fill);
	free(buf);
}

/* All of it is there, and all of it is doubtful for this reason. */
static void assert_doubtful(const struct qcow2_build *b, uint64_t off, size_t len, int fill,
			    enum finding_id why)
{
	uint8_t *buf = malloc(len + 1);
	struct ranges bad = {0};

	assert_int_equal(layer_read(b->img->top, off, buf, len, &bad), 0);
	ranges_sort(&bad);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
	assert_int_equal(bad.v[0].why, why);
	assert_int_equal(bad.v[0].len, len);
	assert_int_equal(buf[len / 2], fill);
	ranges_free(&bad);
	free(buf);
}

static void a_good_image_reads_and_says_nothing(void **state)
{
	struct qcow2_build b = good();
	uint8_t buf[3];

	(void)state;
	open_image(&b);
	assert_int_equal(b.img->err, 0);
	assert_int_equal(b.img->n_seen, 0);
	assert_bytes(&b, 0, C, 'A');
	assert_bytes(&b, C, C, 'B');
	assert_bytes(&b, 2 * C, C, 0);
	assert_bytes(&b, 3 * C + 100, C - 100, 'C');
	assert_bytes(&b, 4 * C, (1 << 20) - 4 * C, 0);
	assert_int_equal(layer_read(b.img->top, 3 * C + 98, buf, 3, NULL), 0);
	assert_memory_equal(buf, "ccC", 3);
	image_free(b.img);
}

static void map_gives_long_runs_and_packed_clusters(void **state)
{
	struct qcow2_build b = good();
	struct extent run;

	(void)state;
	open_image(&b);
	assert_int_equal(layer_map(b.img->top, 5, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	assert_int_equal(run.len, 2 * C - 5); /* both clusters: they lie together */
	assert_ptr_equal(run.in, b.img->source);
	assert_int_equal(run.at, 5 * C + 5);
	assert_int_equal(layer_map(b.img->top, 2 * C, &run), 0);
	assert_int_equal(run.kind, EXTENT_ZERO);
	assert_int_equal(run.len, C);
	assert_int_equal(layer_map(b.img->top, 3 * C + 7, &run), 0);
	assert_int_equal(run.off, 3 * C);
	assert_int_equal(run.len, C);
	assert_int_equal(run.packed, 512);
	assert_int_equal(layer_map(b.img->top, 4 * C, &run), 0);
	assert_int_equal(run.kind, EXTENT_ZERO);
	assert_int_equal(run.len, (1 << 20) - 4 * C);
	image_free(b.img);
}

/* ---- The header ---- */

static void a_lost_magic_does_not_stop_us(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	image_be32(b.img, 0, 0);
	image_discover(b.img);
	assert_string_equal(b.img->top->ops->name, "qcow2");
	assert_finding(b.img, QCOW2_MAGIC_LOST, 0);
	assert_bytes(&b, C, C, 'B');
	image_free(b.img);
}

static void header_field_refused(uint64_t at, uint32_t value, enum finding_id id, int err)
{
	struct qcow2_build b = good();

	image_be32(b.img, at, value);
	open_image(&b);
	assert_finding(b.img, id, at);
	assert_int_equal(b.img->err, err);
	image_free(b.img);
}

static void impossible_headers_are_refused(void **state)
{
	(void)state;
	header_field_refused(4, 4, QCOW2_VERSION, -EOPNOTSUPP);
	header_field_refused(20, 30, QCOW2_CLUSTER_SIZE, -EBADMSG); /* 1 GiB */
	header_field_refused(20, 8, QCOW2_CLUSTER_SIZE, -EBADMSG);
	header_field_refused(20, UINT32_MAX, QCOW2_CLUSTER_SIZE, -EBADMSG);
}

static void a_disk_too_large_to_be_addressed_is_cut(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	image_be64(b.img, 24, UINT64_C(1) << 63);
	open_image(&b);
	assert_finding(b.img, QCOW2_SIZE, 24);
	assert_int_equal(b.img->err, 0);
	assert_int_equal(b.img->top->size, 2 << 20); /* one L1 entry: one L2 table's worth */
	assert_bytes(&b, C, C, 'B');
	image_be32(b.img, 36, UINT32_MAX);
	open_image(&b);
	assert_int_equal(b.img->err, -EBADMSG);
	image_free(b.img);
}

static void a_wrong_header_length_is_reported_and_ignored(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	image_be32(b.img, 100, 103);
	open_image(&b);
	assert_finding(b.img, QCOW2_HEADER_LENGTH, 100);
	assert_bytes(&b, 0, C, 'A');
	image_free(b.img);
}

static void reading_needs_no_refcounts(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	image_be32(b.img, 96, 7);
	open_image(&b);
	assert_finding(b.img, QCOW2_REFCOUNT_ORDER, 96);
	assert_bytes(&b, 0, C, 'A');
	image_free(b.img);
}

static void an_unknown_feature_is_named(void **state)
{
	struct qcow2_build b = good();
	struct qcow2_feature_name f = {0, 33, "holographic clusters"};

	(void)state;
	image_be64(b.img, 72, UINT64_C(1) << 33);
	qcow2_build_extension(&b, QCOW2_EXT_FEATURES, &f, sizeof(f));
	open_image(&b);
	assert_int_equal(b.img->err, -EOPNOTSUPP);
	assert_finding(b.img, QCOW2_FEATURE_UNKNOWN, 72);
	assert_non_null(
		strstr(image_first(b.img, QCOW2_FEATURE_UNKNOWN)->message, "holographic clusters"));
	image_free(b.img);
}

static void dirty_and_corrupt_are_said(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	image_be64(b.img, 72, QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT);
	open_image(&b);
	assert_finding(b.img, QCOW2_DIRTY, 72);
	assert_finding(b.img, QCOW2_CORRUPT, 72);
	assert_readable(b.img, 0, b.img->top->size);
	image_free(b.img);
}

static void an_extension_longer_than_its_space_ends_the_walk(void **state)
{
	struct qcow2_build b = good();
	uint64_t at = qcow2_build_extension(&b, 0x12345678, "unknown", 7);

	(void)state;
	open_image(&b);
	assert_int_equal(b.img->n_seen, 0); /* unknown ones are ignored */
	image_be32(b.img, at + 4, C);
	open_image(&b);
	assert_finding(b.img, QCOW2_EXTENSION, at);
	assert_readable(b.img, 0, b.img->top->size);
	image_be32(b.img, at, QCOW2_EXT_BITMAPS);
	image_be32(b.img, at + 4, 7);
	open_image(&b);
	assert_finding(b.img, QCOW2_EXTENSION, at + 8);
	image_free(b.img);
}

static void unknown_compression_loses_compressed_clusters_only(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	image_be64(b.img, 72, QCOW2_INCOMPAT_COMPRESSION);
	image_poke(b.img, 104, "\x02", 1);
	open_image(&b);
	assert_finding(b.img, QCOW2_COMPRESSION, 104);
	assert_readable(b.img, 0, 3 * C);
	assert_lost(b.img, 3 * C, C, QCOW2_COMPRESSION);
	image_free(b.img);
}

static void ciphertext_is_not_given_as_data(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	image_be32(b.img, 32, 1);
	open_image(&b);
	assert_int_equal(b.img->top->locked, -ENOKEY);
	assert_lost(b.img, 0, 2 * C, LAYER_LOCKED);
	assert_readable(b.img, 2 * C, 2 * C); /* a hole; a compressed cluster, never encrypted */
	image_be32(b.img, 32, 3);
	open_image(&b);
	assert_finding(b.img, QCOW2_ENCRYPTED, 32);
	assert_lost(b.img, 0, 2 * C, QCOW2_ENCRYPTED);
	image_free(b.img);
}

/* ---- L1 ---- */

static void an_l1_table_outside_the_file_loses_the_disk(void **state)
{
	static const uint64_t where[] = {UINT64_C(1) << 40, UINT64_C(1) << 63, UINT64_MAX - 7,
					 3 * C + 8, 0};

	(void)state;
	for (size_t i = 0; i < sizeof(where) / sizeof(*where); i++) {
		struct qcow2_build b = good();

		image_be64(b.img, 40, where[i]);
		open_image(&b);
		assert_int_equal(b.img->err, 0);
		assert_finding(b.img, QCOW2_L1_OUTSIDE, 36);
		assert_lost(b.img, 0, b.img->top->size, QCOW2_L1_OUTSIDE);
		image_free(b.img);
	}
}

static void a_huge_l1_size_costs_nothing(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	image_be32(b.img, 36, UINT32_MAX);
	open_image(&b);
	assert_finding(b.img, QCOW2_L1_SIZE, 36);
	assert_readable(b.img, 0, b.img->top->size);
	image_free(b.img);
}

static void a_short_l1_table_loses_the_end(void **state)
{
	struct qcow2_build b = {.size = 5 << 20}; /* three L1 entries */

	(void)state;
	qcow2_build(&b);
	qcow2_build_data(&b, 0, 'A');
	image_be32(b.img, 36, 1);
	open_image(&b);
	assert_finding(b.img, QCOW2_L1_SHORT, 36);
	assert_readable(b.img, 0, 2 << 20);
	assert_lost(b.img, 2 << 20, 3 << 20, QCOW2_L1_SHORT);
	image_free(b.img);
}

static void an_l1_entry_that_points_nowhere_loses_its_range(void **state)
{
	static const uint64_t entry[] = {UINT64_C(1) << 40 | QCOW2_COPIED, 4 * C + 512, 0x80};

	(void)state;
	for (size_t i = 0; i < sizeof(entry) / sizeof(*entry); i++) {
		struct qcow2_build b = {.size = 4 << 20};

		qcow2_build(&b);
		qcow2_build_data(&b, 0, 'A');
		qcow2_build_data(&b, 2 << 20, 'B');
		image_be64(b.img, qcow2_build_l1(&b, 0), entry[i]);
		open_image(&b);
		assert_lost(b.img, 0, 2 << 20, QCOW2_L1_ENTRY);
		assert_bytes(&b, 2 << 20, C, 'B');
		image_free(b.img);
	}
}

static void reserved_bits_in_l1_make_doubtful(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	b.img->buf[qcow2_build_l1(&b, 0)] |= 0x40;
	open_image(&b);
	assert_doubtful(&b, C, C, 'B', QCOW2_L1_RESERVED);
	assert_doubtful(&b, 3 * C + 200, C - 200, 'C', QCOW2_L1_RESERVED);
	image_free(b.img);
}

static void an_adopted_table_takes_the_place_of_a_lost_one(void **state)
{
	struct qcow2_build b = good();
	uint64_t l1 = qcow2_build_l1(&b, 0), table = 4 * C;

	(void)state;
	image_be64(b.img, l1, 0);
	open_image(&b);
	assert_bytes(&b, 0, C, 0);
	assert_int_equal(qcow2_adopt_l2(b.img->top, 0, table + 8, true), -EINVAL);
	assert_int_equal(qcow2_adopt_l2(b.img->top, 0, UINT64_C(1) << 40, true), -EINVAL);
	assert_int_equal(qcow2_adopt_l2(b.img->top, 1, table, true), -EINVAL); /* behind the disk */
	assert_int_equal(qcow2_adopt_l2(b.img->top, 0, table, true), 0);
	assert_int_equal(qcow2_adopt_l2(b.img->top, 0, table, true), 0);
	assert_int_equal(qcow2_adopt_l2(b.img->top, 0, table + C, true), -EEXIST);
	assert_bytes(&b, 0, C, 'A');
	assert_bytes(&b, 3 * C + 100, C - 100, 'C');
	image_free(b.img);
}

static void through_a_table_that_is_only_likely_all_is_doubtful(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	image_be64(b.img, qcow2_build_l1(&b, 0), 0);
	open_image(&b);
	assert_int_equal(qcow2_adopt_l2(b.img->top, 0, 4 * C, false), 0);
	assert_doubtful(&b, 0, C, 'A', QCOW2_L2_ADOPTED);
	assert_doubtful(&b, 3 * C + 100, C - 100, 'C', QCOW2_L2_ADOPTED); /* compressed */
	image_free(b.img);
}

/* ---- L2 ---- */

static void l2_entries_that_cannot_be_lose_their_cluster(void **state)
{
	static const struct {
		uint64_t entry;
		enum finding_id why;
	} bad[] = {
		{UINT64_C(1) << 40, QCOW2_L2_PAST_END},
		{5 * C + 512, QCOW2_L2_UNALIGNED},
		{QCOW2_COMPRESSED | UINT64_C(1) << 40, QCOW2_L2_PAST_END},
		{QCOW2_COMPRESSED | 0x30, QCOW2_INFLATE}, /* the header is no deflate stream */
		{0x80, QCOW2_L2_RESERVED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct qcow2_build b = good();

		image_be64(b.img, qcow2_build_l2(&b, C), bad[i].entry);
		open_image(&b);
		assert_lost(b.img, C, C, bad[i].why);
		assert_bytes(&b, 0, C, 'A');
		assert_bytes(&b, 2 * C, C, 0);
		image_free(b.img);
	}
}

static void reserved_bits_in_l2_make_doubtful(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	b.img->buf[qcow2_build_l2(&b, C)] |= 0x20;
	open_image(&b);
	assert_doubtful(&b, C, C, 'B', QCOW2_L2_RESERVED);
	assert_bytes(&b, 0, C, 'A');
	image_free(b.img);
}

static void version_2_knows_no_zero_bit(void **state)
{
	struct qcow2_build b = {.version = 2};

	(void)state;
	qcow2_build(&b);
	qcow2_build_data(&b, 0, 'A');
	open_image(&b);
	assert_bytes(&b, 0, C, 'A');
	b.img->buf[qcow2_build_l2(&b, 0) + 7] |= QCOW2_ZERO;
	open_image(&b);
	assert_doubtful(&b, 0, C, 'A', QCOW2_L2_RESERVED);
	image_free(b.img);
}

static void a_zero_cluster_keeps_its_old_contents_to_itself(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	b.img->buf[qcow2_build_l2(&b, C) + 7] |= QCOW2_ZERO;
	open_image(&b);
	assert_bytes(&b, C, C, 0);
	image_free(b.img);
}

static void a_cluster_that_the_end_of_file_cuts_is_lost_from_there(void **state)
{
	struct qcow2_build b = {0};
	uint64_t at;

	(void)state;
	qcow2_build(&b);
	at = qcow2_build_data(&b, 0, 'A');
	image_resize(b.img, at + 1000);
	open_image(&b);
	assert_bytes(&b, 0, 1000, 'A');
	assert_lost(b.img, 1000, C - 1000, QCOW2_L2_PAST_END);
	assert_bytes(&b, C, C, 0);
	image_free(b.img);
}

static void subclusters_are_told_apart(void **state)
{
	struct qcow2_build b = {.bits = 14, .extended_l2 = true};
	uint64_t l2;

	(void)state;
	qcow2_build(&b);
	qcow2_build_data(&b, 0, 'A');
	l2 = qcow2_build_l2(&b, 0);
	/* 512 bytes each: 0 data, 1 zero, 2 neither, 3 both, which can't be, the rest data */
	image_be64(b.img, l2 + 8, UINT64_C(0x0000000afffffff9));
	open_image(&b);
	assert_bytes(&b, 0, 512, 'A');
	assert_bytes(&b, 512, 1024, 0);
	assert_lost(b.img, 1536, 512, QCOW2_SUBCLUSTERS);
	assert_bytes(&b, 2048, (1 << 14) - 2048, 'A');
	/* allocated subclusters, but no cluster */
	image_be64(b.img, l2, 0);
	open_image(&b);
	assert_lost(b.img, 0, 512, QCOW2_SUBCLUSTERS);
	assert_bytes(&b, 512, 1024, 0);
	image_free(b.img);
}

/* ---- Compressed clusters ---- */

static void a_broken_stream_loses_its_cluster(bool zstd)
{
	struct qcow2_build b = {.zstd = zstd};
	uint8_t text[2 * C];
	uint64_t at;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * i / 999);
	qcow2_build(&b);
	at = qcow2_build_packed(&b, 0, text);
	qcow2_build_packed(&b, C, text + C);
	open_image(&b);
	assert_readable(b.img, 0, 2 * C);
	memset(b.img->buf + at, 0xff, 64);
	open_image(&b);
	assert_lost(b.img, 0, C, QCOW2_INFLATE);     /* read as a whole */
	assert_lost(b.img, 100, 200, QCOW2_INFLATE); /* and in part */
	assert_readable(b.img, C, C);
	image_free(b.img);
}

static void broken_streams_lose_their_cluster(void **state)
{
	(void)state;
	a_broken_stream_loses_its_cluster(false);
	a_broken_stream_loses_its_cluster(true);
}

static void a_stream_may_end_with_the_file(void **state)
{
	struct qcow2_build b = {0};
	uint8_t text[C];
	uint64_t at;
	size_t end;

	(void)state;
	for (size_t i = 0; i < C; i++)
		text[i] = (uint8_t)(i * i / 999);
	qcow2_build(&b);
	at = qcow2_build_packed(&b, 0, text);
	for (end = b.img->len; !b.img->buf[end - 1]; end--)
		;
	image_resize(b.img, end); /* not padded to a sector: QEMU does not either */
	open_image(&b);
	assert_readable(b.img, 0, C);
	image_resize(b.img, (size_t)at + (end - (size_t)at) / 2);
	open_image(&b);
	assert_lost(b.img, 0, C, QCOW2_INFLATE);
	image_free(b.img);
}

static void there_are_no_compressed_clusters_in_a_data_file(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	image_be64(b.img, 72, QCOW2_INCOMPAT_DATA_FILE);
	open_image(&b);
	assert_lost(b.img, 3 * C, C, QCOW2_PACKED_IN_DATA_FILE);
	image_free(b.img);
}

/* ---- Other files ---- */

static void backing(struct qcow2_build *b, const char *name, uint32_t len, const char *format)
{
	*b = good();
	if (format)
		qcow2_build_extension(b, QCOW2_EXT_BACKING_FORMAT, format, strlen(format));
	image_be64(b->img, 8, 1024);
	image_be32(b->img, 16, len);
	image_poke(b->img, 1024, name, strlen(name));
	open_image(b);
	assert_int_equal(b->img->err, 0);
}

static void what_a_backing_file_would_hold_is_lost_without_it(void **state)
{
	static const struct {
		const char *name;
		uint32_t len;
		const char *format;
		enum finding_id why;
		uint64_t at;
	} c[] = {
		{"no-such-file", 12, "raw", CHAIN_PARENT_MISSING, 1024},
		{"nbd://host/disk", 15, "raw", QCOW2_BACKING_REMOTE, 1024},
		{"json:{\"driver\":\"nbd\"}", 21, "raw", QCOW2_BACKING_REMOTE, 1024},
		{"base", 4, "no-format", QCOW2_BACKING_FORMAT, 0},
		{"base", 1024, "raw", QCOW2_BACKING_NAME, 8},
		{"base", 0, "raw", QCOW2_BACKING_NAME, 8},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++) {
		struct qcow2_build b;

		backing(&b, c[i].name, c[i].len, c[i].format);
		assert_finding(b.img, c[i].why, c[i].at);
		assert_lost(b.img, 2 * C, C, c[i].why);
		assert_bytes(&b, C, C, 'B');
		image_free(b.img);
	}
}

static void a_format_that_is_not_named_is_said(void **state)
{
	struct qcow2_build b;

	(void)state;
	backing(&b, "no-such-file", 12, NULL);
	assert_finding(b.img, QCOW2_BACKING_GUESSED, 0);
	image_free(b.img);
}

static void a_backing_file_is_newer_only_if_its_copy_is_not(void **state)
{
	enum { HOUR = 3600, DAY = 24 * HOUR };
	struct qcow2_times image = {.written = 100 * DAY, .made = 50 * DAY, .has_made = true};
	struct qcow2_times old = {.written = 10 * DAY, .made = 9 * DAY, .has_made = true};
	struct qcow2_times changed = {.written = 101 * DAY, .made = 9 * DAY, .has_made = true};
	struct qcow2_times copied = {
		.written = 101 * DAY, .made = 101 * DAY - HOUR, .has_made = true};
	struct qcow2_times kept = {.written = 10 * DAY, .made = 100 * DAY, .has_made = true};
	struct qcow2_times kept_newer = {.written = 11 * DAY, .made = 101 * DAY, .has_made = true};

	(void)state;
	assert_int_equal(qcow2_newer(&old, &image), QCOW2_NOT_NEWER);
	assert_int_equal(qcow2_newer(&changed, &image), QCOW2_NEWER);
	assert_int_equal(qcow2_newer(&copied, &image), QCOW2_NEWER_BY_COPYING);
	assert_int_equal(qcow2_newer(&kept_newer, &kept), QCOW2_NEWER);
	assert_int_equal(qcow2_newer(&kept, &kept_newer), QCOW2_NOT_NEWER);
	assert_int_equal(qcow2_newer(&kept_newer, &old), QCOW2_NEWER_BY_COPYING);
	changed.has_made = false;
	assert_int_equal(qcow2_newer(&changed, &image), QCOW2_NEWER_BY_COPYING);
	old.written = image.written + HOUR / 3; /* clocks differ */
	assert_int_equal(qcow2_newer(&old, &image), QCOW2_NOT_NEWER);
}

static void without_its_data_file_all_data_is_lost(void **state)
{
	struct qcow2_build b = good();

	(void)state;
	image_be64(b.img, 72, QCOW2_INCOMPAT_DATA_FILE);
	open_image(&b);
	assert_finding(b.img, QCOW2_DATA_FILE, 0);
	assert_lost(b.img, 0, 2 * C, QCOW2_DATA_FILE);
	assert_readable(b.img, 2 * C, C);
	qcow2_build_extension(&b, QCOW2_EXT_DATA_FILE, "no-such-file", 12);
	open_image(&b);
	assert_finding(b.img, QCOW2_DATA_FILE, 0);
	image_free(b.img);
}

/* ---- Snapshots and bitmaps ---- */

static void snapshots_keep_what_was(void **state)
{
	struct qcow2_build b = good();
	struct layer *snap;
	uint8_t c;

	(void)state;
	qcow2_build_snapshot(&b, "1", "before");
	image_be64(b.img, qcow2_build_l1(&b, 0), 0); /* the disk starts afresh, with 'X' */
	qcow2_build_data(&b, 0, 'X');
	open_image(&b);
	assert_int_equal(b.img->n_seen, 0);
	assert_bytes(&b, 0, C, 'X');
	assert_bytes(&b, C, C, 0);
	snap = b.img->top->child;
	assert_non_null(snap);
	assert_string_equal(snap->name, "qcow2@before");
	assert_true(snap->lazy);
	for (uint64_t off = 0; off < 3 * C; off += C) {
		assert_int_equal(layer_read(snap, off + 7, &c, 1, NULL), 0);
		assert_int_equal(c, "AB"[off / C]);
	}
	image_free(b.img);
}

static void snapshot_names_are_made_safe_and_told_apart(void **state)
{
	struct qcow2_build b = good();
	struct layer *s;

	(void)state;
	qcow2_build_snapshot(&b, "1", "a/../b\n");
	qcow2_build_snapshot(&b, "2", "a/../b\n");
	qcow2_build_snapshot(&b, "3", "");
	open_image(&b);
	s = b.img->top->child;
	assert_string_equal(s->name, "qcow2@a_.._b\\x0a");
	assert_string_equal(s->next->name, "qcow2@a_.._b\\x0a#2");
	assert_string_equal(s->next->next->name, "qcow2@3");
	image_free(b.img);
}

static void a_broken_snapshot_table_keeps_the_first_ones(void **state)
{
	struct qcow2_build b = good();
	uint64_t second;

	(void)state;
	qcow2_build_snapshot(&b, "1", "one");
	second = qcow2_build_snapshot(&b, "2", "two");
	image_be32(b.img, second + 36, UINT32_MAX); /* extra data */
	open_image(&b);
	assert_finding(b.img, QCOW2_SNAPSHOT_TABLE, second);
	assert_non_null(b.img->top->child);
	assert_null(b.img->top->child->next);
	assert_readable(b.img, 0, b.img->top->size);
	image_be64(b.img, 64, UINT64_MAX - 100);
	image_be32(b.img, 60, UINT32_MAX);
	open_image(&b);
	assert_finding(b.img, QCOW2_SNAPSHOT_TABLE, UINT64_MAX - 100);
	image_free(b.img);
}

static void more_snapshots_than_layers_are_said(void **state)
{
	struct qcow2_build b = {.bits = 16};
	uint64_t table;

	(void)state;
	qcow2_build(&b);
	table = qcow2_build_cluster(&b);
	image_be32(b.img, 60, 1025);
	image_be64(b.img, 64, table);
	for (int i = 0; i < 1025; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%04d", i);
		image_be32(b.img, table + (uint64_t)i * 48 + 12, 4 << 16);
		image_be64(b.img, table + (uint64_t)i * 48, b.l1_off);
		image_be32(b.img, table + (uint64_t)i * 48 + 8, 1);
		image_poke(b.img, table + (uint64_t)i * 48 + 40, id, 4);
	}
	open_image(&b);
	assert_finding(b.img, QCOW2_SNAPSHOTS_MANY, table + 1024 * 48);
	image_free(b.img);
}

/* An extension with one bitmap named "b"; returns the directory's address. */
static uint64_t bitmap(struct qcow2_build *b, uint32_t flags)
{
	uint64_t dir = qcow2_build_cluster(b), table = qcow2_build_cluster(b);
	be64_t ext[3] = {to_be64(UINT64_C(1) << 32), to_be64(32), to_be64(dir)};

	image_be64(b->img, dir, table);
	image_be32(b->img, dir + 8, 1);
	image_be32(b->img, dir + 12, flags);
	image_poke(b->img, dir + 16, "\x01\x10\x00\x01", 4);
	image_poke(b->img, dir + 24, "b", 1);
	image_be64(b->img, 88, QCOW2_AUTOCLEAR_BITMAPS);
	qcow2_build_extension(b, QCOW2_EXT_BITMAPS, ext, sizeof(ext));
	return dir;
}

static void bitmaps_are_listed(void **state)
{
	struct qcow2_build b = good();
	struct json *j = js_object();

	(void)state;
	bitmap(&b, QCOW2_BITMAP_AUTO);
	open_image(&b);
	assert_int_equal(b.img->n_seen, 0);
	qcow2_ops.info(b.img->top, j);
	assert_non_null(strstr(js_line(j), "\"bitmaps\":[{\"name\":\"b\",\"granularity\":65536,"
					   "\"enabled\":true,\"in_use\":false}]"));
	js_free(j);
	image_free(b.img);
}

static void bitmaps_that_are_not_up_to_date_are_said(void **state)
{
	struct qcow2_build b = good();
	uint64_t dir = bitmap(&b, QCOW2_BITMAP_IN_USE);

	(void)state;
	open_image(&b);
	assert_finding(b.img, QCOW2_BITMAP_IN_USE, dir + 12);
	image_be64(b.img, 88, 0);
	open_image(&b);
	assert_finding(b.img, QCOW2_BITMAPS_STALE, 88);
	image_be32(b.img, dir + 20, UINT32_MAX);
	open_image(&b);
	assert_finding(b.img, QCOW2_BITMAP_DIRECTORY, dir);
	assert_readable(b.img, 0, b.img->top->size);
	image_free(b.img);
}

static void a_bitmap_directory_that_cannot_be_is_said(void **state)
{
	struct qcow2_build b = good();
	uint64_t ext = b.extensions + 8;

	(void)state;
	bitmap(&b, 0);
	image_be64(b.img, ext + 16, UINT64_C(1) << 62);
	open_image(&b);
	assert_finding(b.img, QCOW2_BITMAP_DIRECTORY, UINT64_C(1) << 62);
	image_be32(b.img, ext - 8, 0); /* no extension, but the header says so */
	open_image(&b);
	assert_finding(b.img, QCOW2_BITMAP_DIRECTORY, 88);
	image_free(b.img);
}

static void assert_dirty(const struct ranges *d, size_t i, uint64_t off, uint64_t len,
			 enum grade grade, enum finding_id why)
{
	assert_true(i < d->n);
	assert_int_equal(d->v[i].off, off);
	assert_int_equal(d->v[i].len, len);
	assert_int_equal(d->v[i].grade, grade);
	assert_int_equal(d->v[i].why, why);
}

/* Bits of 64 KiB each: 16 of them for the disk; those behind mean nothing. */
static void a_bitmap_says_what_is_dirty(void **state)
{
	struct qcow2_build b = good();
	uint64_t dir = bitmap(&b, QCOW2_BITMAP_AUTO), table = dir + C;
	uint64_t bits = qcow2_build_cluster(&b);
	struct ranges d = {0};

	(void)state;
	image_be64(b.img, table, bits);
	image_poke(b.img, bits, "\x0c\x81\xff", 3);
	open_image(&b);
	assert_int_equal(qcow2_bitmap_dirty(b.img->top, "none", &d), -ENOENT);
	assert_int_equal(qcow2_bitmap_dirty(b.img->top, "b", &d), 0);
	assert_int_equal(d.n, 3);
	assert_dirty(&d, 0, 2 << 16, 2 << 16, GRADE_DOUBTFUL, FINDING_COUNT);
	assert_dirty(&d, 1, 8 << 16, 1 << 16, GRADE_DOUBTFUL, FINDING_COUNT);
	assert_dirty(&d, 2, 15 << 16, 1 << 16, GRADE_DOUBTFUL, FINDING_COUNT);
	ranges_free(&d);
	image_be64(b.img, table, 1); /* all ones, without a cluster */
	open_image(&b);
	assert_int_equal(qcow2_bitmap_dirty(b.img->top, "b", &d), 0);
	assert_int_equal(d.n, 1);
	assert_dirty(&d, 0, 0, 1 << 20, GRADE_DOUBTFUL, FINDING_COUNT);
	ranges_free(&d);
	image_be64(b.img, table, UINT64_C(1) << 40);
	open_image(&b);
	assert_int_equal(qcow2_bitmap_dirty(b.img->top, "b", &d), 0);
	assert_int_equal(d.n, 1);
	assert_dirty(&d, 0, 0, 1 << 20, GRADE_LOST, QCOW2_BITMAP_TABLE);
	ranges_free(&d);
	image_be64(b.img, table, 0);
	open_image(&b);
	assert_int_equal(qcow2_bitmap_dirty(b.img->top, "b", &d), 0);
	assert_int_equal(d.n, 0);
	image_free(b.img);
}

static int dirty_refused(struct qcow2_build *b)
{
	struct ranges d = {0};
	int r;

	open_image(b);
	r = qcow2_bitmap_dirty(b->img->top, "b", &d);
	assert_int_equal(d.n, 0);
	return r;
}

static void a_bitmap_that_may_be_wrong_is_not_used(void **state)
{
	struct qcow2_build b = good();
	uint64_t dir = bitmap(&b, QCOW2_BITMAP_AUTO | QCOW2_BITMAP_IN_USE);

	(void)state;
	assert_int_equal(dirty_refused(&b), -ESTALE);
	image_be32(b.img, dir + 12, QCOW2_BITMAP_AUTO | 8); /* a flag that is not known */
	assert_int_equal(dirty_refused(&b), -ESTALE);
	image_be32(b.img, dir + 12, QCOW2_BITMAP_AUTO);
	image_be64(b.img, 88, 0); /* written to by a program that does not know bitmaps */
	assert_int_equal(dirty_refused(&b), -ESTALE);
	image_be64(b.img, 88, QCOW2_AUTOCLEAR_BITMAPS);
	assert_int_equal(dirty_refused(&b), 0);
	image_poke(b.img, dir + 17, "\x08", 1); /* granularity */
	assert_int_equal(dirty_refused(&b), -EBADMSG);
	image_poke(b.img, dir + 17, "\x10", 1);
	image_be32(b.img, dir + 8, 2); /* table entries */
	assert_int_equal(dirty_refused(&b), -EBADMSG);
	image_be32(b.img, dir + 8, 1);
	image_be64(b.img, dir, UINT64_MAX - C + 1);
	assert_int_equal(dirty_refused(&b), -EBADMSG);
	image_free(b.img);
}

static void structures_are_named(void **state)
{
	struct qcow2_build b = good();
	char name[100];
	uint64_t start, len;
	static const struct {
		uint64_t at;
		const char *name;
	} want[] = {
		{100, "qcow2 header"},
		{C, "refcount table"},
		{2 * C + 5, "refcount block of image bytes 0x0..0x800000"},
		{3 * C, "L1 table"},
		{4 * C + 100, "L2 table of 0x0..0x200000"},
	};

	(void)state;
	open_image(&b);
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		assert_true(qcow2_ops.structure(b.img->top, want[i].at, name, sizeof(name), &start,
						&len));
		assert_string_equal(name, want[i].name);
		assert_true(start <= want[i].at && want[i].at - start < len);
	}
	assert_false(qcow2_ops.structure(b.img->top, 5 * C, name, sizeof(name), &start, &len));
	image_free(b.img);
}

/* ---- Everything at once ---- */

static struct qcow2_build all_kinds(unsigned version, bool extended)
{
	struct qcow2_build b = {.version = version, .bits = extended ? 14 : 9};
	uint8_t packed[1 << 14];

	b.extended_l2 = extended;
	memset(packed, 'P', sizeof(packed));
	b.size = 40 << b.bits;
	qcow2_build(&b);
	qcow2_build_data(&b, 0, 'A');
	qcow2_build_packed(&b, b.cluster, packed);
	if (version > 2)
		bitmap(&b, 0);
	qcow2_build_snapshot(&b, "1", "s");
	return b;
}

static void exercise(const struct qcow2_build *b)
{
	open_image(b);
	if (b->img->err)
		return;
	image_exercise(b->img->top);
	for (struct layer *s = b->img->top->child; s; s = s->next)
		image_exercise(s);
}

static void any_truncation_is_survived(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 3; kind++) {
		struct qcow2_build b = all_kinds(kind ? 3 : 2, kind == 2);
		size_t step = kind == 2 ? 1021 : 61;

		while (b.img->len > step) {
			image_resize(b.img, b.img->len - step);
			exercise(&b);
		}
		image_free(b.img);
	}
}

static void any_flip_is_survived(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 3; kind++) {
		struct qcow2_build b = all_kinds(kind ? 3 : 2, kind == 2);
		size_t step = 1;

		for (size_t i = 0; i < b.img->len; i += step) {
			for (int bit = 0; bit < 3; bit++) {
				static const uint8_t flip[] = {0x01, 0x80, 0xff};

				b.img->buf[i] ^= flip[bit];
				exercise(&b);
				b.img->buf[i] ^= flip[bit];
			}
			/* Data, and the zeros of half empty clusters, seldom: they are alike. */
			step = i < 256 || b.img->buf[i] || i % 512 < 16 ? 1 : 13;
			if (kind == 2)
				step = i % (1 << 14) < 128 ? 1 : 509;
		}
		image_free(b.img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_image_reads_and_says_nothing),
		cmocka_unit_test(map_gives_long_runs_and_packed_clusters),
		cmocka_unit_test(a_lost_magic_does_not_stop_us),
		cmocka_unit_test(impossible_headers_are_refused),
		cmocka_unit_test(a_disk_too_large_to_be_addressed_is_cut),
		cmocka_unit_test(a_wrong_header_length_is_reported_and_ignored),
		cmocka_unit_test(reading_needs_no_refcounts),
		cmocka_unit_test(an_unknown_feature_is_named),
		cmocka_unit_test(dirty_and_corrupt_are_said),
		cmocka_unit_test(an_extension_longer_than_its_space_ends_the_walk),
		cmocka_unit_test(unknown_compression_loses_compressed_clusters_only),
		cmocka_unit_test(ciphertext_is_not_given_as_data),
		cmocka_unit_test(an_l1_table_outside_the_file_loses_the_disk),
		cmocka_unit_test(a_huge_l1_size_costs_nothing),
		cmocka_unit_test(a_short_l1_table_loses_the_end),
		cmocka_unit_test(an_l1_entry_that_points_nowhere_loses_its_range),
		cmocka_unit_test(reserved_bits_in_l1_make_doubtful),
		cmocka_unit_test(an_adopted_table_takes_the_place_of_a_lost_one),
		cmocka_unit_test(through_a_table_that_is_only_likely_all_is_doubtful),
		cmocka_unit_test(l2_entries_that_cannot_be_lose_their_cluster),
		cmocka_unit_test(reserved_bits_in_l2_make_doubtful),
		cmocka_unit_test(version_2_knows_no_zero_bit),
		cmocka_unit_test(a_zero_cluster_keeps_its_old_contents_to_itself),
		cmocka_unit_test(a_cluster_that_the_end_of_file_cuts_is_lost_from_there),
		cmocka_unit_test(subclusters_are_told_apart),
		cmocka_unit_test(broken_streams_lose_their_cluster),
		cmocka_unit_test(a_stream_may_end_with_the_file),
		cmocka_unit_test(there_are_no_compressed_clusters_in_a_data_file),
		cmocka_unit_test(what_a_backing_file_would_hold_is_lost_without_it),
		cmocka_unit_test(a_format_that_is_not_named_is_said),
		cmocka_unit_test(a_backing_file_is_newer_only_if_its_copy_is_not),
		cmocka_unit_test(without_its_data_file_all_data_is_lost),
		cmocka_unit_test(snapshots_keep_what_was),
		cmocka_unit_test(snapshot_names_are_made_safe_and_told_apart),
		cmocka_unit_test(a_broken_snapshot_table_keeps_the_first_ones),
		cmocka_unit_test(more_snapshots_than_layers_are_said),
		cmocka_unit_test(bitmaps_are_listed),
		cmocka_unit_test(bitmaps_that_are_not_up_to_date_are_said),
		cmocka_unit_test(a_bitmap_directory_that_cannot_be_is_said),
		cmocka_unit_test(a_bitmap_says_what_is_dirty),
		cmocka_unit_test(a_bitmap_that_may_be_wrong_is_not_used),
		cmocka_unit_test(structures_are_named),
		cmocka_unit_test(any_truncation_is_survived),
		cmocka_unit_test(any_flip_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
