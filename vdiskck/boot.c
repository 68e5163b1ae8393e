/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/boot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/fs/fs.h"
#include "formats/stack.h"
#include "recover/hive.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"

enum { VOLUMES = 64 };

void boot_add(struct boot *b, const char *what, enum boot_state state, const char *place,
	      const char *fmt, ...)
{
	struct boot_link *more = realloc(b->v, (b->n + 1) * sizeof(*more));
	va_list ap;
	int n;

	if (!more) {
		b->err = -ENOMEM;
		return;
	}
	b->v = more;
	more += b->n;
	*more = (struct boot_link){.what = what, .state = state, .system = b->systems};
	if (place)
		more->place = strdup(place);
	va_start(ap, fmt);
	n = vasprintf(&more->evidence, fmt, ap);
	va_end(ap);
	if (n < 0 || (place && !more->place)) {
		b->err = -ENOMEM;
		free(more->place);
		return;
	}
	b->n++;
}

struct boot_system *boot_now(struct boot *b)
{
	return &b->system[b->systems - 1];
}

static char *place_of(const struct layer *fs, const char *path)
{
	char *text;

	return asprintf(&text, "%s:%s", fs->path, path) < 0 ? NULL : text;
}

void boot_wrong(struct boot *b, enum finding_id id, const char *what, struct layer *fs,
		const char *path, const char *fmt, ...)
{
	char *place = place_of(fs, path), text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!place)
		b->err = -ENOMEM;
	finding_fact(fs, id, &(struct fact){.path = path}, "%s: %s: %s", what, path, text);
	boot_add(b, what, BOOT_BROKEN, place, "%s", text);
	free(place);
}

char *boot_file(struct boot *b, struct layer *fs, const char *const *path)
{
	for (; *path; path++) {
		struct fs_entry *e;
		int r = fs_find(fs, *path, &e);
		char *place = r ? NULL : place_of(fs, e->path);

		fs_entry_free(e);
		if (r == -ENOMEM || (!r && !place))
			b->err = -ENOMEM;
		if (place)
			return place;
	}
	return NULL;
}

/* What a finding names is known by its path alone. */
static const struct file_hit *hit_of(const struct boot *b, const struct layer *fs,
				     const struct fs_entry *e)
{
	for (size_t i = 0; i < b->r->hit.n; i++) {
		const struct file_hit *h = &b->r->hit.v[i];

		if (h->fs == fs && h->path && (h->id == e->id || !strcmp(h->path, e->path)))
			return h;
	}
	return NULL;
}

/* No other finding need say that a file is not there: whoever deletes one leaves a sound volume. */
static void say_file(const char *what, struct layer *fs, const char *path, const char *text)
{
	finding_fact(fs, BOOT_FILE, &(struct fact){.path = path}, "%s: %s: %s", what, path, text);
}

static enum boot_state look_at(struct boot *b, const char *what, struct layer *fs,
			       const struct fs_entry *e, char *text, size_t cap)
{
	const struct file_hit *h = hit_of(b, fs, e);
	struct layer *f = NULL;
	enum boot_state s = BOOT_HOLDS;
	char size[SIZE_TEXT];

	snprintf(text, cap, "there");
	if (h && h->lost)
		snprintf(text, cap, "%s of it are lost [%s]", size_text(h->lost, size),
			 h->n_why ? finding_name(h->why[0]) : "unknown");
	else if (h && h->doubtful)
		snprintf(text, cap, "%s of it may be wrong [%s]", size_text(h->doubtful, size),
			 h->n_why ? finding_name(h->why[0]) : "unknown");
	else if (h && h->n_why)
		snprintf(text, cap, "what describes it is damaged [%s]", finding_name(h->why[0]));
	if (h && h->n_why)
		return h->lost || h->doubtful ? BOOT_BROKEN : BOOT_DOUBTFUL;
	if (e->data_sure == FS_GONE || e->deleted || !e->size) {
		snprintf(text, cap, "%s",
			 e->deleted		   ? "it is deleted"
			 : e->data_sure == FS_GONE ? "its data is lost"
						   : "it is empty");
		say_file(what, fs, e->path, text);
		return BOOT_BROKEN;
	}
	if (!fs->ops->fs->open_file(fs, e, &f))
		s = boot_program(b, f, what, e->path, text, cap);
	layer_free(f);
	if (s != BOOT_HOLDS || (e->path_sure == FS_SURE && e->data_sure == FS_SURE))
		return s;
	snprintf(text + strlen(text), cap - strlen(text),
		 "; but %s was put together from what is left",
		 e->path_sure != FS_SURE ? "its path" : "where its data lies");
	return BOOT_DOUBTFUL;
}

