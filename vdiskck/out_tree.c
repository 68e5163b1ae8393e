/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/out_tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/prim.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	NAME_BYTES = 255,   /* NAME_MAX of nearly every file system */
	STRICT_BYTES = 120, /* what the narrowest ones take (eCryptfs: 143) */
	TRIES = 64,	    /* other names for a folder whose own is taken by a file */
};

/* Names that Windows takes for devices, whatever stands behind a dot. */
static bool is_device(const char *name, size_t len)
{
	static const char *const device[] = {"con", "prn", "aux", "nul"};
	size_t n = 0;

	while (n < len && name[n] != '.')
		n++;
	while (n && name[n - 1] == ' ')
		n--;
	for (size_t i = 0; n == 3 && i < 4; i++)
		if (!strncasecmp(name, device[i], 3))
			return true;
	return n == 4 && (!strncasecmp(name, "com", 3) || !strncasecmp(name, "lpt", 3)) &&
	       name[3] >= '0' && name[3] <= '9';
}

static bool is_hex(const char *p, size_t len)
{
	return len >= 2 && isxdigit((unsigned char)p[0]) && isxdigit((unsigned char)p[1]);
}

/* How many bytes at @p are one character that may stay as it is; 0: the first one may not. */
static size_t keeps(const char *p, size_t len, bool strict)
{
	unsigned char c = (unsigned char)*p;
	char safe[64];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if (c == '%')
		return !(is_hex(p + 1, len - 1) || (len > 1 && p[1] == '~'));
	if (c < 0x80)
		return c >= 0x20 && c != 0x7f && c != '/' && !(strict && strchr("<>:\"|?*\\", c));
	if (n > len || strict)
		return 0;
	name_escape(p, n, safe, sizeof(safe));
	return strlen(safe) == n && !memcmp(safe, p, n) ? n : 0;
}

/* Cut to @max bytes, not within a %HH or a character, with 16 digits of the whole name's hash. */
static void shorten(const char *name, size_t len, size_t max, char *out)
{
	uint8_t sum[32];
	size_t n = max - 18, back = n;

	while (back && ((unsigned char)out[back] >> 6) == 2)
		back--;
	for (size_t i = 1; i <= 2 && i <= back; i++)
		if (out[back - i] == '%' && is_hex(out + back - i + 1, 2)) {
			back -= i;
			break;
		}
	prim_hash(PRIM_SHA256, name, len, sum);
	n = back;
	n += (size_t)sprintf(out + n, "%%~");
	for (int i = 0; i < 8; i++)
		n += (size_t)sprintf(out + n, "%02x", sum[i]);
}

const char *out_name(const char *name, size_t len, const char *stream, bool strict,
		     char out[OUT_NAME])
{
	size_t max = strict ? STRICT_BYTES : NAME_BYTES, o = 0;
	size_t colon = stream && strlen(stream) < len ? len - strlen(stream) - 1 : len;
	bool dots = (len == 1 && *name == '.') || (len == 2 && !strncmp(name, "..", 2));
	char long_name[4 * OUT_NAME];

	for (size_t i = 0; i < len && o + 4 < sizeof(long_name);) {
		size_t n = keeps(name + i, len - i, strict);
		bool last = i + n == len && strict && (name[i] == '.' || name[i] == ' ');

		if (i == colon || dots || last || (i == 0 && is_device(name, len)))
			n = 0;
		if (n)
			memcpy(long_name + o, name + i, n);
		else
			snprintf(long_name + o, 4, "%%%02X", (unsigned char)name[i]);
		o += n ? n : 3;
		i += n ? n : 1;
	}
	long_name[o] = '\0';
	if (!o)
		strcpy(long_name, "%00"); /* no name at all */
	if (o > max)
		shorten(name, len, max, long_name);
	memcpy(out, long_name, strlen(long_name) + 1);
	return out;
}

int out_tree_open(struct out_tree *t, struct session *s, const char *path)
{
	struct dirent *e;
	DIR *d = NULL;
	int r = 0, copy;

	*t = (struct out_tree){.s = s, .path = path, .fd = -1};
	if (mkdir(path, 0777) && errno != EEXIST)
		return session_err(s, -errno, "%s", path);
	t->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	copy = t->fd < 0 ? -1 : openat(t->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = copy < 0 ? NULL : fdopendir(copy);
	if (!d)
		return session_err(s, -errno, "%s", path);
	while ((e = readdir(d)) && !r)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			r = session_err(s, -ENOTEMPTY, "%s: a new or an empty folder is wanted",
					path);
	closedir(d);
	atomic_init(&t->taken, 1);
	return r;
}

void out_tree_close(struct out_tree *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

static void slot_clear(struct out_dir *s)
{
	if (s->from)
		close(s->fd);
	free(s->from);
	free(s->to);
	*s = (struct out_dir){0};
}

void out_dirs_close(struct out_dirs *d)
{
	for (size_t i = 0; i < OUT_DIRS; i++)
		slot_clear(&d->slot[i]);
}

static struct out_dir *slot_of(struct out_dirs *d, const char *from, size_t len)
{
	uint64_t h = 1469598103934665603u; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)from[i]) * 1099511628211u;
	return &d->slot[(h ^ h >> 29) % OUT_DIRS];
}

