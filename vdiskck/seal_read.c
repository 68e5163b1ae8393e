/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a seal, which may be damaged, too: every page is checked before it is believed. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vdiskck/core/cache.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/seal_internal.h"

enum {
	GENERATIONS_MAX = 65536,
	PAGES_KEPT = 1024, /* leaf pages in memory: 4 MiB */
};

struct run {
	uint64_t first, count, record;
	enum seal_kind kind;
};

struct generation {
	uint64_t begin, leaf_pages, run_pages, done; /* pages */
	struct run *run;
	size_t n;
};

struct seal {
	struct session *s;
	const char *path;
	int fd;
	uint64_t pages; /* of the file */
	struct seal_head head;
	struct seal_generation *gen; /* oldest first */
	struct generation *in;
	size_t n;
	struct cache *leaf_pages;
};

static int page_read(const struct seal *to, uint64_t number, const char kind[4],
		     struct seal_page *p)
{
	if (number >= to->pages ||
	    pread(to->fd, p, SEAL_PAGE, (off_t)(number * SEAL_PAGE)) != SEAL_PAGE)
		return -EBADMSG;
	return le64(p->number) == number && !memcmp(p->kind, kind, 4) &&
			       le32(p->crc) == ~sum_crc32c(~0u, p->kind, SEAL_PAGE - sizeof(p->crc))
		       ? 0
		       : -EBADMSG;
}

static int fill(void *arg, struct cache_item *it)
{
	struct seal_page *p = (void *)it->buf;

	return page_read(arg, it->key, "LEAF", p);
}

static int read_head(struct seal *to)
{
	struct seal_page p;
	const struct seal_disk_head *h = (const void *)p.body;

	if (page_read(to, 0, "HEAD", &p) || memcmp(h->magic, "VDCKSEAL", 8))
		return session_err(to->s, -EBADMSG, "%s: not a seal, or its first page is damaged",
				   to->path);
	if (le32(h->version) != 1 || le32(h->leaf) != SEAL_LEAF || le32(h->sector) != SEAL_SECTOR)
		return session_err(to->s, -EOPNOTSUPP,
				   "%s: a seal of version %" PRIu32 ", this program reads 1",
				   to->path, le32(h->version));
	to->head.size = le64(h->size);
	to->head.made = (int64_t)le64(h->made);
	memcpy(to->head.layer, h->layer, sizeof(h->layer) - 1);
	memcpy(to->head.id, h->id, sizeof(h->id) - 1);
	memcpy(to->head.file, h->file, sizeof(h->file) - 1);
	return 0;
}

/* Runs must tile the leaves in order; what a damaged page leaves out is not known. */
static int read_runs(struct seal *to, struct generation *in, const struct seal_disk_done *d)
{
	uint64_t n = le64(d->runs), next = 0;
	struct seal_page p;

	if (n > in->run_pages * SEAL_RUNS_PER_PAGE)
		return -EBADMSG;
	in->run = malloc((n ? n : 1) * sizeof(*in->run));
	if (!in->run)
		return -ENOMEM;
	for (uint64_t i = 0; i < n; i++) {
		const struct seal_disk_run *r = (const void *)p.body;
		struct run run;

		if (i % SEAL_RUNS_PER_PAGE == 0 &&
		    page_read(to, in->begin + in->leaf_pages + i / SEAL_RUNS_PER_PAGE, "RUNS",
			      &p)) {
			i += SEAL_RUNS_PER_PAGE - 1;
			continue;
		}
		r += i % SEAL_RUNS_PER_PAGE;
		run = (struct run){le64(r->first), le64(r->count), le64(r->record),
				   (enum seal_kind)le32(r->kind)};
		if (run.first < next || run.count == 0 || run.count > seal_leaves(to) - run.first ||
		    run.first >= seal_leaves(to) || run.kind < SEAL_DATA || run.kind > SEAL_SAME)
			continue;
		next = run.first + run.count;
		in->run[in->n++] = run;
	}
	return 0;
}