enum boot_state boot_add_file(struct boot *b, const char *what, struct layer *fs, const char *path)
{
	enum boot_state s = BOOT_BROKEN;
	char text[256] = "it is not there", *place = NULL;
	struct fs_entry *e;
	int r = fs_find(fs, path, &e);

	if (!r) {
		s = look_at(b, what, fs, e, text, sizeof(text));
		place = place_of(fs, e->path);
	} else if (r == -ENOENT || r == -ENOTDIR) {
		say_file(what, fs, path, text);
	} else {
		b->err = r;
		s = BOOT_OPEN;
		snprintf(text, sizeof(text), "it could not be looked up");
	}
	fs_entry_free(e);
	if (!place)
		place = place_of(fs, path);
	boot_add(b, what, s, place, "%s", text);
	free(place);
	return s;
}

struct layer *boot_hive(struct boot *b, struct layer *fs, const char *path, struct layer **file)
{
	struct layer *hive;

	if (hive_open(fs, path, file, &hive) == -ENOMEM)
		b->err = -ENOMEM;
	return hive;
}

/* The worst finding of damage in the layer itself: what costs data first. */
static const struct entry *damage_in(const struct boot *b, const struct layer *l)
{
	const struct collect *c = &b->r->found;
	const struct entry *first = NULL;

	for (size_t i = 0; i < c->n; i++)
		if (finding_severity(c->v[i].id) == DAMAGE && !strcmp(c->v[i].layer, l->path) &&
		    (!first || (c->v[i].lost && !first->lost)))
			first = &c->v[i];
	return first;
}

/* Is anything that the start needs among what findings of this layer hit? Files say so themselves. */
static bool hits_start(const struct boot *b, const struct layer *l)
{
	const struct files_hit *h = &b->r->hit;

	for (size_t i = 0; i < b->r->found.n; i++) {
		const struct entry *e = &b->r->found.v[i];

		if (finding_severity(e->id) != DAMAGE || strcmp(e->layer, l->path))
			continue;
		for (size_t k = 0; k < h->n; k++)
			for (unsigned w = 0; w < h->v[k].n_why; w++)
				if (h->v[k].why[w] == e->id &&
				    (h->v[k].rank == RANK_BOOT || h->v[k].rank == RANK_VOLUME))
					return true;
	}
	return false;
}

/* Is there a file system that says whose the bytes are? */
static int is_readable(void *arg, struct layer *l)
{
	(void)arg;
	return l->ops->kind == LAYER_FILESYSTEM && !l->state && l->ops->fs;
}

static void add_damaged(struct boot *b, const char *what, struct layer *l, const struct entry *e)
{
	if (e->lost && e->len >= l->size)
		boot_add(b, what, BOOT_BROKEN, l->path, "%s [%s]", e->message, finding_name(e->id));
	else if (stack_walk(l, is_readable, NULL) && !hits_start(b, l))
		boot_add(b, what, BOOT_HOLDS, l->path,
			 "damaged, but not where the start needs it: %s [%s]", e->message,
			 finding_name(e->id));
	else
		boot_add(b, what, BOOT_DOUBTFUL, l->path, "%s [%s]", e->message,
			 finding_name(e->id));
}

