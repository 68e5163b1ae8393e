/* SPDX-License-Identifier: Apache-2.0 */
/* Entries: what a record says about its file, under each of its names. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs.h"
#include "vdiskck/core/session.h"

enum {
	TICKS = 10000000,     /* of 100 ns in a second */
	ATTRIBUTE_SYSTEM = 4, /* of $STANDARD_INFORMATION */
};
#define EPOCH 11644473600ll /* seconds from 1601 to 1970 */

static struct fs_time filetime(le64_t t)
{
	uint64_t v = le64(t);

	return (struct fs_time){.sec = (int64_t)(v / TICKS) - EPOCH,
				.nsec = (uint32_t)(v % TICKS) * 100,
				.set = v != 0 && v <= INT64_MAX};
}

static void set_times(struct fs_entry *e, le64_t born, le64_t modified, le64_t changed,
		      le64_t accessed)
{
	e->born = filetime(born);
	e->modified = filetime(modified);
	e->changed = filetime(changed);
	e->accessed = filetime(accessed);
}

static enum fs_sure worse(enum fs_sure a, enum fs_sure b)
{
	return a > b ? a : b;
}

int ntfs_entries_init(struct ntfs_entries *x, struct layer *l, const struct ntfs_tree *t)
{
	*x = (struct ntfs_entries){.l = l, .t = t};
	x->path = malloc(NTFS_PATH_MAX + 2 * NTFS_NAME_MAX + 16);
	x->rp = malloc(sizeof(*x->rp));
	return x->path && x->rp ? 0 : -ENOMEM;
}

void ntfs_entries_free(struct ntfs_entries *x)
{
	free(x->path);
	free(x->rp);
}

/* Let @x->path begin with the path of folder @ref; the last one asked for is kept. */
static void set_parent(struct ntfs_entries *x, uint64_t ref, bool deleted)
{
	if (!x->parent_known || x->parent != ref || x->parent_deleted != deleted)
		x->place = ntfs_tree_path(x->t, ref, deleted, x->path);
	x->parent_known = true;
	x->parent = ref;
	x->parent_deleted = deleted;
}

/* ---- facts that all names share ---- */

/* How much of a deleted file is in use by now, and what that leaves of its data. */
static void set_overwritten(struct ntfs_entries *x, const struct ntfs_inode *ino, struct span name,
			    struct fs_entry *e)
{
	struct ntfs_stream s;

	if (!x->bitmap)
		return;
	if (!ntfs_stream_get(x->l, ino, NTFS_DATA, name, &s) && !s.resident && s.stored) {
		struct ntfs_in_use u = ntfs_in_use(x->l->priv, x->bitmap, x->owned, &s.runs);

		e->overwritten = u.by_bitmap;
		e->reused = u.by_files;
		/* $Bitmap alone does not prove it: it may be lost, or what took them is gone, too. */
		e->data_sure = u.by_files >= s.stored ? FS_GONE : FS_GUESSED;
	}
	fs_runs_free(&s.runs);
}

static bool same_name(const struct ntfs_attr *a, struct span name)
{
	return a->name.len == name.len && (!name.len || !memcmp(a->name.p, name.p, name.len));
}

/* The first attribute of a $DATA: its pieces lie in any order of records. */
static const struct ntfs_attr *first_piece(const struct ntfs_inode *ino, struct span name)
{
	const struct ntfs_attr *best = NULL;

	for (size_t i = 0; i < ino->n_attrs; i++) {
		const struct ntfs_attr *a = &ino->attrs[i].a;

		if (a->type == NTFS_DATA && same_name(a, name) &&
		    (!best || a->lowest_vcn < best->lowest_vcn))
			best = a;
	}
	return best;
}

/* The first piece of @data, which has its size, is lost: clusters that the others tell of. */
static uint64_t told_clusters(const struct ntfs *n, const struct ntfs_inode *ino,
			      const struct ntfs_attr *data)
{
	uint64_t end = 0;

	for (size_t i = 0; i < ino->n_attrs; i++) {
		const struct ntfs_attr *a = &ino->attrs[i].a;

		if (a->type == NTFS_DATA && same_name(a, data->name) && a->highest_vcn >= end &&
		    a->highest_vcn < (uint64_t)INT64_MAX / n->g.cluster)
			end = a->highest_vcn + 1;
	}
	return end;
}

static void set_data(struct ntfs_entries *x, const struct ntfs_inode *ino,
		     const struct ntfs_attr *data, struct fs_entry *e)
{
	const struct ntfs *n = x->l->priv;

	e->size = e->stored = 0;
	e->data_sure = ino->incomplete ? FS_GUESSED : FS_SURE;
	e->overwritten = e->reused = 0;
	if (!data)
		return;
	e->size = data->size;
	e->stored = data->stored;
	if (data->doubtful || data->lowest_vcn)
		e->data_sure = FS_GUESSED;
	if (data->lowest_vcn)
		e->size = told_clusters(n, ino, data) * n->g.cluster;
	if (e->deleted)
		set_overwritten(x, ino, data->name, e);
}

