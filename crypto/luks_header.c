/* SPDX-License-Identifier: Apache-2.0 */
/* LUKS headers that lie in files of their own: detached ones, and backups that a user gives. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "crypto/luks.h"
#include "crypto/unit.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/source.h"

enum { LOOK = 64 << 10 }; /* bytes of a device that must look like noise */

/* "LAYER=FILE" apart. A file whose name holds '=' is given with its folder: "./a=b". */
static const char *spec_file(const char *spec, size_t *layer_len)
{
	const char *eq = strchr(spec, '=');

	*layer_len = eq && !memchr(spec, '.', (size_t)(eq - spec)) ? (size_t)(eq - spec) : 0;
	return *layer_len ? eq + 1 : spec;
}

static bool names(const char *spec, size_t len, const char *path)
{
	if (!strncmp(path, "raw/", 4) && strncmp(spec, "raw", 3))
		path += 4;
	return strlen(path) == len && !memcmp(spec, path, len);
}

int luks_header_open(struct session *s, const char *file, struct layer **meta)
{
	const char *map = s->opt.bad_map;
	int r;

	s->opt.bad_map = NULL; /* that one is of the image */
	r = source_open(s, file, meta);
	s->opt.bad_map = map;
	return r;
}

static bool in_use(const struct layer *l, const char *file)
{
	const struct luks *u = l->ops == &luks1_ops || l->ops == &luks2_ops ? l->priv : NULL;

	if (u && u->header == file)
		return true;
	for (const struct layer *c = l->child; c; c = c->next)
		if (in_use(c, file))
			return true;
	return false;
}

/* Nothing that one could read, as far as it was written to: ciphertext. */
static bool looks_like_noise(struct layer *below)
{
	uint8_t buf[4096];
	uint64_t noise = 0;

	for (uint64_t off = 0; off < LOOK && off + sizeof(buf) <= below->size; off += sizeof(buf)) {
		if (layer_read(below, off, buf, sizeof(buf), NULL))
			return false;
		noise += !unit_has_structure(buf, sizeof(buf));
	}
	return noise > 0;
}

const char *luks_header_for(struct layer *below, int version, bool named)
{
	const char *const *spec = below->s->opt.header;

	for (; spec && *spec; spec++) {
		size_t len;
		const char *file = spec_file(*spec, &len);
		struct layer *meta;
		int found;

		if (named ? !len || !names(*spec, len, below->path) : len > 0)
			continue;
		if (in_use(layer_source(below), file) || access(file, R_OK) ||
		    luks_header_open(below->s, file, &meta))
			continue;
		found = luks_version(meta);
		layer_free(meta);
		if (found == version && (named || luks_version(below) || looks_like_noise(below)))
			return file;
	}
	return NULL;
}

bool luks_headers_used(struct layer *source)
{
	const char *const *spec = source->s->opt.header;
	bool all = true;

	for (; spec && *spec; spec++) {
		size_t len;
		const char *file = spec_file(*spec, &len);

		if (in_use(source, file))
			continue;
		all = false;
		if (access(file, R_OK)) {
			session_err(source->s, -errno, "--header %s", file);
			continue;
		}
		session_err(source->s, 0,
			    "--header %s: used for no layer: it is no LUKS header, or name the "
			    "layer that it belongs to (--header LAYER=FILE)",
			    *spec);
	}
	return all;
}
