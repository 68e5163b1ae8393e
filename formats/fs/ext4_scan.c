/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every inode, in the order of the tables. One thread reads the next piece, and verifies its
 * checksums, while the caller looks at the last one.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "formats/fs/ext4_fs.h"
#include "vdiskck/core/sum.h"

enum { PIECES = 3 };

struct piece {
	uint32_t g, from, to; /* inodes [from, to) of the table of group @g */
	uint64_t block;	      /* where they begin */
	uint8_t *buf, *sum;   /* @sum: a byte for each inode, enum ext4_sum */
	struct ranges bad;
	int err;
};

struct scan {
	struct ext4 *fs;
	enum ext4_scan what;
	uint32_t g, k; /* where the next piece begins */
	struct piece piece[PIECES];
	unsigned head, tail; /* pieces read, and looked at; counted on */
	bool end, stop;
	pthread_mutex_t lock;
	pthread_cond_t moved;
};

/* Is there anything in group @g worth a look? How many inodes. */
static uint32_t wanted(const struct scan *s, uint32_t g)
{
	struct ext4_group gr = ext4_group(s->fs, g);

	if (!ext4_table_ok(s->fs, &gr))
		return 0;
	return s->what == EXT4_SCAN_ALL ? s->fs->inodes_per_group : ext4_inodes_used(s->fs, &gr);
}

/* The next piece; false: there is none. */
static bool advance(struct scan *s, struct piece *p)
{
	struct ext4 *fs = s->fs;
	uint32_t per = EXT4_PIECE / fs->inode_size, n = 0;

	for (; s->g < fs->groups; s->g++, s->k = 0) {
		n = wanted(s, s->g);
		if (s->k < n)
			break;
	}
	if (s->g >= fs->groups)
		return false;
	p->g = s->g;
	p->from = s->k;
	p->to = n - s->k < per ? n : s->k + per;
	s->k = p->to;
	return true;
}

static void verify(const struct scan *s, struct piece *p)
{
	struct ext4 *fs = s->fs;

	for (uint32_t k = p->from; k < p->to; k++) {
		struct ext4_inode i;
		size_t off = (size_t)(k - p->from) * fs->inode_size;

		ext4_inode_decode(fs, p->g * fs->inodes_per_group + k + 1, p->buf + off, 0, &i);
		/* Free ones that were never used are zero, and nobody asks about them. */
		p->sum[k - p->from] = !i.mode && !i.links	  ? EXT4_SUM_UNKNOWN
				      : ext4_inode_sum_ok(fs, &i) ? EXT4_SUM_OK
								  : EXT4_SUM_BAD;
	}
}

static void read_piece(struct scan *s, struct piece *p)
{
	struct ext4 *fs = s->fs;
	struct ext4_group gr = ext4_group(fs, p->g);
	uint64_t n = ((uint64_t)(p->to - p->from) * fs->inode_size + fs->block_size - 1) >>
		     fs->block_bits;

	p->block = gr.inode_table + (((uint64_t)p->from * fs->inode_size) >> fs->block_bits);
	ranges_free(&p->bad);
	p->err = ext4_read(fs, p->block, n, p->buf, &p->bad);
	if (!p->err && fs->sums && s->what != EXT4_SCAN_DIRS)
		verify(s, p);
}

/* Ahead of the caller by as many pieces as there are, less the one it looks at. */
static void *reader(void *arg)
{
	struct scan *s = arg;

	for (;;) {
		struct piece *p = &s->piece[s->head % PIECES];
		bool more;

		pthread_mutex_lock(&s->lock);
		while (!s->stop && s->head - s->tail == PIECES)
			pthread_cond_wait(&s->moved, &s->lock);
		more = !s->stop;
		pthread_mutex_unlock(&s->lock);
		more = more && advance(s, p);
		if (more)
			read_piece(s, p);
		pthread_mutex_lock(&s->lock);
		if (more)
			s->head++;
		else
			s->end = true;
		pthread_cond_signal(&s->moved);
		pthread_mutex_unlock(&s->lock);
		if (!more)
			return NULL;
	}
}

