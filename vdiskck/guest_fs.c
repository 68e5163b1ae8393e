/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system that the appliance reads, as a layer. Its kernel follows the format's own rules: it
 * shows files as they are, no deleted ones, and does not say where their bytes lie.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/fs/fs.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/guest.h"

struct guest_volume {
	struct guest *g;
	unsigned number;
	bool as_is; /* mounted without its log, or by what is left of its trees */
	char type[32], how[64], version[32];
};

struct guest_file {
	struct guest_volume *v;
	char *path;
};

static int ask_volume(struct guest_volume *v, enum guest_op op, const char *path, char **reply,
		      size_t *len)
{
	struct guest_request q = {.op = op, .volume = v->number};

	return guest_ask(v->g, &q, path, reply, len);
}

/* The next text of an answer; "" behind the last. */
static const char *next_text(const char **p, const char *end)
{
	const char *text = *p < end ? *p : "";

	*p = *p < end ? *p + strlen(*p) + 1 : end;
	return text;
}

static void set_time(struct fs_time *t, int64_t sec, uint32_t nsec)
{
	*t = (struct fs_time){sec, nsec, sec != 0 || nsec != 0};
}

/* The record at *p, as an entry of the folder @dir; false: it is cut off. */
static bool next_entry(const struct guest_volume *v, const char **p, const char *end,
		       struct fs_entry *e, const char **name)
{
	struct guest_stat s;
	size_t left = (size_t)(end - *p);

	if (left < sizeof(s))
		return false;
	memcpy(&s, *p, sizeof(s));
	left -= sizeof(s);
	if (s.name_len >= left || s.target_len >= left - s.name_len - 1)
		return false;
	*name = *p + sizeof(s);
	*p = *name + s.name_len + 1 + s.target_len + 1;
	if ((*name)[s.name_len] || (*p)[-1])
		return false;
	*e = (struct fs_entry){
		.id = s.ino,
		.kind = S_ISDIR(s.mode)	  ? FS_DIR
			: S_ISREG(s.mode) ? FS_FILE
			: S_ISLNK(s.mode) ? FS_SYMLINK
			: s.mode	  ? FS_SPECIAL
					  : FS_FILE,
		.size = s.size,
		.stored = s.blocks <= UINT64_MAX / 512 ? s.blocks * 512 : s.size,
		.mode = s.mode,
		.uid = s.uid,
		.gid = s.gid,
		.links = s.links,
		.target = S_ISLNK(s.mode) ? *name + s.name_len + 1 : NULL,
		.path_sure = v->as_is ? FS_REBUILT : FS_SURE,
		.data_sure = !s.mode	? FS_GONE
			     : v->as_is ? FS_REBUILT
					: FS_SURE,
	};
	set_time(&e->accessed, s.atime, s.atime_nsec);
	set_time(&e->modified, s.mtime, s.mtime_nsec);
	set_time(&e->changed, s.ctime, s.ctime_nsec);
	return true;
}

struct walk {
	struct layer *l;
	const struct fs_query *q;
	int (*fn)(void *arg, const struct fs_entry *e);
	void *arg;
};

/* The kernel of the appliance sees to it that no folder is inside itself; paths end somewhere. */
static int walk_folder(struct walk *w, const char *dir, uint64_t id)
{
	struct guest_volume *v = w->l->priv;
	const char *p, *end, *name;
	struct fs_entry e;
	char *reply;
	size_t len;
	int r = ask_volume(v, GUEST_LIST, dir, &reply, &len);

	/* A folder that can't be read costs what is in it. */
	if (r == -EIO || r == -EUCLEAN) {
		finding_fact(w->l, GUEST_FOLDER, &(struct fact){.path = *dir ? dir : "/"},
			     "the appliance's kernel does not read all of this folder");
		r = 0;
	}
	end = reply + len;
	for (p = reply; !r && p < end;) {
		char *path = NULL;

		if (session_stopped(w->l->s))
			r = -EINTR;
		else if (!next_entry(v, &p, end, &e, &name))
			r = -EPIPE;
		else if (asprintf(&path, "%s/%s", dir, name) < 0)
			r = -ENOMEM;
		if (!r) {
			e.path = path;
			e.parent = id;
			r = w->fn(w->arg, &e);
			if (!r && w->q->recursive && e.kind == FS_DIR)
				r = walk_folder(w, path, e.id);
		}
		free(path);
	}
	free(reply);
	return r;
}

