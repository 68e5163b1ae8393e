/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/extract.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/prim.h"
#include "vdiskck/core/ddmap.h"
#include "vdiskck/core/engine.h"
#include "vdiskck/core/text.h"
#include "vdiskck/out_file.h"
#include "vdiskck/out_text.h"

enum {
	SMALL = 1 << 20,    /* files up to this size are read at once */
	PLAIN = 64 << 10,   /* files up to this size are written at once, zeros and all */
	EXTENTS_MAX = 1000, /* in a record; the rest is counted */
	LOST_MAX = 1000,    /* ditto; FILE.map has all */
	TOLD = 20,	    /* files that standard error tells of */
};

/* Hashing zeros that no disk holds ends somewhere: a hostile size would keep us for years. */
static const uint64_t holes_hashed = 64ull << 30;

/* What became of one entry. */
struct outcome {
	uint64_t lost, doubtful;
	struct ranges bad;
	uint8_t sum[32];
	bool hashed;
	bool written;	     /* something of that name is in the output */
	const char *problem; /* why not all of it is there, or nothing; NULL */
	char text[128];	     /* for @problem */
};

int extract_worker_init(struct extract_worker *w, struct extract *x)
{
	*w = (struct extract_worker){.x = x, .dirs = {.t = &x->tree}};
	w->buf = malloc(SMALL);
	w->digest = prim_digest_open(PRIM_SHA256);
	return w->buf && w->digest ? 0 : -ENOMEM;
}

void extract_worker_free(struct extract_worker *w)
{
	out_dirs_close(&w->dirs);
	prim_digest_close(w->digest);
	free(w->buf);
	free(w->record.p);
	free(w->records.p);
	free(w->to.p);
	free(w->map_to.p);
}

/* Errors of the output that the next file will meet, too. */
static bool stops_all(int r)
{
	return r == -ENOSPC || r == -EDQUOT || r == -EIO || r == -EROFS || r == -ENOMEM ||
	       r == -EINTR || r == -EMFILE || r == -ENFILE;
}

static int copy_small(struct extract_worker *w, struct layer *file, struct out_file *o,
		      struct outcome *out)
{
	size_t len = (size_t)file->size;
	int r = layer_read(file, 0, w->buf, len, &out->bad);

	if (r)
		return r;
	prim_hash(PRIM_SHA256, w->buf, len, out->sum);
	out->hashed = true;
	if (len > PLAIN)
		return out_file_write(o, w->buf, len);
	o->sparse = false; /* one write(), and no size to set at the end */
	return out_file_write(o, w->buf, len);
}

struct copying {
	struct extract_worker *w;
	struct out_file *o;
	struct outcome *out;
	uint64_t holes;
};

static int deliver(void *arg, struct piece *p)
{
	static const uint8_t zeros[64 << 10];
	struct copying *c = arg;
	int r = ranges_append(&c->out->bad, &p->bad);

	if (r)
		return r;
	if (p->kind == EXTENT_DATA) {
		prim_digest_add(c->w->digest, p->buf, p->len);
		return out_file_write(c->o, p->buf, p->len);
	}
	c->holes += p->len;
	for (uint64_t left = p->len; left && c->holes <= holes_hashed;) {
		uint64_t n = left < sizeof(zeros) ? left : sizeof(zeros);

		if (session_stopped(&c->w->x->r->s))
			return -EINTR;
		prim_digest_add(c->w->digest, zeros, n);
		left -= n;
	}
	return out_file_zeros(c->o, p->len);
}

static int copy_large(struct extract_worker *w, struct layer *file, struct out_file *o,
		      struct outcome *out)
{
	struct copying c = {w, o, out, 0};
	struct engine e = {.l = file,
			   .len = file->size,
			   .order = ENGINE_IN_ORDER,
			   .deliver = deliver,
			   .arg = &c};
	int r;

	pthread_mutex_lock(&w->x->big);
	r = engine_run(&e);
	pthread_mutex_unlock(&w->x->big);
	prim_digest_end(w->digest, out->sum);
	out->hashed = !r && c.holes <= holes_hashed;
	return r;
}

static void set_times(int fd, const struct fs_entry *e)
{
	struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	if (e->accessed.set)
		t[0] = (struct timespec){e->accessed.sec, e->accessed.nsec % 1000000000};
	if (e->modified.set)
		t[1] = (struct timespec){e->modified.sec, e->modified.nsec % 1000000000};
	if (e->accessed.set || e->modified.set)
		futimens(fd, t); /* what a file system can't store is in the manifest */
}

/* The file's map beside it: a file that is not all there is never without. */
static int write_map(struct extract_worker *w, const struct batch *b, const struct fs_entry *e,
		     struct outcome *out, uint64_t size)
{
	int fd = out_dirs_file(&w->dirs, b->root, e->path, e->stream, ".map", &w->map_to), r;
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f) {
		r = fd < 0 ? fd : -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	r = ddmap_write(f, &out->bad, size);
	if (fclose(f) && !r)
		r = -errno;
	return r;
}

