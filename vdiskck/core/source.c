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

enum {
	UNREADABLE_MAX = 16384, /* areas that are remembered; a disk with more is beyond hope */
	SAY_MAX = 1024,		/* areas of one kind that get a finding of their own */
};

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

/* Note an area that can't be read, so that it is neither tried nor reported again. */
static int unreadable_add(struct source *f, uint64_t off, uint64_t len)
{
	struct ranges *u = &f->unreadable;
	uint64_t end = off + len;
	size_t i, k;
	int r = 0;

	pthread_mutex_lock(&f->lock);
	i = ranges_find(u, off ? off - 1 : 0); /* the first that touches or lies behind */
	for (k = i; k < u->n && u->v[k].off <= end; k++) {
		if (u->v[k].off < off)
			off = u->v[k].off;
		if (u->v[k].off + u->v[k].len > end)
			end = u->v[k].off + u->v[k].len;
	}
	if (k > i) {
		u->v[i].off = off;
		u->v[i].len = end - off;
		memmove(&u->v[i + 1], &u->v[k], (u->n - k) * sizeof(*u->v));
		u->n -= k - i - 1;
	} else if (u->n >= UNREADABLE_MAX) {
		f->forgotten += len;
	} else {
		/* Appended with a reason of its own, so that ranges_add() joins nothing. */
		r = ranges_add(u, UINT64_MAX - 1, 1, GRADE_LOST, SOURCE_UNREADABLE);
		if (!r) {
			memmove(&u->v[i + 1], &u->v[i], (u->n - 1 - i) * sizeof(*u->v));
			u->v[i] = (struct range){off, len, GRADE_LOST, SOURCE_UNREADABLE};
		}
	}
	atomic_store(&f->met, true);
	pthread_mutex_unlock(&f->lock);
	return r;
}

/* Bytes from @off on that are known as unreadable, or if none *@next: up to where to read. */
static uint64_t unreadable_at(struct source *f, uint64_t off, uint64_t *next)
{
	const struct ranges *u = &f->unreadable;
	uint64_t n = 0;
	size_t i;

	if (!atomic_load(&f->met))
		return 0;
	pthread_mutex_lock(&f->lock);
	i = ranges_find(u, off);
	if (i < u->n && u->v[i].off <= off)
		n = u->v[i].off + u->v[i].len - off;
	else if (i < u->n && u->v[i].off < *next)
		*next = u->v[i].off;
	pthread_mutex_unlock(&f->lock);
	return n;
}

/* The device is gone, or the file is: no use in trying each sector. */
static bool gone(int err)
{
	return err == ENXIO || err == ENODEV || err == ESTALE || err == ENOMEDIUM || err == EBADF;
}

/* A read of one file that may have to go round bad sectors. */
struct reading {
	struct layer *l;
	const struct part *part;
	uint64_t off;
	uint8_t *p;
	size_t len;
	struct ranges *bad;
	size_t step; /* how much to ask for at once */
	bool again;  /* this sector failed once already */
};

static void advance(struct reading *r, size_t n)
{
	r->off += n;
	r->p += n;
	r->len -= n;
}

static int lose(struct reading *r, uint64_t n, enum finding_id why)
{
	size_t len = n < r->len ? (size_t)n : r->len;
	int err = ranges_add(r->bad, r->off, len, GRADE_LOST, why);

	memset(r->p, 0, len);
	advance(r, len);
	return err;
}

