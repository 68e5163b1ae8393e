/* SPDX-License-Identifier: Apache-2.0 */
/* The driver of NTFS: opening a volume out of what is left of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/fs/ntfs.h"
#include "formats/fs/ntfs_check.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"

enum {
	UPCASE_BYTES = 65536 * 2,
	TOLD = 16, /* lost runs of one file that are findings; reading tells of all */
};

/* $VOLUME_INFORMATION */
struct volume_information {
	uint8_t reserved[8];
	uint8_t major, minor;
	le16_t flags;
};

static int ntfs_probe(struct layer *below)
{
	struct ntfs_geometry g;
	uint64_t at;

	if (ntfs_boot_first(below, &g))
		return ntfs_mft_is_at(below, &g) ? 95 : 65;
	if (ntfs_boot_last(below, &g, &at) && ntfs_mft_is_at(below, &g))
		return 85;
	return 0;
}

static int ntfs_search(struct layer *below)
{
	struct ntfs_geometry g;
	struct ntfs_hunt h = {0};
	uint64_t at;
	bool found = ntfs_boot_search(below, &g, &at) && ntfs_mft_is_at(below, &g);

	if (!found && !ntfs_hunt_likely(below, &h))
		found = ntfs_hunt_geometry(below, &h, &g);
	ntfs_hunt_free(&h);
	return found ? 80 : 0;
}

static int rebuild_geometry(struct layer *l)
{
	struct ntfs *n = l->priv;
	struct ntfs_hunt h = {0};
	int r = ntfs_hunt_likely(l->below, &h);

	if (!r && !ntfs_hunt_geometry(l->below, &h, &n->g)) {
		ntfs_hunt_free(&h);
		r = ntfs_hunt(l->below, 0, l->below->size, &h);
		if (!r && !ntfs_hunt_geometry(l->below, &h, &n->g))
			r = -EBADMSG;
	}
	ntfs_hunt_free(&h);
	n->boot = NTFS_BOOT_NONE;
	if (!r)
		finding(l, NTFS_BOOT_REBUILT, 0, 512,
			"neither the boot sector nor its copy is there: clusters of %" PRIu32
			" bytes and the place of $MFT are concluded from MFT records",
			n->g.cluster);
	return r;
}

static int open_boot(struct layer *l)
{
	struct ntfs *n = l->priv;

	if (!ntfs_boot_find(l->below, &n->g, &n->boot, &n->boot_at))
		return rebuild_geometry(l);
	if (n->boot == NTFS_BOOT_BACKUP)
		finding(l, NTFS_BOOT_FROM_BACKUP, 0, 512,
			"the boot sector is damaged: its copy at 0x%" PRIx64 " is used",
			n->boot_at);
	return 0;
}

/* The volume, with its backup boot sector if there is room for it. */
static void set_size(struct layer *l)
{
	const struct ntfs *n = l->priv;
	uint64_t size = n->g.sectors * n->g.sector;

	l->sector = n->g.sector < 512 ? 512 : n->g.sector;
	l->size = l->below->size >= size + n->g.sector ? size + n->g.sector : size;
}

static void report_truncated(struct layer *l)
{
	const struct ntfs *n = l->priv;
	uint64_t have = l->below->size;

	if (have < l->size)
		finding_fact(l, NTFS_TRUNCATED,
			     &(struct fact){.in = l->below,
					    .at = n->boot_at,
					    .at_len = 512,
					    .off = have,
					    .len = l->size - have,
					    .lost = true,
					    .stored = strf("%" PRIu64 " bytes", l->size),
					    .expected = strf("at most %" PRIu64, have)},
			     "the volume is larger than what holds it: its end is not there");
}

static uint64_t stream_size(struct layer *l, uint64_t number, const char *name,
			    struct ntfs_inode *ino)
{
	const struct ntfs_attr *a = NULL;
	uint64_t size = 0;

	if (!ntfs_inode_load(l, number, ino))
		a = ntfs_inode_find(ino, NTFS_DATA, name);
	if (a && !a->doubtful)
		size = a->size;
	ntfs_inode_free(ino);
	return size;
}

/*
 * $BadClus:$Bad is as long as the volume, and $Bitmap has a bit for each cluster: where both say
 * the same, the boot sector is wrong. True: the geometry was changed.
 */
static bool correct_size(struct layer *l, struct ntfs_inode *ino)
{
	struct ntfs *n = l->priv;
	uint64_t clusters = stream_size(l, NTFS_BADCLUS, "$Bad", ino) / n->g.cluster;
	uint64_t bytes = stream_size(l, NTFS_BITMAP_FILE, "", ino);

	if (!clusters || clusters == n->g.clusters ||
	    clusters > (uint64_t)INT64_MAX / n->g.cluster || bytes < (clusters + 7) / 8 ||
	    bytes > clusters / 8 + 16)
		return false;
	finding_fact(l, NTFS_BOOT_SIZE,
		     &(struct fact){.in = l->below,
				    .at = n->boot_at + offsetof(struct ntfs_boot, sectors),
				    .at_len = sizeof(le64_t),
				    .stored = strf("%" PRIu64 " sectors", n->g.sectors),
				    .expected = strf("%" PRIu64 " clusters", clusters)},
		     "the boot sector states %" PRIu64 " clusters, $BadClus and $Bitmap %" PRIu64,
		     n->g.clusters, clusters);
	n->g.clusters = clusters;
	n->g.sectors = clusters * (n->g.cluster / n->g.sector);
	return true;
}

