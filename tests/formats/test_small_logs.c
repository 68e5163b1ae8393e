/* SPDX-License-Identifier: Apache-2.0 */
/* Logs of few kinds of records: utmp, dumps, WER reports, prefetch files, the USN journal. */
#include <errno.h>
#include <stdio.h>
#include <utmp.h>
#include <wimlib.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/xpress.h"
#include "tests/lib/image.h"

static struct {
	size_t n, doubtful;
	char text[32 << 10]; /* lines of JSON */
} got;

static int on_event(void *arg, const struct log_event *e)
{
	struct buf b = {0};

	(void)arg;
	got.n++;
	got.doubtful += e->state == LOG_DOUBTFUL;
	log_json(&b, e);
	assert_false(b.failed);
	if (b.len + strlen(got.text) + 1 < sizeof(got.text))
		strncat(got.text, b.p, b.len);
	buf_free(&b);
	return 0;
}

static void read_log(const struct log_driver *d, struct layer *l)
{
	struct log_sink sink = {.event = on_event};

	memset(&got, 0, sizeof(got));
	assert_int_equal(d->records(l, &sink), 0);
}

static void has(const char *what)
{
	if (!strstr(got.text, what))
		fail_msg("no %s in\n%s", what, got.text);
}

/* What discovery takes it for, and its events. */
static void found_as(struct image *img, const struct log_driver *d)
{
	image_discover(img);
	assert_non_null(img->top);
	assert_string_equal(img->top->ops->name, d->ops->name);
	assert_clean(img);
	read_log(d, img->top);
}

/* Any byte changed, and any length: nothing breaks, nothing is endless. */
static void survives(const struct image *good, const struct log_driver *d, size_t step)
{
	for (size_t i = 0; i < 2 * good->len; i += step) {
		size_t at = i / 2;
		struct image *img = image_new(i % 2 || step > 1 ? good->len : at);

		memcpy(img->buf, good->buf, img->len);
		if (img->len == good->len)
			img->buf[at] ^= (uint8_t)(i * 37 + 1);
		image_open(img, d->ops);
		if (!img->err) {
			read_log(d, img->top);
			assert_true(got.n < 100000);
		}
		image_free(img);
	}
	for (size_t len = 0; len < good->len; len += step) {
		struct image *img = image_new(len);

		memcpy(img->buf, good->buf, len);
		image_open(img, d->ops);
		if (!img->err)
			read_log(d, img->top);
		image_free(img);
	}
}

static void put32(struct image *img, uint64_t off, uint32_t v)
{
	image_le32(img, off, v);
}

static void put_text16(struct image *img, uint64_t off, const char *s)
{
	for (; *s; s++, off += 2) {
		image_poke(img, off, s, 1);
		image_poke(img, off + 1, "", 1);
	}
}

/* 2018-05-14T11:52:08Z */
enum { MAY = 1526298728 };
#define MAY_FILETIME ((UINT64_C(11644473600) + MAY) * 10000000)

/* The C library's own structure writes them. */
static struct image *wtmp(void)
{
	struct image *img = image_new(3 * sizeof(struct utmp));
	struct utmp u[3] = {
		{.ut_type = BOOT_TIME, .ut_line = "~", .ut_user = "reboot"},
		{.ut_type = USER_PROCESS,
		 .ut_pid = 77,
		 .ut_line = "pts/0",
		 .ut_user = "root",
		 .ut_host = "10.1.2.3"},
		{.ut_type = RUN_LVL, .ut_pid = '0', .ut_line = "~", .ut_user = "shutdown"}};

	for (int i = 0; i < 3; i++) {
		u[i].ut_tv.tv_sec = MAY + i;
		u[i].ut_tv.tv_usec = 250000;
	}
	memcpy(u[1].ut_addr_v6, "\x0a\x01\x02\x03", 4);
	image_poke(img, 0, u, sizeof(u));
	return img;
}

static void logins_and_starts_are_events(void **state)
{
	struct image *img = wtmp();

	(void)state;
	_Static_assert(sizeof(struct utmp) == 384, "the format");
	found_as(img, &utmp_log);
	assert_int_equal(got.n, 3);
	assert_int_equal(got.doubtful, 0);
	has("\"time\":\"2018-05-14T11:52:08.2500000Z\",\"source\":\"utmp\",\"channel\":\"wtmp\","
	    "\"event_id\":2,\"message\":\"boot\"");
	has("\"message\":\"login of root on pts/0\",\"data\":{\"type\":\"login\",\"pid\":77,"
	    "\"user\":\"root\",\"line\":\"pts/0\",\"host\":\"10.1.2.3\",\"address\":\"10.1.2.3\"}");
	has("\"message\":\"shutdown, run level 0\"");
	/* A record of a type that there is not is doubtful; the others are not. */
	image_poke(img, sizeof(struct utmp), "\xff\xff", 2);
	image_open(img, &utmp_ops);
	read_log(&utmp_log, img->top);
	assert_int_equal(got.n, 3);
	assert_int_equal(got.doubtful, 1);
	image_free(img);
	img = wtmp();
	survives(img, &utmp_log, 1);
	image_free(img);
}

