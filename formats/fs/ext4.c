/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/ext4.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/fs/ext4_fs.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"

uint64_t ext4_at(const struct ext4 *fs, uint64_t block)
{
	const struct ext4_newer *n = ext4_newer(fs, block);

	return (n ? n->at : block) << fs->block_bits;
}

/* What the journal replaced by zeros because it looked like the journal's own. */
static void unescape(const struct ext4 *fs, uint64_t block, uint8_t *buf)
{
	const struct ext4_newer *n = ext4_newer(fs, block);
	be32_t magic = to_be32(JBD2_MAGIC);

	if (n && n->escaped)
		memcpy(buf, &magic, sizeof(magic));
}

int ext4_read(struct ext4 *fs, uint64_t block, uint64_t n, void *buf, struct ranges *bad)
{
	bool patches = fs->patch.n && !fs->patch.off;
	uint8_t *p = buf;

	while (n) {
		uint64_t at = ext4_at(fs, block), run = 1;
		const uint8_t *patch = patches ? ext4_patched(fs, block) : NULL;
		int r;

		if (patch) {
			memcpy(p, patch, fs->block_size);
			p += fs->block_size;
			block++;
			n--;
			continue;
		}
		while (run < n && ext4_at(fs, block + run) == at + (run << fs->block_bits) &&
		       !(patches && ext4_patched(fs, block + run)))
			run++;
		r = layer_read_as(fs->l->below, at, p, run << fs->block_bits,
				  block << fs->block_bits, bad);
		if (r)
			return r;
		if (fs->j.n_newer)
			for (uint64_t i = 0; i < run; i++)
				unescape(fs, block + i, p + (i << fs->block_bits));
		p += run << fs->block_bits;
		block += run;
		n -= run;
	}
	return 0;
}

static int fill(void *arg, struct cache_item *it)
{
	return ext4_read(arg, it->key, 1, it->buf, &it->bad);
}

int ext4_cache_reset(struct ext4 *fs)
{
	cache_free(fs->cache);
	fs->cache = cache_new(fs->block_size, EXT4_CACHED, fill, fs);
	return fs->cache ? 0 : -ENOMEM;
}

const struct cache_item *ext4_get(struct ext4 *fs, uint64_t block)
{
	const struct cache_item *it;

	if (!ext4_block_ok(fs, block) || cache_get(fs->cache, block, 0, &it))
		return NULL;
	return it;
}

void ext4_put(struct ext4 *fs, const struct cache_item *it)
{
	if (it)
		cache_put(fs->cache, it);
}

static int ext4_probe(struct layer *below)
{
	struct ext4_super sb;
	struct ranges bad = {0};
	int score = 0;

	if (below->size < EXT4_SUPER_AT + EXT4_SUPER_LEN ||
	    layer_read(below, EXT4_SUPER_AT, &sb, sizeof(sb), &bad))
		goto out;
	if (le16(sb.magic) != EXT4_MAGIC || bad.n)
		goto out;
	/* Not a copy of a superblock that happens to lie here: of a damaged one the number says nothing. */
	if (le16(sb.block_group_nr) &&
	    (!(le32(sb.ro_compat) & EXT4_R_METADATA_CSUM) || ext4_super_sum_ok(&sb)))
		goto out;
	if (ext4_super_ok(&sb, below->size))
		score = le32(sb.ro_compat) & EXT4_R_METADATA_CSUM && ext4_super_sum_ok(&sb) ? 95
											    : 90;
	else if (le32(sb.log_block_size) <= EXT4_BLOCK_BITS_MAX - EXT4_BLOCK_BITS_MIN &&
		 le32(sb.rev_level) <= 1 && le32(sb.blocks_per_group))
		score = 60;
out:
	ranges_free(&bad);
	return score;
}

static int ext4_search(struct layer *below)
{
	struct ext4_super sb;
	uint64_t at;

	return ext4_super_search(below, &sb, &at) ? 70 : 0;
}

/* Features that change what structures mean: with one that is not known, nothing can be read. */
static int known_features(struct layer *l, const struct ext4 *fs)
{
	uint32_t no = fs->incompat & ~EXT4_I_KNOWN;

	if (fs->incompat & EXT4_I_JOURNAL_DEV) {
		finding(l, EXT4_JOURNAL_DEVICE, fs->sb_at, EXT4_SUPER_LEN,
			"this is the journal of another file system, not a file system");
		return -EOPNOTSUPP;
	}
	if (!no)
		return 0;
	finding_fact(l, EXT4_FEATURE_UNKNOWN,
		     &(struct fact){.at = fs->sb_at + offsetof(struct ext4_super, incompat),
				    .at_len = 4,
				    .stored = strf("0x%" PRIx32, fs->incompat)},
		     "incompatible features 0x%" PRIx32 " are not known", no);
	return -EOPNOTSUPP;
}

