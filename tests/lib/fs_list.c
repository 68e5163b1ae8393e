/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fs_list.h"

#include <gcrypt.h>
#include <inttypes.h>
#include <stdio.h>

#include "vdiskck/core/span.h"

enum { PIECE = 65536 };

static int keep(void *arg, const struct fs_entry *e)
{
	struct fs_list *list = arg;

	if (list->n % 64 == 0)
		list->v = realloc(list->v, (list->n + 64) * sizeof(*list->v));
	if (!list->v)
		abort();
	list->v[list->n++] = (struct fs_item){.e = fs_entry_copy(e)};
	return 0;
}

static int by_path(const void *a, const void *b)
{
	const struct fs_item *x = a, *y = b;
	int r = strcmp(x->e->path, y->e->path);

	return r ? r : x->e->deleted - y->e->deleted;
}

static void hash(struct layer *fs, struct fs_item *item)
{
	static uint8_t buf[PIECE];
	const uint8_t *sum;
	gcry_md_hd_t h;
	struct layer *file = NULL;
	struct ranges bad = {0};

	assert_int_equal(fs->ops->fs->open_file(fs, item->e, &file), 0);
	assert_int_equal(file->size, item->e->size);
	assert_int_equal(gcry_md_open(&h, GCRY_MD_SHA256, 0), 0);
	for (uint64_t off = 0; off < file->size; off += PIECE) {
		size_t n = file->size - off < PIECE ? (size_t)(file->size - off) : PIECE;

		assert_int_equal(layer_read(file, off, buf, n, &bad), 0);
		gcry_md_write(h, buf, n);
	}
	sum = gcry_md_read(h, GCRY_MD_SHA256);
	for (int i = 0; i < 32; i++)
		sprintf(item->sha256 + 2 * i, "%02x", sum[i]);
	gcry_md_close(h);
	ranges_flatten(&bad);
	item->lost = ranges_bytes(&bad, GRADE_LOST);
	item->doubtful = ranges_bytes(&bad, GRADE_DOUBTFUL);
	ranges_free(&bad);
	layer_free(file);
}

void fs_list(struct layer *fs, bool deleted, struct fs_list *list)
{
	struct fs_query q = {.recursive = true, .deleted = deleted};

	*list = (struct fs_list){0};
	assert_int_equal(fs->ops->fs->walk(fs, &q, keep, list), 0);
	if (list->n)
		qsort(list->v, list->n, sizeof(*list->v), by_path);
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i].e->kind == FS_FILE)
			hash(fs, &list->v[i]);
}

void fs_list_free(struct fs_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		fs_entry_free(list->v[i].e);
	free(list->v);
	*list = (struct fs_list){0};
}

const struct fs_item *fs_listed(const struct fs_list *list, const char *path, bool deleted)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->v[i].e->path, path) && list->v[i].e->deleted == deleted)
			return &list->v[i];
	return NULL;
}

static int say(void *arg, const struct fs_owner *o)
{
	char *text = arg;

	if (o->kind == OWNER_FILE)
		snprintf(text, 512, "file %s at %" PRIu64, o->file->path, o->file_off);
	else if (o->kind == OWNER_STRUCTURE)
		snprintf(text, 512, "structure %s", o->structure);
	else
		snprintf(text, 512, "%s", o->kind == OWNER_FREE ? "free" : "unknown");
	return 0;
}

const char *fs_owner_of(struct layer *fs, uint64_t at)
{
	static char text[512];
	struct range one = {at, 1, GRADE_LOST, LAYER_UNKNOWN};
	struct ranges r = {&one, 1, 1};

	strcpy(text, "nobody");
	assert_int_equal(fs->ops->fs->owners(fs, &r, say, text), 0);
	return text;
}

struct image *fs_made(const char *script, struct fs_sums *sums)
{
	char dir[] = "/tmp/vdiskck-fs-XXXXXX", command[128], path[64], line[512];
	struct image *img = NULL;
	FILE *f;

	*sums = (struct fs_sums){0};
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/script", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f,
		"set -eu\nexport PATH=$PATH:/usr/sbin:/sbin LC_ALL=C.UTF-8\ncd %s\nmkdir tree\n%s\n"
		"cd tree; find . -type f -exec sha256sum {} + >../sums\n",
		dir, script);
	fclose(f);
	snprintf(command, sizeof(command), "bash %s/script >%s/log 2>&1", dir, dir);
	if (!system(command)) {
		snprintf(path, sizeof(path), "%s/disk", dir);
		img = image_file(path);
		snprintf(path, sizeof(path), "%s/sums", dir);
		f = fopen(path, "r");
		assert_non_null(f);
		while (sums->n < FS_SUMS && fgets(line, sizeof(line), f)) {
			struct fs_sum *s = &sums->v[sums->n++];

			line[strcspn(line, "\n")] = '\0';
			snprintf(s->sha256, sizeof(s->sha256), "%.64s", line);
			snprintf(s->path, sizeof(s->path), "%.255s", line + 67);
		}
		fclose(f);
	} else if (getenv("FS_MADE_LOG")) {
		snprintf(command, sizeof(command), "cat %s/log >&2", dir);
		(void)!system(command);
	}
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	(void)!system(command);
	return img;
}

