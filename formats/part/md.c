/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/part/md.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/part/part.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum { PIECE_MAX = 1 << 20 };

static int md_probe(struct layer *below)
{
	struct md_super s;

	if (below->size < 65536 || !md_super_read(below, &s))
		return 0;
	if (!s.sum_ok)
		return 62;
	/*
	 * A superblock 0.90 at the end of a disk may be that of its last partition: then there is a
	 * table, which comes first.
	 */
	return s.minor == 90 && below->ops->kind != LAYER_VOLUME ? 68 : 97;
}

static const char *level_text(const struct md *a)
{
	return a->s.level == MD_LINEAR ? "linear" : strf("raid%d", a->s.level);
}

static bool wanted(void *arg, struct layer *candidate)
{
	struct md *a = arg;
	struct md_super s;
	struct md_member *m;

	if (candidate->size < 65536 || !md_super_read(candidate, &s) ||
	    memcmp(s.uuid, a->s.uuid, sizeof(s.uuid)) || s.role >= a->disks)
		return false;
	m = &a->member[s.role];
	/* Two of one role: a member that was replaced, and its successor. */
	if (m->on && m->s.events >= s.events)
		return false;
	*m = (struct md_member){.on = candidate, .s = s};
	return true;
}

static bool all_there(void *arg)
{
	const struct md *a = arg;

	for (uint32_t i = 0; i < a->disks; i++)
		if (!a->member[i].on)
			return false;
	return true;
}

static bool shown_elsewhere(struct layer *l, const struct md *a)
{
	const struct layer *mine = l->below;

	if (mine->ops->kind != LAYER_VOLUME || !mine->below)
		return false;
	for (struct layer *c = mine->below->child; c && c != mine; c = c->next)
		for (uint32_t i = 0; i < a->disks; i++)
			if (a->member[i].on == c)
				return true;
	return false;
}

/* The newest member tells what the array is; those that stopped before it are stale. */
static void judge_members(struct md *a)
{
	const struct md_super *newest = NULL;

	for (uint32_t i = 0; i < a->disks; i++)
		if (a->member[i].on && (!newest || a->member[i].s.events > newest->events))
			newest = &a->member[i].s;
	if (!newest)
		return;
	a->s.layout = newest->layout;
	a->s.clean = newest->clean;
	a->s.reshape = newest->reshape;
	/* One event more or less: the machine stopped while superblocks were written. */
	for (uint32_t i = 0; i < a->disks; i++)
		a->member[i].stale = a->member[i].on && a->s.level > 0 &&
				     a->member[i].s.events + 1 < newest->events;
	a->column = 0;
	for (uint32_t i = 0; i < a->disks; i++) {
		const struct md_super *s = &a->member[i].s;

		if (a->member[i].on && s->data_len > a->column)
			a->column = s->data_len;
	}
	if (a->s.level > 0 && newest->size)
		a->column = newest->size;
}

static uint32_t count_usable(const struct md *a)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->disks; i++)
		n += md_usable(a, i, 0);
	return n;
}

/* Can all data be had? raid10: each chunk's copies are on neighbouring members. */
static bool complete(const struct md *a)
{
	uint32_t missing = a->disks - count_usable(a), run = 0, longest = 0;

	if (a->s.level == 1)
		return missing < a->disks;
	if (a->s.level != 10)
		return missing <= a->parities;
	for (uint32_t i = 0; i < 2 * a->disks; i++) {
		run = md_usable(a, i % a->disks, 0) ? 0 : run + 1;
		longest = run > longest ? run : longest;
	}
	return longest < md_copies(a);
}

static void report_members(struct layer *l, struct md *a)
{
	for (uint32_t i = 0; i < a->disks; i++) {
		const struct md_member *m = &a->member[i];

		if (m->stale)
			finding_fact(
				l, MD_STALE,
				&(struct fact){.in = m->on,
					       .at = m->s.at,
					       .at_len = m->s.at_len,
					       .stored = strf("%" PRIu64 " events", m->s.events)},
				"member %" PRIu32 " stopped being written to before the others", i);
		else if (!m->on)
			finding(l, complete(a) ? MD_DEGRADED : MD_MEMBER_MISSING, a->s.at,
				a->s.at_len,
				"member %" PRIu32 " of %" PRIu32 " of the %s array was not found",
				i, a->disks, level_text(a));
		else if (!m->s.sum_ok)
			finding_fact(
				l, MD_SUPER_SUM,
				&(struct fact){.in = m->on, .at = m->s.at, .at_len = m->s.at_len},
				"the superblock of member %" PRIu32 " does not have its checksum",
				i);
	}
	if (!a->s.clean && a->s.level > 0)
		finding(l, MD_DIRTY, a->s.at, a->s.at_len, "the array was not stopped");
}

