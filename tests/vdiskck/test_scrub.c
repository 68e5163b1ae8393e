/* SPDX-License-Identifier: Apache-2.0 */
/* Judgement of single leaves, on a layer in memory; the command is in tests/cli/scrub.bats. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/image.h"
#include "vdiskck/core/json.h"
#include "vdiskck/scrub_state.h"
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

static int run_both(struct scrub *sc)
{
	int r = scrub_compare(sc);

	if (!r)
		r = scrub_judge(sc);
	return r ? r : scrub_renew(sc);
}

/* @data as it is now, sealed; then a scrub that is ready to run. */
static void sealed(struct scrub *sc, struct layer **l)
{
	struct seal_head head = {.size = SIZE, .layer = "lying"};
	struct seal_generation g = {.made = 1};
	struct seal_writer *w;
	struct seal *to;

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
	assert_int_equal(seal_open(&s, path, &to), 0);
	scrub_init(sc, NULL, *l, to);
}

static void done(struct scrub *sc, struct layer *l)
{
	scrub_free(sc);
	seal_close(sc->to);
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
	assert_int_equal(run_both(&sc), 0);
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
	assert_int_equal(run_both(&sc), 0);
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
		assert_int_equal(run_both(&sc), 0);
		assert_int_equal(sc.rot, rot);
		assert_int_equal(sc.dirty, dirty);
		assert_int_equal(sc.intact, LEAVES - rot - dirty);
		assert_int_equal(rotten_bytes, sectors * SEAL_SECTOR);
		done(&sc, l);
	}
}

static unsigned left; /* leaves, until a stop */

static int stop_there(struct scrub *sc)
{
	(void)sc;
	return left-- == 0 ? -EINTR : 0;
}

/* Stopped at any leaf, saved as text, and gone on with: nothing is lost, nothing counted twice. */
static void a_pass_goes_on_where_it_was_saved(void **state)
{
	(void)state;
	for (unsigned stop = 0; stop < LEAVES - 1; stop++) {
		struct scrub sc, more;
		struct layer *l;
		struct json *saved, *parsed;
		const char *text;

		sealed(&sc, &l);
		sc.still = "nobody writes here";
		for (unsigned i = 0; i < LEAVES; i += 3)
			data[i * SEAL_LEAF + 5] ^= 1;
		left = stop;
		sc.on_leaf = stop_there;
		assert_int_equal(scrub_compare(&sc), -EINTR);
		assert_int_equal(sc.next, stop + 1);
		saved = state_put_pass(&sc);
		text = js_line(saved);
		parsed = js_parse(text, strlen(text));
		scrub_init(&more, NULL, l, sc.to);
		more.still = sc.still;
		assert_true(state_get_pass(parsed, &more));
		assert_int_equal(run_both(&more), 0);
		assert_int_equal(more.rot, (LEAVES + 2) / 3);
		assert_int_equal(more.intact, LEAVES - more.rot);
		assert_int_equal(rotten_bytes, more.rot * SEAL_SECTOR);
		scrub_free(&more);
		js_free(saved);
		js_free(parsed);
		done(&sc, l);
	}
}

/* A state whose numbers contradict each other is refused, whatever it says. */
static void a_damaged_pass_is_refused(void **state)
{
	static const char *const wrong[][2] = {
		{"\"next\":20", "\"next\":21"},	  {"\"end\":20", "\"end\":19"},
		{"\"leaf\":3,", "\"leaf\":30,"},  {"\"sectors\":1,", "\"sectors\":65536,"},
		{"\"since\":0,", "\"since\":1,"}, {"\"record\":\"", "\"record\":\"x"},
		{"\"leaf\":6,", "\"leaf\":3,"},	  {"\"intact\":", "\"intakt\":"},
	};
	struct scrub sc, more;
	struct layer *l;
	struct json *saved;

	(void)state;
	sealed(&sc, &l);
	data[3 * SEAL_LEAF] ^= 1;
	data[6 * SEAL_LEAF] ^= 1;
	assert_int_equal(scrub_compare(&sc), 0);
	saved = state_put_pass(&sc);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		const char *text = js_line(saved), *at = strstr(text, wrong[i][0]);
		char *bent;
		struct json *j;

		assert_non_null(at);
		assert_true(asprintf(&bent, "%.*s%s%s", (int)(at - text), text, wrong[i][1],
				     at + strlen(wrong[i][0])) > 0);
		j = js_parse(bent, strlen(bent));
		assert_non_null(j);
		scrub_init(&more, NULL, l, sc.to);
		assert_false(state_get_pass(j, &more));
		scrub_free(&more);
		js_free(j);
		free(bent);
	}
	js_free(saved);
	done(&sc, l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read_wrong_once_is_the_machines_fault),
		cmocka_unit_test(what_is_read_wrong_twice_is_rot),
		cmocka_unit_test(an_account_tells_rot_from_writes),
		cmocka_unit_test(a_pass_goes_on_where_it_was_saved),
		cmocka_unit_test(a_damaged_pass_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
