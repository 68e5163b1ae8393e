/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the writing of a seal is, beside it in SEAL.part, so that it can be gone on with: numbers,
 * the page that is being filled, the tree, the runs. The pages before are in the seal's own file,
 * and synced before the part speaks of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/folder.h"
#include "vdiskck/lock.h"
#include "vdiskck/progress.h"
#include "vdiskck/seal_internal.h"
#include "vdiskck/sealing.h"

#define EVERY_NS 1000000000ull

enum {
	VERSION = 1,
	COST = 20, /* keeping takes no more than a part in 20 of the time, however many runs */
	PART_MAX = 1 << 30,
};

struct part {
	char magic[8]; /* "VDCKPART" */
	le32_t crc;    /* CRC-32C of what follows */
	le32_t version;
	le64_t size, head_made, made, image_size, image_mtime;
	char layer[256], id[SEAL_ID];
	le64_t begin, page, previous, number; /* as in struct seal_writer */
	le64_t leaves, n_records, leaf_pages, records;
	le64_t data, zero, lost, changed;
	le64_t tree, runs; /* bytes of the tree, number of runs: they follow */
	uint8_t body[SEAL_PAGE];
};

static char *part_path(const char *path)
{
	char *part;

	return asprintf(&part, "%s.part", path) < 0 ? NULL : part;
}

void seal_forget(const char *path)
{
	char *part = part_path(path);

	if (part)
		unlink(part);
	free(part);
}

static void fill(const struct seal_writer *w, const struct seal_head *head,
		 const struct seal_generation *g, struct part *p)
{
	memcpy(p->magic, "VDCKPART", 8);
	p->version = to_le32(VERSION);
	p->size = to_le64(head->size);
	p->head_made = to_le64((uint64_t)head->made);
	p->made = to_le64((uint64_t)g->made);
	p->image_size = to_le64(g->image_size);
	p->image_mtime = to_le64((uint64_t)g->image_mtime);
	memcpy(p->layer, head->layer, sizeof(p->layer));
	memcpy(p->id, head->id, sizeof(p->id));
	p->begin = to_le64(w->begin);
	p->page = to_le64(w->page);
	p->previous = to_le64(w->previous);
	p->number = to_le64(w->g.number);
	p->leaves = to_le64(w->leaves);
	p->n_records = to_le64(w->n_records);
	p->leaf_pages = to_le64(w->leaf_pages);
	p->records = to_le64(w->records);
	p->data = to_le64(w->g.data);
	p->zero = to_le64(w->g.zero);
	p->lost = to_le64(w->g.lost);
	p->changed = to_le64(w->g.changed);
	p->tree = to_le64(seal_tree_save(w->tree, NULL));
	p->runs = to_le64(w->n_runs);
	if (w->records)
		memcpy(p->body, w->buf[0].body, sizeof(w->buf[0].body));
}

static int save(struct seal_writer *w, const struct seal_head *head,
		const struct seal_generation *g)
{
	size_t tree = seal_tree_save(w->tree, NULL), runs = w->n_runs * sizeof(*w->run);
	size_t len = sizeof(struct part) + tree + runs;
	struct part *p = calloc(1, len);
	char *path = part_path(w->path);
	size_t used = w->used;
	int r = p && path ? seal_write_out(w) : -ENOMEM;

	/* The page that is being filled comes first now. */
	if (!r && used && w->records)
		memmove(&w->buf[0], &w->buf[used], sizeof(*w->buf));
	if (!r && fdatasync(w->fd))
		r = -errno;
	if (!r) {
		uint8_t *at = (uint8_t *)(p + 1);

		fill(w, head, g, p);
		seal_tree_save(w->tree, at);
		if (runs)
			memcpy(at + tree, w->run, runs);
		p->crc = to_le32(
			~sum_crc32c(~0u, &p->version, len - offsetof(struct part, version)));
		r = file_replace(path, p, len, 0600, NULL);
	}
	free(p);
	free(path);
	return r ? session_err(w->s, r, "%s: what was done can't be kept", w->path) : 0;
}

int seal_checkpoint(struct seal_writer *w, const struct seal_head *head,
		    const struct seal_generation *g)
{
	uint64_t now = clock_ns(), wait = w->kept_cost * COST;
	int r;

	if (!w->kept_ns)
		w->kept_ns = now;
	if (now - w->kept_ns < (wait > EVERY_NS ? wait : EVERY_NS))
		return 0;
	r = save(w, head, g);
	w->kept_ns = clock_ns();
	w->kept_cost = w->kept_ns - now;
	return r;
}

int seal_keep(struct seal_writer *w, const struct seal_head *head, const struct seal_generation *g)
{
	int r = save(w, head, g);

	if (r) {
		seal_drop(w);
		return r;
	}
	close(w->fd);
	seal_writer_free(w);
	return 0;
}

/* All of SEAL.part, whole; NULL, with *r. */
static struct part *load(const char *path, size_t *len, int *r)
{
	char *name = part_path(path);
	FILE *f = name ? fopen(name, "re") : NULL;
	struct part *p = NULL;
	struct stat st;

