/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as events: of a hive, and of bins wherever they lie; what damage costs them. */
#include <inttypes.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/regf.h"
#include "tests/lib/corpus.h"
#include "tests/lib/regf_build.h"
#include "vdiskck/core/json.h"

enum { KEYS = 20000 };

/* One key of a listing: where it lies, what was said of it. */
struct key {
	uint64_t off;
	char *data, *path, *values; /* JSON; the path in it; its values in it, or NULL */
	char channel[32];
	enum log_state state;
};

struct keys {
	struct key v[KEYS];
	size_t n;
};

static int on_event(void *arg, const struct log_event *e)
{
	struct keys *k = arg;
	struct key *to = &k->v[k->n];
	struct json *j = js_parse(e->data.p, e->data.len), *path, *values;

	/* Events of other kinds that noise may hold are not looked at. */
	if (strcmp(e->source, "regf")) {
		js_free(j);
		return 0;
	}
	assert_true(k->n < KEYS);
	assert_non_null(j);
	path = js_get(j, "key");
	values = js_get(j, "values");
	assert_non_null(path);
	*to = (struct key){.off = e->off, .state = e->state};
	to->data = strndup(e->data.p, e->data.len);
	to->path = strdup(js_text(path));
	to->values = values ? strdup(js_line(values)) : NULL;
	snprintf(to->channel, sizeof(to->channel), "%.*s", (int)e->channel.len, e->channel.p);
	js_free(j);
	k->n++;
	return 0;
}

static void forget(struct keys *k)
{
	for (size_t i = 0; i < k->n; i++) {
		free(k->v[i].data);
		free(k->v[i].path);
		free(k->v[i].values);
	}
	k->n = 0;
}

static const struct key *at(const struct keys *k, uint64_t off)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->v[i].off == off)
			return &k->v[i];
	return NULL;
}

static const char *name_of(const struct key *k)
{
	return strrchr(k->path, '/') + 1;
}

static void read_keys(struct image *img, struct keys *k)
{
	struct log_sink sink = {.arg = k, .event = on_event};

	forget(k);
	image_open(img, &regf_ops);
	assert_int_equal(img->err, 0);
	assert_int_equal(regf_log.records(img->top, &sink), 0);
}

static void carve_keys(struct image *img, const struct ranges *where, struct keys *k)
{
	struct log_sink sink = {.arg = k, .event = on_event};

	forget(k);
	image_open(img, &raw_ops);
	assert_int_equal(img->err, 0);
	assert_int_equal(log_carve(img->top, where, &sink), 0);
}

static struct hive_build build;
static struct keys live, found;

/* /Control/disk with two values, /Control/empty, /Select. */
static struct image *small(void)
{
	uint32_t control, disk;

	hive_begin(&build);
	control = hive_key(&build, 0, "Control");
	disk = hive_key(&build, control, "disk");
	hive_key(&build, control, "empty");
	hive_key(&build, 0, "Select");
	hive_value(&build, disk, "Start", 4, "\3\0\0\0", 4);
	hive_value(&build, disk, "Name", 1, "d\0i\0s\0k\0\0", 10);
	return hive_finish(&build, false);
}

/* Bytes in which nothing is to be found: no zero among them, and no magic. */
static void noise(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(0x80 | (i * 37 + i / 256 * 11));
}

/* The hive at byte @off of noise. */
static struct image *in_noise(const struct image *hive, size_t off)
{
	struct image *img = image_new(off + hive->len + 70000);

	noise(img->buf, img->len);
	memcpy(img->buf + off, hive->buf, hive->len);
	return img;
}

static void a_hive_gives_its_keys_with_values_as_events(void **state)
{
	struct image *img = small();
	const struct key *disk;

	(void)state;
	read_keys(img, &live);
	assert_int_equal(live.n, 5);
	disk = at(&live, REGF_BASE + build.key[2].off);
	assert_non_null(disk);
	assert_string_equal(disk->path, "/Control/disk");
	assert_string_equal(disk->values, "{\"Start\":\"REG_DWORD: 3\",\"Name\":\"REG_SZ: disk\"}");
	assert_int_equal(disk->state, LOG_INTACT);
	image_free(img);
}

