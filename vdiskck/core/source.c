/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vdiskck/core/ddmap.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/source_internal.h"
#include "vdiskck/core/text.h"

enum { SAY_MAX = 1024 }; /* areas of one kind that get a finding of their own */

int source_open_readonly(int dir, const char *path, int flags)
{
	int fd;

	flags |= O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	fd = openat(dir, path, flags | O_NOATIME);
	/* Only its owner may leave a file's access time alone. */
	if (fd < 0 && errno == EPERM)
		fd = openat(dir, path, flags);
	return fd < 0 ? -errno : fd;
}

/* One finding for each area that is lost for @why, and one for what is too many to list. */
static void say_lost(struct layer *l, const struct ranges *v, enum finding_id why, const char *what)
{
	uint64_t rest = 0, from = 0, end = 0;
	size_t said = 0;

	for (size_t i = 0; i < v->n; i++) {
		const struct range *a = &v->v[i];
		char size[SIZE_TEXT];

		if (a->why != why)
			continue;
		end = a->off + a->len;
		if (said++ < SAY_MAX) {
			finding_fact(l, why,
				     &(struct fact){.in = l,
						    .at = a->off,
						    .at_len = a->len,
						    .off = a->off,
						    .len = a->len,
						    .lost = true},
				     "%s at 0x%" PRIx64 " %s", size_text(a->len, size), a->off,
				     what);
			continue;
		}
		if (!rest)
			from = a->off;
		rest += a->len;
	}
	if (rest) {
		char size[SIZE_TEXT];

		finding_fact(l, why, &(struct fact){.in = l, .at = from, .at_len = end - from},
			     "%s more in %zu areas up to 0x%" PRIx64 " %s", size_text(rest, size),
			     said - SAY_MAX, end, what);
	}
}

static void say_parts(struct layer *l)
{
	struct source *f = l->priv;

	if (!f->lost_parts_said && f->uneven)
		finding_fact(l, SOURCE_PART_SIZE, &(struct fact){.in = l, .at_len = l->size},
			     "%zu parts of different sizes, taken one after the other as they are",
			     f->n);
	if (!f->lost_parts_said)
		say_lost(l, &f->lost, SOURCE_PART_MISSING,
			 "lies in a part that is missing or short");
	f->lost_parts_said = true;
}

static int source_check(struct layer *l)
{
	struct source *f = l->priv;

	say_parts(l);
	if (!f->lost_said) {
		say_lost(l, &f->lost, SOURCE_BAD_MAP, "was not rescued, by the ddrescue map");
		say_lost(l, &f->lost, SOURCE_MAP_LONGER,
			 "was rescued by the ddrescue map, but lies past the end of the file");
	}
	f->lost_said = true;
	return 0;
}

static void source_close(struct layer *l)
{
	struct source *f = l->priv;

	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++) {
		export_close(f->part[i].nbd);
		if (f->part[i].fd >= 0)
			close(f->part[i].fd);
	}
	free(f->part);
	free(f->dir[0]);
	free(f->dir[1]);
	places_free(f->places);
	ranges_free(&f->lost);
	ranges_free(&f->unreadable);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void source_info(struct layer *l, struct json *to)
{
	const struct source *f = l->priv;
	size_t missing = 0;

	js_str(to, "type",
	       f->part[0].nbd			? "NBD export"
	       : f->n > 1			? "split file"
	       : S_ISBLK(f->part[0].st.st_mode) ? "block device"
						: "file");
	if (f->n > 1) {
		for (size_t i = 0; i < f->n; i++)
			missing += f->part[i].fd < 0;
		js_u64(to, "parts", f->n);
		if (missing)
			js_u64(to, "parts_missing", missing);
	}
	if (f->lost.n)
		js_u64(to, "lost_bytes", ranges_bytes(&f->lost, GRADE_LOST));
}

const struct layer_ops source_ops = {
	.name = "file",
	.kind = LAYER_SOURCE,
	.read = source_read,
	.map = source_map,
	.check = source_check,
	.info = source_info,
	.close = source_close,
};

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

/* The folders that names in the image are relative to: as named, and where it really lies. */
static void folders_set(struct source *f, const char *path)
{
	char *folder = folder_of(path), *real = realpath(path, NULL);
	char *real_folder = real ? folder_of(real) : NULL;

	f->dir[0] = folder ? realpath(folder, NULL) : NULL;
	if (f->dir[0] && real_folder && strcmp(f->dir[0], real_folder)) {
		f->dir[1] = real_folder;
		real_folder = NULL;
	}
	free(folder);
	free(real);
	free(real_folder);
}

static int export_only(struct session *s, struct source *f, const char *uri)
{
	f->part = calloc(1, sizeof(*f->part));
	if (!f->part)
		return -ENOMEM;
	f->n = 1;
	return export_open(s, uri, &f->part[0]);
}

