/* SPDX-License-Identifier: Apache-2.0 */
/* EVTX logs of our own: read, checked, damaged, carved. */
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/log/binxml.h"
#include "formats/log/evtx.h"
#include "tests/lib/corpus.h"
#include "tests/lib/evtx_build.h"
#include "tests/lib/image.h"
#include "vdiskck/core/json.h"

enum { FIRST = 1000, RECORDS = 1200 };

static const struct evtx_spec plain = {
	.first_id = FIRST, .records = RECORDS, .seed = 1, .channel = "System", .spare = 1};

/* What a reader gave: one entry per event. */
struct got {
	struct event {
		uint64_t id, off;
		struct log_time written;
		enum log_state state;
		unsigned failed;
		uint64_t event_id;
		char *data, channel[64];
	} * v;
	size_t n;
	struct log_ledger *ledger;
};

static int keep(void *arg, const struct log_event *e)
{
	struct got *g = arg;
	struct event *v = realloc(g->v, (g->n + 1) * sizeof(*v));

	assert_non_null(v);
	g->v = v;
	v = &g->v[g->n++];
	*v = (struct event){e->record_id, e->off,      e->written, e->state,
			    e->failed,	  e->event_id, NULL,	   ""};
	v->data = strndup(e->data.p ? e->data.p : "", e->data.len);
	snprintf(v->channel, sizeof(v->channel), "%.*s", (int)e->channel.len, e->channel.p);
	return 0;
}

static void forget(struct got *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->v[i].data);
	free(g->v);
	ledger_free(g->ledger);
	*g = (struct got){0};
}

static struct image *build(const struct evtx_spec *spec)
{
	struct image *img = image_new(0);

	free(img->buf);
	img->buf = evtx_build(spec, &img->len);
	return img;
}

static struct got read_log(struct image *img, bool slack)
{
	struct got g = {.ledger = ledger_new()};
	struct log_sink sink = {.arg = &g, .event = keep, .slack = slack, .ledger = g.ledger};

	image_open(img, &evtx_ops);
	assert_int_equal(img->err, 0);
	assert_int_equal(evtx_log.records(img->top, &sink), 0);
	return g;
}

static struct got carve(struct image *img, struct log_run *run)
{
	struct got g = {.ledger = ledger_new()};
	struct log_sink sink = {.arg = &g, .event = keep, .ledger = g.ledger, .run = run};
	struct layer *source;
	struct session s;

	session_init(&s);
	source = memory_source(&s, "carved", img->buf, img->len);
	assert_int_equal(log_carve(source, NULL, &sink), 0);
	layer_free(source);
	session_fini(&s);
	return g;
}

static const struct event *event_of(const struct got *g, uint64_t id)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->v[i].id == id)
			return &g->v[i];
	return NULL;
}

static int count_missing(void *arg, const struct ledger_channel *c, uint64_t first, uint64_t last)
{
	(void)c;
	*(uint64_t *)arg += last - first + 1;
	return 0;
}

static uint64_t missing(const struct got *g)
{
	uint64_t n = 0;

	ledger_walk(g->ledger, NULL, count_missing, &n);
	return n;
}

/* Is the data what a record of this id says? */
static bool says(const struct event *e, unsigned seed)
{
	struct json *j = js_parse(e->data, strlen(e->data)), *data, *system;
	char want[200];
	bool ok;

	if (!j)
		return false;
	evtx_build_text(e->id, seed, want);
	system = js_get(j, "System");
	data = js_get(j, e->id % EVTX_BUILD_KINDS == 2 ? "UserData" : "EventData");
	ok = system && data && js_get(data, "text") && !strcmp(js_text(js_get(data, "text")), want);
	js_free(j);
	return ok;
}

