/* SPDX-License-Identifier: Apache-2.0 */
/* Paths, put together from the names of a tree: up from an entry to the root. */
#include <stdio.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"

enum { DEPTH_MAX = 1024 }; /* folders in one another */

static const char orphans[] = "/$orphans";

const struct ext4_link *ext4_tree_links(const struct ext4_tree *t, uint32_t ino, size_t *n)
{
	size_t lo = 0, hi = t->n, end;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->v[mid].ino < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (end = lo; end < t->n && t->v[end].ino == ino; end++)
		;
	*n = end - lo;
	return t->v + lo;
}

static bool is_dir(const struct ext4_tree *t, uint32_t ino)
{
	size_t lo = 0, hi = t->n_dirs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->dirs[mid] < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->n_dirs && t->dirs[lo] == ino;
}

/* "/" and the name in front of what stands at @at; cut where there is no room for more. */
static size_t prepend(const struct ext4_tree *t, const struct ext4_link *l, char *buf, size_t at)
{
	char name[3 * EXT4_NAME_MAX + 1];
	size_t n =
		fs_name_put(t->names + l->name + 1, (uint8_t)t->names[l->name], name, sizeof(name));

	if (at < n + 1)
		return at;
	memcpy(buf + at - n, name, n);
	buf[at - n - 1] = '/';
	return at - n - 1;
}

static const struct ext4_link *dir_link(const struct ext4_tree *t, uint32_t ino)
{
	size_t n;
	const struct ext4_link *l = ext4_tree_links(t, ino, &n);

	for (size_t k = 0; k < n; k++)
		if (!l[k].deleted)
			return &l[k];
	return NULL;
}

/* Make t->last the path of folder @ino: empty for the root. */
static void dir_path(struct ext4_tree *t, uint32_t ino)
{
	/* Room for "/$orphans/4294967295" in front. */
	const size_t room = sizeof(orphans) + 12;
	char *buf = t->last;
	size_t at = EXT4_PATH - EXT4_NAME_MAX * 3 - 2, end = at, n;
	uint32_t d = ino;
	char head[32];

	t->last_sure = FS_SURE;
	for (unsigned depth = 0; d != EXT4_INO_ROOT; depth++) {
		const struct ext4_link *l = depth < DEPTH_MAX ? dir_link(t, d) : NULL;
		size_t to = l ? prepend(t, l, buf, at) : at;

		/* No name, a circle, or a folder whose inode is no folder (any more). */
		if (!l || to == at || to < room || l->dir == d || !is_dir(t, d)) {
			n = (size_t)snprintf(head, sizeof(head), "%s/%u", orphans, d);
			at -= n;
			memcpy(buf + at, head, n);
			t->last_sure = FS_GONE;
			break;
		}
		at = to;
		d = l->dir;
	}
	t->last_len = end - at;
	memmove(buf, buf + at, t->last_len);
	t->last_dir = ino;
}

const char *ext4_tree_path(struct ext4_tree *t, const struct ext4_link *link, uint32_t ino,
			   enum fs_sure *sure)
{
	*sure = FS_SURE;
	if (!link && ino == EXT4_INO_ROOT)
		return "/";
	if (!link) {
		const char *name = ext4_system_name(t->fs, ino);

		if (name)
			return name;
		*sure = FS_GONE;
		snprintf(t->path, EXT4_PATH, "%s/%u", orphans, ino);
		return t->path;
	}
	if (t->last_dir != link->dir)
		dir_path(t, link->dir);
	*sure = t->last_sure;
	memcpy(t->path, t->last, t->last_len);
	t->path[t->last_len] = '/';
	fs_name_put(t->names + link->name + 1, (uint8_t)t->names[link->name],
		    t->path + t->last_len + 1, EXT4_PATH - t->last_len - 1);
	return t->path;
}

const char *ext4_system_name(const struct ext4 *fs, uint32_t ino)
{
	const struct ext4_super *sb = &fs->sb;

	if (!ino)
		return NULL;
	if (EXT4_HAS(fs, compat, EXT4_C_JOURNAL) && ino == le32(sb->journal_ino))
		return "/$journal";
	if (EXT4_HAS(fs, compat, EXT4_C_ORPHAN_FILE) && ino == le32(sb->orphan_file_ino))
		return "/$orphan_file";
	if (EXT4_HAS(fs, ro, EXT4_R_QUOTA)) {
		if (ino == le32(sb->usr_quota_ino))
			return "/$quota.user";
		if (ino == le32(sb->grp_quota_ino))
			return "/$quota.group";
		if (EXT4_HAS(fs, ro, EXT4_R_PROJECT) && ino == le32(sb->prj_quota_ino))
			return "/$quota.project";
	}
	switch (ino) {
	case EXT4_INO_BAD: return "/$bad_blocks";
	case EXT4_INO_USER_QUOTA: return "/$quota.user";
	case EXT4_INO_GROUP_QUOTA: return "/$quota.group";
	case EXT4_INO_BOOT: return "/$boot_loader";
	case EXT4_INO_UNDELETE: return "/$undelete";
	case EXT4_INO_RESIZE: return "/$resize";
	case EXT4_INO_JOURNAL: return "/$journal";
	case EXT4_INO_EXCLUDE: return "/$exclude";
	case EXT4_INO_REPLICA: return "/$replica";
	}
	return NULL;
}
