/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/image.h"

#include <errno.h>

#include "vdiskck/core/engine.h"
#include "vdiskck/core/reads.h"

enum { BLOCK = 65536, BLOCKS = 512, SIZE = BLOCK * BLOCKS };

/*
 * A layer whose blocks lie below in reverse order. Block b is zero where b % 128 is 20..89 (so
 * that whole pieces are zero), lost where it is 100..103, else stored.
 */
static enum extent_kind kind_of(uint64_t b)
{
	return b % 128 >= 20 && b % 128 < 90	 ? EXTENT_ZERO
	       : b % 128 >= 100 && b % 128 < 104 ? EXTENT_LOST
						 : EXTENT_DATA;
}

static int turned_map(struct layer *l, uint64_t off, struct extent *run)
{
	uint64_t b = off / BLOCK;

	run->kind = kind_of(b);
	run->why = CHAIN_PARENT_MISSING;
	run->in = l->below;
	run->at = (BLOCKS - 1 - b) * BLOCK + off % BLOCK;
	run->len = BLOCK - off % BLOCK;
	return 0;
}

static const struct layer_ops turned_ops = {
	.name = "turned",
	.kind = LAYER_CONTAINER,
	.read = layer_read_mapped,
	.map = turned_map,
};

struct rig {
	struct image *img;
	struct layer *l;
	uint8_t *want, *got;
	uint64_t next, last_at, zero, lost, pieces;
	int fail_at; /* piece number that work() fails on, 0: none */
	_Atomic int works;
	uint64_t direct;
	bool met[BLOCKS]; /* shy: was read from */
};

static int setup(void **state)
{
	struct rig *g = calloc(1, sizeof(*g));

	g->img = image_new(SIZE);
	g->want = calloc(1, SIZE);
	g->got = malloc(SIZE);
	memset(g->got, 0xee, SIZE);
	for (size_t i = 0; i < SIZE; i++)
		g->img->buf[i] = (uint8_t)(i * 2654435761u >> 24 | 1);
	for (uint64_t b = 0; b < BLOCKS; b++)
		if (kind_of(b) == EXTENT_DATA)
			memcpy(g->want + b * BLOCK, g->img->buf + (BLOCKS - 1 - b) * BLOCK, BLOCK);
	session_init(&g->img->s);
	g->img->s.opt.jobs = 3;
	g->img->source = memory_source(&g->img->s, "test.img", g->img->buf, SIZE);
	g->l = layer_new(&g->img->s, &turned_ops, g->img->source, "turned");
	g->l->size = SIZE;
	layer_attach(g->img->source, g->l);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct rig *g = *state;

	image_free(g->img);
	free(g->want);
	free(g->got);
	free(g);
	return 0;
}

static int keep(void *arg, struct piece *p)
{
	struct rig *g = arg;

	g->pieces++;
	if (p->kind == EXTENT_DATA)
		memcpy(g->got + p->off, p->buf, p->len);
	else
		memset(g->got + p->off, 0, p->len);
	if (p->kind == EXTENT_ZERO)
		g->zero += p->len;
	for (size_t i = 0; i < p->bad.n; i++)
		g->lost += p->bad.v[i].len;
	return 0;
}

static int keep_in_order(void *arg, struct piece *p)
{
	struct rig *g = arg;

	assert_int_equal(p->off, g->next);
	g->next = p->off + p->len;
	return keep(arg, p);
}

static int keep_physical(void *arg, struct piece *p)
{
	struct rig *g = arg;
	struct extent run;

	if (p->kind == EXTENT_DATA) {
		for (uint64_t off = p->off;; off += BLOCK) {
			assert_int_equal(layer_resolve(g->l, off, &run), 0);
			if (run.kind == EXTENT_DATA)
				break;
		}
		assert_true(run.at >= g->last_at);
		g->last_at = run.at;
	}
	return keep(arg, p);
}

static int work(void *arg, struct piece *p)
{
	struct rig *g = arg;

	assert_true(p->worker < 3);
	return ++g->works == g->fail_at ? -EPROTO : 0;
}

