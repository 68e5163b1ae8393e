/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever of NTFS's own structures is lost, alone or in pairs: every file whose own records, data
 * and folders' records survive comes out under its path with its SHA-256, as ntfs-3g gave it, and
 * some finding says that something is wrong.
 */
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/ntfs.h"
#include "tests/lib/ntfs_volume.h"

/* What a file needs to come out: bytes of the volume. */
struct need {
	const struct ntfs_file *file;
	struct ranges r;
};

struct matrix {
	struct ntfs_volume *v;
	struct need *needs;
	size_t n_needs;
	uint64_t backup, mft, mirr, root, root_index, bitmap, bitmap_len, torn;
	struct image *img; /* what damage is done to */
};

/* ---- what each file needs, from the volume as it is whole ---- */

static void need_record(struct ntfs *n, struct ranges *r, uint64_t number)
{
	uint64_t at = ntfs_record_at(n, number, 0);

	assert_true(at != UINT64_MAX);
	ranges_add(r, at, n->g.record, GRADE_LOST, LAYER_UNKNOWN);
}

static void need_file_records(struct layer *l, struct ranges *r, uint64_t number)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));

	assert_int_equal(ntfs_inode_load(l, number, ino), 0);
	need_record(l->priv, r, number);
	for (size_t i = 0; i < ino->n_attrs; i++)
		if (ino->attrs[i].record != number)
			need_record(l->priv, r, ino->attrs[i].record);
	ntfs_inode_free(ino);
	free(ino);
}

static void need_data(struct layer *l, struct ranges *r, const struct fs_entry *e)
{
	struct layer *file;

	assert_int_equal(l->ops->fs->open_file(l, e, &file), 0);
	for (uint64_t off = 0; off < file->size;) {
		struct extent run;

		assert_int_equal(layer_map(file, off, &run), 0);
		if (run.kind == EXTENT_DATA)
			ranges_add(r, run.at, run.packed ? run.packed : run.len, GRADE_LOST,
				   LAYER_UNKNOWN);
		off = run.off + run.len;
	}
	layer_free(file);
}

/* The folders on the way; the root's record is not needed for a path. */
static void need_folders(struct layer *l, struct ranges *r, const char *path)
{
	char *dir = strdup(path), *slash;

	while ((slash = strrchr(dir, '/')) && slash != dir) {
		struct fs_entry *e;

		*slash = '\0';
		assert_int_equal(l->ops->fs->lookup(l, dir, &e), 0);
		need_record(l->priv, r, e->id);
		fs_entry_free(e);
	}
	free(dir);
}

static void learn_needs(struct matrix *m, struct layer *l)
{
	m->needs = calloc(m->v->n_files, sizeof(*m->needs));
	for (size_t i = 0; i < m->v->n_files; i++) {
		struct need *need = &m->needs[m->n_needs++];
		struct fs_entry *e = NULL;

		need->file = &m->v->files[i];
		assert_int_equal(l->ops->fs->lookup(l, need->file->path, &e), 0);
		need_file_records(l, &need->r, e->id);
		need_data(l, &need->r, e);
		need_folders(l, &need->r, need->file->path);
		ranges_sort(&need->r);
		fs_entry_free(e);
	}
}

static void learn_places(struct matrix *m, struct layer *l)
{
	struct ntfs *n = l->priv;
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	struct ntfs_stream s;
	struct fs_entry *e;

	m->backup = n->g.sectors * n->g.sector;
	m->mft = n->g.mft_lcn * n->g.cluster;
	m->mirr = n->g.mirr_lcn * n->g.cluster;
	m->root = ntfs_record_at(n, NTFS_ROOT, 0);
	/* The root's index lies in its record; with blocks, that of a folder with 300 files does. */
	assert_int_equal(l->ops->fs->lookup(l, "/many", &e), 0);
	assert_int_equal(ntfs_inode_load(l, e->id, ino), 0);
	assert_int_equal(ntfs_stream_get(l, ino, NTFS_INDEX_ALLOCATION,
					 ntfs_inode_find(ino, NTFS_INDEX_ALLOCATION, "$I30")->name,
					 &s),
			 0);
	m->root_index = s.runs.v[0].at;
	fs_runs_free(&s.runs);
	ntfs_inode_free(ino);
	fs_entry_free(e);
	assert_int_equal(ntfs_inode_load(l, NTFS_BITMAP_FILE, ino), 0);
	assert_int_equal(ntfs_stream_get(l, ino, NTFS_DATA, (struct span){0}, &s), 0);
	m->bitmap = s.runs.v[0].at;
	m->bitmap_len = s.size;
	fs_runs_free(&s.runs);
	ntfs_inode_free(ino);
	assert_int_equal(l->ops->fs->lookup(l, "/small/s7.txt", &e), 0);
	m->torn = ntfs_record_at(n, e->id, 0);
	fs_entry_free(e);
	free(ino);
}

/* ---- damage ---- */

/* What is damaged in a cell, for deciding who survives. */
static void spoil(struct matrix *m, struct ranges *hurt, uint64_t off, uint64_t len)
{
	for (uint64_t i = off; i < off + len && i < m->img->len; i++)
		m->img->buf[i] = (uint8_t)(i * 2654435761u >> 11);
	ranges_add(hurt, off, len, GRADE_LOST, LAYER_UNKNOWN);
}

