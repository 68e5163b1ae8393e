/* SPDX-License-Identifier: Apache-2.0 */
/* Text logs: times, continued lines, codings, archives, and what is missing from them. */
#include <errno.h>
#include <lzma.h>
#include <stdio.h>
#include <zlib.h>
#include <zstd.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/simple.h"
#include "tests/lib/image.h"

struct got {
	size_t n, doubtful;
	char text[64 << 10]; /* lines of JSON */
};

static struct got got;

static int on_event(void *arg, const struct log_event *e)
{
	struct buf b = {0};

	(void)arg;
	got.n++;
	got.doubtful += e->state == LOG_DOUBTFUL;
	log_json(&b, e);
	if (b.len + strlen(got.text) + 1 < sizeof(got.text))
		strncat(got.text, b.p, b.len);
	buf_free(&b);
	return 0;
}

/* A file of a volume, by its path. */
static const struct layer_ops some_file = {
	.name = "file", .kind = LAYER_FILE, .read = log_pass_read, .map = log_pass_map};

static int read_log(struct layer *l, int64_t modified)
{
	struct log_sink sink = {.event = on_event,
				.modified = {.sec = modified, .known = modified != 0}};

	memset(&got, 0, sizeof(got));
	return textlog_log.records(l, &sink);
}

static struct image *text_image(const void *text, size_t len)
{
	struct image *img = image_new(len);

	image_poke(img, 0, text, len);
	return img;
}

static void read_text(const char *text, int64_t modified)
{
	struct image *img = text_image(text, strlen(text));

	image_open(img, &textlog_ops);
	assert_int_equal(img->err, 0);
	assert_int_equal(read_log(img->top, modified), 0);
	image_free(img);
}

static void has(const char *what)
{
	if (!strstr(got.text, what))
		fail_msg("no %s in\n%s", what, got.text);
}

/* What `date -u -d ... +%s` says. */
enum { MAY_2018 = 1526298728 /* 2018-05-14T11:52:08Z */, JAN_2021 = 1609545600 /* 2021-01-02 */ };