static int ext4_open(struct layer *l)
{
	struct ext4 *fs = calloc(1, sizeof(*fs));
	int r;

	l->priv = fs;
	if (!fs)
		return -ENOMEM;
	fs->l = l;
	pthread_mutex_init(&fs->told_lock, NULL);
	l->size = l->below->size;
	r = ext4_super_load(fs);
	if (!r)
		r = known_features(l, fs);
	if (!r)
		r = ext4_cache_reset(fs);
	if (!r)
		r = ext4_gdt_load(fs, false);
	if (!r)
		r = ext4_journal_load(fs);
	if (!r)
		r = ext4_gdt_load(fs, true);
	if (!r)
		r = ext4_areas_load(fs);
	if (!r)
		r = ext4_fast_commits(fs);
	return r;
}

static void ext4_close(struct layer *l)
{
	struct ext4 *fs = l->priv;

	if (!fs)
		return;
	cache_free(fs->cache);
	ext4_journal_free(fs);
	ext4_patches_free(fs);
	free(fs->area);
	free(fs->gdt);
	free(fs->gdt_state);
	pthread_mutex_destroy(&fs->told_lock);
	free(fs);
}

static const char *version(const struct ext4 *fs)
{
	const uint32_t of_ext3 = EXT4_I_FILETYPE | EXT4_I_RECOVER | EXT4_I_META_BG;
	const uint32_t ro_of_ext3 = EXT4_R_SPARSE_SUPER | EXT4_R_LARGE_FILE | 0x4;

	if (fs->incompat & ~of_ext3 || fs->ro & ~ro_of_ext3)
		return "ext4";
	return EXT4_HAS(fs, compat, EXT4_C_JOURNAL) ? "ext3" : "ext2";
}

static void put_features(const struct ext4 *fs, struct json *to)
{
	static const struct {
		const char *name;
		char set;
		uint32_t bit;
	} f[] = {
		{"has_journal", 'c', EXT4_C_JOURNAL},
		{"ext_attr", 'c', EXT4_C_EXT_ATTR},
		{"resize_inode", 'c', EXT4_C_RESIZE_INODE},
		{"dir_index", 'c', EXT4_C_DIR_INDEX},
		{"sparse_super2", 'c', EXT4_C_SPARSE_SUPER2},
		{"fast_commit", 'c', EXT4_C_FAST_COMMIT},
		{"orphan_file", 'c', EXT4_C_ORPHAN_FILE},
		{"filetype", 'i', EXT4_I_FILETYPE},
		{"needs_recovery", 'i', EXT4_I_RECOVER},
		{"meta_bg", 'i', EXT4_I_META_BG},
		{"extents", 'i', EXT4_I_EXTENTS},
		{"64bit", 'i', EXT4_I_64BIT},
		{"mmp", 'i', EXT4_I_MMP},
		{"flex_bg", 'i', EXT4_I_FLEX_BG},
		{"ea_inode", 'i', EXT4_I_EA_INODE},
		{"metadata_csum_seed", 'i', EXT4_I_CSUM_SEED},
		{"large_dir", 'i', EXT4_I_LARGEDIR},
		{"inline_data", 'i', EXT4_I_INLINE_DATA},
		{"encrypt", 'i', EXT4_I_ENCRYPT},
		{"casefold", 'i', EXT4_I_CASEFOLD},
		{"sparse_super", 'r', EXT4_R_SPARSE_SUPER},
		{"large_file", 'r', EXT4_R_LARGE_FILE},
		{"huge_file", 'r', EXT4_R_HUGE_FILE},
		{"uninit_bg", 'r', EXT4_R_GDT_CSUM},
		{"dir_nlink", 'r', EXT4_R_DIR_NLINK},
		{"extra_isize", 'r', EXT4_R_EXTRA_ISIZE},
		{"quota", 'r', EXT4_R_QUOTA},
		{"bigalloc", 'r', EXT4_R_BIGALLOC},
		{"metadata_csum", 'r', EXT4_R_METADATA_CSUM},
		{"read-only", 'r', EXT4_R_READONLY},
		{"project", 'r', EXT4_R_PROJECT},
		{"shared_blocks", 'r', EXT4_R_SHARED_BLOCKS},
		{"verity", 'r', EXT4_R_VERITY},
		{"orphan_present", 'r', EXT4_R_ORPHAN_PRESENT},
	};
	struct json *list = js_array();

	for (size_t i = 0; i < sizeof(f) / sizeof(*f); i++)
		if ((f[i].set == 'c'   ? fs->compat
		     : f[i].set == 'i' ? fs->incompat
				       : fs->ro) &
		    f[i].bit)
			js_add_str(list, f[i].name);
	js_put(to, "features", list);
}