static struct engine engine(struct rig *g, enum engine_order order,
			    int (*deliver)(void *, struct piece *))
{
	return (struct engine){
		.l = g->l, .len = SIZE, .order = order, .work = work, .deliver = deliver, .arg = g};
}

static void in_order_everything_comes_once_and_in_turn(void **state)
{
	struct rig *g = *state;
	struct engine e = engine(g, ENGINE_IN_ORDER, keep_in_order);

	assert_int_equal(engine_run(&e), 0);
	assert_int_equal(g->next, SIZE);
	assert_int_equal(e.covered, SIZE);
	assert_memory_equal(g->got, g->want, SIZE);
	assert_int_equal(g->lost, 4 * 4 * BLOCK);
	assert_true(g->zero >= 4 * 3 * (1 << 20)); /* whole zero pieces were not read */
}

static void physical_order_reads_forward_on_the_disk(void **state)
{
	struct rig *g = *state;
	struct engine e = engine(g, ENGINE_PHYSICAL, keep_physical);

	assert_int_equal(engine_run(&e), 0);
	assert_memory_equal(g->got, g->want, SIZE);
	assert_int_equal(g->lost, 4 * 4 * BLOCK);
	assert_true(g->last_at > 0);
}

static int keep_windows(void *arg, struct piece *p)
{
	struct rig *g = arg;
	uint64_t window = p->off / (8 << 20);

	/* All of a window before the next one; in it, forward below is backward here. */
	if (p->kind == EXTENT_DATA) {
		assert_int_equal(p->len, BLOCK);
		assert_true(!g->last_at || window > g->next / (8 << 20) ||
			    (window == g->next / (8 << 20) && p->off < g->next));
		g->next = p->off;
		g->last_at++;
	}
	return keep(arg, p);
}

static void what_lies_apart_is_read_apart_and_in_order_by_window(void **state)
{
	struct rig *g = *state;
	struct engine e = engine(g, ENGINE_PHYSICAL, keep_windows);

	e.grain = BLOCK;
	e.window = 8 << 20;
	assert_int_equal(engine_run(&e), 0);
	assert_int_equal(e.covered, SIZE);
	assert_memory_equal(g->got, g->want, SIZE);
	assert_int_equal(g->last_at, 4 * (128 - 70 - 4));
	assert_int_equal(g->zero, 4 * 70 * BLOCK);
	assert_int_equal(g->lost, 4 * 4 * BLOCK);
}

static void a_part_with_odd_ends_is_cut_exactly(void **state)
{
	struct rig *g = *state;
	struct engine e = engine(g, ENGINE_IN_ORDER, keep);

	e.off = 12345;
	e.len = 20 * (1 << 20) + 1;
	assert_int_equal(engine_run(&e), 0);
	assert_int_equal(e.covered, 20 * (1 << 20) + 1);
	assert_memory_equal(g->got + e.off, g->want + e.off, e.len);
	assert_int_equal(g->got[e.off - 1], 0xee);
	assert_int_equal(g->got[e.off + e.len], 0xee);
}

static void what_lies_past_the_end_is_not_asked_for(void **state)
{
	struct rig *g = *state;
	struct engine e = engine(g, ENGINE_IN_ORDER, keep);

	e.off = SIZE - 4096;
	e.len = UINT64_MAX;
	assert_int_equal(engine_run(&e), 0);
	assert_int_equal(e.covered, 4096);
	e.off = UINT64_MAX;
	assert_int_equal(engine_run(&e), 0);
	assert_int_equal(e.covered, 0);
}

static void an_error_of_a_worker_ends_the_run(void **state)
{
	struct rig *g = *state;
	struct engine e = engine(g, ENGINE_IN_ORDER, keep_in_order);

	g->fail_at = 5;
	assert_int_equal(engine_run(&e), -EPROTO);
	assert_true(e.covered < SIZE);
}

