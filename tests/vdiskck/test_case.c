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

	assert_int_equal(case_create(&b->s, b->path, &c), 0);
	case_close(c);
	/* The log of the first run lies there now. */
	assert_int_equal(case_create(&b->s, b->path, &c), -ENOTEMPTY);
	assert_null(c);
	assert_non_null(strstr(b->error, "not empty"));
	assert_int_equal(entries(b->path, false), 1);
}

static void an_empty_folder_is_taken_and_a_file_is_not(void **state)
{
	struct bed *b = *state;
	struct case_dir *c;
	char file[160];

	assert_int_equal(mkdir(b->path, 0777), 0);
	assert_int_equal(case_create(&b->s, b->path, &c), 0);
	case_abandon(c);
	assert_int_equal(entries(b->path, false), 0);
	assert_int_equal(access(b->path, F_OK), 0); /* it was there before */
	snprintf(file, sizeof(file), "%s/file", b->folder);
	close(open(file, O_CREAT | O_WRONLY, 0666));
	assert_int_equal(case_create(&b->s, file, &c), -ENOTDIR);
}

static void an_abandoned_case_leaves_no_folder(void **state)
{
	struct bed *b = *state;
	struct case_dir *c;

	assert_int_equal(case_create(&b->s, b->path, &c), 0);
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
	assert_int_equal(case_create(&b->s, b->path, &c), 0);
	f = case_file(c, "lost.map");
	fputs("text\n", case_stream(f));
	fflush(case_stream(f));
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(case_commit(f), 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(entries(b->path, false), 2);
	case_drop(case_file(c, "report.html"));
	assert_int_equal(entries(b->path, false), 2);
	case_close(c);
}

static void a_full_disk_is_an_error_and_leaves_no_part(void **state)
{
	struct bed *b = *state;
	struct case_dir *c;
	struct case_file *f;
	int full = open("/dev/full", O_WRONLY);

	assert_int_equal(case_create(&b->s, b->path, &c), 0);
	f = case_file(c, "report.json");
	assert_int_equal(dup2(full, fileno(case_stream(f))), fileno(case_stream(f)));
	close(full);
	fputs("a record\n", case_stream(f));
	assert_int_equal(case_commit(f), -ENOSPC);
	assert_non_null(strstr(b->error, "report.json could not be written: No space left"));
	assert_int_equal(entries(b->path, false), 1);
	case_close(c);
}

#define BED_TEST(fn) cmocka_unit_test_setup_teardown(fn, bed_new, bed_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BED_TEST(a_folder_that_holds_anything_is_refused),
		BED_TEST(an_empty_folder_is_taken_and_a_file_is_not),
		BED_TEST(an_abandoned_case_leaves_no_folder),
		BED_TEST(a_file_has_its_name_only_when_complete),
		BED_TEST(a_full_disk_is_an_error_and_leaves_no_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