unsigned fs_intact(const struct fs_list *list, const struct fs_sums *sums)
{
	unsigned n = 0;

	for (size_t i = 0; i < sums->n; i++) {
		const struct fs_item *item = fs_listed(list, sums->v[i].path, false);

		if (item && !item->lost && !strcmp(item->sha256, sums->v[i].sha256))
			n++;
		else if (getenv("FS_MADE_LOG"))
			fprintf(stderr, "%s: %s\n", sums->v[i].path,
				item ? "differs" : "not there");
	}
	return n;
}

struct tally {
	struct layer *fs;
	struct ranges all;
};

static int check_owner(void *arg, const struct fs_owner *o)
{
	struct tally *t = arg;
	struct layer *file = NULL;
	struct extent run;

	assert_true(o->len && range_inside(o->off, o->len, t->fs->size));
	ranges_add(&t->all, o->off, o->len, GRADE_LOST, LAYER_UNKNOWN);
	if (o->kind != OWNER_FILE || o->packed)
		return 0;
	assert_int_equal(t->fs->ops->fs->open_file(t->fs, o->file, &file), 0);
	assert_int_equal(layer_map(file, o->file_off, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	assert_int_equal(run.at, o->off);
	layer_free(file);
	return 0;
}

void assert_owners_agree(struct layer *fs)
{
	struct range whole = {0, fs->size, GRADE_LOST, LAYER_UNKNOWN};
	struct ranges r = {&whole, 1, 1};
	struct tally t = {.fs = fs};

	assert_int_equal(fs->ops->fs->owners(fs, &r, check_owner, &t), 0);
	ranges_flatten(&t.all);
	assert_int_equal(ranges_bytes(&t.all, GRADE_LOST), fs->size);
	ranges_free(&t.all);
}

enum { ENTRIES = 200, READ_MAX = 4 * PIECE }; /* of a hostile image, in one run */

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "broken promise: %s:%d: %s\n", __FILE__, __LINE__, #x);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct exercise {
	struct layer *fs;
	unsigned n;
	struct fs_entry *e[ENTRIES];
};

static int take(void *arg, const struct fs_entry *e)
{
	struct exercise *x = arg;

	MUST(e->path && e->path[0] == '/' && (!e->path[1] || e->path[strlen(e->path) - 1] != '/'));
	x->e[x->n] = fs_entry_copy(e);
	MUST(x->e[x->n]);
	return ++x->n == ENTRIES;
}

static void open_one(struct layer *fs, const struct fs_entry *e)
{
	static uint8_t buf[PIECE];
	struct layer *file = NULL;
	struct ranges bad = {0};
	struct fs_entry *again = NULL;

	if (!fs->ops->fs->open_file(fs, e, &file)) {
		for (uint64_t off = 0; off < file->size && off < READ_MAX; off += PIECE)
			MUST(!layer_read(file, off, buf,
					 file->size - off < PIECE ? (size_t)(file->size - off)
								  : PIECE,
					 &bad));
		for (size_t i = 0; i < bad.n; i++)
			MUST(range_inside(bad.v[i].off, bad.v[i].len, file->size));
		if (file->size)
			MUST(!layer_read(file, file->size - 1, buf, 1, NULL));
		layer_free(file);
	}
	ranges_free(&bad);
	fs->ops->fs->lookup(fs, e->path, &again);
	fs_entry_free(again);
}

static int cover(void *arg, const struct fs_owner *o)
{
	MUST(o->len && o->off + o->len > o->off);
	MUST(o->kind != OWNER_FILE || o->file);
	MUST(o->kind != OWNER_STRUCTURE || o->structure);
	ranges_add(arg, o->off, o->len, GRADE_LOST, LAYER_UNKNOWN);
	return 0;
}

static int inside(void *arg, uint64_t off, uint64_t len, bool slack)
{
	(void)arg;
	(void)slack;
	MUST(len && off + len > off);
	return 0;
}

void fs_exercise(struct layer *fs)
{
	struct exercise x = {.fs = fs};
	struct ranges all = {0}, got = {0};

	fs->ops->fs->walk(fs,
			  &(struct fs_query){.recursive = true, .deleted = true, .system = true},
			  take, &x);
	for (unsigned i = 0; i < x.n; i++) {
		if (i < ENTRIES / 4)
			open_one(fs, x.e[i]);
		fs_entry_free(x.e[i]);
	}
	ranges_add(&all, 0, fs->size, GRADE_LOST, LAYER_UNKNOWN);
	if (fs->ops->fs->owners && fs->size && !fs->ops->fs->owners(fs, &all, cover, &got)) {
		ranges_flatten(&got);
		MUST(ranges_bytes(&got, GRADE_LOST) >= fs->size);
	}
	if (fs->ops->fs->unused)
		fs->ops->fs->unused(fs, inside, &x);
	ranges_free(&all);
	ranges_free(&got);
}