static void a_hive_that_no_file_has_is_carved_whole(void **state)
{
	struct image *hive = small(), *img = in_noise(hive, 10240);

	(void)state;
	read_keys(hive, &live);
	carve_keys(img, NULL, &found);
	assert_int_equal(found.n, live.n);
	for (size_t i = 0; i < live.n; i++) {
		const struct key *k = at(&found, live.v[i].off + 10240);

		assert_non_null(k);
		assert_string_equal(k->data, live.v[i].data);
		assert_string_equal(k->channel, live.v[i].channel);
		assert_int_equal(k->state, LOG_CARVED);
	}
	image_free(img);
	image_free(hive);
}

static void bins_alone_give_their_keys(void **state)
{
	struct image *hive = small(), *img = in_noise(hive, 512 * 7);

	(void)state;
	read_keys(hive, &live);
	noise(img->buf, 512 * 7 + REGF_BASE);
	carve_keys(img, NULL, &found);
	assert_int_equal(found.n, live.n);
	assert_string_equal(at(&found, 512 * 7 + REGF_BASE + build.key[2].off)->path,
			    "/Control/disk");
	assert_string_equal(found.v[0].channel, "registry");
	image_free(img);
	image_free(hive);
}

/* The root's own cell is gone: paths begin at the highest key that is there, and say so. */
static void paths_go_as_far_up_as_parents_survive(void **state)
{
	struct image *hive = small(), *img;
	char path[64];

	(void)state;
	memset(hive->buf + REGF_BASE + build.key[0].off, 0xee, 80);
	img = in_noise(hive, 4096);
	carve_keys(img, NULL, &found);
	snprintf(path, sizeof(path), "/$orphans/%u/Control/disk", build.key[1].off);
	assert_string_equal(at(&found, 4096 + REGF_BASE + build.key[2].off)->path, path);
	image_free(img);
	image_free(hive);
}

/* Free space ends in the middle of a bin: what is behind belongs to a file that lives. */
static void nothing_is_taken_from_where_nobody_may_look(void **state)
{
	struct image *hive = small(), *img = in_noise(hive, 0);
	uint64_t end = REGF_BASE + build.key[3].off;
	struct ranges where = {0};

	(void)state;
	assert_int_equal(ranges_add(&where, 0, end, GRADE_DOUBTFUL, LAYER_UNKNOWN), 0);
	carve_keys(img, &where, &found);
	assert_true(found.n > 0);
	for (size_t i = 0; i < found.n; i++)
		assert_true(found.v[i].off < end);
	ranges_free(&where);
	image_free(img);
	image_free(hive);
}

/* Cells that an event of a key rests on; @big: its data is in too many to say. */
struct rests {
	uint64_t off[512], len[512];
	size_t n;
	bool big;
	const struct regf *h;
};

static void add_rest(struct rests *r, uint64_t off, uint64_t len)
{
	r->big |= r->n == 512;
	if (r->n < 512) {
		r->off[r->n] = off;
		r->len[r->n++] = len;
	}
}

static int add_value(void *arg, uint32_t off)
{
	struct rests *r = arg;
	struct span s = regf_cell(r->h, off, NULL);
	struct regf_data d;

	if (!regf_vk(r->h, off))
		return 0;
	add_rest(r, s.addr - 4, s.len + 4);
	assert_int_equal(regf_data(r->h, off, &d), 0);
	add_rest(r, d.at - 4, d.at_len + 4);
	r->big |= d.len > 16344;
	regf_data_free(&d);
	return 0;
}

static void rests_of(const struct regf *h, uint32_t off, struct rests *r)
{
	const struct regf_nk *nk = regf_nk(h, off);
	struct span s = regf_cell(h, off, NULL);

	r->n = 0;
	r->big = false;
	r->h = h;
	add_rest(r, s.addr - 4, s.len + 4);
	s = le32(nk->values) ? regf_cell(h, le32(nk->value_list), NULL) : (struct span){0};
	if (s.p)
		add_rest(r, s.addr - 4, s.len + 4);
	regf_each_value(h, off, add_value, r);
}

static bool hit(const struct rests *r, size_t n, const uint64_t *sector, size_t k)
{
	for (size_t i = 0; i < n; i++)
		for (size_t s = 0; s < k; s++)
			if (r->off[i] < sector[s] + 512 && sector[s] < r->off[i] + r->len[i])
				return true;
	return false;
}

