/* SPDX-License-Identifier: Apache-2.0 */
/* VHD: the parent of a differencing image. By locator, by recorded name, by UUID. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "formats/container/alias.h"
#include "formats/container/chain.h"
#include "formats/container/vhd.h"
#include "formats/drivers.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/source.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/core/text.h"

#define CODE(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

enum {
	NAME_MAX_BYTES = 4096, /* of a locator that are looked at */
	NAME_TEXT = 3 * NAME_MAX_BYTES / 2 + 1,
	CLOCK_SLACK = 1800, /* hosts and file servers disagree that much (blktap) */
};

/* Locators in the order they are tried: relative ones first. Wi2r and Wi2k are deprecated. */
static const uint32_t order[] = {
	CODE('W', '2', 'r', 'u'), CODE('M', 'a', 'c', 'X'), CODE('W', '2', 'k', 'u'),
	CODE('W', 'i', '2', 'r'), CODE('W', 'i', '2', 'k'),
};

const char *vhd_code_text(be32_t code, char text[20])
{
	return name_escape((const char *)code.b, 4, text, 20);
}

uint64_t vhd_locator_space(const struct vhd_locator *c)
{
	uint64_t space = be32(c->space), len = be32(c->len);

	/* The field counts sectors, but Microsoft and XenServer write bytes there. */
	if (space < len || space < VHD_SECTOR)
		space *= VHD_SECTOR;
	return space < len ? len : space;
}

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* "file://localhost/a%20b" -> "/a b". XenServer writes relative paths, unescaped, the same way. */
static void url_name(const uint8_t *p, size_t len, char *name, size_t cap)
{
	const char *s = (const char *)p;
	size_t n = 0;

	if (len >= 7 && !memcmp(s, "file://", 7)) {
		s += 7;
		len -= 7;
		if (len >= 9 && !memcmp(s, "localhost", 9)) {
			s += 9;
			len -= 9;
		}
	}
	for (size_t i = 0; i < len && s[i] && n + 1 < cap; i++) {
		if (s[i] == '%' && i + 2 < len && hex(s[i + 1]) >= 0 && hex(s[i + 2]) >= 0) {
			name[n++] = (char)(hex(s[i + 1]) << 4 | hex(s[i + 2]));
			i += 2;
		} else {
			name[n++] = s[i];
		}
	}
	name[n] = '\0';
}

bool vhd_locator_name(struct layer *l, unsigned i, char *name, size_t cap)
{
	struct vhd *v = l->priv;
	const struct vhd_locator *c = &v->header.locator[i];
	uint32_t len = be32(c->len), code = be32(c->code);
	uint64_t at = be64(c->offset);
	uint8_t buf[NAME_MAX_BYTES];
	struct ranges bad = {0};
	bool lost;

	if (!code || !len || !range_inside(at, len, l->below->size))
		return false;
	if (len > sizeof(buf))
		len = sizeof(buf);
	lost = layer_read(l->below, at, buf, len, &bad) || bad.n;
	ranges_free(&bad);
	if (lost)
		return false;
	switch (code) {
	case CODE('W', '2', 'r', 'u'):
	case CODE('W', '2', 'k', 'u'): utf16_text(buf, len / 2, 0, name, cap); break;
	case CODE('M', 'a', 'c', 'X'): url_name(buf, len, name, cap); break;
	case CODE('W', 'i', '2', 'r'):
	case CODE('W', 'i', '2', 'k'):
		snprintf(name, cap, "%.*s", (int)len, (const char *)buf);
		break;
	default: return false;
	}
	return *name;
}

const char *vhd_parent_name(const struct vhd *v, char *name, size_t cap)
{
	return utf16_text(v->header.parent_name, sizeof(v->header.parent_name) / 2, 1, name, cap);
}

struct hunt {
	struct layer *child;
	const uint8_t *uuid;
	bool any;	     /* the child does not know whose it is: every file will do */
	bool refused;	     /* a file was there, but must not be opened */
	struct layer *other; /* the first one found by name that has another identity */
	char other_from[8];
	struct layer *found;
};