static void every_kind_of_time_is_read(void **state)
{
	static const struct {
		const char *line, *json;
	} t[] = {
		{"2018-05-14T11:52:08.5+02:00 node16 sshd[12]: hello\n",
		 "\"time\":\"2018-05-14T09:52:08.5000000Z\",\"source\":\"text\",\"channel\":\"text\","
		 "\"provider\":\"sshd\",\"computer\":\"node16\",\"message\":\"hello\","
		 "\"data\":{\"pid\":12}"},
		{"[Mon May 14 11:52:08 2018] usb 1-1: gone\n",
		 "\"2018-05-14T11:52:08Z\",\"source\":\"text\",\"channel\":\"text\",\"message\":\"usb"},
		{"2018-05-14 11:52:08, Info                  CBS    Appl: detect Parent\r\n",
		 "\"provider\":\"CBS\",\"level\":\"info\",\"message\":\"Appl: detect Parent\","
		 "\"data\":{\"zone\":\"local\"}"},
		{"2018-05-14 11:52:08, Error      [0x0f0080] MIG    Failed\n",
		 "\"level\":\"error\",\"message\":\"[0x0f0080] MIG    Failed\""},
		{"2018-05-14 11:52:08 status installed libc6:amd64 2.27\n",
		 "\"time\":\"2018-05-14T11:52:08Z\",\"source\":\"text\",\"channel\":\"text\","
		 "\"message\":\"status installed libc6:amd64 2.27\""},
		{"2018-05-14 11:52:08,123 - util.py[WARNING]: Failed to fetch\n",
		 "11:52:08.1230000Z\",\"source\":\"text\",\"channel\":\"text\",\"provider\":\"util.py\","
		 "\"level\":\"warning\",\"message\":\"Failed to fetch\""},
		{"2018-05-14T11:52:08Z INFO --- logging initialized ---\n",
		 "\"level\":\"info\",\"message\":\"--- logging initialized ---\""},
		{"type=SYSCALL msg=audit(1526298728.250:24287): arch=c000003e\n",
		 "\"time\":\"2018-05-14T11:52:08.2500000Z\",\"source\":\"text\",\"channel\":\"text\","
		 "\"event_id\":24287"},
		{"(XEN) [2018-05-14 11:52:08] Domain 3 crashed\n",
		 "\"message\":\"Domain 3 crashed\""},
		{"[20180514T11:52:08.123Z|error|host|0 |main|xapi] lost\n",
		 "\"time\":\"2018-05-14T"},
		{"2018/05/14 11:52:08.1234567 1016  2260  Agent           failed\n",
		 "11:52:08.1234567Z"},
		{"2018-05-14\t11:52:08:123\t 1016\t8d4\tAgent\tfailed\n", "11:52:08.1230000Z"},
		{"[2018-05-14T11:52:08+0000] [ALPM] upgraded linux\n", "11:52:08Z"},
		{"<3>2018-05-14T11:52:08Z node16 kernel: I/O error\n",
		 "\"level\":\"error\",\"computer\":\"node16\""},
		{"Cloud-init v. 18.2 running 'init' at Mon, 14 May 2018 11:52:08 +0000. Up 9\n",
		 "\"time\":\"2018-05-14T11:52:08Z\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		read_text(t[i].line, 0);
		assert_int_equal(got.n, 1);
		has(t[i].json);
	}
}

static void an_event_may_have_a_time_and_nothing_else(void **state)
{
	(void)state;
	read_text("2018-05-14 11:52:08, Info \n", 0);
	assert_int_equal(got.n, 1);
	has("\"level\":\"info\"");
	has("\"time\":\"2018-05-14T11:52:08Z\"");
}

static void lines_without_a_time_belong_to_the_event_before(void **state)
{
	(void)state;
	read_text("Start-Date: 2018-05-14  11:52:08\nCommandline: apt upgrade\n"
		  "End-Date: 2018-05-14  11:52:10\n\nStart-Date: 2018-05-15  11:52:08\n",
		  0);
	assert_int_equal(got.n, 2);
	has("\"message\":\"Start-Date: 2018-05-14  11:52:08\\nCommandline: apt upgrade\\n"
	    "End-Date: 2018-05-14  11:52:10\\n\"");
	has("\"offset\":0,\"length\":90,");
	has("\"offset\":90,\"length\":33,");
}

static void a_section_of_setupapi_begins_before_its_time(void **state)
{
	(void)state;
	read_text("[Device Install Log]\n     OS Version = 10.0.17134\n\n"
		  ">>>  [Device Install - PCI]\n>>>  Section start 2018/05/14 11:52:08.250\n"
		  "!!!  dvi: Error 2\n<<<  Section end 2018/05/14 11:52:09.000\n"
		  "<<<  [Exit status: FAILURE(0x00000002)]\n"
		  ">>>  [Next]\n>>>  Section start 2018/05/15 11:52:08.250\n",
		  0);
	assert_int_equal(got.n, 3);
	has("\"time\":null,\"source\":\"text\",\"channel\":\"text\",\"message\":\"[Device Install Log]");
	has("\"time\":\"2018-05-14T11:52:08.2500000Z\",\"source\":\"text\",\"channel\":\"text\","
	    "\"message\":\">>>  [Device Install - PCI]\\n>>>  Section start");
	has("FAILURE(0x00000002)]\"");
	has("\"time\":\"2018-05-15T");
}

static void a_year_comes_from_the_files_time(void **state)
{
	(void)state;
	read_text(
		"Dec 30 10:00:00 n a: one\nDec 31 10:00:00 n a: two\nJan  1 10:00:00 n a: three\n",
		JAN_2021);
	has("\"2020-12-30T10:00:00Z\"");
	has("\"2020-12-31T10:00:00Z\"");
	has("\"2021-01-01T10:00:00Z\"");
	has("\"zone\":\"local\",\"year_from\":\"the file's time\"");
	/* A line can't be younger than its file: this one is of the year before. */
	read_text("May 14 10:00:00 n a: one\n", JAN_2021);
	has("\"2020-05-14T10:00:00Z\"");
	read_text("May 14 10:00:00 n a: one\n", 0);
	has("\"time\":null");
}

static void a_year_comes_from_the_kernels_clock(void **state)
{
	(void)state;
	read_text("Dec 31 23:00:00 n a: one\n"
		  "May 14 11:52:09 n kernel: [    1.0] rtc_cmos 00:02: setting system clock to "
		  "2018-05-14T11:52:08 UTC (1526298728)\nMay 15 00:00:00 n a: two\n",
		  JAN_2021);
	has("\"2017-12-31T23:00:00Z\"");
	has("\"2018-05-15T00:00:00Z\"");
	has("the kernel's clock");
}

static void a_kernels_seconds_have_no_date_until_it_reads_a_clock(void **state)
{
	(void)state;
	read_text("[    0.000000] Linux version 4.9\n[    2.500000] done\n", JAN_2021);
	assert_int_equal(got.n, 2);
	has("\"time\":null,\"source\":\"text\",\"channel\":\"text\",\"message\":\"Linux version 4.9\"");
	read_text("<5>[    0.000000] Linux version 4.9\n"
		  "[    8.000000] rtc_cmos 00:02: setting system clock to 2018-05-14 11:52:08 UTC "
		  "(1526298728)\n[   12.500000][    T1] panic\n[    0.000000] again\n",
		  0);
	has("\"2018-05-14T11:52:00Z\",\"source\":\"text\",\"channel\":\"text\",\"level\":\"notice\"");
	has("\"2018-05-14T11:52:12.5000000Z\"");
	/* The next start is another one. */
	has("\"time\":null,\"source\":\"text\",\"channel\":\"text\",\"message\":\"again\"");
}

static void what_is_no_time_is_none(void **state)
{
	static const char *const bad[] = {
		"2018-13-14 11:52:08 x\n",
		"2018-05-32 11:52:08 x\n",
		"2018-05-14 24:00:00 x\n",
		"2018-05-14 11:60:08 x\n",
		"Foo 14 11:52:08 n a: x\n",
		"[12] x\n",
		"May 0 1:2:3 x\n",
		"May",
		"[",
		"<6>",
		"<",
		">>>  [",
		"type=",
		"(XEN) [",
		"2018",
		"\n",
		"<999>",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		read_text(bad[i], JAN_2021);
		assert_true(got.n <= 1);
		if (got.n)
			has("\"time\":null");
	}
}

static const char three[] = "2018-05-14 11:52:08 one\n2018-05-14 11:52:09 two \xc3\xa9\n"
			    "2018-05-14 11:52:10 three\n";

/* UTF-16 as Windows writes it. */
static struct image *utf16_image(const char *ascii, bool mark)
{
	size_t n = strlen(ascii), at = mark ? 2 : 0;
	struct image *img = image_new(2 * n + at);

	if (mark)
		image_poke(img, 0, "\xff\xfe", 2);
	for (size_t i = 0; i < n; i++)
		image_poke(img, at + 2 * i, ascii + i, 1);
	return img;
}

static void codings_give_the_same_events(void **state)
{
	(void)state;
	for (int mark = 0; mark < 2; mark++) {
		struct image *img = utf16_image("2018-05-14 11:52:08 one\r\nmore\r\n"
						"2018-05-14 11:52:09 two\r\n"
						"2018-05-14 11:52:10 three",
						mark);

		image_discover(img);
		assert_non_null(img->top);
		assert_ptr_equal(img->top->ops, &textlog_ops);
		assert_int_equal(read_log(img->top, 0), 0);
		assert_int_equal(got.n, 3);
		assert_int_equal(got.doubtful, 0);
		has("\"message\":\"one\\nmore\"");
		has("\"message\":\"three\"");
		has(mark ? "\"offset\":2,\"length\":62" : "\"offset\":0,\"length\":62");
		assert_clean(img);
		image_free(img);
	}
	read_text("\xef\xbb\xbf"
		  "2018-05-14 11:52:08 one\n",
		  0);
	has("\"message\":\"one\"");
	has("\"offset\":3");
}

static void only_what_is_a_log_is_taken_for_one(void **state)
{
	static const char prose[] =
		"This is a text.\nIt has lines.\nNone of them is a log's.\nNo.\n";
	struct image *img = text_image(three, sizeof(three) - 1);

	(void)state;
	image_discover(img);
	assert_ptr_equal(img->top->ops, &textlog_ops);
	/* Two lines with a time are too few, a byte that is no text too many. */
	image_poke(img, 0, "x", 1);
	assert_int_equal(textlog_ops.probe(img->source), 0);
	image_poke(img, 0, "2", 1);
	assert_true(textlog_ops.probe(img->source) > 0);
	image_poke(img, 21, "\x01", 1);
	assert_int_equal(textlog_ops.probe(img->source), 0);
	image_free(img);
	img = text_image(prose, sizeof(prose) - 1);
	image_open(img, &textlog_ops);
	assert_int_equal(textlog_ops.probe(img->source), 0);
	image_free(img);
}

static struct layer *as_file(struct image *img, const char *path)
{
	struct layer *f;

	image_open(img, &raw_ops);
	f = layer_file_new(&some_file, img->top, path);
	f->size = img->len;
	return f;
}

static void a_name_says_what_a_lost_head_does_not(void **state)
{
	static const uint8_t zero[4096];
	struct image *img = image_new(0);
	struct layer *f;
	char line[64];

	(void)state;
	for (int i = 0; i < 400; i++) {
		int n = snprintf(line, sizeof(line), "May 14 11:52:08 node16 a: line %d\n", i);

		image_resize(img, img->len + (size_t)n);
		image_poke(img, img->len - (size_t)n, line, (size_t)n);
	}
	image_poke(img, 0, zero, sizeof(zero));
	f = as_file(img, "/var/log/syslog.1");
	assert_true(textlog_ops.probe(f) >= 60);
	layer_free(f);
	f = as_file(img, "/home/me/syslog.1");
	assert_int_equal(textlog_ops.probe(f), 0);
	layer_free(f);
	image_free(img);
}

static size_t pack(int how, const char *text, size_t len, uint8_t *out, size_t cap)
{
	z_stream z = {0};
	size_t n = 0;

	if (how == 0) {
		deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
		z.next_in = (uint8_t *)(uintptr_t)text;
		z.avail_in = (uInt)len;
		z.next_out = out;
		z.avail_out = (uInt)cap;
		assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
		n = cap - z.avail_out;
		deflateEnd(&z);
	} else if (how == 1) {
		assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL,
							 (const uint8_t *)text, len, out, &n, cap),
				 LZMA_OK);
	} else {
		n = ZSTD_compress(out, cap, text, len, 3);
	}
	return n;
}

