/* SPDX-License-Identifier: Apache-2.0 */
/* The check of qcow2 metadata on images of our own making; the large oracle is qcow2-damage. */
#include <errno.h>
#include <stdio.h>

#include "formats/container/qcow2_check.h"
#include "formats/drivers.h"
#include "tests/lib/image.h"

/*
 * The image: 8 MiB, clusters of 4 KiB, four L2 tables, each followed by the eight clusters that it
 * leads to. Guest cluster n of a table is filled with a byte of its own.
 */
enum {
	C = 4096,
	TABLES = 4,
	PER_TABLE = 8,
	L2_SPAN = C / 8 * C, /* bytes of the disk for each L2 table */
	DISK = TABLES * L2_SPAN,
	RT = 1 * C,
	RB = 2 * C,
	L1 = 3 * C,
	FIRST = 4,
	CLUSTERS = FIRST + TABLES * (1 + PER_TABLE),
	HEADER = 104,
};
#define COPIED QCOW2_COPIED

static uint64_t l2_at(unsigned t)
{
	return (uint64_t)(FIRST + t * (1 + PER_TABLE)) * C;
}

static uint64_t data_at(unsigned t, unsigned i)
{
	return l2_at(t) + (1 + i) * (uint64_t)C;
}

static uint64_t guest_at(unsigned t, unsigned i)
{
	return (uint64_t)t * L2_SPAN + (uint64_t)i * C;
}

static void be16_at(struct image *img, uint64_t off, unsigned v)
{
	image_poke(img, off, &(uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static void refcount(struct image *img, uint64_t cluster, unsigned v)
{
	be16_at(img, RB + cluster * 2, v);
}

static struct image *make(void)
{
	struct image *img = image_new(CLUSTERS * C);

	image_be32(img, 0, QCOW2_MAGIC);
	image_be32(img, 4, 3);
	image_be32(img, 20, 12);
	image_be64(img, 24, DISK);
	image_be32(img, 36, TABLES);
	image_be64(img, 40, L1);
	image_be64(img, 48, RT);
	image_be32(img, 56, 1);
	image_be32(img, 96, 4);
	image_be32(img, 100, HEADER);
	image_be64(img, RT, RB);
	for (unsigned c = 0; c < CLUSTERS; c++)
		refcount(img, c, 1);
	for (unsigned t = 0; t < TABLES; t++) {
		image_be64(img, L1 + t * 8, l2_at(t) | COPIED);
		for (unsigned i = 0; i < PER_TABLE; i++) {
			image_be64(img, l2_at(t) + i * 8, data_at(t, i) | COPIED);
			memset(img->buf + data_at(t, i), (int)(1 + t * PER_TABLE + i), C);
		}
	}
	return img;
}

static int setup(void **state)
{
	*state = make();
	return 0;
}

static int teardown(void **state)
{
	image_free(*state);
	return 0;
}

static void assert_fact(struct image *img, enum finding_id id, uint64_t off, uint64_t len)
{
	for (size_t i = 0; i < img->n_seen; i++)
		if (img->seen[i].id == id && img->seen[i].fact.off == off &&
		    img->seen[i].fact.len == len)
			return;
	image_print(img);
	fail_msg("no %s for guest 0x%llx+0x%llx", finding_name(id), (unsigned long long)off,
		 (unsigned long long)len);
}

static size_t new_cluster(struct image *img)
{
	size_t at = img->len;

	image_resize(img, at + C);
	return at;
}

/* A snapshot of all that is there: everything is shared by two L1 tables. */
static uint64_t add_snapshot(struct image *img)
{
	uint64_t table = new_cluster(img), l1 = new_cluster(img);

	image_be32(img, 60, 1);
	image_be64(img, 64, table);
	image_be64(img, table, l1);
	image_be32(img, table + 8, TABLES);
	be16_at(img, table + 12, 1);
	be16_at(img, table + 14, 1);
	image_be32(img, table + 36, 16);
	image_be64(img, table + 48, DISK);
	image_poke(img, table + 56, "1s", 2);
	refcount(img, table / C, 1);
	refcount(img, l1 / C, 1);
	for (unsigned t = 0; t < TABLES; t++) {
		image_be64(img, L1 + t * 8, l2_at(t));
		image_be64(img, l1 + t * 8, l2_at(t));
		refcount(img, l2_at(t) / C, 2);
		for (unsigned i = 0; i < PER_TABLE; i++) {
			image_be64(img, l2_at(t) + i * 8, data_at(t, i));
			refcount(img, data_at(t, i) / C, 2);
		}
	}
	return l1;
}

static void a_good_image_has_no_findings(void **state)
{
	struct image *img = *state;

	image_check(img, &qcow2_ops);
	assert_int_equal(img->err, 0);
	assert_int_equal(img->n_seen, 0);
	add_snapshot(img);
	image_check(img, &qcow2_ops);
	assert_clean(img);
	assert_readable(img, 0, DISK);
}

static void a_leaked_cluster_is_a_blemish(void **state)
{
	struct image *img = *state;
	size_t at = new_cluster(img);

	refcount(img, at / C, 1);
	memset(img->buf + at, 'x', C);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_CLUSTER_LEAKED, at);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	assert_readable(img, 0, DISK);
}

static void a_refcount_above_the_references_is_a_leak(void **state)
{
	struct image *img = *state;

	add_snapshot(img);
	refcount(img, data_at(1, 2) / C, 3);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_CLUSTER_LEAKED, data_at(1, 2));
	assert_int_equal(image_worse(img, DAMAGE), 0);
}

static void a_refcount_below_the_references_names_the_guest(void **state)
{
	struct image *img = *state;

	refcount(img, data_at(2, 3) / C, 0);
	refcount(img, data_at(2, 4) / C, 0);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_REFCOUNT_LOW, l2_at(2) + 3 * 8);
	assert_fact(img, QCOW2_REFCOUNT_LOW, guest_at(2, 3), 2 * C);
	assert_int_equal(img->n_seen, 1);
	image_be64(img, 72, QCOW2_INCOMPAT_DIRTY);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_REFCOUNT_STALE, l2_at(2) + 3 * 8);
	assert_int_equal(image_worse(img, DAMAGE), 0);
}

