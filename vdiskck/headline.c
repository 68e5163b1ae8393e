/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first line of triage: what broke, what it hit, what it costs, and how far the logs go. Every
 * damaged object is named or counted; what is named in one sentence is not named again in the next.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "formats/signature.h"
#include "formats/stack.h"
#include "recover/content.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/triage.h"
#include "vdiskck/triage_parts.h"

enum {
	NAMED = 3, /* files of one rank, findings without a file, links: then they are counted */
	UNKNOWN_MAX = 16, /* volumes of which nothing is known: each is read in samples */
	MANY = 10,	  /* findings of one kind: what hit so many files is said once */
};

/* Text that grows in a buffer; what does not fit is cut. */
struct sentence {
	char *buf;
	size_t len, cap;
};

static void add(struct sentence *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct sentence *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->buf + l->len, l->cap - l->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->len += (size_t)n < l->cap - l->len ? (size_t)n : l->cap - l->len - 1;
}

/* The next sentence begins. */
static void stop(struct sentence *l)
{
	if (l->len)
		add(l, ". ");
}

static const char *layer_name(const struct entry *e)
{
	const char *slash = strrchr(e->layer, '/');

	return slash ? slash + 1 : e->layer;
}

/* The first reason why bytes are lost: a whole image that is not there goes before all it would hold. */
static void add_reason(struct sentence *l, const struct triage *t)
{
	static const enum finding_id absent[] = {CHAIN_PARENT_MISSING, CHAIN_PARENT_REFUSED,
						 CHAIN_PARENT_UNREADABLE, SOURCE_PART_MISSING};
	const struct collect *c = &t->r.found;
	const struct entry *why = NULL;

	for (size_t i = 0; i < c->n; i++) {
		const struct entry *e = &c->v[i];

		for (size_t k = 0; k < sizeof(absent) / sizeof(*absent); k++)
			if (e->id == absent[k]) {
				add(l, " (%s: %s)", layer_name(e), e->message);
				return;
			}
		if (!why && e->lost && finding_severity(e->id) == DAMAGE)
			why = e;
	}
	if (why)
		add(l, " (%s: %s)", layer_name(why), why->message);
}

/* What it costs. "Can be read" is said only of what was read. */
static void add_loss(struct sentence *l, const struct triage *t)
{
	const struct run *r = &t->r;
	uint64_t doubtful = ranges_bytes(&t->map.bad, GRADE_DOUBTFUL);
	struct cell all = diskmap_part(&t->map, 0, 1);
	char size[SIZE_TEXT], of[SIZE_TEXT];
	bool elsewhere = false;
	size_t from;

	for (size_t i = 0; i < r->found.n_tally; i++)
		elsewhere |= r->found.tally[i].lost > 0;
	size_text(t->map.size, of);
	if (!t->map.size)
		return;
	stop(l);
	from = l->len;
	if (r->lost == t->map.size)
		add(l, "all of the disk's %s are lost", of);
	else if (r->lost)
		add(l, "%s of the disk's %s are lost", size_text(r->lost, size), of);
	else if (doubtful)
		add(l, "%s of the disk's %s are doubtful", size_text(doubtful, size), of);
	else if (all.bytes[CELL_UNKNOWN])
		add(l, "nothing lost so far, but %s of the disk's %s were not examined",
		    size_text(all.bytes[CELL_UNKNOWN], size), of);
	else
		add(l,
		    r->s.opt.data ? "all of the disk's %s can be read"
				  : "no byte of the disk's %s is known to be lost",
		    of);
	if (from)
		l->buf[from] = (char)toupper((unsigned char)l->buf[from]);
	if (elsewhere && !r->lost)
		add(l, "%s something is missing",
		    !doubtful && all.bytes[CELL_UNKNOWN] ? ", and" : ", but");
	if (elsewhere || r->lost)
		add_reason(l, t);
}

struct unknown {
	struct layer *first;
	char like[CONTENT_TEXT]; /* what it looks like */
	size_t n;
};

/* GRUB's core.img fills it, and is looked at by the chain. */
static bool is_bios_boot(struct layer *l)
{
	struct json *info = js_object();
	bool is;

	if (l->ops->info)
		l->ops->info(l, info);
	is = js_get(info, "type") && !strcmp(js_text(js_get(info, "type")), "BIOS boot");
	js_free(info);
	return is;
}

/*
 * A volume in which nothing was recognised: not even swap or what another program reads. Zeros are
 * what Windows' reserved partition holds, and what is to be had of one that was never used.
 */
static int find_unknown(void *arg, struct layer *l)
{
	struct unknown *u = arg;
	char like[CONTENT_TEXT] = "";
	struct signature sig;

	if (l->ops->kind != LAYER_VOLUME || l->child || l->state || !l->size ||
	    u->n == UNKNOWN_MAX || signature_at(l, 0, &sig) || is_bios_boot(l) ||
	    content_look(l, like) || !strncmp(like, "zeros", 5))
		return 0;
	if (!u->n++) {
		u->first = l;
		snprintf(u->like, sizeof(u->like), "%s", like);
	}
	return 0;
}