static void every_record_is_given_in_order(void **state)
{
	struct image *img = build(&plain);
	struct got g = read_log(img, true);

	(void)state;
	assert_int_equal(g.n, RECORDS);
	for (size_t i = 0; i < g.n; i++) {
		const struct event *e = &g.v[i];
		struct log_time t = log_filetime(evtx_build_time(e->id));

		assert_int_equal(e->id, FIRST + i);
		assert_int_equal(e->state, LOG_INTACT);
		assert_int_equal(e->event_id, 1000 + e->id % EVTX_BUILD_KINDS);
		assert_int_equal(e->written.sec, t.sec);
		assert_int_equal(e->written.nsec, t.nsec);
		assert_string_equal(e->channel, "System");
		assert_memory_equal(img->buf + e->off, "**\0", 4);
		assert_true(says(e, 1));
	}
	assert_int_equal(missing(&g), 0);
	forget(&g);
	image_free(img);
}

static void a_sound_log_is_clean_and_known(void **state)
{
	struct image *img = build(&plain);

	(void)state;
	image_check(img, &evtx_ops);
	assert_int_equal(img->n_seen, 0);
	image_discover(img);
	assert_non_null(img->top);
	assert_string_equal(img->top->name, "evtx");
	assert_int_equal(img->top->ops->kind, LAYER_LOG);
	assert_clean(img);
	image_free(img);
}

static void every_type_of_value_has_its_form(void **state)
{
	struct image *img = build(&plain);
	struct got g = read_log(img, false);

	(void)state;
	assert_non_null(strstr(g.v[1].data, "\"number\":3003,\"who\":\"S-1-5-32-544\",\"id\":\""
					    "{00000201-0000-0500-2000-000020020000}\""));
	assert_non_null(
		strstr(g.v[1].data, "\"Security\":{\"#attributes\":{\"UserID\":\"S-1-5-18\"}}"));
	assert_non_null(strstr(g.v[0].data, "\"Security\":null"));
	assert_non_null(strstr(g.v[0].data, "\"EventID\":1000,"));
	assert_non_null(strstr(g.v[0].data, "\"Keywords\":\"0x8000000000000000\""));
	assert_non_null(strstr(g.v[2].data, "\"signed\":-1002,\"flag\":true,\"blob\":"
					    "\"010200000000000520\""));
	assert_non_null(strstr(g.v[3].data,
			       "\"Data\":[\"one\",\"two\"],\"when\":\"2022-03-04T05:06:07.008Z\""));
	forget(&g);
	image_free(img);
}

struct texts {
	struct buf b;
	size_t n;
};

static int render(void *arg, const struct log_event *e, struct buf *out)
{
	(void)arg;
	log_json(out, e);
	return 0;
}

static int take_text(void *arg, const char *p, size_t len)
{
	struct texts *t = arg;

	buf_put(&t->b, p, len);
	t->n++;
	return 0;
}

static void many_threads_give_what_one_gives(void **state)
{
	struct evtx_spec spec = plain;
	struct texts one = {.n = 0}, many = {.n = 0};
	struct log_sink sink = {.arg = &one, .render = render, .text = take_text, .jobs = 1};
	struct image *img;

	(void)state;
	spec.per_chunk = 20;
	img = build(&spec);
	image_open(img, &evtx_ops);
	assert_int_equal(evtx_log.records(img->top, &sink), 0);
	sink.arg = &many;
	sink.jobs = 4;
	assert_int_equal(evtx_log.records(img->top, &sink), 0);
	assert_int_equal(one.b.len, many.b.len);
	assert_memory_equal(one.b.p, many.b.p, one.b.len);
	buf_free(&one.b);
	buf_free(&many.b);
	image_free(img);
}

static void lost_headers_cost_no_record(void **state)
{
	struct image *img = build(&plain);
	struct got g;

	(void)state;
	memset(img->buf, 0, EVTX_FILE_HEADER);
	memset(img->buf + EVTX_FILE_HEADER, 0, EVTX_CHUNK_DATA);
	image_check(img, &evtx_ops);
	assert_finding(img, EVTX_HEADER_LOST, 0);
	assert_finding(img, EVTX_CHUNK_LOST, EVTX_FILE_HEADER);
	assert_int_equal(image_worse(img, DAMAGE), 2);
	image_discover(img);
	assert_string_equal(img->top->name, "evtx");
	g = read_log(img, false);
	assert_int_equal(g.n, RECORDS);
	for (size_t i = 0; i < g.n; i++) {
		bool first = g.v[i].off < EVTX_FILE_HEADER + EVTX_CHUNK;

		assert_int_equal(g.v[i].state, first ? LOG_DOUBTFUL : LOG_INTACT);
		assert_true(says(&g.v[i], 1));
	}
	assert_int_equal(missing(&g), 0);
	forget(&g);
	image_free(img);
}

