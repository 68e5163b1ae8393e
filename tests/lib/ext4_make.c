/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/ext4_make.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/fs/fs.h"

static char tree[64];

static void remove_tree(void)
{
	char command[256];

	snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", tree, tree);
	if (*tree && system(command))
		fprintf(stderr, "%s stays\n", tree);
}

static const char script[] =
	"set -e; umask 022; cd %s; exec 2>/dev/null;"
	"printf x >small; : >empty; seq 1 20 >'name with spaces'; seq 1 9 >$(printf 'b\\377d\\001');"
	"seq 1 100000 >large; truncate -s 300000 hole; seq 1 500 | dd of=hole bs=1000 seek=100 "
	"conv=notrunc status=none; truncate -s 70001 only-hole;"
	"mkdir -p deep/a/b/c/d/e/f/g; seq 1 3000 >deep/a/b/c/d/e/f/g/file;"
	"mkdir many; for i in $(seq 1 300); do echo $i >many/a-file-with-a-long-name-number-$i; done;"
	"ln -s small link; ln -s $(printf 'x/%%.0s' $(seq 1 60))end longlink;"
	"ln -s ../small deep/up; ln small hard; mkfifo fifo; mkdir emptydir;"
	"printf '%%s' $(seq 1 30) >inline-more; chmod 4755 small; chmod 600 large;"
	"for i in 1 2 3 4 5 6 7; do seq $i 400 >f$i; done;"
	"touch -d 2040-02-03T04:05:06.123456789Z later; touch -d 1960-01-01T00:00:00Z before";

const char *ext4_tree(void)
{
	char command[2048];

	if (*tree)
		return tree;
	strcpy(tree, "/tmp/vdiskck-tree-XXXXXX");
	if (!mkdtemp(tree))
		fail_msg("no temporary folder");
	atexit(remove_tree);
	snprintf(command, sizeof(command), script, tree);
	if (system(command))
		fail_msg("%s", command);
	return tree;
}

struct image *ext4_make(const char *args, const char *size, const char *edit)
{
	char path[] = "/tmp/vdiskck-ext4-XXXXXX", command[4096];
	struct image *img = NULL;
	int fd = mkstemp(path);

	if (fd < 0)
		fail_msg("no temporary file");
	close(fd);
	snprintf(command, sizeof(command),
		 "PATH=$PATH:/usr/sbin; truncate -s %s %s && mke2fs -qF %s -d %s %s 2>/dev/null",
		 size, path, args, ext4_tree(), path);
	if (!system(command)) {
		snprintf(
			command, sizeof(command),
			"PATH=$PATH:/usr/sbin; debugfs -w -f - %s >/dev/null 2>&1 <<'END'\n%s\nEND\n",
			path, edit ? edit : "");
		if (edit && system(command))
			fail_msg("%s", command);
		img = image_file(path);
	}
	unlink(path);
	return img;
}

int ext4_verdict(const struct image *img)
{
	char path[] = "/tmp/vdiskck-ext4-XXXXXX", command[256];
	int fd = mkstemp(path), r;

	if (fd < 0)
		fail_msg("no temporary file");
	close(fd);
	image_write(img, path);
	snprintf(command, sizeof(command),
		 "PATH=$PATH:/usr/sbin; timeout 60 e2fsck -fn %s >/dev/null 2>&1", path);
	r = system(command);
	unlink(path);
	return WIFEXITED(r) ? WEXITSTATUS(r) : -1;
}

struct compare {
	struct image *img;
	size_t found, n;
};

static void compare_content(struct image *img, const struct fs_entry *e, const char *path)
{
	struct layer *file;
	struct ranges bad = {0};
	uint8_t *a = malloc(e->size + 1), *b = malloc(e->size + 1);
	FILE *f = fopen(path, "rb");

	assert_true(a && b && f);
	assert_int_equal(img->top->ops->fs->open_file(img->top, e, &file), 0);
	assert_int_equal(file->size, e->size);
	assert_int_equal(layer_read(file, 0, a, e->size, &bad), 0);
	assert_int_equal(bad.n, 0);
	assert_true(fread(b, 1, e->size, f) == e->size);
	if (memcmp(a, b, e->size))
		fail_msg("%s: other content", e->path);
	fclose(f);
	layer_free(file);
	free(a);
	free(b);
}

static int compare_one(void *arg, const struct fs_entry *e)
{
	struct compare *c = arg;
	char path[4200], link[256];
	struct stat st;
	ssize_t n;

	assert_false(e->deleted);
	if (!strncmp(e->path, "/lost+found", 11) || !strncmp(e->path, "/$orphans", 9) ||
	    e->data_sure == FS_GONE)
		return 0;
	snprintf(path, sizeof(path), "%s%s", ext4_tree(), e->path);
	if (lstat(path, &st))
		fail_msg("%s: no such file", path);
	c->found++;
	assert_int_equal(e->mode, st.st_mode);
	if (e->kind == FS_FILE) {
		/* mke2fs 1.47.0 with inline_data makes the hole at the end of a file shorter. */
		if (strncmp(e->path, "/hole", 5))
			assert_int_equal(e->size, st.st_size);
		assert_int_equal(e->links, st.st_nlink);
		/* mke2fs writes 32 bits of it. */
		assert_int_equal((int32_t)e->modified.sec, (int32_t)st.st_mtim.tv_sec);
		compare_content(c->img, e, path);
	} else if (e->kind == FS_SYMLINK) {
		n = readlink(path, link, sizeof(link) - 1);
		assert_true(n > 0);
		link[n] = '\0';
		assert_non_null(e->target);
		assert_string_equal(e->target, link);
	}
	return 0;
}

static size_t count_tree(void)
{
	char command[256];
	size_t n = 0;
	FILE *f;

	snprintf(command, sizeof(command), "find %s -mindepth 1 -printf x | wc -c", ext4_tree());
	f = popen(command, "r");
	if (!f || fscanf(f, "%zu", &n) != 1)
		fail_msg("%s", command);
	pclose(f);
	return n;
}

size_t ext4_compare(struct image *img, size_t missing)
{
	struct compare c = {.img = img, .n = count_tree()};
	struct fs_query q = {.recursive = true};

	assert_int_equal(img->top->ops->fs->walk(img->top, &q, compare_one, &c), 0);
	if (c.n - c.found > missing)
		fail_msg("%zu of %zu files are missing", c.n - c.found, c.n);
	return c.n - c.found;
}
