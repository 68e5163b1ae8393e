/* SPDX-License-Identifier: Apache-2.0 */
/* The program's end of the talk with its helper. What comes back is bounded like what a disk says. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vdiskck/core/text.h"
#include "vdiskck/guest.h"

struct guest {
	struct session *s;
	int fd;
	bool broken;	      /* a question was not answered to its end */
	unsigned users;	      /* volumes, and who made it */
	pthread_mutex_t lock; /* one question at a time */
};

struct guest *guest_new(struct session *s, int fd)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	*g = (struct guest){.s = s, .fd = fd, .users = 1};
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

void guest_get(struct guest *g)
{
	g->users++;
}

void guest_put(struct guest *g)
{
	const struct guest_request q = {.op = GUEST_QUIT};
	char byte;

	if (--g->users)
		return;
	if (!g->broken && write(g->fd, &q, sizeof(q)) == sizeof(q))
		while (read(g->fd, &byte, 1) > 0)
			;
	close(g->fd);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* All of @len bytes; a signal that asks to stop ends the talk for good. */
static int transfer(struct guest *g, bool in, void *buf, size_t len)
{
	for (uint8_t *p = buf; len;) {
		ssize_t n = in ? read(g->fd, p, len) : write(g->fd, p, len);

		if (n < 0 && errno == EINTR && !session_stopped(g->s))
			continue;
		if (n <= 0) {
			g->broken = true;
			return n < 0 && errno == EINTR ? -EINTR : -EPIPE;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int guest_ask(struct guest *g, struct guest_request *q, const char *path, char **reply, size_t *len)
{
	size_t path_len = strlen(path);
	struct guest_reply a = {0};
	int r = path_len > GUEST_PATH_MAX ? -ENAMETOOLONG : 0;

	*reply = NULL;
	*len = 0;
	if (r)
		return r;
	q->path_len = (uint32_t)path_len;
	pthread_mutex_lock(&g->lock);
	r = g->broken ? -EPIPE : transfer(g, false, q, sizeof(*q));
	if (!r)
		r = transfer(g, false, (void *)path, path_len);
	if (!r)
		r = transfer(g, true, &a, sizeof(a));
	if (!r && a.len > GUEST_REPLY_MAX) {
		g->broken = true;
		r = -EPIPE;
	}
	if (!r) {
		*reply = malloc((size_t)a.len + 1);
		r = *reply ? transfer(g, true, *reply, a.len) : -ENOMEM;
		g->broken |= r != 0;
	}
	pthread_mutex_unlock(&g->lock);
	if (r) {
		free(*reply);
		*reply = NULL;
		return r;
	}
	(*reply)[a.len] = '\0';
	*len = a.len;
	return a.err > 0 ? -EPIPE : a.err;
}

int guest_launch(struct guest *g, char *why, size_t cap)
{
	struct guest_request q = {.op = GUEST_LAUNCH};
	char *reply;
	size_t len;
	int r = guest_ask(g, &q, "", &reply, &len);

	if (r)
		name_escape(reply && *reply ? reply : "its helper ended",
			    strlen(reply && *reply ? reply : "its helper ended"), why, cap);
	free(reply);
	return r;
}