static void two_guest_clusters_on_one_host_cluster_are_both_named(void **state)
{
	struct image *img = *state;

	image_be64(img, l2_at(3) + 5 * 8, data_at(0, 1) | COPIED);
	image_check(img, &qcow2_ops);
	assert_fact(img, QCOW2_CLUSTER_SHARED, guest_at(0, 1), C);
	assert_fact(img, QCOW2_CLUSTER_SHARED, guest_at(3, 5), C);
	assert_finding(img, QCOW2_CLUSTER_LEAKED, data_at(3, 5));
}

static void an_entry_that_points_to_a_structure_is_an_overlap(void **state)
{
	static const uint64_t structures[] = {0, RT, RB, L1};
	struct image *img = *state;

	for (size_t i = 1; i < 4; i++) {
		image_be64(img, l2_at(0) + 2 * 8, structures[i] | COPIED);
		image_check(img, &qcow2_ops);
		assert_fact(img, QCOW2_METADATA_OVERLAP, guest_at(0, 2), C);
	}
	image_be64(img, l2_at(0) + 2 * 8, l2_at(3) | COPIED);
	image_check(img, &qcow2_ops);
	assert_fact(img, QCOW2_METADATA_OVERLAP, guest_at(0, 2), C);
}

static void a_wrong_copied_flag_is_found(void **state)
{
	struct image *img = *state;

	image_be64(img, l2_at(1) + 8, data_at(1, 1));
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_COPIED_WRONG, l2_at(1) + 8);
	image_be64(img, l2_at(1) + 8, data_at(1, 1) | COPIED);
	image_be64(img, L1 + 8, l2_at(1));
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_COPIED_WRONG, l2_at(1));
	image_be64(img, L1 + 8, l2_at(1) | COPIED);
	add_snapshot(img);
	image_be64(img, l2_at(1) + 8, data_at(1, 1) | COPIED);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_COPIED_WRONG, l2_at(1) + 8);
	assert_readable(img, 0, DISK);
}

static void a_zeroed_l1_entry_is_damage_and_its_table_is_found(void **state)
{
	struct image *img = *state;

	for (unsigned t = 0; t < TABLES; t++) {
		image_be64(img, L1 + t * 8, 0);
		image_check(img, &qcow2_ops);
		assert_finding(img, QCOW2_TABLE_ORPHANED, l2_at(t));
		assert_fact(img, QCOW2_TABLE_ORPHANED, guest_at(t, 0), L2_SPAN);
		assert_int_equal(image_seen(img, QCOW2_CLUSTER_LEAKED, ANYWHERE), 0);
		assert_int_equal(img->n_seen, 1);
		image_be64(img, L1 + t * 8, l2_at(t) | COPIED);
	}
}

