/* SPDX-License-Identifier: Apache-2.0 */
/* Judgement of single leaves, on a layer in memory; the command is in tests/cli/scrub.bats. */
#include <stdio.h>
#include <unistd.h>

#include "tests/lib/image.h"
#include "vdiskck/scrub.h"
#include "vdiskck/seal_make.h"

enum { LEAVES = 20, SIZE = LEAVES * SEAL_LEAF };

static uint8_t data[SIZE];
static unsigned lies; /* how many reads of byte 300000 are wrong */
static char path[] = "/tmp/vdiskck-scrub-XXXXXX";
static struct session s;
static size_t count[FINDING_COUNT];
static uint64_t rotten_bytes;

static int lying_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	(void)l;
	(void)bad;
	memcpy(buf, data + off, len);
	if (lies && off <= 300000 && 300000 < off + len) {
		((uint8_t *)buf)[300000 - off] ^= 4;
		lies--;
	}
	return 0;
}

static int lying_map(struct layer *l, uint64_t off, struct extent *run)
{
	*run = (struct extent){
		.off = off, .len = l->size - off, .kind = EXTENT_DATA, .in = l, .at = off};
	return 0;
}

static const struct layer_ops lying_ops = {
	.name = "lying", .kind = LAYER_CONTAINER, .read = lying_read, .map = lying_map};

static void on_finding(void *arg, const struct finding *f)
{
	(void)arg;
	count[f->id]++;
	rotten_bytes += f->id == SCRUB_ROT ? f->fact.len : 0;
}

static int put(void *arg, uint64_t index, uint64_t n, enum seal_kind kind,
	       const struct seal_leaf *leaf)
{
	(void)index;
	return kind == SEAL_DATA ? seal_put(arg, kind, leaf) : seal_put_run(arg, kind, n);
}

/* @data as it is now, sealed; then a scrub that is ready to run. */
static void sealed(struct scrub *sc, struct layer **l)
{
	struct seal_head head = {.size = SIZE, .layer = "lying"};
	struct seal_generation g = {.made = 1};
	struct seal_writer *w;

	for (size_t i = 0; i < SIZE; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	session_init(&s);
	s.on_finding = on_finding;
	memset(count, 0, sizeof(count));
	lies = 0;
	rotten_bytes = 0;
	strcpy(path + strlen(path) - 6, "XXXXXX");
	close(mkstemp(path));
	*l = layer_new(&s, &lying_ops, NULL, "lying");
	(*l)->size = SIZE;
	assert_int_equal(seal_create(&s, path, true, &head, &w), 0);
	assert_int_equal(seal_read_leaves(&(struct seal_reading){
				 .l = *l, .leaves = UINT64_MAX, .fn = put, .arg = w}),
			 0);
	assert_int_equal(seal_commit(w, &g), 0);
	*sc = (struct scrub){.l = *l};
	assert_int_equal(seal_open(&s, path, &sc->to), 0);
}

static void done(struct scrub *sc, struct layer *l)
{
	seal_close(sc->to);
	ranges_free(&sc->track.dirty);
	layer_free(l);
	unlink(path);
	session_fini(&s);
}

static void what_is_read_wrong_once_is_the_machines_fault(void **state)
{
	struct scrub sc;
	struct layer *l;

	(void)state;
	sealed(&sc, &l);
	sc.still = "nobody writes here";
	lies = 1;
	assert_int_equal(scrub_run(&sc), 0);
	assert_int_equal(lies, 0);
	assert_int_equal(sc.transient, 1);
	assert_int_equal(sc.rot, 0);
	assert_int_equal(sc.intact, LEAVES - 1);
	assert_int_equal(count[SCRUB_TRANSIENT], 1);
	assert_int_equal(count[SCRUB_ROT], 0);
	done(&sc, l);
}

static void what_is_read_wrong_twice_is_rot(void **state)
{
	struct scrub sc;
	struct layer *l;

	(void)state;
	sealed(&sc, &l);
	sc.still = "nobody writes here";
	lies = 2;
	assert_int_equal(scrub_run(&sc), 0);
	assert_int_equal(sc.rot, 1);
	assert_int_equal(count[SCRUB_ROT], 1);
	done(&sc, l);
}

/* Writes and rot at random: an account decides exactly, for every sector it names. */
static void an_account_tells_rot_from_writes(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 30; seed++) {
		bool rotten[LEAVES] = {false}, written[LEAVES] = {false};
		bool used[SIZE / SEAL_SECTOR] = {false};
		uint64_t rot = 0, dirty = 0, sectors = 0;
		struct scrub sc;
		struct layer *l;

		sealed(&sc, &l);
		srand(seed);
		for (unsigned k = 0; k < 12; k++) {
			uint64_t sector = (uint64_t)rand() % (SIZE / SEAL_SECTOR);

			if (used[sector])
				continue;
			used[sector] = true;
			data[sector * SEAL_SECTOR + (unsigned)rand() % SEAL_SECTOR] ^= 1;
			if (k % 2) {
				rotten[sector / SEAL_SECTORS] = true;
				sectors++;
				continue;
			}
			written[sector / SEAL_SECTORS] = true;
			ranges_add(&sc.track.dirty, sector * SEAL_SECTOR, SEAL_SECTOR,
				   GRADE_DOUBTFUL, SCRUB_CHANGED);
		}
		ranges_sort(&sc.track.dirty);
		sc.track.by = "an account";
		for (unsigned i = 0; i < LEAVES; i++) {
			rot += rotten[i];
			dirty += written[i] && !rotten[i];
		}
		assert_int_equal(scrub_run(&sc), 0);
		assert_int_equal(sc.rot, rot);
		assert_int_equal(sc.dirty, dirty);
		assert_int_equal(sc.intact, LEAVES - rot - dirty);
		assert_int_equal(rotten_bytes, sectors * SEAL_SECTOR);
		done(&sc, l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read_wrong_once_is_the_machines_fault),
		cmocka_unit_test(what_is_read_wrong_twice_is_rot),
		cmocka_unit_test(an_account_tells_rot_from_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