static int copy_data(struct extract_worker *w, struct layer *file, const struct batch *b,
		     const struct fs_entry *e, struct outcome *out)
{
	struct out_file o = {.s = &w->x->r->s, .fd = -1, .sparse = true};
	int fd = out_dirs_file(&w->dirs, b->root, e->path, e->stream, "", &w->to), r, closed;

	if (fd < 0)
		return fd;
	o.fd = fd;
	out->written = true;
	r = file->size <= SMALL ? copy_small(w, file, &o, out) : copy_large(w, file, &o, out);
	if (!r && o.sparse && ftruncate(fd, (off_t)o.at))
		r = -errno;
	set_times(fd, e);
	o.sparse = false; /* its size is set, and would move its times */
	closed = out_file_close(&o);
	if (!r)
		r = closed;
	ranges_sort(&out->bad);
	out->lost = ranges_bytes(&out->bad, GRADE_LOST);
	out->doubtful = ranges_bytes(&out->bad, GRADE_DOUBTFUL);
	if (!r && out->lost)
		r = write_map(w, b, e, out, file->size);
	return r;
}

/* Where the bytes of the file are stored, down to the image file. */
static void put_extents(struct line *l, struct layer *file)
{
	uint64_t off = 0, n = 0;
	struct extent run;

	line_text(l, ",\"extents\":[");
	for (; off < file->size && n < EXTENTS_MAX; n++) {
		uint64_t end;

		if (layer_resolve(file, off, &run))
			break;
		end = run.off + run.len;
		if (run.off < off && run.kind == EXTENT_DATA && !run.packed)
			run.at += off - run.off;
		line_text(l, n ? ",{\"offset\":" : "{\"offset\":");
		line_u64(l, run.packed ? run.off : off);
		line_text(l, ",\"length\":");
		line_u64(l, end - (run.packed ? run.off : off));
		if (run.kind == EXTENT_DATA) {
			line_text(l, ",\"in\":");
			line_json(l, run.in->path);
			line_text(l, ",\"at\":");
			line_u64(l, run.at);
			if (run.packed) {
				line_text(l, ",\"packed\":");
				line_u64(l, run.packed);
			}
		} else {
			line_text(l, run.kind == EXTENT_ZERO ? ",\"zero\":true" : ",\"lost\":true");
		}
		line_text(l, "}");
		off = end > off ? end : off + 1;
	}
	line_text(l, "]");
	if (off < file->size)
		line_text(l, ",\"extents_cut\":true");
}

static void put_bad(struct line *l, const struct outcome *out)
{
	line_text(l, ",\"lost\":");
	line_u64(l, out->lost);
	if (out->doubtful) {
		line_text(l, ",\"doubtful\":");
		line_u64(l, out->doubtful);
	}
	if (!out->bad.n)
		return;
	line_text(l, ",\"ranges\":[");
	for (size_t i = 0; i < out->bad.n && i < LOST_MAX; i++) {
		const struct range *b = &out->bad.v[i];

		line_text(l, i ? ",{\"offset\":" : "{\"offset\":");
		line_u64(l, b->off);
		line_text(l, ",\"length\":");
		line_u64(l, b->len);
		line_text(l, b->grade == GRADE_LOST ? ",\"state\":\"lost\",\"why\":"
						    : ",\"state\":\"doubtful\",\"why\":");
		line_json(l, finding_name(b->why));
		line_text(l, "}");
	}
	line_text(l, "]");
}

static void put_hash(struct line *l, const uint8_t sum[32])
{
	char hex[65];

	for (int i = 0; i < 32; i++) {
		hex[2 * i] = "0123456789abcdef"[sum[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[sum[i] & 15];
	}
	line_text(l, ",\"sha256\":\"");
	line_bytes(l, hex, 64);
	line_text(l, "\"");
}

static void problem(struct outcome *out, const char *what, int r)
{
	snprintf(out->text, sizeof(out->text), "%s%s%s", what, r && *what ? ": " : "",
		 r ? strerror(-r) : "");
	out->problem = out->text;
}

static int do_file(struct extract_worker *w, const struct batch *b, const struct fs_entry *e,
		   struct outcome *out)
{
	struct layer *fs = b->vol->l, *file = NULL;
	int r = fs->ops->fs->open_file(fs, e, &file);

	if (r && !stops_all(r))
		problem(out, "can't be read", r);
	if (r)
		return stops_all(r) ? r : 0;
	r = copy_data(w, file, b, e, out);
	if (r && !stops_all(r)) {
		problem(out, out->written ? "not all of it was written" : "could not be written",
			r);
		r = 0;
	}
	put_bad(&w->record, out);
	put_extents(&w->record, file);
	if (out->hashed)
		put_hash(&w->record, out->sum);
	layer_free(file);
	return r;
}

/* Times of folders are set when all is written: what is made in them would move them. */
static int remember_folder(struct extract *x, const char *root, const struct fs_entry *e,
			   const char *to)
{
	struct folder_time f = {.t = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}}};
	const char *slash = strrchr(to, '/'), *name = slash ? slash + 1 : to;
	size_t n = strlen(root) + 1, m = strlen(e->path) + 1;
	int r = 0;

	if (e->accessed.set)
		f.t[0] = (struct timespec){e->accessed.sec, e->accessed.nsec % 1000000000};
	if (e->modified.set)
		f.t[1] = (struct timespec){e->modified.sec, e->modified.nsec % 1000000000};
	f.root_path = malloc(n + m + strlen(name) + 1);
	if (!f.root_path)
		return -ENOMEM;
	memcpy(f.root_path, root, n);
	memcpy(f.root_path + n, e->path, m);
	strcpy(f.root_path + n + m, name);
	pthread_mutex_lock(&x->lock);
	if (x->n_folders == x->folders_cap) {
		size_t cap = x->folders_cap ? 2 * x->folders_cap : 64;
		struct folder_time *more = realloc(x->folder, cap * sizeof(*more));

		if (more) {
			x->folder = more;
			x->folders_cap = cap;
		} else {
			r = -ENOMEM;
		}
	}
	if (!r)
		x->folder[x->n_folders++] = f;
	pthread_mutex_unlock(&x->lock);
	if (r)
		free(f.root_path);
	return r;
}

