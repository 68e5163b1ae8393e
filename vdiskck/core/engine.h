/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way to go through a layer's bytes: check --data, scrub, export and hash are callers.
 *
 * The engine asks map() what exists, so that zeros cost nothing, reads the rest in large pieces
 * on worker threads (where ciphers decrypt and clusters inflate), lets @work look at each piece
 * there, and hands it to @deliver. Memory is bounded by `pieces in flight x piece size`, whatever
 * the size of the disk. A stop asked for (session_stopped) ends it with -EINTR; what was done
 * until then is in @covered.
 */
#ifndef VDISKCK_CORE_ENGINE_H
#define VDISKCK_CORE_ENGINE_H

#include "vdiskck/core/layer.h"

enum engine_order {
	ENGINE_IN_ORDER, /* @deliver is called by offset; reads are as near to that as can be */
	ENGINE_PHYSICAL, /* pieces are read by where they lie in the image file; @deliver as they come */
};

/* Bytes [off, off + len) of the layer. */
struct piece {
	uint64_t off, len;
	enum extent_kind kind; /* ZERO, LOST: @buf is NULL and @len may be huge */
	uint8_t *buf;	       /* DATA: zeroed where @bad says lost; NULL: it was not read */
	struct layer *in;      /* DATA that was not read: the source that has all of it, */
	uint64_t at;	       /* and where */
	struct ranges bad;     /* lost and doubtful, in the layer's addresses */
	unsigned worker;       /* which thread reads it: 0..session_jobs()-1 */
};

struct engine {
	struct layer *l;
	uint64_t off, len; /* what to go through; bounded to the layer */
	enum engine_order order;
	/*
	 * DATA that a source has as it is, for a whole piece or more, is not read: @work and
	 * @deliver get it with @buf NULL. What the source fails to give is to be read after all.
	 */
	bool direct;
	bool written; /* what was never written under a cipher goes as ZERO: noise holds nothing */
	/* Sorted, may be NULL: DATA in there is not read, it goes to @deliver alone, with @buf NULL. */
	const struct ranges *skip;
	size_t piece; /* size of a piece, 0: 1 MiB; pieces are cut at its multiples */
	/*
	 * PHYSICAL, 0 or a divisor of @piece: pieces are also cut, at its multiples, where their bytes do
	 * not lie together; @window bytes of the layer are put into order at a time, and all of them
	 * delivered before any behind them. Zeros and lost bytes go beyond a window.
	 */
	size_t grain;
	uint64_t window;
	const char *what; /* for progress: "exporting"; NULL: none */
	/* On a worker thread, for DATA only. May be NULL. 0, or -errno to stop. */
	int (*work)(void *arg, struct piece *p);
	/* One call at a time, for every kind. May be NULL. 0, or -errno to stop. */
	int (*deliver)(void *arg, struct piece *p);
	void *arg;
	uint64_t covered; /* out: bytes delivered */
};

/* engine_run() - 0, -EINTR when stopped, or the error of a read, @work or @deliver */
int engine_run(struct engine *e);

#endif