/* pread() of @n bytes failed; @left of them are in the first sector. */
static int reading_failed(struct reading *r, size_t n, size_t left, int err)
{
	struct source *f = r->l->priv;
	uint64_t sector = r->l->sector, at = r->off - r->part->off;
	uint64_t start = r->off - at % sector, end = start + sector;

	if (session_stopped(r->l->s))
		return -EINTR;
	if (gone(err)) {
		err = unreadable_add(f, r->off, r->len);
		return err ? err : lose(r, r->len, SOURCE_UNREADABLE);
	}
	if (n > left) {
		/* Up to the end of a sector, so that the next step starts on one. */
		r->step = n / 2 > left ? n / 2 - (n / 2 - left) % sector : left;
		return 0;
	}
	if (!r->again) {
		r->again = true;
		return 0;
	}
	r->again = false;
	r->step = (size_t)sector;
	if (end > r->part->off + r->part->size)
		end = r->part->off + r->part->size;
	err = unreadable_add(f, start, end - start);
	return err ? err : lose(r, left, SOURCE_UNREADABLE);
}

/*
 * Read what all lies in one file. What fails is tried again in halves down to one sector, that
 * one twice. Where it reads again the size grows again: the cost is a few calls a bad sector,
 * however many of them there are.
 */
static int reading_run(struct reading *r)
{
	struct source *f = r->l->priv;
	int err = 0;

	r->step = r->len;
	while (!err && r->len) {
		uint64_t at = r->off - r->part->off, next = r->off + r->len;
		size_t left = (size_t)(r->l->sector - at % r->l->sector), n;
		uint64_t known = unreadable_at(f, r->off, &next);
		ssize_t got;

		if (known) {
			err = lose(r, known, SOURCE_UNREADABLE);
			continue;
		}
		n = r->step < left ? left : r->step;
		if (n > next - r->off)
			n = (size_t)(next - r->off);
		if (left > n)
			left = n;
		got = pread(r->part->fd, r->p, n, (off_t)at);
		if (got > 0) {
			advance(r, (size_t)got);
			r->again = false;
			if (r->step < r->len)
				r->step *= 2;
		} else if (!got) {
			atomic_store(&f->ended_early, true);
			err = lose(r, r->len, SOURCE_SHRANK);
		} else if (errno == ENOMEM) {
			err = -ENOMEM;
		} else if (errno != EINTR) {
			err = reading_failed(r, n, left, errno);
		}
	}
	return err;
}

static const struct part *part_at(const struct source *f, uint64_t off)
{
	size_t lo = 0, hi = f->n;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (f->part[mid].off <= off)
			lo = mid;
		else
			hi = mid;
	}
	return &f->part[lo];
}

/* The lost area that holds @off, or NULL; *@len: for how many bytes that is so. */
static const struct range *lost_at(const struct layer *l, uint64_t off, uint64_t *len)
{
	const struct source *f = l->priv;
	size_t i = ranges_find(&f->lost, off);
	const struct range *lost = i < f->lost.n ? &f->lost.v[i] : NULL;

	if (lost && lost->off <= off) {
		*len = lost->off + lost->len - off;
		return lost;
	}
	*len = (lost ? lost->off : l->size) - off;
	return NULL;
}

/* Holes are read, too: that costs less than to ask where they are. */
static int source_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct source *f = l->priv;
	uint8_t *p = buf;
	int r = 0;

	while (!r && len) {
		uint64_t same;
		const struct range *lost = lost_at(l, off, &same);
		const struct part *part = part_at(f, off);
		size_t n = same < len ? (size_t)same : len;

		if (lost) {
			memset(p, 0, n);
			r = ranges_add(bad, off, n, GRADE_LOST, lost->why);
		} else {
			struct reading reading = {l, part, off, p, n, bad, 0, false};

			if (n > part->off + part->len - off)
				reading.len = n = (size_t)(part->off + part->len - off);
			r = reading_run(&reading);
		}
		p += n;
		off += n;
		len -= n;
	}
	return r;
}

/* The hole or the data around @off; empty if the file system can't tell. */
static struct stretch stretch_find(const struct part *p, uint64_t off)
{
	/* Reads go by pread(): the position is free. */
	off_t next = lseek(p->fd, (off_t)off, SEEK_DATA);
	struct stretch s = {.off = off, .end = off};

