/* SPDX-License-Identifier: Apache-2.0 */
/* Logs as they were: bytes, a map of those that are lost, a record. And times as people type them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vdiskck/core/ddmap.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/logs.h"

enum { PIECE = 1 << 20 };

static int write_at(int fd, const uint8_t *p, size_t len, uint64_t off)
{
	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_map(struct logs *g, const char *root, const char *path, struct ranges *bad,
		     uint64_t size)
{
	struct line to = {0};
	int fd = out_dirs_file(&g->dirs, root, path, NULL, ".map", &to), r = fd < 0 ? fd : 0;
	FILE *f = r ? NULL : fdopen(fd, "w");

	if (!r && !f) {
		r = -errno;
		close(fd);
	}
	if (f) {
		r = ddmap_write(f, bad, size);
		if (fclose(f) && !r)
			r = -errno;
	}
	free(to.p);
	return r;
}

int logs_copy(struct logs *g, struct layer *f, const char *root, const char *path, uint64_t *lost)
{
	uint8_t *buf = malloc(PIECE);
	struct ranges bad = {0};
	struct line to = {0};
	char *below;
	int fd = -1, r;

	*lost = 0;
	if (!buf || asprintf(&below, "raw/%s", root) < 0) {
		free(buf);
		return run_fail(g->r, -ENOMEM, "%s", path);
	}
	fd = out_dirs_file(&g->dirs, below, path, NULL, "", &to);
	r = fd < 0 ? fd : 0;
	for (uint64_t off = 0; off < f->size && !r; off += PIECE) {
		size_t n = f->size - off < PIECE ? (size_t)(f->size - off) : PIECE;

		r = session_stopped(&g->r->s) ? -EINTR : layer_read(f, off, buf, n, &bad);
		if (!r)
			r = write_at(fd, buf, n, off);
	}
	ranges_sort(&bad);
	*lost = ranges_bytes(&bad, GRADE_LOST);
	if (!r && *lost)
		r = write_map(g, below, path, &bad, f->size);
	if (fd >= 0 && close(fd) && !r)
		r = -errno;
	if (r && r != -EINTR)
		run_fail(g->r, r, "%s", path);
	ranges_free(&bad);
	free(to.p);
	free(below);
	free(buf);
	return r;
}

int time_parse(const char *text, struct log_time *t)
{
	static const char *const form[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S",
					   "%Y-%m-%d %H:%M:%S",	 "%Y-%m-%dT%H:%M",
					   "%Y-%m-%d %H:%M",	 "%Y-%m-%d"};

	for (size_t i = 0; i < sizeof(form) / sizeof(*form); i++) {
		struct tm tm = {0};
		const char *end = strptime(text, form[i], &tm);

		if (!end || *end)
			continue;
		*t = (struct log_time){.sec = timegm(&tm), .known = true};
		return 0;
	}
	return -EINVAL;
}

struct json *json_log(const struct log_place *p)
{
	struct json *j = js_object();
	char time[TIME_TEXT];

	js_str(j, "record", "log");
	js_str(j, "log", p->name);
	if (p->source)
		js_str(j, "source", p->source);
	js_bool(j, "read", !p->unread);
	for (int s = 0; s <= LOG_CARVED; s++)
		js_u64(j, log_state_name((enum log_state)s), p->n[s]);
	if (p->first.known)
		js_str(j, "first", time_text(p->first.sec, 0, time));
	if (p->last.known)
		js_str(j, "last", time_text(p->last.sec, 0, time));
	if (p->deleted)
		js_bool(j, "deleted", true);
	if (p->stated) {
		js_u64(j, "stated", p->stated);
		js_u64(j, "missing", p->missing);
	}
	js_u64(j, "clock_jumps", p->jumps);
	js_u64(j, "lost_bytes", p->lost);
	return j;
}