/* --- the array as a volume --- */

static bool copy_usable(const struct md *a, const struct md_place *p)
{
	return p->disk < a->disks && md_usable(a, p->disk, p->at);
}

int md_map(const struct md *a, uint64_t off, struct extent *run)
{
	struct md_place p;
	bool found = false;

	for (uint32_t k = 0; k < md_copies(a) && !found; k++) {
		md_place(a, off, k, &p);
		found = copy_usable(a, &p);
	}
	run->off = off;
	run->len = p.len < a->size - off ? p.len : a->size - off;
	if (found) {
		const struct md_member *m = &a->member[p.disk];
		uint64_t at = m->s.data + p.at;

		if (m->s.recovering && run->len > m->s.recovered - p.at)
			run->len = m->s.recovered - p.at;
		if (at >= m->on->size) {
			run->kind = EXTENT_LOST;
			run->why = MD_MEMBER_MISSING;
			return 0;
		}
		if (run->len > m->on->size - at)
			run->len = m->on->size - at;
		run->kind = EXTENT_DATA;
		run->in = m->on;
		run->at = at;
	} else if (a->parities && p.p < a->disks && complete(a)) {
		/* Computed from the other members: named by one of them, which is not the same bytes. */
		uint32_t other = (p.disk + 1) % a->disks;

		while (!md_usable(a, other, p.at) && other != p.disk)
			other = (other + 1) % a->disks;
		run->kind = EXTENT_DATA;
		run->in = a->member[other].on;
		run->at = a->member[other].s.data + p.at;
		run->packed = run->len;
		if (!run->in || run->at >= run->in->size || run->len > run->in->size - run->at) {
			run->kind = EXTENT_LOST;
			run->why = MD_MEMBER_MISSING;
			run->packed = 0;
		}
	} else {
		run->kind = EXTENT_LOST;
		run->why = MD_MEMBER_MISSING;
	}
	return 0;
}

static int array_map(struct layer *l, uint64_t off, struct extent *run)
{
	return md_map(((struct layer *)l->priv)->priv, off, run);
}

static uint64_t lost_bytes(struct ranges *bad)
{
	ranges_sort(bad);
	return ranges_bytes(bad, GRADE_LOST) + ranges_bytes(bad, GRADE_DOUBTFUL);
}

/* One piece, from where most of it can be had: a copy, another one, parity. */
static int read_piece(const struct md *a, uint64_t off, uint8_t *buf, size_t len,
		      struct ranges *bad)
{
	struct ranges best = {0};
	uint64_t least = UINT64_MAX;
	struct md_place p = {0};
	uint8_t *other = malloc(len);
	int r = other ? 0 : -ENOMEM;

	for (uint32_t k = 0; k <= md_copies(a) && least && !r; k++) {
		bool parity = k == md_copies(a);
		struct ranges now = {0};

		if (parity && !a->parities)
			break;
		md_place(a, off, parity ? 0 : k, &p);
		if (!parity && !copy_usable(a, &p))
			continue;
		r = parity ? md_rebuild(a, &p, other, len, off, &now)
			   : md_read_member(a, p.disk, p.at, other, len, off, &now);
		if (!r && lost_bytes(&now) < least) {
			least = lost_bytes(&now);
			memcpy(buf, other, len);
			ranges_free(&best);
			best = now;
		} else {
			ranges_free(&now);
		}
	}
	if (!r && least == UINT64_MAX) {
		memset(buf, 0, len);
		r = ranges_add(bad, off, len, GRADE_LOST, MD_MEMBER_MISSING);
	} else if (!r) {
		r = ranges_append(bad, &best);
	}
	ranges_free(&best);
	free(other);
	return r;
}

int md_read(const struct md *a, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	uint8_t *to = buf;
	struct ranges none = {0};
	int r = 0;

	while (len && !r) {
		struct md_place p;
		size_t n = len < PIECE_MAX ? len : PIECE_MAX;

		md_place(a, off, 0, &p);
		if (p.len < n)
			n = (size_t)p.len;
		if (p.disk < a->disks && a->member[p.disk].s.recovering &&
		    p.at < a->member[p.disk].s.recovered &&
		    n > a->member[p.disk].s.recovered - p.at)
			n = (size_t)(a->member[p.disk].s.recovered - p.at);
		r = read_piece(a, off, to, n, bad ? bad : &none);
		ranges_free(&none);
		to += n;
		off += n;
		len -= n;
	}
	return r;
}

