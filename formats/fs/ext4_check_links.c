/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what holds the tree together: parents, names, counts of links. */
#include <inttypes.h>

#include "formats/fs/ext4_check.h"

enum { DEPTH_MAX = 65536, LINKS_MAX = 65000 };

/* Is the root above? Notes it for all on the way. */
static bool reaches_root(struct ck *c, struct ck_dir *d)
{
	struct ck_dir *p = d;

	for (unsigned n = 0; p && n < DEPTH_MAX; n++) {
		if (p->ino == EXT4_INO_ROOT || c->inode[p->ino] & CK_REACHED)
			break;
		p = p->parent ? ck_dir(c, p->parent) : NULL;
		if (n == DEPTH_MAX - 1)
			p = NULL;
	}
	if (!p)
		return false;
	for (; d && d->ino != EXT4_INO_ROOT && !(c->inode[d->ino] & CK_REACHED);
	     d = ck_dir(c, d->parent))
		c->inode[d->ino] |= CK_REACHED;
	return true;
}

static void check_dir(struct ck *c, struct ck_dir *d)
{
	uint32_t parent = d->ino == EXT4_INO_ROOT ? EXT4_INO_ROOT : d->parent;
	uint64_t block = 0;
	uint32_t off = 0;

	ext4_inode_addr(c->fs, d->ino, &block, &off);
	block = (block << c->fs->block_bits) + off;
	if (c->inode[d->ino] & CK_BAD)
		return;
	if (!reaches_root(c, d))
		ck_say(c, EXT4_DIR_LOST, d->ino, block, c->fs->inode_size, NULL, NULL,
		       "directory inode %" PRIu32 " is not below the root", d->ino);
	if (d->dotdot != parent && parent)
		ck_say(c, EXT4_DIR_DOT, d->ino, block, c->fs->inode_size,
		       strf("inode %" PRIu32, d->dotdot), strf("inode %" PRIu32, parent),
		       "directory inode %" PRIu32 ": \"..\" does not lead to where its name is",
		       d->ino);
}

static void check_root(struct ck *c)
{
	uint64_t block = 0;
	uint32_t off = 0;

	if (c->inode[EXT4_INO_ROOT] & CK_DIR)
		return;
	ext4_inode_addr(c->fs, EXT4_INO_ROOT, &block, &off);
	ck_say(c, EXT4_ROOT_LOST, 0, (block << c->fs->block_bits) + off, c->fs->inode_size, NULL,
	       NULL, "the root is no directory");
}

static void check_count(struct ck *c, uint32_t ino)
{
	uint32_t stored = c->links[ino], found = c->names[ino];
	uint64_t block = 0;
	uint32_t off = 0;

	/* With dir_nlink the count of a directory with too many subdirectories is 1. */
	if (stored == found || (stored == 1 && c->inode[ino] & CK_DIR && found > LINKS_MAX))
		return;
	ext4_inode_addr(c->fs, ino, &block, &off);
	block = (block << c->fs->block_bits) + off;
	if (!found || (c->inode[ino] & CK_DIR && !ck_dir(c, ino)->parent && ino != EXT4_INO_ROOT))
		ck_say(c, EXT4_INODE_UNNAMED, ino, block, c->fs->inode_size, NULL, NULL,
		       "inode %" PRIu32 " is in use, and no directory names it", ino);
	else
		ck_say(c, EXT4_LINKS, ino, block + offsetof(struct ext4_dinode, links), 2,
		       strf("%" PRIu32, stored), strf("%" PRIu32, found),
		       "inode %" PRIu32 ": another number of links than names", ino);
}

int ck_links(struct ck *c)
{
	check_root(c);
	for (size_t k = 0; k < c->n_dirs; k++)
		check_dir(c, &c->dirs[k]);
	for (uint32_t ino = 1; ino <= c->fs->inodes && ino; ino++) {
		if (!(c->inode[ino] & CK_USED) || c->inode[ino] & (CK_EA | CK_ORPHAN))
			continue;
		if (ino != EXT4_INO_ROOT &&
		    (ino < c->fs->first_ino || ext4_system_name(c->fs, ino)))
			continue;
		check_count(c, ino);
	}
	return 0;
}
