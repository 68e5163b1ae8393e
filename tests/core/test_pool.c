/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/image.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "vdiskck/core/pool.h"

enum { N = 5000 };

static struct {
	atomic_uint done[N];
	atomic_size_t calls;
	size_t fail_at;
	pthread_t caller;
	atomic_bool elsewhere;
} t;

static void start(size_t fail_at)
{
	memset(&t, 0, sizeof(t));
	t.fail_at = fail_at;
	t.caller = pthread_self();
}

static int work(void *arg, size_t i)
{
	assert_ptr_equal(arg, &t);
	atomic_fetch_add(&t.done[i], 1);
	atomic_fetch_add(&t.calls, 1);
	if (!pthread_equal(pthread_self(), t.caller))
		atomic_store(&t.elsewhere, true);
	return i >= t.fail_at ? -EIO : 0;
}

static void every_index_is_worked_on_once(void **state)
{
	static const unsigned threads[] = {0, 1, 2, 7, 256, 10000};

	(void)state;
	for (size_t k = 0; k < sizeof(threads) / sizeof(threads[0]); k++) {
		start(N);
		assert_int_equal(pool_run(threads[k], N, work, &t), 0);
		for (size_t i = 0; i < N; i++)
			assert_int_equal(t.done[i], 1);
	}
}

static void one_thread_is_the_caller_s(void **state)
{
	(void)state;
	start(N);
	assert_int_equal(pool_run(1, N, work, &t), 0);
	assert_false(t.elsewhere);
	start(N);
	assert_int_equal(pool_run(8, 1, work, &t), 0);
	assert_false(t.elsewhere);
	assert_int_equal(t.calls, 1);
}

static void nothing_to_do_is_no_error(void **state)
{
	(void)state;
	start(N);
	assert_int_equal(pool_run(4, 0, work, &t), 0);
	assert_int_equal(t.calls, 0);
}

static void the_first_error_stops_the_rest(void **state)
{
	(void)state;
	start(100);
	assert_int_equal(pool_run(1, N, work, &t), -EIO);
	assert_int_equal(t.calls, 101);
	start(100);
	assert_int_equal(pool_run(4, N, work, &t), -EIO);
	/* What was begun is finished; each thread meets the error at the latest by its own. */
	assert_in_range(t.calls, 101, 100 + 4);
}

/* What is handed on, in order; how far ahead of it work began. */
static struct {
	size_t next, fail_at;
	atomic_size_t handed;
	atomic_bool early, twice;
	atomic_bool busy;
} order;

static int work_ahead(void *arg, size_t i)
{
	if (i >= atomic_load(&order.handed) + 8)
		atomic_store(&order.early, true);
	return work(arg, i);
}

static int hand_on(void *arg, size_t i)
{
	assert_ptr_equal(arg, &t);
	if (atomic_exchange(&order.busy, true))
		atomic_store(&order.twice, true);
	if (i != order.next++)
		atomic_store(&order.twice, true);
	atomic_store(&order.busy, false);
	if (i == order.fail_at)
		return -EPIPE;
	atomic_fetch_add(&order.handed, 1);
	return 0;
}

static int in_order(unsigned threads, size_t fail_at, size_t hand_fails)
{
	start(fail_at);
	memset(&order, 0, sizeof(order));
	order.fail_at = hand_fails;
	return pool_run_in_order(threads, N, 8, work_ahead, hand_on, &t);
}

static void results_are_handed_on_in_order_one_at_a_time(void **state)
{
	(void)state;
	for (unsigned threads = 1; threads <= 16; threads++) {
		assert_int_equal(in_order(threads, N, N), 0);
		assert_int_equal(t.calls, N);
		assert_int_equal(order.next, N);
		assert_false(order.twice);
		assert_false(order.early);
	}
	assert_int_equal(pool_run_in_order(4, 0, 8, work_ahead, hand_on, &t), 0);
}

static void an_error_of_work_or_of_handing_on_stops_both(void **state)
{
	(void)state;
	for (unsigned threads = 1; threads <= 4; threads++) {
		assert_int_equal(in_order(threads, 100, N), -EIO);
		assert_in_range(order.next, 0, 100);
		assert_int_equal(in_order(threads, N, 50), -EPIPE);
		assert_int_equal(order.next, 51);
		assert_in_range(t.calls, 51, 51 + 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_index_is_worked_on_once),
		cmocka_unit_test(one_thread_is_the_caller_s),
		cmocka_unit_test(nothing_to_do_is_no_error),
		cmocka_unit_test(the_first_error_stops_the_rest),
		cmocka_unit_test(results_are_handed_on_in_order_one_at_a_time),
		cmocka_unit_test(an_error_of_work_or_of_handing_on_stops_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