static struct image *kernel_dump(bool wide)
{
	struct image *img = image_new(0x3000);
	size_t head = wide ? 0x2000 : 0x1000;

	for (size_t i = 0; i < head; i += 4)
		image_poke(img, i, "PAGE", 4);
	image_poke(img, 4, wide ? "DU64" : "DUMP", 4);
	put32(img, 0xc, 17763);
	put32(img, wide ? 0x34 : 0x24, 2);
	put32(img, wide ? 0x30 : 0x20, wide ? 0x8664 : 0x14c);
	put32(img, wide ? 0x38 : 0x28, 0x7b);
	for (unsigned i = 0; i < 4; i++)
		if (wide)
			image_le64(img, 0x40 + 8 * i, UINT64_C(0xffffd00000000000) + i);
		else
			put32(img, 0x2c + 4 * i, 0xf0000000 + i);
	put32(img, wide ? 0xf98 : 0xf88, 4);
	image_le64(img, wide ? 0xfa8 : 0xfc0, MAY_FILETIME);
	image_le64(img, wide ? 0x1030 : 0xfb8, UINT64_C(90) * 10000000);
	put32(img, head + 0x38, 0x2800);
	put32(img, head + 0x3c, 0x100);
	put32(img, 0x2800, 8);
	put_text16(img, 0x2804, "ntfs.sys");
	put32(img, 0x2818, 10);
	put_text16(img, 0x281c, "xenvbd.sys");
	return img;
}

static void a_bug_check_is_an_event(void **state)
{
	(void)state;
	for (int wide = 0; wide < 2; wide++) {
		struct image *img = kernel_dump(wide);

		found_as(img, &dump_log);
		assert_int_equal(got.n, 1);
		assert_int_equal(got.doubtful, 0);
		has("\"time\":\"2018-05-14T11:52:08Z\",\"source\":\"dump\",\"channel\":\"bugcheck\","
		    "\"event_id\":123,\"level\":\"critical\","
		    "\"message\":\"bug check 0x7b INACCESSIBLE_BOOT_DEVICE\"");
		has(wide ? "\"parameter2\":\"0xffffd00000000001\""
			 : "\"parameter2\":\"0xf0000001\"");
		has("\"uptime_seconds\":90,\"build\":17763,\"processors\":2");
		has("\"drivers\":[\"ntfs.sys\",\"xenvbd.sys\"]}");
		survives(img, &dump_log, 97);
		/* The header alone is enough. */
		image_resize(img, wide ? 0x2000 : 0x1000);
		image_open(img, &dump_ops);
		read_log(&dump_log, img->top);
		assert_int_equal(got.doubtful, 0);
		has("INACCESSIBLE_BOOT_DEVICE");
		image_free(img);
	}
}

static struct image *program_dump(void)
{
	struct image *img = image_new(2048);

	image_poke(img, 0, "MDMP\x93\xa7\0\0", 8);
	put32(img, 8, 3);
	put32(img, 12, 32);
	put32(img, 20, MAY);
	/* The list of modules comes before the exception, as it may. */
	put32(img, 32, 4);
	put32(img, 40, 512);
	put32(img, 44, 6);
	put32(img, 52, 256);
	put32(img, 56, 7);
	put32(img, 64, 200);
	put32(img, 200 + 8, 10);
	put32(img, 200 + 16, 17763);
	put32(img, 256, 4321);
	put32(img, 264, 0xc0000005);
	image_le64(img, 280, 0x7ff00000 + 0x10010);
	put32(img, 288, 2);
	image_le64(img, 296, 1);
	image_le64(img, 304, 0xdead);
	put32(img, 512, 2);
	image_le64(img, 516, 0x400000);
	put32(img, 524, 0x1000);
	put32(img, 536, 1024);
	image_le64(img, 516 + 108, 0x7ff00000);
	put32(img, 524 + 108, 0x20000);
	put32(img, 536 + 108, 1100);
	put32(img, 1024, 2 * 11);
	put_text16(img, 1028, "C:\\xapi.exe");
	put32(img, 1100, 2 * 9);
	put_text16(img, 1104, "ntdll.dll");
	return img;
}

