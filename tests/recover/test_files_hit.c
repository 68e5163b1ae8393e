/* SPDX-License-Identifier: Apache-2.0 */
/* Damage by name: from bad bytes below to the files of a file system, ranked. */
#include "tests/lib/image.h"

#include <stdio.h>

#include "recover/files_hit.h"
#include "tests/lib/fake_fs.h"

enum { VOLUME = 1 << 20 };

static const struct fake_file files[] = {
	{{.path = "/home/data", .id = 1, .size = 8192}, 0x10000, 8192, NULL},
	{{.path = "/var/log/messages", .id = 2, .size = 4096}, 0x20000, 4096, NULL},
	{{.path = "/EFI/BOOT/BOOTX64.EFI", .id = 3, .size = 4096}, 0x30000, 4096, NULL},
	{{.path = "/usr/bin/gcc", .id = 4, .size = 4096}, 0x40000, 4096, NULL},
	{{.path = "/gone", .id = 5, .size = 4096, .deleted = true}, 0x50000, 4096, NULL},
	{{0}, 0x1000, 4096, "block bitmap"},
	{{.path = "/etc/hostname", .id = 6, .size = 10}, 0x2000, 256, "inode 6"},
	{{0}, 0, 0, NULL},
};

struct stack {
	struct session s;
	struct layer *source, *fs;
	uint8_t *bytes;
};

static int up(void **state)
{
	struct stack *t = calloc(1, sizeof(*t));

	t->bytes = calloc(1, VOLUME);
	session_init(&t->s);
	t->source = memory_source(&t->s, "image", t->bytes, VOLUME);
	t->fs = fake_fs_new(t->source, "fake", files);
	*state = t;
	return 0;
}

static int down(void **state)
{
	struct stack *t = *state;

	layer_free(t->source);
	session_fini(&t->s);
	free(t->bytes);
	free(t);
	return 0;
}

static void hit(struct stack *t, struct files_hit *h, const struct ranges *bad)
{
	struct impact im = {0};

	assert_int_equal(impact_seed(&im, t->source, bad), 0);
	assert_int_equal(impact_run(&im, t->source), 0);
	assert_int_equal(files_hit_run(h, &im), 0);
	files_hit_sort(h);
	impact_free(&im);
}

static void each_file_with_what_it_lost_worst_rank_first(void **state)
{
	static const char *const order[] = {"/EFI/BOOT/BOOTX64.EFI",
					    NULL,
					    "/var/log/messages",
					    "/etc/hostname",
					    "/usr/bin/gcc",
					    "/home/data",
					    "/gone"};
	struct files_hit h = {0};
	struct ranges bad = {0};

	ranges_add(&bad, 0x1000, 0x50000, GRADE_LOST, SOURCE_BAD_MAP);
	hit(*state, &h, &bad);
	assert_int_equal(h.n, 7);
	assert_string_equal(h.v[0].path, order[0]);
	assert_int_equal(h.v[0].rank, RANK_BOOT);
	assert_int_equal(h.v[0].lost, 4096);
	assert_null(h.v[1].path);
	assert_string_equal(h.v[1].structure, "block bitmap");
	assert_int_equal(h.v[1].rank, RANK_VOLUME);
	assert_string_equal(h.v[2].path, order[2]);
	/* Of one rank, what lost most comes first: nothing of the host name's data is lost. */
	assert_string_equal(h.v[3].path, "/usr/bin/gcc");
	assert_string_equal(h.v[4].path, "/etc/hostname");
	assert_string_equal(h.v[4].structure, "inode 6");
	assert_int_equal(h.v[4].lost, 0);
	assert_int_equal(h.v[4].structure_lost, 256);
	assert_string_equal(h.v[5].path, "/home/data");
	assert_int_equal(h.v[5].lost, 8192);
	assert_int_equal(h.v[5].first, 0);
	assert_string_equal(h.v[6].path, "/gone");
	assert_int_equal(h.v[6].rank, RANK_DELETED);
	assert_int_equal(h.v[6].lost, 0x1000);
	assert_int_equal(h.free_lost, 0x50000 - 4096 * 6 - 8192 + 4096 - 256);
	files_hit_free(&h);
	ranges_free(&bad);
}

static void grades_reasons_and_offsets_are_kept_apart(void **state)
{
	struct files_hit h = {0};
	struct ranges bad = {0};

	ranges_add(&bad, 0x10400, 512, GRADE_DOUBTFUL, VHD_BAT_PAST_END);
	ranges_add(&bad, 0x11000, 512, GRADE_LOST, SOURCE_BAD_MAP);
	ranges_add(&bad, 0x11800, 512, GRADE_LOST, SOURCE_BAD_MAP);
	hit(*state, &h, &bad);
	assert_int_equal(h.n, 1);
	assert_int_equal(h.v[0].lost, 1024);
	assert_int_equal(h.v[0].doubtful, 512);
	assert_int_equal(h.v[0].first, 0x400);
	assert_int_equal(h.v[0].n_why, 2);
	assert_int_equal(h.v[0].why[0], VHD_BAT_PAST_END);
	assert_int_equal(h.v[0].why[1], SOURCE_BAD_MAP);
	assert_int_equal(h.free_lost, 0);
	files_hit_free(&h);
	ranges_free(&bad);
}

