/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a source, round what it can't give; and where its holes are. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/source_internal.h"

enum { UNREADABLE_MAX = 16384 }; /* areas that are remembered; a disk with more is beyond hope */

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
	return err == ENXIO || err == ENODEV || err == ESTALE || err == ENOMEDIUM || err == EBADF ||
	       err == ENOTCONN;
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
		got = r->part->nbd ? export_pread(r->part->nbd, r->p, n, at)
				   : pread(r->part->fd, r->p, n, (off_t)at);
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

const struct part *source_part_at(const struct source *f, uint64_t off)
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
int source_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct source *f = l->priv;
	uint8_t *p = buf;
	int r = 0;

	while (!r && len) {
		uint64_t same;
		const struct range *lost = lost_at(l, off, &same);
		const struct part *part = source_part_at(f, off);
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

	if (p->nbd) {
		s = export_stretch(p->nbd, off);
		if (s.end > off && *len > s.end - off)
			*len = s.end - off;
		return s.hole;
	}
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

int source_map(struct layer *l, uint64_t off, struct extent *run)
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

void source_forget(struct layer *l, uint64_t off, uint64_t len)
{
	struct source *f = l->priv;

	while (l->ops == &source_ops && len && off < l->size) {
		const struct part *part = source_part_at(f, off);
		uint64_t n = part->off + part->len - off;

		n = n < len ? n : len;
		if (part->fd >= 0)
			posix_fadvise(part->fd, (off_t)(off - part->off), (off_t)n,
				      POSIX_FADV_DONTNEED);
		else if (part->nbd)
			export_forget(part->nbd);
		off += n;
		len -= n;
	}
}

int source_unreadable(struct layer *l, struct ranges *bad)
{
	struct source *f = l->priv;
	int r;

	if (l->ops != &source_ops)
		return 0;
	pthread_mutex_lock(&f->lock);
	r = ranges_append(bad, &f->unreadable);
	pthread_mutex_unlock(&f->lock);
	return r;
}

int source_unreadable_add(struct layer *l, uint64_t off, uint64_t len)
{
	return l->ops == &source_ops ? unreadable_add(l->priv, off, len) : 0;
}
