/* SPDX-License-Identifier: Apache-2.0 */
/* ext2/3/4 volumes of e2fsprogs' own tests and of others: damaged where e2fsck says so. */
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/fs.h"
#include "tests/lib/corpus.h"

/* Where we disagree with e2fsck 1.47.0 -fn, and why. */
static const struct {
	const char *file, *why;
} differ[] = {
	{"ext/e2fsprogs-f_zero_inode_size.img.gz",
	 "e2fsck takes a copy of the superblock, and holds its peace; the kernel does not mount it"},
	{"ext/e2fsprogs-f_detect_xfs.img.bz2", "an XFS, which is not ours"},
	{"ext/e2fsprogs-j_ext_dumpe2fs.img.gz", "a journal device: no file system, and said so"},
	{"ext/util-linux-jbd.img.xz", "a journal device: no file system, and said so"},
	{"ext/e2fsprogs-f_ea_inode_fast_symlink.img.gz",
	 "its origin expects that nothing is wrong; 1.47.0 takes the link's text for blocks"},
	{"ext/e2fsprogs-j_recover_fast_commit.img.gz",
	 "e2fsck -n leaves the journal alone; with it applied, e2fsck -fy finds nothing wrong"},
};

static const char *known(const char *file)
{
	for (size_t i = 0; i < sizeof(differ) / sizeof(*differ); i++)
		if (!strcmp(file, differ[i].file))
			return differ[i].why;
	return NULL;
}

static size_t damage(const struct image *img)
{
	size_t n = 0;

	for (size_t i = 0; i < img->n_seen; i++)
		n += finding_severity(img->seen[i].id) == DAMAGE;
	return n;
}

static int each(void *arg, const struct fs_entry *e)
{
	struct layer *fs = arg, *file;

	if (fs->ops->fs->open_file(fs, e, &file))
		return 0;
	if (file->size < 16 << 20)
		image_exercise(file);
	layer_free(file);
	return 0;
}

/* Whatever is wrong: all that is there is walked and read. */
static void walk(struct layer *l)
{
	struct fs_query q = {.recursive = true, .deleted = true, .system = true};

	for (; l; l = l->child)
		if (!l->state && l->ops->fs)
			assert_int_equal(l->ops->fs->walk(l, &q, each, l), 0);
}

static void found_damaged_where_e2fsck_says_so(void **state)
{
	const char *corpus = getenv("CORPUS");
	char line[8192], path[512];
	unsigned wrong = 0, n = 0;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/MANIFEST.tsv", corpus ? corpus : "");
	f = corpus && *corpus ? fopen(path, "r") : NULL;
	if (!f)
		skip();
	while (fgets(line, sizeof(line), f)) {
		const char *verdict = strstr(line, "-fn (computed): exit "), *unpacked;
		struct image *img;
		bool damaged;

		if (strncmp(line, "ext/", 4) || !verdict)
			continue;
		damaged = verdict[21] != '0';
		line[strcspn(line, "\t")] = '\0';
		unpacked = corpus_file(line);
		assert_non_null(unpacked);
		img = image_stack(unpacked, NULL);
		if ((damage(img) != 0) != damaged && !known(line)) {
			print_message("%s: e2fsck %s\n", line,
				      damaged ? "finds damage" : "does not");
			image_print(img);
			wrong++;
		}
		if (known(line) && (damage(img) != 0) == damaged) {
			print_message("%s: agrees now\n", line);
			wrong++;
		}
		walk(img->top);
		image_free(img);
		n++;
	}
	fclose(f);
	corpus_file(NULL);
	assert_int_equal(wrong, 0);
	assert_true(n > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_damaged_where_e2fsck_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
