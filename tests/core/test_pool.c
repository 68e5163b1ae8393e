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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_index_is_worked_on_once),
		cmocka_unit_test(one_thread_is_the_caller_s),
		cmocka_unit_test(nothing_to_do_is_no_error),
		cmocka_unit_test(the_first_error_stops_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
