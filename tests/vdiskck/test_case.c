/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/image.h"
#include "vdiskck/case.h"

struct bed {
	struct session s;
	char folder[64], path[128], error[256];
};

static void on_error(void *arg, const char *line)
{
	struct bed *b = arg;

	snprintf(b->error, sizeof(b->error), "%s", line);
}

static int bed_new(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	session_init(&b->s);
	b->s.on_error = on_error;
	b->s.arg = b;
	snprintf(b->folder, sizeof(b->folder), "/tmp/vdiskck-case-XXXXXX");
	assert_non_null(mkdtemp(b->folder));
	snprintf(b->path, sizeof(b->path), "%s/case", b->folder);
	*state = b;
	return 0;
}

static size_t entries(const char *path, bool remove)
{
	DIR *d = opendir(path);
	struct dirent *e;
	size_t n = 0;

	if (!d)
		return 0;
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		n++;
		if (remove)
			assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
	}
	closedir(d);
	return n;
}

static int bed_free(void **state)
{
	struct bed *b = *state;

	entries(b->path, true);
	rmdir(b->path);
	entries(b->folder, true);
	rmdir(b->folder);
	session_fini(&b->s);
	free(b);
	return 0;
}

static void a_folder_that_holds_anything_is_refused(void **state)
{
	struct bed *b = *state;
	struct case_dir *c;

	assert_int_equal(case_create(&b->s, b->path, "a.vhd", &c), 0);
	assert_int_equal(case_done(c), 0);
	case_close(c);
	/* The log of the first run lies there now. */
	assert_int_equal(case_create(&b->s, b->path, "a.vhd", &c), -ENOTEMPTY);
	assert_null(c);
	assert_non_null(strstr(b->error, "not empty"));
	assert_int_equal(entries(b->path, false), 1);
}

/* A run that ended before its end: a few files, one of them in a folder. */
static void leave_incomplete(struct bed *b)
{
	struct case_dir *c;
	char path[200];

	assert_int_equal(case_create(&b->s, b->path, "a.vhd", &c), 0);
	assert_int_equal(case_commit(case_file(c, "report.json")), 0);
	case_made(c, "logs");
	snprintf(path, sizeof(path), "%s/logs", b->path);
	assert_int_equal(mkdir(path, 0777), 0);
	case_tree_made(&(struct case_tree){c, "logs"}, "events.jsonl");
	snprintf(path, sizeof(path), "%s/logs/events.jsonl", b->path);
	close(open(path, O_CREAT | O_WRONLY, 0666));
	case_close(c);
}

static void an_incomplete_case_is_begun_again(void **state)
{
	struct bed *b = *state;
	struct case_dir *c;

	leave_incomplete(b);
	assert_int_equal(case_create(&b->s, b->path, "a.vhd", &c), 0);
	assert_int_equal(entries(b->path, false), 2); /* run.log, INCOMPLETE */
	case_close(c);
}

static void an_incomplete_case_of_another_image_is_left_alone(void **state)
{
	struct bed *b = *state;
	struct case_dir *c;
	char path[200];

	leave_incomplete(b);
	assert_int_equal(case_create(&b->s, b->path, "b.vhd", &c), -ENOTEMPTY);
	assert_non_null(strstr(b->error, "incomplete case of a.vhd"));
	assert_int_equal(entries(b->path, false), 4);
	snprintf(path, sizeof(path), "%s/logs", b->path);
	entries(path, true);
	rmdir(path);
}

static void what_no_run_made_is_never_removed(void **state)
{
	static const char *const where[] = {"notes", "logs/notes"};
	struct bed *b = *state;
	struct case_dir *c;
	char path[200];

	for (int i = 0; i < 2; i++) {
		leave_incomplete(b);
		snprintf(path, sizeof(path), "%s/%s", b->path, where[i]);
		close(open(path, O_CREAT | O_WRONLY, 0666));
		assert_int_equal(case_create(&b->s, b->path, "a.vhd", &c), -ENOTEMPTY);
		assert_non_null(strstr(b->error, "notes, which no run made"));
		assert_int_equal(access(path, F_OK), 0);
		unlink(path);
		assert_int_equal(case_create(&b->s, b->path, "a.vhd", &c), 0);
		assert_int_equal(case_done(c), 0);
		case_close(c);
		entries(b->path, true);
		rmdir(b->path);
	}
}

