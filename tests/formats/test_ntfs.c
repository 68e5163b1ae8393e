/* SPDX-License-Identifier: Apache-2.0 */
/* NTFS volumes that mkntfs and ntfs-3g make: what is read of them, whole and damaged. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/ntfs.h"
#include "tests/lib/corpus.h"
#include "tests/lib/fs_list.h"

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

static struct image *good;
static struct fs_sums sums;

/* Where it lies in that volume. */
static struct ntfs_geometry g;

static int make(void **state)
{
	(void)state;
	good = fs_made(script, &sums);
	if (good)
		assert_true(ntfs_boot_parse(good->buf, &g));
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	if (good)
		image_free(good);
	return 0;
}

static struct image *fresh(void)
{
	struct image *img;

	if (!good)
		skip();
	img = image_new(good->len);
	memcpy(img->buf, good->buf, img->len);
	return img;
}

static uint64_t record_at(uint64_t number)
{
	return g.mft_lcn * g.cluster + number * g.record;
}

static void wipe(struct image *img, uint64_t off, size_t len)
{
	assert_true(off + len <= img->len);
	memset(img->buf + off, 0xa5, len);
}

/* All that was put in, but for @lost files, is listed and right. */
static void assert_files(struct image *img, size_t lost)
{
	struct fs_list list;

	assert_int_equal(img->err, 0);
	fs_list(img->top, false, &list);
	if (fs_intact(&list, &sums) != sums.n - lost)
		image_print(img);
	assert_int_equal(fs_intact(&list, &sums), sums.n - lost);
	fs_list_free(&list);
}

static uint64_t id_of(struct layer *fs, const char *path)
{
	struct fs_entry *e = NULL;
	int r = fs->ops->fs->lookup(fs, path, &e);
	uint64_t id = r ? 0 : e->id;

	fs_entry_free(e);
	return id;
}

static const struct fs_item *find(const struct fs_list *list, const char *path)
{
	const struct fs_item *item = fs_listed(list, path, false);

	if (!item)
		print_error("%s is not listed\n", path);
	assert_non_null(item);
	return item;
}

static void every_file_is_there_as_it_was_put_in(void **state)
{
	struct image *img = fresh();
	struct fs_list list;

	(void)state;
	image_open(img, &ntfs_ops);
	assert_clean(img);
	assert_files(img, 0);
	assert_clean(img);
	fs_list(img->top, false, &list);
	assert_int_equal(find(&list, "/tiny")->e->links, 2);
	assert_int_equal(find(&list, "/tiny")->e->id, find(&list, "/Windows/second")->e->id);
	assert_int_equal(find(&list, "/tiny:big")->e->size, 23893);
	assert_string_equal(find(&list, "/tiny:small")->e->stream, "small");
	assert_int_equal(find(&list, "/comp/seq")->e->path_sure, FS_SURE);
	assert_string_equal(find(&list, "/comp/seq")->e->remark, "compressed (LZNT1)");
	assert_true(find(&list, "/comp/seq")->e->stored < find(&list, "/comp/seq")->e->size);
	assert_true(find(&list, "/sparse")->e->stored < 20000);
	assert_int_equal(find(&list, "/Windows/link")->e->kind, FS_SYMLINK);
	assert_string_equal(find(&list, "/Windows/link")->e->target, "../tiny");
	assert_true(find(&list, "/tiny")->e->modified.set);
	fs_list_free(&list);
	image_free(img);
}

static void paths_are_looked_up_without_case(void **state)
{
	struct image *img = fresh();
	struct fs_entry *e;
	uint64_t id;

	(void)state;
	image_open(img, &ntfs_ops);
	id = id_of(img->top, "/Users/Anna Müller/file3.txt");
	assert_true(id >= NTFS_SYSTEM_RECORDS);
	assert_int_equal(id_of(img->top, "/USERS/anna MÜLLER/FILE3.TXT"), id);
	assert_int_equal(id_of(img->top, "/tiny:BIG"), id_of(img->top, "/windows/SECOND"));
	assert_true(id_of(img->top, "/ÜNÏ çode"));
	assert_int_equal(id_of(img->top, "/"), NTFS_ROOT);
	assert_int_equal(id_of(img->top, "/$mft"), 0); /* its number */
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/$MFTMIRR", &e), 0);
	assert_true(e->system);
	fs_entry_free(e);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/nothing", &e), -ENOENT);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/tiny:nothing", &e), -ENOENT);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/tiny/x", &e), -ENOTDIR);
	assert_clean(img);
	image_free(img);
}