static bool fits(struct hunt *h, struct layer *source)
{
	uint8_t uuid[16];

	return h->any || (vhd_uuid(source, uuid) && !memcmp(uuid, h->uuid, 16));
}

/* Is there a parent under @name? Kept aside if it has another identity. */
static int try_name(struct hunt *h, const char *name, const char *from)
{
	struct vhd *v = h->child->priv;
	struct layer *source = NULL;
	int r;

	if (h->found || !*name)
		return 0;
	r = source_open_beside(layer_source(h->child), name, &source);
	if (r == -ENOMEM)
		return r;
	h->refused |= r == -EACCES;
	if (r)
		return 0;
	if (fits(h, source)) {
		h->found = source;
		snprintf(v->parent_from, sizeof(v->parent_from), "%s", from);
	} else if (!h->other) {
		h->other = source;
		snprintf(h->other_from, sizeof(h->other_from), "%s", from);
	} else {
		layer_free(source);
	}
	return 0;
}

static int try_uuid(void *arg, struct layer *source)
{
	struct hunt *h = arg;

	if (source_same(source, layer_source(h->child)) || !fits(h, source))
		return 0;
	h->found = source;
	return 1;
}

static int hunt_names(struct hunt *h)
{
	struct vhd *v = h->child->priv;
	char name[NAME_TEXT], code[20];
	int r = 0;

	for (size_t k = 0; !r && k < sizeof(order) / sizeof(order[0]); k++)
		for (unsigned i = 0; !r && i < VHD_LOCATORS; i++)
			if (be32(v->header.locator[i].code) == order[k] &&
			    vhd_locator_name(h->child, i, name, sizeof(name)))
				r = try_name(h, name,
					     vhd_code_text(v->header.locator[i].code, code));
	if (!r)
		r = try_name(h, vhd_parent_name(v, name, sizeof(name)), "name");
	return r;
}

/* XenServer: the volumes of a storage repository, VHD-UUID each, are one another's parents. */
static int hunt_siblings(struct hunt *h)
{
	struct layer *mine = alias_of(h->child->below);

	if (mine->ops->kind != LAYER_VOLUME || !mine->below)
		return 0;
	for (struct layer *c = mine->below->child; c && !h->found; c = c->next) {
		if (c == mine || c->ops->kind != LAYER_VOLUME || !fits(h, c))
			continue;
		h->found = alias_new(c);
		if (!h->found)
			return -ENOMEM;
	}
	if (h->found)
		strcpy(((struct vhd *)h->child->priv)->parent_from, "volume");
	return 0;
}

static int hunt_uuid(struct hunt *h)
{
	struct vhd *v = h->child->priv;
	int r;

	if (h->found || h->any)
		return 0;
	r = hunt_siblings(h);
	if (r || h->found)
		return r;
	r = source_each_beside(layer_source(h->child), try_uuid, h);
	if (r < 0 && r != -ENOENT)
		return r == -ENOMEM || r == -EINTR ? r : 0;
	if (h->found) {
		strcpy(v->parent_from, "uuid");
		finding(h->child, VHD_PARENT_FOUND, v->header_at, sizeof(v->header),
			"no parent where the image names one; %s has the right identity",
			h->found->path);
	}
	return 0;
}

static void report_missing(struct layer *l, bool refused)
{
	struct vhd *v = l->priv;
	char raw[NAME_TEXT], name[NAME_TEXT], uuid[GUID_TEXT];

	vhd_parent_name(v, raw, sizeof(raw));
	for (unsigned i = 0; !*raw && i < VHD_LOCATORS; i++)
		vhd_locator_name(l, i, raw, sizeof(raw));
	name_escape(raw, strlen(raw), name, sizeof(name));
	v->parent_why = refused ? CHAIN_PARENT_REFUSED : CHAIN_PARENT_MISSING;
	finding_fact(l, v->parent_why,
		     &(struct fact){.at = v->header_at + offsetof(struct vhd_header, parent_name),
				    .at_len = sizeof(v->header.parent_name)},
		     refused ? "the parent \"%s\" (%s) lies outside the folders that may be read"
			     : "the parent \"%s\" (%s) was not found",
		     *name ? name : "no name", guid_text_be(v->header.parent_uuid, uuid));
}