/* The place of record @id. */
static uint64_t place(const struct got *g, uint64_t id)
{
	assert_non_null(event_of(g, id));
	return event_of(g, id)->off;
}

static void each_fault_has_its_finding(void **state)
{
	struct evtx_spec spec = plain;
	const uint64_t chunk = EVTX_FILE_HEADER;
	struct image *img = build(&plain);
	struct got g = read_log(img, false);
	uint64_t at = place(&g, FIRST + 5), next = place(&g, FIRST + 6);

	(void)state;
	image_poke(img, 30, "\1", 1);
	image_check(img, &evtx_ops);
	assert_finding(img, EVTX_HEADER_SUM, 124);
	image_poke(img, 30, "\0", 1);

	image_poke(img, chunk + 200, "\x55", 1);
	image_check(img, &evtx_ops);
	assert_finding(img, EVTX_CHUNK_SUM, chunk);
	evtx_build_sums(img->buf, 0);

	image_poke(img, at + 60, "\x55", 1);
	image_check(img, &evtx_ops);
	assert_finding(img, EVTX_DATA_SUM, chunk + 52);
	assert_int_equal(image_first(img, EVTX_DATA_SUM)->fact.off, chunk + EVTX_CHUNK_DATA);
	assert_true(image_first(img, EVTX_DATA_SUM)->fact.doubtful);

	/* A record that is none: its bytes are lost, and its id is missing. */
	image_poke(img, at, "\0\0", 2);
	image_check(img, &evtx_ops);
	assert_finding(img, EVTX_RECORD_LOST, at);
	assert_int_equal(image_first(img, EVTX_RECORD_LOST)->fact.len, next - at);
	assert_int_equal(image_seen(img, EVTX_IDS_MISSING, ANYWHERE), 1);
	forget(&g);
	g = read_log(img, false);
	assert_int_equal(g.n, RECORDS - 1);
	assert_int_equal(missing(&g), 1);
	forget(&g);
	image_free(img);

	img = build(&plain);
	image_le64(img, at + 8, FIRST + 77);
	evtx_build_sums(img->buf, 0);
	image_check(img, &evtx_ops);
	assert_finding(img, EVTX_RECORD_ORDER, at + 8);
	image_free(img);

	img = build(&plain);
	image_resize(img, img->len - 5 * EVTX_CHUNK / 2);
	image_check(img, &evtx_ops);
	assert_finding(img, EVTX_CUT, 42);
	assert_true(image_seen(img, EVTX_IDS_MISSING, ANYWHERE));
	image_free(img);

	img = build(&plain);
	memset(img->buf + chunk + EVTX_CHUNK, 0, EVTX_CHUNK);
	image_check(img, &evtx_ops);
	assert_finding(img, EVTX_CHUNKS_MISSING, 42);
	assert_true(image_seen(img, EVTX_IDS_MISSING, ANYWHERE));
	image_free(img);

	/* A template's element that is closed twice: written like that, if the sums hold. */
	img = build(&plain);
	g = read_log(img, false);
	at = place(&g, FIRST) + 24 + 14 + 24;
	assert_int_equal(img->buf[at], 0x0f);
	image_poke(img, at, "\x04", 1);
	evtx_build_sums(img->buf, 0);
	image_check(img, &evtx_ops);
	assert_finding(img, EVTX_RECORD_CONTENT, place(&g, FIRST));
	assert_int_equal(image_worse(img, DAMAGE), 0);
	forget(&g);
	image_free(img);

	spec.flags = EVTX_NO_SUM;
	img = build(&spec);
	image_poke(img, 124, "\1", 1);
	image_check(img, &evtx_ops);
	assert_finding(img, EVTX_NO_SUMS, 120);
	assert_clean(img);
	image_free(img);
}

