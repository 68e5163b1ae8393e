/* SPDX-License-Identifier: Apache-2.0 */
/* Carving: the bytes of a layer, window by window, shown to every driver that can find its records. */
#include <errno.h>
#include <stdlib.h>

#include "formats/log/log.h"
#include "vdiskck/core/engine.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"

enum {
	DRIVERS = 16,
	WINDOW = 1 << 20,
	LARGE = 4 * CARVE_AHEAD, /* pieces that are not copied */
	SMALL = 4 << 20, /* ranges up to this are read by this thread: free space has many */
};

struct carve {
	struct layer *l;
	const struct log_sink *sink; /* the caller's */
	void *state[DRIVERS];
	struct ranges bad; /* of the window */
	uint8_t *buf;	   /* WINDOW + CARVE_AHEAD */
	size_t len;
	uint64_t off; /* of buf[0] in the layer */
};

/* An event with bytes that can't be read is whole by chance only. */
static void distrust(const struct carve *c, struct log_event *e)
{
	if (c->bad.n && ranges_overlap(&c->bad, e->off, e->len)) {
		e->failed |= LOG_LOST;
		e->state = LOG_DOUBTFUL;
	}
}

static int on_event(void *arg, const struct log_event *e)
{
	struct carve *c = arg;
	struct log_event mine = *e;

	distrust(c, &mine);
	return c->sink->event(c->sink->arg, &mine);
}

static int on_render(void *arg, const struct log_event *e, struct buf *out)
{
	struct carve *c = arg;
	struct log_event mine = *e;

	distrust(c, &mine);
	return c->sink->render(c->sink->arg, &mine, out);
}

static int on_text(void *arg, const char *p, size_t len)
{
	struct carve *c = arg;

	return c->sink->text(c->sink->arg, p, len);
}

/* Show @len bytes at @p, which is byte @off of the layer, and @more that follow. */
static int show_at(struct carve *c, const uint8_t *p, size_t len, size_t more, uint64_t off)
{
	int r = 0;

	if (c->bad.n)
		ranges_sort(&c->bad);
	for (size_t i = 0; log_formats[i] && !r; i++)
		if (c->state[i])
			r = log_formats[i]->carve(c->state[i], p, len, more, off);
	return r;
}

/* Show @len bytes of the buffer, with what follows them, and drop them. */
static int show(struct carve *c, size_t len)
{
	int r = show_at(c, c->buf, len, c->len - len, c->off);

	memmove(c->buf, c->buf + len, c->len - len);
	c->len -= len;
	c->off += len;
	if (!c->len)
		ranges_free(&c->bad);
	return r;
}

/*
 * A large piece is shown where it lies: first what was kept of the one before, with the start of this
 * one behind it, then all but its end, which is kept.
 */
static int feed_large(struct carve *c, uint64_t off, const uint8_t *p, size_t len)
{
	int r = 0;

	if (c->len) {
		memcpy(c->buf + c->len, p, CARVE_AHEAD);
		r = show_at(c, c->buf, c->len, CARVE_AHEAD, c->off);
	}
	len -= CARVE_AHEAD;
	if (!r)
		r = show_at(c, p, len, CARVE_AHEAD, off);
	memcpy(c->buf, p + len, CARVE_AHEAD);
	c->len = CARVE_AHEAD;
	c->off = off + len;
	return r;
}

static int feed(struct carve *c, uint64_t off, const uint8_t *p, size_t len)
{
	int r = 0;

	if (c->len <= CARVE_AHEAD && len >= LARGE)
		return feed_large(c, off, p, len);
	while (len && !r) {
		size_t n = WINDOW + CARVE_AHEAD - c->len;

		if (!c->len)
			c->off = off;
		n = n < len ? n : len;
		memcpy(c->buf + c->len, p, n);
		c->len += n;
		off += n;
		p += n;
		len -= n;
		if (c->len == WINDOW + CARVE_AHEAD)
			r = show(c, WINDOW);
	}
	return r;
}

static int deliver(void *arg, struct piece *p)
{
	struct carve *c = arg;
	int r = 0;

	/* What spans a hole is not there in one piece. */
	if (p->kind != EXTENT_DATA)
		return c->len ? show(c, c->len) : 0;
	if (p->bad.n)
		r = ranges_append(&c->bad, &p->bad);
	return r ? r : feed(c, p->off, p->buf, (size_t)p->len);
}

static int read_small(struct carve *c, uint64_t off, uint64_t len)
{
	uint8_t *piece = malloc(WINDOW);
	int r = piece ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < len && !r; at += WINDOW) {
		size_t n = len - at < WINDOW ? (size_t)(len - at) : WINDOW;

		r = layer_read(c->l, off + at, piece, n, &c->bad);
		if (!r)
			r = feed(c, off + at, piece, n);
		if (session_stopped(c->l->s))
			r = -EINTR;
	}
	free(piece);
	return r;
}

static int one_range(struct carve *c, uint64_t off, uint64_t len)
{
	struct engine e = {.l = c->l,
			   .off = off,
			   .len = len,
			   .order = ENGINE_IN_ORDER,
			   .written = true,
			   .what = "carving",
			   .deliver = deliver,
			   .arg = c};
	int r;

	if (!range_inside(off, len, c->l->size))
		return -ERANGE;
	r = len <= SMALL ? read_small(c, off, len) : engine_run(&e);
	if (!r && c->len)
		r = show(c, c->len);
	return r;
}

int log_carve(struct layer *l, const struct ranges *where, const struct log_sink *sink)
{
	struct carve c = {.l = l, .sink = sink, .buf = malloc(WINDOW + CARVE_AHEAD)};
	struct log_sink mine = *sink;
	int r = c.buf ? 0 : -ENOMEM;

	mine.arg = &c;
	mine.event = sink->event ? on_event : NULL;
	mine.render = sink->render ? on_render : NULL;
	mine.text = on_text;
	for (size_t i = 0; log_formats[i] && !r; i++) {
		if (!log_formats[i]->carve)
			continue;
		c.state[i] = log_formats[i]->carve_begin(l, &mine);
		r = c.state[i] ? 0 : -ENOMEM;
	}
	if (!where && !r)
		r = one_range(&c, 0, l->size);
	for (size_t i = 0; where && i < where->n && !r; i++)
		r = one_range(&c, where->v[i].off, where->v[i].len);
	for (size_t i = 0; log_formats[i]; i++)
		if (c.state[i])
			r = log_formats[i]->carve_end(c.state[i], r);
	ranges_free(&c.bad);
	free(c.buf);
	return r;
}
