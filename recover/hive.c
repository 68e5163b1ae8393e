/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/hive.h"

#include <errno.h>

#include "formats/drivers.h"
#include "formats/fs/fs.h"
#include "formats/stack.h"

int hive_open(struct layer *fs, const char *path, struct layer **file, struct layer **hive)
{
	static const struct layer_ops *const drivers[] = {&regf_ops, NULL};
	struct fs_entry *e;
	struct layer *l;
	int r = fs_find(fs, path, &e);

	*file = *hive = NULL;
	if (!r)
		r = fs->ops->fs->open_file(fs, e, file);
	fs_entry_free(e);
	if (!r)
		r = stack_discover_as(*file, drivers);
	if (r)
		return r;
	for (l = (*file)->child; l && (l->ops != &regf_ops || l->state); l = l->next)
		;
	*hive = l;
	return l ? 0 : -EBADMSG;
}
