/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fast commits as a real kernel leaves them: a copy of a volume that is mounted, and what was in it
 * then. Needs root. The copy is never mounted: kernels have bugs in their replay that lock a
 * machine up.
 */
#include <stdio.h>
#include <unistd.h>

#include "formats/drivers.h"
#include "formats/fs/ext4.h"
#include "tests/lib/fs_list.h"

/* Everything that fast commits know, each with an fsync; then folder "tree" as it was. */
static const char crashed[] =
	"truncate -s 24M v; mkfs.ext4 -qF -b %s -O fast_commit%s v;"
	"mkdir m; mount -o loop,noatime,commit=900 v m || exit 1; trap 'umount m 2>/dev/null || true' EXIT;"
	"flush() { sync \"$@\"; };"
	"mkdir m/d m/e; for i in 1 2 3 4 5; do seq $i 700 >m/d/f$i; done; seq 9000 >m/big;"
	"seq 20000 >m/holes; seq 5 >m/gone; seq 6 >m/e/cut; sync -f m;"
	"seq 40 >m/new; flush m/new; mkdir m/d/sub m/d/away; seq 50 >m/d/sub/in; flush m/d/sub/in;"
	"rmdir m/d/away; ln m/d/f1 m/d/hard; mv m/d/f2 m/e/moved; rm m/gone m/d/f3;"
	"flush m/d/hard m/e/moved;"
	"for i in 1 3 5 7 9 11 13; do fallocate -p -o ${i}0240 -l 4096 m/holes; done;"
	"seq 700 >>m/big; truncate -s 3 m/e/cut; chmod 600 m/d/f4; flush m/holes m/big m/e/cut;"
	"for i in $(seq %s); do echo $i >m/d/a_name_that_is_not_short_$i; done; flush m/d/sub/in;"
	"seq 8 >m/d/sub/last; flush m/d/sub/last m/d/f4; sync m/d/a_name*;"
	"cp --sparse=never v disk; cp -r m/. tree; umount m; rm -r tree/lost+found tree/d/a_name*;"
	"rmdir m; rm v";

static struct image *make(const char *block, const char *features, const char *names,
			  struct fs_sums *sums)
{
	char script[4096];

	snprintf(script, sizeof(script), crashed, block, features, names);
	return geteuid() ? NULL : fs_made(script, sums);
}

/* Where the fast commits begin. */
static uint64_t area(struct image *img)
{
	image_open(img, &ext4_ops);
	return image_first(img, EXT4_FAST_COMMITS_APPLIED)->fact.at;
}

static void fast_commits_are_applied(void **state)
{
	static const char *const made[][3] = {
		{"1024", "", "60"},
		{"1024", ",^metadata_csum", "10"},
		{"1024", ",^metadata_csum,uninit_bg,^64bit", "60"},
		{"4096", "", "10"},
		{"1024", ",bigalloc", "10"},
		{"1024", ",inline_data", "10"},
	};

	unsigned applied = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
		struct fs_sums sums;
		struct fs_list list;
		struct image *img = make(made[i][0], made[i][1], made[i][2], &sums);
		const struct fs_item *f;

		if (!img)
			skip();
		image_check(img, &ext4_ops);
		assert_int_equal(img->err, 0);
		assert_clean(img);
		fs_list(img->top, false, &list);
		assert_int_equal(fs_intact(&list, &sums), sums.n);
		assert_null(fs_listed(&list, "/gone", false));
		assert_null(fs_listed(&list, "/d/f2", false));
		assert_null(fs_listed(&list, "/d/f3", false));
		assert_null(fs_listed(&list, "/d/away", false));
		f = fs_listed(&list, "/d/hard", false);
		assert_true(f && f->e->links == 2);
		f = fs_listed(&list, "/d/f4", false);
		assert_true(f && (f->e->mode & 0777) == 0600);
		assert_owners_agree(img->top);
		applied += image_seen(img, EXT4_FAST_COMMITS_APPLIED, ANYWHERE) != 0;
		fs_list_free(&list);
		image_free(img);
	}
	/* The kernel may find a reason to commit in full, but not each time. */
	assert_true(applied > 2);
}