static int count(void *arg, const struct fs_entry *e)
{
	assert_true(strchr(e->path + 1, '/') && !strncmp(e->path, "/many/", 6));
	assert_int_equal(e->data_sure, FS_SURE);
	++*(int *)arg;
	return 0;
}

static int count_in(struct image *img, const char *dir, int (*fn)(void *, const struct fs_entry *))
{
	const struct fs_query q = {.dir = dir};
	int n = 0;

	assert_int_equal(img->top->ops->fs->walk(img->top, &q, fn, &n), 0);
	return n;
}

static void a_folder_is_read_by_its_index_and_without_it(void **state)
{
	struct image *img = fresh();
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	struct ntfs_stream stream;
	uint64_t at;

	(void)state;
	image_open(img, &ntfs_ops);
	assert_int_equal(count_in(img, "/MANY", count), 90);
	assert_clean(img);
	assert_int_equal(ntfs_inode_load(img->top, id_of(img->top, "/many"), ino), 0);
	assert_int_equal(ntfs_stream_get(img->top, ino, NTFS_INDEX_ALLOCATION,
					 ntfs_inode_find(ino, NTFS_INDEX_ALLOCATION, "$I30")->name,
					 &stream),
			 0);
	at = stream.runs.v[0].at;
	fs_runs_free(&stream.runs);
	ntfs_inode_free(ino);
	free(ino);

	wipe(img, at, 512);
	image_open(img, &ntfs_ops);
	assert_int_equal(count_in(img, "/many", count), 90);
	assert_finding(img, NTFS_INDEX_LOST, ANYWHERE);
	assert_true(id_of(img->top, "/many/entry number 77"));
	image_free(img);
}

/* ---- damage ---- */

enum damage { BOOT, BACKUP, MFT0, MIRROR, ROOT, ROOT_INDEX, BITMAP, TORN, CUT, DAMAGES };

static void damage(struct image *img, enum damage what)
{
	size_t cut = good->len / 10 * 9;

	switch (what) {
	case BOOT: wipe(img, 0, 512); break;
	case BACKUP: wipe(img, g.sectors * g.sector, 512); break;
	case MFT0: wipe(img, record_at(0), g.record); break;
	case MIRROR: wipe(img, g.mirr_lcn * g.cluster, 4 * g.record); break;
	case ROOT: wipe(img, record_at(NTFS_ROOT), g.record); break;
	case ROOT_INDEX: /* behind the names: the attributes from $SECURITY_DESCRIPTOR on */
		wipe(img, record_at(NTFS_ROOT) + 0x140, 128);
		break;
	case BITMAP: wipe(img, record_at(NTFS_BITMAP_FILE), g.record); break;
	case TORN: wipe(img, record_at(NTFS_ATTRDEF) + 1022, 2); break;
	case CUT: image_resize(img, cut); break;
	case DAMAGES: break;
	}
}

/* What lies behind the cut can't be had; it is the same in all cells. */
static size_t lost_by_cut(void)
{
	struct image *img = fresh();
	struct fs_list list;
	size_t lost;

	damage(img, CUT);
	image_open(img, &ntfs_ops);
	fs_list(img->top, false, &list);
	lost = sums.n - fs_intact(&list, &sums);
	fs_list_free(&list);
	image_free(img);
	return lost;
}