/* The name with a number, because its own is taken. */
static void renumber(const char *name, uint64_t number, char out[OUT_NAME])
{
	char end[24];
	size_t n = strlen(name), add = (size_t)snprintf(end, sizeof(end), "%%~%" PRIu64, number);

	while (n + add > NAME_BYTES || (n < strlen(name) && (unsigned char)name[n] >> 6 == 2))
		n--;
	snprintf(out, OUT_NAME, "%.*s%s", (int)n, name, end);
}

/*
 * One folder in the folder @at, made if need be. @out: its name there. A descriptor or -errno.
 * @fresh: most likely nobody has made it yet.
 */
static int enter(int at, const char *name, size_t len, bool fresh, char out[OUT_NAME])
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	char wanted[OUT_NAME];
	bool strict = false;

	out_name(name, len, NULL, strict, wanted);
	memcpy(out, wanted, OUT_NAME);
	if (fresh)
		mkdirat(at, out, 0777); /* whatever comes of it, opening tells */
	for (unsigned n = 2; n < TRIES;) {
		int fd = openat(at, out, flags);

		if (fd >= 0 || (errno != ENOENT && errno != ENOTDIR && errno != ELOOP &&
				errno != ENAMETOOLONG && errno != EINVAL))
			return fd < 0 ? -errno : fd;
		if (errno == ENOENT && !mkdirat(at, out, 0777))
			continue;
		if (errno == EEXIST)
			continue; /* another thread was faster */
		if (errno == ENOTDIR || errno == ELOOP) {
			renumber(wanted, n++, out); /* a file has that name */
		} else if (!strict && errno != ENOENT) {
			strict = true;
			out_name(name, len, NULL, strict, wanted);
			memcpy(out, wanted, OUT_NAME);
		} else {
			return -errno;
		}
	}
	return -EEXIST;
}

/*
 * The open folder for the first @len bytes of @from, from the nearest one that is open already.
 * @fresh: it is likely to be new. NULL with errno.
 */
static struct out_dir *folder(struct out_dirs *d, const char *from, size_t len, bool fresh)
{
	struct out_dir now = {.fd = -1}, *s;
	size_t at = len;

	for (;; at--) { /* at: end of the part that is open */
		s = slot_of(d, from, at);
		if (s->from && strlen(s->from) == at && !memcmp(s->from, from, at))
			break;
		while (at && from[at - 1] != '/')
			at--;
		if (!at) { /* the output folder itself */
			s = slot_of(d, from, 0);
			slot_clear(s);
			now = (struct out_dir){strdup(""), strdup(""), dup(d->t->fd)};
			if (!now.from || !now.to || now.fd < 0)
				goto fail;
			*s = now;
			break;
		}
	}
	while (at < len) {
		size_t begin = at + (from[at] == '/'), n = strcspn(from + begin, "/");
		char name[OUT_NAME];

		if (begin + n > len)
			n = len - begin;
		now = (struct out_dir){
			.fd = enter(s->fd, from + begin, n, fresh && begin + n == len, name)};
		if (now.fd < 0) {
			errno = -now.fd;
			return NULL;
		}
		now.from = strndup(from, begin + n);
		if (asprintf(&now.to, "%s%s%s", s->to, *s->to ? "/" : "", name) < 0)
			now.to = NULL;
		if (!now.from || !now.to)
			goto fail;
		at = begin + n;
		s = slot_of(d, from, at);
		slot_clear(s); /* the folder above may go: the new one is open */
		*s = now;
	}
	return s;
fail:
	free(now.from);
	free(now.to);
	if (now.fd >= 0)
		close(now.fd);
	errno = errno ? errno : ENOMEM;
	return NULL;
}

/* "root/path" without slashes at its ends; NULL: no memory. */
static char *whole_path(const char *root, const char *from)
{
	char *p;

	from += strspn(from, "/");
	if (asprintf(&p, "%s%s%s", root, *root && *from ? "/" : "", from) < 0)
		return NULL;
	return p;
}

/* A new thing in a folder: @make is tried with other names while the one it has is taken. */
struct making {
	const char *target; /* of a link; NULL: a file */
	int fd;
};

static int make(struct making *m, int at, const char *name)
{
	if (m->target)
		return symlinkat(m->target, at, name) ? -errno : 0;
	m->fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	return m->fd < 0 ? -errno : 0;
}

