/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scrub reads beside the image and its seal: a map of changed blocks, the list of xe, a change
 * block log, the passes of a state. Any bytes as each of them: what is taken lies on the disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/harness.h"
#include "vdiskck/core/json.h"
#include "vdiskck/run.h"
#include "vdiskck/scrub.h"
#include "vdiskck/scrub_state.h"

enum { DISK = 10 << 20 };

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void try_track(int (*track)(struct scrub *, const char *), struct run *r, struct layer *l,
		      const char *path)
{
	struct scrub s = {.r = r, .l = l};

	if (!track(&s, path))
		must(s.track.by == path);
	scrub_free(&s);
}

static void try_pass(struct run *r, struct layer *l, const uint8_t *data, size_t size)
{
	struct scrub s = {.r = r, .l = l, .gen = 3, .end = DISK / SEAL_LEAF};
	struct json *j = js_parse((const char *)data, size);

	if (state_get_pass(j, &s)) {
		must(s.next <= s.end);
		for (size_t i = 0; i < s.n; i++)
			must(s.v[i].index < s.next && s.v[i].since <= s.gen && s.v[i].sectors);
		for (size_t i = 0; i < s.lost.n; i++)
			must(s.lost.v[i].first + s.lost.v[i].n <= s.next);
		for (size_t i = 0; i < s.bad.n; i++)
			must(s.bad.v[i].off + s.bad.v[i].len <= DISK);
	}
	scrub_free(&s);
	js_free(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct layer l = {.size = DISK};
	struct run r = {0};
	char path[32];
	int fd = memfd_create("beside", 0);

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	session_init(&r.s);
	try_track(scrub_track_map, &r, &l, path);
	try_track(scrub_track_cbt, &r, &l, path);
	try_pass(&r, &l, data, size);
	session_fini(&r.s);
	close(fd);
	return 0;
}
