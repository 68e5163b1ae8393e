/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/signature.h"
#include "recover/locate.h"
#include "vdiskck/commands.h"
#include "vdiskck/core/ddmap.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/damage.h"
#include "vdiskck/filespec.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"

static const char *const owner_name[] = {[OWNER_FILE] = "file",
					 [OWNER_STRUCTURE] = "structure",
					 [OWNER_FREE] = "free",
					 [OWNER_UNKNOWN] = "unknown"};
static const char *const kind_name[] = {
	[EXTENT_DATA] = "data", [EXTENT_ZERO] = "zero", [EXTENT_LOST] = "lost"};

/* What one run of locate adds up. */
struct tell {
	struct run *r;
	uint64_t places, lost;
};

static struct json *json_location(const struct location *loc)
{
	struct json *j = js_object(), *where = js_array();

	js_str(j, "record", "location");
	js_str(j, "owner", owner_name[loc->owner]);
	if (loc->owner == OWNER_STRUCTURE) {
		js_str(j, "structure", loc->structure);
		js_str(j, "structure_of", loc->by->path);
		js_put(j, "structure_at", json_place(loc->by->below->path, loc->start, loc->size));
	}
	js_str(j, "state", kind_name[loc->kind]);
	if (loc->file) {
		js_str(j, "layer", loc->by->path);
		js_str(j, "path", loc->file->path);
		if (loc->owner == OWNER_FILE)
			js_u64(j, "file_offset", loc->file_off);
		if (loc->file->deleted)
			js_bool(j, "deleted", true);
	}
	if (loc->kind == EXTENT_LOST)
		js_str(j, "why", finding_name(loc->why));
	if (loc->packed)
		js_bool(j, "packed", true);
	for (size_t i = 0; i < loc->n; i++)
		js_add(where, json_place(loc->w[i].l->path, loc->w[i].off, loc->w[i].len));
	js_put(j, "where", where);
	return j;
}

/* No driver stands on @l; its first bytes may still say what it is. */
static void put_unknown(FILE *f, struct layer *l)
{
	struct signature sig;

	if (signature_at(l, 0, &sig))
		fprintf(f, "    in %s, which this version does not look into\n", sig.name);
	else
		fputs("    unknown: no driver knows what lies there\n", f);
}

static void put_file(FILE *f, const struct location *loc)
{
	char name[1024];

	fputs(loc->file->deleted ? "    deleted file " : "    file ", f);
	text_put(f, loc->by->path);
	fprintf(f, ":%s",
		name_escape(loc->file->path, strlen(loc->file->path), name, sizeof(name)));
}

/* A listing of a registry key, a value that a transaction log has. */
static bool made_up(const struct location *loc)
{
	const struct layer *below = loc->w[loc->n - 1].l->below;

	return below && below->ops->fs && below->ops->fs->opens_folders;
}

static void text_location(FILE *f, const struct location *loc)
{
	char size[SIZE_TEXT];

	for (size_t i = 0; i < loc->n; i++) {
		const struct where *w = &loc->w[i];

		fputs(i ? "  = " : "", f);
		text_put(f, w->l->path);
		fprintf(f, " 0x%" PRIx64 " (%" PRIu64 "), %s\n", w->off, w->off,
			size_text(w->len, size));
	}
	if (loc->packed)
		fputs(made_up(loc)
			      ? "    put together from there and from elsewhere: none of its bytes "
				"has a place of its own\n"
			      : "    stored compressed: any byte of the packed run counts for "
				"all of it\n",
		      f);
	if (loc->kind == EXTENT_ZERO)
		fprintf(f, "    not stored: %s says that these are zeros\n", loc->w[0].l->path);
	if (loc->kind == EXTENT_LOST)
		fprintf(f, "    LOST: %s  [%s]\n", finding_meaning(loc->why),
			finding_name(loc->why));
	if (loc->owner == OWNER_FILE) {
		put_file(f, loc);
		fprintf(f, " at 0x%" PRIx64 " of its %s\n", loc->file_off,
			size_text(loc->file->size, size));
	} else if (loc->owner == OWNER_STRUCTURE) {
		fprintf(f, "    structure of %s: ", loc->by->path);
		text_put(f, loc->structure);
		fprintf(f, ", at 0x%" PRIx64 " of ", loc->start);
		text_put(f, loc->by->below->path);
		fprintf(f, ", %s\n", size_text(loc->size, size));
		if (loc->file) {
			put_file(f, loc);
			fputs(" is what it describes\n", f);
		}
	} else if (loc->owner == OWNER_FREE) {
		fputs("    free: nothing refers to these bytes\n", f);
	} else {
		put_unknown(f, loc->w[loc->n - 1].l);
	}
}