static int array_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	return md_read(((struct layer *)l->priv)->priv, off, buf, len, bad);
}

static void array_info(struct layer *l, struct json *to)
{
	const struct md *a = ((struct layer *)l->priv)->priv;

	js_str(to, "level", level_text(a));
	if (a->s.chunk && a->s.level != 1)
		js_u64(to, "chunk_size", a->s.chunk);
}

static const struct layer_ops array_ops = {
	.name = "array",
	.kind = LAYER_VOLUME,
	.read = array_read,
	.map = array_map,
	.info = array_info,
};

static int present(struct layer *l, struct md *a)
{
	const char *name = strchr(a->s.name, ':') ? strchr(a->s.name, ':') + 1 : a->s.name;
	char safe[160];
	struct layer *v;

	name_escape(*name ? name : "array", strlen(*name ? name : "array"), safe, sizeof(safe));
	for (char *p = safe; *p; p++)
		*p = *p == '/' ? '_' : *p;
	v = layer_new(l->s, &array_ops, l, safe);
	if (!v)
		return -ENOMEM;
	v->priv = l; /* its own place would do, if it had one */
	v->size = a->size;
	v->sector = l->sector;
	layer_attach(l, v);
	return 0;
}

static int md_open(struct layer *l)
{
	struct md *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	l->priv = a;
	a->l = l;
	if (!md_super_read(l->below, &a->s))
		return -EBADMSG;
	l->size = l->below->size;
	l->sector = l->below->sector;
	a->disks = a->s.disks;
	a->parities = a->s.level == 4 || a->s.level == 5 ? 1 : a->s.level == 6 ? 2 : 0;
	a->member = calloc(a->disks + 1, sizeof(*a->member));
	if (!a->member)
		return -ENOMEM;
	if (a->s.role < a->disks)
		a->member[a->s.role] = (struct md_member){.on = l->below, .s = a->s};
	r = members_find(l, wanted, all_there, a, &a->others);
	if (r)
		return r;
	judge_members(a);
	a->elsewhere = shown_elsewhere(l, a);
	a->size = md_size(a);
	if (a->elsewhere)
		return 0;
	if (!a->size || a->s.reshape) {
		finding(l, MD_UNSUPPORTED, a->s.at, a->s.at_len,
			a->s.reshape
				? "the array is in the midst of a reshape: level %d, layout 0x%" PRIx32
				: "the array has level %d, layout 0x%" PRIx32
				  ": its data is not presented",
			a->s.level, a->s.layout);
		return 0;
	}
	report_members(l, a);
	return present(l, a);
}

static int md_check(struct layer *l)
{
	struct md *a = l->priv;

	session_checked(l->s, a->s.at_len);
	return l->s->opt.data && !a->elsewhere && l->child ? md_check_data(l) : 0;
}

static void md_info(struct layer *l, struct json *to)
{
	struct md *a = l->priv;
	char id[GUID_TEXT];
	uint32_t there = 0;

	if (a->s.minor == 90)
		js_str(to, "metadata", "0.90");
	else
		js_strf(to, "metadata", "1.%u", a->s.minor);
	js_str(to, "uuid", guid_text_be(a->s.uuid, id));
	js_str(to, "level", level_text(a));
	if (a->s.role < a->disks)
		js_u64(to, "member", a->s.role);
	else
		js_str(to, "member", "spare");
	for (uint32_t i = 0; i < a->disks; i++)
		there += a->member[i].on != NULL;
	js_strf(to, "members", "%" PRIu32 " of %" PRIu32, there, a->disks);
	js_u64(to, "events", a->s.events);
	if (a->elsewhere)
		js_str(to, "array", "under its first partition on this disk");
}

static bool md_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
			 uint64_t *len)
{
	struct md *a = l->priv;

	if (at < a->s.at || at - a->s.at >= a->s.at_len)
		return false;
	snprintf(name, cap, "md superblock");
	*start = a->s.at;
	*len = a->s.at_len;
	return true;
}

static void md_close(struct layer *l)
{
	struct md *a = l->priv;

	if (!a)
		return;
	free(a->member);
	members_free(&a->others);
	free(a);
}

const struct layer_ops md_ops = {
	.name = "md",
	.kind = LAYER_MAP,
	.probe = md_probe,
	.open = md_open,
	.read = layer_read_mapped,
	.map = part_map_run,
	.check = md_check,
	.info = md_info,
	.structure = md_structure,
	.close = md_close,
};
