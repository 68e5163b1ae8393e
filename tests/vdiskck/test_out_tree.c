/* SPDX-License-Identifier: Apache-2.0 */
/* Names that an image may hold, and what extract makes of them. */
#include "tests/lib/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vdiskck/out_tree.h"

/* %HH undone, as the manual describes it. */
static size_t decode(const char *name, char *out)
{
	size_t n = 0;
	unsigned byte;

	while (*name) {
		if (name[0] == '%' && sscanf(name + 1, "%2x", &byte) == 1 && name[1] && name[2] &&
		    strspn(name + 1, "0123456789abcdefABCDEF") >= 2) {
			out[n++] = (char)byte;
			name += 3;
		} else {
			out[n++] = *name++;
		}
	}
	return n;
}

static void names_are_kept_where_they_can_be(void **state)
{
	static const char *const same[] = {"a",	       "a b.txt", "100%.txt",  "%zz",
					   "\xc3\xa4", "a:b",	  "a\\b",      "...",
					   "console",  "com",	  "x%",	       "\xf0\x9f\x98\x80",
					   ".hidden",  "a.",	  "trailing ", "<>\"|?*"};
	char out[OUT_NAME];

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++)
		assert_string_equal(out_name(same[i], strlen(same[i]), NULL, false, out), same[i]);
}

static void names_that_do_harm_are_escaped(void **state)
{
	static const char *const pair[][2] = {
		{"..", "%2E%2E"},
		{".", "%2E"},
		{"a\nb", "a%0Ab"},
		{"\x1b[2J", "%1B[2J"},
		{"a\x7f", "a%7F"},
		{"%41", "%2541"},
		{"%~2", "%25~2"},
		{"\xff", "%FF"},
		{"\xed\xa0\x80", "%ED%A0%80"}, /* a lone surrogate */
		{"\xe2\x80\xae"
		 "fdp.exe",
		 "%E2%80%AEfdp.exe"}, /* right-to-left override */
		{"nul", "%6Eul"},
		{"CON.txt", "%43ON.txt"},
		{"com1 .x", "%63om1 .x"},
	};
	char out[OUT_NAME], back[OUT_NAME];

	(void)state;
	for (size_t i = 0; i < sizeof(pair) / sizeof(*pair); i++) {
		size_t len = strlen(pair[i][0]);

		assert_string_equal(out_name(pair[i][0], len, NULL, false, out), pair[i][1]);
		assert_int_equal(decode(out, back), len);
		assert_memory_equal(back, pair[i][0], len);
	}
	assert_string_equal(out_name("a:b:s", 5, "s", false, out), "a:b%3As");
	assert_string_equal(out_name("a?. ", 4, NULL, true, out), "a%3F.%20");
}

/* Whatever the bytes: one name without a slash, of 255 bytes at most, and the bytes come back. */
static void any_bytes_come_back(void **state)
{
	uint32_t seed = 7;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		static const char some[] = "%%%~2eEaA.. :\\\x01\xc3\xa4\xe2\x80\xae\xff\n";
		char name[80], out[OUT_NAME], back[OUT_NAME];
		size_t len;

		seed = seed * 1103515245 + 12345;
		len = 1 + (seed >> 16) % (sizeof(name) - 1);
		for (size_t i = 0; i < len; i++) {
			seed = seed * 1103515245 + 12345;
			name[i] = some[(seed >> 16) % (sizeof(some) - 1)];
		}
		out_name(name, len, NULL, round % 2, out);
		assert_null(strchr(out, '/'));
		assert_true(strcmp(out, ".") && strcmp(out, ".."));
		if (strstr(out, "%~")) { /* cut */
			assert_true(round % 2 && strlen(out) > 100);
			continue;
		}
		assert_int_equal(decode(out, back), len);
		assert_memory_equal(back, name, len);
	}
}

static void long_names_end_in_a_hash(void **state)
{
	char name[765], out[OUT_NAME], other[OUT_NAME];

	(void)state;
	for (size_t i = 0; i < sizeof(name); i += 3) /* 255 characters of three bytes */
		memcpy(name + i, "\xe2\x82\xac", 3);
	out_name(name, sizeof(name), NULL, false, out);
	assert_in_range(strlen(out), 250, 255);
	assert_memory_equal(strstr(out, "%~"), "%~", 2);
	assert_int_equal(strlen(strstr(out, "%~")), 18);
	name[764] = '\xad';
	out_name(name, sizeof(name), NULL, false, other);
	assert_string_not_equal(out, other);
	memset(name, 1, sizeof(name)); /* not cut within %01 */
	out_name(name, sizeof(name), NULL, false, out);
	assert_int_equal((size_t)(strstr(out, "%~") - out) % 3, 0);
}

struct folder {
	struct session s;
	struct out_tree t;
	struct out_dirs d;
	struct line to;
	char path[64];
};

static int up(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	session_init(&f->s);
	strcpy(f->path, "/tmp/vdiskck-out.XXXXXX");
	if (!mkdtemp(f->path) || out_tree_open(&f->t, &f->s, f->path))
		return -1;
	f->d.t = &f->t;
	*state = f;
	return 0;
}

static int down(void **state)
{
	struct folder *f = *state;
	char command[128];

	out_dirs_close(&f->d);
	out_tree_close(&f->t);
	session_fini(&f->s);
	snprintf(command, sizeof(command), "rm -rf %s", f->path);
	free(f->to.p);
	free(f);
	return system(command);
}

