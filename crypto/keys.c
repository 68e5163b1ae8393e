/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "crypto/prim.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	FILE_MAX = 64 << 10,   /* of keys */
	KEYFILE_MAX = 1 << 20, /* TrueCrypt uses no more of one; cryptsetup takes up to 8 MiB */
	KEYS_MAX = 1024,
};

struct entry {
	struct key k;
	char *volume;
	uint8_t *data;
	struct entry *next;
};

struct keyring {
	struct entry *first, **end;
	unsigned n;
};

static const struct {
	const char *name;
	enum key_kind kind;
} kinds[] = {
	{"passphrase", KEY_PASSPHRASE}, {"recovery", KEY_RECOVERY}, {"bek", KEY_BEK},
	{"keyfile", KEY_KEYFILE},	{"fvek", KEY_FVEK},	    {"vmk", KEY_VMK},
	{"volume-key", KEY_VOLUME_KEY}, {"pim", KEY_PIM},	    {"root-hash", KEY_ROOT_HASH},
};

const char *key_kind_name(enum key_kind kind)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (kinds[i].kind == kind)
			return kinds[i].name;
	return "key";
}

void keys_free(struct keyring *ring)
{
	struct entry *e, *next;

	if (!ring)
		return;
	for (e = ring->first; e; e = next) {
		next = e->next;
		prim_secret_free(e->data);
		free(e->volume);
		free(e);
	}
	free(ring);
}

int keys_add(struct keyring **ring, enum key_kind kind, const char *volume, const void *data,
	     size_t len)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!*ring) {
		*ring = calloc(1, sizeof(**ring));
		if (*ring)
			(*ring)->end = &(*ring)->first;
	}
	if (!e || !*ring || (*ring)->n >= KEYS_MAX)
		goto fail;
	e->data = prim_secret(len + 1);
	e->volume = volume ? strdup(volume) : NULL;
	if (!e->data || (volume && !e->volume))
		goto fail;
	memcpy(e->data, data, len);
	e->k = (struct key){kind, e->volume, e->data, len, ++(*ring)->n};
	*(*ring)->end = e;
	(*ring)->end = &e->next;
	return 0;
fail:
	if (e) {
		prim_secret_free(e->data);
		free(e->volume);
		free(e);
	}
	return -ENOMEM;
}

const struct key *keys_after(const struct keyring *ring, const struct key *prev)
{
	/* @k is the first member: a key handed out is its entry. */
	const struct entry *e = prev   ? ((const struct entry *)prev)->next
				: ring ? ring->first
				       : NULL;

	return e ? &e->k : NULL;
}

const struct key *keys_next(const struct keyring *ring, const struct key *prev, unsigned mask,
			    const char *id, const char *id2)
{
	const struct key *k = keys_after(ring, prev);

	for (; k; k = keys_after(ring, k)) {
		if (!(k->kind & mask))
			continue;
		if (!k->volume || (id && !strcasecmp(k->volume, id)) ||
		    (id2 && !strcasecmp(k->volume, id2)))
			break;
	}
	return k;
}

/* Read all of @fd, up to @max bytes, into secret memory. */
static int read_all(int fd, size_t max, uint8_t **buf, size_t *len)
{
	uint8_t *b = prim_secret(max + 1);
	size_t n = 0;

	if (!b)
		return -ENOMEM;
	for (;;) {
		ssize_t r = read(fd, b + n, max + 1 - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 || n + (size_t)(r > 0 ? r : 0) > max) {
			int e = r < 0 ? -errno : -EFBIG;

			prim_secret_free(b);
			return e;
		}
		if (!r)
			break;
		n += (size_t)r;
	}
	*buf = b;
	*len = n;
	return 0;
}

