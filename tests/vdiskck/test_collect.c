/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/image.h"
#include "vdiskck/collect.h"

struct fixture {
	struct session s;
	struct collect c;
	struct layer *source;
	uint8_t bytes[4096];
};

static void on_finding(void *arg, const struct finding *f)
{
	collect_finding(&((struct fixture *)arg)->c, f);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	session_init(&x->s);
	x->s.arg = x;
	x->s.on_finding = on_finding;
	collect_init(&x->c, &x->s);
	x->source = memory_source(&x->s, "a.img", x->bytes, sizeof(x->bytes));
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	layer_free(x->source);
	collect_free(&x->c);
	session_fini(&x->s);
	free(x);
	return 0;
}

static void no_finding_is_intact(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(collect_verdict(&x->c), INTACT);
	x->c.undecided = true;
	assert_int_equal(collect_verdict(&x->c), UNDECIDABLE);
}

static void the_worst_wins_and_undecided_only_without_damage(void **state)
{
	struct fixture *x = *state;

	finding(x->source, CHAIN_PARENT_SIZE, 0, 0, "a note");
	assert_int_equal(collect_verdict(&x->c), INTACT);
	finding(x->source, SOURCE_CHANGED, 0, 0, "a blemish");
	assert_int_equal(collect_verdict(&x->c), BLEMISHED);
	finding(x->source, LAYER_UNKNOWN, 0, 0, "undecided");
	assert_int_equal(collect_verdict(&x->c), UNDECIDABLE);
	finding(x->source, SOURCE_SHRANK, 0, 0, "damage");
	assert_int_equal(collect_verdict(&x->c), DAMAGED);
}

static void entries_outlive_their_layer(void **state)
{
	struct fixture *x = *state;
	struct layer *gone = memory_source(&x->s, "gone.img", x->bytes, 512);
	char stored[] = "0x12";

	finding_fact(gone, SOURCE_SHRANK,
		     &(struct fact){.at = 16,
				    .at_len = 4,
				    .off = 16,
				    .len = 64,
				    .lost = true,
				    .stored = stored},
		     "short");
	stored[0] = 'X';
	layer_free(gone);
	assert_int_equal(x->c.n, 1);
	assert_string_equal(x->c.v[0].layer, "gone.img");
	assert_string_equal(x->c.v[0].stored, "0x12");
	assert_null(x->c.v[0].expected);
	assert_int_equal(x->c.v[0].n_where, 1);
	assert_string_equal(x->c.v[0].where[0].layer, "gone.img");
	assert_int_equal(collect_lost(&x->c, "gone.img")->v[0].len, 64);
}

static void what_costs_most_comes_first_and_kinds_stay_together(void **state)
{
	struct fixture *x = *state;
	struct fact small = {.off = 0, .len = 1, .lost = true},
		    big = {.off = 8, .len = 99, .lost = true};

	finding(x->source, SOURCE_CHANGED, 0, 0, "blemish");
	finding(x->source, CHAIN_PARENT_SIZE, 0, 0, "note");
	finding_fact(x->source, SOURCE_UNREADABLE, &small, "small");
	finding_fact(x->source, SOURCE_BAD_MAP, &big, "big");
	finding_fact(x->source, SOURCE_UNREADABLE, &small, "small again");
	finding(x->source, LAYER_UNKNOWN, 0, 0, "undecided");
	collect_sort(&x->c);
	assert_int_equal(x->c.v[0].id, SOURCE_BAD_MAP);
	assert_string_equal(x->c.v[1].message, "small");
	assert_string_equal(x->c.v[2].message, "small again");
	assert_int_equal(x->c.v[3].id, LAYER_UNKNOWN);
	assert_int_equal(x->c.v[4].id, SOURCE_CHANGED);
	assert_int_equal(x->c.v[5].id, CHAIN_PARENT_SIZE);
}

static void memory_is_bounded_but_all_are_counted(void **state)
{
	struct fixture *x = *state;

	for (uint64_t i = 0; i < COLLECT_KEEP + 500; i++)
		finding_fact(x->source, SOURCE_UNREADABLE,
			     &(struct fact){.off = 2 * i, .len = 1, .lost = true}, "%d", (int)i);
	assert_int_equal(x->c.n, COLLECT_KEEP);
	assert_int_equal(collect_tally(&x->c, &x->c.v[0])->count, COLLECT_KEEP + 500);
	assert_int_equal(collect_tally(&x->c, &x->c.v[0])->lost, COLLECT_KEEP + 500);
	assert_int_equal(collect_lost(&x->c, "a.img")->n, COLLECT_KEEP + 500);
	assert_int_equal(x->s.count[DAMAGE], COLLECT_KEEP + 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_finding_is_intact, setup, teardown),
		cmocka_unit_test_setup_teardown(the_worst_wins_and_undecided_only_without_damage,
						setup, teardown),
		cmocka_unit_test_setup_teardown(entries_outlive_their_layer, setup, teardown),
		cmocka_unit_test_setup_teardown(what_costs_most_comes_first_and_kinds_stay_together,
						setup, teardown),
		cmocka_unit_test_setup_teardown(memory_is_bounded_but_all_are_counted, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