/* "2 protectors (password, recovery key)", "1 keyslot (opened)": what opens it, as info has it. */
static void add_cipher(struct boot *b, const char *what, struct layer *l)
{
	static const struct {
		const char *list, *one, *member;
	} of[] = {{"protectors", "protector", "type"}, {"keyslots", "keyslot", "state"}};
	struct json *info = js_object();
	char text[200] = "";

	if (l->ops->info)
		l->ops->info(l, info);
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		struct json *list = js_get(info, of[i].list);
		size_t n = list ? js_len(list) : 0, len;

		if (!n)
			continue;
		snprintf(text, sizeof(text), "; %zu %s%s (", n, of[i].one, n == 1 ? "" : "s");
		for (size_t k = 0; k < n; k++) {
			struct json *type = js_get(js_at(list, k), of[i].member);

			len = strlen(text);
			snprintf(text + len, sizeof(text) - len, "%s%s", k ? ", " : "",
				 type ? js_text(type) : "?");
		}
		len = strlen(text);
		snprintf(text + len, sizeof(text) - len, ")");
	}
	js_free(info);
	boot_add(b, what, BOOT_HOLDS, l->path, "no damage found%s", text);
}

static int add_layer(void *arg, struct layer *l)
{
	static const char *const what[] = {[LAYER_SOURCE] = "image file",
					   [LAYER_CONTAINER] = "container",
					   [LAYER_MAP] = "partition table",
					   [LAYER_CIPHER] = "encryption",
					   [LAYER_FILESYSTEM] = "file system"};
	struct boot *b = arg;
	const struct entry *e = damage_in(b, l);
	const char *name;

	if (l->ops->kind >= sizeof(what) / sizeof(*what) || !what[l->ops->kind] || l->lazy)
		return 0;
	name = what[l->ops->kind];
	if (l->state == -ENOKEY || l->state == -EKEYREJECTED)
		boot_add(b, name, BOOT_OPEN, l->path,
			 "it is %s: with a key, all above it would be decided",
			 layer_state_name(l));
	else if (l->state == -EOPNOTSUPP)
		boot_add(b, name, BOOT_OPEN, l->path,
			 "it is %s: another program would have to decide", layer_state_name(l));
	else if (l->state)
		boot_add(b, name, BOOT_BROKEN, l->path, "%s%s%s%s",
			 e ? e->message : "it can't be opened", e ? " [" : "",
			 e ? finding_name(e->id) : "", e ? "]" : "");
	else if (e)
		add_damaged(b, name, l, e);
	else if (l->ops->kind == LAYER_CIPHER)
		add_cipher(b, name, l);
	else
		boot_add(b, name, BOOT_HOLDS, l->path, "no damage found");
	return b->err;
}

struct volumes {
	struct layer *fs[VOLUMES];
	size_t n;
};

static int find_volume(void *arg, struct layer *l)
{
	struct volumes *v = arg;

	if (l->ops->kind == LAYER_FILESYSTEM && l->ops != &regf_ops && !l->state && l->ops->fs &&
	    v->n < VOLUMES)
		v->fs[v->n++] = l;
	return 0;
}

/* Is the file one of those whose folder is lost, or the root folder? */
static bool is_loose(const struct file_hit *h)
{
	return h->path && (!strcmp(h->path, "/") || !strncmp(h->path, "/$orphans/", 10));
}

/* Folders that are lost may hide that there was a system; copies of a superblock don't. */
static bool is_hurt(const struct boot *b, const struct volumes *v)
{
	const struct collect *c = &b->r->found;
	const struct files_hit *h = &b->r->hit;

	for (size_t i = 0; i < v->n; i++) {
		for (size_t k = 0; k < h->n; k++)
			if (h->v[k].fs == v->fs[i] && is_loose(&h->v[k]))
				return true;
		for (size_t k = 0; k < c->n; k++)
			if (c->v[k].id == NTFS_RECORD_LOST &&
			    !strcmp(c->v[k].layer, v->fs[i]->path))
				return true;
	}
	return false;
}