static void all_files_survive_the_loss_of_any_two_structures(void **state)
{
	size_t cut;

	(void)state;
	if (!good)
		skip();
	cut = lost_by_cut();
	assert_true(cut < sums.n / 4);
	for (int a = 0; a < DAMAGES; a++)
		for (int b = a; b < DAMAGES; b++) {
			struct image *img = fresh();

			damage(img, (enum damage)b);
			if (a == CUT || b != CUT ||
			    a != BACKUP) /* the backup lies behind the cut */
				damage(img, a == b ? DAMAGES : (enum damage)a);
			image_open(img, &ntfs_ops);
			assert_files(img, a == CUT || b == CUT ? cut : 0);
			image_free(img);
		}
}

static void what_was_used_instead_is_told(void **state)
{
	static const struct {
		enum damage what;
		enum finding_id id;
		int number; /* of the record that it points at; -1: the boot sector */
	} cases[] = {
		{BOOT, NTFS_BOOT_FROM_BACKUP, -1},
		{MFT0, NTFS_MIRROR_USED, 0},
		{ROOT, NTFS_ROOT_LOST, NTFS_ROOT},
		{CUT, NTFS_TRUNCATED, -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct image *img = fresh();

		damage(img, cases[i].what);
		image_open(img, &ntfs_ops);
		assert_int_equal(img->err, 0);
		assert_finding(img, cases[i].id,
			       cases[i].number < 0 ? 0 : record_at((uint64_t)cases[i].number));
		image_free(img);
	}
}

static void the_geometry_is_concluded_from_records(void **state)
{
	struct image *img = fresh();
	struct ntfs *n;

	(void)state;
	damage(img, BOOT);
	damage(img, BACKUP);
	image_open(img, &ntfs_ops);
	assert_finding(img, NTFS_BOOT_REBUILT, 0);
	n = img->top->priv;
	assert_int_equal(n->g.cluster, g.cluster);
	assert_int_equal(n->g.clusters, g.clusters);
	assert_int_equal(n->g.record, g.record);
	assert_int_equal(n->g.index_block, g.index_block);
	assert_int_equal(n->g.mft_lcn, g.mft_lcn);
	assert_int_equal(n->g.mirr_lcn, g.mirr_lcn);
	assert_true(ntfs_ops.search(img->source) >= 60);
	assert_int_equal(ntfs_ops.probe(img->source), 0);
	assert_files(img, 0);
	image_free(img);
}

static void mft_is_found_by_the_numbers_of_its_records(void **state)
{
	struct image *img = fresh();
	uint64_t id;

	(void)state;
	image_open(img, &ntfs_ops);
	id = id_of(img->top, "/many/entry number 50");
	damage(img, MFT0);
	damage(img, MIRROR);
	image_open(img, &ntfs_ops);
	assert_finding(img, NTFS_MFT_REBUILT, record_at(0));
	assert_files(img, 0);

	/* In two pieces, and the place of some records is anybody's guess. */
	wipe(img, record_at(id), 2 * g.record);
	memmove(img->buf + img->len - 65536 * 2, img->buf + record_at(id + 2), 8 * g.record);
	wipe(img, record_at(id + 2), 8 * g.record);
	image_open(img, &ntfs_ops);
	assert_finding(img, NTFS_MFT_LOST, record_at(0));
	assert_int_equal(id_of(img->top, "/many/entry number 52"), id + 2);

	/* Only the boot sector is left. */
	wipe(img, 4096, img->len - 4096);
	image_open(img, &ntfs_ops);
	assert_finding(img, NTFS_MFT_LOST, record_at(0));
	assert_false(image_seen(img, NTFS_MFT_REBUILT, ANYWHERE));
	image_free(img);
}

static void a_lost_record_is_known_by_the_index(void **state)
{
	struct image *img = fresh();
	struct fs_list list;
	uint64_t id;

	(void)state;
	image_open(img, &ntfs_ops);
	id = id_of(img->top, "/Users/Anna Müller/file3.txt");
	wipe(img, record_at(id), g.record);
	wipe(img, record_at(id_of(img->top, "/many")), g.record);
	image_open(img, &ntfs_ops);
	fs_list(img->top, false, &list);
	assert_finding(img, NTFS_RECORD_LOST, record_at(id));
	assert_int_equal(find(&list, "/Users/Anna Müller/file3.txt")->e->data_sure, FS_GONE);
	assert_int_equal(find(&list, "/Users/Anna Müller/file3.txt")->e->path_sure, FS_REBUILT);
	assert_int_equal(find(&list, "/Users/Anna Müller/file3.txt")->e->size, 1688);
	assert_int_equal(find(&list, "/Users/Anna Müller/file3.txt")->lost, 1688);
	/* A folder whose record is lost still holds its files. */
	assert_int_equal(find(&list, "/many/entry number 7")->e->path_sure, FS_REBUILT);
	assert_int_equal(find(&list, "/many/entry number 7")->e->data_sure, FS_SURE);
	fs_list_free(&list);
	assert_int_equal(count_in(img, "/many", count), 90);
	image_free(img);
}

static void a_torn_record_is_used_and_doubtful(void **state)
{
	struct image *img = fresh();
	struct fs_list list;
	uint64_t id;

	(void)state;
	image_open(img, &ntfs_ops);
	id = id_of(img->top, "/resident");
	wipe(img, record_at(id) + 1022, 2);
	image_open(img, &ntfs_ops);
	fs_list(img->top, false, &list);
	assert_finding(img, NTFS_RECORD_TORN, record_at(id) + 512);
	assert_int_equal(find(&list, "/resident")->e->data_sure, FS_GUESSED);
	assert_int_equal(find(&list, "/resident")->doubtful, 400);
	fs_list_free(&list);
	image_free(img);
}

static void upcase_is_not_needed(void **state)
{
	struct image *img = fresh();

	(void)state;
	wipe(img, record_at(NTFS_UPCASE_FILE), g.record);
	image_open(img, &ntfs_ops);
	assert_finding(img, NTFS_UPCASE_LOST, ANYWHERE);
	assert_true(id_of(img->top, "/ÜNÏ çode"));
	image_free(img);
}

/* Where attribute @type of the file at @path lies: in the last record that has a part of it. */
static uint64_t attr_at(struct image *img, const char *path, uint32_t type, uint64_t *record)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	uint64_t at = 0;

	assert_int_equal(ntfs_inode_load(img->top, id_of(img->top, path), ino), 0);
	for (size_t i = 0; i < ino->n_attrs; i++)
		if (ino->attrs[i].a.type == type) {
			*record = ino->attrs[i].record;
			at = record_at(*record) + ino->attrs[i].a.at;
		}
	ntfs_inode_free(ino);
	free(ino);
	assert_true(at);
	return at;
}

