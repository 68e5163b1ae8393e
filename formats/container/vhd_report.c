/* SPDX-License-Identifier: Apache-2.0 */
/* VHD: faults of many blocks, told in few words. */
#include <string.h>

#include "formats/container/vhd_check.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

enum { REPORTS_MAX = 256 }; /* of one kind; a table of garbage would have millions */

static void report_emit(struct vhd_report *s)
{
	struct vhd *v = s->l->priv;
	struct fact f = {.at = v->bat_at + s->first * UINT64_C(4), .at_len = s->n * UINT64_C(4)};
	uint32_t entry = v->bat[s->first];

	if (!s->n)
		return;
	if (s->reports++ >= REPORTS_MAX) {
		if (!s->more)
			s->more_first = s->first;
		s->more += s->n;
		s->n = 0;
		return;
	}
	if (s->at_bitmap) {
		f.at = vhd_block_at(v, s->first);
		f.at_len = v->bitmap_size;
	} else {
		f.stored = strf("0x%" PRIx32, entry);
		f.expected = strf("0x%" PRIx64 "..0x%" PRIx64, v->meta_end / VHD_SECTOR,
				  v->data_end / VHD_SECTOR);
	}
	f.off = (uint64_t)s->first << v->block_shift;
	f.len = s->n > 1 ? (uint64_t)(s->n - 1) << v->block_shift : 0;
	f.len += vhd_block_len(s->l, s->first + s->n - 1);
	f.lost = s->lost;
	f.doubtful = s->doubtful;
	if (s->n == 1)
		finding_fact(s->l, s->id, &f, "block %" PRIu32 " %s", s->first, s->what);
	else
		finding_fact(s->l, s->id, &f, "blocks %" PRIu32 "..%" PRIu32 ": each %s", s->first,
			     s->first + s->n - 1, s->what);
	s->n = 0;
}

void vhd_report_block(struct vhd_report *s, uint32_t block)
{
	if (s->n && block != s->first + s->n)
		report_emit(s);
	if (!s->n)
		s->first = block;
	s->n++;
}

void vhd_report_end(struct vhd_report *s)
{
	struct vhd *v = s->l->priv;

	report_emit(s);
	if (s->more)
		finding_fact(s->l, s->id,
			     &(struct fact){.at = v->bat_at + s->more_first * UINT64_C(4),
					    .at_len = (v->entries - s->more_first) * UINT64_C(4)},
			     "%" PRIu64 " more such blocks, the first of them %" PRIu32, s->more,
			     s->more_first);
}

/* Is anything but zeros in the @n sectors from @at? */
int vhd_any_data(struct layer *l, uint64_t at, uint64_t len, bool *any)
{
	struct vhd *v = l->priv;
	uint8_t buf[VHD_PIECE];
	int r = 0;

	if (at + len > v->data_end)
		len = at < v->data_end ? v->data_end - at : 0;
	while (!r && len && !*any && !session_stopped(l->s)) {
		size_t n = len < sizeof(buf) ? (size_t)len : sizeof(buf);

		r = layer_read(l->below, at, buf, n, NULL);
		*any = !r && !all_zero(buf, n);
		at += n;
		len -= n;
	}
	return r;
}