static char big[200000];

static size_t make_big(void)
{
	size_t n = 0;

	for (unsigned i = 0; n < sizeof(big) - 100; i++)
		n += (size_t)snprintf(big + n, 100, "2018-05-14 11:%02u:%02u number %u %x\n",
				      i / 60 % 60, i % 60, i, i * 2654435761u);
	return n;
}

static void rotated_logs_are_unpacked(void **state)
{
	static const char *const name[] = {"/var/log/kern.log.2.gz",
					   "/var/log/kern.log-20180514.xz",
					   "/var/log/kern.log.1.zst"};
	static uint8_t packed[sizeof(big)];
	size_t len = make_big(), all;

	(void)state;
	for (int how = 0; how < 3; how++) {
		size_t n = pack(how, big, len, packed, sizeof(packed));
		struct image *img = text_image(packed, n);
		struct layer *f = as_file(img, name[how]), *l;
		struct extent run;
		char back[64];

		assert_true(textlog_ops.probe(f) >= 60);
		l = layer_new(f->s, &textlog_ops, f, "text");
		assert_int_equal(textlog_ops.open(l), 0);
		assert_true(l->size == len);
		assert_int_equal(layer_read(l, len - 64, back, 64, NULL), 0);
		assert_memory_equal(back, big + len - 64, 64);
		assert_int_equal(layer_map(l, 5, &run), 0);
		assert_true(run.packed == n && run.len == len && run.in == f);
		assert_int_equal(read_log(l, 0), 0);
		all = got.n;
		assert_true(all > 1000);
		assert_int_equal(got.doubtful, 0);
		has("\"channel\":\"kern\"");
		assert_clean(img);
		layer_free(l);
		/* The end of the archive is lost: its start is not, but nobody vouches for it. */
		f->size = n / 4 * 3;
		l = layer_new(f->s, &textlog_ops, f, "text");
		assert_int_equal(textlog_ops.open(l), 0);
		assert_finding(img, TEXTLOG_ARCHIVE, 0);
		assert_int_equal(read_log(l, 0), 0);
		assert_true(got.n > all / 8 && got.n < all);
		assert_int_equal(got.doubtful, got.n);
		layer_free(l);
		layer_free(f);
		image_free(img);
	}
}