static int add_file(struct session *s, struct keyring **ring, enum key_kind kind,
		    const char *volume, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	uint8_t *buf = NULL;
	size_t len = 0;
	int r;

	if (fd < 0)
		return session_err(s, -errno, "%s %s", key_kind_name(kind), path);
	r = read_all(fd, KEYFILE_MAX, &buf, &len);
	if (r == -EFBIG)
		r = session_err(s, r, "%s %s: larger than 1 MiB", key_kind_name(kind), path);
	else if (r)
		r = session_err(s, r, "%s %s", key_kind_name(kind), path);
	else
		r = keys_add(ring, kind, volume, buf, len);
	prim_secret_free(buf);
	close(fd);
	return r;
}

static int nibble(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

static int add_hex(struct keyring **ring, enum key_kind kind, const char *volume, const char *hex)
{
	size_t len = strlen(hex) / 2;
	uint8_t *raw;
	int r = -EINVAL;

	if (strlen(hex) % 2 || !len || len > 256)
		return -EINVAL;
	raw = prim_secret(len);
	if (!raw)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++) {
		int hi = nibble(hex[2 * i]), lo = nibble(hex[2 * i + 1]);

		if (hi < 0 || lo < 0)
			goto out;
		raw[i] = (uint8_t)(hi << 4 | lo);
	}
	r = keys_add(ring, kind, volume, raw, len);
out:
	prim_secret_free(raw);
	return r;
}

static int add_line(struct session *s, struct keyring **ring, char *line)
{
	size_t word = strcspn(line, " \t");
	char *value = line + word, *at = memchr(line, '@', word);
	enum key_kind kind = 0;

	if (*value)
		*value++ = '\0';
	if (at)
		*at++ = '\0';
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(line, kinds[i].name))
			kind = kinds[i].kind;
	switch (kind) {
	case KEY_PASSPHRASE: break;
	case KEY_RECOVERY:
	case KEY_PIM: value += strspn(value, " \t"); break;
	case KEY_BEK:
	case KEY_KEYFILE: return add_file(s, ring, kind, at, value + strspn(value, " \t"));
	case KEY_FVEK:
	case KEY_VMK:
	case KEY_VOLUME_KEY:
	case KEY_ROOT_HASH: return add_hex(ring, kind, at, value + strspn(value, " \t"));
	default: return -EINVAL;
	}
	return keys_add(ring, kind, at, value, strlen(value));
}

static int parse(struct session *s, const char *spec, char *text, size_t len, struct keyring **ring)
{
	unsigned number = 0;
	char *line = text, *end = text + len;
	int r = 0;

	while (!r && line < end) {
		char *nl = memchr(line, '\n', (size_t)(end - line)), *stop = nl ? nl : end;

		number++;
		if (stop > line && stop[-1] == '\r')
			stop[-1] = '\0';
		*stop = '\0';
		if (*line && *line != '#')
			r = add_line(s, ring, line);
		if (r == -EINVAL)
			session_err(
				s, 0,
				"%s: line %u: not a key; a line is `passphrase TEXT`, `recovery "
				"DIGITS`, `bek PATH`, `keyfile PATH`, `fvek HEX`, `vmk HEX`, "
				"`volume-key HEX`, `root-hash HEX` or `pim NUMBER`",
				spec, number);
		line = stop + 1;
	}
	return r;
}

int keys_load(struct session *s, const char *spec, struct keyring **ring)
{
	bool std = !strcmp(spec, "-");
	uint64_t n = 0;
	uint8_t *text = NULL;
	size_t len = 0;
	int fd, r;

	if (std)
		fd = STDIN_FILENO;
	else if (!strncmp(spec, "fd:", 3) && !number_parse(spec + 3, &n, NULL) && n < INT32_MAX)
		fd = (int)n;
	else
		fd = open(spec, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return session_err(s, -errno, "--keys %s", spec);
	r = read_all(fd, FILE_MAX, &text, &len);
	if (r)
		session_err(s, r, "--keys %s", spec);
	else
		r = parse(s, spec, (char *)text, len, ring);
	prim_secret_free(text);
	if (!std)
		close(fd);
	return r;
}
