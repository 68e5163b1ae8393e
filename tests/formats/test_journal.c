/* SPDX-License-Identifier: Apache-2.0 */
/* systemd journals: entries past damage, what --verify says, nothing invented. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/journal.h"
#include "tests/lib/corpus.h"
#include "tests/lib/journal_build.h"

struct events {
	size_t n, intact;
	uint64_t id[8192];
	enum log_state state[8192];
	char text[4096];
};

static struct events ev;

static int on_event(void *arg, const struct log_event *e)
{
	struct buf b = {0};

	(void)arg;
	if (ev.n < 8192) {
		ev.id[ev.n] = e->record_id;
		ev.state[ev.n++] = e->state;
	}
	ev.intact += e->state == LOG_INTACT;
	log_json(&b, e);
	if (b.len + strlen(ev.text) + 1 < sizeof(ev.text))
		strncat(ev.text, b.p, b.len);
	buf_free(&b);
	return 0;
}

static void read_events(struct layer *l, struct log_ledger *g)
{
	struct log_sink sink = {.event = on_event, .ledger = g};

	memset(&ev, 0, sizeof(ev));
	assert_int_equal(journal_log.records(l, &sink), 0);
}

static void hashes_are_what_others_compute(void **state)
{
	uint8_t key[16], in[15];

	(void)state;
	for (uint8_t i = 0; i < 16; i++)
		key[i] = i;
	memcpy(in, key, 15);
	/* The paper's appendix A; lookup3.c's own self-test. */
	assert_true(journal_siphash(key, in, 15) == UINT64_C(0xa129ca6149be45e5));
	assert_true(journal_jenkins("Four score and seven years ago", 30) ==
		    UINT64_C(0x17770551ce7226e6));
	assert_true(journal_jenkins("", 0) == UINT64_C(0xdeadbeefdeadbeef));
}

static void entries_become_events(void **state)
{
	struct journal_build b = journal_build(false);

	(void)state;
	image_check(b.img, &journal_ops);
	assert_clean(b.img);
	read_events(b.img->top, NULL);
	assert_int_equal(ev.n, 3);
	assert_int_equal(ev.intact, 3);
	assert_non_null(
		strstr(ev.text, "\"time\":\"2017-07-14T02:40:01Z\",\"source\":\"journal\""));
	assert_non_null(strstr(ev.text, "\"MESSAGE\":\"second\""));
	assert_non_null(strstr(ev.text, "\"level\":\"error\""));
	assert_non_null(strstr(ev.text, "\"provider\":\"kernel\""));
	image_free(b.img);
}

