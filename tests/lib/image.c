/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/image.h"

#include <errno.h>
#include <stdio.h>

#include "crypto/keys.h"
#include "formats/stack.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/source.h"

struct memory {
	const uint8_t *buf;
};

static int memory_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	const struct memory *m = l->priv;

	(void)bad;
	memcpy(buf, m->buf + off, len);
	return 0;
}

static int memory_map(struct layer *l, uint64_t off, struct extent *run)
{
	run->kind = EXTENT_DATA;
	run->in = l;
	run->at = off;
	run->len = l->size - off;
	run->exact = true;
	return 0;
}

static void memory_close(struct layer *l)
{
	free(l->priv);
}

static const struct layer_ops memory_ops = {
	.name = "memory",
	.kind = LAYER_SOURCE,
	.read = memory_read,
	.map = memory_map,
	.close = memory_close,
};

struct layer *memory_source(struct session *s, const char *name, const void *buf, size_t len)
{
	struct layer *l = layer_new(s, &memory_ops, NULL, name);
	struct memory *m = malloc(sizeof(*m));

	if (!l || !m)
		abort();
	m->buf = buf;
	l->priv = m;
	l->size = len;
	return l;
}

static void on_finding(void *arg, const struct finding *f)
{
	struct image *img = arg;
	struct seen *s;

	if (img->n_seen % 64 == 0) {
		img->seen = realloc(img->seen, (img->n_seen + 64) * sizeof(*img->seen));
		if (!img->seen)
			abort();
	}
	s = &img->seen[img->n_seen++];
	*s = (struct seen){.id = f->id, .fact = f->fact};
	snprintf(s->layer, sizeof(s->layer), "%s", f->layer->path);
	snprintf(s->message, sizeof(s->message), "%s", f->message);
	if (f->fact.stored)
		snprintf(s->stored, sizeof(s->stored), "%s", f->fact.stored);
	if (f->fact.expected)
		snprintf(s->expected, sizeof(s->expected), "%s", f->fact.expected);
}

struct image *image_new(size_t len)
{
	struct image *img = calloc(1, sizeof(*img));

	if (!img)
		abort();
	image_resize(img, len);
	return img;
}

struct image *image_file(const char *path)
{
	struct image *img;
	FILE *f = fopen(path, "rb");
	long len = 0;

	if (!f || fseek(f, 0, SEEK_END) || (len = ftell(f)) < 0 || fseek(f, 0, SEEK_SET))
		fail_msg("%s: %s", path, strerror(errno));
	img = image_new((size_t)len);
	if (len && fread(img->buf, (size_t)len, 1, f) != 1)
		fail_msg("%s: short read", path);
	fclose(f);
	return img;
}

struct image *image_path(const char *path)
{
	struct image *img = image_new(0);

	img->path = path;
	return img;
}

void image_key(struct image *img, int kind, const void *data, size_t len)
{
	if (keys_add(&img->keys, (enum key_kind)kind, NULL, data, len))
		abort();
}

void image_no_keys(struct image *img)
{
	image_close(img);
	keys_free(img->keys);
	img->keys = NULL;
}

void image_free(struct image *img)
{
	image_no_keys(img);
	free(img->seen);
	free(img->buf);
	free(img);
}

void image_resize(struct image *img, size_t len)
{
	uint8_t *buf = realloc(img->buf, len ? len : 1);

	if (!buf)
		abort();
	if (len > img->len)
		memset(buf + img->len, 0, len - img->len);
	img->buf = buf;
	img->len = len;
}

void image_poke(struct image *img, uint64_t off, const void *bytes, size_t n)
{
	assert_true(off <= img->len && n <= img->len - off);
	memcpy(img->buf + off, bytes, n);
}

#define POKE(name, type, bits)                                                                     \
	void image_##name(struct image *img, uint64_t off, uint##bits##_t v)                       \
	{                                                                                          \
		type##_t d = to_##type(v);                                                         \
		image_poke(img, off, &d, sizeof(d));                                               \
	}
POKE(be32, be32, 32)
POKE(be64, be64, 64)
POKE(le32, le32, 32)
POKE(le64, le64, 64)

void image_write(const struct image *img, const char *path)
{
	FILE *f = fopen(path, "wb");

	if (!f || (img->len && fwrite(img->buf, img->len, 1, f) != 1) || fclose(f))
		fail_msg("%s: %s", path, strerror(errno));
}

void image_close(struct image *img)
{
	if (!img->source)
		return;
	layer_free(img->source);
	session_fini(&img->s);
	img->source = img->top = NULL;
}

static void start(struct image *img)
{
	image_close(img);
	img->n_seen = 0;
	session_init(&img->s);
	img->s.on_finding = on_finding;
	img->s.arg = img;
	img->s.keys = img->keys;
	img->s.opt.header = img->headers;
	if (!img->path)
		img->source = memory_source(&img->s, "test.img", img->buf, img->len);
	else if (source_open(&img->s, img->path, &img->source))
		fail_msg("%s can't be opened", img->path);
}

void image_open(struct image *img, const struct layer_ops *ops)
{
	start(img);
	img->top = layer_new(&img->s, ops, img->source, ops->name);
	if (!img->top)
		abort();
	layer_attach(img->source, img->top);
	img->err = img->top->state = ops->open(img->top);
}