/* Keys whose cell survives are there, with their values if those do; and no key is made up. */
static void compare_with(const struct keys *all, const struct rests *rests, const struct keys *left,
			 uint64_t base, const uint64_t *sector, size_t k, bool values,
			 const char *what)
{
	for (size_t i = 0; i < left->n; i++)
		if (!at(all, left->v[i].off - base))
			fail_msg("%s: %s was made up", what, left->v[i].path);
	for (size_t i = 0; i < all->n; i++) {
		const struct key *was = &all->v[i], *is;

		if (hit(&rests[i], 1, sector, k))
			continue;
		is = at(left, was->off + base);
		if (!is)
			fail_msg("%s: %s is gone", what, was->path);
		if (i && strcmp(name_of(is), name_of(was)))
			fail_msg("%s: %s has become %s", what, was->path, is->path);
		if (values && !rests[i].big && !hit(&rests[i], rests[i].n, sector, k) &&
		    strcmp(is->values ? is->values : "", was->values ? was->values : ""))
			fail_msg("%s: %s had %s, has %s", what, was->path, was->values, is->values);
	}
}

/* @k sectors of a real hive are zeroed, and it is read, and carved. */
static void destroy(struct image *img, const struct rests *rests, unsigned seed, size_t k)
{
	struct image *raw;
	uint64_t sector[64] = {0};
	uint8_t saved[64][512];
	bool heads = false;
	char what[64];

	srand(seed);
	for (size_t i = 0; i < k; i++) {
		sector[i] = 512 * (uint64_t)(1 + (size_t)rand() % (img->len / 512 - 1));
		memcpy(saved[i], img->buf + sector[i], 512);
		for (size_t b = 0; b < 512; b += 32)
			heads |= !memcmp(saved[i] + b, "hbin", 4);
		memset(img->buf + sector[i], 0, 512);
	}
	snprintf(what, sizeof(what), "seed %u, %zu sectors", seed, k);
	read_keys(img, &found);
	compare_with(&live, rests, &found, 0, sector, k, true, what);
	if (!heads) {
		raw = in_noise(img, 8192);
		carve_keys(raw, NULL, &found);
		compare_with(&live, rests, &found, 8192, sector, k, true, what);
		image_free(raw);
	}
	for (size_t i = k; i-- > 0;)
		memcpy(img->buf + sector[i], saved[i], 512);
}

static void zeroed_sectors_cost_only_the_keys_they_held(void **state)
{
	static const char *const hive[] = {"registry/regipy-BCD.xz", "registry/plaso-SAM.xz",
					   "registry/ezreg-UsrClassDeletedBags.dat.xz"};
	static const size_t many[] = {1, 4, 16, 64};

	(void)state;
	for (size_t i = 0; i < sizeof(hive) / sizeof(*hive); i++) {
		const char *path = corpus_file(hive[i]);
		struct image *img = path ? image_file(path) : NULL;
		struct rests *rests;

		if (!img)
			skip();
		rests = calloc(KEYS, sizeof(*rests));
		assert_non_null(rests);
		read_keys(img, &live);
		assert_true(live.n > 30);
		for (size_t n = 0; n < live.n; n++)
			rests_of(regf_of(img->top), (uint32_t)(live.v[n].off - REGF_BASE),
				 &rests[n]);
		for (unsigned seed = 1; seed <= 200; seed++)
			destroy(img, rests, seed, many[seed % 4]);
		free(rests);
		image_free(img);
	}
	corpus_file(NULL);
}

/* Any byte wrong, any length: survived, as it is for a hive and for bins. */
static void any_byte_may_be_wrong(void **state)
{
	struct image *hive = small();
	size_t len = REGF_BASE + build.used;

	(void)state;
	for (size_t i = REGF_BASE; i < len; i += 3) {
		uint8_t was = hive->buf[i];

		hive->buf[i] ^= (uint8_t)(1 << i % 8);
		carve_keys(hive, NULL, &found);
		hive->buf[i] = was;
	}
	for (size_t n = REGF_BASE; n < len; n += 61) {
		struct image *cut = image_new(n);

		memcpy(cut->buf, hive->buf, n);
		carve_keys(cut, NULL, &found);
		image_free(cut);
	}
	forget(&found);
	forget(&live);
	image_free(hive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hive_gives_its_keys_with_values_as_events),
		cmocka_unit_test(a_hive_that_no_file_has_is_carved_whole),
		cmocka_unit_test(bins_alone_give_their_keys),
		cmocka_unit_test(paths_go_as_far_up_as_parents_survive),
		cmocka_unit_test(nothing_is_taken_from_where_nobody_may_look),
		cmocka_unit_test(zeroed_sectors_cost_only_the_keys_they_held),
		cmocka_unit_test(any_byte_may_be_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
