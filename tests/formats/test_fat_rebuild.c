/* SPDX-License-Identifier: Apache-2.0 */
/* FAT without a boot sector: how large clusters are is told by the chains of files. */
#include <stdio.h>

#include "tests/lib/fs_list.h"

/* A volume with its boot sector and the copy of it gone, in an image that goes on behind it. */
static const char script[] =
	"export MTOOLS_SKIP_CHECK=1 PATH=$PATH:/usr/sbin:/sbin; mkdir tree/docs;"
	"for i in 1 2 3; do seq $((i * 3000)) >tree/docs/file$i.txt; done; seq 3000 >tree/top.txt;"
	"truncate -s %uk disk; mkfs.vfat -F %u -s %u disk; mcopy -s -i disk tree/* ::;"
	"truncate -s +%uk disk; dd if=/dev/zero of=disk bs=512 count=%u conv=notrunc status=none";

static void clusters_of_any_size_are_told_from_chains(void **state)
{
	static const unsigned per[] = {1, 2, 4, 8, 32};
	static const struct {
		unsigned bits, kib, lost; /* for clusters of a sector */
	} kinds[] = {{12, 2000, 1}, {16, 16000, 1}, {32, 36000, 8}};

	(void)state;
	for (unsigned k = 0; k < 3; k++)
		for (unsigned i = 0; i < sizeof(per) / sizeof(*per); i++)
			for (unsigned behind = 0; behind <= 8000; behind += 8000) {
				unsigned kib = kinds[k].kib * (per[i] > 2 ? per[i] / 2 : 1);
				struct fs_sums sums;
				struct fs_list list;
				struct image *img;
				char text[sizeof(script) + 64];

				/* mtools takes FAT32 of few clusters for FAT16. */
				if (kinds[k].bits == 32 && per[i] > 1)
					continue;
				snprintf(text, sizeof(text), script, kib, kinds[k].bits, per[i],
					 behind, kinds[k].lost);
				img = fs_made(text, &sums);
				if (!img)
					skip();
				image_discover(img);
				assert_finding(img, FAT_BOOT_REBUILT, 0);
				assert_int_equal(image_seen(img, FAT_CHAIN_BROKEN, ANYWHERE), 0);
				fs_list(img->source->child, false, &list);
				assert_int_equal(fs_intact(&list, &sums), sums.n);
				fs_list_free(&list);
				image_free(img);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clusters_of_any_size_are_told_from_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
