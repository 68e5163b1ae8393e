/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scrubs against a model: writes and rot at random, in hundreds of rounds, each seeded; what is found
 * must be exactly what the model says, leaf by leaf and sector by sector.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/image.h"
#include "vdiskck/scrub.h"
#include "vdiskck/seal_make.h"

enum {
	LEAVES = 24,
	SIZE = LEAVES * SEAL_LEAF - 3000, /* the last leaf and its last sector are short */
	SECTORS = LEAVES * SEAL_SECTORS,
	ROUNDS = 300,
};

static uint8_t first[SIZE], data[SIZE]; /* as a copy has it, and as it is */
static char path[] = "/tmp/vdiskck-model-XXXXXX";
static struct session s;
static uint8_t said[FINDING_COUNT][SECTORS];
static uint64_t seed;

static uint64_t dice(uint64_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % n;
}

static void on_finding(void *arg, const struct finding *f)
{
	(void)arg;
	for (uint64_t at = f->fact.off; at < f->fact.off + f->fact.len; at += SEAL_SECTOR)
		said[f->id][at / SEAL_SECTOR]++;
}

static int put(void *arg, uint64_t index, uint64_t n, enum seal_kind kind,
	       const struct seal_leaf *leaf)
{
	(void)index;
	return kind == SEAL_DATA ? seal_put(arg, kind, leaf) : seal_put_run(arg, kind, n);
}

static int setup(void **state)
{
	struct seal_head head = {.size = SIZE, .layer = "disk"};
	struct seal_generation g = {.made = 1};
	struct seal_writer *w;
	struct layer *l;

	(void)state;
	seed = 1;
	for (size_t i = 0; i < SIZE; i++)
		first[i] =
			i / SEAL_LEAF % 4 ? (uint8_t)dice(256) : 0; /* every fourth leaf is zeros */
	session_init(&s);
	s.on_finding = on_finding;
	s.opt.jobs = 1;
	strcpy(path + strlen(path) - 6, "XXXXXX");
	close(mkstemp(path));
	l = memory_source(&s, "disk", first, SIZE);
	assert_int_equal(seal_create(&s, path, true, &head, &w), 0);
	assert_int_equal(seal_read_leaves(&(struct seal_reading){
				 .l = l, .leaves = UINT64_MAX, .fn = put, .arg = w}),
			 0);
	assert_int_equal(seal_commit(w, &g), 0);
	layer_free(l);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	session_fini(&s);
	return 0;
}

/* Change a byte of a sector that nobody changed in this round; false: it was. */
static bool change(bool touched[SECTORS], size_t *sector)
{
	size_t len;

	*sector = dice(SECTORS);
	if (touched[*sector] || *sector * SEAL_SECTOR >= SIZE)
		return false;
	len = SIZE - *sector * SEAL_SECTOR;
	touched[*sector] = true;
	data[*sector * SEAL_SECTOR + dice(len < SEAL_SECTOR ? len : SEAL_SECTOR)] ^= 1 << dice(8);
	return true;
}

static void account(struct scrub *sc, size_t sector)
{
	uint64_t off = sector * SEAL_SECTOR;

	ranges_add(&sc->track.dirty, off, SIZE - off < SEAL_SECTOR ? SIZE - off : SEAL_SECTOR,
		   GRADE_DOUBTFUL, SCRUB_CHANGED);
}

enum mode { STILL, ACCOUNT, NOBODY, ACCEPTED, MODES };

/* What a scrub must say of a sector that rotted, or was written to. */
static enum finding_id verdict(enum mode m, bool rotten)
{
	if (m == STILL)
		return SCRUB_ROT;
	if (m == ACCOUNT)
		return rotten ? SCRUB_ROT : FINDING_COUNT;
	return m == NOBODY ? SCRUB_CHANGED : FINDING_COUNT;
}