static void a_crashed_program_is_an_event(void **state)
{
	struct image *img = program_dump();

	(void)state;
	found_as(img, &dump_log);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.doubtful, 0);
	has("\"time\":\"2018-05-14T11:52:08Z\",\"source\":\"dump\",\"channel\":\"minidump\","
	    "\"event_id\":3221225477,\"level\":\"critical\","
	    "\"message\":\"C:\\\\xapi.exe: exception 0xc0000005\"");
	has("\"exception\":\"0xc0000005\",\"address\":\"0x7ff10010\",\"thread\":4321,"
	    "\"parameter1\":\"0x1\",\"parameter2\":\"0xdead\",\"windows\":\"10.0.17763\"");
	has("\"module\":\"ntdll.dll\",\"offset\":\"0x10010\"}");
	survives(img, &dump_log, 1);
	/* A stream that lies outside: what the others say stays. */
	put32(img, 40, 0xffffff00);
	image_open(img, &dump_ops);
	read_log(&dump_log, img->top);
	assert_int_equal(got.doubtful, 1);
	has("\"exception\":\"0xc0000005\"");
	image_free(img);
}

static void a_wer_report_is_an_event(void **state)
{
	static const char text[] =
		"Version=1\r\nEventType=BlueScreen\r\nEventTime=131707723280000000\r\n"
		"Sig[0].Name=Code\r\nSig[0].Value=7b\r\nOsInfo[0].Key=vermaj\r\nOsInfo[0].Value=10\r\n"
		"LoadedModule[0]=C:\\Windows\\ntdll.dll\r\nAppName=Windows \"10\"\r\n";
	struct image *img = image_new(2 * sizeof(text));

	(void)state;
	image_poke(img, 0, "\xff\xfe", 2);
	put_text16(img, 2, text);
	found_as(img, &wer_log);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.doubtful, 0);
	has("\"time\":\"2018-05-14T11:52:08Z\",\"source\":\"wer\"");
	has("\"message\":\"BlueScreen: Windows \\\"10\\\"\"");
	has("\"Code\":\"7b\",\"OsInfo[0].Key\":\"vermaj\"");
	assert_null(strstr(got.text, "ntdll"));
	survives(img, &wer_log, 1);
	image_free(img);
}

static size_t xpress_pack(const uint8_t *in, size_t len, uint8_t *out, size_t cap)
{
	struct wimlib_compressor *c;
	size_t used = 0;

	assert_int_equal(wimlib_create_compressor(WIMLIB_COMPRESSION_TYPE_XPRESS, 65536, 0, &c), 0);
	for (size_t at = 0; at < len; at += 65536) {
		size_t n = len - at < 65536 ? len - at : 65536;
		size_t k = wimlib_compress(in + at, n, out + used, cap - used, c);

		assert_true(k > 0);
		used += k;
	}
	wimlib_free_compressor(c);
	return used;
}

static void what_wimlib_packs_is_unpacked(void **state)
{
	enum { LEN = 150000 };
	static uint8_t plain[LEN], packed[LEN], back[LEN];
	size_t n, done;

	(void)state;
	for (unsigned i = 0; i < LEN; i++)
		plain[i] = (uint8_t)(i < 70000 ? (i * i >> 7) % 23 : i % 1000 < 900 ? 7 : i >> 3);
	for (size_t len = 1000; len <= LEN; len += 29800) {
		n = xpress_pack(plain, len, packed, sizeof(packed));
		memset(back, 0, sizeof(back));
		assert_int_equal(xpress_unpack(packed, n, back, len, &done), 0);
		assert_true(done == len);
		assert_memory_equal(back, plain, len);
	}
	for (size_t i = 0; i < n; i += 61) {
		packed[i] ^= 0x41;
		xpress_unpack(packed, n, back, LEN, &done);
		assert_true(done <= LEN);
		packed[i] ^= 0x41;
		xpress_unpack(packed, i, back, LEN, &done);
		assert_true(done < LEN);
	}
}

static struct image *prefetch(bool newest)
{
	struct image *img = image_new(1024);
	uint32_t info = newest ? 0x128 : 0x130;

