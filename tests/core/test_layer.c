/* SPDX-License-Identifier: Apache-2.0 */
/* The rules that every driver relies on, shown with toy drivers over bytes in memory. */
#include "tests/lib/image.h"

#include <errno.h>

enum { DISK = 8192, TOY = 16384, MIXED = 20480 };

struct stack {
	struct session s;
	uint8_t disk[DISK];
	struct layer *source, *part, *toy;
};

/* A partition: [512, DISK - 512) of what is below. */
static int part_map(struct layer *l, uint64_t off, struct extent *run)
{
	return layer_map_below(l, off, 512, run);
}

static const struct layer_ops part_ops = {
	.name = "part", .kind = LAYER_VOLUME, .map = part_map, .read = layer_read_mapped};

/*
 * A container of four runs of 4096 bytes: data at 1024 below; zeros; packed, 100 bytes at 5000
 * below; and data that would lie past the end of what is below from its second KiB on.
 */
static int toy_map(struct layer *l, uint64_t off, struct extent *run)
{
	uint64_t start = off / 4096 * 4096;

	run->len = start + 4096 - off;
	run->in = l->below;
	run->kind = EXTENT_DATA;
	switch (start / 4096) {
	case 0: run->at = 1024 + off; break;
	case 1: run->kind = EXTENT_ZERO; break;
	case 2:
		run->off = start;
		run->len = 4096;
		run->at = 5000;
		run->packed = 100;
		break;
	case 3: run->at = l->below->size - 1024 + (off - start); break;
	default: run->kind = EXTENT_LOST; run->why = CHAIN_PARENT_MISSING;
	}
	return 0;
}

static unsigned closed;

static void count_close(struct layer *l)
{
	(void)l;
	closed++;
}

static const struct layer_ops toy_ops = {.name = "toy",
					 .kind = LAYER_CONTAINER,
					 .map = toy_map,
					 .read = layer_read_mapped,
					 .close = count_close};

static int setup(void **state)
{
	struct stack *t = calloc(1, sizeof(*t));

	for (size_t i = 0; i < DISK; i++)
		t->disk[i] = (uint8_t)(1 + i % 255);
	session_init(&t->s);
	t->source = memory_source(&t->s, "disk.img", t->disk, DISK);
	t->part = layer_new(&t->s, &part_ops, t->source, "p1");
	layer_attach(t->source, t->part);
	t->part->size = DISK - 1024;
	t->toy = layer_new(&t->s, &toy_ops, t->part, "toy");
	layer_attach(t->part, t->toy);
	t->toy->size = MIXED;
	*state = t;
	closed = 0;
	return 0;
}

static int teardown(void **state)
{
	struct stack *t = *state;

	layer_free(t->source);
	session_fini(&t->s);
	free(t);
	return 0;
}

static void a_read_past_the_end_is_lost_and_zero(void **state)
{
	struct stack *t = *state;
	struct ranges bad = {0};
	uint8_t b[600];

	memset(b, 0xee, sizeof(b));
	assert_int_equal(layer_read(t->source, DISK - 100, b, 600, &bad), 0);
	assert_memory_equal(b, t->disk + DISK - 100, 100);
	assert_true(b[100] == 0 && b[599] == 0);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].off, DISK);
	assert_int_equal(bad.v[0].len, 500);
	assert_int_equal(bad.v[0].why, LAYER_READ_PAST_END);
	ranges_free(&bad);
	/* All of it outside; at the very end of what a number can say; nothing at all. */
	assert_int_equal(layer_read(t->source, DISK, b, 1, &bad), 0);
	assert_int_equal(layer_read(t->source, UINT64_MAX - 10, b, 600, &bad), 0);
	assert_int_equal(bad.n, 2);
	assert_int_equal(layer_read(t->source, 0, b, 0, &bad), 0);
	assert_int_equal(bad.n, 2);
	ranges_free(&bad);
	assert_int_equal(layer_read(t->source, DISK, b, 600, NULL), 0);
}

static void a_map_ends_with_the_layer(void **state)
{
	struct stack *t = *state;
	struct extent run;

	assert_int_equal(layer_map(t->toy, MIXED, &run), -ERANGE);
	assert_int_equal(layer_map(t->toy, UINT64_MAX, &run), -ERANGE);
	t->toy->size = 3000;
	assert_int_equal(layer_map(t->toy, 1000, &run), 0);
	assert_int_equal(run.len, 2000);
	assert_int_equal(run.off, 1000);
	/* A partition that its disk does not hold. */
	t->part->size = 2 * DISK;
	assert_int_equal(layer_map(t->part, 100, &run), 0);
	assert_int_equal(run.len, DISK - 612);
	assert_int_equal(layer_map(t->part, DISK - 512, &run), 0);
	assert_int_equal(run.kind, EXTENT_LOST);
	assert_int_equal(run.why, LAYER_READ_PAST_END);
	assert_int_equal(run.len, DISK + 512);
}

