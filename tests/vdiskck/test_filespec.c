/* SPDX-License-Identifier: Apache-2.0 */
/* What users type for a file, on file systems that are tables. */
#include "tests/lib/image.h"

#include <errno.h>
#include <stdio.h>

#include "tests/lib/fake_fs.h"
#include "vdiskck/filespec.h"

static const struct fake_file unix_files[] = {
	{{.path = "/a", .kind = FS_DIR}, 0, 0, NULL},
	{{.path = "/a/b", .kind = FS_FILE}, 0, 0, NULL},
	{{.path = "/a/B", .kind = FS_FILE}, 0, 0, NULL},
	{{.path = "/a/[1].txt", .kind = FS_FILE}, 0, 0, NULL},
	{{.path = "/a/1.txt", .kind = FS_FILE}, 0, 0, NULL},
	{{.path = "/a/new\nline", .kind = FS_FILE}, 0, 0, NULL},
	{{.path = "/a/back\\slash", .kind = FS_FILE}, 0, 0, NULL},
	{{.path = "/link", .kind = FS_SYMLINK, .target = "a"}, 0, 0, NULL},
	{{.path = "/a/gone", .kind = FS_FILE, .deleted = true}, 0, 0, NULL},
	{{.path = "/a/deep", .kind = FS_DIR}, 0, 0, NULL},
	{{.path = "/a/deep/x.log", .kind = FS_FILE}, 0, 0, NULL},
	{{.path = "/both", .kind = FS_FILE}, 0, 0, NULL},
	{{0}, 0, 0, NULL},
};

static const struct fake_file windows_files[] = {
	{{.path = "/Windows", .kind = FS_DIR}, 0, 0, NULL},
	{{.path = "/Windows/System.evtx", .kind = FS_FILE}, 0, 0, NULL},
	{{.path = "/both", .kind = FS_FILE}, 0, 0, NULL},
	{{0}, 0, 0, NULL},
};

static uint8_t bytes[4096];
static struct args args = {.image = "image"};
static struct volumes vs;

static int up(void **state)
{
	struct run *r = calloc(1, sizeof(*r));

	r->a = &args;
	session_init(&r->s);
	r->source = memory_source(&r->s, "image", bytes, sizeof(bytes));
	fake_fs_new(r->source, "fake", unix_files);
	fake_fs_new(r->source, "fat", windows_files);
	assert_int_equal(volumes_find(r, &vs), 0);
	assert_int_equal(vs.n, 2);
	*state = r;
	return 0;
}

static int down(void **state)
{
	struct run *r = *state;

	volumes_free(&vs);
	layer_free(r->source);
	session_fini(&r->s);
	free(r);
	return 0;
}

static void is(struct run *r, const char *text, const char *path)
{
	struct filespec fs;
	int err = filespec_parse(r, &vs, text, false, &fs);

	if (err || !fs.e || strcmp(fs.e->path, path))
		fail_msg("%s: %d, %s", text, err, fs.e ? fs.e->path : "none");
	filespec_free(&fs);
}

static void fails(struct run *r, const char *text, int expected)
{
	struct filespec fs;

	if (filespec_parse(r, &vs, text, false, &fs) != expected)
		fail_msg("%s did not fail as it should", text);
	filespec_free(&fs);
}

static void paths_on_one_volume_need_no_more(void **state)
{
	is(*state, "/a/b", "/a/b");
	is(*state, "/a/B", "/a/B");
	is(*state, "//a/./b", "/a/b");
	is(*state, "/WINDOWS/system.EVTX", "/Windows/System.evtx");
	is(*state, "\\windows\\System.evtx", "/Windows/System.evtx");
	fails(*state, "/A/b", -ENOENT);
	fails(*state, "/both", -ENOTUNIQ);
	fails(*state, "a/b", -EINVAL);
	fails(*state, "", -EINVAL);
}

