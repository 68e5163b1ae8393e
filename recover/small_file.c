/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/small_file.h"

#include <errno.h>
#include <stdlib.h>

#include "formats/fs/fs.h"

char *small_file(struct layer *fs, const char *path, int *err)
{
	struct ranges bad = {0};
	struct layer *f = NULL;
	struct fs_entry *e;
	char *text = NULL;
	int r = fs_find(fs, path, &e);

	if (!r)
		r = fs->ops->fs->open_file(fs, e, &f);
	fs_entry_free(e);
	if (!r && f->size <= SMALL_FILE) {
		text = malloc(f->size + 1);
		r = text ? layer_read(f, 0, text, f->size, &bad) : -ENOMEM;
		if (text)
			text[f->size] = '\0';
	}
	if (r == -ENOMEM)
		*err = r;
	if (r || bad.n) {
		free(text);
		text = NULL;
	}
	ranges_free(&bad);
	layer_free(f);
	return text;
}
