/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHD: the footer. It lies in the last 512 bytes of the file (511 by old Virtual PC), and all but
 * fixed disks have a copy in front. When both are gone, the dynamic header still says enough.
 */
#include <errno.h>
#include <string.h>

#include "formats/container/vhd.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

enum {
	SEARCH_STEP = 1 << 16,
	SEARCH_PROBE = 1 << 16, /* a probe must be cheap */
	SEARCH_OPEN = 1 << 26,	/* a copy of a device larger than the image, or junk appended */
};

/* How much of a footer there is, worst first. */
enum quality { NOTHING, COOKIE_ONLY, COOKIE_LOST, GOOD };

struct place {
	struct vhd_footer f;
	uint64_t at, len;
	enum quality q;
};

uint32_t vhd_sum(const void *p, size_t len, uint32_t stored)
{
	be32_t s = to_be32(stored);

	/* The checksum field itself counts as zero. */
	return ~(sum_bytes(p, len) - sum_bytes(&s, sizeof(s)));
}

bool vhd_footer_sum_ok(const struct vhd_footer *f)
{
	uint32_t stored = be32(f->checksum), sum = vhd_sum(f, sizeof(*f), stored);

	if (sum == stored)
		return true;
	/* The first XenServer tools marked a VHD hidden without a new checksum (blktap). */
	return f->hidden == 1 && !memcmp(f->creator, "tap", 3) && sum == stored - 1;
}

bool vhd_header_sum_ok(const struct vhd_header *h)
{
	return vhd_sum(h, sizeof(*h), be32(h->checksum)) == be32(h->checksum);
}

static bool is_cookie(const char *cookie)
{
	return !memcmp(cookie, VHD_COOKIE, 8) || !memcmp(cookie, VHD_POISON, 8);
}

static enum quality judge(const struct vhd_footer *f)
{
	struct vhd_footer g = *f;

	if (is_cookie(f->cookie))
		return vhd_footer_sum_ok(f) ? GOOD : COOKIE_ONLY;
	/* Is it a footer whose cookie was overwritten? Then the sum fits the cookie that was. */
	memcpy(g.cookie, VHD_COOKIE, 8);
	return vhd_footer_sum_ok(&g) ? COOKIE_LOST : NOTHING;
}

static bool type_known(const struct vhd_footer *f)
{
	uint32_t type = be32(f->type);

	return type == VHD_FIXED || type == VHD_DYNAMIC || type == VHD_DIFFERENCING;
}

static int place_read(struct layer *below, uint64_t at, uint64_t len, struct place *p)
{
	int r = 0;

	*p = (struct place){.at = at, .len = len};
	if (at < below->size && len <= below->size - at)
		r = layer_read(below, at, &p->f, len, NULL);
	if (!r)
		p->q = judge(&p->f);
	return r;
}

/* The footer at the end: of 512 bytes, or of 511. */
static int place_end(struct layer *below, struct place *p)
{
	struct place shorter;
	int r;

	*p = (struct place){.q = NOTHING};
	if (below->size < VHD_SECTOR)
		return 0;
	r = place_read(below, below->size - VHD_SECTOR, VHD_SECTOR, p);
	if (r || p->q >= COOKIE_LOST || below->size % VHD_SECTOR != 511)
		return r;
	r = place_read(below, below->size - 511, 511, &shorter);
	if (!r && shorter.q > p->q)
		*p = shorter;
	return r;
}

/* The last good footer in the last @max bytes, on a sector of the file. */
static int search(struct layer *below, uint64_t max, struct place *found)
{
	static const uint8_t cookie[] = VHD_COOKIE;
	uint8_t buf[SEARCH_STEP];
	uint64_t end = below->size & ~(uint64_t)(VHD_SECTOR - 1), low = end > max ? end - max : 0;
	int r = 0;

	found->q = NOTHING;
	while (!r && end > low) {
		size_t n = end - low < sizeof(buf) ? (size_t)(end - low) : sizeof(buf);

		end -= n;
		r = layer_read(below, end, buf, n, NULL);
		for (size_t i = n; !r && i >= VHD_SECTOR;) {
			i -= VHD_SECTOR;
			/* Never the sector in front: that is the copy. */
			if (memcmp(buf + i, cookie, 8) || end + i == 0)
				continue;
			r = place_read(below, end + i, VHD_SECTOR, found);
			if (!r && found->q == GOOD && type_known(&found->f))
				return 0;
			found->q = NOTHING;
		}
	}
	return r;
}

