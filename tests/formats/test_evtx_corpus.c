/* SPDX-License-Identifier: Apache-2.0 */
/* Real logs: counts of the corpus's manifest, and every value as evtxexport and python-evtx give it. */
#include <stdio.h>
#include <unistd.h>

#include "formats/drivers.h"
#include "formats/log/binxml.h"
#include "formats/log/evtx.h"
#include "tests/lib/corpus.h"
#include "vdiskck/core/json.h"

struct truth {
	char path[300];
	unsigned flags, pass, fail, ids;
	bool header_bad;
};

/* The next EVTX log of the manifest. */
static bool next_truth(FILE *f, struct truth *t)
{
	char line[4096];

	while (fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, "flags 0x");

		if (strncmp(line, "evtx/", 5) || !strstr(line, ".evtx.xz\t") || !at)
			continue;
		*t = (struct truth){.header_bad = strstr(line, "header CRC BAD")};
		snprintf(t->path, sizeof(t->path), "%.*s", (int)strcspn(line, "\t"), line);
		sscanf(at, "flags 0x%x", &t->flags);
		at = strstr(line, "chunks present ");
		sscanf(at, "chunks present %*u: %u pass both CRCs, %u fail", &t->pass, &t->fail);
		at = strstr(line, "record ids in chunk headers ");
		sscanf(at, "record ids in chunk headers %u", &t->ids);
		return true;
	}
	return false;
}

struct count {
	unsigned n[LOG_CARVED + 1];
	bool content;
};

static int on_event(void *arg, const struct log_event *e)
{
	struct count *c = arg;
	struct json *j = js_parse(e->data.p, e->data.len);

	assert_non_null(j);
	assert_non_null(js_get(j, e->failed & LOG_CONTENT ? "#values" : "System"));
	js_free(j);
	c->n[e->state]++;
	c->content |= e->failed & LOG_CONTENT && e->state == LOG_INTACT;
	assert_true(e->time.known);
	assert_true(e->has_event_id || e->state != LOG_INTACT);
	return 0;
}

static void check_one(const struct truth *t, struct image *img)
{
	struct count c = {.content = false};
	struct log_sink sink = {.arg = &c, .event = on_event};
	bool intact = !t->fail || t->flags & EVTX_NO_SUM;

	image_check(img, &evtx_ops);
	assert_int_equal(img->err, 0);
	if (intact)
		assert_clean(img);
	else
		assert_true(image_worse(img, DAMAGE));
	assert_int_equal(evtx_log.records(img->top, &sink), 0);
	assert_false(c.content);
	if (intact) {
		assert_int_equal(c.n[LOG_INTACT], t->ids);
		assert_int_equal(c.n[LOG_DOUBTFUL], 0);
	} else {
		assert_true(c.n[LOG_DOUBTFUL]);
	}
}

/* The log and what we make of it, for evtx-compare. */
static void put_xml(struct image *img, const char *dir, unsigned i)
{
	struct log_run *run = log_run_new();
	struct bx *x = bx_new(log_run_templates(run));
	const struct evtx *v = img->top->priv;
	uint8_t *buf = malloc(EVTX_CHUNK);
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%u.evtx", dir, i);
	image_write(img, path);
	snprintf(path, sizeof(path), "%s/%u.xml", dir, i);
	f = fopen(path, "w");
	assert_non_null(f);
	for (uint64_t k = 0; k < v->chunks; k++) {
		struct evtx_chunk c;
		struct evtx_frame r;
		struct buf out = {0};
		size_t off = 0;

		assert_int_equal(evtx_chunk_read(img->top, k, buf, NULL, &c), 0);
		if (c.empty)
			continue;
		bx_chunk(x, &(struct bx_chunk){buf, c.len, evtx_chunk_sound(&c)});
		while (evtx_chunk_record(&c, &off, &r)) {
			out.len = 0;
			bx_xml(x, r.off + sizeof(struct evtx_record_header),
			       r.len - sizeof(struct evtx_record_header) - 4, &out);
			fprintf(f, "<R id=\"%llu\">%.*s</R>\n", (unsigned long long)r.id,
				(int)out.len, out.p);
		}
		buf_free(&out);
	}
	fclose(f);
	bx_free(x);
	log_run_free(run);
	free(buf);
}

static FILE *manifest(void)
{
	const char *corpus = getenv("CORPUS");
	char path[512];

	if (!corpus)
		return NULL;
	snprintf(path, sizeof(path), "%s/MANIFEST.tsv", corpus);
	return fopen(path, "r");
}

static void compare(const char *dir, const char *tool, const char *with)
{
	char command[256];

	snprintf(
		command, sizeof(command),
		"command -v %s >/dev/null || exit 0; timeout 1800 tests/formats/evtx-compare %s %s",
		tool, dir, with);
	assert_int_equal(system(command), 0);
}

static void intact_logs_are_clean_complete_and_read_as_others_read_them(void **state)
{
	char dir[] = "/tmp/vdiskck-evtx-XXXXXX", few[] = "/tmp/vdiskck-evtx-XXXXXX", command[256];
	FILE *f = manifest();
	struct truth t;
	unsigned n = 0;

	(void)state;
	if (!f)
		skip();
	assert_non_null(mkdtemp(dir));
	assert_non_null(mkdtemp(few));
	while (next_truth(f, &t)) {
		const char *path = corpus_file(t.path);
		struct image *img = image_file(path);

		check_one(&t, img);
		put_xml(img, dir, n);
		/* python-evtx takes minutes for all. It reads some logs that evtxexport does not. */
		if ((getenv("EVTX_ALL") && !t.fail) || strstr(t.path, "MSExchange") ||
		    strstr(t.path, "Defender_threat") || strstr(t.path, "TestLogX") ||
		    strstr(t.path, "Firewall_disabled") || strstr(t.path, "BitsClient") ||
		    strstr(t.path, "dns_log"))
			put_xml(img, few, n);
		image_free(img);
		n++;
	}
	fclose(f);
	assert_int_equal(n, 178);
	compare(dir, "evtxexport", "");
	compare(few, "evtx_dump.py", "python-evtx");
	snprintf(command, sizeof(command), "rm -rf %s %s", dir, few);
	assert_int_equal(system(command), 0);
	corpus_file(NULL);
}

static int count_carved(void *arg, const struct log_event *e)
{
	unsigned *n = arg;

	assert_int_equal(e->state, LOG_CARVED);
	*n += e->record_id <= 5009 && !e->failed;
	return 0;
}

static void carving_a_log_finds_what_reading_it_does(void **state)
{
	const char *path = corpus_file("evtx/plaso-System.evtx.xz");
	unsigned n = 0;
	struct log_sink sink = {.arg = &n, .event = count_carved};
	struct image *img;

	(void)state;
	if (!path)
		skip();
	img = image_file(path);
	image_open(img, &evtx_ops);
	assert_int_equal(log_carve(img->top, NULL, &sink), 0);
	assert_int_equal(n, 5009);
	image_free(img);
	corpus_file(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(intact_logs_are_clean_complete_and_read_as_others_read_them),
		cmocka_unit_test(carving_a_log_finds_what_reading_it_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
