/* SPDX-License-Identifier: Apache-2.0 */
/* What all logs share: text, the JSON line, the ledger of ids. */
#include <stdio.h>
#include <time.h>

#include "formats/log/log.h"
#include "tests/lib/image.h"
#include "vdiskck/core/json.h"

static const char *json_of_utf16(const void *p, size_t units)
{
	static char text[256];
	struct buf b = {0};

	buf_json_utf16(&b, p, units);
	assert_false(b.failed);
	snprintf(text, sizeof(text), "%.*s", (int)b.len, b.p);
	buf_free(&b);
	return text;
}

static void utf16_becomes_the_inside_of_a_json_string(void **state)
{
	(void)state;
	assert_string_equal(json_of_utf16(u"plain text of 8 and more", 24),
			    "plain text of 8 and more");
	/* What has to be escaped is found in every place of a vector. */
	for (size_t i = 0; i < 16; i++) {
		uint16_t s[16];
		char want[32] = "aaaaaaaaaaaaaaaa";

		for (size_t k = 0; k < 16; k++)
			s[k] = k == i ? '"' : 'a';
		memmove(want + i + 2, want + i + 1, 16 - i);
		memcpy(want + i, "\\\"", 2);
		assert_string_equal(json_of_utf16(s, 16), want);
	}
	assert_string_equal(json_of_utf16(u"\x1\t\n\\/\x7f", 6), "\\u0001\\t\\n\\\\/\x7f");
	assert_string_equal(json_of_utf16(u"\xe9\x20ac\xd83d\xde00", 4),
			    "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	assert_string_equal(json_of_utf16(u"\xd83dx", 2), "\\ud83dx");
	assert_string_equal(json_of_utf16(u"x\xdc00", 2), "x\\udc00");
	assert_string_equal(json_of_utf16(u"\0a", 2), "\\u0000a");
}

static void bytes_that_are_not_utf8_stay_visible(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_json(&b, "a\xc3\xa9 long enough for a vector\"\xff\xed\xa0\x80\xf4\x90\x80\x80\n", 38);
	buf_char(&b, '\0');
	assert_string_equal(b.p,
			    "a\xc3\xa9 long enough for a vector\\\"\\\\xff\\\\xed\\\\xa0\\\\x80"
			    "\\\\xf4\\\\x90\\\\x80\\\\x80\\n");
	buf_free(&b);
}

static void numbers_are_written_as_printf_writes_them(void **state)
{
	static const uint64_t v[] = {0, 9, 10, 99, 100, 101, 12345, UINT32_MAX, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		struct buf b = {0};
		char want[64];

		buf_u64(&b, v[i]);
		buf_char(&b, ' ');
		buf_i64(&b, (int64_t)v[i]);
		buf_char(&b, ' ');
		buf_i64(&b, -(int64_t)(v[i] / 2) - 1);
		buf_char(&b, '\0');
		snprintf(want, sizeof(want), "%llu %lld %lld", (unsigned long long)v[i],
			 (long long)v[i], -(long long)(v[i] / 2) - 1);
		assert_string_equal(b.p, want);
		buf_free(&b);
	}
}

static const char *time_of(int64_t sec, uint32_t nsec)
{
	static char text[64];
	struct buf b = {0};

	log_json_time(&b, &(struct log_time){sec, nsec, true});
	snprintf(text, sizeof(text), "%.*s", (int)b.len, b.p);
	buf_free(&b);
	return text;
}

static void times_are_rfc_3339(void **state)
{
	char want[64];

	(void)state;
	assert_string_equal(time_of(1290311759, 626427100), "2010-11-21T03:55:59.6264271Z");
	assert_string_equal(time_of(253402300800, 0), "@253402300800");
	/* Each day of 400 years, before and after 1970. */
	for (int64_t day = -135000; day < 20000; day++) {
		time_t t = (time_t)(day * 86400 + 86399);
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%SZ", &tm);
		assert_string_equal(time_of(t, 0), want);
	}
}

static void times_are_read_as_they_are_written(void **state)
{
	static const char *const wrong[] = {"",
					    "2010-11-21",
					    "2010-13-21T03:55:59Z",
					    "2010-11-21T03:55:59x",
					    "2010-11-21T03:55:59.1x",
					    "2010-11-21T3:55:590Z"};
	struct log_time t;

	(void)state;
	for (int64_t sec = -2000000000; sec < 9000000000; sec += 7654321) {
		const char *text = time_of(sec, (uint32_t)(sec & 7) * 123456700 % 1000000000);

		assert_true(log_time_parse(text, strlen(text), &t));
		assert_int_equal(t.sec, sec);
		assert_int_equal(t.nsec, (uint32_t)(sec & 7) * 123456700 % 1000000000);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_false(log_time_parse(wrong[i], strlen(wrong[i]), &t));
}

static void filetimes_count_from_1601(void **state)
{
	struct log_time t = log_filetime(129347853596264271);

	(void)state;
	assert_int_equal(t.sec, 1290311759);
	assert_int_equal(t.nsec, 626427100);
	assert_false(log_filetime(0).known);
}

static void an_event_is_one_line_of_json(void **state)
{
	struct log_event e = {
		.time = {1290311759, 0, true},
		.source = "evtx",
		.channel = LOG_TEXT("System"),
		.provider = LOG_TEXT("a \"disk\""),
		.level = LOG_TEXT("warning"),
		.event_id = 153,
		.record_id = UINT64_MAX,
		.has_event_id = true,
		.has_record_id = true,
		.data = LOG_TEXT("{\"x\":[1]}"),
		.path = "/Logs/System.evtx",
		.off = 4608,
		.len = 200,
		.state = LOG_DOUBTFUL,
	};
	struct buf b = {0};
	struct json *j;

	(void)state;
	log_json(&b, &e);
	assert_int_equal(b.p[b.len - 1], '\n');
	j = js_parse(b.p, b.len);
	assert_non_null(j);
	assert_string_equal(js_text(js_get(j, "record")), "event");
	assert_string_equal(js_text(js_get(j, "provider")), "a \"disk\"");
	assert_string_equal(js_text(js_get(j, "record_id")), "18446744073709551615");
	assert_string_equal(js_text(js_get(j, "state")), "doubtful");
	assert_int_equal(js_len(js_get(js_get(j, "data"), "x")), 1);
	js_free(j);
	/* What is not known is not there. */
	b.len = 0;
	log_json(&b, &(struct log_event){.source = "text"});
	j = js_parse(b.p, b.len);
	assert_non_null(j);
	assert_int_equal(js_kind(js_get(j, "time")), JSON_NULL);
	assert_null(js_get(j, "record_id"));
	assert_null(js_get(j, "channel"));
	js_free(j);
	buf_free(&b);
}

struct gaps {
	char text[512];
	uint64_t missing, first, last;
};

static int on_channel(void *arg, const struct ledger_channel *c)
{
	struct gaps *g = arg;

	g->missing += c->missing;
	g->first = c->first;
	g->last = c->last;
	snprintf(g->text + strlen(g->text), sizeof(g->text) - strlen(g->text), "%s:", c->name);
	return 0;
}

static int on_gap(void *arg, const struct ledger_channel *c, uint64_t first, uint64_t last)
{
	struct gaps *g = arg;

	(void)c;
	snprintf(g->text + strlen(g->text), sizeof(g->text) - strlen(g->text), " %llu-%llu",
		 (unsigned long long)first, (unsigned long long)last);
	return 0;
}

static void the_ledger_names_the_ids_that_are_missing(void **state)
{
	static const uint64_t seen[] = {5, 6, 7, 9, 8, 20, 19, 3, 3, 12};
	struct log_ledger *g = ledger_new();
	struct gaps got = {.text = ""};

	(void)state;
	for (size_t i = 0; i < sizeof(seen) / sizeof(*seen); i++)
		assert_int_equal(ledger_seen(g, LOG_TEXT("System"), seen[i], LOG_INTACT), 0);
	assert_int_equal(ledger_claim(g, LOG_TEXT("System"), 18, 22), 0);
	assert_int_equal(ledger_seen(g, LOG_TEXT("App"), UINT64_MAX, LOG_CARVED), 0);
	assert_int_equal(ledger_claim(g, LOG_TEXT("Sys"), 0, UINT64_MAX), 0);
	ledger_walk(g, on_channel, on_gap, &got);
	assert_string_equal(got.text,
			    "App:Sys: 0-18446744073709551615System: 4-4 10-11 13-18 21-22");
	ledger_free(g);
}

static void carved_records_fill_gaps_and_claim_none(void **state)
{
	struct log_ledger *g = ledger_new();
	struct gaps got = {.text = ""};

	(void)state;
	ledger_claim(g, LOG_TEXT("System"), 100, 110);
	ledger_seen(g, LOG_TEXT("System"), 3, LOG_CARVED);
	ledger_seen(g, LOG_TEXT("System"), 105, LOG_CARVED);
	ledger_walk(g, on_channel, on_gap, &got);
	assert_string_equal(got.text, "System: 100-104 106-110");
	ledger_free(g);
}

static void ids_in_any_order_leave_the_same_ledger(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 50; seed++) {
		struct log_ledger *g = ledger_new();
		struct gaps got = {.text = ""};
		bool there[200] = {false};
		size_t least = 199, most = 0, missing = 0;

		srand(seed);
		for (int i = 0; i < 150; i++) {
			size_t id = (size_t)rand() % 200;

			there[id] = true;
			least = id < least ? id : least;
			most = id > most ? id : most;
			ledger_seen(g, LOG_TEXT("x"), id, LOG_INTACT);
		}
		for (size_t i = least; i <= most; i++)
			missing += !there[i];
		ledger_walk(g, on_channel, NULL, &got);
		assert_int_equal(got.missing, missing);
		assert_int_equal(got.first, least);
		assert_int_equal(got.last, most);
		ledger_free(g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf16_becomes_the_inside_of_a_json_string),
		cmocka_unit_test(bytes_that_are_not_utf8_stay_visible),
		cmocka_unit_test(numbers_are_written_as_printf_writes_them),
		cmocka_unit_test(times_are_rfc_3339),
		cmocka_unit_test(times_are_read_as_they_are_written),
		cmocka_unit_test(filetimes_count_from_1601),
		cmocka_unit_test(an_event_is_one_line_of_json),
		cmocka_unit_test(the_ledger_names_the_ids_that_are_missing),
		cmocka_unit_test(carved_records_fill_gaps_and_claim_none),
		cmocka_unit_test(ids_in_any_order_leave_the_same_ledger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
