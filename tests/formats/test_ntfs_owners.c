/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata goes by its own name: what locate and findings say of the bytes of a volume. */
#include "formats/drivers.h"
#include "formats/fs/ntfs.h"
#include "tests/lib/fs_list.h"
#include "tests/lib/ntfs_volume.h"

static struct ntfs_volume *volume;

static void each_piece_of_metadata_has_a_name(void **state)
{
	static const struct {
		const char *path, *stream, *owner;
		uint32_t type;
	} all[] = {
		{"/", "$I30", "structure index of /", NTFS_INDEX_ALLOCATION},
		{"/many", "$I30", "structure index of /many", NTFS_INDEX_ALLOCATION},
		{"/$Bitmap", "", "structure $Bitmap", NTFS_DATA},
		{"/$LogFile", "", "structure $LogFile", NTFS_DATA},
		{"/$UpCase", "", "structure $UpCase", NTFS_DATA},
		{"/$Secure", "$SDS", "structure $Secure:$SDS", NTFS_DATA},
		{"/$MFTMirr", "", "structure $MFTMirr", NTFS_DATA},
		{"/odd/stream", "large", "file /odd/stream:large at 0", NTFS_DATA},
	};
	struct image *img;
	struct ntfs *n;

	(void)state;
	img = ntfs_volume_fresh(volume);
	n = img->top->priv;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		uint64_t at = ntfs_at_stream(img, ntfs_id_of(img, all[i].path), all[i].type,
					     all[i].stream, 0);

		assert_string_equal(fs_owner_of(img->top, at), all[i].owner);
	}
	assert_string_equal(fs_owner_of(img->top, ntfs_record_at(n, NTFS_ROOT, 0)),
			    "structure $MFT record 5 of /");
	assert_string_equal(fs_owner_of(img->top, ntfs_record_at(n, NTFS_MFT, 700)),
			    "structure $MFT record 0 of /$MFT");
	assert_string_equal(fs_owner_of(img->top, n->g.sectors * n->g.sector + 511),
			    "structure backup boot sector");
	image_free(img);
}

static int setup(void **state)
{
	(void)state;
	volume = ntfs_volume_make("", "32M");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ntfs_volume_free(volume);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_piece_of_metadata_has_a_name),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
