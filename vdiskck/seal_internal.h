/* SPDX-License-Identifier: Apache-2.0 */
/* What reading, writing and going on with a seal ask of each other. */
#ifndef VDISKCK_SEAL_INTERNAL_H
#define VDISKCK_SEAL_INTERNAL_H

#include "vdiskck/seal.h"

enum { BUFFER_PAGES = 64 };

struct seal_writer {
	struct session *s;
	const char *path;
	char *temporary; /* a new seal: its name until it is complete */
	int fd;
	uint64_t begin, page;  /* the generation's first page; the next to write */
	uint64_t size, leaves; /* of the layer; put so far */
	struct seal *before;   /* what leaves are compared with, or NULL */
	struct seal_generation g;
	uint64_t previous;
	struct seal_tree *tree;
	struct seal_page *buf; /* BUFFER_PAGES of them */
	size_t used;	       /* pages of @buf that are complete */
	size_t records;	       /* in the page after those */
	uint64_t n_records, leaf_pages;
	struct seal_disk_run *run;
	size_t n_runs, cap_runs;
	uint64_t kept_ns, kept_cost; /* the last checkpoint, and how long it took */
};

/* seal_end() - the page behind the last generation that is whole */
uint64_t seal_end(const struct seal *to);

/* seal_writer_new() - for a layer of @size bytes, with no file yet; NULL: no memory */
struct seal_writer *seal_writer_new(struct session *s, const char *path, uint64_t size);
/* seal_writer_free() - the memory, not the files */
void seal_writer_free(struct seal_writer *w);
/* seal_write_out() - the complete pages of w->buf. 0, or -errno, said */
int seal_write_out(struct seal_writer *w);

/* seal_tree_save() - where the tree is, into @out (NULL: nothing); returns the length */
size_t seal_tree_save(const struct seal_tree *t, uint8_t *out);
/* seal_tree_load() - @t is new; false: @len bytes at @p are no such thing */
bool seal_tree_load(struct seal_tree *t, const uint8_t *p, size_t len);

#endif