void boot_examine(struct boot *b, struct run *r)
{
	struct volumes v = {.n = 0};

	b->r = r;
	stack_walk(r->source, find_volume, &v);
	stack_walk(r->source, add_layer, b);
	b->bios = boot_sector(b);
	for (size_t i = 0; i < v.n && b->systems < BOOT_SYSTEMS && !b->err; i++) {
		void (*examine)(struct boot *, struct layer *, struct layer *const *, size_t) =
			boot_is_windows(v.fs[i]) ? boot_windows
			: boot_is_linux(v.fs[i]) ? boot_linux
						 : NULL;

		if (!examine)
			continue;
		b->systems++;
		b->loader = false;
		examine(b, v.fs[i], v.fs, v.n);
	}
	b->hidden = !b->systems && is_hurt(b, &v);
	if (!b->systems)
		boot_add(b, "operating system", BOOT_OPEN, NULL, "%s",
			 !v.n	     ? "no file system could be opened"
			 : b->hidden ? "no volume shows one: what is damaged may hide it"
				     : "no volume holds one that is known");
}

void boot_free(struct boot *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->v[i].place);
		free(b->v[i].evidence);
	}
	free(b->v);
	b->v = NULL;
	b->n = 0;
}

struct boot_link *boot_first(const struct boot *b, unsigned system)
{
	struct boot_link *doubtful = NULL;

	for (size_t i = 0; i < b->n; i++) {
		struct boot_link *k = &b->v[i];

		if (system && k->system && k->system != system)
			continue;
		if (k->state == BOOT_BROKEN)
			return k;
		if (k->state == BOOT_DOUBTFUL && !doubtful)
			doubtful = k;
	}
	return doubtful;
}

const char *boot_name(const struct boot_system *s, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s%s%s", s->os, *s->os && *s->computer ? " on " : "", s->computer);
	return buf;
}

const char *boot_state_name(enum boot_state s)
{
	static const char *const name[] = {[BOOT_HOLDS] = "holds",
					   [BOOT_BROKEN] = "broken",
					   [BOOT_DOUBTFUL] = "doubtful",
					   [BOOT_OPEN] = "not decided"};

	return name[s];
}

struct json *json_boot(const struct boot *b, const struct boot_link *k)
{
	char name[BOOT_NAME];
	struct json *j = js_object();

	js_str(j, "record", "boot");
	js_str(j, "link", k->what);
	js_str(j, "state", boot_state_name(k->state));
	if (k->system)
		js_str(j, "system", boot_name(&b->system[k->system - 1], name, sizeof(name)));
	if (k->place)
		js_str(j, "place", k->place);
	js_str(j, "evidence", k->evidence);
	return j;
}

void boot_text(FILE *f, const struct boot *b)
{
	static const char *const mark[] = {[BOOT_HOLDS] = "ok      ",
					   [BOOT_BROKEN] = "BROKEN  ",
					   [BOOT_DOUBTFUL] = "doubtful",
					   [BOOT_OPEN] = "?       "};

	char name[BOOT_NAME];

	if (!b->n)
		return;
	fputs("\nwhat it needs to start", f);
	if (b->systems == 1 && *boot_name(&b->system[0], name, sizeof(name))) {
		fputs(", ", f);
		text_put(f, name);
	}
	fputs(":\n", f);
	for (size_t i = 0; i < b->n; i++) {
		if (b->systems > 1 && i && b->v[i].system != b->v[i - 1].system) {
			fputs(" ", f);
			text_put(f, boot_name(&b->system[b->v[i].system - 1], name, sizeof(name)));
			fputs(":\n", f);
		}
		fprintf(f, "  %s  %-18s ", mark[b->v[i].state], b->v[i].what);
		text_put(f, b->v[i].evidence);
		if (b->v[i].place) {
			fputs(" (", f);
			text_put(f, b->v[i].place);
			fputc(')', f);
		}
		fputc('\n', f);
	}
}
