/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/out_json.h"

#include <errno.h>

#include "formats/signature.h"
#include "formats/stack.h"
#include "vdiskck/core/json.h"
#include "vdiskck/version.h"

enum { SCHEMA = 1 };

const char *layer_kind_name(enum layer_kind k)
{
	static const char *const name[] = {
		[LAYER_SOURCE] = "source", [LAYER_CONTAINER] = "container",
		[LAYER_MAP] = "map",	   [LAYER_VOLUME] = "volume",
		[LAYER_CIPHER] = "cipher", [LAYER_FILESYSTEM] = "filesystem",
		[LAYER_FILE] = "file",	   [LAYER_LOG] = "log",
	};

	return name[k];
}

const char *layer_state_name(const struct layer *l)
{
	switch (l->state ? l->state : l->locked) {
	case 0: return NULL;
	case -ENOKEY:
	case -EKEYREJECTED: return "locked";
	case -EOPNOTSUPP: return "unsupported";
	}
	return "unreadable";
}

struct count {
	struct layer *wanted;
	unsigned n, found;
};

static int count_volume(void *arg, struct layer *l)
{
	struct count *c = arg;

	if (l->ops->kind == LAYER_VOLUME)
		c->n++;
	if (l == c->wanted)
		c->found = c->n;
	return l == c->wanted;
}

unsigned layer_number(struct layer *l)
{
	struct count c = {.wanted = l};

	if (l->ops->kind == LAYER_VOLUME)
		stack_walk(layer_source(l), count_volume, &c);
	return c.found;
}

struct json *json_place(const char *layer, uint64_t off, uint64_t len)
{
	struct json *j = js_object();

	js_str(j, "layer", layer);
	js_u64(j, "offset", off);
	js_u64(j, "length", len);
	return j;
}

struct json *json_places(const struct place *p, size_t n)
{
	struct json *j = js_array();

	for (size_t i = 0; i < n; i++)
		js_add(j, json_place(p[i].layer, p[i].off, p[i].len));
	return j;
}

void layer_info(struct layer *l, struct json *to)
{
	struct signature sig;

	if (l->ops->info)
		l->ops->info(l, to);
	/* Partitions do this themselves; a disk without them or an opened cipher is a volume, too. */
	if ((l->ops->kind == LAYER_CONTAINER || l->ops->kind == LAYER_CIPHER) && !l->child &&
	    !l->state && !l->lazy && !l->chain_child && signature_at(l, 0, &sig))
		signature_info(&sig, to);
}

struct json *json_header(const struct args *a)
{
	struct json *j = js_object();

	js_str(j, "record", "header");
	js_int(j, "schema", SCHEMA);
	js_str(j, "program", "vdiskck");
	js_str(j, "version", VDISKCK_VERSION);
	js_str(j, "command", a->cmd->name);
	if (a->image)
		js_str(j, "image", a->image);
	return j;
}

struct json *json_layer(struct layer *l)
{
	const char *state = layer_state_name(l);
	struct json *j = js_object();

	js_str(j, "record", "layer");
	js_str(j, "layer", l->path);
	js_str(j, "kind", layer_kind_name(l->ops->kind));
	js_u64(j, "size", l->size);
	if (l->below)
		js_str(j, "of", l->below->path);
	if (l->parent)
		js_str(j, "parent", l->parent->path);
	if (layer_number(l))
		js_u64(j, "number", layer_number(l));
	if (state)
		js_str(j, "state", state);
	layer_info(l, j);
	return j;
}

/* The bytes of the finding's layer that it is about; else those that show it, and where. */
static void put_address(struct json *j, const struct entry *e)
{
	js_u64(j, "offset", e->len ? e->off : e->at.off);
	js_u64(j, "length", e->len ? e->len : e->at.len);
	if (!e->len && e->at.len && e->at.layer != e->layer)
		js_str(j, "in", e->at.layer);
}

static void put_range(struct json *j, const char *key, const struct entry *e)
{
	struct place p = {e->layer, e->off, e->len};

	js_put(j, key, json_places(&p, 1));
}

struct json *json_finding(const struct entry *e)
{
	struct json *j = js_object();

	js_str(j, "record", "finding");
	js_str(j, "id", finding_name(e->id));
	js_str(j, "severity", severity_name(finding_severity(e->id)));
	js_str(j, "layer", e->layer);
	put_address(j, e);
	js_str(j, "message", e->message);
	if (e->stored)
		js_str(j, "stored", e->stored);
	if (e->expected)
		js_str(j, "expected", e->expected);
	js_put(j, "where", json_places(e->where, e->n_where));
	if (e->lost)
		put_range(j, "lost", e);
	if (e->doubtful)
		put_range(j, "doubtful", e);
	if (e->n_paths) {
		struct json *paths = js_array();

		for (size_t i = 0; i < e->n_paths; i++)
			js_add_str(paths, e->paths[i]);
		js_put(j, "paths", paths);
		if (e->more_paths)
			js_bool(j, "paths_cut", true);
	}
	if (e->path) {
		js_str(j, "path", e->path);
		js_u64(j, "file_offset", e->path_off);
	}
	return j;
}

/* Why there is no verdict: ids of findings that say what could not be examined. */
static void put_undecided(struct json *j, const struct collect *c)
{
	struct json *ids;

	if (!c->s->count[UNDECIDED])
		return;
	ids = js_array();
	for (size_t i = 0; i < c->n_tally; i++)
		if (finding_severity(c->tally[i].id) == UNDECIDED)
			js_add_str(ids, finding_name(c->tally[i].id));
	js_put(j, "undecided", ids);
}

struct json *json_summary(const struct run *r, int status)
{
	struct json *j = js_object(), *n = js_object();

	js_str(j, "record", "summary");
	/* A command may have done all of its work on evidence that is damaged. */
	js_str(j, "verdict",
	       verdict_name((enum verdict)(status || r->own_verdict ? status : run_status(r))));
	js_int(j, "exit", status);
	js_u64(n, "info", r->s.count[INFO] + r->s.count[UNDECIDED]);
	js_u64(n, "blemish", r->s.count[BLEMISH]);
	js_u64(n, "damage", r->s.count[DAMAGE]);
	js_put(j, "findings", n);
	put_undecided(j, &r->found);
	js_u64(j, "lost_bytes", r->lost);
	js_u64(j, "checked_bytes", r->s.checked);
	js_real(j, "seconds", (double)(clock_ns() - r->began) / 1e9);
	if (r->failed && *r->error)
		js_str(j, "error", r->error);
	return j;
}