static void put_name(struct json *to, const char *key, const char *text, size_t cap)
{
	char out[4 * 64 + 1];

	if (*text)
		js_str(to, key, name_escape(text, strnlen(text, cap), out, sizeof(out)));
}

static void put_time(struct json *to, const char *key, uint32_t sec)
{
	char text[TIME_TEXT];

	if (sec)
		js_str(to, key, time_text(sec, 0, text));
}

static void ext4_info(struct layer *l, struct json *to)
{
	const struct ext4 *fs = l->priv;
	const struct ext4_super *sb = &fs->sb;
	char id[GUID_TEXT];

	js_str(to, "version", version(fs));
	put_name(to, "label", sb->label, sizeof(sb->label));
	js_str(to, "uuid", guid_text_be(sb->uuid, id));
	js_u64(to, "block_size", fs->block_size);
	if (fs->cluster_bits)
		js_u64(to, "cluster_size", (uint64_t)fs->block_size << fs->cluster_bits);
	js_u64(to, "blocks", fs->blocks);
	js_u64(to, "free_blocks",
	       (le32(sb->free_blocks_lo) |
		(EXT4_HAS(fs, incompat, EXT4_I_64BIT) ? (uint64_t)le32(sb->free_blocks_hi) << 32
						      : 0)));
	js_u64(to, "inodes", fs->inodes);
	js_u64(to, "free_inodes", le32(sb->free_inodes));
	js_u64(to, "inode_size", fs->inode_size);
	js_u64(to, "groups", fs->groups);
	put_features(fs, to);
	js_str(to, "state",
	       le16(sb->state) & EXT4_STATE_ERROR	? "with errors"
	       : EXT4_HAS(fs, incompat, EXT4_I_RECOVER) ? "mounted, or not unmounted"
	       : le16(sb->state) & EXT4_STATE_VALID	? "clean"
							: "not unmounted");
	put_name(to, "last_mounted_on", sb->last_mounted, sizeof(sb->last_mounted));
	put_time(to, "made", le32(sb->mkfs_time));
	put_time(to, "mounted", le32(sb->mtime));
	put_time(to, "written", le32(sb->wtime));
	put_time(to, "checked", le32(sb->lastcheck));
	if (le32(sb->error_count)) {
		js_u64(to, "errors_recorded", le32(sb->error_count));
		put_time(to, "first_error", le32(sb->first_error_time));
		put_time(to, "last_error", le32(sb->last_error_time));
	}
	if (fs->j.valid)
		js_u64(to, "journal_size", (uint64_t)fs->j.n_blocks << fs->block_bits);
	if (fs->j.n_newer)
		js_u64(to, "journal_blocks_applied", fs->j.n_newer);
	if (fs->sb_copy)
		js_u64(to, "superblock_copy_at", fs->sb_at);
}

static int ext4_open_file(struct layer *l, const struct fs_entry *e, struct layer **file)
{
	struct ext4 *fs = l->priv;
	uint8_t *raw = malloc(fs->inode_size);
	struct fs_runs runs = {0};
	struct ext4_inode i;
	int r = raw ? 0 : -ENOMEM;

	if (!r)
		r = ext4_inode_read_at(fs, (uint32_t)e->id, e->ref, raw, &i);
	if (r == -EIO || r == -ENOENT) {
		/* Nothing is known but the name: all of what the entry promised is lost. */
		struct fs_run lost = {0, e->size, EXTENT_LOST, EXT4_INODE_LOST, 0};

		r = fs_runs_add(&runs, &lost);
	} else if (!r) {
		r = ext4_runs(fs, &i, &runs);
	}
	if (!r)
		r = fs_file_new(l, e->path, e->size, &runs, file);
	fs_runs_free(&runs);
	free(raw);
	return r;
}

static const struct fs_ops ext4_fs_ops = {
	.walk = ext4_walk,
	.lookup = ext4_lookup,
	.open_file = ext4_open_file,
	.owners = ext4_owners,
	.unused = ext4_unused,
};

const struct layer_ops ext4_ops = {
	.name = "ext4",
	.kind = LAYER_FILESYSTEM,
	.probe = ext4_probe,
	.search = ext4_search,
	.open = ext4_open,
	.read = fs_read,
	.map = fs_map,
	.check = ext4_check,
	.info = ext4_info,
	.structure = ext4_structure,
	.close = ext4_close,
	.fs = &ext4_fs_ops,
};