int source_make(struct session *s, const struct opener *o, const char *path, struct places *places,
		struct layer **out)
{
	const char *base = o->open ? strrchr(path, '/') : NULL;
	struct layer *l = layer_new(s, &source_ops, NULL, base ? base + 1 : path);
	struct source *f = calloc(1, sizeof(*f));
	int sector = 0, r;

	*out = NULL;
	if (!l || !f) {
		free(f);
		layer_free(l);
		return -ENOMEM;
	}
	pthread_mutex_init(&f->lock, NULL);
	l->priv = f; /* from here on source_close() frees it */
	f->places = places_ref(places);
	r = o->open ? split_open(f, o, path) : export_only(s, f, path);
	if (!r)
		r = split_place(f, &l->size);
	if (r) {
		layer_free(l);
		return r;
	}
	if (S_ISBLK(f->part[0].st.st_mode) && !ioctl(f->part[0].fd, BLKSSZGET, &sector) &&
	    sector >= 512 && sector <= 4096)
		l->sector = (uint32_t)sector;
	if (f->part[0].nbd && export_sector(f->part[0].nbd) > l->sector)
		l->sector = (uint32_t)export_sector(f->part[0].nbd);
	if (o->open)
		folders_set(f, path);
	*out = l;
	return 0;
}

/* What the user names is opened wherever it lies, but only if it is something to read at. */
static int open_named(const struct opener *o, const char *path, int *fd, struct stat *st)
{
	int r;

	(void)o;
	/* A FIFO would block, and opening some devices does something: look first. */
	if (stat(path, st))
		return -errno;
	if (S_ISDIR(st->st_mode))
		return -EISDIR;
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return -ESPIPE;
	r = source_open_readonly(AT_FDCWD, path, 0);
	if (r < 0)
		return r;
	*fd = r;
	if (fstat(*fd, st) || (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))) {
		close(*fd);
		return -ESPIPE;
	}
	return 0;
}

/* Add what of [off, end) is not in the first @n ranges, which are sorted, of @to. */
static int add_rest(struct ranges *to, size_t n, uint64_t off, uint64_t end, enum finding_id why)
{
	const struct ranges known = {.v = to->v, .n = n};
	size_t i = ranges_find(&known, off);
	int r = 0;

	for (; !r && off < end; i++) {
		uint64_t stop = i < n && to->v[i].off < end ? to->v[i].off : end;

		if (stop > off)
			r = ranges_add(to, off, stop - off, GRADE_LOST, why);
		off = i < n ? to->v[i].off + to->v[i].len : end;
	}
	return r;
}

/*
 * What the map of the copy says was never read is lost. A copy that was interrupted is shorter
 * than the disk: the layer then has the size that the map states.
 */
static int bad_map_apply(struct layer *l)
{
	struct source *f = l->priv;
	uint64_t size = l->size, end;
	size_t parts = f->lost.n;
	struct ranges lost = {0};
	struct ddmap m;
	bool list = false;
	int r = ddmap_load(l->s, l->s->opt.bad_map, &m);

	end = ddmap_end(&m);
	/* Of a device whose size it did not know, ddrescue writes a block up to 2^63 - 1. */
	if (end > size && end <= INT64_MAX / 2)
		l->size = end;
	if (!r)
		r = ddmap_lost(&m, l->size, &lost, &list);
	for (size_t i = 0; !r && i < lost.n; i++)
		r = add_rest(&f->lost, parts, lost.v[i].off, lost.v[i].off + lost.v[i].len,
			     SOURCE_BAD_MAP);
	ranges_sort(&f->lost);
	if (!r)
		r = add_rest(&f->lost, f->lost.n, size, l->size, SOURCE_MAP_LONGER);
	ranges_sort(&f->lost);
	if (!r && list)
		session_err(
			l->s, 0,
			"%s: lists no rescued area, so what it does not mention is taken as good",
			l->s->opt.bad_map);
	ranges_free(&lost);
	ddmap_free(&m);
	return r;
}

int source_open(struct session *s, const char *path, struct layer **l)
{
	bool export = source_is_export(path);
	const struct opener o = {.open = export ? NULL : open_named};
	struct places *places = NULL;
	int r = source_make(s, &o, path, NULL, l);

	if (r == -ESPIPE || r == -EISDIR) {
		session_err(s, 0,
			    r == -EISDIR ? "%s: is a folder; name the image in it"
					 : "%s: is no regular file or block device: copy it "
					   "to a file first",
			    path);
		return r;
	}
	if (r)
		return export ? r : session_err(s, r, "%s", path);
	r = places_new(s, export ? NULL : path, &places);
	((struct source *)(*l)->priv)->places = places;
	if (!r && s->opt.bad_map)
		r = bad_map_apply(*l);
	if (r) {
		layer_free(*l);
		*l = NULL;
		return r;
	}
	if (!(*l)->size)
		finding_fact(*l, SOURCE_EMPTY, &(struct fact){.in = *l}, "the image file is empty");
	say_parts(*l);
	return 0;
}