/*
 * Was the parent changed after the child was made? The child keeps the parent's modification
 * time. A later time in the parent's footer proves it (it was made anew). A later time of the
 * file alone may also come from a copy that did not keep times, and then says nothing.
 */
static void check_time(struct layer *l, struct layer *source)
{
	struct vhd *v = l->priv, *p = l->parent->ops == &vhd_ops ? l->parent->priv : NULL;
	int64_t stated = (int64_t)be32(v->header.parent_time), mtime, child;
	int64_t made = p ? (int64_t)be32(p->footer.time) : 0;
	char a[TIME_TEXT], b[TIME_TEXT];
	struct fact f = {.at = v->header_at + offsetof(struct vhd_header, parent_time),
			 .at_len = 4};

	if (!stated)
		return;
	f.stored = time_text(VHD_EPOCH + stated, 0, a);
	if (made > stated + CLOCK_SLACK) {
		f.expected = time_text(VHD_EPOCH + made, 0, b);
		finding_fact(l, CHAIN_PARENT_NEWER, &f,
			     "the parent was made after the time that this image states for it");
		return;
	}
	/* Some creators store when the parent was made: then writes to it before don't count. */
	if (stated == made || !source_mtime(source, &mtime) ||
	    mtime - VHD_EPOCH <= stated + CLOCK_SLACK)
		return;
	f.expected = time_text(mtime, 0, b);
	if (source_mtime(layer_source(l), &child) && mtime > child + CLOCK_SLACK)
		finding_fact(l, CHAIN_PARENT_NEWER, &f,
			     "the parent was written to after this image was made, and after it "
			     "was last written to itself");
	else
		finding_fact(l, VHD_PARENT_COPIED, &f,
			     "the parent's file is newer than this image states: copied, or "
			     "written to since");
}

static void check_identity(struct layer *l, bool differs)
{
	struct vhd *v = l->priv, *p = l->parent->ops == &vhd_ops ? l->parent->priv : NULL;
	char a[GUID_TEXT], b[GUID_TEXT];
	struct fact f = {.at = v->header_at + offsetof(struct vhd_header, parent_uuid),
			 .at_len = 16};

	if (differs) {
		f.stored = guid_text_be(v->header.parent_uuid, a);
		f.expected = p ? guid_text_be(p->footer.uuid, b) : l->parent->ops->name;
		f.len = l->size;
		f.doubtful = true;
		finding_fact(l, CHAIN_PARENT_ID, &f,
			     "%s is there under the parent's name, but is another image",
			     l->parent->below->path);
	}
	if (l->parent->size != l->size)
		finding(l, CHAIN_PARENT_SIZE, 0, 0,
			"this image has %" PRIu64 " bytes, its parent %" PRIu64, l->size,
			l->parent->size);
}

int vhd_parent_open(struct layer *l)
{
	struct vhd *v = l->priv;
	struct hunt h = {.child = l, .uuid = v->header.parent_uuid};
	bool differs = false;
	int r;

	h.any = all_zero(h.uuid, 16);
	r = hunt_names(&h);
	if (!r)
		r = hunt_uuid(&h);
	if (!r && !h.found && h.other) {
		h.found = h.other;
		h.other = NULL;
		differs = true;
		memcpy(v->parent_from, h.other_from, sizeof(v->parent_from));
	}
	layer_free(h.other);
	if (r) {
		layer_free(h.found);
		return r;
	}
	if (!h.found) {
		report_missing(l, h.refused);
		return 0;
	}
	/* Without an identity to check, XenServer means a raw volume. */
	r = chain_open(l, h.found, NULL, h.any);
	if (r) {
		v->parent_why = r == -ELOOP    ? CHAIN_CYCLE
				: r == -EMLINK ? CHAIN_TOO_DEEP
					       : CHAIN_PARENT_UNREADABLE;
		return r == -ENOMEM || r == -EINTR ? r : 0;
	}
	check_identity(l, differs);
	check_time(l, l->parent->below);
	return 0;
}