static void rebuild_reads_through_the_tables_that_were_found(void **state)
{
	struct image *img = *state;
	uint8_t buf[C];

	for (unsigned t = 0; t < TABLES; t++)
		image_be64(img, L1 + t * 8, 0);
	image_check(img, &qcow2_ops);
	assert_fact(img, QCOW2_TABLE_ORPHANED, 0, DISK);
	assert_int_equal(img->n_seen, 1);
	img->s.opt.rebuild = true;
	assert_int_equal(qcow2_rebuild(img->top), 0);
	for (unsigned t = 0; t < TABLES; t++) {
		for (unsigned i = 0; i < PER_TABLE; i++) {
			assert_int_equal(layer_read(img->top, guest_at(t, i), buf, C, NULL), 0);
			assert_int_equal(buf[0], 1 + t * PER_TABLE + i);
			assert_int_equal(buf[C - 1], 1 + t * PER_TABLE + i);
		}
	}
}

/* The header leads nowhere, but the L1 table is still there. */
static void a_lost_l1_table_is_found_among_the_orphans(void **state)
{
	struct image *img = *state;
	uint8_t b = 0;

	image_be64(img, 40, UINT64_C(1) << 40);
	image_be64(img, L1 + 8, 0); /* not in order: what the table says, counts */
	for (unsigned c = 0; c <= PER_TABLE; c++)
		refcount(img, l2_at(1) / C + c, 0);
	image_check(img, &qcow2_ops);
	assert_int_equal(img->err, 0);
	assert_fact(img, QCOW2_TABLE_ORPHANED, guest_at(0, 0), L2_SPAN);
	assert_fact(img, QCOW2_TABLE_ORPHANED, guest_at(2, 0), 2 * L2_SPAN);
	assert_int_equal(image_seen(img, QCOW2_TABLE_ORPHANED, ANYWHERE), 2);
	assert_int_equal(qcow2_rebuild(img->top), 0);
	layer_read(img->top, guest_at(3, 1), &b, 1, NULL);
	assert_int_equal(b, 1 + 3 * PER_TABLE + 1);
}

/* Two free places and one table, at the end of the file: nothing says which. */
static void a_table_that_fits_two_places_is_not_placed(void **state)
{
	struct image *img = *state;

	image_be64(img, 24, DISK + L2_SPAN);
	image_be32(img, 36, TABLES + 1);
	image_be64(img, L1 + (TABLES - 1) * 8, 0);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_TABLE_ORPHANED, l2_at(TABLES - 1));
	assert_int_equal(image_first(img, QCOW2_TABLE_ORPHANED)->fact.len, 0);
	assert_int_equal(qcow2_rebuild(img->top), 0);
	assert_int_equal(qcow2_of(img->top)->active.n_adopted, 0);
}

static void an_l1_entry_with_one_bit_wrong_finds_its_table(void **state)
{
	struct image *img = *state;

	image_be64(img, L1 + 8, l2_at(1) | COPIED | UINT64_C(1) << 40);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_L1_ENTRY, L1 + 8);
	assert_finding(img, QCOW2_TABLE_ORPHANED, l2_at(1));
	assert_fact(img, QCOW2_TABLE_ORPHANED, guest_at(1, 0), L2_SPAN);
}

static void zeroed_l2_entries_over_live_data_are_damage(void **state)
{
	struct image *img = *state;

	image_be64(img, l2_at(1) + 3 * 8, 0);
	image_be64(img, l2_at(1) + 4 * 8, 0);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_CLUSTER_ORPHANED, data_at(1, 3));
	assert_fact(img, QCOW2_CLUSTER_ORPHANED, guest_at(1, 3), 2 * C);
	assert_int_equal(img->n_seen, 1);
}

/* A crash while a disk was written in order: the last cluster has no neighbour behind it. */
static void a_leak_at_the_end_of_what_was_written_stays_a_leak(void **state)
{
	struct image *img = *state;

	image_be64(img, l2_at(TABLES - 1) + (PER_TABLE - 1) * 8, 0);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_CLUSTER_LEAKED, data_at(TABLES - 1, PER_TABLE - 1));
	assert_int_equal(image_worse(img, DAMAGE), 0);
}

