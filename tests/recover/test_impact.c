/* SPDX-License-Identifier: Apache-2.0 */
/* Ways up the stack, on layers whose maps are tables. */
#include "tests/lib/image.h"

#include <stdio.h>

#include "recover/impact.h"
#include "recover/locate.h"

enum { RUNS = 6, BYTES = 1 << 20 };

struct table {
	struct extent run[RUNS];
	size_t n;
};

static int table_map(struct layer *l, uint64_t off, struct extent *run)
{
	const struct table *t = l->priv;

	for (size_t i = 0; i < t->n; i++) {
		uint64_t ahead = off - t->run[i].off;

		if (off < t->run[i].off || ahead >= t->run[i].len)
			continue;
		*run = t->run[i];
		if (!run->packed) {
			run->off = off;
			run->len -= ahead;
			run->at += ahead;
		}
		return 0;
	}
	run->kind = EXTENT_ZERO;
	run->len = l->size - off;
	for (size_t i = 0; i < t->n; i++)
		if (t->run[i].off > off && t->run[i].off - off < run->len)
			run->len = t->run[i].off - off;
	return 0;
}

static bool table_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
			    uint64_t *len)
{
	(void)l;
	if (at < 4096 || at >= 4608)
		return false;
	snprintf(name, cap, "table");
	*start = 4096;
	*len = 512;
	return true;
}

static const struct layer_ops table_ops = {
	.name = "table",
	.kind = LAYER_CONTAINER,
	.map = table_map,
	.structure = table_structure,
};

struct fixture {
	struct session s;
	struct layer *source, *a, *b;
	struct table ta, tb;
	uint8_t bytes[BYTES];
	struct location loc[16];
	size_t n;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	session_init(&x->s);
	x->source = memory_source(&x->s, "a.img", x->bytes, BYTES);
	x->a = layer_new(&x->s, &table_ops, x->source, "table");
	x->b = layer_new(&x->s, &table_ops, x->source, "table@snap");
	x->a->priv = &x->ta;
	x->b->priv = &x->tb;
	x->a->size = x->b->size = 1 << 20;
	layer_attach(x->source, x->a);
	layer_attach(x->source, x->b);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	layer_free(x->source);
	session_fini(&x->s);
	free(x);
	return 0;
}

static void put(struct table *t, struct layer *in, uint64_t off, uint64_t len, uint64_t at,
		uint64_t packed)
{
	t->run[t->n++] = (struct extent){
		.off = off, .len = len, .kind = EXTENT_DATA, .in = in, .at = at, .packed = packed};
}

static int keep(void *arg, const struct location *loc)
{
	struct fixture *x = arg;

	assert_true(x->n < 16);
	x->loc[x->n++] = *loc;
	return 0;
}

static void ask(struct fixture *x, struct layer *l, uint64_t off, uint64_t len)
{
	struct ranges r = {0};

	x->n = 0;
	ranges_add(&r, off, len, GRADE_LOST, SOURCE_BAD_MAP);
	assert_int_equal(locate_all(x->source, l, &r, keep, x), 0);
	ranges_free(&r);
}

static void a_shared_byte_is_found_in_every_layer_that_shows_it(void **state)
{
	struct fixture *x = *state;

	put(&x->ta, x->source, 0, 65536, 131072, 0);
	put(&x->tb, x->source, 65536, 65536, 131072, 0);
	ask(x, x->source, 131072 + 100, 10);
	assert_int_equal(x->n, 2);
	assert_ptr_equal(x->loc[0].w[1].l, x->a);
	assert_int_equal(x->loc[0].w[1].off, 100);
	assert_ptr_equal(x->loc[1].w[1].l, x->b);
	assert_int_equal(x->loc[1].w[1].off, 65636);
	assert_int_equal(x->loc[1].w[0].off, 131072 + 100);
	assert_int_equal(x->loc[1].w[0].len, 10);
}

