/* SPDX-License-Identifier: Apache-2.0 */
/* From the walk over a file system to the threads that write, and the manifest of both. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vdiskck/core/json.h"
#include "vdiskck/extract.h"
#include "vdiskck/out_json.h"

enum { WORKERS_MAX = 64, BATCHES_PER_WORKER = 4, MANIFEST_BUFFER = 1 << 17 };

static void batch_free(struct batch *b)
{
	for (size_t i = 0; b && i < b->n; i++)
		fs_entry_free(b->e[i]);
	free(b);
}

/* What is being collected, between the walk and the workers. */
struct feed {
	struct extract *x;
	const struct volume *vol;
	const char *root;
	struct batch *b;
};

/* Hand the batch over; waits while the workers have enough to do. 0, or what stopped them. */
static int flush(struct feed *f)
{
	struct extract *x = f->x;
	struct batch *b = f->b;
	int err;

	if (!b)
		return 0;
	f->b = NULL;
	pthread_mutex_lock(&x->lock);
	while (x->n_queue == x->queue_max && !x->err)
		pthread_cond_wait(&x->wake, &x->lock);
	err = x->err;
	if (!err)
		x->queue[x->n_queue++] = b;
	pthread_cond_broadcast(&x->wake);
	pthread_mutex_unlock(&x->lock);
	if (err)
		batch_free(b);
	return err;
}

static int on_entry(void *arg, const struct fs_entry *e)
{
	struct feed *f = arg;

	if (session_stopped(&f->x->r->s))
		return -EINTR;
	if (f->x->deleted && !e->deleted)
		return 0; /* of a tree; without -d, a deleted file that is named is meant */
	if (!f->b) {
		f->b = calloc(1, sizeof(*f->b));
		if (!f->b)
			return -ENOMEM;
		f->b->vol = f->vol;
		f->b->root = f->root;
	}
	f->b->e[f->b->n] = fs_entry_copy(e);
	if (!f->b->e[f->b->n])
		return -ENOMEM;
	return ++f->b->n == BATCH ? flush(f) : 0;
}

static int write_records(struct extract *x, struct line *l)
{
	int r = 0;

	if (fwrite(l->p, 1, l->len, x->manifest) != l->len)
		r = -errno;
	if (x->records)
		fwrite(l->p, 1, l->len, stdout);
	l->len = 0;
	return r;
}

static void *worker_main(void *arg)
{
	struct extract *x = arg;
	struct extract_worker w;
	int r = extract_worker_init(&w, x);

	pthread_mutex_lock(&x->lock);
	for (;;) {
		struct batch *b;

		if (r && !x->err)
			x->err = r;
		while (!x->n_queue && !x->ended && !x->err)
			pthread_cond_wait(&x->wake, &x->lock);
		if (x->err || !x->n_queue)
			break;
		b = x->queue[0];
		memmove(x->queue, x->queue + 1, --x->n_queue * sizeof(*x->queue));
		pthread_cond_broadcast(&x->wake);
		pthread_mutex_unlock(&x->lock);
		for (size_t i = 0; i < b->n && !r; i++)
			r = session_stopped(&x->r->s) ? -EINTR : extract_entry(&w, b, b->e[i]);
		batch_free(b);
		session_progress(&x->r->s, "extracting", x->bytes, 0);
		pthread_mutex_lock(&x->lock);
		if (w.records.len) {
			int err = write_records(x, &w.records);

			r = r ? r : err;
		}
	}
	pthread_cond_broadcast(&x->wake);
	pthread_mutex_unlock(&x->lock);
	extract_worker_free(&w);
	return NULL;
}

/* The tree of one FILE. */
static int extract_spec(struct extract *x, const struct filespec *fs, const char *root)
{
	struct feed f = {.x = x, .vol = &fs->vol, .root = root};
	struct filespec_walk w = {.recursive = true,
				  .deleted = x->deleted || x->all,
				  .system = x->all,
				  .fn = on_entry,
				  .arg = &f};
	int err;

	x->trees |= fs->glob || !fs->e || fs->e->kind == FS_DIR;
	err = filespec_walk(fs, &w);
	if (err == -ENOENT && x->nothing) {
		x->nothing(x->arg, fs);
		err = 0;
	}
	if (!err)
		err = flush(&f);
	batch_free(f.b);
	if (err && err != -EINTR && !x->err)
		return run_fail(x->r, err, "%s: %s", x->r->a->image, fs->text);
	return err;
}