static void cut(struct matrix *m, struct ranges *hurt, unsigned percent)
{
	size_t len = m->v->len / 100 * percent / 4096 * 4096;

	if (len < m->img->len)
		image_resize(m->img, len);
	ranges_add(hurt, len, m->v->len - len, GRADE_LOST, LAYER_UNKNOWN);
}

enum { KINDS = 11 };
static const char *const kinds[KINDS] = {"boot",   "backup boot", "$MFT[0]", "$MFTMirr",
					 "root",   "an index",	  "$Bitmap", "a torn record",
					 "cut 30", "cut 60",	  "cut 90"};

static void damage(struct matrix *m, struct ranges *hurt, int kind)
{
	switch (kind) {
	case 0: spoil(m, hurt, 0, 512); return;
	case 1: spoil(m, hurt, m->backup, 512); return;
	case 2: spoil(m, hurt, m->mft, 1024); return;
	case 3: spoil(m, hurt, m->mirr, 4096); return;
	case 4: spoil(m, hurt, m->root, 1024); return;
	case 5: spoil(m, hurt, m->root_index, 4096); return;
	case 6: spoil(m, hurt, m->bitmap, m->bitmap_len); return;
	case 7:
		spoil(m, hurt, m->torn + 510, 514);
		ranges_add(hurt, m->torn, 1024, GRADE_LOST, LAYER_UNKNOWN);
		return;
	default: cut(m, hurt, (unsigned)(kind - 7) * 30); return;
	}
}

/* ---- what comes out ---- */

struct seen_files {
	struct matrix *m;
	struct layer *l;
	uint8_t *good; /* for each file of the manifest */
};

static int see(void *arg, const struct fs_entry *e)
{
	struct seen_files *s = arg;
	const struct ntfs_file *f = e->deleted ? NULL : ntfs_volume_find(s->m->v, e->path);
	struct layer *file;
	char hex[65];

	if (!f || s->l->ops->fs->open_file(s->l, e, &file))
		return 0;
	file_sha256(file, hex);
	if (!strcmp(hex, f->sha256))
		s->good[f - s->m->v->files] = 1;
	layer_free(file);
	return 0;
}

static bool survives(const struct need *need, const struct ranges *hurt)
{
	for (size_t i = 0; i < hurt->n; i++)
		if (ranges_overlap(&need->r, hurt->v[i].off, hurt->v[i].len))
			return false;
	return true;
}

static void cell(struct matrix *m, int a, int b)
{
	struct seen_files s = {.m = m, .good = calloc(m->v->n_files, 1)};
	struct ranges hurt = {0};
	size_t could = 0, did = 0;

	m->img = image_new(m->v->len);
	memcpy(m->img->buf, m->v->bytes, m->v->len);
	damage(m, &hurt, a);
	damage(m, &hurt, b);
	image_check(m->img, &ntfs_ops);
	if (m->img->err)
		fail_msg("%s, %s: %s", kinds[a], kinds[b], strerror(-m->img->err));
	s.l = m->img->top;
	assert_int_equal(s.l->ops->fs->walk(s.l, &(struct fs_query){.recursive = true}, see, &s),
			 0);
	for (size_t i = 0; i < m->n_needs; i++) {
		bool should = survives(&m->needs[i], &hurt);

		could += should;
		did += should && s.good[i];
		if (should && !s.good[i])
			print_message("%s, %s: %s did not come out\n", kinds[a], kinds[b],
				      m->needs[i].file->path);
	}
	if (did * 100 < could * 95)
		fail_msg("%s, %s: %zu of %zu files", kinds[a], kinds[b], did, could);
	if (!image_worse(m->img, BLEMISH))
		fail_msg("%s, %s: no finding says so", kinds[a], kinds[b]);
	ranges_free(&hurt);
	image_free(m->img);
	free(s.good);
}

static void files_come_out_of_every_cell(void **state)
{
	struct matrix *m = *state;

	if (!m->v)
		skip();
	for (int a = 0; a < KINDS; a++)
		for (int b = a; b < KINDS; b++)
			cell(m, a, b);
}

static void the_whole_volume_is_clean(void **state)
{
	struct matrix *m = *state;
	struct seen_files s = {.m = m};

	if (!m->v)
		skip();
	s.good = calloc(m->v->n_files, 1);
	m->img = image_new(m->v->len);
	memcpy(m->img->buf, m->v->bytes, m->v->len);
	image_check(m->img, &ntfs_ops);
	assert_clean(m->img);
	s.l = m->img->top;
	for (size_t i = 0; i < m->v->n_files; i++) {
		struct fs_entry *e;

		assert_int_equal(s.l->ops->fs->lookup(s.l, m->v->files[i].path, &e), 0);
		see(&s, e);
		if (!s.good[i])
			fail_msg("%s differs from what ntfs-3g reads", m->v->files[i].path);
		fs_entry_free(e);
	}
	learn_needs(m, s.l);
	learn_places(m, s.l);
	image_free(m->img);
	free(s.good);
}

static int setup(void **state)
{
	struct matrix *m = calloc(1, sizeof(*m));

	m->v = ntfs_volume_make("-c 4096", "24M");
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct matrix *m = *state;

	for (size_t i = 0; i < m->n_needs; i++)
		ranges_free(&m->needs[i].r);
	free(m->needs);
	ntfs_volume_free(m->v);
	free(m);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_volume_is_clean),
		cmocka_unit_test(files_come_out_of_every_cell),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