/* The marker is only a file: what it names may not lead out of the case. */
static void a_marker_leads_nowhere_else(void **state)
{
	struct bed *b = *state;
	char path[200], victim[200];
	struct case_dir *c;

	snprintf(victim, sizeof(victim), "%s/victim", b->folder);
	close(open(victim, O_CREAT | O_WRONLY, 0666));
	leave_incomplete(b);
	snprintf(path, sizeof(path), "%s/INCOMPLETE", b->path);
	FILE *f = fopen(path, "a");
	fprintf(f, "made ../victim\nmade logs/../../victim\nmade link/victim\nmade link\nmade %s\n",
		victim);
	fclose(f);
	snprintf(path, sizeof(path), "%s/link", b->path);
	assert_int_equal(symlink("..", path), 0);
	assert_int_equal(case_create(&b->s, b->path, "a.vhd", &c), 0);
	assert_int_equal(access(victim, F_OK), 0);
	case_close(c);
}

static void two_runs_do_not_share_a_case(void **state)
{
	struct bed *b = *state;
	struct case_dir *c, *other;

	assert_int_equal(case_create(&b->s, b->path, "a.vhd", &c), 0);
	assert_int_equal(case_create(&b->s, b->path, "a.vhd", &other), -EBUSY);
	assert_non_null(strstr(b->error, "another run"));
	case_close(c);
}

static void an_empty_folder_is_taken_and_a_file_is_not(void **state)
{
	struct bed *b = *state;
	struct case_dir *c;
	char file[160];

	assert_int_equal(mkdir(b->path, 0777), 0);
	assert_int_equal(case_create(&b->s, b->path, "a.vhd", &c), 0);
	case_abandon(c);
	assert_int_equal(entries(b->path, false), 0);
	assert_int_equal(access(b->path, F_OK), 0); /* it was there before */
	snprintf(file, sizeof(file), "%s/file", b->folder);
	close(open(file, O_CREAT | O_WRONLY, 0666));
	assert_int_equal(case_create(&b->s, file, "a.vhd", &c), -ENOTDIR);
}

static void an_abandoned_case_leaves_no_folder(void **state)
{
	struct bed *b = *state;
	struct case_dir *c;

	assert_int_equal(case_create(&b->s, b->path, "a.vhd", &c), 0);
	case_abandon(c);
	assert_int_equal(access(b->path, F_OK), -1);
}

static void a_file_has_its_name_only_when_complete(void **state)
{
	struct bed *b = *state;
	struct case_dir *c;
	struct case_file *f;
	char path[160];

	snprintf(path, sizeof(path), "%s/lost.map", b->path);
	assert_int_equal(case_create(&b->s, b->path, "a.vhd", &c), 0);
	f = case_file(c, "lost.map");
	fputs("text\n", case_stream(f));
	fflush(case_stream(f));
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(case_commit(f), 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(entries(b->path, false), 3); /* run.log, INCOMPLETE */
	case_drop(case_file(c, "report.html"));
	assert_int_equal(entries(b->path, false), 3);
	case_close(c);
}

static void a_full_disk_is_an_error_and_leaves_no_part(void **state)
{
	struct bed *b = *state;
	struct case_dir *c;
	struct case_file *f;
	int full = open("/dev/full", O_WRONLY);

	assert_int_equal(case_create(&b->s, b->path, "a.vhd", &c), 0);
	f = case_file(c, "report.json");
	assert_int_equal(dup2(full, fileno(case_stream(f))), fileno(case_stream(f)));
	close(full);
	fputs("a record\n", case_stream(f));
	assert_int_equal(case_commit(f), -ENOSPC);
	assert_non_null(strstr(b->error, "report.json could not be written: No space left"));
	assert_int_equal(entries(b->path, false), 2);
	case_close(c);
}

#define BED_TEST(fn) cmocka_unit_test_setup_teardown(fn, bed_new, bed_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BED_TEST(a_folder_that_holds_anything_is_refused),
		BED_TEST(an_incomplete_case_is_begun_again),
		BED_TEST(an_incomplete_case_of_another_image_is_left_alone),
		BED_TEST(what_no_run_made_is_never_removed),
		BED_TEST(a_marker_leads_nowhere_else),
		BED_TEST(two_runs_do_not_share_a_case),
		BED_TEST(an_empty_folder_is_taken_and_a_file_is_not),
		BED_TEST(an_abandoned_case_leaves_no_folder),
		BED_TEST(a_file_has_its_name_only_when_complete),
		BED_TEST(a_full_disk_is_an_error_and_leaves_no_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