static void each_fault_is_named_and_costs_only_itself(void **state)
{
	static const struct {
		int entry; /* -1: counts from the start; -2: from the array */
		uint64_t off;
		uint8_t with;
		enum finding_id id;
		size_t intact;
	} at[] = {
		{-1, 0, 'X', JOURNAL_HEADER, 3},	{-1, 208 + 64, 'N', JOURNAL_DATA_HASH, 1},
		{-1, 208, 9, JOURNAL_OBJECT, 1},	{0, 64, 1, JOURNAL_ENTRY_ITEM, 2},
		{1, 16, 1, JOURNAL_ORDER, 2},		{1, 0, 0, JOURNAL_OBJECT, 2},
		{-2, 24 + 8, 3, JOURNAL_ARRAY_ITEM, 3}, {-1, 0x98, 9, JOURNAL_COUNT, 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
		struct journal_build b = journal_build(false);
		uint64_t from = at[i].entry == -1   ? 0
				: at[i].entry == -2 ? b.array
						    : b.at[at[i].entry];

		b.img->buf[from + at[i].off] = at[i].with;
		image_check(b.img, &journal_ops);
		assert_finding(b.img, at[i].id, ANYWHERE);
		read_events(b.img->top, NULL);
		if (ev.intact != at[i].intact)
			fail_msg("case %zu: %zu intact", i, ev.intact);
		image_free(b.img);
	}
}

static void a_journal_cut_anywhere_keeps_its_start(void **state)
{
	struct journal_build b = journal_build(false);

	(void)state;
	for (size_t len = b.end; len > 208; len -= 8) {
		image_resize(b.img, len);
		image_check(b.img, &journal_ops);
		assert_finding(b.img, JOURNAL_TRUNCATED, 0x60);
		read_events(b.img->top, NULL);
		for (size_t i = 0; i < 3; i++)
			if (b.at[i] + 64 + 16 * 3 <= len)
				assert_true(ev.intact > i);
	}
	image_free(b.img);
}

static void flipped_bytes_never_trap_nor_invent(void **state)
{
	struct journal_build b = journal_build(false);

	(void)state;
	for (size_t off = 0; off < b.end; off++)
		for (unsigned bit = 0; bit < 8; bit += 7) {
			b.img->buf[off] ^= (uint8_t)(1 << bit);
			image_check(b.img, &journal_ops);
			if (!b.img->err) {
				read_events(b.img->top, NULL);
				assert_true(ev.n <= 3);
			}
			b.img->buf[off] ^= (uint8_t)(1 << bit);
		}
	image_free(b.img);
}

static void other_states_and_features(void **state)
{
	struct journal_build b = journal_build(false);

	(void)state;
	b.img->buf[16] = 1;
	image_check(b.img, &journal_ops);
	assert_finding(b.img, JOURNAL_ONLINE, 16);
	assert_clean(b.img);
	b.img->buf[12] |= 0x80;
	image_check(b.img, &journal_ops);
	assert_finding(b.img, JOURNAL_FEATURE, 12);
	image_free(b.img);
}

static struct image *real(const char *name)
{
	const char *path = corpus_file(name);

	return path ? image_stack(path, NULL) : NULL;
}

static struct layer *journal_in(struct image *img)
{
	struct layer *l = img->top;

	while (l && l->ops != &journal_ops)
		l = l->child;
	return l;
}

/* journalctl 252: --verify passes the first two; entries as journalctl -o json counts them. */
static void real_journals_are_read_as_journalctl_reads_them(void **state)
{
	static const struct {
		const char *name;
		size_t entries;
		bool sound;
	} j[] = {
		{"journal/systemd-no-rtc-system.journal.zst", 1922, true},
		{"journal/systemd-no-rtc-system@0005ebbfd4346b9f-43185b46162d9fa5.journal_tilde.zst",
		 2736, true},
		{"journal/systemd-no-rtc-user-1000.journal.zst", 296, false},
		{"journal/systemd-no-rtc-user-1000@0005ebbfe89faec4-a5e890e7b00bedd1.journal_tilde.zst",
		 817, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(j) / sizeof(*j); i++) {
		struct image *img = real(j[i].name);

		if (!img)
			skip();
		read_events(journal_in(img), NULL);
		if (j[i].sound) {
			assert_clean(img);
			assert_int_equal(ev.n, j[i].entries);
			assert_int_equal(ev.intact, j[i].entries);
		} else {
			assert_true(image_worse(img, DAMAGE));
			assert_true(ev.n >= j[i].entries);
			assert_true(ev.intact + 2 > j[i].entries);
		}
		image_free(img);
	}
	corpus_file(NULL);
}

/* What each entry of the sound journal rests on: its own object, its fields' objects. */
struct rests {
	uint64_t id, off[64], len[64];
	size_t n;
};

static size_t rests_of(struct layer *l, struct rests *r, size_t max)
{
	static struct journal_items it;
	struct journal *j = journal_of(l);
	struct journal_object o, d;
	struct journal_entry e;
	uint64_t off = j->start, skipped;
	size_t n = 0;

	for (; !journal_next(j, &off, &o, &skipped); off += (le64(o.size) + 7) / 8 * 8) {
		if (o.type != JOURNAL_ENTRY)
			continue;
		assert_true(n < max);
		assert_int_equal(journal_items(j, off, &o, &e, &it, NULL), 0);
		assert_true(it.n < 64);
		r[n] = (struct rests){.id = le64(e.seqnum), .n = it.n + 1};
		r[n].off[0] = off;
		r[n].len[0] = le64(o.size);
		for (size_t i = 0; i < it.n; i++) {
			assert_int_equal(journal_read(j, it.off[i], &d, sizeof(d), NULL), 0);
			r[n].off[i + 1] = it.off[i];
			r[n].len[i + 1] = le64(d.size);
		}
		n++;
	}
	return n;
}

static bool rests_on(const struct rests *r, uint64_t off, uint64_t len)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->off[i] < off + len && off < r->off[i] + r->len[i])
			return true;
	return false;
}