static void an_open_log_is_no_damage(void **state)
{
	struct evtx_spec spec = plain;
	struct image *img;
	uint64_t last;

	(void)state;
	spec.flags = EVTX_DIRTY;
	img = build(&spec);
	/* The header of a log that is open is as it was when the log was opened. */
	image_le64(img, 24, 7);
	image_poke(img, 42, "\1", 1);
	evtx_build_header_sum(img->buf);
	image_check(img, &evtx_ops);
	assert_finding(img, EVTX_OPEN, 120);
	assert_clean(img);
	/* Its newest chunk has a sum of before the last record. */
	last = img->len - 2 * EVTX_CHUNK;
	assert_memory_equal(img->buf + last, "ElfChnk", 8);
	image_poke(img, last + EVTX_CHUNK_DATA + 60, "\x55", 1);
	image_check(img, &evtx_ops);
	assert_finding(img, EVTX_CHUNK_UNFINISHED, last + 52);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	image_free(img);
}

static void slack_gives_what_is_not_live(void **state)
{
	struct evtx_spec spec = plain, old = plain;
	struct image *img, *before;
	struct evtx_chunk_header *h;
	struct got g;
	size_t carved = 0;

	(void)state;
	/* A chunk of 20 records where one of 60 older ones was. */
	spec.per_chunk = 20;
	old.per_chunk = 60;
	old.first_id = 100;
	img = build(&spec);
	before = build(&old);
	h = (void *)(img->buf + EVTX_FILE_HEADER);
	memcpy(img->buf + EVTX_FILE_HEADER + le32(h->free_off),
	       before->buf + EVTX_FILE_HEADER + le32(h->free_off), EVTX_CHUNK - le32(h->free_off));
	/* And in another chunk, copies of its own live records. */
	h = (void *)(img->buf + EVTX_FILE_HEADER + EVTX_CHUNK);
	memcpy((uint8_t *)h + 49152, (uint8_t *)h + EVTX_CHUNK_DATA,
	       le32(h->free_off) < 16384 ? le32(h->free_off) - EVTX_CHUNK_DATA : 8192);
	image_check(img, &evtx_ops);
	assert_clean(img);
	g = read_log(img, true);
	for (size_t i = 0; i < g.n; i++) {
		if (g.v[i].state != LOG_CARVED)
			continue;
		carved++;
		assert_in_range(g.v[i].id, 100, 159);
		assert_true(says(&g.v[i], 1));
	}
	assert_in_range(carved, 30, 45);
	assert_int_equal(g.n, RECORDS + carved);
	forget(&g);
	image_free(img);
	image_free(before);
}