static int guest_lookup(struct layer *l, const char *path, struct fs_entry **e)
{
	struct guest_volume *v = l->priv;
	struct fs_entry found;
	const char *p, *name;
	char *reply;
	size_t len;
	int r;

	*e = NULL;
	r = ask_volume(v, GUEST_STAT, path[1] ? path : "", &reply, &len);
	p = reply;
	if (!r && !next_entry(v, &p, reply + len, &found, &name))
		r = -EPIPE;
	if (!r) {
		found.path = path;
		*e = fs_entry_copy(&found);
		r = *e ? 0 : -ENOMEM;
	}
	free(reply);
	return r;
}

static int guest_walk(struct layer *l, const struct fs_query *q,
		      int (*fn)(void *arg, const struct fs_entry *e), void *arg)
{
	struct walk w = {l, q, fn, arg};
	struct fs_entry *dir = NULL;
	int r = guest_lookup(l, q->dir ? q->dir : "/", &dir);

	if (!r && dir->kind != FS_DIR)
		r = -ENOTDIR;
	if (!r)
		r = walk_folder(&w, dir->path[1] ? dir->path : "", dir->id);
	fs_entry_free(dir);
	return r;
}

/* What the helper says of each page of [off, off + len). */
static int mark_lost(const char *lost, size_t pages, uint64_t off, size_t len, struct ranges *bad)
{
	int r = 0;

	for (size_t i = 0; i < pages && len && !r; i++) {
		size_t n = GUEST_PAGE - off % GUEST_PAGE;

		n = n < len ? n : len;
		if (lost[i])
			r = ranges_add(bad, off, n, GRADE_LOST, LAYER_UNREADABLE);
		off += n;
		len -= n;
	}
	return r;
}

static int read_piece(struct guest_file *f, uint64_t off, uint8_t *buf, size_t len,
		      struct ranges *bad)
{
	struct guest_request q = {GUEST_READ, f->v->number, off, (uint32_t)len, 0};
	size_t got = 0, all;
	char *reply;
	int r = guest_ask(f->v->g, &q, f->path, &reply, &got);

	all = got;
	if (got > len)
		got = len;
	if (!r || r == -EIO) {
		if (got)
			memcpy(buf, reply, got);
		memset(buf + got, 0, len - got);
		/* The file ends before its size, or nothing of it can be had. */
		if (got < len)
			r = ranges_add(bad, off + got, len - got, GRADE_LOST, LAYER_UNREADABLE);
		else
			r = r ? mark_lost(reply + len, all - len, off, len, bad) : 0;
	}
	free(reply);
	return r;
}

static int file_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	int r = 0;

	for (uint8_t *p = buf; !r && len;) {
		size_t n = len < GUEST_PIECE ? len : GUEST_PIECE;

		r = read_piece(l->priv, off, p, n, bad);
		p += n;
		off += n;
		len -= n;
	}
	return r;
}

/* Where its bytes lie is only known over there: they are this layer's own, as a source's are. */
static int file_map(struct layer *l, uint64_t off, struct extent *run)
{
	run->len = l->size - off;
	run->kind = EXTENT_DATA;
	run->in = l;
	run->at = off;
	return 0;
}

static void file_close(struct layer *l)
{
	struct guest_file *f = l->priv;

	if (f)
		free(f->path);
	free(f);
}

static const struct layer_ops file_ops = {
	.name = "file",
	.kind = LAYER_FILE,
	.read = file_read,
	.map = file_map,
	.close = file_close,
};

static int guest_open_file(struct layer *l, const struct fs_entry *e, struct layer **file)
{
	struct guest_file *f = calloc(1, sizeof(*f));

	*file = f ? layer_file_new(&file_ops, l, e->path) : NULL;
	if (!*file) {
		free(f);
		return -ENOMEM;
	}
	(*file)->priv = f;
	(*file)->size = e->kind == FS_FILE ? e->size : 0;
	f->v = l->priv;
	f->path = strdup(e->path);
	if (f->path)
		return 0;
	layer_free(*file);
	*file = NULL;
	return -ENOMEM;
}

static int guest_owners(struct layer *l, const struct ranges *r,
			int (*fn)(void *arg, const struct fs_owner *o), void *arg)
{
	int err = 0;

	(void)l;
	for (size_t i = 0; i < r->n && !err; i++) {
		const struct fs_owner o = {
			.off = r->v[i].off, .len = r->v[i].len, .kind = OWNER_UNKNOWN};

		err = fn(arg, &o);
	}
	return err;
}

