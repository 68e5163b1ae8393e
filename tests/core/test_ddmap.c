/* SPDX-License-Identifier: Apache-2.0 */
/* Mapfiles: what ddrescue writes is understood, what we write ddrescuelog understands. */
#include "tests/lib/image.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "vdiskck/core/ddmap.h"

static const char example[] = /* info ddrescue, "Mapfile structure" */
	"# Mapfile. Created by GNU ddrescue version 1.27\n"
	"# Command line: ddrescue -d -c18 /dev/fd0 fdimage mapfile\n"
	"# current_pos  current_status  current_pass\n"
	"0x00120000     ?               1\n"
	"#      pos        size  status\n"
	"0x00000000  0x00117000  +\n"
	"0x00117000  0x00000200  -\n"
	"0x00117200  0x00001000  /\n"
	"0x00118200  0x00007E00  *\n"
	"0x00120000  0x00048000  ?\n";

static int parse(struct ddmap *m, const char *text)
{
	return ddmap_parse(m, text, strlen(text));
}

static void the_manual_s_example_is_understood(void **state)
{
	struct ranges lost = {0};
	struct ddmap m;
	bool list;

	(void)state;
	assert_int_equal(parse(&m, example), 0);
	assert_int_equal(m.n, 5);
	assert_int_equal(m.bad_lines, 0);
	assert_int_equal(ddmap_end(&m), 0x168000);
	assert_int_equal(m.v[2].off, 0x117200);
	assert_int_equal(m.v[2].len, 0x1000);
	assert_int_equal(m.v[2].status, '/');
	assert_int_equal(ddmap_lost(&m, 0x168000, &lost, &list), 0);
	assert_false(list);
	assert_int_equal(lost.n, 1);
	assert_int_equal(lost.v[0].off, 0x117000);
	assert_int_equal(lost.v[0].len, 0x51000);
	assert_int_equal(lost.v[0].why, SOURCE_BAD_MAP);
	ranges_free(&lost);
	ddmap_free(&m);
}

static void other_ways_to_write_a_map_are_understood(void **state)
{
	struct ddmap m;

	(void)state;
	/* before 1.20: no pass. Decimal, octal, CR LF, comments behind, no newline at the end. */
	assert_int_equal(parse(&m, "0 +\r\n0 512 + # good\r\n512 01000 -\r\n\t1024 0x200 ?"), 0);
	assert_int_equal(m.n, 3);
	assert_int_equal(m.v[1].len, 512);
	assert_int_equal(m.bad_lines, 0);
	ddmap_free(&m);
	/* no status line at all */
	assert_int_equal(parse(&m, "0 512 -\n"), 0);
	assert_int_equal(m.n, 1);
	ddmap_free(&m);
}

static void lines_without_sense_are_counted_and_left_out(void **state)
{
	struct ddmap m;

	(void)state;
	assert_int_equal(parse(&m, "0 + 1\n"
				   "0 512 +\n"
				   "512 512 x\n"		   /* 3: no such status */
				   "1024 512\n"			   /* 4: none */
				   "0xffffffffffffffff 1 -\n"	   /* 5: past 2^63 */
				   "0x7fffffffffffffff 0xffff -\n" /* 6: ends past 2^63 */
				   "99999999999999999999999 1 -\n" /* 7: no 64 bits */
				   "1024 512 - more\n"		   /* 8 */
				   "09 512 -\n"			   /* 9: no octal number */
				   "0x 512 -\n"			   /* 10 */
				   "-5 512 -\n"			   /* 11 */
				   "0 + 1\n"			   /* 12: a second status line */
				   "1536 0 -\n"			   /* empty: no block, no fault */
				   "2048 512 -\n"),
			 0);
	assert_int_equal(m.n, 2);
	assert_int_equal(m.bad_lines, 10);
	assert_int_equal(m.first_bad_line, 3);
	ddmap_free(&m);
}