static int stop_at_three(void *arg, struct piece *p)
{
	struct rig *g = arg;
	int r = keep_in_order(arg, p);

	if (g->pieces == 3)
		g->img->s.stop = true;
	return r;
}

static void a_stop_says_how_far_it_came(void **state)
{
	struct rig *g = *state;
	struct engine e = engine(g, ENGINE_IN_ORDER, stop_at_three);

	assert_int_equal(engine_run(&e), -EINTR);
	assert_int_equal(e.covered, g->next);
	assert_memory_equal(g->got, g->want, g->next);
}

static int keep_direct(void *arg, struct piece *p)
{
	struct rig *g = arg;

	assert_int_equal(p->off, g->next);
	g->next = p->off + p->len;
	if (p->kind != EXTENT_DATA || p->buf)
		return keep(arg, p);
	assert_ptr_equal(p->in, g->img->source);
	memcpy(g->got + p->off, g->img->buf + p->at, p->len);
	g->direct += p->len;
	return 0;
}

static void direct_pieces_are_where_the_source_has_them(void **state)
{
	struct rig *g = *state;
	struct engine e = engine(g, ENGINE_IN_ORDER, keep_direct);

	e.direct = true;
	e.piece = BLOCK / 2;
	assert_int_equal(engine_run(&e), 0);
	assert_int_equal(e.covered, SIZE);
	assert_memory_equal(g->got, g->want, SIZE);
	assert_int_equal(g->direct, SIZE - 4 * (70 + 4) * BLOCK);
	assert_int_equal(g->works, 4 * (128 - 70 - 4));
}

static void direct_pieces_fill_whole_windows_but_for_the_ends(void **state)
{
	struct rig *g = *state;
	struct engine e = engine(g, ENGINE_IN_ORDER, keep_direct);

	/* A block is no window of 1 MiB: all of it is read, but for what is left of the last. */
	e.direct = true;
	assert_int_equal(engine_run(&e), 0);
	assert_memory_equal(g->got, g->want, SIZE);
	assert_int_equal(g->direct, 0);
	g->next = e.off = SIZE - BLOCK + 1;
	assert_int_equal(engine_run(&e), 0);
	assert_int_equal(e.covered, BLOCK - 1);
	assert_int_equal(g->direct, BLOCK - 1);
}

/* A layer that knows of a block whether it is as it is once it has read from it. */
static int shy_map(struct layer *l, uint64_t off, struct extent *run)
{
	struct rig *g = l->priv;
	int r = turned_map(l, off, run);

	run->exact = g->met[off / BLOCK];
	return r;
}

static int shy_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct rig *g = l->priv;

	for (uint64_t b = off / BLOCK; b * BLOCK < off + len; b++)
		g->met[b] = b % 2; /* and there are others */
	return layer_read_mapped(l, off, buf, len, bad);
}

static const struct layer_ops shy_ops = {
	.name = "shy",
	.kind = LAYER_CONTAINER,
	.read = shy_read,
	.map = shy_map,
};

static void a_layer_may_know_what_is_direct_once_it_has_read(void **state)
{
	struct rig *g = *state;
	struct engine e = engine(g, ENGINE_IN_ORDER, keep_direct);

	g->l->ops = &shy_ops;
	g->l->priv = g;
	e.direct = true;
	e.piece = BLOCK;
	assert_int_equal(engine_run(&e), 0);
	assert_memory_equal(g->got, g->want, SIZE);
	assert_int_equal(g->direct, (SIZE - 4 * (70 + 4) * BLOCK) / 2);
}

static int keep_but_skipped(void *arg, struct piece *p)
{
	struct rig *g = arg;

	assert_int_equal(p->off, g->next);
	g->next = p->off + p->len;
	if (p->kind != EXTENT_DATA || p->buf)
		return keep(arg, p);
	g->direct += p->len;
	return 0;
}