static void a_finding_that_names_a_file_counts(void **state)
{
	struct stack *t = *state;
	struct files_hit h = {0};
	struct ranges bad = {0};

	ranges_add(&bad, 0x40000, 512, GRADE_LOST, SOURCE_BAD_MAP);
	assert_int_equal(files_hit_named(&h, t->fs, "/usr/bin/gcc", LAYER_UNREADABLE), 0);
	assert_int_equal(files_hit_named(&h, t->fs, "/vmlinuz", LAYER_UNREADABLE), 0);
	hit(t, &h, &bad);
	assert_int_equal(h.n, 2);
	assert_string_equal(h.v[0].path, "/vmlinuz");
	assert_int_equal(h.v[0].lost, 0);
	assert_int_equal(h.v[1].n_why, 2);
	assert_int_equal(h.v[1].lost, 512);
	files_hit_free(&h);
	ranges_free(&bad);
}

static void more_files_than_are_kept_are_counted(void **state)
{
	struct stack *t = *state;
	struct files_hit h = {0};
	struct fs_entry e = {.size = 100};
	char path[64];
	int critical = 0;

	for (int i = 0; i < 250000; i++) {
		snprintf(path, sizeof(path), i % 10 ? "/home/%d" : "/var/log/%d", i);
		e.path = path;
		assert_int_equal(
			files_hit_add(&h, t->fs,
				      &(struct fs_owner){
					      .off = 0, .len = 10, .kind = OWNER_FILE, .file = &e},
				      GRADE_LOST, SOURCE_BAD_MAP),
			0);
	}
	files_hit_sort(&h);
	for (size_t i = 0; i < h.n; i++)
		critical += h.v[i].rank == RANK_LOGS;
	assert_int_equal(critical, 25000);
	assert_int_equal(h.more + h.n, 250000);
	assert_int_equal(h.more_bytes, h.more * 10);
	assert_true(h.more > 40000);
	files_hit_free(&h);
}

static void what_a_name_means(void **state)
{
	static const struct {
		const char *path;
		enum rank rank;
	} known[] = {
		{"/Windows/System32/config/SYSTEM", RANK_BOOT},
		{"/windows/system32/CONFIG/software", RANK_BOOT},
		{"/Windows/System32/drivers/stornvme.sys", RANK_BOOT},
		{"/Windows/System32/drivers/usbaudio.sys", RANK_SYSTEM},
		{"/Windows/System32/winload.efi", RANK_BOOT},
		{"/EFI/Microsoft/Boot/BCD", RANK_BOOT},
		{"/Boot/BCD", RANK_BOOT},
		{"/bootmgr", RANK_BOOT},
		{"/Windows/System32/winevt/Logs/System.evtx", RANK_LOGS},
		{"/Windows/notepad.exe", RANK_SYSTEM},
		{"/Program Files (x86)/x/y.dll", RANK_SYSTEM},
		{"/Users/me/Documents/a.docx", RANK_USER},
		{"/Users/me/backup.evtx", RANK_LOGS},
		{"/boot/vmlinuz-6.1.0-13-amd64", RANK_BOOT},
		{"/vmlinuz-6.1.0-13-amd64", RANK_BOOT},
		{"/boot/initrd.img-6.1.0", RANK_BOOT},
		{"/etc/fstab", RANK_BOOT},
		{"/usr/lib/systemd/systemd", RANK_BOOT},
		{"/lib/modules/6.1.0/kernel/fs/ext4/ext4.ko", RANK_BOOT},
		{"/usr/lib/x86_64-linux-gnu/libc.so.6", RANK_BOOT},
		{"/var/log/journal/0123/system.journal", RANK_LOGS},
		{"/root/.bash_history", RANK_LOGS},
		{"/usr/bin/gcc", RANK_SYSTEM},
		{"/var/lib/dpkg/status", RANK_SYSTEM},
		{"/home/me/thesis.tex", RANK_USER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (rank_of(known[i].path) != known[i].rank)
			fail_msg("%s: %s", known[i].path, rank_name(rank_of(known[i].path)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_file_with_what_it_lost_worst_rank_first, up,
						down),
		cmocka_unit_test_setup_teardown(grades_reasons_and_offsets_are_kept_apart, up,
						down),
		cmocka_unit_test_setup_teardown(a_finding_that_names_a_file_counts, up, down),
		cmocka_unit_test_setup_teardown(more_files_than_are_kept_are_counted, up, down),
		cmocka_unit_test(what_a_name_means),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