static void what_is_lost_below_is_lost_in_the_reader_s_addresses(void **state)
{
	struct stack *t = *state;
	struct ranges bad = {0};
	uint8_t b[MIXED];

	memset(b, 0xee, sizeof(b));
	assert_int_equal(layer_read_as(t->source, DISK - 10, b, 30, 5000, &bad), 0);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].off, 5010);
	assert_int_equal(bad.v[0].len, 20);
	ranges_free(&bad);
	assert_int_equal(layer_read_as(t->source, DISK - 10, b, 30, 5000, NULL), 0);

	/* The whole: data, zeros, (packed: this toy does not unpack), past the end, lost. */
	assert_int_equal(layer_read_mapped(t->toy, 0, b, 8192, &bad), 0);
	assert_int_equal(bad.n, 0);
	assert_memory_equal(b, t->disk + 512 + 1024, 4096);
	assert_true(b[4096] == 0 && b[8191] == 0);
	assert_int_equal(layer_read_mapped(t->toy, 12288, b, 8192, &bad), 0);
	assert_int_equal(bad.n, 2);
	assert_int_equal(bad.v[0].off, 12288 + 1024);
	assert_int_equal(bad.v[0].why, LAYER_READ_PAST_END);
	assert_int_equal(bad.v[1].off, TOY);
	assert_int_equal(bad.v[1].why, CHAIN_PARENT_MISSING);
	assert_memory_equal(b, t->disk + DISK - 512 - 1024, 1024);
	ranges_free(&bad);
}

