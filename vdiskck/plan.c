/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/prim.h"
#include "vdiskck/core/json.h"
#include "vdiskck/version.h"

enum { SCHEMA = 1 };

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

int plan_add(struct plan *p, const struct plan_part *part)
{
	struct plan_part *to;

	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 16;
		struct plan_part *more = realloc(p->v, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		p->v = more;
		p->cap = cap;
	}
	to = &p->v[p->n++];
	*to = *part;
	to->image = copy(part->image);
	to->layer = copy(part->layer);
	to->seal = copy(part->seal);
	return to->image && to->layer && to->seal ? 0 : -ENOMEM;
}

void plan_free(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].image);
		free(p->v[i].layer);
		free(p->v[i].seal);
	}
	free(p->v);
	*p = (struct plan){0};
}

static struct json *json_part(const struct plan_part *v)
{
	struct json *j = js_object();

	js_str(j, "image", v->image);
	js_str(j, "layer", v->layer);
	js_str(j, "seal", v->seal);
	js_u64(j, "size", v->size);
	js_u64(j, "first", v->first);
	js_u64(j, "end", v->end);
	js_u64(j, "stored_bytes", v->data);
	return j;
}

void plan_print(const struct plan *p)
{
	struct json *j = js_object();

	js_str(j, "record", "plan");
	js_int(j, "schema", SCHEMA);
	js_str(j, "version", VDISKCK_VERSION);
	js_str(j, "command", p->scrub ? "scrub" : "seal");
	js_int(j, "time", p->time);
	js_u64(j, "shards", p->shards);
	puts(js_line(j));
	js_free(j);
	for (uint64_t k = 0; k < p->shards; k++) {
		struct json *parts = js_array();

		j = js_object();
		js_str(j, "record", "shard");
		js_u64(j, "shard", k);
		for (size_t i = 0; i < p->n; i++)
			if (p->v[i].shard == k)
				js_add(parts, json_part(&p->v[i]));
		js_put(j, "parts", parts);
		puts(js_line(j));
		js_free(j);
	}
}

static bool get(const struct json *j, const char *key, uint64_t *v)
{
	return js_to_u64(js_get(j, key), v);
}

static bool get_head(struct plan *p, const struct json *j)
{
	const char *record = js_text(js_get(j, "record")), *command = js_text(js_get(j, "command"));
	uint64_t schema, time;

	if (!record || strcmp(record, "plan") || !command || !get(j, "schema", &schema) ||
	    schema != SCHEMA || !get(j, "time", &time) || !get(j, "shards", &p->shards) ||
	    !p->shards || p->shards > PLAN_SHARDS_MAX)
		return false;
	p->time = (int64_t)time;
	p->scrub = !strcmp(command, "scrub");
	return p->scrub || !strcmp(command, "seal");
}

static bool get_shard(struct plan *p, const struct json *j, uint64_t number)
{
	const struct json *parts = js_get(j, "parts");
	uint64_t shard;

	if (!get(j, "shard", &shard) || shard != number)
		return false;
	for (size_t i = 0; i < js_len(parts); i++) {
		const struct json *q = js_at(parts, i);
		struct plan_part v = {.shard = shard};
		uint64_t leaves;

		if (!get(q, "size", &v.size) || !get(q, "first", &v.first) ||
		    !get(q, "end", &v.end))
			return false;
		leaves = v.size / SEAL_LEAF + (v.size % SEAL_LEAF != 0);
		/* js_text() owns the strings; plan_add() copies them, and refuses none of three. */
		v.image = (char *)js_text(js_get(q, "image"));
		v.layer = (char *)js_text(js_get(q, "layer"));
		v.seal = (char *)js_text(js_get(q, "seal"));
		if (v.first > v.end || v.end > leaves || plan_add(p, &v))
			return false;
	}
	return true;
}

static void set_name(struct plan *p, const struct prim_part *text, size_t n)
{
	uint8_t digest[SEAL_ROOT];

	prim_hash_parts(PRIM_SHA256, text, n, digest);
	for (size_t i = 0; i < (PLAN_NAME - 1) / 2; i++)
		sprintf(p->name + 2 * i, "%02x", digest[i]);
}

int plan_load(struct session *s, const char *path, struct plan *p)
{
	char *line = NULL, *text = NULL;
	size_t cap = 0, len = 0, room;
	FILE *f = fopen(path, "re"), *all;
	uint64_t lines = 0;
	bool good = true;
	ssize_t n;

	*p = (struct plan){0};
	if (!f)
		return session_err(s, -errno, "%s", path);
	all = open_memstream(&text, &room);
	while (all && good && (n = getline(&line, &cap, f)) > 0) {
		struct json *j = js_parse(line, (size_t)n);

		fwrite(line, 1, (size_t)n, all);
		good = j && (lines ? get_shard(p, j, lines - 1) : get_head(p, j));
		lines++;
		js_free(j);
	}
	good = good && all && !ferror(f) && lines == p->shards + 1;
	if (all)
		fclose(all);
	len = text ? strlen(text) : 0;
	set_name(p, (struct prim_part[]){{text ? text : "", len}}, 1);
	fclose(f);
	free(line);
	free(text);
	if (good)
		return 0;
	plan_free(p);
	return session_err(s, -EBADMSG, "%s: no plan, or not all of it", path);
}

char *plan_result(const struct plan *p, size_t i, const char *dir)
{
	size_t part = 0;
	char *name;

	for (size_t k = i; k-- > 0 && p->v[k].shard == p->v[i].shard;)
		part++;
	return asprintf(&name, "%s/%s-%" PRIu64 "-%zu.%s", dir, p->name, p->v[i].shard, part,
			p->scrub ? "pass" : "seal") < 0
		       ? NULL
		       : name;
}

static int add_cut(struct plan *p, const struct plan_part *part, uint64_t first, uint64_t end,
		   uint64_t data)
{
	struct plan_part v = *part;

	v.first = first;
	v.end = end;
	v.data = data;
	return plan_add(p, &v);
}

int plan_cut(struct plan *p, const struct plan_part *part, const uint64_t *bucket, size_t n,
	     uint64_t bucket_leaves, uint64_t target)
{
	uint64_t pieces = target ? (part->data + target - 1) / target : 1;
	uint64_t each = pieces ? part->data / pieces : 0, acc = 0, first = 0, left = part->data;

	for (size_t i = 0; i + 1 < n && pieces > 1; i++) {
		uint64_t end = (i + 1) * bucket_leaves;

		acc += bucket[i];
		if (acc < each)
			continue;
		if (add_cut(p, part, first, end, acc))
			return -ENOMEM;
		left -= acc;
		first = end;
		acc = 0;
		pieces--;
	}
	return add_cut(p, part, first, part->end, left);
}

static int by_data(const void *a, const void *b)
{
	const struct plan_part *x = a, *y = b;
	int c;

	if (x->data != y->data)
		return x->data > y->data ? -1 : 1;
	c = strcmp(x->seal, y->seal);
	return c ? c : x->first < y->first ? -1 : x->first > y->first;
}

int plan_assign(struct plan *p)
{
	uint64_t *load = calloc(p->shards, sizeof(*load));

	if (!load)
		return -ENOMEM;
	qsort(p->v, p->n, sizeof(*p->v), by_data);
	for (size_t i = 0; i < p->n; i++) {
		uint64_t least = 0;

		for (uint64_t k = 1; k < p->shards; k++)
			if (load[k] < load[least])
				least = k;
		p->v[i].shard = least;
		/* A part costs something even if it stores nothing: its map is read. */
		load[least] += p->v[i].data + SEAL_LEAF;
	}
	free(load);
	return 0;
}
