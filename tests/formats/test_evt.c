/* SPDX-License-Identifier: Apache-2.0 */
/* Classic event logs: built here, and the specimen of the corpus. */
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "tests/lib/corpus.h"
#include "vdiskck/core/json.h"

enum { RECORDS = 30, HEADER = 48, FIRST = 100 };

static size_t put_record(uint8_t *p, uint32_t number)
{
	static const uint16_t names[] = u"TestApp\0NODE16\0one\0two <2>";
	uint32_t strings = 56 + 30, data = 56 + sizeof(names), len = (data + 5 + 3 + 4 + 3) & ~3u;
	uint32_t head[] = {len,
			   0x654c664c,
			   number,
			   1600000000 + number,
			   1600000001 + number,
			   0x40000000 + number,
			   2 | 2 << 16,
			   7,
			   0,
			   strings,
			   0,
			   0,
			   5,
			   data};

	memset(p, 0, len);
	memcpy(p, head, sizeof(head));
	memcpy(p + 56, names, sizeof(names));
	memcpy(p + data, "\1\2\3\4\5", 5);
	memcpy(p + len - 4, &len, 4);
	return len;
}

static struct image *build(size_t at[RECORDS])
{
	static const uint32_t end[10] = {40,	     0x11111111, 0x22222222, 0x33333333,
					 0x44444444, HEADER,	 0,	     FIRST + RECORDS,
					 FIRST,	     40};
	struct image *img = image_new(64 << 10);
	uint32_t header[12] = {48,    0x654c664c, 1, 1, HEADER, 0, FIRST + RECORDS,
			       FIRST, 64 << 10,	  0, 0, 48};
	size_t off = HEADER;

	for (uint32_t i = 0; i < RECORDS; i++) {
		at[i] = off;
		off += put_record(img->buf + off, FIRST + i);
	}
	header[5] = (uint32_t)off;
	memcpy(img->buf, header, sizeof(header));
	memcpy(img->buf + off, end, sizeof(end));
	return img;
}

struct got {
	unsigned n;
	uint64_t last;
	enum log_state state;
	char data[512], provider[64], computer[64], level[32];
};

static int keep(void *arg, const struct log_event *e)
{
	struct got *g = arg;

	g->n++;
	g->last = e->record_id;
	g->state = e->state;
	snprintf(g->data, sizeof(g->data), "%.*s", (int)e->data.len, e->data.p);
	snprintf(g->provider, sizeof(g->provider), "%.*s", (int)e->provider.len, e->provider.p);
	snprintf(g->computer, sizeof(g->computer), "%.*s", (int)e->computer.len, e->computer.p);
	snprintf(g->level, sizeof(g->level), "%.*s", (int)e->level.len, e->level.p);
	return 0;
}

static struct got read_log(struct image *img, bool carve)
{
	struct got g = {.n = 0};
	struct log_sink sink = {.arg = &g, .event = keep};

	image_open(img, &evt_ops);
	assert_int_equal(img->err, 0);
	if (carve)
		assert_int_equal(log_carve(img->top, NULL, &sink), 0);
	else
		assert_int_equal(evt_log.records(img->top, &sink), 0);
	return g;
}

static void records_say_what_was_logged(void **state)
{
	size_t at[RECORDS];
	struct image *img = build(at);
	struct got g = read_log(img, false);

	(void)state;
	assert_int_equal(g.n, RECORDS);
	assert_int_equal(g.last, FIRST + RECORDS - 1);
	assert_string_equal(g.provider, "TestApp");
	assert_string_equal(g.computer, "NODE16");
	assert_string_equal(g.level, "warning");
	assert_string_equal(g.data,
			    "{\"EventIdentifier\":1073741953,\"Category\":7,\"TimeGenerated\":"
			    "\"2020-09-13T12:28:49Z\",\"Strings\":[\"one\",\"two <2>\"],"
			    "\"Data\":\"0102030405\"}");
	g = read_log(img, true);
	assert_int_equal(g.n, RECORDS);
	assert_int_equal(g.state, LOG_CARVED);
	image_discover(img);
	assert_string_equal(img->top->name, "evt");
	assert_clean(img);
	image_free(img);
}

