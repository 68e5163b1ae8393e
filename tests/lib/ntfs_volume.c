/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/ntfs_volume.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/prim.h"
#include "formats/drivers.h"

enum { FILES_MAX = 2000, UNSUPPORTED = 77, PIECE = 1 << 20 };

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct ntfs_file *)a)->path, ((const struct ntfs_file *)b)->path);
}

static void load_manifest(struct ntfs_volume *v, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[4096];

	v->files = calloc(FILES_MAX, sizeof(*v->files));
	if (!f || !v->files)
		fail_msg("%s", path);
	while (v->n_files < FILES_MAX && fgets(line, sizeof(line), f)) {
		struct ntfs_file *e = &v->files[v->n_files++];

		line[strcspn(line, "\n")] = '\0';
		assert_true(strlen(line) > 66);
		memcpy(e->sha256, line, 64);
		e->path = strdup(line + 66);
	}
	fclose(f);
	qsort(v->files, v->n_files, sizeof(*v->files), by_path);
}

struct ntfs_volume *ntfs_volume_make(const char *options, const char *size)
{
	char dir[] = "/tmp/vdiskck-ntfs-XXXXXX", command[512], path[64];
	struct ntfs_volume *v = NULL;
	int status;

	if (!mkdtemp(dir))
		fail_msg("no temporary folder");
	snprintf(command, sizeof(command),
		 "SIZE=%s fixtures/ntfs/make.sh %s/img %s/manifest %s >/dev/null 2>&1", size, dir,
		 dir, options);
	status = system(command);
	if (!status) {
		struct image *img;

		v = calloc(1, sizeof(*v));
		snprintf(path, sizeof(path), "%s/img", dir);
		img = image_file(path);
		v->bytes = img->buf;
		v->len = img->len;
		img->buf = NULL;
		image_free(img);
		snprintf(path, sizeof(path), "%s/manifest", dir);
		load_manifest(v, path);
	}
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command) || (status && WEXITSTATUS(status) != UNSUPPORTED))
		fail_msg("fixtures/ntfs/make.sh failed");
	return v;
}

void ntfs_volume_free(struct ntfs_volume *v)
{
	for (size_t i = 0; v && i < v->n_files; i++)
		free(v->files[i].path);
	if (v) {
		free(v->files);
		free(v->bytes);
	}
	free(v);
}

const struct ntfs_file *ntfs_volume_find(const struct ntfs_volume *v, const char *path)
{
	struct ntfs_file key = {.path = (char *)path};

	return bsearch(&key, v->files, v->n_files, sizeof(*v->files), by_path);
}

bool file_sha256(struct layer *file, char hex[65])
{
	struct prim_digest *d = prim_digest_open(PRIM_SHA256);
	struct ranges bad = {0};
	uint8_t *buf = malloc(PIECE), sum[32];
	bool whole;

	if (!d || !buf)
		abort();
	for (uint64_t off = 0; off < file->size; off += PIECE) {
		size_t n = file->size - off < PIECE ? (size_t)(file->size - off) : PIECE;

		if (layer_read(file, off, buf, n, &bad))
			abort();
		prim_digest_add(d, buf, n);
	}
	prim_digest_end(d, sum);
	prim_digest_close(d);
	for (int i = 0; i < 32; i++)
		sprintf(hex + 2 * i, "%02x", sum[i]);
	whole = !bad.n;
	ranges_free(&bad);
	free(buf);
	return whole;
}

struct image *ntfs_volume_fresh(const struct ntfs_volume *v)
{
	struct image *img;

	if (!v)
		skip();
	img = image_new(v->len);
	memcpy(img->buf, v->bytes, v->len);
	image_open(img, &ntfs_ops);
	assert_int_equal(img->err, 0);
	return img;
}

uint64_t ntfs_id_of(struct image *img, const char *path)
{
	struct fs_entry *e;
	uint64_t id;

	assert_int_equal(img->top->ops->fs->lookup(img->top, path, &e), 0);
	id = e->id;
	fs_entry_free(e);
	return id;
}

uint64_t ntfs_at_record(struct image *img, uint64_t number)
{
	return ntfs_record_at(img->top->priv, number, 0);
}

uint64_t ntfs_at_attr(struct image *img, uint64_t number, uint32_t type, const char *name,
		      struct ntfs_attr *a)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	const struct ntfs_attr *found;

	assert_int_equal(ntfs_inode_load(img->top, number, ino), 0);
	found = ntfs_inode_find(ino, type, name);
	assert_non_null(found);
	*a = *found; /* the spans are of no use any more, but their addr is */
	ntfs_inode_free(ino);
	free(ino);
	return ntfs_at_record(img, number) + a->at;
}

uint64_t ntfs_at_stream(struct image *img, uint64_t number, uint32_t type, const char *name,
			uint64_t off)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	const struct ntfs_attr *a;
	struct layer *file;
	struct extent run;

	assert_int_equal(ntfs_inode_load(img->top, number, ino), 0);
	a = ntfs_inode_find(ino, type, name);
	assert_non_null(a);
	assert_int_equal(ntfs_stream_open(img->top, ino, type, a->name, "", &file), 0);
	assert_int_equal(layer_map(file, off, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	layer_free(file);
	ntfs_inode_free(ino);
	free(ino);
	return run.at;
}

void ntfs_flip(struct image *img, uint64_t at, uint8_t bits)
{
	img->buf[at] ^= bits;
}

void ntfs_expect(struct image *img, enum finding_id id, uint64_t at)
{
	image_check(img, &ntfs_ops);
	assert_finding(img, id, at);
}