/* The snapshot's entry is gone from the table, its L1 and all below it were not freed. */
static void what_a_deleted_snapshot_left_behind_is_a_leak(void **state)
{
	struct image *img = *state;
	uint64_t l1 = new_cluster(img), l2 = new_cluster(img), data = new_cluster(img);

	image_be64(img, l1, l2 | COPIED);
	image_be64(img, l2, data | COPIED);
	memset(img->buf + data, 'x', C);
	for (unsigned c = 0; c < 3; c++)
		refcount(img, l1 / C + c, 1);
	image_be64(img, L1 + 8, l2_at(1) | COPIED);
	image_check(img, &qcow2_ops);
	assert_int_equal(image_seen(img, QCOW2_TABLE_ORPHANED, ANYWHERE), 0);
	assert_finding(img, QCOW2_CLUSTER_LEAKED, l1);
	assert_int_equal(image_worse(img, DAMAGE), 0);
}

static void refcount_table_entries_that_cannot_be(void **state)
{
	static const uint64_t bad[] = {RB + 512, RB | 1, UINT64_C(1) << 40};
	struct image *img = *state;

	for (size_t i = 0; i < 3; i++) {
		image_be64(img, RT, bad[i]);
		image_check(img, &qcow2_ops);
		assert_finding(img, QCOW2_REFCOUNT_TABLE_ENTRY, RT);
		assert_int_equal(img->n_seen, 1);
		assert_readable(img, 0, DISK);
	}
	image_be64(img, RT, 0);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_REFCOUNT_LOW, 0);
	/* The same block for two ranges: it is used twice. */
	image_be64(img, RT, RB);
	image_be64(img, RT + 8, RB);
	image_check(img, &qcow2_ops);
	assert_int_not_equal(image_seen(img, QCOW2_METADATA_OVERLAP, RB), 0);
}

static void a_refcount_table_outside_the_file_is_one_finding(void **state)
{
	struct image *img = *state;

	image_be64(img, 48, UINT64_C(1) << 50);
	image_check(img, &qcow2_ops);
	assert_int_equal(image_seen(img, QCOW2_REFCOUNT_TABLE_LOST, ANYWHERE), 1);
	assert_int_equal(img->n_seen, 1);
	assert_readable(img, 0, DISK);
}

static void entries_that_cannot_be_right_are_lost_and_in_runs(void **state)
{
	struct image *img = *state;

	image_be64(img, l2_at(0) + 8, data_at(0, 1) | COPIED | UINT64_C(1) << 45);
	image_be64(img, l2_at(0) + 16, data_at(0, 2) | COPIED | UINT64_C(1) << 45);
	image_be64(img, l2_at(1), data_at(1, 0) | COPIED | 512);
	image_be64(img, l2_at(2), data_at(2, 0) | COPIED | UINT64_C(1) << 60);
	image_check(img, &qcow2_ops);
	assert_fact(img, QCOW2_L2_PAST_END, guest_at(0, 1), 2 * C);
	assert_finding(img, QCOW2_L2_PAST_END, l2_at(0) + 8);
	assert_fact(img, QCOW2_L2_UNALIGNED, guest_at(1, 0), C);
	assert_fact(img, QCOW2_L2_RESERVED, guest_at(2, 0), C);
	assert_lost(img, guest_at(0, 1), 2 * C, QCOW2_L2_PAST_END);
	assert_readable(img, guest_at(3, 0), L2_SPAN);
}

static void l1_entries_with_reserved_bits_are_doubtful(void **state)
{
	struct image *img = *state;

	image_be64(img, L1 + 16, l2_at(2) | COPIED | 1);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_L1_RESERVED, L1 + 16);
	assert_fact(img, QCOW2_L1_RESERVED, guest_at(2, 0), L2_SPAN);
}

static void a_compressed_entry_never_has_the_copied_flag(void **state)
{
	struct image *img = *state;

	image_be64(img, l2_at(0) + 8, data_at(0, 1) | COPIED | QCOW2_COMPRESSED);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_COMPRESSED_COPIED, l2_at(0) + 8);
}

static void an_entry_that_kept_its_copied_flag_but_no_offset(void **state)
{
	struct image *img = *state;

	image_be64(img, l2_at(0) + 8, COPIED);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_COPIED_UNUSED, l2_at(0) + 8);
}