static int count_missing(void *arg, const struct ledger_channel *c, uint64_t first, uint64_t last)
{
	(void)c;
	*(uint64_t *)arg += last - first + 1;
	return 0;
}

/*
 * @k sectors are zeroed: entries that don't rest on them are intact, none is made up, and the ledger has
 * the numbers of those that are gone (and of what users' journals have).
 */
static void destroy(struct image *img, const struct rests *rests, size_t n, unsigned seed, size_t k)
{
	struct log_ledger *g = ledger_new();
	uint64_t missing = 0, sector[32] = {0};
	uint8_t saved[32][512];
	size_t got = 0, known = 0;

	srand(seed);
	for (size_t i = 0; i < k; i++) {
		sector[i] = 1 + (uint64_t)rand() % (img->len / 512 - 1);
		memcpy(saved[i], img->buf + sector[i] * 512, 512);
		memset(img->buf + sector[i] * 512, 0, 512);
	}
	image_open(img, &journal_ops);
	read_events(img->top, g);
	for (size_t i = 0; i < n; i++) {
		bool hit = false, intact = false;

		for (size_t s = 0; s < k; s++)
			hit |= rests_on(&rests[i], sector[s] * 512, 512);
		for (; got < ev.n && ev.id[got] <= rests[i].id; got++) {
			intact |= ev.id[got] == rests[i].id && ev.state[got] == LOG_INTACT;
			known += ev.id[got] == rests[i].id;
		}
		/* What is zeroed may have been zero before: a hit entry may be intact. */
		if (!hit && !intact)
			fail_msg("seed %u: entry %" PRIu64 " is not intact", seed, rests[i].id);
	}
	assert_int_equal(known, ev.n);
	assert_int_equal(ledger_walk(g, NULL, count_missing, &missing), 0);
	assert_int_equal(missing, rests[n - 1].id - rests[0].id + 1 - ev.n);
	ledger_free(g);
	for (size_t i = k; i-- > 0;)
		memcpy(img->buf + sector[i] * 512, saved[i], 512);
}

static void zeroed_sectors_cost_only_what_they_held(void **state)
{
	static const struct {
		const char *name;
		size_t entries;
	} j[] = {
		{"journal/systemd-no-rtc-system.journal.zst", 1922},
		{"journal/systemd-no-rtc-system@0005ebbfd4346b9f-43185b46162d9fa5.journal_tilde.zst",
		 2736},
	};
	static const size_t many[] = {1, 8, 32};
	static struct rests rests[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(j) / sizeof(*j); i++) {
		const char *path = corpus_file(j[i].name);
		struct image *img = path ? image_file(path) : NULL;

		if (!img)
			skip();
		image_check(img, &journal_ops);
		assert_int_equal(rests_of(img->top, rests, 4096), j[i].entries);
		for (unsigned seed = 1; seed <= 30; seed++)
			destroy(img, rests, j[i].entries, seed, many[seed % 3]);
		image_free(img);
	}
	corpus_file(NULL);
}

static void fuzzed_journals_are_survived(void **state)
{
	const char *corpus = getenv("CORPUS");
	char dir[300], name[600];
	struct dirent *e;
	size_t n = 0;
	DIR *d;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/journal", corpus ? corpus : "");
	d = corpus && *corpus ? opendir(dir) : NULL;
	if (!d)
		skip();
	while ((e = readdir(d))) {
		struct image *img;

		if (!strstr(e->d_name, "afl"))
			continue;
		snprintf(name, sizeof(name), "journal/%s", e->d_name);
		img = real(name);
		assert_non_null(img);
		if (journal_in(img) && !journal_in(img)->state)
			read_events(journal_in(img), NULL);
		image_free(img);
		n++;
	}
	closedir(d);
	corpus_file(NULL);
	assert_true(n > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_are_what_others_compute),
		cmocka_unit_test(entries_become_events),
		cmocka_unit_test(each_fault_is_named_and_costs_only_itself),
		cmocka_unit_test(a_journal_cut_anywhere_keeps_its_start),
		cmocka_unit_test(flipped_bytes_never_trap_nor_invent),
		cmocka_unit_test(other_states_and_features),
		cmocka_unit_test(real_journals_are_read_as_journalctl_reads_them),
		cmocka_unit_test(zeroed_sectors_cost_only_what_they_held),
		cmocka_unit_test(fuzzed_journals_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
