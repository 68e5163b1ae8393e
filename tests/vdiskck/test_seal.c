/* SPDX-License-Identifier: Apache-2.0 */
/* Seals: what is written is read again, through crashes and damage; one root for the same bytes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/image.h"
#include "vdiskck/seal.h"
#include "vdiskck/seal_make.h"

enum { LEAVES = 300, SIZE = LEAVES * SEAL_LEAF - 5000 };

static struct session s;
static char path[] = "/tmp/vdiskck-seal-XXXXXX";
static uint8_t *data;

static int setup(void **state)
{
	(void)state;
	session_init(&s);
	strcpy(path + strlen(path) - 6, "XXXXXX");
	close(mkstemp(path));
	data = calloc(1, SIZE);
	/* Data, zeros, data: 0..119, 120..199, 200..299. */
	for (size_t i = 0; i < SIZE; i++)
		if (i / SEAL_LEAF < 120 || i / SEAL_LEAF >= 200)
			data[i] = (uint8_t)(i * 2654435761u >> 11);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(data);
	unlink(path);
	session_fini(&s);
	return 0;
}

static int put(void *arg, uint64_t index, uint64_t n, enum seal_kind kind,
	       const struct seal_leaf *leaf)
{
	(void)index;
	return kind == SEAL_DATA ? seal_put(arg, kind, leaf) : seal_put_run(arg, kind, n);
}

/* Seal @data; a new one, or one more generation. */
static struct seal_generation seal_now(bool append)
{
	struct seal_head head = {.size = SIZE, .made = 1500000000, .layer = "raw"};
	struct seal_generation g = {.made = 1500000001, .image_size = SIZE};
	struct layer *l = memory_source(&s, "data", data, SIZE);
	struct seal_writer *w;
	struct seal *old = NULL;

	if (append) {
		assert_int_equal(seal_open(&s, path, &old), 0);
		assert_int_equal(seal_append(&s, path, old, &w), 0);
	} else {
		assert_int_equal(seal_create(&s, path, true, &head, &w), 0);
	}
	assert_int_equal(seal_read_leaves(&(struct seal_reading){
				 .l = l, .leaves = UINT64_MAX, .fn = put, .arg = w}),
			 0);
	assert_int_equal(seal_commit(w, &g), 0);
	seal_close(old);
	layer_free(l);
	return g;
}

static struct seal *open_now(size_t *n)
{
	struct seal *to;

	assert_int_equal(seal_open(&s, path, &to), 0);
	seal_generations(to, n);
	return to;
}

/* Every leaf of the newest generation is that of @data. Returns how many are not known. */
static size_t compare(struct seal *to)
{
	size_t n, since, unknown = 0;

	seal_generations(to, &n);
	for (uint64_t i = 0; i < LEAVES; i++) {
		size_t len = i == LEAVES - 1 ? SIZE % SEAL_LEAF : SEAL_LEAF;
		struct seal_leaf want, got;
		enum seal_kind kind;

		if (seal_get(to, n - 1, i, &kind, &got, &since)) {
			unknown++;
			continue;
		}
		if (i >= 120 && i < 200) {
			assert_int_equal(kind, SEAL_ZERO);
			continue;
		}
		assert_int_equal(kind, SEAL_DATA);
		seal_leaf_make(i, data + i * SEAL_LEAF, len, &want);
		assert_memory_equal(&got, &want, sizeof(want));
	}
	return unknown;
}

static void complain(void *arg, const char *what, uint64_t page)
{
	(void)what;
	(void)page;
	++*(unsigned *)arg;
}

static void what_is_sealed_is_read_again(void **state)
{
	struct seal_generation g = seal_now(false);
	uint64_t bad;
	unsigned said = 0;
	struct seal *to;
	size_t n;

	(void)state;
	assert_int_equal(g.data, 220);
	assert_int_equal(g.zero, 80);
	to = open_now(&n);
	assert_int_equal(n, 1);
	assert_int_equal(seal_head(to)->size, SIZE);
	assert_string_equal(seal_head(to)->layer, "raw");
	assert_int_equal(compare(to), 0);
	assert_int_equal(seal_verify(to, complain, &said, &bad), 0);
	assert_int_equal(bad, 0);
	seal_close(to);
}

static void generations_keep_what_was(void **state)
{
	struct seal_generation first = seal_now(false), second;
	enum seal_kind kind;
	struct seal_leaf leaf, old;
	struct seal *to;
	struct stat st;
	size_t n, since;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	seal_leaf_make(7, data + 7 * SEAL_LEAF, SEAL_LEAF, &old);
	data[7 * SEAL_LEAF + 9] ^= 1;
	second = seal_now(true);
	assert_int_equal(second.number, 2);
	assert_int_equal(second.changed, 1);
	assert_memory_not_equal(first.root, second.root, SEAL_ROOT);
	to = open_now(&n);
	assert_int_equal(n, 2);
	assert_int_equal(compare(to), 0);
	assert_int_equal(seal_get(to, 1, 7, &kind, &leaf, &since), 0);
	assert_int_equal(since, 1);
	assert_int_equal(seal_get(to, 1, 8, &kind, &leaf, &since), 0);
	assert_int_equal(since, 0);
	assert_int_equal(seal_get(to, 0, 7, &kind, &leaf, &since), 0);
	assert_memory_equal(&leaf, &old, sizeof(old));
	seal_close(to);
	/* Back as it was: the same root, at the cost of one leaf. */
	data[7 * SEAL_LEAF + 9] ^= 1;
	second = seal_now(true);
	assert_memory_equal(first.root, second.root, SEAL_ROOT);
	assert_int_equal(second.changed, 1);
}

