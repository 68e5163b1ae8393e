/* SPDX-License-Identifier: Apache-2.0 */
/* Registry data as people read it, and single values for who looks for one thing. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/log/regf.h"
#include "vdiskck/core/text.h"

enum { REG_SZ = 1, REG_EXPAND_SZ, REG_BINARY, REG_DWORD, REG_DWORD_BE, REG_LINK, REG_MULTI_SZ };
enum { REG_QWORD = 11 };

const char *regf_type_name(uint32_t type)
{
	static const char *const name[] = {
		"REG_NONE",
		"REG_SZ",
		"REG_EXPAND_SZ",
		"REG_BINARY",
		"REG_DWORD",
		"REG_DWORD_BIG_ENDIAN",
		"REG_LINK",
		"REG_MULTI_SZ",
		"REG_RESOURCE_LIST",
		"REG_FULL_RESOURCE_DESCRIPTOR",
		"REG_RESOURCE_REQUIREMENTS_LIST",
		"REG_QWORD",
	};

	return type < sizeof(name) / sizeof(*name) ? name[type] : "unknown type";
}

/* Strings end in NULs; those inside (of REG_MULTI_SZ) become " | ". */
static void put_text(const struct regf_data *d, char *out, size_t cap)
{
	size_t units = d->len / 2, n = 0;

	while (units && !d->p[units * 2 - 1] && !d->p[units * 2 - 2])
		units--;
	*out = '\0';
	for (size_t i = 0; i < units && n + 4 < cap;) {
		utf16_text(d->p + i * 2, units - i, 0, out + n, cap - n - 3);
		n += strlen(out + n);
		while (i < units && (d->p[i * 2] || d->p[i * 2 + 1]))
			i++;
		if (++i < units)
			n += (size_t)snprintf(out + n, cap - n, " | ");
	}
}

static void put_hex(const struct regf_data *d, char *out, size_t cap)
{
	size_t n = 0;

	*out = '\0';
	for (uint32_t i = 0; i < d->len && n + 4 < cap; i++)
		n += (size_t)snprintf(out + n, cap - n, "%s%02x", i ? " " : "", d->p[i]);
}

const char *regf_data_text(const struct regf_data *d, char *out, size_t cap)
{
	le32_t word;
	le64_t quad;

	if (d->type == REG_SZ || d->type == REG_EXPAND_SZ || d->type == REG_LINK ||
	    d->type == REG_MULTI_SZ) {
		put_text(d, out, cap);
	} else if ((d->type == REG_DWORD || d->type == REG_DWORD_BE) && d->len == 4) {
		memcpy(&word, d->p, 4);
		snprintf(out, cap, "%" PRIu32,
			 d->type == REG_DWORD ? le32(word) : __builtin_bswap32(le32(word)));
	} else if (d->type == REG_QWORD && d->len == 8) {
		memcpy(&quad, d->p, 8);
		snprintf(out, cap, "%" PRIu64, le64(quad));
	} else {
		put_hex(d, out, cap);
	}
	return out;
}

int regf_key_data(const struct regf *h, uint32_t key, const char *name, struct regf_data *d)
{
	uint32_t value;
	int r = regf_value(h, key, name, &value);

	return r ? r : regf_data(h, value, d);
}

int regf_key_u32(const struct regf *h, uint32_t key, const char *name, uint32_t *v)
{
	struct regf_data d;
	int r = regf_key_data(h, key, name, &d);
	le32_t word;

	if (r)
		return r;
	if (d.type == REG_DWORD && d.len == 4 && !d.bad.n) {
		memcpy(&word, d.p, 4);
		*v = le32(word);
	} else {
		r = -EBADMSG;
	}
	regf_data_free(&d);
	return r;
}

int regf_key_text(const struct regf *h, uint32_t key, const char *name, char *out, size_t cap)
{
	struct regf_data d;
	int r = regf_key_data(h, key, name, &d);

	if (r)
		return r;
	if (d.bad.n)
		r = -EBADMSG;
	regf_data_text(&d, out, cap);
	regf_data_free(&d);
	return r;
}

int regf_u32(const struct regf *h, const char *path, const char *name, uint32_t *v)
{
	uint32_t key;
	int r = regf_find(h, h->root, path, &key);

	return r ? r : regf_key_u32(h, key, name, v);
}

int regf_text(const struct regf *h, const char *path, const char *name, char *out, size_t cap)
{
	uint32_t key;
	int r = regf_find(h, h->root, path, &key);

	return r ? r : regf_key_text(h, key, name, out, cap);
}
