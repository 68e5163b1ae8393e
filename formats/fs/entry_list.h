/* SPDX-License-Identifier: Apache-2.0 */
/* Entries in one piece of memory, in the order they were added: from one thread to another. */
#ifndef VDISKCK_FORMATS_FS_ENTRY_LIST_H
#define VDISKCK_FORMATS_FS_ENTRY_LIST_H

#include "formats/fs/fs.h"

struct entry_list {
	char *p;
	size_t len, cap;
};

/* entry_list_add() - a copy of @e, with its texts; -ENOMEM */
int entry_list_add(struct entry_list *v, const struct fs_entry *e);
/* entry_list_each() - @fn for each; a result that is not zero ends it, and is returned */
int entry_list_each(const struct entry_list *v, int (*fn)(void *arg, const struct fs_entry *e),
		    void *arg);
void entry_list_free(struct entry_list *v);

#endif
