/* SPDX-License-Identifier: Apache-2.0 */
/* More events than memory holds come out in order; copies of a record come out once. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/lib/image.h"
#include "vdiskck/event_sort.h"

struct got {
	uint64_t n, copies;
	struct event_key last;
	bool in_order, lines;
};

static int on_event(void *arg, const struct event_key *k, const char *line)
{
	struct got *s = arg;

	if (s->n && (k->sec < s->last.sec || (k->sec == s->last.sec && k->nsec < s->last.nsec)))
		s->in_order = false;
	/* Each line says its own time and id. */
	if (strtoull(line, NULL, 10) != (uint64_t)k->sec * 1000000 + k->id)
		s->lines = false;
	s->last = *k;
	s->n++;
	return 0;
}

static void add(struct event_sort *s, int64_t sec, uint64_t id, enum log_state state)
{
	struct log_event e = {.time = {.sec = sec, .known = true},
			      .source = "test",
			      .channel = LOG_TEXT("System"),
			      .record_id = id,
			      .has_record_id = true,
			      .state = state};
	struct event_key k = event_sort_key(&e);
	char line[64];

	k.len = (uint32_t)snprintf(line, sizeof(line), "%llu\n",
				   (unsigned long long)sec * 1000000 + id);
	assert_int_equal(event_sort_add(s, &k, line), 0);
}

static struct got run(uint64_t events)
{
	struct got seen = {.in_order = true, .lines = true};
	int dir = open("/tmp", O_RDONLY | O_DIRECTORY);
	struct event_sort *s = event_sort_new(dir);

	srand(1);
	for (uint64_t i = 0; i < events; i++) {
		add(s, rand() % 100000, i % 1000000, LOG_INTACT);
		if (i % 10 == 0) /* the same record again, later, from somewhere else */
			add(s, 200000, i % 1000000, i % 20 ? LOG_CARVED : LOG_INTACT);
		if (i % 10 == 0)
			add(s, 200000, i % 1000000, LOG_DOUBTFUL);
	}
	assert_int_equal(event_sort_each(s, on_event, &seen, &seen.copies), 0);
	event_sort_free(s);
	close(dir);
	return seen;
}

static void few_events_are_sorted_in_memory(void **state)
{
	struct got s = run(1000);

	(void)state;
	assert_int_equal(s.n, 1100);
	assert_int_equal(s.copies, 100);
	assert_true(s.in_order && s.lines);
}

static void many_events_are_merged_from_a_file(void **state)
{
	struct got s = run(700000);

	(void)state;
	assert_int_equal(s.n, 770000);
	assert_int_equal(s.copies, 70000);
	assert_true(s.in_order && s.lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_events_are_sorted_in_memory),
		cmocka_unit_test(many_events_are_merged_from_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