static void add_unknown(struct sentence *l, struct layer *source)
{
	struct unknown u = {.n = 0};
	char size[SIZE_TEXT];

	stack_walk(source, find_unknown, &u);
	if (!u.n)
		return;
	stop(l);
	add(l, "What is on %s is not known (%s%s%s)", u.first->path, size_text(u.first->size, size),
	    *u.like ? "; " : "", u.like);
	if (u.n > 1)
		add(l, ", nor on %zu more", u.n - 1);
}

struct drivers {
	const struct layer_ops *seen[16];
	size_t n;
	bool filesystem;
	struct sentence *l;
};

static int add_driver(void *arg, struct layer *l)
{
	struct drivers *d = arg;

	d->filesystem |= l->ops->kind == LAYER_FILESYSTEM;
	if (!l->ops->check || l->state || l->ops->kind == LAYER_SOURCE)
		return 0;
	for (size_t i = 0; i < d->n; i++)
		if (d->seen[i] == l->ops)
			return 0;
	if (d->n == sizeof(d->seen) / sizeof(*d->seen))
		return 0;
	if (!d->n)
		stop(d->l);
	add(d->l, "%s%s", d->n ? ", " : "Verified: ", l->ops->name);
	d->seen[d->n++] = l->ops;
	return 0;
}

/* The path of a place, "LAYER:/path"; a layer as it is. */
static const char *path_of(const char *place)
{
	const char *colon = place ? strstr(place, ":/") : NULL;

	return colon ? colon + 1 : place;
}

/* The first links of a system's chain that do not hold: what the reader came for. */
static void add_system(struct sentence *l, struct triage *t, unsigned system)
{
	const struct boot_system *s = &t->boot.system[system - 1];
	struct boot_link *first = boot_first(&t->boot, system);
	size_t more = 0, shown = 0;

	if (!first)
		return;
	for (struct boot_link *k = first; k < t->boot.v + t->boot.n; k++) {
		if (k->state != first->state || (k->system && k->system != system) ||
		    (k->named && !k->system))
			continue;
		if (shown == NAMED) {
			more++;
			continue;
		}
		if (!shown) {
			stop(l);
			add(l, "%s %s: ",
			    *s->computer	  ? s->computer
			    : t->boot.systems > 1 ? s->os
						  : "the machine",
			    first->state == BOOT_BROKEN ? "will not start" : "may not start");
		}
		add(l, "%s%s: %s", shown++ ? "; " : "", k->what, k->evidence);
		k->named = true;
		if (k->place)
			add(l, " (%s)", path_of(k->place));
	}
	if (more)
		add(l, "; and %zu more %s", more, more == 1 ? "link" : "links");
}

/* Is the file one of those that add_system() named? */
static bool in_boot(const struct triage *t, const struct file_hit *h)
{
	size_t n = strlen(h->fs->path);

	for (const struct boot_link *k = t->boot.v; k < t->boot.v + t->boot.n; k++)
		if (k->named && k->place && h->path && !strncmp(k->place, h->fs->path, n) &&
		    k->place[n] == ':' && !strcmp(k->place + n + 1, h->path))
			return true;
	return false;
}

static void add_hit(struct sentence *l, const struct file_hit *h)
{
	char size[SIZE_TEXT];

	if (h->structure && !(h->path && (h->lost || h->doubtful))) {
		add(l, "%s", h->structure);
		/* Most drivers name the file in the structure's name. */
		if (h->path && !strstr(h->structure, h->path))
			add(l, " of %s", h->path);
		return;
	}
	add(l, "%s", h->path);
	if (h->lost)
		add(l, " (%s lost)", size_text(h->lost, size));
	else if (h->doubtful)
		add(l, " (%s doubtful)", size_text(h->doubtful, size));
}

static bool is_structure(const struct file_hit *h)
{
	return h->structure && !h->lost && (!h->path || !h->doubtful);
}

/* Those of one rank (or, with RANKS, structures of any); true: the sentence has begun. */
static bool add_rank(struct sentence *l, const struct triage *t, enum rank rank, bool begun)
{
	const struct files_hit *h = &t->r.hit;
	size_t shown = 0, more = 0;

	for (size_t i = 0; i < h->n; i++) {
		const struct file_hit *f = &h->v[i];

		if (is_structure(f) != (rank == RANKS) || (rank != RANKS && f->rank != rank) ||
		    in_boot(t, f))
			continue;
		if (shown == NAMED) {
			more++;
			continue;
		}
		if (!begun)
			stop(l);
		if (shown)
			add(l, ", ");
		else
			add(l, "%s%s: ", begun ? "; " : "Hit: ",
			    rank == RANKS ? "structures" : rank_name(rank));
		add_hit(l, f);
		begun = true;
		shown++;
	}
	if (more)
		add(l, " and %zu more", more);
	return begun;
}

/* Files by rank, worst first, then structures; those of the boot chain were named already. */
static void add_files(struct sentence *l, const struct triage *t)
{
	bool begun = false;

	for (enum rank r = 0; r <= RANKS; r++)
		begun = add_rank(l, t, r, begun);
}

