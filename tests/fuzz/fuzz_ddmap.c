/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a mapfile: what is lost lies inside, in order, and survives being written out. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/harness.h"
#include "vdiskck/core/ddmap.h"

enum { SIZE = 1 << 20 };

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* A map written from @lost must say the same again. */
static void and_back(const struct ranges *lost)
{
	struct ranges again = {0};
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct ddmap m;
	bool list;

	must(f && !ddmap_write(f, lost, SIZE) && !fclose(f));
	must(!ddmap_parse(&m, text, len) && !m.bad_lines && ddmap_end(&m) == SIZE);
	must(!ddmap_lost(&m, SIZE, &again, &list));
	must(again.n == lost->n);
	for (size_t i = 0; i < again.n; i++)
		must(again.v[i].off == lost->v[i].off && again.v[i].len == lost->v[i].len);
	ranges_free(&again);
	ddmap_free(&m);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ranges lost = {0};
	uint64_t end = 0;
	struct ddmap m;
	bool list;

	ddmap_parse(&m, (const char *)data, size);
	must(!ddmap_lost(&m, SIZE, &lost, &list));
	for (size_t i = 0; i < lost.n; i++) {
		must(lost.v[i].off >= end && lost.v[i].len);
		end = lost.v[i].off + lost.v[i].len;
		must(end <= SIZE);
	}
	and_back(&lost);
	ranges_free(&lost);
	ddmap_free(&m);
	return 0;
}
