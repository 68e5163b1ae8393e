/* SPDX-License-Identifier: Apache-2.0 */
/* Files that triage takes along on request, and the hashes of the image. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/prim.h"
#include "formats/stack.h"
#include "vdiskck/core/source.h"
#include "vdiskck/core/text.h"
#include "vdiskck/extract.h"
#include "vdiskck/triage.h"

enum { PIECE = 4 << 20 };

struct wanted {
	struct filespec *v;
	size_t n;
};

static int want(struct wanted *w, const struct filespec *fs)
{
	struct filespec *more = realloc(w->v, (w->n + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	w->v = more;
	w->v[w->n++] = *fs;
	return 0;
}

/* What names no volume is looked for on all of them. */
static int want_spec(struct triage *t, struct wanted *w, const struct volumes *vs, const char *text)
{
	size_t before = w->n;
	struct filespec fs;
	int err = 0;

	if (!strchr("/\\*", *text)) {
		err = filespec_parse(&t->r, vs, text, false, &fs);
		return err ? 0 : want(w, &fs); /* why not was said */
	}
	for (size_t i = 0; i < vs->n && !err; i++) {
		err = filespec_on(&vs->v[i], text, &fs);
		if (!err)
			err = want(w, &fs);
		else if (err == -ENOENT || err == -ENOTDIR)
			err = 0;
	}
	if (!err && w->n == before)
		case_log(t->c, "--files %s: no such file", text);
	return err;
}

static void log_nothing(void *arg, const struct filespec *fs)
{
	struct triage *t = arg;

	case_log(t->c, "--files %s: no such file on %s", fs->text, fs->vol.l->path);
}

static int write_files(struct triage *t, struct extract *x, const struct wanted *w)
{
	struct case_tree in_case = {t->c, "files"};
	char *folder = case_path(t->c, "files");
	int err;

	case_made(t->c, "files");
	err = folder ? out_tree_open(&x->tree, &t->r.s, folder) : -ENOMEM;
	if (!err) {
		x->tree.making = case_tree_made;
		x->tree.arg = &in_case;
		case_made(t->c, "files/manifest.jsonl");
		err = extract_files(x, w->v, w->n);
	}
	free(folder);
	return err;
}

void triage_extract(struct triage *t)
{
	const char *const *spec = t->r.a->files;
	struct volumes vs = {0};
	struct wanted w = {0};
	struct extract x;
	int err;

	if (!spec || session_stopped(&t->r.s))
		return;
	extract_init(&x, &t->r);
	x.quiet = true;
	x.nothing = log_nothing;
	x.arg = t;
	err = volumes_find(&t->r, &vs);
	for (size_t i = 0; spec[i] && !err; i++)
		err = want_spec(t, &w, &vs, spec[i]);
	if (!err && w.n)
		err = write_files(t, &x, &w);
	if (err && err != -EINTR) {
		t->r.failed = true;
		t->unwritten = true;
	}
	extract_fini(&x);
	while (w.n)
		filespec_free(&w.v[--w.n]);
	free(w.v);
	volumes_free(&vs);
}

struct hashing {
	struct triage *t;
	const char *when;
	struct prim_digest *digest;
	uint8_t *buf;
};

static int hash_source(void *arg, struct layer *l)
{
	struct hashing *h = arg;
	struct session *s = &h->t->r.s;
	uint8_t sum[32];
	char hex[65], key[300];
	int r = 0;

	if (l->ops->kind != LAYER_SOURCE)
		return 0;
	for (uint64_t off = 0; off < l->size && !r; off += PIECE) {
		size_t n = l->size - off < PIECE ? (size_t)(l->size - off) : PIECE;
		struct ranges bad = {0};

		r = session_stopped(s) ? -EINTR : layer_read(l, off, h->buf, n, &bad);
		prim_digest_add(h->digest, h->buf, n);
		session_progress(s, "hashing", off, l->size);
		ranges_free(&bad);
	}
	prim_digest_end(h->digest, sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	snprintf(key, sizeof(key), "sha256 %s of %s", h->when, l->path);
	if (!r)
		triage_fact(h->t, key, hex);
	return r;
}

void triage_hash(struct triage *t, const char *when)
{
	struct hashing h = {t, when, prim_digest_open(PRIM_SHA256), malloc(PIECE)};
	int err = h.digest && h.buf ? stack_walk(t->r.source, hash_source, &h) : -ENOMEM;

	if (err && err != -EINTR)
		run_fail(&t->r, err, "the SHA-256 of the image");
	prim_digest_close(h.digest);
	free(h.buf);
}