/* A block of another file among the lines: one doubtful event, and no hole for each zero in it. */
static void bytes_that_are_no_text_are_one_event(void **state)
{
	struct image *img;
	char text[8192];
	size_t n = sizeof(three) - 1;
	uint32_t v = 1;

	(void)state;
	memcpy(text, three, n);
	for (size_t i = 0; i < 4096; i++) {
		v = v * 1103515245 + 12345;
		text[n++] = (char)(v >> 16);
	}
	n += (size_t)sprintf(text + n, " the end of a line\n%s", three);
	img = text_image(text, n);
	image_check(img, &textlog_ops);
	assert_int_equal(image_seen(img, TEXTLOG_HOLE, ANYWHERE), 0);
	assert_int_equal(read_log(img->top, 0), 0);
	has("bytes that are no text");
	assert_in_range(got.n, 7, 8);
	assert_in_range(got.doubtful, 1, 2);
	image_free(img);
}

static void zeros_between_lines_are_a_hole(void **state)
{
	struct image *img;
	char text[4096] = {0};
	size_t n = (size_t)sprintf(text, "%s", three);

	(void)state;
	/* A line is torn; behind the hole, the log goes on with whole lines. */
	n += (size_t)sprintf(text + n, "2018-05-14 11:52:11 fo");
	memcpy(text + 1024, three, sizeof(three) - 1);
	img = text_image(text, 1024 + sizeof(three) - 1);
	image_check(img, &textlog_ops);
	assert_finding(img, TEXTLOG_HOLE, n);
	assert_true(image_first(img, TEXTLOG_HOLE)->fact.at_len == 1024 - n);
	assert_int_equal(read_log(img->top, 0), 0);
	assert_int_equal(got.n, 7);
	assert_int_equal(got.doubtful, 1);
	has("\"message\":\"fo\"");
	/* Space that was set aside at the end is none. */
	image_resize(img, 1024);
	image_check(img, &textlog_ops);
	assert_clean(img);
	image_free(img);
}

