/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/log/simple.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/glob.h"

int log_send(const struct log_sink *sink, const struct log_event *e)
{
	struct buf out = {0};
	int r = 0;

	if (sink->ledger && e->has_record_id)
		r = ledger_seen(sink->ledger, e->channel, e->record_id, e->state);
	if (!r && sink->event)
		r = sink->event(sink->arg, e);
	if (!r && sink->render) {
		r = sink->render(sink->arg, e, &out);
		if (!r)
			r = out.failed ? -ENOMEM : sink->text(sink->arg, out.p, out.len);
		buf_free(&out);
	}
	return r;
}

const char *log_file_path(const struct layer *below)
{
	const char *colon = below->ops->kind == LAYER_FILE ? strstr(below->path, ":/") : NULL;

	return colon ? colon + 1 : NULL;
}

bool log_named(const struct layer *below, const char *const *where)
{
	const char *path = log_file_path(below);

	for (; path && *where; where++)
		if (glob_match(*where, path, GLOB_NOCASE))
			return true;
	return false;
}

int log_pass_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	return layer_read(l->below, off, buf, len, bad);
}

int log_pass_map(struct layer *l, uint64_t off, struct extent *run)
{
	return layer_map_below(l, off, 0, run);
}

int log_load(struct layer *l, size_t max, uint8_t **p, size_t *len, struct ranges *bad)
{
	int r;

	*len = l->size < max ? (size_t)l->size : max;
	*p = malloc(*len + 1);
	if (!*p)
		return -ENOMEM;
	r = layer_read(l, 0, *p, *len, bad);
	ranges_sort(bad);
	if (r) {
		free(*p);
		*p = NULL;
	}
	return r;
}

unsigned log_failed(const struct ranges *bad, uint64_t off, uint64_t len)
{
	return ranges_overlap(bad, off, len) ? LOG_LOST : 0;
}

/* Days are counted from 1 March 0000, in eras of 400 years. */
int64_t log_date(unsigned year, unsigned month, unsigned day)
{
	unsigned y = year - (month <= 2), era = y / 400, yoe = y % 400;
	unsigned doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	int64_t days = (int64_t)era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;

	return days * 86400;
}

static void key_put(struct buf *b, const char *key)
{
	if (b->len > 1)
		buf_char(b, ',');
	buf_char(b, '"');
	buf_json(b, key, strlen(key));
	buf_lit(b, "\":");
}

void log_member(struct buf *b, const char *key, const char *p, size_t len)
{
	key_put(b, key);
	buf_char(b, '"');
	buf_json(b, p, len);
	buf_char(b, '"');
}

void log_member_u64(struct buf *b, const char *key, uint64_t v)
{
	key_put(b, key);
	buf_u64(b, v);
}

void log_object(struct buf *b)
{
	b->len = 0;
	buf_char(b, '{');
}

struct log_text log_object_end(struct buf *b)
{
	if (b->len <= 1)
		return (struct log_text){NULL, 0};
	buf_char(b, '}');
	return (struct log_text){b->p, b->len};
}