/* Sectors set to zero, in any log: what survives by a scan that knows nothing but the frame. */
static void destroy(unsigned seed, struct image *img, struct image *intact, const struct got *all)
{
	size_t sectors = img->len / 512, k = 1 + seed % 40;
	uint64_t least = UINT64_MAX, most = 0, gone = 0;
	struct got g;

	srand(seed);
	memcpy(img->buf, intact->buf, img->len);
	for (size_t i = 0; i < k; i++)
		memset(img->buf + (size_t)rand() % sectors * 512, 0, 512);
	g = read_log(img, false);
	for (size_t i = 0; i < all->n; i++) {
		const struct event *was = &all->v[i], *e = event_of(&g, was->id);
		uint32_t len;

		memcpy(&len, intact->buf + was->off + 4, 4);
		if (!memcmp(img->buf + was->off, intact->buf + was->off, len))
			assert_non_null(e);
		/* Untouched, and in a sound chunk or with a template that is found: all that it says. */
		if (e && e->state == LOG_INTACT)
			assert_string_equal(e->data, was->data);
		if (!e)
			continue;
		least = e->id < least ? e->id : least;
		most = e->id > most ? e->id : most;
	}
	/* None is invented: behind a lost header, what is there may be from the chunk's round before. */
	for (size_t i = 0; i < g.n; i++) {
		const struct event *was = event_of(all, g.v[i].id);
		struct evtx_frame f;

		assert_true(evtx_frame(intact->buf, intact->len, g.v[i].off, &f));
		/* Of one whose number is zeroed, none is known. */
		assert_true(f.id == g.v[i].id || (!g.v[i].id && g.v[i].failed & LOG_LOST));
		if (g.v[i].state != LOG_INTACT)
			continue;
		assert_non_null(was);
		assert_int_equal(was->off, g.v[i].off);
	}
	/* The ledger: ids that headers state, or that lie between others, and that are not there. */
	for (size_t c = EVTX_FILE_HEADER; c < img->len; c += EVTX_CHUNK) {
		struct evtx_chunk look = {.p = img->buf + c, .len = EVTX_CHUNK};

		evtx_chunk_look(&look);
		if (!look.header_ok)
			continue;
		least = look.first_id < least ? look.first_id : least;
		most = look.last_id > most ? look.last_id : most;
	}
	if (!memcmp(img->buf, intact->buf, 128))
		most = all->v[all->n - 1].id;
	for (uint64_t id = least; id <= most; id++)
		gone += !event_of(&g, id);
	assert_int_equal(missing(&g), gone);
	forget(&g);
}

static void sectors_that_are_lost_cost_only_their_own_records(void **state)
{
	struct evtx_spec spec = {
		.first_id = 50, .records = 400, .seed = 3, .channel = "Application"};
	struct image *intact = build(&spec), *img = build(&spec);
	struct got all = read_log(intact, false);

	(void)state;
	assert_int_equal(all.n, 400);
	for (unsigned seed = 0; seed < 200; seed++)
		destroy(seed, img, intact, &all);
	forget(&all);
	image_free(img);
	image_free(intact);
}

/* The same with logs of Windows. */
static void sectors_of_real_logs_cost_only_their_own_records(void **state)
{
	static const char *const log[] = {
		"evtx/attack-Credential_Access__etw_rpc_zerologon.evtx.xz",
		"evtx/attack-Execution__rogue_msi_url_1040_1042.evtx.xz",
		"evtx/omer-Security_with_size_t.evtx.xz",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(log) / sizeof(*log); i++) {
		const char *path = corpus_file(log[i]);
		struct image *intact, *img;
		struct got all;

		if (!path)
			skip();
		intact = image_file(path);
		img = image_file(path);
		all = read_log(intact, false);
		assert_true(all.n > 20);
		for (unsigned seed = 0; seed < 200; seed++)
			destroy(seed, img, intact, &all);
		forget(&all);
		image_free(img);
		image_free(intact);
	}
	corpus_file(NULL);
}

static void a_lost_template_is_taken_from_another_chunk(void **state)
{
	struct image *img = build(&plain);
	struct got all = read_log(img, false), g;

	(void)state;
	/* The first record brings the definitions of the first chunk. */
	memset(img->buf + EVTX_FILE_HEADER + EVTX_CHUNK_DATA, 0, 4096);
	g = read_log(img, false);
	assert_true(g.n < RECORDS && g.n > RECORDS - 20);
	for (size_t i = 0; i < g.n; i++)
		assert_true(says(&g.v[i], 1));
	assert_true(g.v[0].failed & LOG_FOREIGN);
	assert_int_equal(g.v[0].state, LOG_DOUBTFUL);
	forget(&g);
	forget(&all);
	image_free(img);
}