	*r = f ? -EBADMSG : !name ? -ENOMEM : -errno;
	if (f && !fstat(fileno(f), &st) && st.st_size >= (off_t)sizeof(*p) && st.st_size < PART_MAX)
		p = malloc((size_t)st.st_size);
	if (p) {
		*len = (size_t)st.st_size;
		if (fread(p, 1, *len, f) == *len && !memcmp(p->magic, "VDCKPART", 8) &&
		    le32(p->version) == VERSION &&
		    le32(p->crc) ==
			    ~sum_crc32c(~0u, &p->version, *len - offsetof(struct part, version)))
			*r = 0;
	}
	if (f)
		fclose(f);
	free(name);
	if (*r) {
		free(p);
		p = NULL;
	}
	return p;
}

/* Are the numbers those of a writer? The CRC says that they are what we wrote. */
static bool sane(const struct part *p, size_t len)
{
	uint64_t leaves = le64(p->size) / SEAL_LEAF + (le64(p->size) % SEAL_LEAF != 0);
	uint64_t tree = le64(p->tree), runs = le64(p->runs), rest = len - sizeof(*p);

	return tree <= rest && runs <= (rest - tree) / sizeof(struct seal_disk_run) &&
	       rest - tree == runs * sizeof(struct seal_disk_run) && le64(p->leaves) <= leaves &&
	       le64(p->records) < SEAL_PER_PAGE && le64(p->page) >= le64(p->begin);
}

static int restore(struct seal_writer *w, const struct part *p)
{
	size_t tree = (size_t)le64(p->tree), runs = (size_t)le64(p->runs);
	const uint8_t *at = (const uint8_t *)(p + 1);

	w->begin = le64(p->begin);
	w->page = le64(p->page);
	w->previous = le64(p->previous);
	w->leaves = le64(p->leaves);
	w->n_records = le64(p->n_records);
	w->leaf_pages = le64(p->leaf_pages);
	w->records = (size_t)le64(p->records);
	w->g.number = le64(p->number);
	w->g.data = le64(p->data);
	w->g.zero = le64(p->zero);
	w->g.lost = le64(p->lost);
	w->g.changed = le64(p->changed);
	if (w->records) {
		memcpy(w->buf[0].kind, "LEAF", 4);
		memcpy(w->buf[0].body, p->body, sizeof(w->buf[0].body));
	}
	w->run = malloc((runs ? runs : 1) * sizeof(*w->run));
	if (!w->run)
		return -ENOMEM;
	w->n_runs = w->cap_runs = runs;
	memcpy(w->run, at + tree, runs * sizeof(*w->run));
	return seal_tree_load(w->tree, at, tree) ? 0 : -EBADMSG;
}

/* Open what the pages went to, which must hold all of them. */
static int reopen(struct seal_writer *w)
{
	struct stat st;

	if (w->before) {
		w->fd = open(w->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
		w->fd = w->fd < 0 ? -errno : w->fd;
	} else if (asprintf(&w->temporary, "%s.new", w->path) < 0) {
		w->temporary = NULL;
		return -ENOMEM;
	} else {
		w->fd = lock_take(w->temporary, O_RDWR | O_NOFOLLOW, false);
	}
	if (w->fd < 0)
		return w->fd;
	if (fstat(w->fd, &st))
		return -errno;
	return (uint64_t)st.st_size / SEAL_PAGE >= w->page ? 0 : -EBADMSG;
}

/* Is a new seal still under its temporary name? */
static bool there(const char *path)
{
	char *temporary;
	bool is;

	if (asprintf(&temporary, "%s.new", path) < 0)
		return false;
	is = !access(temporary, F_OK);
	free(temporary);
	return is;
}

/* Of the generation that the part is of: is it there already, is it the next one, or another? */
static int fits(const struct part *p, const char *path, struct seal *before,
		const struct seal_head *head, const struct seal_generation *g)
{
	size_t n = 0;
	const struct seal_generation *last = before ? seal_generations(before, &n) : NULL;

	if (n == le64(p->number) + 1 && last[n - 1].made == (int64_t)le64(p->made) &&
	    (n > 1 || !there(path)))
		return -EALREADY;
	if (n != le64(p->number) || (before && seal_end(before) != le64(p->begin)) ||
	    le64(p->size) != head->size || strncmp(p->layer, head->layer, sizeof(p->layer)) ||
	    strncmp(p->id, head->id, sizeof(p->id)) || le64(p->image_size) != g->image_size ||
	    (int64_t)le64(p->image_mtime) != g->image_mtime)
		return -ESTALE;
	return 0;
}

int seal_resume(struct session *s, const char *path, struct seal *before, struct sealing *to)
{
	struct seal_writer *w = NULL;
	size_t len = 0;
	int r;
	struct part *p = load(path, &len, &r);

	if (!p)
		return r;
	r = sane(p, len) ? fits(p, path, before, &to->head, &to->g) : -EBADMSG;
	if (r)
		goto out;
	w = seal_writer_new(s, path, to->head.size);
	r = w ? restore(w, p) : -ENOMEM;
	if (!r) {
		w->before = before;
		r = reopen(w);
	}
	if (r)
		goto out;
	to->head.made = (int64_t)le64(p->head_made);
	to->g.made = (int64_t)le64(p->made);
	to->next = w->leaves;
	to->w = w;
	w = NULL;
out:
	if (w && w->fd >= 0)
		close(w->fd);
	if (w)
		seal_writer_free(w);
	free(p);
	return r;
}