/* Did the boot chain say it already, word for word? */
static bool said(const struct sentence *l, const char *message)
{
	return l->len && strstr(l->buf, message);
}

/* "524 more of these": what a driver says instead of the rest of a kind, of which some were named. */
static bool is_rest(const struct collect *c, size_t i)
{
	const struct entry *e = &c->v[i], *before = i ? e - 1 : NULL;

	return !e->at.len && !e->len && before && before->id == e->id &&
	       before->layer == e->layer && before->at.len;
}

/*
 * The findings of one severity, worst first, of each kind the first. What hit files is named by
 * these, unless it is the reason why bytes are lost, or there is much of it. Returns how many need
 * not be counted any more.
 */
static uint64_t add_findings(struct sentence *l, const struct triage *t, enum severity s,
			     const char *lead)
{
	const struct collect *c = &t->r.found;
	const struct entry *last = NULL;
	uint64_t shown = 0, passed = 0;

	for (size_t i = 0; i < c->n; i++) {
		const struct entry *e = &c->v[i];
		const struct tally *all = collect_tally(c, e);
		bool many = all && all->count >= MANY;

		if (finding_severity(e->id) != s)
			continue;
		if (said(l, e->message) || is_rest(c, i) ||
		    (!many && !e->lost && (e->n_paths || e->path)) ||
		    (last && last->id == e->id && last->layer == e->layer)) {
			passed++;
			continue;
		}
		if (shown == NAMED)
			continue;
		last = e;
		if (!shown)
			stop(l);
		add(l, "%s%s: %s", shown++ ? "; " : lead, layer_name(e), e->message);
		if (many)
			add(l, ", and %" PRIu64 " more like it", all->count - 1);
	}
	return shown + passed;
}

/* Which side of the encryption it came from, if its shape tells. */
static void add_cause(struct sentence *l, const struct triage *t)
{
	const struct causes *c = &t->causes;
	size_t below = 0, above = 0;
	bool cut = false;

	for (size_t i = 0; i < c->n; i++) {
		below += c->v[i].sure != CAUSE_POSSIBLE && c->v[i].side == CAUSE_BELOW;
		cut |= c->v[i].sure != CAUSE_POSSIBLE && c->v[i].kind == CAUSE_TRUNCATED &&
		       c->v[i].side == CAUSE_BELOW;
		above += c->v[i].sure != CAUSE_POSSIBLE && c->v[i].side == CAUSE_ABOVE;
	}
	if (!below && !above)
		return;
	stop(l);
	add(l, "By the shape of the damage, ");
	if (below)
		add(l, "%zu arose below the guest, in host, network or storage", below);
	if (cut)
		add(l, " (the image was cut short, or its copy not finished)");
	if (above)
		add(l, "%s%zu in the guest, before it was encrypted", below ? ", " : "", above);
}

/* How far the logs go, for who asks next what happened. */
static void add_logs(struct sentence *l, const struct triage *t)
{
	const struct timeline *g = &t->logs;
	char when[TIME_TEXT];

	if (!g->last.known)
		return;
	stop(l);
	add(l, "Logs survive to %s", time_text(g->last.sec, 0, when));
	if (g->missing)
		add(l, " (%" PRIu64 " of %" PRIu64 " records lost)", g->missing,
		    g->missing + g->events);
	else if (g->doubtful)
		add(l, " (%" PRIu64 " of %" PRIu64 " records doubtful)", g->doubtful, g->events);
}

void triage_headline(struct triage *t, int status)
{
	const struct run *r = &t->r;
	uint64_t n = r->s.count[DAMAGE] + r->s.count[BLEMISH] + r->s.count[UNDECIDED], named;
	struct sentence l = {t->headline, 0, sizeof(t->headline)};

	for (unsigned i = 1; i <= t->boot.systems; i++)
		add_system(&l, t, i);
	if (t->boot.hidden)
		add(&l, "no operating system is to be seen, and what is damaged may hide one");
	add_loss(&l, t);
	add_files(&l, t);
	named = add_findings(&l, t, DAMAGE, "Damaged: ");
	named += add_findings(&l, t, BLEMISH, "Not as it should be: ");
	named += add_findings(&l, t, UNDECIDED, "Not examined: ");
	if (n > named)
		add(&l, "; and %" PRIu64 " more %s", n - named,
		    n - named == 1 ? "finding" : "findings");
	add_cause(&l, t);
	add_logs(&l, t);
	if (!(t->parts & PART_STRUCTURES))
		add(&l, "%sStructures were not verified, as was asked", l.len ? ". " : "");
	if (r->failed && *r->error)
		add(&l, "%sIt could not be finished: %s", l.len ? ". " : "", r->error);
	/* Nobody should take "intact" for more than was looked at. */
	if ((status == INTACT || status == BLEMISHED) && r->source)
		add_unknown(&l, r->source);
	if (status == INTACT && r->source) {
		struct drivers d = {.l = &l};

		stack_walk(r->source, add_driver, &d);
		if (!d.filesystem)
			add(&l, ". File systems were not examined");
	}
}
