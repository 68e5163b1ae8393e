/* SPDX-License-Identifier: Apache-2.0 */
/* What no file owns: against the $Bitmap of ntfs-3g, and with bytes hidden behind a file's end. */
#include "formats/drivers.h"
#include "formats/fs/ntfs.h"
#include "tests/lib/ntfs_volume.h"

enum { CLUSTER = 4096, SIZE = 40001 /* of /big/b1.bin */ };

static struct ntfs_volume *volume;

struct seen_ranges {
	uint8_t *free; /* a byte for each cluster */
	uint64_t clusters;
	uint64_t slack, slack_len; /* that holds byte @want */
	uint64_t want;
};

static int note(void *arg, uint64_t off, uint64_t len, bool slack)
{
	struct seen_ranges *s = arg;

	assert_true(len && off + len <= s->clusters * CLUSTER);
	if (slack) {
		assert_true(len < CLUSTER || off % CLUSTER == 0);
		if (s->want >= off && s->want < off + len) {
			s->slack = off;
			s->slack_len = len;
		}
		return 0;
	}
	assert_true(off % CLUSTER == 0 && len % CLUSTER == 0);
	for (uint64_t c = off / CLUSTER; c < (off + len) / CLUSTER; c++)
		s->free[c]++;
	return 0;
}

/* Every cluster that $Bitmap calls free is told once, and no other. */
static void free_space_is_what_bitmap_says(void **state)
{
	struct seen_ranges s = {.want = UINT64_MAX};
	struct image *img;
	const uint8_t *bitmap;
	const struct ntfs *n;
	size_t free_clusters = 0;

	(void)state;
	if (!volume)
		skip();
	img = image_new(volume->len);
	memcpy(img->buf, volume->bytes, volume->len);
	image_open(img, &ntfs_ops);
	n = img->top->priv;
	s.clusters = n->g.clusters;
	s.free = calloc(1, s.clusters);
	bitmap = ntfs_cluster_bitmap(img->top);
	assert_int_equal(img->top->ops->fs->unused(img->top, note, &s), 0);
	for (uint64_t c = 0; c < s.clusters; c++) {
		if (s.free[c] != !ntfs_cluster_used(n, bitmap, c))
			fail_msg("cluster %llu", (unsigned long long)c);
		free_clusters += s.free[c];
	}
	assert_true(free_clusters > 1000);
	free(s.free);
	image_free(img);
}

/* From the byte behind the last one of the file to the end of its cluster. */
static void what_is_behind_the_end_of_a_file(void **state)
{
	struct seen_ranges s = {0};
	struct fs_entry *e;
	struct layer *file;
	struct extent run;
	struct image *img;

	(void)state;
	if (!volume)
		skip();
	img = image_new(volume->len);
	memcpy(img->buf, volume->bytes, volume->len);
	image_open(img, &ntfs_ops);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/big/b1.bin", &e), 0);
	assert_int_equal(e->size, SIZE);
	assert_int_equal(img->top->ops->fs->open_file(img->top, e, &file), 0);
	assert_int_equal(layer_map(file, SIZE - 1, &run), 0);
	s.clusters = ((const struct ntfs *)img->top->priv)->g.clusters;
	s.free = calloc(1, s.clusters);
	s.want = run.at + 1 + 100;
	assert_int_equal(img->top->ops->fs->unused(img->top, note, &s), 0);
	assert_int_equal(s.slack, run.at + 1);
	assert_int_equal(s.slack_len, CLUSTER - SIZE % CLUSTER);
	layer_free(file);
	fs_entry_free(e);
	free(s.free);
	image_free(img);
}

static int make(void **state)
{
	(void)state;
	volume = ntfs_volume_make("", "32M");
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	ntfs_volume_free(volume);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(free_space_is_what_bitmap_says),
		cmocka_unit_test(what_is_behind_the_end_of_a_file),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
