/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/unit.h"

#include <string.h>

/* One unit through a bounce buffer; @len bytes from @skip on are wanted. */
static int read_part(struct layer *l, size_t unit, uint64_t off, void *buf, size_t skip, size_t len,
		     struct ranges *bad,
		     int (*fn)(struct layer *, uint64_t, void *, size_t, struct ranges *))
{
	uint8_t bounce[UNIT_MAX];
	struct ranges lost = {0};
	int r = fn(l, off, bounce, unit, bad ? &lost : NULL);

	if (!r)
		memcpy(buf, bounce + skip, len);
	for (size_t i = 0; !r && i < lost.n; i++) {
		uint64_t from = lost.v[i].off, to = from + lost.v[i].len;

		if (from < off + skip)
			from = off + skip;
		if (to > off + skip + len)
			to = off + skip + len;
		if (from < to)
			r = ranges_add(bad, from, to - from, lost.v[i].grade, lost.v[i].why);
	}
	ranges_free(&lost);
	return r;
}

int unit_read(struct layer *l, size_t unit, uint64_t off, void *buf, size_t len, struct ranges *bad,
	      int (*fn)(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad))
{
	uint8_t *p = buf;
	int r = 0;

	while (!r && len) {
		size_t skip = (size_t)(off & (unit - 1)), n;

		if (skip || len < unit) {
			n = unit - skip < len ? unit - skip : len;
			r = read_part(l, unit, off - skip, p, skip, n, bad, fn);
		} else {
			n = len & ~(unit - 1);
			r = fn(l, off, p, n, bad);
		}
		off += n;
		p += n;
		len -= n;
	}
	return r;
}

void unit_blank(struct ranges *bad, size_t from, uint64_t off, void *buf, size_t len, size_t grain,
		size_t echo, size_t unit)
{
	if (!bad)
		return;
	for (size_t i = from; i < bad->n; i++) {
		struct range *r = &bad->v[i];
		uint64_t start = r->off - off, end = start + r->len, limit;

		if (r->grade != GRADE_LOST)
			continue;
		start &= ~(uint64_t)(grain - 1);
		end = (end + grain - 1) & ~(uint64_t)(grain - 1);
		limit = (end + unit - 1) & ~(uint64_t)(unit - 1);
		end = end + echo < limit ? end + echo : limit;
		if (end > len)
			end = len;
		memset((uint8_t *)buf + start, 0, end - start);
		r->off = off + start;
		r->len = end - start;
	}
}

/* chi² of 512 bytes against uniform, 255 degrees of freedom */
static unsigned chi2(const uint8_t *p)
{
	unsigned count[256] = {0}, sum = 0;

	for (int i = 0; i < 512; i++)
		count[p[i]]++;
	for (int i = 0; i < 256; i++)
		sum += (count[i] - 2) * (count[i] - 2);
	return sum / 2;
}

bool unit_has_structure(const uint8_t *p, size_t len)
{
	enum { ALARM = 512 };

	for (size_t i = 0; i + 512 <= len; i += 512)
		if (chi2(p + i) > ALARM)
			return true;
	return false;
}
