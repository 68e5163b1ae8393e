/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/ntfs_full.h"

#include "formats/drivers.h"

/* Everything that ntfs-3g can write: links, streams, holes, compression, reparse points. */
static const char script[] =
	"mkdir -p tree/Windows/System32 'tree/Users/Anna Müller' tree/comp tree/many tree/frag\n"
	"for i in $(seq 20); do seq $i $((i * 150)) >\"tree/Users/Anna Müller/file$i.txt\"; done\n"
	"head -c 400 /dev/zero | tr '\\0' x >tree/resident; : >tree/empty\n"
	"echo tiny >tree/tiny; seq 5 9000 >tree/comp/seq; seq 1 2000 >'tree/ünï ÇODE'\n"
	"truncate -s 200k tree/sparse; echo end >>tree/sparse\n"
	"truncate -s 8M disk; mkntfs -F -q -L 'Test Vol' disk; mkdir mnt\n"
	"ntfs-3g -o compression,streams_interface=windows disk mnt; trap 'fusermount -uz mnt' EXIT\n"
	"mkdir mnt/comp; setfattr -n system.ntfs_attrib_be -v 0x00000800 mnt/comp\n"
	"for i in $(seq 60); do seq $i 3000 >mnt/fill$i; done\n"
	"mkdir mnt/frag; rm mnt/fill*[13579]; seq 1 90000 >tree/frag/mented; cp tree/frag/mented mnt/mented\n"
	"python3 -c 'f = open(\"mnt/frag/holes\", \"wb\", 0)\n"
	"for i in range(500): f.seek(8192 * i); f.write(bytes([i % 255 + 1]) * 4096)'\n"
	"rm mnt/fill*; cp -r tree/Windows tree/Users tree/many mnt/\n"
	"cp mnt/frag/holes tree/frag/; mv mnt/mented mnt/frag/; cp tree/comp/seq mnt/comp/\n"
	"cp --sparse=always tree/sparse mnt/; cp tree/resident tree/empty tree/tiny mnt/\n"
	"cp 'tree/ünï ÇODE' mnt/; for i in $(seq 90); do echo $i >\"mnt/many/entry number $i\"; done\n"
	"seq 1 5000 >mnt/tiny:big; echo stream >mnt/tiny:small; ln mnt/tiny mnt/Windows/second\n"
	"ln -s ../tiny mnt/Windows/link\n"
	"mkdir mnt/gone; seq 1 3000 >mnt/gone/large; echo x >mnt/gone/small\n"
	"rm -r mnt/gone; touch mnt/sym; truncate -s 9000 mnt/dedup\n"
	"setfattr -n system.ntfs_reparse_data -v 0x0c0000a0200000000a000a00000008000000000041003a005c00"
	"4200420041003a005c0042004200 mnt/sym || true\n"
	"setfattr -n system.ntfs_reparse_data -v 0x130000800400000001020304 mnt/dedup || true\n"
	"sync -f mnt; fusermount -u mnt; trap - EXIT; sleep 0.3\n"
	"while pgrep -f \"ntfs-3g.* disk mnt\" >/dev/null; do sleep 0.1; done\n";

struct ntfs_full ntfs_full;

int ntfs_full_make(void **state)
{
	(void)state;
	ntfs_full.good = fs_made(script, &ntfs_full.sums);
	if (ntfs_full.good)
		assert_true(ntfs_boot_parse(ntfs_full.good->buf, &ntfs_full.g));
	return 0;
}

int ntfs_full_unmake(void **state)
{
	(void)state;
	if (ntfs_full.good)
		image_free(ntfs_full.good);
	return 0;
}

struct image *ntfs_full_fresh(void)
{
	struct image *img;

	if (!ntfs_full.good)
		skip();
	img = image_new(ntfs_full.good->len);
	memcpy(img->buf, ntfs_full.good->buf, img->len);
	return img;
}

uint64_t ntfs_full_record_at(uint64_t number)
{
	return ntfs_full.g.mft_lcn * ntfs_full.g.cluster + number * ntfs_full.g.record;
}

void ntfs_full_wipe(struct image *img, uint64_t off, size_t len)
{
	assert_true(off + len <= img->len);
	memset(img->buf + off, 0xa5, len);
}

void ntfs_full_assert_files(struct image *img, size_t lost)
{
	struct fs_list list;

	assert_int_equal(img->err, 0);
	fs_list(img->top, false, &list);
	if (fs_intact(&list, &ntfs_full.sums) != ntfs_full.sums.n - lost)
		image_print(img);
	assert_int_equal(fs_intact(&list, &ntfs_full.sums), ntfs_full.sums.n - lost);
	fs_list_free(&list);
}

uint64_t ntfs_full_id_of(struct layer *fs, const char *path)
{
	struct fs_entry *e = NULL;
	int r = fs->ops->fs->lookup(fs, path, &e);
	uint64_t id = r ? 0 : e->id;

	fs_entry_free(e);
	return id;
}

const struct fs_item *ntfs_full_find(const struct fs_list *list, const char *path)
{
	const struct fs_item *item = fs_listed(list, path, false);

	if (!item)
		print_error("%s is not listed\n", path);
	assert_non_null(item);
	return item;
}

uint64_t ntfs_full_attr_at(struct image *img, const char *path, uint32_t type, uint64_t *record)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	uint64_t at = 0;

	assert_int_equal(ntfs_inode_load(img->top, ntfs_full_id_of(img->top, path), ino), 0);
	for (size_t i = 0; i < ino->n_attrs; i++)
		if (ino->attrs[i].a.type == type) {
			*record = ino->attrs[i].record;
			at = ntfs_full_record_at(*record) + ino->attrs[i].a.at;
		}
	ntfs_inode_free(ino);
	free(ino);
	assert_true(at);
	return at;
}

static int count(void *arg, const struct fs_entry *e)
{
	assert_true(strchr(e->path + 1, '/') && !strncmp(e->path, "/many/", 6));
	assert_int_equal(e->data_sure, FS_SURE);
	++*(int *)arg;
	return 0;
}

int ntfs_full_count_many(struct image *img, const char *dir)
{
	const struct fs_query q = {.dir = dir};
	int n = 0;

	assert_int_equal(img->top->ops->fs->walk(img->top, &q, count, &n), 0);
	return n;
}