static int tell(void *arg, const struct location *loc)
{
	struct tell *t = arg;

	if (t->r->a->map && loc->by && loc->by->ops->fs) {
		const struct where *top = &loc->w[loc->n - 1];
		int err = files_hit_add(&t->r->hit, loc->by,
					&(struct fs_owner){.off = top->off,
							   .len = top->len,
							   .kind = loc->owner,
							   .file = loc->file,
							   .file_off = loc->file_off,
							   .structure = loc->structure},
					loc->seed.grade, loc->seed.why);

		if (err)
			return err;
	}
	t->places++;
	if (loc->kind == EXTENT_LOST)
		t->lost += loc->w[loc->n - 1].len;
	if (t->r->a->json)
		run_record(t->r, json_location(loc));
	else
		text_location(stdout, loc);
	return 0;
}

/* The FILE of FILE[:N[+LEN]]: all of it if a file has that name, else what is before the number. */
static int parse_file(struct run *r, struct filespec *fs, uint64_t *off, uint64_t *len)
{
	const char *text = r->a->file, *colon = strrchr(text, ':');
	bool number = colon && colon > text && !address_parse(colon + 1, off, len);
	struct volumes vs;
	char *name = number ? strndup(text, (size_t)(colon - text)) : strdup(text);
	int err = volumes_find(r, &vs);

	if (!err && !name)
		err = run_fail(r, -ENOMEM, "--file");
	if (!err)
		err = filespec_parse(r, &vs, name, true, fs);
	if (!err && (fs->glob || !fs->e || fs->e->kind != FS_FILE))
		err = run_fail(r, fs->e && fs->e->kind == FS_DIR ? -EISDIR : -ENOENT, "%s: %s",
			       r->a->image, name);
	if (!err && !number) {
		*off = 0;
		*len = UINT64_MAX;
	}
	volumes_free(&vs);
	free(name);
	return err;
}

/* From bytes of a file down to the image file. */
static int locate_file(struct run *r, struct tell *t)
{
	struct filespec fs = {0};
	struct layer *file = NULL;
	uint64_t off, len, end;
	int err = parse_file(r, &fs, &off, &len);

	if (err)
		goto out;
	err = fs.vol.l->ops->fs->open_file(fs.vol.l, fs.e, &file);
	if (!err && len == UINT64_MAX)
		len = file->size;
	if (!err && (off > file->size || len > file->size - off))
		err = -ERANGE;
	if (err) {
		run_fail(r, err, "%s: %s", r->a->image, r->a->file);
		goto out;
	}
	for (end = off + len; off < end && !err;) {
		struct location loc = {.owner = OWNER_FILE, .by = fs.vol.l, .file = fs.e};

		err = session_stopped(&r->s) ? -EINTR : locate_down(file, off, end - off, &loc);
		loc.file_off = off;
		if (!err)
			err = tell(t, &loc);
		off += loc.n ? loc.w[loc.n - 1].len : 0;
	}
out:
	layer_free(file);
	filespec_free(&fs);
	return err;
}

