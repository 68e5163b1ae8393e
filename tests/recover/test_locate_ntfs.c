/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes of a VHD that holds an NTFS volume: up to the file that they belong to, where
 * ntfs-3g must read the same byte at the same offset; and from there down again, to the same place.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "recover/locate.h"
#include "tests/lib/image.h"

enum { BYTES = 10000, LEAST = 1000 };

struct probe {
	struct image *img;
	const uint8_t *vhd;
	char mnt[64];
	char open_path[4096]; /* what @fd is of */
	int fd;
	size_t files, packed, structures, others;
};

/* What ntfs-3g reads there. */
static uint8_t oracle(struct probe *p, const char *path, uint64_t off)
{
	char full[4200];
	uint8_t byte;

	if (strcmp(path, p->open_path)) {
		if (p->fd >= 0)
			close(p->fd);
		snprintf(full, sizeof(full), "%s%s", p->mnt, path);
		snprintf(p->open_path, sizeof(p->open_path), "%s", path);
		p->fd = open(full, O_RDONLY);
		if (p->fd < 0)
			fail_msg("ntfs-3g has no %s", path);
	}
	if (pread(p->fd, &byte, 1, (off_t)off) != 1)
		fail_msg("ntfs-3g has no byte %llu of %s", (unsigned long long)off, path);
	return byte;
}

static void down_again(const struct location *loc)
{
	struct location down;
	struct layer *file;

	assert_int_equal(loc->by->ops->fs->open_file(loc->by, loc->file, &file), 0);
	assert_int_equal(locate_down(file, loc->file_off, 1, &down), 0);
	assert_int_equal(down.kind, EXTENT_DATA);
	assert_true(down.w[0].l == loc->w[0].l && down.w[0].off == loc->w[0].off);
	layer_free(file);
}

static int look(void *arg, const struct location *loc)
{
	struct probe *p = arg;

	if (loc->owner != OWNER_FILE) {
		p->structures += loc->owner == OWNER_STRUCTURE;
		p->others += loc->owner != OWNER_STRUCTURE;
		return 0;
	}
	if (loc->packed || strcmp(loc->by->ops->name, "ntfs") || loc->file->remark) {
		p->packed++;
		return 0;
	}
	p->files++;
	if (oracle(p, loc->file->path, loc->file_off) != p->vhd[loc->w[0].off])
		fail_msg("byte %llu of %s differs", (unsigned long long)loc->file_off,
			 loc->file->path);
	down_again(loc);
	return 0;
}

/* The same offsets in each run. */
static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void random_offsets(struct ranges *r, uint64_t size)
{
	static uint64_t v[BYTES];
	uint64_t x = 88172645463325252u;

	for (size_t i = 0; i < BYTES; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		v[i] = x % size;
	}
	qsort(v, BYTES, sizeof(*v), by_value);
	for (size_t i = 0; i < BYTES; i++)
		/* No two together: each is asked for by itself. */
		if (!i || v[i] > v[i - 1] + 1)
			ranges_add(r, v[i], 1, GRADE_LOST, LAYER_UNKNOWN);
}

static void bytes_up_to_files_and_down(void **state)
{
	char dir[] = "/tmp/vdiskck-locate-XXXXXX", vhd[64];
	struct probe p = {.fd = -1};
	struct ranges r = {0};
	struct image *bytes;

	(void)state;
	assert_non_null(mkdtemp(dir));
	setenv("D", dir, 1);
	if (system("SIZE=256M fixtures/ntfs/make.sh $D/raw $D/manifest >/dev/null 2>&1") ||
	    system("mkdir $D/mnt && ntfs-3g -o ro,streams_interface=windows $D/raw $D/mnt")) {
		assert_int_equal(system("rm -rf $D"), 0);
		skip();
	}
	assert_int_equal(system("qemu-img convert -O vpc $D/raw $D/vhd"), 0);
	snprintf(vhd, sizeof(vhd), "%s/vhd", dir);
	snprintf(p.mnt, sizeof(p.mnt), "%s/mnt", dir);
	bytes = image_file(vhd);
	p.vhd = bytes->buf;
	p.img = image_stack(vhd, NULL);
	random_offsets(&r, bytes->len);
	assert_int_equal(locate_all(p.img->source, p.img->source, &r, look, &p), 0);
	if (p.fd >= 0)
		close(p.fd);
	print_message("%zu bytes of files, %zu of packed ones, %zu of structures, %zu others\n",
		      p.files, p.packed, p.structures, p.others);
	assert_true(p.files >= LEAST && p.structures);
	ranges_free(&r);
	image_free(p.img);
	image_free(bytes);
	assert_int_equal(system("umount $D/mnt && rm -rf $D"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_up_to_files_and_down)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
