/* SPDX-License-Identifier: Apache-2.0 */
/* What comparing met, as JSON and back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/json.h"
#include "vdiskck/scrub_state.h"

enum { RECORD_TEXT = 2 * sizeof(struct seal_leaf) + 1, ROOT_TEXT = 2 * SEAL_ROOT + 1 };

static const char *hex(const void *bytes, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		sprintf(out + 2 * i, "%02x", ((const uint8_t *)bytes)[i]);
	return out;
}

static bool unhex(const char *text, void *bytes, size_t n)
{
	unsigned byte;

	if (!text || strlen(text) != 2 * n || strspn(text, "0123456789abcdef") != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		sscanf(text + 2 * i, "%2x", &byte);
		((uint8_t *)bytes)[i] = (uint8_t)byte;
	}
	return true;
}

static void put_leaves(struct json *j, const struct scrub *s)
{
	struct json *list = js_array(), *known = js_array();
	char text[RECORD_TEXT];

	for (size_t i = 0; i < s->n; i++) {
		struct json *d = js_object();

		js_u64(d, "leaf", s->v[i].index);
		js_u64(d, "sectors", s->v[i].sectors | s->v[i].written);
		js_u64(d, "since", s->v[i].since);
		js_int(d, "good", s->v[i].good);
		js_str(d, "record", hex(&s->v[i].is, sizeof(s->v[i].is), text));
		js_add(list, d);
	}
	js_put(j, "differ", list);
	for (size_t i = 0; i < s->n_known; i++) {
		struct json *k = js_object();

		js_u64(k, "leaf", s->known[i].index);
		js_int(k, "good", s->known[i].good);
		js_add(known, k);
	}
	js_put(j, "known", known);
}

static void put_spans(struct json *j, const char *key, const struct scrub_spans *in)
{
	struct json *list = js_array();

	for (size_t i = 0; i < in->n; i++) {
		struct json *v = js_object();

		js_u64(v, "leaf", in->v[i].first);
		js_u64(v, "count", in->v[i].n);
		js_add(list, v);
	}
	js_put(j, key, list);
}

static void put_bad(struct json *j, const struct ranges *bad)
{
	struct json *list = js_array();

	for (size_t i = 0; i < bad->n; i++) {
		struct json *v = js_object();

		js_u64(v, "offset", bad->v[i].off);
		js_u64(v, "length", bad->v[i].len);
		js_bool(v, "lost", bad->v[i].grade == GRADE_LOST);
		js_str(v, "why", finding_name(bad->v[i].why));
		js_add(list, v);
	}
	js_put(j, "bad", list);
}

struct json *state_put_pass(const struct scrub *s)
{
	const struct seal_head *h = seal_head(s->to);
	size_t n;
	const struct seal_generation *g = seal_generations(s->to, &n) + s->gen;
	struct json *j = js_object();
	char root[ROOT_TEXT];

	if (s->path)
		js_str(j, "seal", s->path);
	js_str(j, "layer", s->l->path);
	js_str(j, "id", h->id);
	js_u64(j, "size", h->size);
	js_int(j, "sealed", h->made);
	js_u64(j, "generation", g->number);
	js_int(j, "generation_made", g->made);
	js_str(j, "root", hex(g->root, SEAL_ROOT, root));
	js_u64(j, "first", s->first);
	js_u64(j, "end", s->end);
	js_u64(j, "next", s->next);
	js_u64(j, "intact", s->intact);
	js_u64(j, "unsealed", s->unsealed);
	js_u64(j, "beyond", s->beyond);
	js_u64(j, "lost_beyond", s->lost.beyond);
	js_u64(j, "once_beyond", s->once.beyond);
	js_u64(j, "rot", s->rot);
	js_u64(j, "misplaced", s->misplaced);
	js_u64(j, "changed", s->changed);
	js_u64(j, "suspect", s->suspect);
	js_u64(j, "explained", s->explained);
	js_u64(j, "written", s->dirty);
	js_u64(j, "unreadable", s->unreadable);
	js_u64(j, "transient", s->transient);
	js_int(j, "verified", s->verified);
	put_leaves(j, s);
	put_spans(j, "lost", &s->lost);
	put_spans(j, "once", &s->once);
	put_bad(j, &s->bad);
	return j;
}

static bool get(const struct json *j, const char *key, uint64_t *v)
{
	return js_to_u64(js_get(j, key), v);
}

static bool get_leaves(const struct json *list, struct scrub *s)
{
	size_t n = js_len(list);

	s->v = n <= SCRUB_KEPT ? calloc(n ? n : 1, sizeof(*s->v)) : NULL;
	for (size_t i = 0; s->v && i < n; i++) {
		const struct json *j = js_at(list, i);
		struct scrub_leaf *d = &s->v[i];
		uint64_t sectors, good;

		d->from = UINT64_MAX;
		if (!get(j, "leaf", &d->index) || !get(j, "sectors", &sectors) ||
		    !get(j, "since", &d->since) || !get(j, "good", &good) || !sectors ||
		    sectors > UINT16_MAX || d->since > s->gen || d->index >= s->next ||
		    d->index < s->first || (i && d->index <= s->v[i - 1].index) ||
		    !unhex(js_text(js_get(j, "record")), &d->is, sizeof(d->is)))
			return false;
		d->sectors = (uint16_t)sectors;
		d->good = (int64_t)good;
	}
	if (!s->v)
		return false;
	s->n = s->cap = n;
	return true;
}

static bool get_spans(const struct json *list, const struct scrub *s, struct scrub_spans *to)
{
	uint64_t first, n, after = s->first;

	for (size_t i = 0; i < js_len(list); i++) {
		const struct json *j = js_at(list, i);

		if (!get(j, "leaf", &first) || !get(j, "count", &n) || first < after || !n ||
		    first >= s->next || n > s->next - first || scrub_spans_add(to, first, n))
			return false;
		after = first + n;
	}
	return true;
}

static bool get_bad(const struct json *list, struct scrub *s)
{
	for (size_t i = 0; i < js_len(list); i++) {
		const struct json *j = js_at(list, i);
		const char *why = js_text(js_get(j, "why")), *lost = js_text(js_get(j, "lost"));
		enum finding_id id = why ? finding_lookup(why) : FINDING_COUNT;
		uint64_t off, len;

		if (!get(j, "offset", &off) || !get(j, "length", &len) || id == FINDING_COUNT ||
		    off > s->l->size || len > s->l->size - off || !lost ||
		    ranges_add(&s->bad, off, len, *lost == 't' ? GRADE_LOST : GRADE_DOUBTFUL, id))
			return false;
	}
	return true;
}

bool state_is_of(const struct json *j, const struct scrub *s)
{
	const struct seal_head *h = seal_head(s->to);
	size_t n;
	const struct seal_generation *g = seal_generations(s->to, &n) + s->gen;
	const char *root = js_text(js_get(j, "root")), *id = js_text(js_get(j, "id"));
	uint64_t size, number;
	char text[ROOT_TEXT];

	return root && id && get(j, "size", &size) && get(j, "generation", &number) &&
	       size == h->size && number == g->number && !strcmp(id, h->id) &&
	       !strcmp(root, hex(g->root, SEAL_ROOT, text));
}

bool state_get_pass(const struct json *j, struct scrub *s)
{
	uint64_t first, end;

	return get(j, "first", &first) && get(j, "end", &end) && first == s->first &&
	       end == s->end && get(j, "next", &s->next) && s->next >= first && s->next <= end &&
	       get(j, "intact", &s->intact) && get(j, "unsealed", &s->unsealed) &&
	       get(j, "beyond", &s->beyond) && get(j, "lost_beyond", &s->lost.beyond) &&
	       get(j, "once_beyond", &s->once.beyond) && get_leaves(js_get(j, "differ"), s) &&
	       get_spans(js_get(j, "lost"), s, &s->lost) &&
	       get_spans(js_get(j, "once"), s, &s->once) && get_bad(js_get(j, "bad"), s);
}