/* LAYER:N[+LEN]; the number stands behind the last colon. */
static int parse_at(struct run *r, struct layer **l, uint64_t *off, uint64_t *len)
{
	const char *at = r->a->at, *colon = strrchr(at, ':');
	char *path;

	if (!colon || address_parse(colon + 1, off, len))
		return run_fail(r, -EINVAL, "--at %s: LAYER:N or LAYER:N+LEN is wanted", at);
	path = strndup(at, (size_t)(colon - at));
	if (!path)
		return run_fail(r, -ENOMEM, "--at");
	*l = run_layer(r, path);
	free(path);
	return *l ? 0 : -ENOENT;
}

static int one_range(struct run *r, struct layer *l, uint64_t off, uint64_t len,
		     struct ranges *what)
{
	if (l->state)
		return run_fail(r, 0, "%s is %s", l->path, layer_state_name(l));
	if (off >= l->size || len > l->size - off)
		return run_fail(r, -ERANGE,
				"0x%" PRIx64 "+0x%" PRIx64 ": %s has 0x%" PRIx64 " bytes", off, len,
				l->path, l->size);
	return ranges_add(what, off, len, GRADE_LOST, SOURCE_BAD_MAP);
}

static int map_ranges(struct run *r, struct ranges *what)
{
	struct ddmap m = {0};
	bool list;
	int err = ddmap_load(&r->s, r->a->map, &m);

	if (!err)
		err = ddmap_lost(&m, r->source->size, what, &list);
	ddmap_free(&m);
	if (err)
		r->failed = true;
	return err;
}

/* Which bytes of which layer the user asks for. */
static int asked(struct run *r, struct layer **l, struct ranges *what)
{
	uint64_t off = r->a->offset, len = r->a->len;
	int err = 0;

	*l = r->source;
	if (r->a->map)
		return map_ranges(r, what);
	if (r->a->at)
		err = parse_at(r, l, &off, &len);
	return err ? err : one_range(r, *l, off, len, what);
}

static int locate(struct run *r, struct tell *t)
{
	struct ranges what = {0};
	struct layer *l = NULL;
	char size[SIZE_TEXT];
	int err = r->a->file ? locate_file(r, t) : asked(r, &l, &what);

	if (!err && !r->failed && !r->a->file)
		err = locate_all(r->source, l, &what, tell, t);
	if (err == -EINTR)
		run_interrupted(r, "the places shown are right", "there may be more");
	else if (err && !r->failed)
		run_fail(r, err, "%s: locate", r->a->image);
	if (r->a->map && !err && !r->a->json)
		printf("%zu bad areas, %s, at %" PRIu64 " places\n", what.n,
		       size_text(ranges_bytes(&what, GRADE_LOST), size), t->places);
	if (r->a->map && !err) {
		files_hit_sort(&r->hit);
		damage_records(r);
		if (!r->a->json)
			damage_text(stdout, r);
	}
	ranges_free(&what);
	return err;
}

/* What was found on the way belongs to the answer, but not between its lines. */
static void text_end(struct run *r, uint64_t lost)
{
	char size[SIZE_TEXT];

	progress_wipe(&r->progress);
	fflush(stdout);
	collect_sort(&r->found);
	if (!r->a->quiet)
		text_findings(stderr, r);
	if (lost)
		fprintf(stderr, "vdiskck: %s of what was asked for is lost\n",
			size_text(lost, size));
}

int cmd_locate(const struct args *a)
{
	struct tell t = {0};
	struct run r;
	int status;

	if (a->n_rest)
		return usage_hint(a, "one IMAGE at a time, not also %s", a->rest[0]);
	if (a->have_offset + !!a->at + !!a->map + !!a->file != 1)
		return usage_hint(a, "one of --offset, --at, --file and --map is needed");
	t.r = &r;
	if (!run_begin(&r, a)) {
		run_confine(&r, a->map ? (const char *[]){a->map, NULL} : NULL, NULL);
		locate(&r, &t);
	}
	r.lost = t.lost;
	status = run_status(&r);
	if (t.lost)
		status = DAMAGED; /* of what was asked, something can't be had */
	if (!a->json)
		text_end(&r, t.lost);
	return run_end(&r, status);
}
