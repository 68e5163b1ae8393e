/* SPDX-License-Identifier: Apache-2.0 */
/* Which files an image may name, and which it can't make us open. */
#include "tests/lib/image.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vdiskck/core/source.h"

/*
 * ROOT/img/{child,parent,sub/deep,back\slash}  ROOT/pool/{base,nested/far}  ROOT/outside
 * ROOT/img/link -> child's sibling  ROOT/img/out -> ../outside  ROOT/img/pooled -> ROOT/pool/base
 */
struct tree {
	char root[64];
	struct session s;
	struct layer *by;
	const char *chain[4];
	char chain_path[3][128];
};

static void put(const struct tree *t, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", t->root, name);
	f = fopen(path, "wb");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void folder(const struct tree *t, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", t->root, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void link_to(const struct tree *t, const char *name, const char *to)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", t->root, name);
	assert_int_equal(symlink(to, path), 0);
}

static void chain(struct tree *t, unsigned i, const char *name)
{
	strcat(strcat(strcpy(t->chain_path[i], t->root), "/"), name);
	t->chain[i] = t->chain_path[i];
}

static void open_by(struct tree *t, const char *name)
{
	char path[256];

	layer_free(t->by);
	snprintf(path, sizeof(path), "%s/%s", t->root, name);
	t->s.opt.chain = t->chain;
	assert_int_equal(source_open(&t->s, path, &t->by), 0);
}