static void resolving_goes_down_to_the_stored_byte(void **state)
{
	struct stack *t = *state;
	struct extent run;

	assert_int_equal(layer_resolve(t->toy, 100, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	assert_ptr_equal(run.in, t->source);
	assert_int_equal(run.off, 100);
	assert_int_equal(run.at, 512 + 1024 + 100);
	assert_int_equal(run.len, 3996);
	assert_int_equal(layer_resolve(t->toy, 5000, &run), 0);
	assert_int_equal(run.kind, EXTENT_ZERO);
	assert_int_equal(layer_resolve(t->toy, TOY, &run), 0);
	assert_int_equal(run.kind, EXTENT_LOST);
	assert_int_equal(run.why, CHAIN_PARENT_MISSING);
}

/* A cipher over the container, and a file in what it deciphers: the toy's [4000, 4000 + 1000). */
static int under_cipher_map(struct layer *l, uint64_t off, struct extent *run)
{
	return layer_map_below(l, off, 4000, run);
}

static int same_map(struct layer *l, uint64_t off, struct extent *run)
{
	return layer_map_below(l, off, 0, run);
}

static const struct layer_ops cipher_ops = {
	.name = "cipher", .kind = LAYER_CIPHER, .map = same_map};
static const struct layer_ops inside_ops = {
	.name = "inside", .kind = LAYER_FILE, .map = under_cipher_map, .read = layer_read_mapped};

static void zeros_under_a_cipher_are_no_zeros(void **state)
{
	struct stack *t = *state;
	struct layer *cipher = layer_new(&t->s, &cipher_ops, t->toy, "cipher");
	struct layer *file;
	struct extent run;

	layer_attach(t->toy, cipher);
	cipher->size = MIXED;
	file = layer_new(&t->s, &inside_ops, cipher, "f");
	layer_attach(cipher, file);
	file->size = 1000;
	assert_int_equal(layer_resolve(file, 0, &run), 0);
	assert_ptr_equal(run.in, t->source);
	assert_int_equal(run.len, 96);
	assert_true(run.coded);
	assert_false(run.unwritten);
	assert_int_equal(layer_resolve(file, 100, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	assert_true(run.unwritten);
	assert_ptr_equal(run.in, t->toy);
	assert_int_equal(run.off, 100);
	assert_int_equal(run.at, 4100);
	assert_int_equal(run.len, 900);
	assert_int_equal(layer_resolve(cipher, TOY, &run), 0);
	assert_int_equal(run.kind, EXTENT_LOST);
}

static void resolving_a_pointer_past_the_end_is_loss_and_no_error(void **state)
{
	struct stack *t = *state;
	struct extent run;

	assert_int_equal(layer_resolve(t->toy, 12288, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	assert_int_equal(run.len, 1024);
	assert_int_equal(layer_resolve(t->toy, 12288 + 1024, &run), 0);
	assert_int_equal(run.kind, EXTENT_LOST);
	assert_int_equal(run.why, LAYER_READ_PAST_END);
	assert_int_equal(run.len, 3072);
	assert_int_equal(run.off, 12288 + 1024);
}

/* A file in the container: its bytes are the toy's [8000, 8000 + 1000). */
static int file_map(struct layer *l, uint64_t off, struct extent *run)
{
	return layer_map_below(l, off, 8000, run);
}

static const struct layer_ops file_ops = {
	.name = "file", .kind = LAYER_FILE, .map = file_map, .read = layer_read_mapped};

static void a_packed_run_is_given_whole_by_who_packs_it(void **state)
{
	struct stack *t = *state;
	struct layer *file = layer_new(&t->s, &file_ops, t->toy, "f");
	struct extent run;

	layer_attach(t->toy, file);
	file->size = 1000;
	assert_int_equal(layer_resolve(t->toy, 9000, &run), 0);
	assert_ptr_equal(run.in, t->part);
	assert_int_equal(run.off, 8192);
	assert_int_equal(run.len, 4096);
	assert_int_equal(run.packed, 100);
	assert_int_equal(run.at, 5000);
	/* From a layer above it is what that layer has of it, from the byte asked for. */
	assert_int_equal(layer_resolve(file, 500, &run), 0);
	assert_int_equal(run.off, 500);
	assert_int_equal(run.len, 500);
	assert_int_equal(run.packed, 100);
	assert_ptr_equal(run.in, t->part);
}

static void an_address_is_told_in_every_layer(void **state)
{
	struct stack *t = *state;
	struct where w[WHERE_MAX];

	assert_int_equal(layer_where(t->toy, 100, 200, w, WHERE_MAX), 3);
	assert_ptr_equal(w[0].l, t->source);
	assert_int_equal(w[0].off, 1636);
	assert_int_equal(w[0].len, 200);
	assert_ptr_equal(w[1].l, t->part);
	assert_int_equal(w[1].off, 1124);
	assert_ptr_equal(w[2].l, t->toy);
	assert_int_equal(w[2].off, 100);
	/* As many as lie together, in every layer alike. */
	assert_int_equal(layer_where(t->toy, 4000, 1000, w, WHERE_MAX), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(w[i].len, 96);
	/* Zeros lie nowhere below. */
	assert_int_equal(layer_where(t->toy, 4096, 10, w, WHERE_MAX), 1);
	assert_ptr_equal(w[0].l, t->toy);
	/* Packed: below, the length is that of the packed bytes. */
	assert_int_equal(layer_where(t->toy, 9000, 10, w, WHERE_MAX), 3);
	assert_int_equal(w[2].len, 10);
	assert_int_equal(w[1].len, 100);
	assert_int_equal(w[1].off, 5000);
	assert_int_equal(w[0].len, 100);
	assert_int_equal(w[0].off, 5512);
	/* Too small an array is filled from the top. */
	assert_int_equal(layer_where(t->toy, 100, 200, w, 2), 2);
	assert_ptr_equal(w[1].l, t->toy);
	assert_ptr_equal(w[0].l, t->part);
}

static void paths_follow_the_stack_and_the_chain(void **state)
{
	struct stack *t = *state;
	struct layer *top, *base, *image, *parent, *grand;

	assert_string_equal(t->source->path, "disk.img");
	assert_string_equal(t->part->path, "p1");
	assert_string_equal(t->toy->path, "p1/toy");
	assert_string_equal(t->toy->name, "toy");
	assert_ptr_equal(layer_source(t->toy), t->source);

	image = memory_source(&t->s, "a", t->disk, DISK);
	top = layer_new(&t->s, &toy_ops, image, "toy");
	layer_attach(image, top);
	base = memory_source(&t->s, "b", t->disk, DISK);
	parent = layer_chain_new(&toy_ops, base, top);
	top->parent = parent;
	assert_string_equal(parent->path, "toy~1");
	assert_int_equal(parent->depth, 1);
	base = memory_source(&t->s, "c", t->disk, DISK);
	grand = layer_chain_new(&toy_ops, base, parent);
	parent->parent = grand;
	assert_string_equal(grand->path, "toy~2");
	/* A chain inside a volume keeps its place. */
	base = memory_source(&t->s, "d", t->disk, DISK);
	parent = layer_chain_new(&toy_ops, base, t->toy);
	assert_string_equal(parent->path, "p1/toy~1");
	t->toy->parent = parent;
	layer_free(image); /* closes it, its parent and that one's, and their files */
	assert_int_equal(closed, 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_read_past_the_end_is_lost_and_zero),
		T(a_map_ends_with_the_layer),
		T(what_is_lost_below_is_lost_in_the_reader_s_addresses),
		T(resolving_goes_down_to_the_stored_byte),
		T(zeros_under_a_cipher_are_no_zeros),
		T(resolving_a_pointer_past_the_end_is_loss_and_no_error),
		T(a_packed_run_is_given_whole_by_who_packs_it),
		T(an_address_is_told_in_every_layer),
		T(paths_follow_the_stack_and_the_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
