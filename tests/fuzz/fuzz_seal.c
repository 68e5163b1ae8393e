/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a seal: what it says of a leaf lies inside the layer, and no page leads in circles. The
 * numbers and sums of pages are put right first, or nothing behind them would be reached.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/harness.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/seal.h"

enum { PAGES = 64, ASKED = 200 };

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void on_bad(void *arg, const char *what, uint64_t page)
{
	(void)arg;
	(void)page;
	must(*what);
}

static void look(struct session *s, const char *path)
{
	struct seal *to;
	uint64_t leaves, bad;
	size_t n;

	if (seal_open(s, path, &to))
		return;
	leaves = seal_leaves(to);
	seal_generations(to, &n);
	must(n);
	for (size_t g = 0; g < n; g++) {
		uint64_t i = 0;

		for (unsigned k = 0; k < ASKED && i < leaves; k++) {
			enum seal_kind kind = SEAL_LOST, same;
			uint64_t run = seal_run(to, g, i, &same);
			struct seal_leaf leaf;
			size_t since;

			must(run && run <= leaves - i);
			if (!seal_get(to, g, i, &kind, &leaf, &since))
				must(kind == same && since <= g);
			else
				must(same == SEAL_SAME || same == SEAL_DATA);
			i += run;
		}
	}
	seal_verify(to, on_bad, NULL, &bad);
	seal_close(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct seal_page page[PAGES];
	size_t n = size / SEAL_PAGE < PAGES ? size / SEAL_PAGE : PAGES;
	struct session s;
	char path[32];
	int fd;

	memcpy(page, data, n * SEAL_PAGE);
	for (size_t i = 0; i < n; i++) {
		page[i].number = to_le64(i);
		page[i].crc =
			to_le32(~sum_crc32c(~0u, page[i].kind, SEAL_PAGE - sizeof(page->crc)));
	}
	fd = memfd_create("seal", 0);
	must(fd >= 0 && write(fd, page, n * SEAL_PAGE) == (ssize_t)(n * SEAL_PAGE));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	session_init(&s);
	look(&s, path);
	session_fini(&s);
	close(fd);
	return 0;
}
