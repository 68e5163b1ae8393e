/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "vdiskck/commands.h"
#include "vdiskck/core/engine.h"
#include "vdiskck/core/text.h"
#include "vdiskck/filespec.h"
#include "vdiskck/out_entry.h"
#include "vdiskck/out_file.h"
#include "vdiskck/out_text.h"

enum { SHOWN = 20 }; /* lost ranges that are told one by one */

struct cat {
	struct run r;
	struct filespec fs;
	struct out_file out;
	struct ranges bad;
};

static int deliver(void *arg, struct piece *p)
{
	struct cat *c = arg;
	int r = ranges_append(&c->bad, &p->bad);

	if (!r)
		r = p->kind == EXTENT_DATA ? out_file_write(&c->out, p->buf, p->len)
					   : out_file_zeros(&c->out, p->len);
	if (r && r != -EINTR && r != -ENOMEM)
		run_fail(&c->r, r, "%s, after %" PRIu64 " bytes", c->out.name, c->out.at);
	return r;
}

static int write_file(struct cat *c)
{
	const struct args *a = c->r.a;
	struct layer *l = c->fs.vol.l, *file = NULL;
	struct engine e = {.order = ENGINE_IN_ORDER, .deliver = deliver, .arg = c};
	int r = l->ops->fs->open_file(l, c->fs.e, &file), closed;

	if (!r) {
		e.l = file;
		e.len = file->size;
		r = engine_run(&e);
		layer_free(file);
	}
	run_interrupted(&c->r, "what was written is right", "the rest was not written");
	closed = out_file_close(&c->out);
	if (!r)
		r = closed;
	if (r && r != -EINTR && !c->r.failed)
		run_fail(&c->r, r, "%s: %s", a->image, a->rest[0]);
	return r;
}

static int cat(struct cat *c)
{
	const struct args *a = c->r.a;
	struct volumes vs;
	int err = volumes_find(&c->r, &vs);

	if (!err)
		err = filespec_parse(&c->r, &vs, a->rest[0], true, &c->fs);
	volumes_free(&vs);
	if (err)
		return err;
	if (c->fs.glob)
		return run_fail(&c->r, -ENOENT, "%s: %s", a->image, a->rest[0]);
	if (!c->fs.e || (c->fs.e->kind == FS_DIR && !c->fs.vol.l->ops->fs->opens_folders))
		return run_fail(&c->r, -EISDIR, "%s: %s", a->image, a->rest[0]);
	if (c->fs.e->kind != FS_FILE && c->fs.e->kind != FS_DIR)
		return run_fail(&c->r, 0, "%s: %s is a %s", a->image, a->rest[0],
				fs_kind_name(c->fs.e->kind));
	err = out_file_open(&c->out, &c->r.s, "-", false);
	c->r.failed |= err != 0;
	return err ? err : write_file(c);
}

static void tell_bad(struct cat *c)
{
	char size[SIZE_TEXT];

	for (size_t i = 0; i < c->bad.n && i < SHOWN; i++) {
		const struct range *b = &c->bad.v[i];

		fputs("vdiskck: ", stderr);
		text_put(stderr, c->fs.text);
		fprintf(stderr, ": %s at 0x%" PRIx64 " %s  [%s]\n", size_text(b->len, size), b->off,
			b->grade == GRADE_LOST ? "lost, written as zeros" : "doubtful",
			finding_name(b->why));
	}
	if (c->bad.n > SHOWN)
		fprintf(stderr, "vdiskck: and %zu more ranges: %s lost altogether\n",
			c->bad.n - SHOWN, size_text(ranges_bytes(&c->bad, GRADE_LOST), size));
}

/* An entry may be less sure than any of its bytes shows. */
static void tell_entry(const struct cat *c)
{
	const struct fs_entry *e = c->fs.e;
	char size[SIZE_TEXT];

	if (!entry_doubtful(e))
		return;
	fputs("vdiskck: ", stderr);
	text_put(stderr, c->fs.text);
	if (e->overwritten)
		fprintf(stderr, ": deleted, and %s of it are used by others by now\n",
			size_text(e->overwritten, size));
	else
		fprintf(stderr, ": %sits data is %s\n", e->deleted ? "deleted; " : "",
			fs_sure_name(e->data_sure));
}

static void text_end(struct cat *c)
{
	progress_wipe(&c->r.progress);
	collect_sort(&c->r.found);
	if (c->r.a->quiet)
		return;
	text_findings(stderr, &c->r);
	tell_bad(c);
	if (c->fs.e)
		tell_entry(c);
}

int cmd_cat(const struct args *a)
{
	struct cat c = {.out = {.fd = -1}};
	int status = INTACT;

	if (a->n_rest != 1)
		return usage_hint(a, a->n_rest ? "one FILE at a time" : "which FILE?");
	signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error of write() */
	if (!run_begin(&c.r, a)) {
		run_confine(&c.r, NULL, NULL);
		cat(&c);
	}
	ranges_sort(&c.bad);
	if (c.bad.n || (c.fs.e && entry_doubtful(c.fs.e)))
		status = DAMAGED;
	else if (c.r.failed || session_stopped(&c.r.s))
		status = UNDECIDABLE;
	text_end(&c);
	out_file_close(&c.out);
	filespec_free(&c.fs);
	ranges_free(&c.bad);
	return run_end(&c.r, status);
}
