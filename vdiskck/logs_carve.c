/* SPDX-License-Identifier: Apache-2.0 */
/* Records where no live log leads: free space, slack, what memory was written to. */
#include <errno.h>

#include "formats/stack.h"
#include "recover/providers.h"
#include "vdiskck/logs.h"

static int add_unused(void *arg, uint64_t off, uint64_t len, bool slack)
{
	(void)slack;
	return ranges_add(arg, off, len, GRADE_DOUBTFUL, LAYER_UNKNOWN);
}

/*
 * Files in which what was in memory, or of a machine that slept, lies about: their bytes are nobody's
 * but may be logs'. A file's name is looked up without case, or as it stands, as the volume has it.
 */
static int carve_file(struct logs *g, struct layer *fs, const char *path)
{
	struct log_sink sink = {.arg = g, .render = logs_render, .text = logs_text, .run = g->run};
	struct fs_entry *e = NULL;
	struct layer *f = NULL;
	int r = fs_find(fs, path, &e);

	if (!r && e->kind == FS_FILE && e->size && !e->deleted)
		r = fs->ops->fs->open_file(fs, e, &f);
	fs_entry_free(e);
	if (r || !f)
		return r == -ENOMEM || r == -EINTR ? r : 0;
	sink.words = g->words;
	g->path = path;
	r = logs_place(g, fs->path, path) ? log_carve(f, NULL, &sink) : -ENOMEM;
	g->path = NULL;
	layer_free(f);
	return r;
}

static int carve_files(struct logs *g, struct layer *fs)
{
	static const char *const path[] = {"/pagefile.sys",	  "/swapfile.sys", "/hiberfil.sys",
					   "/Windows/MEMORY.DMP", "/swapfile",	   "/swap.img"};
	int r = 0;

	for (size_t i = 0; i < sizeof(path) / sizeof(*path) && !r; i++)
		r = carve_file(g, fs, path[i]);
	return r;
}

static int carve(struct logs *g, struct layer *l)
{
	struct log_sink sink = {.arg = g, .render = logs_render, .text = logs_text, .run = g->run};
	struct ranges unused = {0};
	int r = logs_place(g, l->path, NULL) ? 0 : -ENOMEM;

	if (!r && l->ops->fs)
		r = providers_open(l, &g->words);
	sink.words = g->words;

	if (!r && l->ops->fs)
		r = l->ops->fs->unused(l, add_unused, &unused);
	ranges_sort(&unused);
	if (!r)
		r = log_carve(l, l->ops->fs ? &unused : NULL, &sink);
	ranges_free(&unused);
	if (!r && l->ops->fs)
		r = carve_files(g, l);
	logs_close_words(g);
	return r;
}

/* What a layer holds that nobody who stands on it has claimed. */
static bool to_carve(const struct layer *l)
{
	if (l->state || l->locked || l->chain_child || l->lazy)
		return false;
	if (l->ops->fs)
		return l->ops->fs->unused && !log_format(l);
	return !l->child && (l->ops->kind == LAYER_CONTAINER || l->ops->kind == LAYER_VOLUME ||
			     l->ops->kind == LAYER_CIPHER);
}

static int visit_carve(void *arg, struct layer *l)
{
	struct logs *g = arg;

	return layer_within(l, g->r->volume) && to_carve(l) ? carve(g, l) : 0;
}

int logs_carve(struct logs *g)
{
	return stack_walk(g->r->source, visit_carve, g);
}
