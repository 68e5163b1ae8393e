/* SPDX-License-Identifier: Apache-2.0 */
/* evtx_bench json|carve FILE JOBS TIMES: megabytes and records per second of a log in the page cache. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "formats/log/evtx.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/source.h"

static size_t records, bytes;

static int render(void *arg, const struct log_event *e, struct buf *out)
{
	(void)arg;
	log_json(out, e);
	return 0;
}

static int text(void *arg, const char *p, size_t len)
{
	(void)arg;
	bytes += len;
	for (const char *at = p; (at = memchr(at, '\n', len - (size_t)(at - p))); at++)
		records++;
	return 0;
}

int main(int argc, char **argv)
{
	struct log_sink sink = {.render = render, .text = text};
	struct timespec from, to;
	struct layer *source, *l;
	struct session s;
	double seconds;
	int r = 0;

	if (argc != 5)
		return 1;
	session_init(&s);
	if (source_open(&s, argv[2], &source))
		return 1;
	sink.jobs = (unsigned)atoi(argv[3]);
	l = layer_new(&s, &evtx_ops, source, "evtx");
	layer_attach(source, l);
	if (strcmp(argv[1], "carve") && evtx_ops.open(l))
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = atoi(argv[4]); i > 0 && !r; i--)
		r = strcmp(argv[1], "carve") ? evtx_log.records(l, &sink)
					     : log_carve(source, NULL, &sink);
	clock_gettime(CLOCK_MONOTONIC, &to);
	seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	printf("%.1f MB/s %.0f records/s %.1f MB of JSON\n",
	       (double)source->size * atoi(argv[4]) / 1e6 / seconds, (double)records / seconds,
	       (double)bytes / 1e6);
	layer_free(source);
	session_fini(&s);
	return r != 0;
}
