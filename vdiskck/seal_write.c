/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a seal: leaf pages as leaves come, then runs, then the page that makes it count. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/folder.h"
#include "vdiskck/lock.h"
#include "vdiskck/seal_internal.h"
#include "vdiskck/version.h"

static int fail(struct seal_writer *w, int r)
{
	return session_err(w->s, r, "%s", w->path);
}

int seal_write_out(struct seal_writer *w)
{
	size_t left = w->used * SEAL_PAGE;
	const char *p = (const char *)w->buf;
	uint64_t at = w->page * SEAL_PAGE;

	while (left) {
		ssize_t n = pwrite(w->fd, p, left, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(w, n ? -errno : -EIO);
		p += n;
		at += (uint64_t)n;
		left -= (size_t)n;
	}
	w->page += w->used;
	w->used = 0;
	return 0;
}

/* The page behind the complete ones, empty. */
static struct seal_page *blank(struct seal_writer *w, const char kind[4])
{
	struct seal_page *p = &w->buf[w->used];

	memset(p, 0, sizeof(*p));
	memcpy(p->kind, kind, 4);
	return p;
}

static int page_done(struct seal_writer *w)
{
	struct seal_page *p = &w->buf[w->used];

	p->number = to_le64(w->page + w->used);
	p->crc = to_le32(~sum_crc32c(~0u, p->kind, SEAL_PAGE - sizeof(p->crc)));
	w->used++;
	return w->used == BUFFER_PAGES ? seal_write_out(w) : 0;
}

struct seal_writer *seal_writer_new(struct session *s, const char *path, uint64_t size)
{
	struct seal_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->s = s;
	w->path = path;
	w->fd = -1;
	w->size = size;
	w->tree = seal_tree_new();
	w->buf = calloc(BUFFER_PAGES, sizeof(*w->buf));
	if (!w->tree || !w->buf) {
		seal_drop(w);
		return NULL;
	}
	return w;
}

static int put_head(struct seal_writer *w, const struct seal_head *head)
{
	struct seal_disk_head *h = (void *)blank(w, "HEAD")->body;

	memcpy(h->magic, "VDCKSEAL", 8);
	h->version = to_le32(1);
	h->leaf = to_le32(SEAL_LEAF);
	h->sector = to_le32(SEAL_SECTOR);
	h->size = to_le64(head->size);
	h->made = to_le64((uint64_t)head->made);
	memcpy(h->layer, head->layer, sizeof(h->layer));
	memcpy(h->id, head->id, sizeof(h->id));
	memcpy(h->file, head->file, sizeof(h->file));
	w->begin = 1;
	return page_done(w);
}

int seal_create(struct session *s, const char *path, bool force, const struct seal_head *head,
		struct seal_writer **to)
{
	struct seal_writer *w = seal_writer_new(s, path, head->size);

	*to = w;
	if (!w || asprintf(&w->temporary, "%s.new", path) < 0)
		return session_err(s, -ENOMEM, "%s", path);
	if (!force && !access(path, F_OK))
		return session_err(s, -EEXIST,
				   "%s (--append adds a generation, --force makes it anew)", path);
	w->fd = lock_take(w->temporary, O_RDWR | O_CREAT | O_NOFOLLOW, false);
	if (w->fd < 0 || ftruncate(w->fd, 0))
		return session_err(s, w->fd < 0 ? w->fd : -errno, "%s%s", w->temporary,
				   w->fd == -EWOULDBLOCK ? " (another run makes this seal)" : "");
	return put_head(w, head);
}

int seal_append(struct session *s, const char *path, struct seal *before, struct seal_writer **to)
{
	struct seal_writer *w = seal_writer_new(s, path, seal_head(before)->size);
	size_t n;

	*to = w;
	if (!w)
		return session_err(s, -ENOMEM, "%s", path);
	w->before = before;
	w->fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (w->fd < 0)
		return session_err(s, -errno, "%s", path);
	seal_generations(before, &n);
	w->g.number = n;
	w->previous = seal_end(before) - 1;
	w->begin = w->page = seal_end(before);
	return 0;
}

static int add_run(struct seal_writer *w, enum seal_kind kind, uint64_t n)
{
	struct seal_disk_run *last = w->n_runs ? &w->run[w->n_runs - 1] : NULL;

	if (last && le32(last->kind) == kind) {
		last->count = to_le64(le64(last->count) + n);
		return 0;
	}
	if (w->n_runs == w->cap_runs) {
		size_t cap = w->cap_runs ? w->cap_runs * 2 : 64;
		struct seal_disk_run *more = realloc(w->run, cap * sizeof(*more));

		if (!more)
			return fail(w, -ENOMEM);
		w->run = more;
		w->cap_runs = cap;
	}
	w->run[w->n_runs++] = (struct seal_disk_run){.first = to_le64(w->leaves),
						     .count = to_le64(n),
						     .record = to_le64(w->n_records),
						     .kind = to_le32(kind)};
	return 0;
}

/* Is leaf @index what the generation before says? A damaged page says nothing: then it is not. */
static bool same(struct seal_writer *w, uint64_t index, enum seal_kind kind,
		 const struct seal_leaf *leaf)
{
	enum seal_kind was;
	struct seal_leaf old;
	size_t n, since;

	if (!w->before)
		return false;
	seal_generations(w->before, &n);
	return !seal_get(w->before, n - 1, index, &was, &old, &since) && was == kind &&
	       (kind != SEAL_DATA || !memcmp(&old, leaf, sizeof(old)));
}

int seal_put(struct seal_writer *w, enum seal_kind kind, const struct seal_leaf *leaf)
{
	struct seal_page *p = &w->buf[w->used];
	int r;

	if (kind != SEAL_DATA)
		return seal_put_run(w, kind, 1);
	seal_tree_add(w->tree, kind, leaf);
	w->g.data++;
	if (same(w, w->leaves, kind, leaf)) {
		r = add_run(w, SEAL_SAME, 1);
		w->leaves++;
		return r;
	}
	w->g.changed++;
	r = add_run(w, SEAL_DATA, 1);
	w->leaves++;
	if (r)
		return r;
	if (!w->records) {
		p = blank(w, "LEAF");
		w->leaf_pages++;
	}
	memcpy(p->body + w->records * sizeof(*leaf), leaf, sizeof(*leaf));
	w->n_records++;
	if (++w->records < SEAL_PER_PAGE)
		return 0;
	w->records = 0;
	return page_done(w);
}

int seal_put_run(struct seal_writer *w, enum seal_kind kind, uint64_t n)
{
	seal_tree_run(w->tree, kind, n);
	*(kind == SEAL_ZERO ? &w->g.zero : &w->g.lost) += n;
	while (n) {
		enum seal_kind was = kind, use = kind;
		uint64_t part = n;
		size_t gens;
		int r;

		if (w->before) {
			seal_generations(w->before, &gens);
			part = seal_run(w->before, gens - 1, w->leaves, &was);
			part = part < n ? part : n;
			use = was == kind ? SEAL_SAME : kind;
		}
		w->g.changed += use == SEAL_SAME ? 0 : part;
		r = add_run(w, use, part);
		if (r)
			return r;
		w->leaves += part;
		n -= part;
	}
	return 0;
}

void seal_begin_at(struct seal_writer *w, uint64_t first)
{
	w->leaves = first;
}

int seal_copy(struct seal_writer *w, struct seal *from, uint64_t first, uint64_t end)
{
	size_t n, since;
	int r = 0;

	seal_generations(from, &n);
	while (first < end && !r) {
		enum seal_kind kind;
		uint64_t run = seal_run(from, n - 1, first, &kind);
		struct seal_leaf leaf;

		run = run < end - first ? run : end - first;
		if (kind == SEAL_SAME)
			return -ENODATA;
		if (kind != SEAL_DATA) {
			r = seal_put_run(w, kind, run);
		} else if (seal_get(from, n - 1, first, &kind, &leaf, &since)) {
			r = -ENODATA;
		} else {
			r = seal_put(w, SEAL_DATA, &leaf);
			run = 1;
		}
		first += run;
	}
	return r;
}

static int put_runs(struct seal_writer *w, uint64_t *pages)
{
	int r = w->records ? page_done(w) : 0;

	w->records = 0;
	*pages = 0;
	for (size_t i = 0; i < w->n_runs && !r; i += SEAL_RUNS_PER_PAGE, ++*pages) {
		size_t n = w->n_runs - i;
		struct seal_page *p = blank(w, "RUNS");

		n = n < SEAL_RUNS_PER_PAGE ? n : SEAL_RUNS_PER_PAGE;
		memcpy(p->body, w->run + i, n * sizeof(*w->run));
		r = page_done(w);
	}
	return r;
}

static int put_done(struct seal_writer *w, const struct seal_generation *g, uint64_t run_pages)
{
	struct seal_disk_done *d = (void *)blank(w, "DONE")->body;

	d->number = to_le64(g->number);
	d->made = to_le64((uint64_t)g->made);
	d->begin = to_le64(w->begin);
	d->leaf_pages = to_le64(w->leaf_pages);
	d->run_pages = to_le64(run_pages);
	d->runs = to_le64(w->n_runs);
	d->previous = to_le64(w->previous);
	d->data = to_le64(g->data);
	d->zero = to_le64(g->zero);
	d->lost = to_le64(g->lost);
	d->changed = to_le64(g->changed);
	d->kept = to_le64(g->kept);
	d->image_size = to_le64(g->image_size);
	d->image_mtime = to_le64((uint64_t)g->image_mtime);
	memcpy(d->root, g->root, SEAL_ROOT);
	memcpy(d->version, g->version, sizeof(d->version));
	return page_done(w);
}

int seal_commit(struct seal_writer *w, struct seal_generation *g)
{
	uint64_t run_pages;
	int r = put_runs(w, &run_pages);

	g->number = w->g.number + 1;
	g->data = w->g.data;
	g->zero = w->g.zero;
	g->lost = w->g.lost;
	g->changed = w->g.changed;
	snprintf(g->version, sizeof(g->version), "%s", VDISKCK_VERSION);
	seal_tree_root(w->tree, w->size, g->root);
	w->tree = NULL;
	/* First what the commit page speaks of, then the page itself. */
	if (!r)
		r = seal_write_out(w);
	if (!r && fdatasync(w->fd))
		r = fail(w, -errno);
	if (!r)
		r = put_done(w, g, run_pages);
	if (!r)
		r = seal_write_out(w);
	if (!r && (ftruncate(w->fd, (off_t)(w->page * SEAL_PAGE)) || fsync(w->fd)))
		r = fail(w, -errno);
	if (!r && w->temporary && rename(w->temporary, w->path))
		r = fail(w, -errno);
	if (!r && w->temporary) {
		free(w->temporary);
		w->temporary = NULL;
		r = folder_sync(w->path);
		if (r)
			fail(w, r);
	}
	seal_drop(w); /* and with it what would be gone on with */
	return r;
}

void seal_drop(struct seal_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	if (w->temporary && w->fd >= 0)
		unlink(w->temporary);
	if (w->fd >= 0)
		seal_forget(w->path);
	seal_writer_free(w);
}

void seal_writer_free(struct seal_writer *w)
{
	free(w->temporary);
	free(w->tree);
	free(w->buf);
	free(w->run);
	free(w);
}