static void two_l1_entries_on_one_table_are_both_named(void **state)
{
	struct image *img = *state;

	image_be64(img, L1 + 8, l2_at(0) | COPIED);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_CLUSTER_SHARED, L1);
	assert_finding(img, QCOW2_CLUSTER_SHARED, L1 + 8);
	assert_fact(img, QCOW2_CLUSTER_SHARED, 0, L2_SPAN);
	assert_fact(img, QCOW2_CLUSTER_SHARED, L2_SPAN, L2_SPAN);
}

static void two_entries_on_the_same_packed_bytes_are_named(void **state)
{
	struct image *img = *state;

	image_be64(img, l2_at(0), QCOW2_COMPRESSED | data_at(0, 0));
	image_be64(img, l2_at(0) + 8, QCOW2_COMPRESSED | data_at(0, 0));
	refcount(img, data_at(0, 0) / C, 2); /* as if two of its sectors were meant */
	refcount(img, data_at(0, 1) / C, 0);
	image_check(img, &qcow2_ops);
	assert_int_equal(img->n_seen, 1);
	assert_finding(img, QCOW2_CLUSTER_SHARED, l2_at(0));
	assert_fact(img, QCOW2_CLUSTER_SHARED, 0, 2 * C);
	assert_true(image_first(img, QCOW2_CLUSTER_SHARED)->fact.doubtful);
}

static void a_snapshot_whose_l1_lies_outside(void **state)
{
	struct image *img = *state;
	uint64_t l1 = add_snapshot(img), table = l1 - C;

	image_be64(img, table, UINT64_C(1) << 40);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_SNAPSHOT_L1, table);
	assert_readable(img, 0, DISK);
}

static void refcounts_behind_the_end_are_only_mentioned(void **state)
{
	struct image *img = *state;

	refcount(img, CLUSTERS + 5, 1);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_REFCOUNT_PAST_END, (uint64_t)CLUSTERS * C);
	assert_clean(img);
}

/* One bitmap: the directory, its table, and one cluster of bits. */
static uint64_t add_bitmap(struct image *img)
{
	uint64_t dir = new_cluster(img), table = new_cluster(img), bits = new_cluster(img);

	image_be64(img, 88, QCOW2_AUTOCLEAR_BITMAPS);
	image_be32(img, HEADER, QCOW2_EXT_BITMAPS);
	image_be32(img, HEADER + 4, 24);
	image_be32(img, HEADER + 8, 1);
	image_be64(img, HEADER + 16, 32);
	image_be64(img, HEADER + 24, dir);
	image_be64(img, dir, table);
	image_be32(img, dir + 8, 1);
	image_poke(img, dir + 16, "\x01\x10\x00\x01", 4);
	image_poke(img, dir + 24, "b", 1);
	image_be64(img, table, bits);
	for (unsigned c = 0; c < 3; c++)
		refcount(img, dir / C + c, 1);
	return dir;
}

static void bitmaps_own_their_clusters(void **state)
{
	struct image *img = *state;
	uint64_t dir = add_bitmap(img);

	image_check(img, &qcow2_ops);
	assert_clean(img);
	image_be64(img, dir + C, (dir + 2 * C) | 512);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_BITMAP_TABLE, dir + C);
	image_be64(img, dir + C, dir + 2 * C);
	image_be32(img, dir + 8, 7);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_BITMAP_BAD, dir);
	image_be32(img, dir + 8, 1);
	image_be64(img, dir, UINT64_C(1) << 40);
	image_check(img, &qcow2_ops);
	assert_finding(img, QCOW2_BITMAP_BAD, dir);
}

/* The source's size is a claim, too: nothing is allocated for it. */
static int huge_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	const struct image *img = l->priv;

	(void)bad;
	memset(buf, 0, len);
	if (off < img->len)
		memcpy(buf, img->buf + off, len < img->len - off ? len : img->len - off);
	return 0;
}

static const struct layer_ops huge_ops = {.name = "huge", .kind = LAYER_SOURCE, .read = huge_read};

static void a_file_of_more_clusters_than_can_be_counted_is_undecided(void **state)
{
	struct image *img = *state;
	struct layer *source, *l;

	image_check(img, &qcow2_ops); /* a session to report into */
	source = layer_new(&img->s, &huge_ops, NULL, "huge");
	source->priv = img;
	source->size = UINT64_C(1) << 60;
	l = layer_new(&img->s, &qcow2_ops, source, "qcow2");
	layer_attach(source, l);
	assert_int_equal(qcow2_ops.open(l), 0);
	assert_int_equal(qcow2_ops.check(l), 0);
	assert_int_not_equal(image_seen(img, QCOW2_NOT_COMPARED, ANYWHERE), 0);
	layer_free(source);
}

