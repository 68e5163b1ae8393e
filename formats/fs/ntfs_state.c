/* SPDX-License-Identifier: Apache-2.0 */
/* NTFS: was the volume left in order? Told as data by info, and as findings by check. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs_check.h"

enum {
	DIRTY = 0x0001, /* flags of $VOLUME_INFORMATION */
	CHKDSK_UNDERWAY = 0x4000,
};

/*
 * hiberfil.sys begins with "hibr" or "HIBR" while a system sleeps in it (of fast startup only its
 * kernel), with "wake" after it woke up, and with zeros after that.
 */
static int look_at_hiberfil(struct layer *l, struct ntfs_inode *ino, bool *hibernated)
{
	uint16_t name[16];
	size_t units = ntfs_name_get("hiberfil.sys", 12, name, 16);
	struct layer *file = NULL;
	uint64_t ref = 0;
	char magic[4] = "";
	int r = ntfs_inode_load(l, NTFS_ROOT, ino);

	if (!r)
		r = ntfs_index_find(l, ino, (struct span){(const uint8_t *)name, units * 2, 0},
				    &ref);
	ntfs_inode_free(ino);
	if (r)
		return r;
	r = ntfs_inode_load(l, ntfs_ref_number(ref), ino);
	if (!r)
		r = ntfs_stream_open(l, ino, NTFS_DATA, (struct span){0}, "/hiberfil.sys", &file);
	if (!r && file->size >= sizeof(magic))
		r = layer_read(file, 0, magic, sizeof(magic), NULL);
	*hibernated = !memcmp(magic, "hibr", 4) || !memcmp(magic, "HIBR", 4);
	layer_free(file);
	ntfs_inode_free(ino);
	return r;
}

int ntfs_state_get(struct layer *l, struct ntfs_state *s)
{
	const struct ntfs *n = l->priv;
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	struct layer *file = NULL;
	int r = ino ? 0 : -ENOMEM;

	*s = (struct ntfs_state){.dirty = n->volume_flags & DIRTY,
				 .chkdsk = n->volume_flags & CHKDSK_UNDERWAY};
	if (r)
		return r;
	r = ntfs_inode_load(l, NTFS_LOGFILE, ino);
	if (!r)
		r = ntfs_stream_open(l, ino, NTFS_DATA, (struct span){0}, "/$LogFile", &file);
	if (!r)
		r = ntfs_log_read(file, false, NULL, NULL, &s->log);
	s->log_known = !r;
	layer_free(file);
	ntfs_inode_free(ino);
	if (r != -ENOMEM)
		r = look_at_hiberfil(l, ino, &s->hibernated);
	free(ino);
	return r == -ENOMEM ? r : 0;
}
