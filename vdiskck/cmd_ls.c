/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/commands.h"
#include "vdiskck/core/text.h"
#include "vdiskck/filespec.h"
#include "vdiskck/out_entry.h"
#include "vdiskck/out_text.h"

enum {
	SORTED_MAX = 50000, /* entries of one folder that are sorted; beyond, the disk's order */
	SORTED_BYTES = 16 << 20, /* and the text that they may take */
	BUFFER = 256 << 10,
};

struct ls {
	struct run r;
	const struct filespec *fs; /* what is listed just now */
	struct line line;	   /* the entry at hand */
	const char *volume;	   /* goes before each path, or NULL */
	bool base;		   /* names without folders */
	bool sorting;
	struct line held; /* lines that wait to be sorted, each with its NUL */
	size_t *at;	  /* where each begins */
	size_t n, cap;
	uint64_t entries, unsure;
};

static int put_line(const char *p, size_t len)
{
	/* One call a line: findings of other threads come between lines only. */
	return fwrite(p, 1, len, stdout) == len ? 0 : -EPIPE;
}

static const char *held_text; /* qsort() takes no argument, and one listing runs at a time */

static int by_name(const void *a, const void *b)
{
	return strcmp(held_text + *(const size_t *)a, held_text + *(const size_t *)b);
}

/* Each held line is its sort key, NUL, and what is printed, NUL. */
static int put_held(struct ls *ls)
{
	int r = 0;

	held_text = ls->held.p;
	if (ls->n)
		qsort(ls->at, ls->n, sizeof(*ls->at), by_name);
	for (size_t i = 0; i < ls->n && !r; i++) {
		const char *text = ls->held.p + ls->at[i];

		text += strlen(text) + 1;
		r = put_line(text, strlen(text));
	}
	ls->n = 0;
	ls->held.len = 0;
	return r;
}

static int hold(struct ls *ls, const struct fs_entry *e)
{
	if (ls->n == ls->cap) {
		size_t cap = ls->cap ? 2 * ls->cap : 256;
		size_t *more = realloc(ls->at, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		ls->at = more;
		ls->cap = cap;
	}
	ls->at[ls->n++] = ls->held.len;
	line_bytes(&ls->held, e->path, strlen(e->path) + 1);
	line_bytes(&ls->held, ls->line.p, ls->line.len);
	line_bytes(&ls->held, "", 1);
	if (ls->held.failed)
		return -ENOMEM;
	if (ls->n < SORTED_MAX && ls->held.len < SORTED_BYTES)
		return 0;
	ls->sorting = false;
	return put_held(ls);
}

static int on_entry(void *arg, const struct fs_entry *e)
{
	struct ls *ls = arg;
	const struct args *a = ls->r.a;

	if (session_stopped(&ls->r.s))
		return -EINTR;
	if (a->deleted && !e->deleted)
		return 0;
	ls->entries++;
	if (!e->deleted && (e->path_sure != FS_SURE || e->data_sure != FS_SURE))
		ls->unsure++;
	ls->line.len = 0;
	if (a->json) {
		entry_json(&ls->line, ls->fs->vol.l->path, e);
		line_bytes(&ls->line, "}", 1);
	} else {
		entry_text(&ls->line, e, ls->volume, ls->base, a->full);
	}
	line_bytes(&ls->line, "\n", 1);
	if (ls->line.failed)
		return -ENOMEM;
	return ls->sorting ? hold(ls, e) : put_line(ls->line.p, ls->line.len);
}

static int list(struct ls *ls, const struct filespec *fs)
{
	const struct args *a = ls->r.a;
	struct filespec_walk w = {.recursive = a->recursive,
				  .deleted = a->deleted || a->all,
				  .system = a->all,
				  .contents = true,
				  .fn = on_entry,
				  .arg = ls};
	bool one = fs->e && fs->e->kind != FS_DIR;
	int err, held;

	ls->fs = fs;
	ls->base = !a->recursive && !fs->glob && !one;
	ls->sorting = !a->recursive;
	err = filespec_walk(fs, &w);
	held = put_held(ls);
	if (err == -EINTR || err == -EPIPE || held)
		return err ? err : held;
	return err ? run_fail(&ls->r, err, "%s: %s", a->image, fs->text) : 0;
}

/* More than one file system, and none is named: which there are. */
static void list_volumes(struct ls *ls, const struct volumes *vs)
{
	for (size_t i = 0; i < vs->n && !ls->r.a->json; i++) {
		const struct volume *v = &vs->v[i];
		char size[SIZE_TEXT];

		if (v->number)
			printf("%u:  ", v->number);
		text_put(stdout, v->l->path);
		printf("  %s\n", size_text(v->l->size, size));
	}
}

/* All of several file systems: each path with its volume. */
static int list_each(struct ls *ls, const struct volumes *vs)
{
	int err = 0;

	for (size_t i = 0; i < vs->n && !err; i++) {
		struct filespec root = {.text = "/", .vol = vs->v[i]};
		char number[16];

		snprintf(number, sizeof(number), "%u", vs->v[i].number);
		ls->volume = vs->v[i].number ? number : vs->v[i].l->path;
		err = list(ls, &root);
		ls->volume = NULL;
	}
	return err;
}

static int list_all(struct ls *ls)
{
	const struct args *a = ls->r.a;
	struct volumes vs;
	int err = volumes_find(&ls->r, &vs);

	if (!err && !vs.n) {
		err = volumes_none(&ls->r);
	} else if (!err && !a->n_rest && vs.n == 1) {
		struct filespec root = {.text = "/", .vol = vs.v[0]};

		err = list(ls, &root);
	} else if (!err && !a->n_rest && a->recursive) {
		err = list_each(ls, &vs);
	} else if (!err && !a->n_rest) {
		list_volumes(ls, &vs);
	}
	for (size_t i = 0; i < a->n_rest && !err; i++) {
		struct filespec fs;

		err = filespec_parse(&ls->r, &vs, a->rest[i], false, &fs);
		if (!err)
			err = list(ls, &fs);
		filespec_free(&fs);
	}
	volumes_free(&vs);
	return err;
}

/* What was found on the way belongs to the answer, but not between its lines. */
static void text_end(struct ls *ls)
{
	progress_wipe(&ls->r.progress);
	fflush(stdout);
	collect_sort(&ls->r.found);
	if (ls->r.a->quiet)
		return;
	text_findings(stderr, &ls->r);
	if (ls->unsure)
		fprintf(stderr,
			"vdiskck: %" PRIu64 " of %" PRIu64
			" entries are not sure: ls -l or --json says which\n",
			ls->unsure, ls->entries);
}

int cmd_ls(const struct args *a)
{
	static char buffer[BUFFER];
	struct ls ls = {0};
	int status = INTACT, err;

	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer)); /* without one, its size is ignored */
	err = run_begin(&ls.r, a);
	if (!err) {
		run_confine(&ls.r, NULL, NULL);
		err = list_all(&ls);
	}
	run_interrupted(&ls.r, "what was listed is there", "there may be more");
	if (ls.unsure || volumes_damaged(&ls.r))
		status = DAMAGED;
	if (err || ls.r.failed)
		status = ls.entries && status == DAMAGED ? DAMAGED : UNDECIDABLE;
	if (!a->json)
		text_end(&ls);
	free(ls.line.p);
	free(ls.held.p);
	free(ls.at);
	return run_end(&ls.r, status);
}