/* ---- Counters ---- */

static void counters_of_all_widths_agree(void **state)
{
	static const enum qc_width widths[] = {QC_2BIT, QC_8BIT, QC_32BIT};

	(void)state;
	for (size_t w = 0; w < 3; w++) {
		struct qc_counts c;

		assert_int_equal(qc_counts_init(&c, widths[w], 1000, 500), 0);
		qc_add(&c, 999, 1, 0);	/* outside */
		qc_add(&c, 1500, 1, 0); /* outside */
		qc_add(&c, 1003, 1, QC_COPIED);
		qc_add(&c, 1004, 1, 0);
		qc_add(&c, 1004, 2, QC_SHARED);
		qc_add(&c, 1005, 62, 0);
		qc_add(&c, 1005, 1, QC_COPIED);
		qc_add(&c, 1005, 5, 0);
		qc_add(&c, 1006, UINT32_MAX, 0);
		qc_add_run(&c, 1030, 200, 1, QC_COPIED);
		qc_add_run(&c, 1100, 1, 3, 0);
		assert_int_equal(qc_get(&c, 1002).n, 0);
		assert_int_equal(qc_get(&c, 1003).n, 1);
		assert_int_equal(qc_get(&c, 1003).flags, QC_COPIED);
		assert_int_equal(qc_get(&c, 1004).n, 3);
		assert_int_equal(qc_get(&c, 1004).flags, QC_SHARED);
		assert_int_equal(qc_get(&c, 1005).n, 68);
		assert_int_equal(qc_get(&c, 1005).flags, QC_COPIED);
		assert_int_equal(qc_get(&c, 1006).n, QC_COUNT_MAX);
		assert_int_equal(qc_get(&c, 1029).n, 0);
		assert_int_equal(qc_get(&c, 1030).n, 1);
		assert_int_equal(qc_get(&c, 1229).n, 1);
		assert_int_equal(qc_get(&c, 1230).n, 0);
		assert_int_equal(qc_get(&c, 1100).n, 4);
		if (widths[w] != QC_32BIT)
			assert_true(qc_all_64(&c, 1000 + 128, true));
		assert_false(qc_all_64(&c, 1000 + 64, false));
		assert_false(atomic_load(&c.full));
		qc_counts_fini(&c);
	}
}

/* ---- Arbitrary damage ---- */

/* What is read of each table's part of the disk: all that is allocated, and some that is not. */
enum { LOOK = (PER_TABLE + 4) * C };

static bool excused(const struct image *img, const struct ranges *bad, uint64_t off)
{
	for (size_t i = 0; i < bad->n; i++)
		if (off >= bad->v[i].off && off - bad->v[i].off < bad->v[i].len)
			return true;
	for (size_t i = 0; i < img->n_seen; i++) {
		const struct fact *f = &img->seen[i].fact;

		if ((f->lost || f->doubtful) && off >= f->off && off - f->off < f->len)
			return true;
	}
	return false;
}

/* Clusters of the disk that differ from what was there, and that nothing speaks of. */
static unsigned false_intact(struct image *img, const uint8_t *good)
{
	static uint8_t buf[LOOK];
	unsigned n = 0;

	for (unsigned t = 0; t < TABLES && guest_at(t, 0) < img->top->size; t++) {
		struct ranges bad = {0};

		assert_int_equal(layer_read(img->top, guest_at(t, 0), buf, LOOK, &bad), 0);
		for (unsigned i = 0; i < LOOK / C; i++)
			n += memcmp(buf + i * C, good + t * LOOK + i * C, C) != 0 &&
			     !excused(img, &bad, guest_at(t, i));
		ranges_free(&bad);
	}
	return n;
}

static uint8_t *contents(struct image *img)
{
	uint8_t *buf = malloc(TABLES * LOOK);

	image_open(img, &qcow2_ops);
	if (!buf || img->err)
		fail();
	for (unsigned t = 0; t < TABLES; t++)
		layer_read(img->top, guest_at(t, 0), buf + t * LOOK, LOOK, NULL);
	return buf;
}

/*
 * Every bit of the tables: either the disk reads as before, or something says that it does not.
 * Except what can't be known: an entry that says "zero" is as good as one that does not, and the
 * last entry of what was written may just have leaked.
 */