static int lost_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	int r = layer_read(l->below, off, buf, len, bad);

	for (size_t i = 0; i < len; i++)
		if (off + i >= 30 && off + i < 40) {
			((uint8_t *)buf)[i] = 0;
			r = ranges_add(bad, off + i, 1, GRADE_LOST, SOURCE_UNREADABLE);
		}
	return r;
}

static void a_line_with_lost_bytes_is_doubtful(void **state)
{
	static const struct layer_ops lossy = {
		.name = "lossy", .kind = LAYER_FILE, .read = lost_read, .map = log_pass_map};
	struct image *img = text_image(three, sizeof(three) - 1);
	struct layer *f, *l;

	(void)state;
	image_open(img, &raw_ops);
	f = layer_file_new(&lossy, img->top, "/var/log/syslog");
	f->size = img->len;
	l = layer_new(f->s, &textlog_ops, f, "text");
	assert_int_equal(textlog_ops.open(l), 0);
	assert_int_equal(read_log(l, 0), 0);
	/* The start of the second line is all that stands before the gap, its end behind it. */
	assert_int_equal(got.n, 3);
	assert_int_equal(got.doubtful, 2);
	has("\"message\":\"one\\n2018-0\"");
	has("\"message\":\"three\"");
	assert_int_equal(textlog_ops.check(l), 0);
	assert_clean(img);
	layer_free(l);
	layer_free(f);
	image_free(img);
}