static void set_reparse(struct ntfs_entries *x, const struct ntfs_inode *ino, struct fs_entry *e)
{
	const struct ntfs_attr *packed;

	if (!ntfs_reparse_get(x->l, ino, x->rp))
		return;
	if (x->rp->link) {
		e->kind = FS_SYMLINK;
		e->target = x->rp->target;
		if (!e->size)
			e->size = strlen(x->rp->target);
	}
	if (*x->rp->remark)
		e->remark = x->rp->remark;
	packed = x->rp->wof ? ntfs_inode_find(ino, NTFS_DATA, "WofCompressedData") : NULL;
	if (packed)
		e->stored = packed->stored;
	else if (e->kind == FS_FILE && (x->rp->wof || (x->rp->elsewhere && !e->stored && e->size)))
		e->data_sure = FS_GONE;
	else if (e->kind == FS_FILE && x->rp->elsewhere && e->stored < e->size)
		e->data_sure = worse(e->data_sure, FS_GUESSED); /* a part of it was fetched */
}

static void set_remark(const struct ntfs_attr *data, struct fs_entry *e)
{
	if (data && data->flags & NTFS_ENCRYPTED)
		e->remark = "encrypted (EFS)";
	else if (data && data->flags & NTFS_COMPRESSED && !data->resident)
		e->remark = "compressed (LZNT1)";
	else if (data && data->flags & NTFS_SPARSE)
		e->remark = "sparse";
}

/*
 * Services for UNIX, and ntfs-3g, keep a symbolic link in the data of a file that is marked as the
 * system's: a magic, then the target. Source: ntfs-3g include/ntfs-3g/layout.h, INTX_FILE.
 */
static void set_interix(struct ntfs_entries *x, const struct ntfs_attr *data, uint32_t attributes,
			struct fs_entry *e)
{
	static const char magic[8] = "IntxLNK\1";
	const uint8_t *p = data && data->resident && attributes & ATTRIBUTE_SYSTEM
				   ? span_at(data->value, 0, sizeof(magic))
				   : NULL;

	if (!p || memcmp(p, magic, sizeof(magic)))
		return;
	e->kind = FS_SYMLINK;
	e->target = x->rp->target;
	ntfs_reparse_target(span_from(data->value, sizeof(magic)), x->rp);
}

static void set_facts(struct ntfs_entries *x, const struct ntfs_inode *ino, struct fs_entry *e)
{
	const struct ntfs_record_header *h = ntfs_head(&ino->base);
	const struct ntfs_attr *info = ntfs_inode_find(ino, NTFS_STANDARD_INFORMATION, "");
	const struct ntfs_attr *data = first_piece(ino, (struct span){0});
	const struct ntfs_standard_info *si =
		info && info->resident ? span_at(info->value, 0, sizeof(*si)) : NULL;

	e->id = ino->number;
	e->generation = le16(h->sequence);
	e->kind = le16(h->flags) & NTFS_IS_DIR ? FS_DIR : FS_FILE;
	e->deleted = ntfs_inode_deleted(ino);
	if (si)
		set_times(e, si->born, si->modified, si->changed, si->accessed);
	set_data(x, ino, data, e);
	set_remark(data, e);
	set_reparse(x, ino, e);
	if (si && e->kind == FS_FILE)
		set_interix(x, data, le32(si->attributes), e);
}

/* ---- names ---- */

static const struct ntfs_file_name *name_of(const struct ntfs_inode_attr *ia)
{
	return ia->a.type == NTFS_FILE_NAME && ia->a.resident ? ntfs_file_name(ia->a.value) : NULL;
}

static bool is_pair_member(const struct ntfs_inode *ino)
{
	for (size_t i = 0; i < ino->n_attrs; i++) {
		const struct ntfs_file_name *f = name_of(&ino->attrs[i]);

		if (f && f->space != NTFS_DOS)
			return true;
	}
	return false;
}

/* An entry for each named stream, behind the path of @len bytes. */
static int emit_streams(struct ntfs_entries *x, const struct ntfs_inode *ino, struct fs_entry e,
			size_t len)
{
	e.kind = FS_FILE;
	e.target = NULL;
	for (size_t i = 0; i < ino->n_attrs; i++) {
		const struct ntfs_attr *a = &ino->attrs[i].a;
		int r;

		/* The rest of a long one tells no size. What CompactOS keeps is the file itself. */
		if (a->type != NTFS_DATA || !a->name.len || first_piece(ino, a->name) != a ||
		    (!x->rp->tag ? false
				 : x->rp->wof && ntfs_name_is(a->name, "WofCompressedData")))
			continue;
		x->path[len] = ':';
		ntfs_name_put(a->name, x->path + len + 1, NTFS_NAME_MAX + 8);
		e.stream = x->path + len + 1;
		e.remark = NULL;
		set_data(x, ino, a, &e);
		set_remark(a, &e);
		r = x->fn(x->arg, &e);
		if (r)
			return r;
	}
	x->path[len] = '\0';
	return 0;
}