static void runs_that_are_lost_cost_only_themselves(void **state)
{
	struct image *img = fresh();
	struct fs_list list;
	const struct fs_item *item;
	uint64_t record, id;

	(void)state;
	image_open(img, &ntfs_ops);
	id = id_of(img->top, "/frag/holes");
	attr_at(img, "/frag/holes", NTFS_DATA, &record);
	assert_int_not_equal(record, id); /* it has an attribute list */
	wipe(img, record_at(record), g.record);
	image_open(img, &ntfs_ops);
	fs_list(img->top, false, &list);
	assert_finding(img, NTFS_RUNS, record_at(id));
	item = find(&list, "/frag/holes");
	assert_int_equal(item->e->data_sure, FS_GUESSED);
	assert_true(item->lost > 0 && item->lost < item->e->size);
	fs_list_free(&list);
	image_free(img);
}

static int keep_orphan(void *arg, const struct fs_entry *e)
{
	struct {
		uint64_t id;
		struct fs_entry *e;
	} *want = arg;

	if (e->id != want->id || e->stream)
		return 0;
	want->e = fs_entry_copy(e);
	return 1;
}

static struct fs_entry *orphan(struct layer *l, uint64_t id)
{
	struct {
		uint64_t id;
		struct fs_entry *e;
	} want = {id, NULL};