static void a_volume_goes_before_the_path(void **state)
{
	is(*state, "fake:/both", "/both");
	is(*state, "fat:/both", "/both");
	is(*state, "fat:\\WINDOWS", "/Windows");
	is(*state, "fake:", "/");
	is(*state, "fake", "/");
	fails(*state, "none:/both", -ENOENT);
	fails(*state, "image:/both", -ENOTUNIQ); /* two stand on it */
	fails(*state, "7:/both", -ENOENT);
}

static void names_as_ls_prints_them_are_understood(void **state)
{
	is(*state, "fake:/a/new\\x0aline", "/a/new\nline");
	is(*state, "fake:/a/back\\slash", "/a/back\\slash");
	is(*state, "fake:/a/back\\\\slash", "/a/back\\slash");
}

static void links_on_the_way_are_followed_and_the_last_one_is_not(void **state)
{
	struct run *r = *state;
	struct filespec fs;

	is(r, "fake:/link/b", "/a/b");
	is(r, "fake:/link", "/link");
	is(r, "fake:/link/", "/a");
	is(r, "fake:/link/../both", "/both");
	assert_int_equal(filespec_parse(r, &vs, "fake:/link", true, &fs), 0);
	assert_string_equal(fs.e->path, "/a");
	filespec_free(&fs);
}

struct listed {
	char text[256];
};

static int add(void *arg, const struct fs_entry *e)
{
	struct listed *s = arg;

	strcat(s->text, e->path);
	strcat(s->text, " ");
	return 0;
}

static void walks(struct run *r, const char *text, bool recursive, bool deleted,
		  const char *expected)
{
	struct listed s = {""};
	struct filespec fs;
	struct filespec_walk w = {
		.recursive = recursive, .deleted = deleted, .contents = true, .fn = add, .arg = &s};

	assert_int_equal(filespec_parse(r, &vs, text, false, &fs), 0);
	assert_int_equal(filespec_walk(&fs, &w), 0);
	assert_string_equal(s.text, expected);
	filespec_free(&fs);
}

static void patterns_are_tried_where_no_name_fits(void **state)
{
	struct run *r = *state;
	struct filespec fs;

	is(r, "fake:/a/[1].txt", "/a/[1].txt");
	walks(r, "fake:/a/[123].tx?", false, false, "/a/1.txt ");
	walks(r, "fake:/a/?", false, false, "/a/b /a/B ");
	walks(r, "fake:/**/*.log", false, false, "/a/deep/x.log ");
	walks(r, "fake:/a/d*", true, false, "/a/deep /a/deep/x.log ");
	walks(r, "fake:/a/g*", false, true, "/a/gone ");
	walks(r, "fat:/win*/*.EVTX", false, false, "/Windows/System.evtx ");
	walks(r, "fat:\\win*\\*", false, false, "/Windows/System.evtx ");
	assert_int_equal(filespec_parse(r, &vs, "fake:/a/g*", false, &fs), 0);
	assert_true(fs.glob);
	assert_int_equal(
		filespec_walk(&fs, &(struct filespec_walk){.fn = add, .arg = &(struct listed){""}}),
		-ENOENT);
	filespec_free(&fs);
}

static void folders_files_and_deleted_ones(void **state)
{
	struct run *r = *state;

	walks(r, "fake:/a/deep", false, false, "/a/deep/x.log ");
	walks(r, "fake:/a/b", false, false, "/a/b ");
	walks(r, "fake:/a/gone", false, false, "/a/gone "); /* it is named: it is meant */
	walks(r, "fat:/", true, false, "/Windows /Windows/System.evtx /both ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(paths_on_one_volume_need_no_more, up, down),
		cmocka_unit_test_setup_teardown(a_volume_goes_before_the_path, up, down),
		cmocka_unit_test_setup_teardown(names_as_ls_prints_them_are_understood, up, down),
		cmocka_unit_test_setup_teardown(
			links_on_the_way_are_followed_and_the_last_one_is_not, up, down),
		cmocka_unit_test_setup_teardown(patterns_are_tried_where_no_name_fits, up, down),
		cmocka_unit_test_setup_teardown(folders_files_and_deleted_ones, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
