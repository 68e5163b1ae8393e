/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One byte of metadata is wrong: whatever it is, nothing crashes, and no file comes out with other
 * bytes than it had, or not at all, without a word. A sample of the bytes in each run; all of them,
 * 1.6 million in a quarter of an hour, with VDISKCK_SLOW=1.
 */
#include <inttypes.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/ntfs.h"
#include "tests/lib/fs_list.h"
#include "tests/lib/ntfs_volume.h"

/* Primes: no field is always missed. Of tables that are large and all alike, less. */
enum { STEP = 41, STEP_LARGE = 1499 };

static const char script[] =
	"seq 1 3000 >tree/plain; echo resident >tree/resident; seq 5 9000 >tree/packed\n"
	"seq 1 20000 >tree/fragments; truncate -s 200k tree/sparse; echo end >>tree/sparse\n"
	"truncate -s 4M disk; mkntfs -F -q -c 4096 disk; mkdir mnt\n"
	"ntfs-3g -o compression,streams_interface=windows disk mnt; trap 'fusermount -uz mnt' EXIT\n"
	"mkdir mnt/comp; setfattr -n system.ntfs_attrib_be -v 0x00000800 mnt/comp\n"
	"cp tree/packed mnt/comp/; mkdir tree/comp; mv tree/packed tree/comp/\n"
	"for i in $(seq 30); do seq $i 1000 >mnt/fill$i; done; rm mnt/fill*[13579]\n"
	"cp tree/fragments mnt/; rm mnt/fill*; cp tree/plain tree/resident mnt/\n"
	"cp --sparse=always tree/sparse mnt/; mkdir mnt/many tree/many\n"
	"for i in $(seq 40); do echo $i >\"mnt/many/entry number $i of forty\"; done\n"
	"cp mnt/many/*7* tree/many/\n"
	"sync -f mnt; fusermount -u mnt; trap - EXIT; sleep 0.3\n"
	"while pgrep -f \"ntfs-3g.* disk mnt\" >/dev/null; do sleep 0.1; done\n";

static struct image *good;
static struct fs_sums sums;
static uint64_t sizes[FS_SUMS];

/* Where metadata lies. */
struct place {
	uint64_t at, len;
	size_t step;
};
static struct place places[256];
static size_t n_places;

static int collect(void *arg, const struct fs_owner *o)
{
	(void)arg;
	if (o->kind == OWNER_STRUCTURE) {
		assert_true(n_places < sizeof(places) / sizeof(*places));
		places[n_places++] = (struct place){o->off, o->len,
						    o->len > NTFS_RECORD_MAX ? STEP_LARGE : STEP};
	}
	return 0;
}

static int make(void **state)
{
	struct ranges all = {0};

	(void)state;
	good = fs_made(script, &sums);
	if (!good)
		return 0;
	image_check(good, &ntfs_ops);
	assert_int_equal(good->err, 0);
	assert_clean(good);
	ranges_add(&all, 0, good->top->size, GRADE_LOST, LAYER_UNKNOWN);
	assert_int_equal(good->top->ops->fs->owners(good->top, &all, collect, NULL), 0);
	ranges_free(&all);
	for (size_t i = 0; i < sums.n; i++) {
		struct fs_entry *e;

		assert_int_equal(good->top->ops->fs->lookup(good->top, sums.v[i].path, &e), 0);
		sizes[i] = e->size;
		fs_entry_free(e);
	}
	image_close(good);
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	if (good)
		image_free(good);
	return 0;
}

/*
 * What nothing else on the volume knows: bytes of a file that lie in its record, and how much of
 * its clusters was ever written.
 */
static bool knows_nobody(const struct image *img, uint64_t at)
{
	struct ntfs *n = img->top->priv;
	uint32_t pos = 0, in = (uint32_t)(at % n->g.record);
	uint8_t record[NTFS_RECORD_MAX];
	struct ntfs_record r;
	struct ntfs_attr a;

	memcpy(record, good->buf + at - in, n->g.record);
	ntfs_record_init(n, le32(((struct ntfs_record_header *)record)->number), record, NULL, &r);
	if (r.state != NTFS_GOOD)
		return false;
	while (ntfs_attr_next(n, &r, &pos, &a)) {
		if (in < a.at || in >= pos || a.type != NTFS_DATA)
			continue;
		return a.resident ? in >= a.value.addr : in >= a.at + 0x38 && in < a.at + 0x40;
	}
	return false;
}

/* Is a file as it was, or does anything say that it is not? */
static bool is_silent(struct image *img, size_t i)
{
	struct layer *fs = img->top, *file = NULL;
	struct fs_entry *e = NULL;
	char sha256[65] = "";
	bool sure = false, whole = true;

	if (!fs->ops->fs->lookup(fs, sums.v[i].path, &e)) {
		sure = e->path_sure == FS_SURE && e->data_sure == FS_SURE;
		if (!fs->ops->fs->open_file(fs, e, &file) && file->size == sizes[i])
			whole = file_sha256(file, sha256);
		layer_free(file);
		fs_entry_free(e);
	}
	return strcmp(sha256, sums.v[i].sha256) && whole && (sure || !e) && !img->n_seen;
}

static bool silent(struct image *img)
{
	for (size_t i = 0; i < sums.n; i++)
		if (is_silent(img, i))
			return true;
	return false;
}

static void a_wrong_byte_is_never_silent(void **state)
{
	size_t tried = 0, bad = 0, next = 0;
	bool slow = getenv("VDISKCK_SLOW");
	struct image *img;

	(void)state;
	if (!good)
		skip();
	img = image_new(good->len);
	memcpy(img->buf, good->buf, img->len);
	for (size_t p = 0; p < n_places; p++) {
		for (; next < places[p].len; next += slow ? 1 : places[p].step) {
			uint64_t at = places[p].at + next;
			uint8_t was = img->buf[at];

			img->buf[at] ^= (uint8_t)(1 << (at / 3) % 8);
			image_check(img, &ntfs_ops);
			if (!img->err && silent(img) && !knows_nobody(img, at)) {
				print_message("%#" PRIx64 " of place %zu (%#" PRIx64 "+%#" PRIx64
					      "): %02x for %02x\n",
					      at, p, places[p].at, at - places[p].at, img->buf[at],
					      was);
				bad++;
			}
			img->buf[at] = was;
			tried++;
		}
		next -= places[p].len;
	}
	print_message("%zu bytes tried\n", tried);
	assert_int_equal(bad, 0);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrong_byte_is_never_silent),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