static void text_that_is_no_map_is_refused(void **state)
{
	struct ddmap m;
	char *long_line = malloc(100000);

	(void)state;
	assert_int_equal(parse(&m, ""), -EBADMSG);
	assert_int_equal(parse(&m, "# only comments\n"), -EBADMSG);
	assert_int_equal(parse(&m, "0 + 1\n"), -EBADMSG);
	assert_int_equal(parse(&m, "PK\003\004 binary \377\376\n"), -EBADMSG);
	assert_int_equal(ddmap_parse(&m, "\0\0\0\0", 4), -EBADMSG);
	/* A number cut in the middle would be another number. */
	memset(long_line, '0', 100000);
	memcpy(long_line + 99990, "10 512 -\n", 9);
	assert_int_equal(ddmap_parse(&m, long_line, 99999), -EBADMSG);
	assert_int_equal(m.bad_lines, 1);
	long_line[0] = '#';
	assert_int_equal(ddmap_parse(&m, long_line, 99999), -EBADMSG);
	assert_int_equal(m.bad_lines, 0);
	free(long_line);
}

static void what_a_map_does_not_mention_was_not_tried(void **state)
{
	struct ranges lost = {0};
	struct ddmap m;
	bool list;

	(void)state;
	assert_int_equal(parse(&m, "0 + 1\n4096 512 +\n8192 512 +\n"), 0);
	assert_int_equal(ddmap_lost(&m, 10000, &lost, &list), 0);
	assert_int_equal(lost.n, 3);
	assert_int_equal(ranges_bytes(&lost, GRADE_LOST), 10000 - 1024);
	assert_int_equal(lost.v[2].off, 8704);
	ranges_free(&lost);
	ddmap_free(&m);
}

static void a_list_of_bad_areas_leaves_the_rest_good(void **state)
{
	struct ranges lost = {0};
	struct ddmap m;
	bool list;

	(void)state;
	/* out of order, overlapping, beyond the end */
	assert_int_equal(parse(&m, "8192 512 -\n512 512 -\n8000 300 -\n90000 512 -\n"), 0);
	assert_int_equal(ddmap_lost(&m, 10000, &lost, &list), 0);
	assert_true(list);
	assert_int_equal(lost.n, 2);
	assert_int_equal(lost.v[0].off, 512);
	assert_int_equal(lost.v[1].off, 8000);
	assert_int_equal(lost.v[1].len, 704);
	ranges_free(&lost);
	ddmap_free(&m);
}

static void bad_wins_where_blocks_overlap(void **state)
{
	struct ranges lost = {0};
	struct ddmap m;
	bool list;

	(void)state;
	assert_int_equal(parse(&m, "0 + 1\n0 10000 +\n100 50 -\n120 1000 +\n"), 0);
	assert_int_equal(ddmap_lost(&m, 10000, &lost, &list), 0);
	assert_int_equal(lost.n, 1);
	assert_int_equal(lost.v[0].off, 100);
	assert_int_equal(lost.v[0].len, 50);
	ranges_free(&lost);
	ddmap_free(&m);
}

static void arbitrary_text_is_survived(void **state)
{
	static const char alphabet[] = "0123456789xabf+-*/?# \t\n\n\r\0";
	uint32_t x = 1;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		char text[200];
		struct ranges lost = {0};
		struct ddmap m;
		bool list;

		for (size_t k = 0; k < sizeof(text); k++) {
			x = x * 1664525 + 1013904223;
			text[k] = alphabet[(x >> 16) % sizeof(alphabet)];
		}
		ddmap_parse(&m, text, sizeof(text));
		assert_int_equal(ddmap_lost(&m, 1 << 20, &lost, &list), 0);
		for (size_t k = 0; k < lost.n; k++)
			assert_true(lost.v[k].off + lost.v[k].len <= 1 << 20);
		ranges_free(&lost);
		ddmap_free(&m);
	}
}