	l->ops->fs->walk(l, &(struct fs_query){.recursive = true}, keep_orphan, &want);
	return want.e;
}

/* The record that a file begins with is lost, but not those that continue it. */
static void records_that_continue_a_lost_one_keep_their_part(void **state)
{
	struct image *img = fresh();
	uint8_t *whole, *left;
	uint64_t record, id, size, lost = 0;
	struct ranges bad = {0};
	struct layer *file;
	struct fs_entry *e;

	(void)state;
	image_open(img, &ntfs_ops);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/frag/holes", &e), 0);
	assert_int_equal(img->top->ops->fs->open_file(img->top, e, &file), 0);
	id = e->id;
	size = e->size;
	whole = malloc(size);
	left = malloc(size);
	assert_int_equal(layer_read(file, 0, whole, size, NULL), 0);
	layer_free(file);
	fs_entry_free(e);
	attr_at(img, "/frag/holes", NTFS_DATA, &record);
	assert_int_not_equal(record, id);

	wipe(img, record_at(id), g.record);
	image_open(img, &ntfs_ops);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/frag/holes", &e), 0);
	assert_int_equal(e->id, id);
	assert_int_equal(e->size, size); /* as its folder has it */
	assert_int_equal(e->path_sure, FS_REBUILT);
	assert_int_equal(e->data_sure, FS_GUESSED);
	assert_int_equal(img->top->ops->fs->open_file(img->top, e, &file), 0);
	assert_int_equal(file->size, size);
	assert_int_equal(layer_read(file, 0, left, size, &bad), 0);
	ranges_sort(&bad);
	lost = ranges_bytes(&bad, GRADE_LOST);
	assert_true(lost < size);
	for (uint64_t i = 0; i < size; i++)
		if (left[i] != whole[i] && !ranges_overlap(&bad, i, 1))
			fail_msg("byte %" PRIu64 " is wrong, and nobody says so", i);
	layer_free(file);
	fs_entry_free(e);
	ranges_free(&bad);

	/* Not even its folder knows it. */
	wipe(img, record_at(id_of(img->top, "/frag")), g.record);
	image_open(img, &ntfs_ops);
	e = orphan(img->top, id);
	assert_non_null(e);
	assert_int_equal(img->top->ops->fs->open_file(img->top, e, &file), 0);
	assert_int_equal(layer_read(file, 0, left, e->size < size ? e->size : size, &bad), 0);
	for (uint64_t i = 0; i < size && i < e->size; i++)
		if (left[i] != whole[i] && !ranges_overlap(&bad, i, 1))
			fail_msg("byte %" PRIu64 " of the orphan is wrong", i);
	layer_free(file);
	fs_entry_free(e);
	ranges_free(&bad);
	free(whole);
	free(left);
	image_free(img);
}

static void a_run_outside_the_volume_is_lost(void **state)
{
	struct image *img = fresh();
	struct fs_list list;
	uint64_t record, at;

	(void)state;
	image_open(img, &ntfs_ops);
	at = attr_at(img, "/Users/Anna Müller/file20.txt", NTFS_DATA, &record);
	at += img->buf[at + 0x20];
	assert_int_equal(img->buf[at], 0x21); /* a byte of length, two of LCN */
	img->buf[at + 3] = 0x7f;
	image_open(img, &ntfs_ops);
	fs_list(img->top, false, &list);
	assert_finding(img, NTFS_RUN_OUTSIDE, record_at(record));
	assert_int_equal(find(&list, "/Users/Anna Müller/file20.txt")->lost,
			 find(&list, "/Users/Anna Müller/file20.txt")->e->size);
	fs_list_free(&list);
	image_free(img);
}