int source_fd(const struct layer *l, uint64_t off, uint64_t *at, uint64_t *len)
{
	const struct part *p;

	if (l->ops != &source_ops)
		return -1;
	p = source_part_at(l->priv, off);
	if (p->fd < 0 || off - p->off >= p->size)
		return -1;
	*at = off - p->off;
	*len = (p->size < p->len ? p->size : p->len) - *at;
	return p->fd;
}

bool source_same(const struct layer *a, const struct layer *b)
{
	const struct source *x = a->priv, *y = b->priv;
	const struct stat *s, *t;

	if (a->ops != &source_ops || b->ops != &source_ops)
		return false;
	if (x->part[0].fd < 0 || y->part[0].fd < 0)
		return a == b;
	s = &x->part[0].st;
	t = &y->part[0].st;
	if (S_ISBLK(s->st_mode) && S_ISBLK(t->st_mode))
		return s->st_rdev == t->st_rdev;
	return s->st_dev == t->st_dev && s->st_ino == t->st_ino;
}

bool source_is_remote(const struct layer *l)
{
	return l && l->ops == &source_ops && ((const struct source *)l->priv)->part[0].nbd;
}

bool source_mtime(const struct layer *l, int64_t *sec)
{
	const struct source *f = l->priv;

	if (l->ops != &source_ops || !S_ISREG(f->part[0].st.st_mode))
		return false;
	*sec = f->part[0].st.st_mtim.tv_sec;
	return true;
}

bool source_mtime_ns(const struct layer *l, int64_t *ns)
{
	const struct source *f = l->priv;
	int64_t sec;

	if (!source_mtime(l, &sec))
		return false;
	/* It is only compared: a year that does not fit may wrap. */
	*ns = (int64_t)((uint64_t)sec * 1000000000u + (uint64_t)f->part[0].st.st_mtim.tv_nsec);
	return true;
}

bool source_birth(const struct layer *l, int64_t *sec)
{
	const struct source *f = l->priv;
	struct statx st;

	if (l->ops != &source_ops || !S_ISREG(f->part[0].st.st_mode) ||
	    statx(f->part[0].fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) ||
	    !(st.stx_mask & STATX_BTIME) || !st.stx_btime.tv_sec)
		return false;
	*sec = st.stx_btime.tv_sec;
	return true;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* What became of one file since it was opened. */
static void part_changed(struct layer *l, const struct part *p)
{
	struct source *f = l->priv;
	uint64_t size = p->size;
	struct stat st;

	if (p->fd < 0 || fstat(p->fd, &st))
		return;
	if (S_ISBLK(st.st_mode))
		ioctl(p->fd, BLKGETSIZE64, &size);
	else
		size = (uint64_t)st.st_size;
	if (size < p->size) {
		if (!f->shrank_said)
			finding_fact(l, SOURCE_SHRANK,
				     &(struct fact){.in = l,
						    .at = p->off + size,
						    .at_len = p->size - size,
						    .off = p->off + size,
						    .len = p->size - size,
						    .lost = true,
						    .stored = strf("%" PRIu64 " bytes", size),
						    .expected = strf("%" PRIu64 " bytes", p->size)},
				     "the file was cut from %" PRIu64 " to %" PRIu64
				     " bytes while it was read",
				     p->size, size);
		f->shrank_said = true;
	} else if (!f->changed_said && !S_ISBLK(st.st_mode) &&
		   (size != p->size || !same_time(st.st_mtim, p->st.st_mtim) ||
		    !same_time(st.st_ctim, p->st.st_ctim))) {
		f->changed_said = true;
		finding_fact(l, SOURCE_CHANGED, &(struct fact){.in = l, .at_len = l->size},
			     "the file was %s while it was read",
			     size > p->size			    ? "appended to"
			     : same_time(st.st_mtim, p->st.st_mtim) ? "changed in its attributes"
								    : "written to");
	}
}

void source_changed(struct layer *l)
{
	struct source *f = l->priv;

	if (l->ops != &source_ops)
		return;
	for (size_t i = 0; i < f->n; i++)
		part_changed(l, &f->part[i]);
	if (atomic_load(&f->ended_early) && !f->shrank_said) {
		f->shrank_said = true;
		finding_fact(l, SOURCE_SHRANK, &(struct fact){.in = l, .at_len = l->size},
			     "a read found the end of the file too early; it is back now");
	}
	if (!f->unreadable_said) {
		f->unreadable_said = atomic_load(&f->met);
		say_lost(l, &f->unreadable, SOURCE_UNREADABLE,
			 "can't be read (input/output error)");
		if (f->forgotten)
			finding_fact(l, SOURCE_UNREADABLE,
				     &(struct fact){.in = l, .at_len = l->size},
				     "%s more could not be read, in too many places to list",
				     size_text(f->forgotten, (char[SIZE_TEXT]){0}));
	}
}