static int setup(void **state)
{
	struct tree *t = calloc(1, sizeof(*t));
	char pool[128];

	snprintf(t->root, sizeof(t->root), "/tmp/vdiskck-test-XXXXXX");
	assert_non_null(mkdtemp(t->root));
	session_init(&t->s);
	folder(t, "img");
	folder(t, "img/sub");
	folder(t, "pool");
	folder(t, "pool/nested");
	put(t, "img/child", "child");
	put(t, "img/parent", "parent");
	put(t, "img/sub/deep", "deep");
	put(t, "img/back\\slash", "backslash");
	put(t, "pool/base", "base");
	put(t, "pool/nested/far", "far");
	put(t, "outside", "outside");
	link_to(t, "img/link", "parent");
	link_to(t, "img/out", "../outside");
	link_to(t, "img/shadow", "/etc/shadow");
	link_to(t, "img/zero", "/dev/zero");
	snprintf(pool, sizeof(pool), "%s/pool/base", t->root);
	link_to(t, "img/pooled", pool);
	open_by(t, "img/child");
	*state = t;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct tree *t = *state;

	layer_free(t->by);
	session_fini(&t->s);
	nftw(t->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(t);
	return 0;
}

/* The result, and the text of the file if it was opened. */
static int ask(struct tree *t, const char *name, char text[16])
{
	struct layer *l = NULL;
	int r = source_open_beside(t->by, name, &l);

	memset(text, 0, 16);
	if (r) {
		assert_null(l);
		return r;
	}
	assert_non_null(l);
	assert_int_equal(layer_read(l, 0, text, l->size < 15 ? l->size : 15, NULL), 0);
	layer_free(l);
	return 0;
}

#define assert_opens(t, name, content)                                                             \
	do {                                                                                       \
		char text_[16];                                                                    \
		assert_int_equal(ask(t, name, text_), 0);                                          \
		assert_string_equal(text_, content);                                               \
	} while (0)
#define assert_refuses(t, name, why)                                                               \
	do {                                                                                       \
		char text_[16];                                                                    \
		assert_int_equal(ask(t, name, text_), why);                                        \
	} while (0)

static void relative_names_are_found_beside_the_image(void **state)
{
	struct tree *t = *state;

	assert_opens(t, "parent", "parent");
	assert_opens(t, "./parent", "parent");
	assert_opens(t, ".\\parent", "parent");
	assert_opens(t, "sub/deep", "deep");
	assert_opens(t, "sub\\deep", "deep");
	assert_opens(t, "sub/../parent", "parent");
	assert_opens(t, "file:parent", "parent");
	assert_opens(t, "link", "parent");
	assert_opens(t, "back\\slash", "backslash");
	assert_refuses(t, "nothing", -ENOENT);
	assert_refuses(t, "parent/below-a-file", -ENOENT);
	assert_refuses(t, "", -ENOENT);
}

static void foreign_absolute_names_are_found_by_their_last_component(void **state)
{
	struct tree *t = *state;

	assert_opens(t, "C:\\VMs\\parent", "parent");
	assert_opens(t, "c:/VMs/parent", "parent");
	assert_opens(t, "\\\\server\\share\\parent", "parent");
	assert_opens(t, "\\\\?\\D:\\x\\parent", "parent");
	assert_opens(t, "file:///C:/VMs/p%61rent", "parent");
	assert_opens(t, "file://localhost/VMs/parent", "parent");
	assert_opens(t, "/somewhere/else/parent", "parent");
	assert_refuses(t, "C:\\VMs\\nothing", -ENOENT);
	assert_refuses(t, "file:///x%00parent", -ENOENT);
	assert_refuses(t, "file://", -ENOENT);
	/* The image itself, met by the last component only, is not its own parent. */
	assert_refuses(t, "C:\\VMs\\child", -ENOENT);
	/* But where it names itself, the caller shall see it. */
	assert_opens(t, "child", "child");
}

static void names_that_lead_outside_are_refused(void **state)
{
	struct tree *t = *state;

	assert_refuses(t, "../outside", -EACCES);
	assert_refuses(t, "..\\outside", -EACCES);
	assert_refuses(t, "sub/../../outside", -EACCES);
	assert_refuses(t, "out", -EACCES);
	assert_refuses(t, "/etc/shadow", -EACCES);
	assert_refuses(t, "file:///etc/shadow", -EACCES);
	assert_refuses(t, "../../../../../../../etc/shadow", -EACCES);
	assert_refuses(t, "shadow", -EACCES);
	assert_refuses(t, "pooled", -EACCES);
	assert_refuses(t, "/proc/self/fd/0", -EACCES);
	assert_refuses(t, "/proc/self/root/etc/shadow", -EACCES);
	assert_refuses(t, "../pool/base", -EACCES);
	assert_refuses(t, "..", -EACCES);
	assert_refuses(t, "/no/such/file", -ENOENT);
}

static void only_regular_files_are_opened(void **state)
{
	struct tree *t = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/img/fifo", t->root);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refuses(t, "fifo", -EACCES);
	assert_refuses(t, "sub", -EACCES);
	assert_refuses(t, ".", -EACCES);
	assert_refuses(t, "/dev/zero", -EACCES);
	assert_refuses(t, "zero", -EACCES);
	snprintf(path, sizeof(path), "%s/img/device", t->root);
	if (!mknod(path, S_IFCHR | 0600, makedev(1, 5)))
		assert_refuses(t, "device", -EACCES);
}

static void chain_folders_are_searched_and_allowed(void **state)
{
	struct tree *t = *state;
	char path[128];

	chain(t, 0, "pool");
	open_by(t, "img/child");
	assert_opens(t, "base", "base");
	assert_opens(t, "nested/far", "far");
	assert_opens(t, "../pool/base", "base");
	assert_opens(t, "..\\pool\\nested\\far", "far");
	assert_opens(t, "Z:\\x\\base", "base");
	assert_opens(t, "pooled", "base");
	snprintf(path, sizeof(path), "%s/pool/nested/far", t->root);
	assert_opens(t, path, "far");
	assert_refuses(t, "../outside", -EACCES);
	assert_refuses(t, "../pool/../outside", -EACCES);
}

static void a_file_named_by_chain_itself_is_opened(void **state)
{
	struct tree *t = *state;

	chain(t, 0, "outside");
	open_by(t, "img/child");
	assert_opens(t, "/far/away/outside", "outside");
	assert_opens(t, "outside", "outside");
	assert_refuses(t, "/etc/passwd", -EACCES);
}

static void a_link_to_an_image_brings_its_real_folder(void **state)
{
	struct tree *t = *state;

	folder(t, "links");
	link_to(t, "links/image", "../img/child");
	open_by(t, "links/image");
	assert_opens(t, "parent", "parent");
	assert_refuses(t, "../outside", -EACCES);
}

static void a_parent_names_its_own_parent_from_where_it_lies(void **state)
{
	struct tree *t = *state;
	struct layer *parent = NULL, *grand = NULL;

	assert_int_equal(source_open_beside(t->by, "sub/deep", &parent), 0);
	assert_int_equal(source_open_beside(parent, "../parent", &grand), 0);
	layer_free(grand);
	assert_int_equal(source_open_beside(parent, "../../outside", &grand), -EACCES);
	layer_free(parent);
}

struct seen_files {
	char names[256];
	const char *keep;
};

static int each(void *arg, struct layer *l)
{
	struct seen_files *s = arg;

	strcat(strcat(s->names, l->path), " ");
	return s->keep && !strcmp(s->keep, l->path);
}

static void each_file_beside_is_tried_in_order(void **state)
{
	struct tree *t = *state;
	struct seen_files s = {0};
	char path[128];

	snprintf(path, sizeof(path), "%s/img/fifo", t->root);
	assert_int_equal(mkfifo(path, 0600), 0);
	chain(t, 0, "pool");
	chain(t, 1, "img");
	open_by(t, "img/child");
	assert_int_equal(source_each_beside(t->by, each, &s), 0);
	assert_string_equal(s.names, "back\\slash link parent pooled base ");
}

static int keep_parent(void *arg, struct layer *l)
{
	struct layer **kept = arg;

	if (strcmp(l->path, "parent"))
		return 0;
	*kept = l;
	return 1;
}

static void a_file_beside_may_be_kept(void **state)
{
	struct tree *t = *state;
	struct layer *kept = NULL;
	char text[7] = "";

	assert_int_equal(source_each_beside(t->by, keep_parent, &kept), 1);
	assert_non_null(kept);
	assert_int_equal(layer_read(kept, 0, text, 6, NULL), 0);
	assert_string_equal(text, "parent");
	assert_false(source_same(kept, t->by));
	layer_free(kept);
}

static void an_image_in_memory_has_nothing_beside(void **state)
{
	struct tree *t = *state;
	struct layer *m = memory_source(&t->s, "memory", "x", 1), *l = NULL;

	assert_int_equal(source_open_beside(m, "parent", &l), -ENOENT);
	assert_int_equal(source_each_beside(m, keep_parent, &l), 0);
	layer_free(m);
}

/* Whatever an image says, only what lies in its folder is opened. */
static void no_name_leads_outside(void **state)
{
	static const char *const piece[] = {"..",
					    "/",
					    "\\",
					    ".",
					    "sub",
					    "deep",
					    "parent",
					    "link",
					    "out",
					    "outside",
					    "shadow",
					    "C:",
					    "file://",
					    "file:",
					    "zero",
					    "etc",
					    "%2e%2e",
					    "%2f",
					    "\\\\?\\",
					    "pooled",
					    "fifo",
					    "proc/self/root",
					    "proc/self/cwd",
					    "tmp"};
	struct tree *t = *state;
	uint32_t x = 7;
	char path[128];

	snprintf(path, sizeof(path), "%s/img/fifo", t->root);
	assert_int_equal(mkfifo(path, 0600), 0);
	for (int i = 0; i < 6000; i++) {
		char name[256] = "", text[16];

		x = x * 1664525 + 1013904223;
		for (unsigned n = x >> 29; n < 8; n++) {
			x = x * 1664525 + 1013904223;
			strcat(name, piece[(x >> 16) % (sizeof(piece) / sizeof(piece[0]))]);
			if (x >> 31)
				strcat(name, "/");
		}
		if (ask(t, name, text))
			continue;
		if (strcmp(text, "parent") && strcmp(text, "deep"))
			fail_msg("%s opens \"%s\"", name, text);
	}
	/* The last component may be as long as anything. */
	for (size_t n = 1; n < 10000; n = n * 5 / 3 + 1) {
		char *name = malloc(n + 1), text[16];

		memset(name, 'a', n);
		name[n] = '\0';
		assert_int_equal(ask(t, name, text), -ENOENT);
		for (size_t k = 1; k < n; k += 2)
			name[k] = '/';
		assert_int_equal(ask(t, name, text), -ENOENT);
		free(name);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(relative_names_are_found_beside_the_image),
		T(foreign_absolute_names_are_found_by_their_last_component),
		T(names_that_lead_outside_are_refused),
		T(only_regular_files_are_opened),
		T(chain_folders_are_searched_and_allowed),
		T(a_file_named_by_chain_itself_is_opened),
		T(a_link_to_an_image_brings_its_real_folder),
		T(a_parent_names_its_own_parent_from_where_it_lies),
		T(each_file_beside_is_tried_in_order),
		T(a_file_beside_may_be_kept),
		T(no_name_leads_outside),
		T(an_image_in_memory_has_nothing_beside),
	};

	const struct CMUnitTest again[] = {
		T(relative_names_are_found_beside_the_image),
		T(names_that_lead_outside_are_refused),
		T(only_regular_files_are_opened),
		T(chain_folders_are_searched_and_allowed),
		T(each_file_beside_is_tried_in_order),
		T(no_name_leads_outside),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	setenv("EIO_NO_OPENAT2", "1", 1);
	return r | cmocka_run_group_tests_name("without openat2()", again, NULL, NULL);
}