static int emit(struct ntfs_entries *x, const struct ntfs_inode *ino, struct fs_entry *e,
		size_t len)
{
	int r = x->fn(x->arg, e);

	if (!r && x->streams)
		r = emit_streams(x, ino, *e, len);
	x->path[x->place.len] = '\0';
	return r;
}

/* One name of the file. */
static int emit_name(struct ntfs_entries *x, const struct ntfs_inode *ino, struct fs_entry *e,
		     const struct ntfs_file_name *name, bool doubtful)
{
	size_t len;

	set_parent(x, le64(name->parent), e->deleted);
	len = x->place.len;
	x->path[len++] = '/';
	len += ntfs_name_put(ntfs_file_name_text(name), x->path + len, NTFS_NAME_MAX + 8);
	e->path = x->path;
	e->parent = ntfs_ref_number(le64(name->parent));
	e->system = x->place.system || e->id < NTFS_EXTEND + 5;
	e->path_sure = worse(x->place.sure, doubtful ? FS_GUESSED : FS_SURE);
	return emit(x, ino, e, len);
}

/* No name is left. Reserved records of NTFS never had one. */
static int emit_nameless(struct ntfs_entries *x, const struct ntfs_inode *ino, struct fs_entry *e)
{
	if (ino->number < NTFS_SYSTEM_RECORDS || x->wanted || !first_piece(ino, (struct span){0}))
		return 0;
	x->parent_known = false;
	x->place = (struct ntfs_place){.len = strlen("/$orphans")};
	strcpy(x->path, "/$orphans");
	e->path = x->path;
	e->path_sure = FS_GONE;
	return emit(x, ino, e, (size_t)sprintf(x->path, "/$orphans/%" PRIu64, ino->number));
}

int ntfs_entries_of(struct ntfs_entries *x, const struct ntfs_inode *ino)
{
	struct fs_entry e = {0};
	bool other = is_pair_member(ino), facts = false, named = false;
	int r = 0;

	x->rp->wof = false;
	for (size_t i = 0; i < ino->n_attrs; i++) {
		const struct ntfs_file_name *f = name_of(&ino->attrs[i]);

		e.links += f && (f->space != NTFS_DOS || !other);
	}
	for (size_t i = 0; i < ino->n_attrs && !r; i++) {
		const struct ntfs_file_name *f = name_of(&ino->attrs[i]);

		if (!f || (f->space == NTFS_DOS && other))
			continue;
		named = true;
		if (x->wanted && !x->wanted(x, f))
			continue;
		if (!facts)
			set_facts(x, ino, &e);
		facts = true;
		r = emit_name(x, ino, &e, f, ino->attrs[i].a.doubtful);
	}
	if (!named && !r) {
		set_facts(x, ino, &e);
		r = emit_nameless(x, ino, &e);
	}
	return r;
}

int ntfs_entries_ghost(struct ntfs_entries *x, uint64_t ref, const struct ntfs_file_name *key,
		       const struct ntfs_inode *rest)
{
	bool data = rest && first_piece(rest, (struct span){0});
	struct fs_entry e = {.id = ntfs_ref_number(ref),
			     .generation = ntfs_ref_sequence(ref),
			     .parent = ntfs_ref_number(le64(key->parent)),
			     .size = le64(key->size),
			     .stored = le64(key->allocated),
			     .links = 1,
			     .data_sure = data ? FS_GUESSED : FS_GONE};
	size_t len;
	int r;

	if (x->wanted && !x->wanted(x, key))
		return 0;
	e.remark = data ? "its record is lost: its data are from the records that continue it"
			: "its record is lost: what is shown is from its folder's index";
	e.kind = le32(key->attributes) & NTFS_NAME_DIR ? FS_DIR : FS_FILE;
	set_times(&e, key->born, key->modified, key->changed, key->accessed);
	set_parent(x, le64(key->parent), false);
	len = x->place.len;
	x->path[len++] = '/';
	len += ntfs_name_put(ntfs_file_name_text(key), x->path + len, NTFS_NAME_MAX + 8);
	e.path = x->path;
	e.system = x->place.system || e.id < NTFS_EXTEND + 5;
	e.path_sure = worse(x->place.sure, FS_REBUILT);
	r = x->fn(x->arg, &e);
	x->rp->tag = 0;
	if (!r && rest && x->streams)
		r = emit_streams(x, rest, e, len);
	x->path[x->place.len] = '\0';
	return r;
}
