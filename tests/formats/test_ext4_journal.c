/* SPDX-License-Identifier: Apache-2.0 */
/* Journals as a real kernel leaves them: not replayed, and with what was deleted. Needs root. */
#include <stdio.h>
#include <unistd.h>

#include "formats/drivers.h"
#include "tests/lib/fs_list.h"

/* A copy of a mounted volume: "disk"; and what a mount of it shows, after replay: "tree". */
static const char mounted[] =
	"truncate -s 16M v; mkfs.ext4 -qF -b %s v;"
	"mkdir m; mount -o loop,%s v m || exit 1; trap 'umount m 2>/dev/null || true' EXIT;"
	"for i in $(seq 1 30); do seq $i 900 >m/file$i; done; sync -f m;"
	"printf '\\300\\073\\071\\230 like a journal' >m/like; rm m/file1? m/file3;"
	"mkdir m/new; seq 1 5000 >m/new/one; sync -f m; cp v disk; umount m;"
	"cp disk w; mount -o loop w m; cp -r m/. tree; umount m; rmdir tree/lost+found; rm v w;"
	"rmdir m";

static void an_unreplayed_journal_is_applied(void **state)
{
	static const char *const options[] = {"data=ordered", "journal_checksum", "data=journal"};
	static const char *const blocks[] = {"1024", "4096"};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		for (size_t b = 0; b < 2; b++) {
			char script[2048];
			struct fs_sums sums;
			struct fs_list list;
			struct image *img;

			snprintf(script, sizeof(script), mounted, blocks[b], options[i]);
			img = geteuid() ? NULL : fs_made(script, &sums);
			if (!img)
				skip();
			image_check(img, &ext4_ops);
			assert_int_equal(img->err, 0);
			assert_finding(img, EXT4_JOURNAL_REPLAYED, ANYWHERE);
			assert_clean(img);
			fs_list(img->top, false, &list);
			assert_int_equal(fs_intact(&list, &sums), sums.n);
			fs_list_free(&list);
			image_free(img);
		}
}

/* The log itself damaged, byte by byte. */
static void a_damaged_log_does_no_harm(void **state)
{
	char script[2048];
	struct fs_sums sums;
	struct image *img;
	uint64_t at = 0;

	(void)state;
	snprintf(script, sizeof(script), mounted, "1024", "data=ordered");
	img = geteuid() ? NULL : fs_made(script, &sums);
	if (!img)
		skip();
	image_open(img, &ext4_ops);
	at = image_first(img, EXT4_JOURNAL_REPLAYED)->fact.at;
	for (uint64_t k = 0; k < 4096; k += 61) {
		img->buf[at + k] ^= 0xff;
		image_check(img, &ext4_ops);
		if (!img->err)
			fs_exercise(img->top);
		img->buf[at + k] ^= 0xff;
	}
	image_free(img);
}

/* Files deleted on a volume that was unmounted: "tree" has what they held. */
static const char deleted[] =
	"truncate -s 16M disk; mkfs.ext4 -qF disk;"
	"mkdir m; mount -o loop disk m || exit 1; trap 'umount m 2>/dev/null || true' EXIT;"
	"mkdir m/folder; seq 1 4000 >m/one; seq 1 5000 >m/folder/two; seq 1 30 >m/stays; sync -f m;"
	"cp m/one tree; cp -r m/folder tree; rm m/one m/folder/two; umount m; rmdir m";

static void deleted_files_come_back_from_the_journal(void **state)
{
	static const char *const path[] = {"/one", "/folder/two"};
	struct fs_sums sums;
	struct fs_list list;
	struct image *img = geteuid() ? NULL : fs_made(deleted, &sums);

	(void)state;
	if (!img)
		skip();
	image_check(img, &ext4_ops);
	assert_clean(img);
	fs_list(img->top, true, &list);
	for (size_t i = 0; i < 2; i++) {
		const struct fs_item *it = fs_listed(&list, path[i], true);

		assert_non_null(it);
		assert_int_equal(it->lost, 0);
		assert_int_equal(it->e->overwritten, 0);
		for (size_t k = 0; k < sums.n; k++)
			if (strstr(sums.v[k].path, path[i] + 1))
				assert_string_equal(it->sha256, sums.v[k].sha256);
	}
	assert_null(fs_listed(&list, "/stays", true));
	fs_list_free(&list);
	image_free(img);
}

/* Times as the kernel writes them: nanoseconds, and two more bits of seconds. */
static const char times[] =
	"truncate -s 8M disk; mkfs.ext4 -qF -I 256 disk;"
	"mkdir m; mount -o loop disk m || exit 1; trap 'umount m 2>/dev/null || true' EXIT;"
	"touch m/f; touch -d '2040-02-03T04:05:06.123456789Z' m/f;"
	"touch m/g; touch -d '1960-01-01T00:00:00.5Z' m/g; umount m; rmdir m";

static void times_have_nanoseconds_and_go_past_2038(void **state)
{
	struct fs_sums sums;
	struct fs_list list;
	struct image *img = geteuid() ? NULL : fs_made(times, &sums);
	const struct fs_item *f, *g;

	(void)state;
	if (!img)
		skip();
	image_open(img, &ext4_ops);
	fs_list(img->top, false, &list);
	f = fs_listed(&list, "/f", false);
	g = fs_listed(&list, "/g", false);
	assert_true(f && g);
	assert_int_equal(f->e->modified.sec, 2211854706);
	assert_int_equal(f->e->modified.nsec, 123456789);
	assert_int_equal(g->e->modified.sec, -315619200);
	assert_int_equal(g->e->modified.nsec, 500000000);
	assert_true(f->e->born.set);
	fs_list_free(&list);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unreplayed_journal_is_applied),
		cmocka_unit_test(a_damaged_log_does_no_harm),
		cmocka_unit_test(deleted_files_come_back_from_the_journal),
		cmocka_unit_test(times_have_nanoseconds_and_go_past_2038),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