static int guest_unused(struct layer *l,
			int (*fn)(void *arg, uint64_t off, uint64_t len, bool slack), void *arg)
{
	(void)l;
	(void)fn;
	(void)arg;
	return 0;
}

static const struct fs_ops guest_fs = {
	.walk = guest_walk,
	.lookup = guest_lookup,
	.open_file = guest_open_file,
	.owners = guest_owners,
	.unused = guest_unused,
};

static int guest_check(struct layer *l)
{
	struct guest_volume *v = l->priv;
	const char *p, *end, *tool, *said;
	char *reply, text[400];
	size_t len;
	int r = ask_volume(v, GUEST_CHECK, "", &reply, &len);

	p = reply;
	end = reply + len;
	if (r == -EUCLEAN) {
		tool = next_text(&p, end);
		said = next_text(&p, end);
		name_escape(said, strlen(said), text, sizeof(text));
		finding(l, GUEST_CHECK_TOOL, 0, l->size, "%s finds it damaged: %s", tool, text);
		r = 0;
	} else if (!r) {
		session_checked(l->s, l->size);
	} else if (r == -EOPNOTSUPP || r == -ENOTSUP) {
		finding(l, GUEST_NOT_CHECKED, 0, l->size,
			"the appliance has no tool that checks %s", v->type);
		r = 0;
	}
	free(reply);
	return r;
}

static void guest_info(struct layer *l, struct json *to)
{
	const struct guest_volume *v = l->priv;

	js_str(to, "file_system", v->type);
	js_strf(to, "read_by", "libguestfs %s", v->version);
	js_str(to, "mounted", v->how);
}

static void guest_close(struct layer *l)
{
	struct guest_volume *v = l->priv;

	guest_put(v->g);
	free(v);
}

static const struct layer_ops guest_ops = {
	.name = "guest",
	.kind = LAYER_FILESYSTEM,
	.read = fs_read,
	.map = fs_map,
	.check = guest_check,
	.info = guest_info,
	.close = guest_close,
	.fs = &guest_fs,
};

static void take_answer(struct guest_volume *v, const char *reply, size_t len)
{
	const char *p = reply, *end = reply + len;

	snprintf(v->type, sizeof(v->type), "%s", next_text(&p, end));
	snprintf(v->how, sizeof(v->how), "%s", next_text(&p, end));
	snprintf(v->version, sizeof(v->version), "%s", next_text(&p, end));
	/* The type becomes part of a path. */
	if (!*v->type || v->type[strspn(v->type, "abcdefghijklmnopqrstuvwxyz0123456789")])
		strcpy(v->type, "guest");
	v->as_is = strstr(v->how, "norecovery") || strstr(v->how, "rescue");
}

int guest_attach(struct guest *g, struct layer *below, unsigned number, bool check)
{
	struct guest_volume *v = calloc(1, sizeof(*v));
	char *reply = NULL, why[400];
	struct layer *l = NULL;
	size_t len;
	int r = -ENOMEM;

	if (v) {
		*v = (struct guest_volume){.g = g, .number = number};
		r = ask_volume(v, GUEST_MOUNT, "", &reply, &len);
		take_answer(v, reply ? reply : "", reply ? len : 0);
		l = layer_new(below->s, &guest_ops, below, v->type);
	}
	if (!l) {
		free(v);
		free(reply);
		return -ENOMEM;
	}
	guest_get(g);
	l->priv = v;
	l->size = below->size;
	l->sector = below->sector;
	l->state = r;
	layer_attach(below, l);
	if (r && check)
		guest_check(l);
	if (r) {
		const char *p = reply;

		if (p)
			next_text(&p, reply + len);
		name_escape(p ? p : "", p ? strlen(p) : 0, why, sizeof(why));
		finding(l, GUEST_MOUNT_FAILED, 0, below->size,
			"the appliance's kernel does not mount it: %s", why);
	} else if (v->as_is) {
		finding(l, GUEST_NOT_REPLAYED, 0, below->size,
			"it is mounted only with the options %s: its log can't be replayed, or its "
			"trees are damaged",
			v->how);
	}
	free(reply);
	return r == -EINTR || r == -EPIPE ? r : 0;
}