static int read_generation(struct seal *to, const struct seal_page *p, uint64_t number)
{
	const struct seal_disk_done *d = (const void *)p->body;
	struct generation in = {
		le64(d->begin), le64(d->leaf_pages), le64(d->run_pages), number, NULL, 0};
	struct seal_generation *gen = realloc(to->gen, (to->n + 1) * sizeof(*gen));
	struct generation *more;
	int r;

	if (!gen)
		return -ENOMEM;
	to->gen = gen;
	more = realloc(to->in, (to->n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	to->in = more;
	if (in.begin < 1 || in.leaf_pages > to->pages || in.run_pages > to->pages ||
	    in.begin + in.leaf_pages + in.run_pages != number)
		return -EBADMSG;
	r = read_runs(to, &in, d);
	if (r) {
		free(in.run);
		return r;
	}
	to->in[to->n] = in;
	to->gen[to->n] = (struct seal_generation){.number = le64(d->number),
						  .made = (int64_t)le64(d->made),
						  .data = le64(d->data),
						  .zero = le64(d->zero),
						  .lost = le64(d->lost),
						  .changed = le64(d->changed),
						  .kept = le64(d->kept),
						  .image_size = le64(d->image_size),
						  .image_mtime = (int64_t)le64(d->image_mtime)};
	memcpy(to->gen[to->n].root, d->root, SEAL_ROOT);
	memcpy(to->gen[to->n].version, d->version, sizeof(d->version) - 1);
	to->n++;
	return 0;
}

/* Commit pages lead back from the last one that is whole. */
static int read_generations(struct seal *to)
{
	uint64_t at = to->pages, *done = NULL, n = 0;
	struct seal_page p;
	int r = 0;

	while (at > 1 && page_read(to, at - 1, "DONE", &p))
		at--;
	for (at = at > 1 ? at - 1 : 0; at && !r && n < GENERATIONS_MAX;) {
		uint64_t *more = realloc(done, (n + 1) * sizeof(*more));
		uint64_t before;

		if (!more) {
			r = -ENOMEM;
			break;
		}
		done = more;
		done[n++] = at;
		before = le64(((const struct seal_disk_done *)(const void *)p.body)->previous);
		if (before >= at || page_read(to, before, "DONE", &p))
			break;
		at = before;
	}
	while (n-- > 0 && !r) {
		r = page_read(to, done[n], "DONE", &p);
		if (!r)
			r = read_generation(to, &p, done[n]);
	}
	free(done);
	if (r == -ENOMEM)
		return session_err(to->s, r, "%s", to->path);
	return to->n ? 0
		     : session_err(to->s, -EBADMSG, "%s: no generation of it is complete",
				   to->path);
}

int seal_open(struct session *s, const char *path, struct seal **out)
{
	struct seal *to = calloc(1, sizeof(*to));
	struct stat st;
	int r = 0;

	*out = to;
	if (!to)
		return session_err(s, -ENOMEM, "%s", path);
	to->s = s;
	to->path = path;
	to->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOATIME);
	if (to->fd < 0 && errno == EPERM) /* not ours */
		to->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (to->fd < 0 || fstat(to->fd, &st))
		r = session_err(s, -errno, "%s", path);
	if (!r && !S_ISREG(st.st_mode))
		r = session_err(s, -EINVAL, "%s: no regular file", path);
	if (!r) {
		to->pages = (uint64_t)st.st_size / SEAL_PAGE;
		to->leaf_pages = cache_new(SEAL_PAGE, PAGES_KEPT, fill, to);
		r = to->leaf_pages ? read_head(to) : session_err(s, -ENOMEM, "%s", path);
	}
	if (!r)
		r = read_generations(to);
	if (r) {
		seal_close(to);
		*out = NULL;
	}
	return r;
}

void seal_close(struct seal *to)
{
	if (!to)
		return;
	if (to->fd >= 0)
		close(to->fd);
	cache_free(to->leaf_pages);
	for (size_t i = 0; i < to->n; i++)
		free(to->in[i].run);
	free(to->in);
	free(to->gen);
	free(to);
}

const struct seal_head *seal_head(const struct seal *to)
{
	return &to->head;
}

uint64_t seal_leaves(const struct seal *to)
{
	return to->head.size / SEAL_LEAF + (to->head.size % SEAL_LEAF != 0);
}

uint64_t seal_end(const struct seal *to)
{
	return to->in[to->n - 1].done + 1;
}

const struct seal_generation *seal_generations(const struct seal *to, size_t *n)
{
	*n = to->n;
	return to->gen;
}

/* The first run that ends behind leaf @index; NULL: none. */
static const struct run *run_at(const struct generation *in, uint64_t index)
{
	size_t lo = 0, hi = in->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (in->run[mid].first + in->run[mid].count <= index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < in->n ? &in->run[lo] : NULL;
}

static int record(struct seal *to, const struct generation *in, uint64_t number,
		  struct seal_leaf *leaf)
{
	const struct cache_item *it;
	int r;

	if (number / SEAL_PER_PAGE >= in->leaf_pages)
		return -EBADMSG;
	r = cache_get(to->leaf_pages, in->begin + number / SEAL_PER_PAGE, 0, &it);
	if (r)
		return r;
	memcpy(leaf,
	       ((const struct seal_page *)(const void *)it->buf)->body +
		       number % SEAL_PER_PAGE * sizeof(*leaf),
	       sizeof(*leaf));
	cache_put(to->leaf_pages, it);
	return 0;
}

int seal_get(struct seal *to, size_t g, uint64_t index, enum seal_kind *kind,
	     struct seal_leaf *leaf, size_t *since)
{
	for (size_t i = g + 1; i-- > 0;) {
		const struct run *r = run_at(&to->in[i], index);

		if (!r || r->first > index)
			return -EBADMSG;
		if (r->kind == SEAL_SAME)
			continue;
		*kind = r->kind;
		*since = i;
		return r->kind == SEAL_DATA
			       ? record(to, &to->in[i], r->record + (index - r->first), leaf)
			       : 0;
	}
	return -EBADMSG;
}

uint64_t seal_run(struct seal *to, size_t g, uint64_t index, enum seal_kind *kind)
{
	uint64_t len = seal_leaves(to) - index;

	*kind = SEAL_SAME; /* unknown */
	for (size_t i = g + 1; i-- > 0;) {
		const struct run *r = run_at(&to->in[i], index);
		uint64_t end = !r		  ? seal_leaves(to)
			       : r->first > index ? r->first
						  : r->first + r->count;

		if (end - index < len)
			len = end - index;
		if (!r || r->first > index)
			return len;
		if (r->kind != SEAL_SAME) {
			*kind = r->kind;
			return len;
		}
	}
	return len;
}

/* The root of a generation, from its leaves. False: one of them is not known. */
static bool root_again(struct seal *to, size_t g, uint8_t root[SEAL_ROOT], int *err)
{
	struct seal_tree *t = seal_tree_new();
	uint64_t n = seal_leaves(to);
	bool known = t;

	if (!t)
		*err = -ENOMEM;
	for (uint64_t i = 0; i < n && known && !*err;) {
		enum seal_kind kind;
		uint64_t len = seal_run(to, g, i, &kind);
		struct seal_leaf leaf;
		size_t since;

		known = kind != SEAL_SAME;
		if (kind == SEAL_ZERO || kind == SEAL_LOST)
			seal_tree_run(t, kind, len);
		for (uint64_t k = 0; k < len && kind == SEAL_DATA && known; k++) {
			known = !seal_get(to, g, i + k, &kind, &leaf, &since);
			if (known)
				seal_tree_add(t, kind, &leaf);
		}
		i += len;
		if (session_stopped(to->s))
			*err = -EINTR;
	}
	if (t)
		seal_tree_root(t, to->head.size, root);
	return known && !*err;
}

static uint64_t verify_pages(struct seal *to, const struct generation *in,
			     void (*fn)(void *arg, const char *what, uint64_t page), void *arg)
{
	uint64_t bad = 0;
	struct seal_page p;

	for (uint64_t i = 0; i < in->leaf_pages + in->run_pages; i++) {
		bool leaf = i < in->leaf_pages;

		if (!page_read(to, in->begin + i, leaf ? "LEAF" : "RUNS", &p))
			continue;
		fn(arg, leaf ? "a page of leaves is damaged" : "a page of runs is damaged",
		   in->begin + i);
		bad++;
	}
	return bad;
}

int seal_verify(struct seal *to, void (*fn)(void *arg, const char *what, uint64_t page), void *arg,
		uint64_t *bad)
{
	int err = 0;

	*bad = 0;
	for (size_t g = 0; g < to->n && !err; g++) {
		uint8_t root[SEAL_ROOT];

		*bad += verify_pages(to, &to->in[g], fn, arg);
		if (root_again(to, g, root, &err) && memcmp(root, to->gen[g].root, SEAL_ROOT)) {
			fn(arg, "the root is not that of the leaves", to->in[g].done);
			++*bad;
		}
	}
	return err;
}