static void a_lost_record_costs_only_itself(void **state)
{
	size_t at[RECORDS];
	struct image *img = build(at);

	(void)state;
	image_poke(img, at[5] + 4, "x", 1);
	memset(img->buf, 0, HEADER);
	image_check(img, &evt_ops);
	assert_finding(img, EVT_HEADER_LOST, 0);
	assert_finding(img, EVT_RECORD_LOST, at[5]);
	assert_int_equal(image_first(img, EVT_RECORD_LOST)->fact.len, at[6] - at[5]);
	assert_int_equal(image_seen(img, EVT_IDS_MISSING, ANYWHERE), 1);
	assert_int_equal(read_log(img, false).n, RECORDS - 1);
	image_discover(img);
	assert_string_equal(img->top->name, "evt");
	image_free(img);
}

static void an_open_log_is_no_damage(void **state)
{
	size_t at[RECORDS];
	struct image *img = build(at);

	(void)state;
	image_poke(img, 36, "\1", 1);
	image_check(img, &evt_ops);
	assert_finding(img, EVT_OPEN, 36);
	assert_clean(img);
	image_free(img);
}

static void a_record_may_go_on_behind_the_header(void **state)
{
	struct image *img = image_new(256 << 10);
	uint32_t header[12] = {48, 0x654c664c, 1, 1, HEADER, 0, 0, 0, 256 << 10, 0, 0, 48};
	uint8_t one[512];
	size_t len = put_record(one, 1), off, number = 2;

	(void)state;
	/* The newest begins 60 bytes before the end. */
	memcpy(img->buf, header, sizeof(header));
	memcpy(img->buf + HEADER, one + 60, len - 60);
	for (off = HEADER + len - 60; off + 2 * len + 60 <= img->len; number++)
		off += put_record(img->buf + off, (uint32_t)number);
	image_resize(img, off + 60);
	put_record(one, (uint32_t)number);
	memcpy(img->buf + off, one, 60);
	memcpy(img->buf + HEADER, one + 60, len - 60);
	assert_int_equal(read_log(img, false).last, number);
	assert_int_equal(read_log(img, false).n, number - 1);
	image_free(img);
}

static void any_byte_may_be_wrong(void **state)
{
	size_t at[RECORDS];
	struct image *img = build(at);

	(void)state;
	for (size_t i = 0; i < at[3]; i++) {
		img->buf[i] ^= 0xff;
		image_check(img, &evt_ops);
		if (!img->err)
			assert_true(read_log(img, false).n >= RECORDS - 2);
		img->buf[i] ^= 0xff;
	}
	while (img->len) {
		image_resize(img, img->len > 97 ? img->len - 97 : 0);
		image_check(img, &evt_ops);
	}
	image_free(img);
}

static void the_specimen_has_five_records(void **state)
{
	const char *path = corpus_file("evtx/dissect-TestLog.evt.xz");
	struct image *img;
	struct got g;

	(void)state;
	if (!path)
		skip();
	img = image_file(path);
	image_check(img, &evt_ops);
	assert_clean(img);
	g = read_log(img, false);
	assert_int_equal(g.n, 5);
	assert_string_equal(g.provider, "TestApp");
	assert_string_equal(g.level, "audit success");
	assert_non_null(strstr(g.data, "Test log entry, success audit"));
	image_free(img);
	corpus_file(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_say_what_was_logged),
		cmocka_unit_test(a_lost_record_costs_only_itself),
		cmocka_unit_test(an_open_log_is_no_damage),
		cmocka_unit_test(a_record_may_go_on_behind_the_header),
		cmocka_unit_test(any_byte_may_be_wrong),
		cmocka_unit_test(the_specimen_has_five_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