static void what_is_not_in_the_file_is_never_zeros(void **state)
{
	struct image *img = fresh();
	struct fs_entry *e;
	struct fs_list list;
	struct layer *f;
	uint64_t record, at;

	(void)state;
	image_open(img, &ntfs_ops);
	at = attr_at(img, "/comp/seq", NTFS_DATA, &record);
	assert_int_equal(img->buf[at + 0x0c], 1);
	img->buf[at + 0x0c] = 2;
	image_open(img, &ntfs_ops);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/comp/seq", &e), 0);
	assert_int_equal(img->top->ops->fs->open_file(img->top, e, &f), 0);
	{
		struct ranges bad = {0};
		uint8_t byte;

		assert_int_equal(layer_read(f, 5, &byte, 1, &bad), 0);
		assert_int_equal(bad.n, 1);
		assert_int_equal(bad.v[0].why, NTFS_COMPRESSION);
		ranges_free(&bad);
	}
	layer_free(f);
	fs_entry_free(e);

	fs_list(img->top, false, &list);
	assert_int_equal(find(&list, "/dedup")->lost, 9000); /* NTFS_DATA_ELSEWHERE */
	assert_int_equal(find(&list, "/dedup")->e->data_sure, FS_GONE);
	assert_non_null(strstr(find(&list, "/dedup")->e->remark, "deduplicated"));
	assert_string_equal(find(&list, "/sym")->e->target, "A:/BB");
	fs_list_free(&list);
	image_free(img);
}

static void deleted_files_keep_their_path_and_say_what_is_overwritten(void **state)
{
	struct image *img = fresh();
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	struct ntfs_stream s;
	struct fs_list list;
	const struct fs_item *item;

	(void)state;
	image_open(img, &ntfs_ops);
	fs_list(img->top, true, &list);
	item = fs_listed(&list, "/gone/large", true);
	assert_non_null(item);
	assert_int_equal(item->e->path_sure, FS_SURE);
	assert_int_equal(item->e->data_sure, FS_GUESSED);
	assert_int_equal(item->e->overwritten, 0);
	assert_int_equal(item->doubtful, 0);
	item = fs_listed(&list, "/gone/small", true);
	assert_int_equal(item->e->data_sure, FS_SURE); /* in the record itself */
	fs_list_free(&list);

	/* By a $Bitmap in which all is in use. */
	assert_int_equal(ntfs_inode_load(img->top, NTFS_BITMAP_FILE, ino), 0);
	assert_int_equal(ntfs_stream_get(img->top, ino, NTFS_DATA, (struct span){0}, &s), 0);
	memset(img->buf + s.runs.v[0].at, 0xff, s.size);
	fs_runs_free(&s.runs);
	ntfs_inode_free(ino);
	free(ino);
	image_open(img, &ntfs_ops);
	fs_list(img->top, true, &list);
	item = fs_listed(&list, "/gone/large", true);
	assert_int_equal(item->e->data_sure, FS_GUESSED); /* no file is there that took them */
	assert_int_equal(item->e->overwritten, item->e->stored);
	assert_int_equal(item->e->reused, 0);
	assert_int_equal(item->doubtful, item->e->size); /* NTFS_OVERWRITTEN */
	fs_list_free(&list);
	image_free(img);
}

static uint64_t unnamed_at(struct image *img, const char *path)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	uint64_t id = id_of(img->top, path), at;

	assert_int_equal(ntfs_inode_load(img->top, id, ino), 0);
	at = ntfs_record_at(img->top->priv, id, 0) + ntfs_inode_find(ino, NTFS_DATA, "")->at;
	ntfs_inode_free(ino);
	free(ino);
	return at;
}

/* By the runs of a file that is there, whatever $Bitmap says. */
static void clusters_of_a_deleted_file_that_another_owns(void **state)
{
	struct image *img = fresh();
	struct fs_list list;
	const struct fs_item *item;
	uint64_t from, to;

	(void)state;
	image_open(img, &ntfs_ops);
	from = unnamed_at(img, "/gone/large");
	to = unnamed_at(img, "/Users/Anna Müller/file20.txt");
	/* Its runs, with their sizes: what the other one had is nobody's now. */
	assert_int_equal(img->buf[from + 0x20], img->buf[to + 0x20]);
	memcpy(img->buf + to + 0x10, img->buf + from + 0x10, 0x38);
	image_open(img, &ntfs_ops);
	fs_list(img->top, true, &list);
	item = fs_listed(&list, "/gone/large", true);
	assert_int_equal(item->e->overwritten, 0);
	assert_int_equal(item->e->reused, item->e->stored);
	assert_int_equal(item->e->data_sure, FS_GONE);
	assert_int_equal(item->doubtful, item->e->size);
	fs_list_free(&list);
	image_free(img);
}