static void no_flipped_bit_gives_wrong_data_silently(void **state)
{
	struct image *img = *state;
	uint8_t *good = contents(img);

	for (unsigned t = 0; t <= TABLES; t++) {
		uint64_t at = t < TABLES ? l2_at(t) : L1;
		unsigned n = t < TABLES ? PER_TABLE : TABLES;

		for (uint64_t bit = 0; bit < n * 64u; bit++) {
			uint8_t *p = img->buf + at + bit / 8, mask = (uint8_t)(1u << bit % 8);

			if (t < TABLES && bit % 64 == 56)
				continue; /* bit 0 of the entry, QCOW2_ZERO */
			*p ^= mask;
			image_check(img, &qcow2_ops);
			if (!img->err && false_intact(img, good)) {
				image_print(img);
				fail_msg("table %u, bit %llu", t, (unsigned long long)bit);
			}
			*p ^= mask;
		}
	}
	free(good);
}

static void every_metadata_byte_may_be_anything(void **state)
{
	struct image *img = *state;
	uint64_t dir = add_bitmap(img), end;

	add_snapshot(img);
	end = img->len;
	for (uint64_t off = 0; off < end; off++) {
		bool data = false;
		uint8_t was = img->buf[off];

		for (unsigned t = 0; t < TABLES; t++)
			data = data ||
			       (off >= data_at(t, 0) && off < data_at(t, 0) + PER_TABLE * C) ||
			       (off >= l2_at(t) + 80 && off < l2_at(t) + C - 16);
		if (data || (off % C > 256 && off % C < C - 8) ||
		    (off >= dir + 2 * C && off < dir + 3 * C))
			continue;
		for (int k = 0; k < 2; k++) {
			img->buf[off] = k ? 0 : (uint8_t)~was;
			image_check(img, &qcow2_ops);
			if (!img->err && off % 64 == 0)
				image_exercise(img->top);
		}
		img->buf[off] = was;
	}
}

static void an_image_may_end_anywhere(void **state)
{
	struct image *img = *state;

	add_bitmap(img);
	add_snapshot(img);
	for (size_t len = img->len; len > 0; len -= len > C ? 512 : 24) {
		image_resize(img, len);
		image_check(img, &qcow2_ops);
		if (len % C && len < (CLUSTERS - 1) * C)
			assert_true(img->err || image_worse(img, DAMAGE));
		if (!img->err && len % 4096 == 0)
			image_exercise(img->top);
		if (len < 24)
			break;
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_good_image_has_no_findings),
		T(a_leaked_cluster_is_a_blemish),
		T(a_refcount_above_the_references_is_a_leak),
		T(a_refcount_below_the_references_names_the_guest),
		T(two_guest_clusters_on_one_host_cluster_are_both_named),
		T(an_entry_that_points_to_a_structure_is_an_overlap),
		T(a_wrong_copied_flag_is_found),
		T(a_zeroed_l1_entry_is_damage_and_its_table_is_found),
		T(rebuild_reads_through_the_tables_that_were_found),
		T(a_lost_l1_table_is_found_among_the_orphans),
		T(a_table_that_fits_two_places_is_not_placed),
		T(an_l1_entry_with_one_bit_wrong_finds_its_table),
		T(zeroed_l2_entries_over_live_data_are_damage),
		T(a_leak_at_the_end_of_what_was_written_stays_a_leak),
		T(what_a_deleted_snapshot_left_behind_is_a_leak),
		T(refcount_table_entries_that_cannot_be),
		T(a_refcount_table_outside_the_file_is_one_finding),
		T(entries_that_cannot_be_right_are_lost_and_in_runs),
		T(l1_entries_with_reserved_bits_are_doubtful),
		T(a_compressed_entry_never_has_the_copied_flag),
		T(an_entry_that_kept_its_copied_flag_but_no_offset),
		T(two_l1_entries_on_one_table_are_both_named),
		T(two_entries_on_the_same_packed_bytes_are_named),
		T(a_snapshot_whose_l1_lies_outside),
		T(refcounts_behind_the_end_are_only_mentioned),
		T(bitmaps_own_their_clusters),
		T(a_file_of_more_clusters_than_can_be_counted_is_undecided),
		cmocka_unit_test(counters_of_all_widths_agree),
		T(no_flipped_bit_gives_wrong_data_silently),
		T(every_metadata_byte_may_be_anything),
		T(an_image_may_end_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