static int open_mft(struct layer *l, struct ntfs_inode *ino)
{
	struct ntfs *n = l->priv;
	int r;

	set_size(l);
	r = ntfs_mft_open(l);
	/* A boot sector that leads nowhere is worth less than what the records say. */
	if (r == -EBADMSG && n->boot != NTFS_BOOT_NONE) {
		r = rebuild_geometry(l);
		if (!r) {
			set_size(l);
			r = ntfs_mft_open(l);
		}
	}
	if (!r && n->boot != NTFS_BOOT_NONE && correct_size(l, ino)) {
		set_size(l);
		r = ntfs_mft_open(l);
	}
	if (!r)
		report_truncated(l);
	return r;
}

static int load_upcase(struct layer *l)
{
	struct ntfs *n = l->priv;
	struct ranges bad = {0};
	size_t len = 0;
	uint8_t *p =
		ntfs_stream_load(l, NTFS_UPCASE_FILE, NTFS_DATA, NULL, UPCASE_BYTES, &len, &bad);
	bool good = p && len == UPCASE_BYTES && !bad.n;

	n->upcase = malloc(UPCASE_BYTES);
	if (n->upcase) {
		ntfs_upcase_builtin(n->upcase);
		/* A table that does not even know its letters would find no name. */
		for (uint32_t c = 'a'; good && c <= 'z'; c++)
			good = p[2 * c] == c - 32 && !p[2 * c + 1];
		if (good)
			memcpy(n->upcase, p, UPCASE_BYTES);
		else
			finding(l, NTFS_UPCASE_LOST, 0, 0,
				"$UpCase can't be used: names are compared by a built-in table");
	}
	free(p);
	ranges_free(&bad);
	return n->upcase ? 0 : -ENOMEM;
}

static void load_volume(struct layer *l, struct ntfs_inode *ino)
{
	struct ntfs *n = l->priv;
	const struct ntfs_attr *a;

	if (!ntfs_inode_load(l, NTFS_VOLUME, ino)) {
		const struct volume_information *v;

		a = ntfs_inode_find(ino, NTFS_VOLUME_NAME, "");
		if (a && a->resident)
			ntfs_name_put(a->value, n->label, sizeof(n->label));
		a = ntfs_inode_find(ino, NTFS_VOLUME_INFORMATION, "");
		v = a && a->resident ? span_at(a->value, 0, sizeof(*v)) : NULL;
		if (v) {
			n->major = v->major;
			n->minor = v->minor;
			n->volume_flags = le16(v->flags);
		}
	}
	ntfs_inode_free(ino);
}

/* The root needs no record for its tree to be read, but it is missed. */
static void look_at_root(struct layer *l, struct ntfs_inode *ino)
{
	struct ntfs *n = l->priv;
	uint64_t at = ntfs_record_at(n, NTFS_ROOT, 0);

	if (ntfs_inode_load(l, NTFS_ROOT, ino))
		finding(l, NTFS_ROOT_LOST, at == UINT64_MAX ? 0 : at,
			at == UINT64_MAX ? 0 : n->g.record,
			"the record of the root folder is lost: the tree is rebuilt from what each file "
			"says of its folder");
	ntfs_inode_free(ino);
}

static int ntfs_open(struct layer *l)
{
	struct ntfs *n = calloc(1, sizeof(*n));
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	int r = n && ino ? 0 : -ENOMEM;

	l->priv = n;
	if (n)
		pthread_mutex_init(&n->lock, NULL);
	if (!r)
		r = open_boot(l);
	if (!r)
		r = open_mft(l, ino);
	if (!r)
		r = load_upcase(l);
	if (!r) {
		load_volume(l, ino);
		look_at_root(l, ino);
	}
	free(ino);
	return r;
}

static void info_state(struct layer *l, struct json *to)
{
	static const char *const logs[] = {"unreadable", "empty", "closed", "in use"};
	struct ntfs_state s;

	if (ntfs_state_get(l, &s))
		return;
	js_bool(to, "dirty", s.dirty);
	if (s.chkdsk)
		js_bool(to, "chkdsk_underway", true);
	if (s.log_known)
		js_str(to, "log", logs[s.log.state]);
	if (s.log.major)
		js_strf(to, "log_version", "%u.%u", s.log.major, s.log.minor);
	if (s.hibernated)
		js_bool(to, "hibernated", true);
}