/* What was being written when the machine stopped is as if it had not been begun. */
static void a_seal_cut_anywhere_has_its_whole_generations(void **state)
{
	struct stat st1, st2;
	struct seal *to;
	uint8_t *bytes;
	size_t n;
	int fd;

	(void)state;
	seal_now(false);
	assert_int_equal(stat(path, &st1), 0);
	data[5] ^= 1;
	seal_now(true);
	data[5] ^= 1;
	assert_int_equal(stat(path, &st2), 0);
	fd = open(path, O_RDWR);
	bytes = malloc((size_t)st2.st_size);
	assert_int_equal(pread(fd, bytes, (size_t)st2.st_size, 0), st2.st_size);
	for (off_t len = st2.st_size - 1; len > st1.st_size; len -= 997) {
		assert_int_equal(ftruncate(fd, len), 0);
		to = open_now(&n);
		assert_int_equal(n, 1);
		assert_int_equal(compare(to), 0);
		seal_close(to);
	}
	/* A generation that is written after the crash takes the place of the torn one. */
	data[70000] ^= 1;
	assert_int_equal(seal_now(true).number, 2);
	to = open_now(&n);
	assert_int_equal(n, 2);
	assert_int_equal(compare(to), 0);
	seal_close(to);
	assert_int_equal(ftruncate(fd, st1.st_size - 1), 0);
	assert_int_equal(seal_open(&s, path, &to), -EBADMSG);
	free(bytes);
	close(fd);
}

static void a_damaged_page_costs_its_leaves_only(void **state)
{
	uint64_t bad;
	struct seal *to;
	struct stat st;
	size_t n;
	int fd;

	(void)state;
	seal_now(false);
	assert_int_equal(stat(path, &st), 0);
	fd = open(path, O_RDWR);
	/* 220 records in 5 pages, one of runs, one commit. */
	assert_int_equal(st.st_size, 8 * SEAL_PAGE);
	for (unsigned page = 0; page < 8; page++)
		for (unsigned at = 0; at < SEAL_PAGE; at += 511) {
			off_t off = page * SEAL_PAGE + at;
			unsigned said = 0;
			uint8_t b;

			assert_int_equal(pread(fd, &b, 1, off), 1);
			b ^= 0x10;
			assert_int_equal(pwrite(fd, &b, 1, off), 1);
			if (page == 0 || page == 7) {
				assert_int_equal(seal_open(&s, path, &to), -EBADMSG);
			} else {
				to = open_now(&n);
				assert_int_equal(compare(to), page == 6	  ? LEAVES
							      : page == 5 ? 220 - 4 * 51
									  : 51);
				assert_int_equal(seal_verify(to, complain, &said, &bad), 0);
				assert_int_equal(bad, 1);
				assert_int_equal(said, 1);
				seal_close(to);
			}
			b ^= 0x10;
			assert_int_equal(pwrite(fd, &b, 1, off), 1);
		}
	close(fd);
}

static void runs_cost_no_more_than_their_ends(void **state)
{
	uint8_t one[SEAL_ROOT], all[SEAL_ROOT];
	static const uint64_t lengths[] = {1, 255, 256, 257, 65535, 65536, 70000, 200000};
	struct seal_leaf leaf;

	(void)state;
	seal_leaf_make(3, "abc", 3, &leaf);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		for (unsigned before = 0; before < 3; before++) {
			struct seal_tree *a = seal_tree_new(), *b = seal_tree_new();

			for (unsigned k = 0; k < before; k++) {
				seal_tree_add(a, SEAL_DATA, &leaf);
				seal_tree_add(b, SEAL_DATA, &leaf);
			}
			for (uint64_t k = 0; k < lengths[i]; k++)
				seal_tree_add(a, SEAL_ZERO, NULL);
			seal_tree_run(b, SEAL_ZERO, lengths[i]);
			seal_tree_add(a, SEAL_DATA, &leaf);
			seal_tree_add(b, SEAL_DATA, &leaf);
			seal_tree_root(a, 1, one);
			seal_tree_root(b, 1, all);
			assert_memory_equal(one, all, SEAL_ROOT);
		}
}

static void a_moved_leaf_is_another_leaf(void **state)
{
	struct seal_leaf a, b;

	(void)state;
	seal_leaf_make(1, data, SEAL_LEAF, &a);
	seal_leaf_make(2, data, SEAL_LEAF, &b);
	assert_memory_equal(a.crc, b.crc, sizeof(a.crc));
	assert_memory_not_equal(a.hash, b.hash, SEAL_HASH);
	/* The CRC-32C of 4096 zero bytes, as RFC 3720 counts. */
	memset(data, 0, SEAL_SECTOR);
	seal_leaf_make(0, data, SEAL_LEAF, &a);
	assert_int_equal(le32(a.crc[0]), 0x98f94189);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_sealed_is_read_again, setup, teardown),
		cmocka_unit_test_setup_teardown(generations_keep_what_was, setup, teardown),
		cmocka_unit_test_setup_teardown(a_seal_cut_anywhere_has_its_whole_generations,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_page_costs_its_leaves_only, setup,
						teardown),
		cmocka_unit_test_setup_teardown(runs_cost_no_more_than_their_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(a_moved_leaf_is_another_leaf, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