static void a_record_without_its_template_gives_raw_values(void **state)
{
	struct evtx_spec spec = plain;
	struct log_run *run = log_run_new();
	struct image *img, *other = build(&plain);
	struct got g;

	(void)state;
	spec.records = 60;
	img = build(&spec);
	memset(img->buf + EVTX_FILE_HEADER + EVTX_CHUNK_DATA, 0, 4096);
	g = read_log(img, false);
	assert_true(g.n > 40);
	for (size_t i = 0; i < g.n; i++) {
		struct json *j = js_parse(g.v[i].data, strlen(g.v[i].data));

		assert_non_null(j);
		assert_string_equal(js_text(js_get(j, "#template")), "0x00001000");
		assert_int_equal(js_len(js_get(j, "#values")), 20);
		assert_true(g.v[i].failed & LOG_CONTENT);
		assert_int_equal(g.v[i].event_id, 1000 + g.v[i].id % EVTX_BUILD_KINDS);
		js_free(j);
	}
	forget(&g);
	/* Another log of the run had it. */
	g = carve(other, run);
	forget(&g);
	g = carve(img, run);
	assert_true(g.n > 40);
	for (size_t i = 0; i < g.n; i++)
		assert_true(says(&g.v[i], 1));
	forget(&g);
	log_run_free(run);
	image_free(img);
	image_free(other);
}

static void noise(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(rand() >> 7);
}

static void records_are_carved_from_noise(void **state)
{
	struct image *log = build(&plain), *img = image_new(3 << 20);
	struct got all = read_log(log, false), g;
	uint64_t at = place(&all, FIRST + 10), end = place(&all, FIRST + 11);
	size_t whole = 0;

	(void)state;
	srand(5);
	noise(img->buf, img->len);
	/* A whole chunk across a window's end; half a chunk without its header; one record alone. */
	memcpy(img->buf + (1 << 20) - 4096, log->buf + EVTX_FILE_HEADER + EVTX_CHUNK, EVTX_CHUNK);
	memcpy(img->buf + (2 << 20), log->buf + EVTX_FILE_HEADER + EVTX_CHUNK_DATA, 32768);
	memcpy(img->buf + (5 << 19), log->buf + at, end - at);
	g = carve(img, NULL);
	for (size_t i = 0; i < g.n; i++) {
		assert_int_equal(g.v[i].state, LOG_CARVED);
		assert_non_null(event_of(&all, g.v[i].id));
		assert_string_equal(g.v[i].data, event_of(&all, g.v[i].id)->data);
		if (g.v[i].off < (1 << 20) + EVTX_CHUNK) {
			whole++;
			assert_int_equal(g.v[i].failed, 0);
		}
	}
	for (size_t i = 0; i < all.n; i++) {
		bool second = all.v[i].off >= EVTX_FILE_HEADER + EVTX_CHUNK &&
			      all.v[i].off < EVTX_FILE_HEADER + 2 * EVTX_CHUNK;

		whole -= second;
	}
	assert_int_equal(whole, 0);
	/* The last one had to wait for a template, and comes last. */
	assert_int_equal(g.v[g.n - 1].id, FIRST + 10);
	assert_int_equal(g.v[g.n - 1].off, 5 << 19);
	forget(&g);
	forget(&all);
	image_free(img);
	image_free(log);
}

static void content_that_breaks_off_is_left_out(void **state)
{
	uint8_t bytes[450] = {0};
	struct evtx_spec spec = plain;

	(void)state;
	spec.records = 12;
	spec.extra = bytes;
	/* Elements without end; then what begins like a template, of any length. */
	for (size_t i = 0; i < sizeof(bytes); i += 9)
		bytes[i] = 1;
	for (uint16_t len = sizeof(bytes); len; len = len > 64 ? 63 : len - 1) {
		struct image *img;
		struct got g;

		spec.extra_len = len;
		img = build(&spec);
		g = read_log(img, false);
		assert_int_equal(g.n, 12);
		assert_true(says(&g.v[3], 1));
		assert_true(g.v[3].failed & LOG_CONTENT);
		forget(&g);
		image_free(img);
		memset(bytes, 0x0c, sizeof(bytes));
	}
}