/* Whatever one byte of the boot sector says, all files are there: the copy, or the records, know. */
static void no_byte_of_the_boot_sector_is_needed(void **state)
{
	struct image *img = fresh();

	(void)state;
	for (int copy = 0; copy < 2; copy++) {
		for (size_t at = 3; at < 0x48; at++) {
			uint8_t was = img->buf[at];

			img->buf[at] = (uint8_t)~was;
			image_open(img, &ntfs_ops);
			assert_int_equal(img->err, 0);
			if (copy && at == 0x28)
				assert_finding(img, NTFS_BOOT_SIZE, 0x28);
			if (at % 4 == 0 || (at >= 0x0b && at <= 0x0d) || at == 0x40)
				assert_files(img, 0);
			img->buf[at] = was;
		}
		damage(img, BACKUP);
	}
	image_free(img);
}

/* No crash, no hang: whatever one byte of the metadata says. */
static void any_byte_may_be_wrong(void **state)
{
	struct image *img = fresh();
	uint64_t ids[6], record;
	const char *const paths[] = {"/", "/many", "/frag/holes", "/comp/seq", "/dedup"};

	(void)state;
	image_open(img, &ntfs_ops);
	for (size_t i = 0; i < 5; i++)
		ids[i] = record_at(id_of(img->top, paths[i]));
	ids[5] = record_at(0);
	attr_at(img, "/frag/holes", NTFS_DATA, &record);
	for (size_t i = 0; i < 6; i++)
		for (uint64_t at = ids[i]; at < ids[i] + 512; at += 3) {
			img->buf[at] ^= (uint8_t)(1 << at % 8);
			image_open(img, &ntfs_ops);
			if (!img->err && at % 2)
				fs_exercise(img->top);
			img->buf[at] ^= (uint8_t)(1 << at % 8);
		}
	image_free(img);
}

static void every_prefix_of_a_volume_opens_or_is_refused(void **state)
{
	(void)state;
	for (size_t len = 0; good && len < good->len; len += good->len / 40) {
		struct image *img = fresh();

		image_resize(img, len);
		image_open(img, &ntfs_ops);
		if (!img->err)
			fs_exercise(img->top);
		image_free(img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_file_is_there_as_it_was_put_in),
		cmocka_unit_test(paths_are_looked_up_without_case),
		cmocka_unit_test(a_folder_is_read_by_its_index_and_without_it),
		cmocka_unit_test(all_files_survive_the_loss_of_any_two_structures),
		cmocka_unit_test(what_was_used_instead_is_told),
		cmocka_unit_test(the_geometry_is_concluded_from_records),
		cmocka_unit_test(mft_is_found_by_the_numbers_of_its_records),
		cmocka_unit_test(a_lost_record_is_known_by_the_index),
		cmocka_unit_test(a_torn_record_is_used_and_doubtful),
		cmocka_unit_test(upcase_is_not_needed),
		cmocka_unit_test(runs_that_are_lost_cost_only_themselves),
		cmocka_unit_test(records_that_continue_a_lost_one_keep_their_part),
		cmocka_unit_test(a_run_outside_the_volume_is_lost),
		cmocka_unit_test(what_is_not_in_the_file_is_never_zeros),
		cmocka_unit_test(deleted_files_keep_their_path_and_say_what_is_overwritten),
		cmocka_unit_test(clusters_of_a_deleted_file_that_another_owns),
		cmocka_unit_test(no_byte_of_the_boot_sector_is_needed),
		cmocka_unit_test(any_byte_may_be_wrong),
		cmocka_unit_test(every_prefix_of_a_volume_opens_or_is_refused),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
