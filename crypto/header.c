/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/header.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "crypto/integrity.h"
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

int header_open(struct session *s, const char *file, struct layer **meta)
{
	const char *map = s->opt.bad_map;
	int r;

	s->opt.bad_map = NULL; /* that one is of the image */
	r = source_open(s, file, meta);
	s->opt.bad_map = map;
	return r;
}

enum header_kind header_kind(struct layer *l)
{
	int version = luks_version(l);

	if (version)
		return version == 1 ? HEADER_LUKS1 : version == 2 ? HEADER_LUKS2 : HEADER_NONE;
	return integrity_probe_apart(l, NULL) ? HEADER_INTEGRITY : HEADER_NONE;
}

static bool in_use(const struct layer *l, const struct layer *meta)
{
	if (l->aside && source_same(l->aside, meta))
		return true;
	for (const struct layer *c = l->child; c; c = c->next)
		if (in_use(c, meta))
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

/*
 * Does a header that was given for no layer belong to @below? A LUKS device has one itself, or looks
 * like noise; data whose tags are elsewhere is not encrypted, but its size is known.
 */
static bool fits(struct layer *below, enum header_kind kind, struct layer *meta)
{
	uint64_t size;

	if (kind == HEADER_INTEGRITY)
		return integrity_probe_apart(meta, &size) && size <= below->size &&
		       below->size - size < UNIT_MAX;
	return luks_version(below) || looks_like_noise(below);
}

const char *header_for(struct layer *below, enum header_kind kind, bool named)
{
	const char *const *spec = below->s->opt.header;

	for (; spec && *spec; spec++) {
		size_t len;
		const char *file = spec_file(*spec, &len);
		struct layer *meta;
		bool found;

		if (named ? !len || !names(*spec, len, below->path) : len > 0)
			continue;
		if (access(file, R_OK) || header_open(below->s, file, &meta))
			continue;
		found = !in_use(layer_source(below), meta) && header_kind(meta) == kind &&
			(named || fits(below, kind, meta));
		layer_free(meta);
		if (found)
			return file;
	}
	return NULL;
}

static int used(struct layer *source, const char *file)
{
	struct layer *meta;
	int r = access(file, R_OK) ? -errno : header_open(source->s, file, &meta);

	if (r)
		return r;
	r = in_use(source, meta);
	layer_free(meta);
	return r;
}

bool headers_used(struct layer *source)
{
	const char *const *spec = source->s->opt.header;
	bool all = true;

	for (; spec && *spec; spec++) {
		size_t len;
		const char *file = spec_file(*spec, &len);
		int r = used(source, file);

		all &= r == 1;
		if (r < 0)
			session_err(source->s, r, "--header %s", file);
		else if (!r)
			session_err(source->s, 0,
				    "--header %s: used for no layer: it is no LUKS header and no "
				    "dm-integrity metadata, or name the layer that it belongs to "
				    "(--header LAYER=FILE)",
				    *spec);
	}
	return all;
}