static void tell(const struct out_tree *t, const char *folder, const char *name)
{
	char *path;

	if (asprintf(&path, "%s%s%s", folder, *folder ? "/" : "", name) < 0)
		return;
	t->making(t->arg, path);
	free(path);
}

static int make_new(struct out_dirs *d, const char *path, const char *stream, const char *suffix,
		    struct making *m, struct line *to)
{
	const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
	struct out_dir *dir;
	char wanted[OUT_NAME], name[OUT_NAME];
	bool strict = false;
	int r = 0;

	/* The name of a stream may hold what looks like a slash nowhere: fs.h replaces it. */
	errno = 0;
	dir = folder(d, path, slash ? (size_t)(slash - path) : 0, false);
	if (!dir)
		return -errno;
again:
	out_name(last, strlen(last), stream, strict, wanted);
	if (*suffix) {
		size_t n = strlen(wanted);

		while (n + strlen(suffix) > NAME_BYTES ||
		       (n < strlen(wanted) && (unsigned char)wanted[n] >> 6 == 2))
			n--;
		strcpy(wanted + n, suffix);
	}
	memcpy(name, wanted, sizeof(name));
	for (unsigned n = 0; n < TRIES; n++) {
		if (d->t->making)
			tell(d->t, dir->to, name);
		r = make(m, dir->fd, name);
		if (r != -EEXIST)
			break;
		renumber(wanted, atomic_fetch_add(&d->t->taken, 1) + 1, name);
	}
	if ((r == -EINVAL || r == -ENAMETOOLONG || r == -EILSEQ) && !strict) {
		strict = true;
		goto again;
	}
	if (!r) {
		to->len = 0;
		line_text(to, dir->to);
		line_text(to, *dir->to ? "/" : "");
		line_bytes(to, name, strlen(name) + 1);
		to->len--;
	}
	return r;
}

int out_dirs_file(struct out_dirs *d, const char *root, const char *from, const char *stream,
		  const char *suffix, struct line *to)
{
	char *path = whole_path(root, from);
	struct making m = {.fd = -1};
	int r = path ? make_new(d, path, stream, suffix, &m, to) : -ENOMEM;

	free(path);
	return r ? r : m.fd;
}

int out_dirs_folder(struct out_dirs *d, const char *root, const char *from, struct line *to)
{
	char *path = whole_path(root, from);
	struct out_dir *dir;
	int r;

	errno = 0;
	dir = path ? folder(d, path, strlen(path), true) : NULL;
	r = dir ? dir->fd : path ? -errno : -ENOMEM;
	if (dir) {
		to->len = 0;
		line_bytes(to, dir->to, strlen(dir->to) + 1);
		to->len--;
	}
	free(path);
	return r;
}

void out_dirs_times(struct out_dirs *d, const char *root, const char *from, const char *name,
		    const struct timespec t[2])
{
	char *path = whole_path(root, from), *slash = path ? strrchr(path, '/') : NULL;
	struct out_dir *dir =
		path ? folder(d, path, slash ? (size_t)(slash - path) : 0, false) : NULL;

	if (dir && *path)
		utimensat(dir->fd, name, t, AT_SYMLINK_NOFOLLOW);
	else if (dir)
		futimens(dir->fd, t); /* the output folder itself */
	free(path);
}

/* The target with its parts named as they are in the output; false: it might lead out. */
static bool map_target(const char *target, const char *path, struct line *out)
{
	size_t above = 0;
	bool leading = true;

	for (const char *p = path; *p; p++)
		above += *p == '/';
	if (*target == '/' || !*target)
		return false;
	while (*target) {
		size_t n = strcspn(target, "/");
		char name[OUT_NAME];

		if (out->len && n)
			line_bytes(out, "/", 1);
		if (n == 2 && !strncmp(target, "..", 2)) {
			if (!leading || !above--)
				return false;
			line_text(out, "..");
		} else if (n == 1 && *target == '.') {
			line_text(out, ".");
		} else if (n) {
			leading = false;
			line_text(out, out_name(target, n, NULL, false, name));
		}
		target += n;
		target += strspn(target, "/");
	}
	line_bytes(out, "", 1);
	return !out->failed && out->len > 1;
}

int out_dirs_link(struct out_dirs *d, const char *root, const char *from, const char *target,
		  struct line *to)
{
	char *path = whole_path(root, from);
	struct line mapped = {0};
	int r = -ENOMEM;

	if (path && !map_target(target, path, &mapped)) {
		r = mapped.failed ? -ENOMEM : -EXDEV;
	} else if (path) {
		struct making m = {.target = mapped.p, .fd = -1};

		r = make_new(d, path, NULL, "", &m, to);
	}
	free(mapped.p);
	free(path);
	return r;
}
