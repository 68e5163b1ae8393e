/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/content.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "recover/keyless.h"
#include "vdiskck/core/session.h"

enum { PAGE = 4096, PAGES = 4096, SECTOR = 512 };

struct content {
	uint64_t sectors, zero, constant, random, text;
	uint8_t value; /* of the first sector of one value */
	bool values;   /* there are others */
};

/* Printable ASCII, tabs and ends of lines throughout: by chance once in 1e186 sectors. */
static bool is_text(const uint8_t *p)
{
	for (size_t i = 0; i < SECTOR; i++)
		if (p[i] != '\t' && p[i] != '\n' && p[i] != '\r' && (p[i] < 0x20 || p[i] > 0x7e))
			return false;
	return true;
}

static void count(struct content *c, const uint8_t *p)
{
	switch (keyless_look(p)) {
	case LOOK_ZERO: c->zero++; break;
	case LOOK_CONSTANT:
		c->values |= c->constant && *p != c->value;
		c->value = *p;
		c->constant++;
		break;
	case LOOK_RANDOM: c->random++; break;
	case LOOK_WEAK:
	case LOOK_PLAIN: c->text += is_text(p); break;
	}
	c->sectors++;
}

static void say(const struct content *c, bool all, char text[CONTENT_TEXT])
{
	const char *where = all ? "throughout" : "wherever it was looked at";
	uint64_t n = c->sectors;

	*text = 0;
	if (c->zero == n)
		snprintf(text, CONTENT_TEXT, "zeros %s: never written, or wiped", where);
	else if (c->constant == n && !c->values)
		snprintf(text, CONTENT_TEXT, "bytes 0x%02x %s: wiped, or erased flash", c->value,
			 where);
	else if (c->random >= n - n / 1000)
		snprintf(text, CONTENT_TEXT,
			 "it looks random %s: encrypted with its header lost or kept elsewhere, or "
			 "overwritten with noise",
			 where);
	else if (c->text >= n - n / 1000)
		snprintf(text, CONTENT_TEXT, "text %s", where);
	else
		snprintf(text, CONTENT_TEXT,
			 "%" PRIu64 " %% of it is zeros, %" PRIu64
			 " %% looks encrypted or packed, the rest is other data",
			 100 * c->zero / n, 100 * c->random / n);
}

int content_look(struct layer *l, char text[CONTENT_TEXT])
{
	uint64_t pages = l->size / PAGE, n = pages < PAGES ? pages : PAGES;
	struct content c = {0};
	uint8_t buf[PAGE];

	*text = 0;
	for (uint64_t i = 0; i < n; i++) {
		/* Of the first pages to the last one; 2^52 pages times 4096 fit. */
		int r = layer_read(l, n == pages ? i * PAGE : pages * i / n * PAGE, buf, PAGE,
				   NULL);

		if (session_stopped(l->s))
			return -EINTR;
		if (r)
			return r;
		for (size_t k = 0; k < PAGE; k += SECTOR)
			count(&c, buf + k);
	}
	if (n)
		say(&c, n == pages && !(l->size % PAGE), text);
	return 0;
}