static void a_map_is_written_in_full(void **state)
{
	struct ranges lost = {0};
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct ddmap m;

	(void)state;
	ranges_add(&lost, 512, 512, GRADE_LOST, SOURCE_UNREADABLE);
	ranges_add(&lost, 1000, 2000, GRADE_LOST, SOURCE_BAD_MAP);
	ranges_add(&lost, 5000, 100, GRADE_DOUBTFUL, SOURCE_BAD_MAP);
	ranges_add(&lost, 9000, 5000, GRADE_LOST, SOURCE_BAD_MAP);
	ranges_add(&lost, 20000, 5000, GRADE_LOST, SOURCE_BAD_MAP);
	assert_int_equal(ddmap_write(f, &lost, 10000), 0);
	fclose(f);
	assert_int_equal(ddmap_parse(&m, text, len), 0);
	assert_int_equal(m.n, 4);
	assert_int_equal(m.v[0].len, 512);
	assert_int_equal(m.v[1].off, 512);
	assert_int_equal(m.v[1].len, 3000 - 512);
	assert_int_equal(m.v[1].status, '-');
	assert_int_equal(m.v[2].status, '+');
	assert_int_equal(m.v[3].off, 9000);
	assert_int_equal(m.v[3].len, 1000);
	ddmap_free(&m);
	ranges_free(&lost);
	free(text);
}

/* What a command says, in one string. */
static char *output(const char *command)
{
	static char text[4096];
	FILE *f = popen(command, "r");
	size_t n = fread(text, 1, sizeof(text) - 1, f);

	text[n] = '\0';
	assert_int_equal(pclose(f), 0);
	return text;
}

static void ddrescuelog_reads_what_we_write(void **state)
{
	char path[] = "/tmp/vdiskck-test-XXXXXX", command[256];
	struct ranges lost = {0};
	FILE *f = fdopen(mkstemp(path), "w");

	(void)state;
	ranges_add(&lost, 0, 4096, GRADE_LOST, SOURCE_UNREADABLE);
	ranges_add(&lost, 1ull << 40, 1 << 20, GRADE_LOST, SOURCE_BAD_MAP);
	ranges_add(&lost, (1ull << 41) - 512, 512, GRADE_LOST, SOURCE_BAD_MAP);
	assert_int_equal(ddmap_write(f, &lost, 1ull << 41), 0);
	fclose(f);
	if (system("command -v ddrescuelog >/dev/null")) {
		unlink(path);
		skip(); /* Debian package gddrescue */
	}
	snprintf(command, sizeof(command), "ddrescuelog -l- -b512 %s | sed -n '1p;9p;$p'", path);
	assert_string_equal(output(command), "0\n2147483648\n4294967295\n");
	/* '+' for the rest: nothing else is in it. */
	snprintf(command, sizeof(command), "ddrescuelog -l'?*/' %s", path);
	assert_string_equal(output(command), "");
	unlink(path);
	ranges_free(&lost);
}

static void ddrescuelog_s_own_maps_are_read(void **state)
{
	char *text;
	struct ddmap m;

	(void)state;
	if (system("command -v ddrescuelog >/dev/null"))
		skip(); /* Debian package gddrescue */
	/* Blocks 2-3 and 10 are bad, of 4096 bytes each. */
	text = output(
		"printf '2\\n3\\n10\\n' | ddrescuelog --create-mapfile=-+ -b4096 -s65536 "
		"/tmp/vdiskck-ddmap.$$ && cat /tmp/vdiskck-ddmap.$$; rm /tmp/vdiskck-ddmap.$$");
	assert_int_equal(parse(&m, text), 0);
	assert_int_equal(m.bad_lines, 0);
	assert_int_equal(ddmap_end(&m), 65536);
	assert_int_equal(m.v[1].off, 8192);
	assert_int_equal(m.v[1].len, 8192);
	assert_int_equal(m.v[1].status, '-');
	ddmap_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manual_s_example_is_understood),
		cmocka_unit_test(other_ways_to_write_a_map_are_understood),
		cmocka_unit_test(lines_without_sense_are_counted_and_left_out),
		cmocka_unit_test(text_that_is_no_map_is_refused),
		cmocka_unit_test(what_a_map_does_not_mention_was_not_tried),
		cmocka_unit_test(a_list_of_bad_areas_leaves_the_rest_good),
		cmocka_unit_test(bad_wins_where_blocks_overlap),
		cmocka_unit_test(arbitrary_text_is_survived),
		cmocka_unit_test(a_map_is_written_in_full),
		cmocka_unit_test(ddrescuelog_reads_what_we_write),
		cmocka_unit_test(ddrescuelog_s_own_maps_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
