/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/mounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "formats/stack.h"
#include "recover/small_file.h"
#include "vdiskck/core/json.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"

enum { MOUNTS_MAX = 64, FIELD = 256 };

/* A device as fstab(5) names it. */
struct wanted {
	const char *keys[4]; /* members of a layer that may have this value; NULL behind the last */
	const char *value;
	char mapper[FIELD]; /* or the name of a layer: a logical volume; "" */
	struct layer *found;
};

static bool has_value(struct json *info, const char *const *key, const char *value)
{
	for (; *key; key++) {
		struct json *v = js_get(info, *key);

		if (v && js_text(v) && !strcasecmp(js_text(v), value))
			return true;
	}
	return false;
}

static int match(void *arg, struct layer *l)
{
	struct wanted *w = arg;
	struct json *info;

	if (*w->mapper) {
		w->found = l->ops->kind == LAYER_VOLUME && !strcmp(l->name, w->mapper) ? l : NULL;
		return w->found != NULL;
	}
	if (l->chain_child)
		return 0;
	info = js_object();
	layer_info(l, info);
	if (has_value(info, w->keys, w->value))
		w->found = l;
	js_free(info);
	return w->found != NULL;
}

/* device-mapper doubles the dashes inside of names; /dev/VG/LV is the same volume. */
static void mapper_name(const char *device, char *out)
{
	static const char mapper[] = "/dev/mapper/";
	size_t n = 0;

	if (!strncmp(device, mapper, strlen(mapper))) {
		for (const char *p = device + strlen(mapper); *p && n < FIELD - 1; p++) {
			out[n++] = *p;
			p += p[0] == '-' && p[1] == '-';
		}
		out[n] = '\0';
	} else if (!strncmp(device, "/dev/", 5) && strchr(device + 5, '/')) {
		snprintf(out, FIELD, "%s", device + 5);
		*strchr(out, '/') = '-';
	}
}

/* The layer of this image that fstab means by @device; NULL: none, or only the machine knows. */
static struct layer *device_layer(struct layer *fs, const char *device)
{
	static const struct {
		const char *tag, *keys[4];
	} tags[] = {
		{"UUID=", {"uuid", "serial", "content_id", NULL}},
		{"LABEL=", {"label", "content_label", NULL, NULL}},
		{"PARTUUID=", {"guid", NULL, NULL, NULL}},
		{"PARTLABEL=", {"label", NULL, NULL, NULL}},
	};
	struct wanted w = {.value = NULL};

	for (size_t i = 0; i < sizeof(tags) / sizeof(*tags) && !w.value; i++) {
		size_t len = strlen(tags[i].tag);

		if (strncmp(device, tags[i].tag, len) != 0)
			continue;
		w.value = device + len;
		memcpy(w.keys, tags[i].keys, sizeof(w.keys));
	}
	if (!w.value)
		mapper_name(device, w.mapper);
	if (w.value || *w.mapper)
		stack_walk(layer_source(fs), match, &w);
	return w.found;
}

struct json *mounts_json(struct layer *fs)
{
	int err = 0;
	char *text = small_file(fs, "/etc/fstab", &err);
	struct json *list = js_array();
	size_t n = 0;

	for (char *line = text; line && *line && n < MOUNTS_MAX;
	     line += strcspn(line, "\n"), line += *line == '\n') {
		char device[FIELD], at[FIELD];
		struct layer *on;
		struct json *m;

		if (sscanf(line, "%255s %255s", device, at) != 2 || *device == '#' || *at == '#')
			continue;
		on = device_layer(fs, device);
		m = js_object();
		js_str(m, "at", at);
		js_str(m, "device", device);
		if (on)
			js_str(m, "layer", on->path);
		js_add(list, m);
		n++;
	}
	free(text);
	if (n)
		return list;
	js_free(list);
	return NULL;
}

void mounts_text(FILE *f, struct layer *fs)
{
	struct json *list = mounts_json(fs);

	for (size_t i = 0; i < js_len(list); i++) {
		struct json *m = js_at(list, i), *on = js_get(m, "layer");

		fputs("  ", f);
		text_put(f, js_text(js_get(m, "at")));
		fputs(" is ", f);
		text_put(f, js_text(js_get(m, "device")));
		fputs(on ? ": " : ", which is not in this image", f);
		text_put(f, on ? js_text(on) : "");
		fputc('\n', f);
	}
	js_free(list);
}