static void one_bad_byte_spoils_all_of_a_packed_run_and_no_more(void **state)
{
	struct fixture *x = *state;

	put(&x->ta, x->source, 0, 65536, 200000, 1000);
	put(&x->ta, x->source, 65536, 65536, 201000, 1000);
	ask(x, x->source, 200999, 1);
	assert_int_equal(x->n, 1);
	assert_true(x->loc[0].packed);
	assert_int_equal(x->loc[0].w[1].off, 0);
	assert_int_equal(x->loc[0].w[1].len, 65536);
	assert_int_equal(x->loc[0].w[0].off, 200000);
	assert_int_equal(x->loc[0].w[0].len, 1000);
	/* Down from the middle of the run: the same packed bytes. */
	ask(x, x->a, 70000, 8);
	assert_int_equal(x->n, 1);
	assert_int_equal(x->loc[0].w[1].off, 70000);
	assert_int_equal(x->loc[0].w[1].len, 8);
	assert_int_equal(x->loc[0].w[0].off, 201000);
	assert_int_equal(x->loc[0].w[0].len, 1000);
}

static void bytes_that_nothing_shows_are_structures_or_free(void **state)
{
	struct fixture *x = *state;

	put(&x->ta, x->source, 0, 1024, 8192, 0);
	ask(x, x->source, 4000, 5000);
	assert_int_equal(x->n, 4);
	assert_int_equal(x->loc[0].owner, OWNER_FREE);
	assert_int_equal(x->loc[0].w[0].len, 96);
	assert_int_equal(x->loc[1].owner, OWNER_STRUCTURE);
	assert_string_equal(x->loc[1].structure, "table");
	assert_int_equal(x->loc[1].start, 4096);
	assert_int_equal(x->loc[1].w[0].len, 512);
	assert_int_equal(x->loc[2].owner, OWNER_FREE);
	assert_int_equal(x->loc[2].w[0].len, 8192 - 4608);
	/* What the container shows of the range is told as its data. */
	assert_int_equal(x->loc[3].n, 2);
	assert_int_equal(x->loc[3].w[1].len, 9000 - 8192);
}

static void a_run_of_zeros_ends_where_it_is_stated(void **state)
{
	struct fixture *x = *state;

	ask(x, x->a, 4096, 10);
	assert_int_equal(x->n, 1);
	assert_int_equal(x->loc[0].kind, EXTENT_ZERO);
	assert_int_equal(x->loc[0].n, 1);
	assert_ptr_equal(x->loc[0].w[0].l, x->a);
}

static void thousands_of_ranges_cost_one_walk(void **state)
{
	struct fixture *x = *state;
	struct impact im = {0};
	struct ranges r = {0}, top = {0};

	put(&x->ta, x->source, 0, 500000, 500000, 0);
	for (uint64_t i = 0; i < 250000; i += 2)
		ranges_add(&r, 500000 + 2 * i, 2, GRADE_LOST, SOURCE_BAD_MAP);
	assert_int_equal(impact_seed(&im, x->source, &r), 0);
	assert_int_equal(impact_run(&im, x->source), 0);
	assert_int_equal(impact_of(&im, x->a)->n, 125000);
	assert_int_equal(ranges_bytes(impact_of(&im, x->a), GRADE_LOST), 250000);
	assert_null(impact_of(&im, x->b));
	/* All of it is shown again above: nothing ends in the source. */
	assert_int_equal(impact_top(&im.v[0], &top), 0);
	assert_int_equal(top.n, 0);
	ranges_free(&top);
	ranges_free(&r);
	impact_free(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_shared_byte_is_found_in_every_layer_that_shows_it,
						setup, teardown),
		cmocka_unit_test_setup_teardown(one_bad_byte_spoils_all_of_a_packed_run_and_no_more,
						setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_that_nothing_shows_are_structures_or_free,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_run_of_zeros_ends_where_it_is_stated, setup,
						teardown),
		cmocka_unit_test_setup_teardown(thousands_of_ranges_cost_one_walk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