/* Instances of the template of kind 3, each the value of the one before it. */
static void nest(uint8_t *p, size_t len, const uint8_t *instance)
{
	enum { LEVEL = 30, VALUES = 4 };

	for (; len >= LEVEL; p += LEVEL, len -= LEVEL) {
		uint16_t rest = (uint16_t)(len - LEVEL);

		memset(p, 0, LEVEL);
		memcpy(p, instance, 10);
		p[10] = VALUES;
		memcpy(p + 26, &rest, 2);
		p[28] = 0x21;
	}
}

static void fragments_in_fragments_have_a_limit(void **state)
{
	uint8_t *bytes = calloc(1, 30000);
	struct evtx_spec spec = plain;
	struct image *img;
	struct got g;
	uint8_t *p;
	size_t depth = 0;

	(void)state;
	memset(bytes, 0xee, 30000);
	spec.records = 4;
	spec.extra = bytes;
	spec.extra_len = 30000;
	img = build(&spec);
	p = memmem(img->buf, img->len, "\x0c\x01\x04\x10\0\0", 6);
	assert_non_null(p);
	nest(memmem(img->buf, img->len, bytes, 30000), 30000, p);
	evtx_build_sums(img->buf, 0);
	g = read_log(img, false);
	assert_int_equal(g.n, 4);
	assert_true(g.v[3].failed & LOG_CONTENT);
	for (const char *at = g.v[3].data; (at = strstr(at, "\"more\"")); at++)
		depth++;
	assert_in_range(depth, 4, BX_NESTED);
	forget(&g);
	image_free(img);
	free(bytes);
}

static void exercise(struct image *img)
{
	struct got g = {0};

	image_check(img, &evtx_ops);
	if (img->err)
		return;
	g = read_log(img, true);
	for (size_t i = 0; i < g.n; i++) {
		struct json *j = js_parse(g.v[i].data, strlen(g.v[i].data));

		assert_non_null(j);
		js_free(j);
	}
	forget(&g);
}

static void any_length_is_survived(void **state)
{
	struct evtx_spec spec = plain;
	struct image *img;

	(void)state;
	spec.records = 20;
	spec.spare = 0;
	img = build(&spec);
	while (img->len) {
		size_t cut = img->len > 16384 ? 4093 : img->len > 5000 ? 61 : 509;

		image_resize(img, img->len > cut ? img->len - cut : 0);
		exercise(img);
	}
	image_free(img);
}

static void any_byte_may_be_wrong(void **state)
{
	struct evtx_spec spec = plain;
	struct image *img, *intact;

	(void)state;
	spec.records = 8;
	spec.spare = 0;
	intact = build(&spec);
	img = build(&spec);
	for (size_t i = EVTX_FILE_HEADER; i < EVTX_FILE_HEADER + 5000; i++) {
		memcpy(img->buf, intact->buf, img->len);
		img->buf[i] ^= (uint8_t)(1 + i % 255);
		if (i > EVTX_FILE_HEADER + EVTX_CHUNK_DATA && i & 1)
			evtx_build_sums(img->buf, 0);
		exercise(img);
	}
	image_free(img);
	image_free(intact);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_record_is_given_in_order),
		cmocka_unit_test(a_sound_log_is_clean_and_known),
		cmocka_unit_test(every_type_of_value_has_its_form),
		cmocka_unit_test(many_threads_give_what_one_gives),
		cmocka_unit_test(lost_headers_cost_no_record),
		cmocka_unit_test(each_fault_has_its_finding),
		cmocka_unit_test(an_open_log_is_no_damage),
		cmocka_unit_test(slack_gives_what_is_not_live),
		cmocka_unit_test(sectors_that_are_lost_cost_only_their_own_records),
		cmocka_unit_test(sectors_of_real_logs_cost_only_their_own_records),
		cmocka_unit_test(a_lost_template_is_taken_from_another_chunk),
		cmocka_unit_test(a_record_without_its_template_gives_raw_values),
		cmocka_unit_test(records_are_carved_from_noise),
		cmocka_unit_test(content_that_breaks_off_is_left_out),
		cmocka_unit_test(fragments_in_fragments_have_a_limit),
		cmocka_unit_test(any_length_is_survived),
		cmocka_unit_test(any_byte_may_be_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