	if (next < 0 && errno == ENXIO)
		next = (off_t)p->size; /* no data up to the end */
	if (next < 0)
		return s;
	s.hole = (uint64_t)next > off;
	if (!s.hole)
		next = lseek(p->fd, (off_t)off, SEEK_HOLE);
	if (next > (off_t)off)
		s.end = (uint64_t)next;
	return s;
}

static bool stretch_known(struct source *f, uint64_t off, struct stretch *s)
{
	bool known = false;

	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < STRETCHES && !known; i++) {
		*s = f->stretch[i];
		known = off >= s->off && off < s->end;
	}
	pthread_mutex_unlock(&f->lock);
	return known;
}

/* What was found from @s->off on may have begun before, and be known from there or behind. */
static void stretch_keep(struct source *f, const struct stretch *s)
{
	size_t i = 0;

	pthread_mutex_lock(&f->lock);
	while (i < STRETCHES && (f->stretch[i].end != s->end || f->stretch[i].hole != s->hole))
		i++;
	if (i == STRETCHES)
		f->stretch[f->next_stretch++ % STRETCHES] = *s;
	else if (s->off < f->stretch[i].off)
		f->stretch[i].off = s->off;
	pthread_mutex_unlock(&f->lock);
}

/*
 * Is @off in a hole of the file, and how far does that or the data reach? The file system says
 * that a hole is zeros, so nobody needs to read it: a sparse image of terabytes costs what it holds.
 */
static bool in_hole(struct source *f, uint64_t off, uint64_t *len)
{
	const struct part *p = &f->part[0];
	struct stretch s;

	if (f->n != 1 || p->fd < 0 || !S_ISREG(p->st.st_mode) || off >= p->size ||
	    (uint64_t)p->st.st_blocks * 512 >= p->size)
		return false;
	/* Two system calls cost more than a read of a sector: ask once for each stretch. */
	if (!stretch_known(f, off, &s)) {
		s = stretch_find(p, off);
		stretch_keep(f, &s);
	}
	if (s.end > off && *len > s.end - off)
		*len = s.end - off;
	return s.hole;
}

static int source_map(struct layer *l, uint64_t off, struct extent *run)
{
	const struct range *lost = lost_at(l, off, &run->len);

	if (lost) {
		run->kind = EXTENT_LOST;
		run->why = lost->why;
		return 0;
	}
	run->kind = EXTENT_DATA;
	run->in = l;
	run->at = off;
	run->exact = true;
	if (in_hole(l->priv, off, &run->len))
		run->kind = EXTENT_ZERO;
	return 0;
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
	for (size_t i = 0; i < f->n; i++)
		if (f->part[i].fd >= 0)
			close(f->part[i].fd);
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
	       f->n > 1				? "split file"
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

int source_make(struct session *s, const struct opener *o, const char *path, struct places *places,
		struct layer **out)
{
	const char *base = strrchr(path, '/');
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
	r = split_open(f, o, path);
	if (!r)
		r = split_place(f, &l->size);
	if (r) {
		layer_free(l);
		return r;
	}
	if (S_ISBLK(f->part[0].st.st_mode) && !ioctl(f->part[0].fd, BLKSSZGET, &sector) &&
	    sector >= 512 && sector <= 4096)
		l->sector = (uint32_t)sector;
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
	const struct opener o = {.open = open_named};
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
		return session_err(s, r, "%s", path);
	r = places_new(s, path, &places);
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
	p = part_at(l->priv, off);
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
	s = &x->part[0].st;
	t = &y->part[0].st;
	if (S_ISBLK(s->st_mode) && S_ISBLK(t->st_mode))
		return s->st_rdev == t->st_rdev;
	return s->st_dev == t->st_dev && s->st_ino == t->st_ino;
}

bool source_mtime(const struct layer *l, int64_t *sec)
{
	const struct source *f = l->priv;

	if (l->ops != &source_ops || !S_ISREG(f->part[0].st.st_mode))
		return false;
	*sec = f->part[0].st.st_mtim.tv_sec;
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