static int header_score(struct layer *below)
{
	struct vhd_header h;

	if (below->size < VHD_SECTOR + sizeof(h) ||
	    layer_read(below, VHD_SECTOR, &h, sizeof(h), NULL))
		return 0;
	if (memcmp(h.cookie, "cxsparse", 8))
		return 0;
	return vhd_header_sum_ok(&h) ? 85 : 60;
}

int vhd_footer_probe(struct layer *below)
{
	struct place end, copy, found;

	if (place_end(below, &end) || place_read(below, 0, VHD_SECTOR, &copy))
		return 0;
	if (end.q == GOOD)
		return 100;
	if (copy.q == GOOD && be32(copy.f.type) != VHD_FIXED)
		return 98;
	if (end.q == COOKIE_ONLY)
		return copy.q == COOKIE_ONLY ? 90 : 70;
	if (end.q == COOKIE_LOST || copy.q == COOKIE_LOST)
		return 80;
	if (copy.q == COOKIE_ONLY)
		return 70;
	if (!search(below, SEARCH_PROBE, &found) && found.q == GOOD)
		return 65;
	return header_score(below);
}

bool vhd_uuid(struct layer *below, uint8_t uuid[16])
{
	struct place end, copy;

	if (place_end(below, &end) || place_read(below, 0, VHD_SECTOR, &copy))
		return false;
	if (end.q < copy.q)
		end = copy;
	memcpy(uuid, end.f.uuid, 16);
	return end.q != NOTHING;
}

uint64_t vhd_chs_bytes(uint32_t geometry)
{
	return (uint64_t)(geometry >> 16) * (geometry >> 8 & 0xff) * (geometry & 0xff) * VHD_SECTOR;
}

/*
 * vhd_size() - the size of the disk
 *
 * The footer states it twice. Virtual PC and old qemu ("vpc ", "vs  ", "qemu") present what the
 * geometry holds, which is up to a cylinder less; Hyper-V, Disk2vhd, XenServer, newer qemu
 * ("qem2") and everybody else the current size. The geometry can't state more than 127 GiB, and
 * tools that resize forget it: it counts only where it is less than a cylinder below the size.
 * (qemu block/vpc.c decides by the creator too, and takes the geometry for unknown ones.)
 */
uint64_t vhd_size(struct vhd *v)
{
	static const char by_chs[][5] = {"vpc ", "vs  ", "qemu"};
	uint64_t size = be64(v->footer.current_size) & ~(uint64_t)(VHD_SECTOR - 1);
	uint32_t geometry = be32(v->footer.geometry);
	uint64_t chs = vhd_chs_bytes(geometry);
	uint64_t cylinder = (uint64_t)(geometry >> 8 & 0xff) * (geometry & 0xff) * VHD_SECTOR;

	for (size_t i = 0; i < sizeof(by_chs) / sizeof(by_chs[0]); i++)
		if (!memcmp(v->footer.creator, by_chs[i], 4) && geometry != VHD_CHS_MAX && chs &&
		    chs < size && size - chs < cylinder) {
			v->chs = true;
			return chs;
		}
	return size;
}

static void use(struct vhd *v, const struct place *p, enum vhd_footer_from from)
{
	v->footer = p->f;
	v->footer_at = p->at;
	v->footer_len = p->len;
	v->from = from;
	v->type = be32(p->f.type);
}

/* Both copies are there: which one is right? What they disagree on is check()'s to tell. */
static const struct place *better(const struct place *end, const struct place *copy)
{
	if (copy->q > end->q && be32(copy->f.type) != VHD_FIXED)
		return copy;
	if (copy->q == end->q && !type_known(&end->f) && type_known(&copy->f))
		return copy;
	return end;
}

static void report_end(struct layer *l, const struct place *end)
{
	static const uint8_t opened[4] = {0xc7, 0xc7, 0xc7, 0xc7};

	if (!memcmp(&end->f, opened, 4))
		finding(l, VHD_FOOTER_OPENED, end->at, end->len,
			"the footer at the end is the mark of a VHD in use: it was not closed");
	else
		finding(l, VHD_FOOTER_LOST, end->at, end->len,
			"no footer at the end of the file; its copy at 0 is used");
}

