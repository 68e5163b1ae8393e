/* SPDX-License-Identifier: Apache-2.0 */
/* From /etc: os-release(5), hostname(5), localtime(5), machine-id(5). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fs.h"
#include "recover/facts.h"
#include "recover/small_file.h"

enum { PATH = 1024 };

/* The first line of a file; false: there is none. */
static bool line_of(struct fact_source *s, struct layer *fs, const char *path, char *out,
		    size_t cap)
{
	char *text = small_file(fs, path, &s->err);

	*out = '\0';
	if (text)
		snprintf(out, cap, "%.*s", (int)strcspn(text, "\n"), text);
	free(text);
	return *out;
}

static void add(struct fact_source *s, struct layer *fs, const char *name, const char *path,
		const char *value)
{
	char file[PATH];

	snprintf(file, sizeof(file), "%s:%s", fs->path, path);
	s->file = file;
	fact_add(s, name, "", NULL, "%s", value);
}

static bool release(struct fact_source *s, struct layer *fs, const char *path)
{
	static const char key[] = "PRETTY_NAME=";
	char *text = small_file(fs, path, &s->err), *name = text;

	while (name && strncmp(name, key, sizeof(key) - 1)) {
		name = strchr(name, '\n');
		name += name != NULL;
	}
	if (name) {
		name += sizeof(key) - 1;
		name += *name == '"' || *name == '\'';
		snprintf(s->f->os, sizeof(s->f->os), "%.*s", (int)strcspn(name, "\"'\n"), name);
		add(s, fs, "operating system", path, s->f->os);
	}
	free(text);
	return name;
}

/* /etc/localtime leads to the zone's file, whose name is the zone's. */
static void time_zone(struct fact_source *s, struct layer *fs)
{
	static const char zones[] = "zoneinfo/";
	struct fs_entry *e = NULL;
	char text[PATH];
	const char *zone;

	if (!fs->ops->fs->lookup(fs, "/etc/localtime", &e) && e->kind == FS_SYMLINK && e->target &&
	    (zone = strstr(e->target, zones)))
		add(s, fs, "time zone", "/etc/localtime", zone + sizeof(zones) - 1);
	else if (line_of(s, fs, "/etc/timezone", text, sizeof(text)))
		add(s, fs, "time zone", "/etc/timezone", text);
	fs_entry_free(e);
}

int facts_linux(struct layer *fs, bool all, struct os_facts *f)
{
	struct fact_source s = {.f = f, .set = ""};
	char text[PATH];

	if (!release(&s, fs, "/etc/os-release") && !release(&s, fs, "/usr/lib/os-release"))
		return s.err;
	if (line_of(&s, fs, "/etc/hostname", text, sizeof(text))) {
		snprintf(f->computer, sizeof(f->computer), "%.127s", text);
		add(&s, fs, "computer name", "/etc/hostname", f->computer);
	}
	if (all)
		time_zone(&s, fs);
	if (all && line_of(&s, fs, "/etc/machine-id", text, sizeof(text)))
		add(&s, fs, "machine id", "/etc/machine-id", text);
	return s.err;
}