static void a_line_without_end_comes_in_pieces(void **state)
{
	enum { LEN = 300000 };
	struct image *img = image_new(LEN);

	(void)state;
	memset(img->buf, 'x', LEN);
	memcpy(img->buf, "2018-05-14 11:52:08 ", 20);
	memcpy(img->buf + LEN - 40, "\n2018-05-14 11:52:09 last\n", 26);
	image_open(img, &textlog_ops);
	assert_int_equal(read_log(img->top, 0), 0);
	has("\"time\":\"2018-05-14T11:52:09Z\"");
	assert_true(got.n >= 5 && got.n <= 7);
	image_free(img);
}

static void damage_anywhere_ends_well(void **state)
{
	static const char text[] =
		"\xff\xfe"
		"2018\n[    1.0] a\nDec 31 10:00:00 n a[1]: b\nJan  1 10:00:00 n a: c\n"
		"type=A msg=audit(1.2:3): x\n>>>  [S]\n>>>  Section start 2018/05/14 11:52:08.250\n"
		"2018-05-14 11:52:08, Info  CBS x\n<6>[    1.0][ T1] y\n"
		"2018-05-14 11:52:08,1 - u[DEBUG]: z\n";
	size_t len = sizeof(text) - 1;

	(void)state;
	for (size_t skip = 0; skip <= 2; skip += 2)
		for (size_t i = skip; i < len; i++)
			for (int bit = -1; bit < 8; bit++) {
				struct image *img = text_image(text + skip, len - skip);

				if (bit < 0)
					image_resize(img, i - skip + 1);
				else
					img->buf[i - skip] ^= (uint8_t)(1 << bit);
				image_check(img, &textlog_ops);
				if (img->top && !img->err)
					assert_int_equal(read_log(img->top, JAN_2021), 0);
				image_free(img);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_time_is_read),
		cmocka_unit_test(an_event_may_have_a_time_and_nothing_else),
		cmocka_unit_test(lines_without_a_time_belong_to_the_event_before),
		cmocka_unit_test(a_section_of_setupapi_begins_before_its_time),
		cmocka_unit_test(a_year_comes_from_the_files_time),
		cmocka_unit_test(a_year_comes_from_the_kernels_clock),
		cmocka_unit_test(a_kernels_seconds_have_no_date_until_it_reads_a_clock),
		cmocka_unit_test(what_is_no_time_is_none),
		cmocka_unit_test(codings_give_the_same_events),
		cmocka_unit_test(only_what_is_a_log_is_taken_for_one),
		cmocka_unit_test(a_name_says_what_a_lost_head_does_not),
		cmocka_unit_test(rotated_logs_are_unpacked),
		cmocka_unit_test(zeros_between_lines_are_a_hole),
		cmocka_unit_test(bytes_that_are_no_text_are_one_event),
		cmocka_unit_test(a_line_with_lost_bytes_is_doubtful),
		cmocka_unit_test(a_line_without_end_comes_in_pieces),
		cmocka_unit_test(damage_anywhere_ends_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