/* Files of several volumes are kept apart: each under the path of its file system. */
static int extract_specs(struct extract *x, const struct filespec *fs, size_t n)
{
	pthread_t thread[WORKERS_MAX];
	unsigned jobs = session_jobs(&x->r->s), started = 0;
	bool several = false;
	int err = 0;

	for (size_t i = 1; i < n; i++)
		several |= fs[i].vol.l != fs[0].vol.l;
	jobs = jobs > WORKERS_MAX ? WORKERS_MAX : jobs;
	x->queue_max = (size_t)jobs * BATCHES_PER_WORKER;
	x->queue = calloc(x->queue_max, sizeof(*x->queue));
	if (!x->queue)
		return -ENOMEM;
	while (started < jobs && !pthread_create(&thread[started], NULL, worker_main, x))
		started++;
	if (!started)
		err = -EAGAIN;
	for (size_t i = 0; i < n && !err; i++)
		err = extract_spec(x, &fs[i], several ? fs[i].vol.l->path : "");
	pthread_mutex_lock(&x->lock);
	x->ended = true;
	if (err && !x->err)
		x->err = err;
	pthread_cond_broadcast(&x->wake);
	pthread_mutex_unlock(&x->lock);
	while (started)
		pthread_join(thread[--started], NULL);
	while (x->n_queue)
		batch_free(x->queue[--x->n_queue]);
	free(x->queue);
	return x->err;
}

static void set_folder_times(struct extract *x)
{
	struct out_dirs d = {.t = &x->tree};

	for (size_t i = x->n_folders; i > 0; i--) {
		struct folder_time *f = &x->folder[i - 1];
		const char *path = f->root_path + strlen(f->root_path) + 1;

		out_dirs_times(&d, f->root_path, path, path + strlen(path) + 1, f->t);
		free(f->root_path);
	}
	free(x->folder);
	out_dirs_close(&d);
}

/* The manifest is the first file of the tree, so that no name from disk can be its. */
static int open_manifest(struct extract *x)
{
	int fd =
		openat(x->tree.fd, "manifest.jsonl", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	struct json *head;

	x->manifest = fd < 0 ? NULL : fdopen(fd, "w");
	if (!x->manifest) {
		if (fd >= 0)
			close(fd);
		return run_fail(x->r, -errno, "%s/manifest.jsonl", x->tree.path);
	}
	x->buffer = malloc(MANIFEST_BUFFER);
	if (x->buffer)
		setvbuf(x->manifest, x->buffer, _IOFBF, MANIFEST_BUFFER);
	head = json_header(x->r->a);
	fprintf(x->manifest, "%s\n", js_line(head));
	js_free(head);
	return 0;
}

static int close_manifest(struct extract *x)
{
	int r = ferror(x->manifest) ? -EIO : 0;

	if (fclose(x->manifest) && !r)
		r = -errno;
	x->manifest = NULL;
	free(x->buffer);
	x->buffer = NULL;
	return r ? run_fail(x->r, r, "%s/manifest.jsonl", x->tree.path) : 0;
}

void extract_init(struct extract *x, struct run *r)
{
	*x = (struct extract){.r = r, .tree = {.fd = -1}};
	pthread_mutex_init(&x->lock, NULL);
	pthread_mutex_init(&x->big, NULL);
	pthread_cond_init(&x->wake, NULL);
}

void extract_fini(struct extract *x)
{
	out_tree_close(&x->tree);
	pthread_cond_destroy(&x->wake);
	pthread_mutex_destroy(&x->big);
	pthread_mutex_destroy(&x->lock);
}

int extract_files(struct extract *x, const struct filespec *fs, size_t n)
{
	int err = open_manifest(x), closed;

	if (err)
		return err;
	err = extract_specs(x, fs, n);
	set_folder_times(x);
	run_interrupted(x->r, "what the manifest lists was written", "the rest was not");
	if (err && err != -EINTR && !x->r->failed)
		run_fail(x->r, err, "%s", x->tree.path);
	closed = close_manifest(x);
	return err ? err : closed;
}