	put32(img, 0, 30);
	image_poke(img, 4, "SCCA", 4);
	put32(img, 12, 1024);
	put_text16(img, 16, "CHKDSK.EXE");
	put32(img, 0x4c, 0x0badcafe);
	put32(img, 0x54, info);
	put32(img, 0x64, 600);
	put32(img, 0x68, 200);
	put_text16(img, 600, "\\WINDOWS\\NTDLL.DLL");
	put_text16(img, 600 + 2 * 19, "\\WINDOWS\\SYSTEM32\\CHKDSK.EXE");
	image_le64(img, 0x80, MAY_FILETIME);
	image_le64(img, 0x88, MAY_FILETIME - UINT64_C(864000000000));
	put32(img, newest ? 0xc8 : 0xd0, 12);
	return img;
}

static void programs_that_ran_are_events(void **state)
{
	(void)state;
	for (int newest = 0; newest < 2; newest++) {
		struct image *img = prefetch(newest), *mam = image_new(2048);
		size_t n;

		found_as(img, &prefetch_log);
		assert_int_equal(got.n, 2);
		has("\"time\":\"2018-05-14T11:52:08Z\",\"source\":\"prefetch\"");
		has("\"time\":\"2018-05-13T11:52:08Z\"");
		has("\"message\":\"CHKDSK.EXE\",\"data\":{\"runs\":12,\"hash\":\"0BADCAFE\","
		    "\"program\":\"\\\\WINDOWS\\\\SYSTEM32\\\\CHKDSK.EXE\"}");
		survives(img, &prefetch_log, 1);
		n = xpress_pack(img->buf, img->len, mam->buf + 8, 2040);
		image_poke(mam, 0, "MAM\x04", 4);
		put32(mam, 4, 1024);
		image_resize(mam, 8 + n);
		found_as(mam, &prefetch_log);
		assert_int_equal(got.n, 2);
		assert_int_equal(got.doubtful, 0);
		survives(mam, &prefetch_log, 1);
		image_free(mam);
		image_free(img);
	}
}

static size_t usn_put(struct image *img, uint64_t off, int version, const char *name,
		      uint32_t reason)
{
	size_t head = version == 2 ? 60 : 76, wide = version == 2 ? 0 : 16;
	size_t len = (head + 2 * strlen(name) + 7) / 8 * 8;

	put32(img, off, (uint32_t)len);
	image_poke(img, off + 4, version == 2 ? "\2" : "\3", 1);
	image_le64(img, off + 8, UINT64_C(0x0005000000001234));
	image_le64(img, off + 16 + wide / 2, UINT64_C(0x0005000000000005));
	image_le64(img, off + 24 + wide, off);
	image_le64(img, off + 32 + wide, MAY_FILETIME);
	put32(img, off + 40 + wide, reason);
	put32(img, off + 52 + wide, 0x20);
	img->buf[off + 56 + wide] = (uint8_t)(2 * strlen(name));
	img->buf[off + 58 + wide] = (uint8_t)head;
	put_text16(img, off + head, name);
	return len;
}

static void changes_of_files_are_events(void **state)
{
	struct image *img = image_new(3 * 4096);
	uint64_t at = 4096; /* the start of a journal is freed */

	(void)state;
	at += usn_put(img, at, 2, "SYSTEM.LOG", 0x100);
	at += usn_put(img, at, 3, "pagefile.sys", 0x80000200);
	usn_put(img, 8192, 2, "b", 0x1001);
	image_open(img, &usn_ops);
	read_log(&usn_log, img->top);
	assert_int_equal(got.n, 3);
	assert_int_equal(got.doubtful, 0);
	has("\"time\":\"2018-05-14T11:52:08Z\",\"source\":\"usn\",\"channel\":\"$UsnJrnl\","
	    "\"message\":\"SYSTEM.LOG: created\",\"data\":{\"record\":4660,\"sequence\":5,"
	    "\"parent\":5,\"reason\":256,\"attributes\":32},\"offset\":4096,");
	has("\"message\":\"pagefile.sys: deleted, closed\"");
	has("\"message\":\"b: data overwritten, renamed from\"");
	/* A record that says that it lies elsewhere is none: those beside it are. */
	image_poke(img, 4096 + 24, "\x08", 1);
	image_open(img, &usn_ops);
	read_log(&usn_log, img->top);
	assert_int_equal(got.n, 2);
	survives(img, &usn_log, 61);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logins_and_starts_are_events),
		cmocka_unit_test(a_bug_check_is_an_event),
		cmocka_unit_test(a_crashed_program_is_an_event),
		cmocka_unit_test(a_wer_report_is_an_event),
		cmocka_unit_test(what_wimlib_packs_is_unpacked),
		cmocka_unit_test(programs_that_ran_are_events),
		cmocka_unit_test(changes_of_files_are_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