static void what_need_not_be_read_is_not(void **state)
{
	struct rig *g = *state;
	struct ranges skip = {0};
	struct engine e = engine(g, ENGINE_IN_ORDER, keep_but_skipped);

	/* Blocks 2 to 4 altogether, 1 and 5 in part; and the last one. */
	assert_int_equal(ranges_add(&skip, 2 * BLOCK - 7, 3 * BLOCK + 9, 0, 0), 0);
	assert_int_equal(ranges_add(&skip, SIZE - BLOCK, BLOCK, 0, 0), 0);
	e.piece = BLOCK;
	e.skip = &skip;
	assert_int_equal(engine_run(&e), 0);
	assert_int_equal(e.covered, SIZE);
	assert_int_equal(g->direct, 4 * BLOCK + 9);
	assert_int_equal(g->works, 4 * (128 - 70 - 4) - 4);
	assert_int_equal(g->got[2 * BLOCK], 0xee);
	assert_memory_equal(g->got, g->want, 2 * BLOCK - 7);
	assert_int_equal(g->got[5 * BLOCK + 1], 0xee);
	assert_memory_equal(g->got + 5 * BLOCK + 2, g->want + 5 * BLOCK + 2, SIZE - 6 * BLOCK - 2);
	ranges_free(&skip);
}

static void what_was_read_is_known_by_where_it_lies(void **state)
{
	struct rig *g = *state;
	struct reads reads = {0};
	struct ranges on_source = {0}, on_layer = {0};
	struct engine e = engine(g, ENGINE_IN_ORDER, keep);

	e.piece = BLOCK;
	e.off = 10 * BLOCK;
	e.len = 100 * BLOCK; /* 100..103 are lost */
	g->img->s.reads = &reads;
	assert_int_equal(engine_run(&e), 0);
	assert_int_equal(reads_of(&reads, g->l, &on_layer), 0);
	assert_int_equal(on_layer.n, 3);
	assert_int_equal(on_layer.v[0].off, 10 * BLOCK);
	assert_int_equal(on_layer.v[0].len, 10 * BLOCK);
	assert_int_equal(on_layer.v[1].off, 90 * BLOCK);
	assert_int_equal(on_layer.v[2].off, 104 * BLOCK);
	assert_int_equal(on_layer.v[2].len, 6 * BLOCK);
	assert_int_equal(reads_of(&reads, g->img->source, &on_source), 0);
	assert_int_equal(on_source.n, 3);
	assert_int_equal(on_source.v[0].off, (BLOCKS - 110) * BLOCK);
	assert_int_equal(on_source.v[0].len, 6 * BLOCK);
	g->img->s.reads = NULL;
	ranges_free(&on_layer);
	ranges_free(&on_source);
	reads_free(&reads);
}

static void what_a_layer_read_goes_with_it(void **state)
{
	struct rig *g = *state;
	struct reads reads = {0};
	struct ranges out = {0};
	struct layer *passing = layer_new(&g->img->s, g->l->ops, g->img->source, "passing");

	reads_note(&reads, g->img->source, 0, BLOCK);
	reads_note(&reads, passing, 0, BLOCK);
	g->img->s.reads = &reads;
	layer_free(passing);
	g->img->s.reads = NULL;
	assert_null(reads.v[1].l);
	assert_int_equal(reads_of(&reads, g->img->source, &out), 0);
	assert_int_equal(out.n, 1);
	assert_int_equal(out.v[0].len, BLOCK);
	ranges_free(&out);
	reads_free(&reads);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(in_order_everything_comes_once_and_in_turn),
		T(physical_order_reads_forward_on_the_disk),
		T(what_lies_apart_is_read_apart_and_in_order_by_window),
		T(a_part_with_odd_ends_is_cut_exactly),
		T(what_lies_past_the_end_is_not_asked_for),
		T(an_error_of_a_worker_ends_the_run),
		T(direct_pieces_are_where_the_source_has_them),
		T(direct_pieces_fill_whole_windows_but_for_the_ends),
		T(a_layer_may_know_what_is_direct_once_it_has_read),
		T(a_stop_says_how_far_it_came),
		T(what_need_not_be_read_is_not),
		T(what_was_read_is_known_by_where_it_lies),
		T(what_a_layer_read_goes_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