static void put(struct folder *f, const char *from, const char *expected)
{
	int fd = out_dirs_file(&f->d, "", from, NULL, "", &f->to);

	assert_true(fd >= 0);
	close(fd);
	assert_string_equal(f->to.p, expected);
}

static void nothing_is_overwritten(void **state)
{
	struct folder *f = *state;

	put(f, "/a/b", "a/b");
	put(f, "/a/b", "a/b%~2");
	put(f, "/a/b", "a/b%~3");
	put(f, "/a/b/c", "a/b%~4/c"); /* files stand where the folder should */
}

static void folders_above_the_root_are_not_reached(void **state)
{
	struct folder *f = *state;

	put(f, "/../../x", "%2E%2E/%2E%2E/x");
	put(f, "/a/../x", "a/%2E%2E/x");
}

static void links_are_not_followed(void **state)
{
	struct folder *f = *state;
	struct stat st;

	assert_int_equal(symlinkat("/tmp", f->t.fd, "out"), 0);
	put(f, "/out/x", "out%~2/x");
	assert_int_equal(symlinkat("/tmp/vdiskck-never", f->t.fd, "file"), 0);
	put(f, "/file", "file%~2");
	assert_int_equal(stat("/tmp/vdiskck-never", &st), -1);
}

static void folders_get_their_times_by_the_name_they_have(void **state)
{
	const struct timespec old[2] = {{1000000000, 123456700}, {1100000000, 765432100}};
	struct folder *f = *state;
	struct stat st;

	put(f, "/a/b", "a/b");
	assert_true(out_dirs_folder(&f->d, "", "/a/b", &f->to) >= 0);
	assert_string_equal(f->to.p, "a/b%~2"); /* a file has that name */
	out_dirs_times(&f->d, "", "/a/b", "b%~2", old);
	assert_int_equal(fstatat(f->t.fd, "a/b%~2", &st, 0), 0);
	assert_int_equal(st.st_atim.tv_nsec, 123456700);
	assert_int_equal(st.st_mtim.tv_sec, 1100000000);
	assert_int_equal(fstatat(f->t.fd, "a/b", &st, 0), 0);
	assert_int_not_equal(st.st_mtim.tv_sec, 1100000000);
	/* What a link that somebody laid leads to stays as it is. */
	assert_int_equal(symlinkat("b", f->d.t->fd, "link"), 0);
	out_dirs_times(&f->d, "", "/link", "link", old);
	assert_int_equal(fstatat(f->t.fd, "link", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1100000000);
	out_dirs_times(&f->d, "", "/", "", old);
	assert_int_equal(fstat(f->t.fd, &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1100000000);
}

static int link_to(struct folder *f, const char *from, const char *target)
{
	return out_dirs_link(&f->d, "", from, target, &f->to);
}

static void links_stay_inside(void **state)
{
	struct folder *f = *state;
	char target[64] = "";

	assert_int_equal(link_to(f, "/a/b/ok", "../c"), 0);
	assert_true(readlinkat(f->t.fd, "a/b/ok", target, sizeof(target) - 1) == 4);
	assert_string_equal(target, "../c");
	assert_int_equal(link_to(f, "/a/b/top", "../.."), 0);
	assert_int_equal(link_to(f, "/a/b/above", "../../.."), -EXDEV);
	assert_int_equal(link_to(f, "/absolute", "/etc/passwd"), -EXDEV);
	assert_int_equal(link_to(f, "/up", ".."), -EXDEV);
	assert_int_equal(link_to(f, "/empty", ""), -EXDEV);
	/* What "x/.." is depends on where the link x leads: never taken. */
	assert_int_equal(link_to(f, "/a/b/later", "x/../../y"), -EXDEV);
	assert_int_equal(link_to(f, "/a/nul-here", "nul"), 0);
	memset(target, 0, sizeof(target));
	assert_true(readlinkat(f->t.fd, "a/nul-here", target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "%6Eul"); /* as the file itself is named */
}

/* Deeper than PATH_MAX, and than a cache of folders is large. */
static void deep_paths_are_no_limit(void **state)
{
	struct folder *f = *state;
	char path[12001];

	for (size_t i = 0; i < 12000; i += 40) {
		memset(path + i, 'd', 40);
		path[i] = '/';
	}
	path[12000] = '\0';
	put(f, path, path + 1);
	path[11999] = 'e';
	put(f, path, path + 1);
}

static void a_folder_with_something_in_it_is_refused(void **state)
{
	struct folder *f = *state;
	struct out_tree again;

	put(f, "/x", "x");
	assert_int_equal(out_tree_open(&again, &f->s, f->path), -ENOTEMPTY);
	out_tree_close(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_kept_where_they_can_be),
		cmocka_unit_test(names_that_do_harm_are_escaped),
		cmocka_unit_test(any_bytes_come_back),
		cmocka_unit_test(long_names_end_in_a_hash),
		cmocka_unit_test_setup_teardown(nothing_is_overwritten, up, down),
		cmocka_unit_test_setup_teardown(folders_get_their_times_by_the_name_they_have, up,
						down),
		cmocka_unit_test_setup_teardown(folders_above_the_root_are_not_reached, up, down),
		cmocka_unit_test_setup_teardown(links_are_not_followed, up, down),
		cmocka_unit_test_setup_teardown(links_stay_inside, up, down),
		cmocka_unit_test_setup_teardown(deep_paths_are_no_limit, up, down),
		cmocka_unit_test_setup_teardown(a_folder_with_something_in_it_is_refused, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