void image_check(struct image *img, const struct layer_ops *ops)
{
	image_open(img, ops);
	if (!img->err && ops->check)
		img->err = ops->check(img->top);
}

static int check_one(void *arg, struct layer *l)
{
	(void)arg;
	return !l->state && l->ops->check ? l->ops->check(l) : 0;
}

void image_discover(struct image *img)
{
	start(img);
	img->err = stack_discover(img->source);
	img->top = img->source->child;
	if (!img->err)
		img->err = stack_walk(img->source, check_one, NULL);
}

struct image *image_stack(const char *path, const char *const *chain)
{
	return image_stack_map(path, chain, NULL);
}

struct image *image_stack_map(const char *path, const char *const *chain, const char *bad_map)
{
	struct image *img = image_new(0);

	session_init(&img->s);
	img->s.on_finding = on_finding;
	img->s.arg = img;
	img->s.opt.chain = chain;
	img->s.opt.bad_map = bad_map;
	img->err = stack_open(&img->s, path, &img->source);
	if (!img->err)
		img->err = stack_walk(img->source, check_one, NULL);
	img->top = img->source ? img->source->child : NULL;
	return img;
}

size_t image_seen(const struct image *img, enum finding_id id, uint64_t at)
{
	size_t n = 0;

	for (size_t i = 0; i < img->n_seen; i++)
		n += img->seen[i].id == id && (at == ANYWHERE || img->seen[i].fact.at == at);
	return n;
}

const struct seen *image_first(const struct image *img, enum finding_id id)
{
	for (size_t i = 0; i < img->n_seen; i++)
		if (img->seen[i].id == id)
			return &img->seen[i];
	return NULL;
}

size_t image_worse(const struct image *img, enum severity least)
{
	size_t n = 0;

	for (size_t i = 0; i < img->n_seen; i++)
		n += finding_severity(img->seen[i].id) >= least;
	return n;
}

void image_print(const struct image *img)
{
	for (size_t i = 0; i < img->n_seen; i++) {
		const struct seen *s = &img->seen[i];

		fprintf(stderr,
			"  %s: %s at %#llx+%#llx of %#llx+%#llx%s: %s (stored %s, expected %s)\n",
			s->layer, finding_name(s->id), (unsigned long long)s->fact.at,
			(unsigned long long)s->fact.at_len, (unsigned long long)s->fact.off,
			(unsigned long long)s->fact.len, s->fact.lost ? " lost" : "", s->message,
			s->stored, s->expected);
	}
}

static void read_all(struct layer *l, uint64_t off, uint64_t len, struct ranges *bad)
{
	enum { PIECE = 1 << 20 };
	uint8_t *buf = malloc(PIECE);

	if (!buf)
		abort();
	while (len) {
		size_t n = len < PIECE ? (size_t)len : PIECE;

		assert_int_equal(layer_read(l, off, buf, n, bad), 0);
		off += n;
		len -= n;
	}
	free(buf);
	ranges_sort(bad);
}

bool image_readable(struct image *img, uint64_t off, uint64_t len)
{
	struct ranges bad = {0};
	bool good;

	read_all(img->top, off, len, &bad);
	good = !bad.n;
	for (size_t i = 0; i < bad.n; i++)
		fprintf(stderr, "  %#llx+%#llx: %s\n", (unsigned long long)bad.v[i].off,
			(unsigned long long)bad.v[i].len, finding_name(bad.v[i].why));
	ranges_free(&bad);
	return good;
}

bool image_lost(struct image *img, uint64_t off, uint64_t len, enum finding_id why)
{
	struct ranges bad = {0};
	bool all;

	read_all(img->top, off, len, &bad);
	all = bad.n == 1 && bad.v[0].off == off && bad.v[0].len == len &&
	      bad.v[0].grade == GRADE_LOST && bad.v[0].why == why;
	if (!all)
		for (size_t i = 0; i < bad.n; i++)
			fprintf(stderr, "  %#llx+%#llx: %s\n", (unsigned long long)bad.v[i].off,
				(unsigned long long)bad.v[i].len, finding_name(bad.v[i].why));
	ranges_free(&bad);
	return all;
}

void image_exercise(struct layer *top)
{
	enum { PIECE = 65536 + 512, RUNS = 4096 };
	static uint8_t buf[PIECE];
	struct ranges bad = {0};
	uint64_t off = 0;

	/* Runs, up to a budget: a sparse disk of exabytes is legal. */
	for (int i = 0; i < RUNS && off < top->size; i++) {
		struct extent run;
		struct where w[WHERE_MAX];

		if (layer_map(top, off, &run))
			break;
		if (run.len == 0 || run.off > off || off - run.off >= run.len)
			abort(); /* map() broke its promise */
		layer_where(top, off, run.len, w, WHERE_MAX);
		layer_read(top, off, buf, PIECE, &bad);
		if (run.len > 2 * PIECE)
			layer_read(top, run.off + run.len - PIECE, buf, PIECE, &bad);
		ranges_free(&bad);
		off = run.off + run.len;
	}
	if (top->size > PIECE)
		layer_read(top, top->size - PIECE / 2, buf, PIECE, &bad);
	ranges_free(&bad);
}
