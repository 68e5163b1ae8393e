/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/lib/image.h"
#include "vdiskck/core/cache.h"
#include "vdiskck/core/pool.h"

enum { ITEM = 4096, FAILS = 13 };

static atomic_uint fills;

/* The item of a key holds its bytes in every place; key 13 can't be had. */
static int fill(void *arg, struct cache_item *it)
{
	(void)arg;
	atomic_fetch_add(&fills, 1);
	if (it->key == FAILS)
		return -EIO;
	memset(it->buf, (int)(it->key + it->key2), ITEM);
	return ranges_add(&it->bad, it->key, 1, GRADE_DOUBTFUL, 0);
}

static void what_is_kept_is_not_filled_again(void **state)
{
	struct cache *c = cache_new(ITEM, 64, fill, NULL);
	const struct cache_item *a, *b;

	(void)state;
	atomic_store(&fills, 0);
	assert_int_equal(cache_get(c, 5, 0, &a), 0);
	assert_int_equal(cache_get(c, 5, 0, &b), 0);
	assert_ptr_equal(a, b);
	assert_int_equal(atomic_load(&fills), 1);
	cache_put(c, a);
	cache_put(c, b);
	assert_int_equal(cache_get(c, 5, 1, &b), 0); /* the second key counts, too */
	assert_int_equal(b->buf[ITEM - 1], 6);
	assert_int_equal(b->bad.n, 1);
	cache_put(c, b);
	assert_int_equal(atomic_load(&fills), 2);
	cache_free(c);
}

static void more_items_than_slots_can_be_held(void **state)
{
	struct cache *c = cache_new(ITEM, 8, fill, NULL);
	const struct cache_item *it[40];

	(void)state;
	for (uint64_t i = 0; i < 40; i++)
		assert_int_equal(cache_get(c, 100 + i, 0, &it[i]), 0);
	for (uint64_t i = 0; i < 40; i++) {
		assert_int_equal(it[i]->buf[7], 100 + i);
		cache_put(c, it[i]);
	}
	cache_free(c);
}

static void a_failure_is_told_and_not_kept(void **state)
{
	struct cache *c = cache_new(ITEM, 8, fill, NULL);
	const struct cache_item *it;

	(void)state;
	atomic_store(&fills, 0);
	assert_int_equal(cache_get(c, FAILS, 0, &it), -EIO);
	assert_int_equal(cache_get(c, FAILS, 0, &it), -EIO);
	assert_int_equal(atomic_load(&fills), 2);
	cache_free(c);
}

static int use(void *arg, size_t i)
{
	struct cache *c = arg;
	uint64_t key = i * 7919 % 100 == FAILS ? 0 : i * 7919 % 100;
	const struct cache_item *it;
	int r = cache_get(c, key, i % 3, &it);

	if (r)
		return r;
	r = it->buf[0] == key + i % 3 && it->buf[ITEM - 1] == key + i % 3 ? 0 : -EBADMSG;
	cache_put(c, it);
	return r;
}

static void threads_see_what_they_asked_for(void **state)
{
	struct cache *c = cache_new(ITEM, 24, fill, NULL);

	(void)state;
	assert_int_equal(pool_run(8, 20000, use, c), 0);
	cache_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_kept_is_not_filled_again),
		cmocka_unit_test(more_items_than_slots_can_be_held),
		cmocka_unit_test(a_failure_is_told_and_not_kept),
		cmocka_unit_test(threads_see_what_they_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