static int look(struct scan *s, const struct piece *p,
		int (*fn)(void *arg, const struct ext4_inode *i), void *arg)
{
	struct ext4 *fs = s->fs;
	int r = p->err;

	for (uint32_t k = p->from; !r && k < p->to; k++) {
		uint64_t off = (uint64_t)(k - p->from) * fs->inode_size;
		uint64_t block = p->block + (off >> fs->block_bits);
		uint64_t at = fs->j.n_newer ? ext4_at(fs, block) : block << fs->block_bits;
		uint32_t ino = p->g * fs->inodes_per_group + k + 1;
		struct ext4_inode i;

		at += off & (fs->block_size - 1);
		if (fs->patch.n_ino)
			at = ext4_patch_at(fs, ino, at);
		ext4_inode_decode(fs, ino, p->buf + off, at, &i);
		i.sum = fs->sums && s->what != EXT4_SCAN_DIRS ? p->sum[k - p->from]
							      : EXT4_SUM_UNKNOWN;
		i.lost = p->bad.n && ranges_overlap(&p->bad, (p->block << fs->block_bits) + off,
						    fs->inode_size);
		r = fn(arg, &i);
	}
	return r;
}

/* The piece after the last one, when the reader has it; NULL: that was the last. */
static struct piece *next(struct scan *s)
{
	struct piece *p = NULL;

	pthread_mutex_lock(&s->lock);
	while (s->head == s->tail && !s->end)
		pthread_cond_wait(&s->moved, &s->lock);
	if (s->head != s->tail)
		p = &s->piece[s->tail % PIECES];
	pthread_mutex_unlock(&s->lock);
	return p;
}

static void done(struct scan *s, bool stop)
{
	pthread_mutex_lock(&s->lock);
	s->tail += !stop;
	s->stop |= stop;
	pthread_cond_signal(&s->moved);
	pthread_mutex_unlock(&s->lock);
}

static int scan_threaded(struct scan *s, int (*fn)(void *arg, const struct ext4_inode *i),
			 void *arg)
{
	struct piece *p;
	pthread_t t;
	int r;

	if (pthread_create(&t, NULL, reader, s))
		return -EAGAIN;
	for (r = 0; !r && (p = next(s));) {
		r = session_stopped(s->fs->l->s) ? -EINTR : look(s, p, fn, arg);
		done(s, false);
	}
	done(s, true);
	pthread_join(t, NULL);
	return r;
}

static int scan_alone(struct scan *s, int (*fn)(void *arg, const struct ext4_inode *i), void *arg)
{
	struct piece *p = &s->piece[0];
	int r = 0;

	while (!r && advance(s, p)) {
		read_piece(s, p);
		r = session_stopped(s->fs->l->s) ? -EINTR : look(s, p, fn, arg);
	}
	return r;
}

int ext4_table_scan(struct ext4 *fs, enum ext4_scan what,
		    int (*fn)(void *arg, const struct ext4_inode *i), void *arg)
{
	struct scan s = {.fs = fs, .what = what};
	/* A thread is not worth its start for a table of one piece. */
	bool alone =
		session_jobs(fs->l->s) == 1 || (uint64_t)fs->inodes * fs->inode_size <= EXT4_PIECE;
	int r = 0;

	for (unsigned k = 0; k < (alone ? 1 : PIECES); k++) {
		s.piece[k].buf = malloc(EXT4_PIECE);
		s.piece[k].sum = malloc(EXT4_PIECE / fs->inode_size);
		if (!s.piece[k].buf || !s.piece[k].sum)
			r = -ENOMEM;
	}
	pthread_mutex_init(&s.lock, NULL);
	pthread_cond_init(&s.moved, NULL);
	if (!r)
		r = alone ? scan_alone(&s, fn, arg) : scan_threaded(&s, fn, arg);
	pthread_cond_destroy(&s.moved);
	pthread_mutex_destroy(&s.lock);
	for (unsigned k = 0; k < PIECES; k++) {
		free(s.piece[k].buf);
		free(s.piece[k].sum);
		ranges_free(&s.piece[k].bad);
	}
	return r;
}