static int do_folder(struct extract_worker *w, const struct batch *b, const struct fs_entry *e,
		     struct outcome *out)
{
	int fd = out_dirs_folder(&w->dirs, b->root, e->path, &w->to);

	if (fd < 0 && !stops_all(fd))
		problem(out, "could not be made", fd);
	out->written = fd >= 0;
	if (fd < 0)
		return stops_all(fd) ? fd : 0;
	return remember_folder(w->x, b->root, e, w->to.p);
}

static int do_link(struct extract_worker *w, const struct batch *b, const struct fs_entry *e,
		   struct outcome *out)
{
	char *target = e->target ? strdup(e->target) : NULL;
	int r = target ? 0 : -EXDEV;

	for (char *p = target; b->vol->windows && p && *p; p++) {
		*p = *p == '\\' ? '/' : *p;
		r = *p == ':' ? -EXDEV : r; /* a drive */
	}
	if (!r)
		r = out_dirs_link(&w->dirs, b->root, e->path, target, &w->to);
	free(target);
	out->written = !r;
	if (r == -EXDEV)
		line_text(&w->record, ",\"skipped\":\"link that leads out\"");
	else if (r && !stops_all(r))
		problem(out, "could not be made", r);
	return stops_all(r) ? r : 0;
}

static void tell(struct extract *x, const struct fs_entry *e, const struct outcome *out)
{
	char size[SIZE_TEXT];

	if (x->quiet || x->told++ >= TOLD)
		return;
	progress_wipe(&x->r->progress);
	fputs("vdiskck: ", stderr);
	text_put(stderr, e->path);
	if (out->problem)
		fprintf(stderr, ": %s", out->problem);
	if (out->lost)
		fprintf(stderr, ": %s lost", size_text(out->lost, size));
	if (out->doubtful)
		fprintf(stderr, ": %s doubtful", size_text(out->doubtful, size));
	if (e->overwritten)
		fprintf(stderr, ": %s overwritten since it was deleted",
			size_text(e->overwritten, size));
	else if (entry_doubtful(e))
		fprintf(stderr, ": data %s", fs_sure_name(e->data_sure));
	fputc('\n', stderr);
}

static void count(struct extract *x, const struct fs_entry *e, const struct outcome *out)
{
	bool bad = out->lost || out->doubtful || (e->kind == FS_FILE && entry_doubtful(e));

	pthread_mutex_lock(&x->lock);
	if (out->problem || bad)
		tell(x, e, out);
	if (out->problem)
		x->left++;
	else if (bad)
		x->damaged++;
	if (out->written && e->kind == FS_FILE) {
		x->files++;
		x->bytes += e->size;
	}
	x->folders += out->written && e->kind == FS_DIR;
	x->links += out->written && e->kind == FS_SYMLINK;
	x->lost += out->lost;
	pthread_mutex_unlock(&x->lock);
}

int extract_entry(struct extract_worker *w, const struct batch *b, const struct fs_entry *e)
{
	struct outcome out = {0};
	int r = 0;

	w->record.len = w->to.len = w->map_to.len = 0;
	entry_json(&w->record, b->vol->l->path, e);
	if (e->kind == FS_FILE)
		r = do_file(w, b, e, &out);
	else if (e->kind == FS_DIR)
		r = do_folder(w, b, e, &out);
	else if (e->kind == FS_SYMLINK)
		r = do_link(w, b, e, &out);
	else
		line_text(&w->record, ",\"skipped\":\"device, FIFO or socket\"");
	if (out.written) {
		line_text(&w->record, ",\"output\":");
		line_json(&w->record, w->to.len ? w->to.p : ".");
	}
	if (w->map_to.len) {
		line_text(&w->record, ",\"map\":");
		line_json(&w->record, w->map_to.p);
	}
	if (out.problem) {
		line_text(&w->record, ",\"error\":");
		line_json(&w->record, out.problem);
	}
	line_text(&w->record, "}\n");
	line_bytes(&w->records, w->record.p, w->record.len);
	if (!r)
		count(w->x, e, &out);
	ranges_free(&out.bad);
	return r ? r : w->record.failed || w->records.failed ? -ENOMEM : 0;
}