/* A tag of the area, and where the one behind it is. */
static uint64_t next_tag(const struct image *img, uint64_t at, unsigned *tag)
{
	struct ext4_fc_tl tl;

	memcpy(&tl, img->buf + at, sizeof(tl));
	*tag = le16(tl.tag);
	return at + sizeof(tl) + le16(tl.len);
}

/* Damage of the log is said once; what was before it is applied, what is in it is as it was. */
static void damaged_fast_commits_are_named(void **state)
{
	struct fs_sums sums;
	struct image *img = make("1024", "", "10", &sums);
	uint64_t at, to, end;
	unsigned tag, damaged = 0;
	bool named = false;

	(void)state;
	if (!img)
		skip();
	at = area(img);
	end = at + 64 * 1024;
	/* The features of the head: nothing is known of what follows. */
	img->buf[at + sizeof(struct ext4_fc_tl)] ^= 1;
	image_check(img, &ext4_ops);
	assert_finding(img, EXT4_FAST_COMMITS, at);
	assert_int_equal(image_seen(img, EXT4_FAST_COMMITS_APPLIED, ANYWHERE), 0);
	img->buf[at + sizeof(struct ext4_fc_tl)] ^= 1;
	for (uint64_t k = at; k < end; k = to) {
		to = next_tag(img, k, &tag);
		if (tag > EXT4_FC_HEAD || !tag)
			break;
		if (tag != EXT4_FC_HEAD && tag != EXT4_FC_PAD &&
		    to > k + sizeof(struct ext4_fc_tl)) {
			img->buf[k + sizeof(struct ext4_fc_tl)] ^= 0x40;
			image_check(img, &ext4_ops);
			if (!img->err)
				fs_exercise(img->top);
			if (image_seen(img, EXT4_FAST_COMMIT_BAD, ANYWHERE)) {
				const char *text = image_first(img, EXT4_FAST_COMMIT_BAD)->message;

				damaged++;
				named |= strstr(text, "names in it: ") != NULL;
			}
			img->buf[k + sizeof(struct ext4_fc_tl)] ^= 0x40;
		}
	}
	assert_true(damaged > 0);
	assert_true(named);
	image_free(img);
}

/* Any byte of the first blocks: what is applied then may be nonsense, and does no harm. */
static void no_byte_of_the_area_does_harm(void **state)
{
	struct fs_sums sums;
	struct image *img = make("1024", ",^metadata_csum", "60", &sums);
	uint64_t at;

	(void)state;
	if (!img)
		skip();
	at = area(img);
	for (uint64_t k = 0; k < 4096; k += 37) {
		img->buf[at + k] ^= 0xff;
		image_open(img, &ext4_ops);
		if (!img->err)
			fs_exercise(img->top);
		img->buf[at + k] ^= 0xff;
	}
	image_free(img);
}

/* A commit that the crash cut off before its tail is none, and no damage. */
static void a_commit_without_a_tail_is_none(void **state)
{
	struct fs_sums sums;
	struct image *img = make("1024", "", "10", &sums);
	uint64_t at;

	(void)state;
	if (!img)
		skip();
	at = area(img);
	for (uint64_t k = at, to; k < at + 64 * 1024; k = to) {
		unsigned tag;

		to = next_tag(img, k, &tag);
		if (tag > EXT4_FC_HEAD || !tag)
			break;
		if (tag == EXT4_FC_TAIL)
			memset(img->buf + k, 0, to - k);
	}
	image_check(img, &ext4_ops);
	assert_clean(img);
	assert_int_equal(image_seen(img, EXT4_FAST_COMMITS_APPLIED, ANYWHERE), 0);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fast_commits_are_applied),
		cmocka_unit_test(damaged_fast_commits_are_named),
		cmocka_unit_test(no_byte_of_the_area_does_harm),
		cmocka_unit_test(a_commit_without_a_tail_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