static void ntfs_info(struct layer *l, struct json *to)
{
	static const char *const boots[] = {"boot sector", "backup boot sector", "MFT records"};
	const struct ntfs *n = l->priv;

	if (n->major)
		js_strf(to, "version", "%u.%u", n->major, n->minor);
	if (*n->label)
		js_str(to, "label", n->label);
	if (n->g.serial)
		js_strf(to, "id", "%016" PRIX64, n->g.serial);
	js_u64(to, "cluster_size", n->g.cluster);
	js_u64(to, "record_size", n->g.record);
	js_u64(to, "records", n->records);
	js_str(to, "geometry_from", boots[n->boot]);
	info_state(l, to);
	if (l->below->size > l->size)
		js_u64(to, "unused_behind", l->below->size - l->size);
}

/* Runs that are missing, or can't be: what that costs the file. */
static void report_runs(struct layer *l, const struct ntfs_inode *ino, struct span name,
			const char *path)
{
	struct ntfs *n = l->priv;
	uint64_t at = ntfs_record_at(n, ino->number, 0);
	struct ntfs_stream s;
	int r = ntfs_stream_get(l, ino, NTFS_DATA, name, &s);

	for (size_t i = 0, told = 0; i < s.runs.n && told < TOLD && !r; i++) {
		const struct fs_run *run = &s.runs.v[i];

		if (run->kind == EXTENT_LOST && run->off < s.size && ++told)
			finding_fact(l, run->why,
				     &(struct fact){.in = l->below,
						    .at = at == UINT64_MAX ? 0 : at,
						    .at_len = at == UINT64_MAX ? 0 : n->g.record,
						    .path = path,
						    .path_off = run->off},
				     "%s: %" PRIu64 " bytes from byte %" PRIu64 " on are lost",
				     path,
				     run->off + run->len < s.size ? run->len : s.size - run->off,
				     run->off);
	}
	fs_runs_free(&s.runs);
}

/* The record is lost: what the records know that continue it. -EBADMSG: there are none. */
static int load_rest(struct layer *l, const struct fs_entry *e, struct ntfs_inode *ino)
{
	struct ntfs_tree *t;
	int r = ntfs_tree_get(l, &t);

	if (!r)
		r = ntfs_rest_load(l, t, e->id, ino);
	if (!r && !e->stream)
		ino->index_size = e->size;
	return r == -ENOENT ? -EBADMSG : r;
}

static int open_named(struct layer *l, const struct fs_entry *e, struct ntfs_inode *ino,
		      struct layer **file)
{
	uint16_t units[256];
	size_t n = e->stream ? ntfs_name_get(e->stream, strlen(e->stream), units, 256) : 0;
	struct span name = {(const uint8_t *)units, n * 2, 0};
	int r;

	if (n == SIZE_MAX)
		return -ENOENT;
	r = ntfs_inode_load(l, e->id, ino);
	if (r == -EBADMSG) {
		ntfs_inode_free(ino);
		r = load_rest(l, e, ino);
	}
	if (!r)
		r = ntfs_stream_open(l, ino, NTFS_DATA, name, e->path, file);
	if (!r)
		report_runs(l, ino, name, e->path);
	ntfs_inode_free(ino);
	return r;
}

static int ntfs_open_file(struct layer *l, const struct fs_entry *e, struct layer **file)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	struct fs_runs runs = {0};
	int r;

	*file = NULL;
	r = ino ? open_named(l, e, ino, file) : -ENOMEM;
	free(ino);
	if (r == -ENOENT && !e->stream) /* a folder, or a file without $DATA */
		return fs_file_new(l, e->path, 0, &runs, file);
	if (r != -EBADMSG)
		return r;
	/* Only an index knows the file: its size is all that is left. */
	r = fs_runs_add(&runs, &(struct fs_run){0, e->size, EXTENT_LOST, NTFS_RECORD_LOST, 0});
	return r ? r : fs_file_new(l, e->path, e->size, &runs, file);
}

static void ntfs_close(struct layer *l)
{
	struct ntfs *n = l->priv;

	if (!n)
		return;
	layer_free(n->mft);
	fs_runs_free(&n->mft_runs);
	ntfs_tree_free(n->tree);
	free(n->mft_bitmap);
	free(n->bitmap);
	free(n->owned);
	free(n->upcase);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

static const struct fs_ops ntfs_fs = {
	.walk = ntfs_walk,
	.lookup = ntfs_lookup,
	.open_file = ntfs_open_file,
	.owners = ntfs_owners,
	.unused = ntfs_unused,
};

const struct layer_ops ntfs_ops = {
	.name = "ntfs",
	.kind = LAYER_FILESYSTEM,
	.probe = ntfs_probe,
	.search = ntfs_search,
	.open = ntfs_open,
	.read = fs_read,
	.map = fs_map,
	.check = ntfs_check,
	.info = ntfs_info,
	.close = ntfs_close,
	.fs = &ntfs_fs,
};
