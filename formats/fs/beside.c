/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/beside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/fs/fs.h"
#include "vdiskck/core/source.h"

static int in_filesystem(struct layer *fs, const char *path, struct layer **beside)
{
	struct fs_entry *e;
	int r = fs_find(fs, path, &e);

	if (!r && e->kind != FS_FILE)
		r = -ENOENT;
	if (!r)
		r = fs->ops->fs->open_file(fs, e, beside);
	fs_entry_free(e);
	return r == -ENOMEM ? r : r ? -ENOENT : 0;
}

int layer_beside(struct layer *l, const char *suffix, struct layer **beside)
{
	bool file = l->ops->kind == LAYER_FILE && l->below->ops->fs;
	/* A bare image: nothing lies between it and its source but the container "raw". */
	bool bare = l->below && l->below->ops->kind == LAYER_SOURCE && l->size == l->below->size;
	char *path;
	int r = -ENOENT;

	*beside = NULL;
	if (!file && !bare)
		return -ENOENT;
	if (asprintf(&path, "%s%s", file ? l->name : l->below->path, suffix) < 0)
		return -ENOMEM;
	if (file)
		r = in_filesystem(l->below, path, beside);
	else
		r = source_open_beside(l->below, path, beside);
	free(path);
	return r == -ENOMEM ? r : r ? -ENOENT : 0;
}