/* No footer at either end: a search, then what the header says of the disk. */
static int open_without(struct layer *l)
{
	struct vhd *v = l->priv;
	struct place p;
	int r = search(l->below, SEARCH_OPEN, &p);

	if (r)
		return r;
	if (p.q == GOOD) {
		use(v, &p, FOOTER_SEARCH);
		v->data_end = p.at;
		finding(l, VHD_FOOTER_MOVED, p.at, p.len,
			"the footer lies %" PRIu64 " bytes before the end of the file",
			l->below->size - p.at - p.len);
		return 0;
	}
	if (header_score(l->below) < 60)
		return -EBADMSG;
	r = layer_read(l->below, VHD_SECTOR, &v->header, sizeof(v->header), NULL);
	if (r)
		return r;
	v->from = FOOTER_MADE;
	v->type = all_zero(v->header.parent_uuid, 16) && all_zero(v->header.parent_name, 512)
			  ? VHD_DYNAMIC
			  : VHD_DIFFERENCING;
	v->footer.data_offset = to_be64(VHD_SECTOR);
	v->footer.type = to_be32(v->type);
	v->footer.current_size =
		to_be64((uint64_t)be32(v->header.max_table_entries) * be32(v->header.block_size));
	v->footer.original_size = v->footer.current_size;
	finding(l, VHD_FOOTERS_LOST, 0, VHD_SECTOR,
		"both footers are lost; the size of the disk, %" PRIu64
		" bytes, is what the block allocation table could hold",
		be64(v->footer.current_size));
	return 0;
}

int vhd_footer_open(struct layer *l)
{
	struct vhd *v = l->priv;
	struct place end, copy;
	const struct place *p;
	int r = place_end(l->below, &end);

	if (!r)
		r = place_read(l->below, 0, VHD_SECTOR, &copy);
	if (r)
		return r;
	/* What a fixed disk has at 0 is its own data, and may be a VHD. */
	if (end.q == GOOD && be32(end.f.type) == VHD_FIXED)
		copy.q = NOTHING;
	v->data_end = end.q ? end.at : l->below->size;
	v->footer_at = end.at;
	if (!end.q && !copy.q) {
		r = open_without(l);
		if (r)
			return r;
	} else {
		p = better(&end, &copy);
		use(v, p, p == &copy ? FOOTER_COPY : end.len == 511 ? FOOTER_SHORT : FOOTER_END);
		if (!end.q)
			report_end(l, &end);
		else if (p == &copy && end.q < copy.q)
			finding(l, VHD_FOOTER_LOST, end.at, end.len,
				"the footer at the end is damaged; its copy at 0 is used");
		if (p->q == COOKIE_ONLY)
			finding_fact(
				l, VHD_FOOTER_SUM,
				&(struct fact){.at = p->at + offsetof(struct vhd_footer, checksum),
					       .at_len = 4,
					       .stored = strf("0x%08" PRIx32, be32(p->f.checksum)),
					       .expected = strf("0x%08" PRIx32,
								vhd_sum(&p->f, VHD_SECTOR,
									be32(p->f.checksum)))},
				"wrong checksum of the footer in use");
		if (p->q == COOKIE_LOST)
			finding(l, VHD_FOOTER_FIELD, p->at, 8,
				"the footer's cookie is overwritten; its checksum shows what it was");
	}
	if (!memcmp(v->footer.cookie, VHD_POISON, 8))
		finding(l, VHD_FOOTER_DISABLED, v->footer_at, 8,
			"XenServer closed this VHD for a resize or reparent that did not finish");
	if (type_known(&v->footer))
		return 0;
	/* A type that can't be: only sparse disks have a header. */
	v->type = header_score(l->below) >= 60 ? VHD_DYNAMIC : VHD_FIXED;
	finding_fact(l, VHD_FOOTER_FIELD,
		     &(struct fact){.at = v->footer_at + offsetof(struct vhd_footer, type),
				    .at_len = 4,
				    .stored = strf("%" PRIu32, be32(v->footer.type)),
				    .expected = "2, 3 or 4"},
		     "unknown disk type; read as %s", v->type == VHD_FIXED ? "fixed" : "dynamic");
	return 0;
}
