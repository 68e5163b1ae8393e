/* SPDX-License-Identifier: Apache-2.0 */
/* The first line of triage: what broke, what it costs, and how far the logs go. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "formats/stack.h"
#include "vdiskck/core/text.h"
#include "vdiskck/triage.h"

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

/* What it costs. "Can be read" is said only of what was read. */
static void add_loss(struct sentence *l, const struct triage *t)
{
	const struct run *r = &t->r;
	uint64_t doubtful = ranges_bytes(&t->map.bad, GRADE_DOUBTFUL);
	struct cell all = diskmap_part(&t->map, 0, 1);
	char size[SIZE_TEXT], of[SIZE_TEXT];
	bool elsewhere = false;

	for (size_t i = 0; i < r->found.n_tally; i++)
		elsewhere |= r->found.tally[i].lost > 0;
	size_text(t->map.size, of);
	if (!t->map.size)
		return;
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
	if (elsewhere && !r->lost)
		add(l, ", but something is missing");
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
	add(d->l, "%s%s", d->n ? ", " : "; verified: ", l->ops->name);
	d->seen[d->n++] = l->ops;
	return 0;
}

/* The first link of the chain that does not hold: what the reader came for. */
static void add_boot(struct sentence *l, const struct triage *t)
{
	const struct boot_link *k = boot_first(&t->boot);

	if (!k)
		return;
	add(l, "%s%s %s: %s: %s", l->len ? ". " : "",
	    *t->boot.computer ? t->boot.computer : "The machine",
	    k->state == BOOT_BROKEN ? "will not start" : "may not start", k->what, k->evidence);
	if (k->place)
		add(l, " (%s)", k->place);
}

/* How far the logs go, for who asks next what happened. */
static void add_logs(struct sentence *l, const struct triage *t)
{
	const struct timeline *g = &t->logs;
	char when[TIME_TEXT];

	if (!g->last.known)
		return;
	add(l, ". Logs survive to %s", time_text(g->last.sec, 0, when));
	if (g->missing)
		add(l, " (%" PRIu64 " of %" PRIu64 " records lost)", g->missing,
		    g->missing + g->events);
}

/* What broke, in a sentence or two: what it cost, the worst finding, and how many more. */
void triage_headline(struct triage *t, int status)
{
	const struct run *r = &t->r;
	const struct entry *worst = r->found.n ? &r->found.v[0] : NULL;
	enum severity s = worst ? finding_severity(worst->id) : INFO;
	uint64_t n = r->s.count[DAMAGE] + r->s.count[BLEMISH] + r->s.count[UNDECIDED];
	struct sentence l = {t->headline, 0, sizeof(t->headline)};

	add_loss(&l, t);
	add_boot(&l, t);
	add_logs(&l, t);
	if (worst && s != INFO)
		add(&l, "%s%s: %s", l.len ? ". " : "",
		    s == DAMAGE	   ? "Worst"
		    : s == BLEMISH ? "Not as it should be"
				   : "Not examined",
		    worst->message);
	if (n > 1)
		add(&l, ". %" PRIu64 " more %s", n - 1, n == 2 ? "finding" : "findings");
	if (r->failed && *r->error)
		add(&l, "%sIt could not be finished: %s", l.len ? ". " : "", r->error);
	/* Nobody should take "intact" for more than was looked at. */
	if (status == INTACT && r->source) {
		struct drivers d = {.l = &l};

		stack_walk(r->source, add_driver, &d);
		if (!d.filesystem)
			add(&l, "; file systems were not examined");
	}
}