static void one_round(enum mode m, unsigned rot, unsigned writes)
{
	static uint8_t expected[FINDING_COUNT + 1][SECTORS];
	bool touched[SECTORS] = {false};
	struct layer *l = memory_source(&s, "disk", data, SIZE);
	uint64_t leaf[FINDING_COUNT + 1] = {0};
	struct scrub sc;
	struct seal *to;

	memcpy(data, first, SIZE);
	memset(said, 0, sizeof(said));
	memset(expected, 0, sizeof(expected));
	assert_int_equal(seal_open(&s, path, &to), 0);
	scrub_init(&sc, NULL, l, to);
	for (unsigned i = 0; i < rot + writes; i++) {
		size_t sector;

		if (!change(touched, &sector))
			continue;
		if (m == ACCOUNT && i >= rot)
			account(&sc, sector);
		expected[verdict(m, i < rot)][sector] = 1;
	}
	/* An account may name more than what was changed. */
	if (m == ACCOUNT && dice(2))
		account(&sc, 5);
	if (m == ACCOUNT && expected[SCRUB_ROT][5])
		expected[SCRUB_ROT][5] =
			ranges_overlap(&sc.track.dirty, 5 * SEAL_SECTOR, 1) ? 0 : 1;
	ranges_sort(&sc.track.dirty);
	sc.still = m == STILL ? "nobody writes here" : NULL;
	sc.track.by = m == ACCOUNT ? "an account" : NULL;
	sc.accept = m == ACCEPTED;
	assert_int_equal(scrub_compare(&sc), 0);
	assert_int_equal(scrub_judge(&sc), 0);
	for (size_t i = 0; i < LEAVES; i++) {
		bool any = false;

		for (int id = 0; id < FINDING_COUNT; id++)
			if (memchr(&expected[id][i * SEAL_SECTORS], 1, SEAL_SECTORS)) {
				leaf[id]++;
				any = true;
			}
		for (size_t k = 0; k < SEAL_SECTORS; k++)
			any |= touched[i * SEAL_SECTORS + k];
		leaf[FINDING_COUNT] += any;
	}
	for (int id = 0; id < FINDING_COUNT; id++)
		assert_memory_equal(said[id], expected[id], SECTORS);
	assert_int_equal(sc.rot, leaf[SCRUB_ROT]);
	assert_int_equal(sc.changed, leaf[SCRUB_CHANGED]);
	assert_int_equal(sc.intact, LEAVES - leaf[FINDING_COUNT]);
	assert_int_equal(sc.rot + sc.changed + sc.dirty + sc.intact, LEAVES);
	scrub_free(&sc);
	seal_close(to);
	layer_free(l);
}

static void exactly_what_changed_is_found(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		seed = 1000 + i;
		one_round((enum mode)(i % MODES), i % 5 < 3 ? (unsigned)dice(9) : 0,
			  i % 5 != 2 ? (unsigned)dice(9) : 0);
	}
}

/* Bytes of a sector. */
static size_t sector_len(size_t sector)
{
	size_t len = SIZE - sector * SEAL_SECTOR;

	return len < SEAL_SECTOR ? len : SEAL_SECTOR;
}

/*
 * A disk in use, over generations: each scrub finds the sectors that rotted and were neither restored
 * nor written to since, and seals anew what was written to, in the same leaf, too.
 */
static void over_generations_rot_stays_rot_and_writes_do_not(void **state)
{
	size_t both = 0;

	(void)state;
	memcpy(data, first, SIZE);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct layer *l = memory_source(&s, "disk", data, SIZE);
		bool touched[SECTORS] = {false};
		uint64_t leaves = 0;
		struct scrub sc;
		struct seal *to;
		size_t k;

		seed = 9000 + round;
		memset(said, 0, sizeof(said));
		assert_int_equal(seal_open(&s, path, &to), 0);
		scrub_init(&sc, NULL, l, to);
		for (uint64_t i = dice(12); i > 0; i--) {
			bool write = dice(3);

			if (!change(touched, &k) || !write)
				continue;
			account(&sc, k);
			/* What a copy would hold from now on. */
			memcpy(first + k * SEAL_SECTOR, data + k * SEAL_SECTOR, sector_len(k));
		}
		/* Somebody restores some of it from a copy. */
		for (uint64_t i = dice(100); i > 0; i--) {
			k = dice(SECTORS);
			if (k * SEAL_SECTOR < SIZE)
				memcpy(data + k * SEAL_SECTOR, first + k * SEAL_SECTOR,
				       sector_len(k));
		}
		ranges_sort(&sc.track.dirty);
		sc.track.by = "an account";
		assert_int_equal(seal_append(&s, path, to, &sc.renew), 0);
		assert_int_equal(scrub_compare(&sc), 0);
		assert_int_equal(scrub_judge(&sc), 0);
		for (size_t i = 0; i < sc.n; i++)
			both += sc.v[i].sectors && sc.v[i].written;
		assert_int_equal(scrub_renew(&sc), 0);
		for (size_t i = 0; i < LEAVES; i++) {
			bool any = false;

			for (k = i * SEAL_SECTORS; k < (i + 1) * SEAL_SECTORS; k++) {
				size_t off = k * SEAL_SECTOR;
				bool rotten = off < SIZE &&
					      memcmp(first + off, data + off, sector_len(k)) != 0;

				assert_int_equal(said[SCRUB_ROT][k], rotten);
				any |= rotten;
			}
			leaves += any;
		}
		assert_int_equal(sc.rot, leaves);
		scrub_free(&sc);
		seal_close(to);
		layer_free(l);
	}
	assert_true(both > 50); /* leaves that had both at once */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(exactly_what_changed_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(over_generations_rot_stays_rot_and_writes_do_not,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
