/* SPDX-License-Identifier: Apache-2.0 */
/* FAT: the boot sector against its copy, FSInfo, and what the volume says about how it was left. */
#include <inttypes.h>
#include <string.h>

#include "formats/fs/fat_walk.h"
#include "vdiskck/core/session.h"

/* FG, "FAT32 FSInfo sector" */
struct fsinfo {
	uint8_t lead[4]; /* "RRaA" */
	uint8_t unused[480];
	uint8_t sig[4]; /* 0x1e4 "rrAa" */
	le32_t free;	/* 0x1e8 0xffffffff: not known */
	le32_t next;	/* 0x1ec where to look for a free one */
	uint8_t unused2[12];
	uint8_t magic[4]; /* 0x1fc 00 00 55 aa */
};
_Static_assert(sizeof(struct fsinfo) == 512, "FG, FSInfo");

enum { BPB_FROM = 0x0b, BPB_TO = 0x34 }; /* what states where things lie */

static bool get(struct layer *l, uint64_t at, void *buf, size_t len)
{
	struct ranges bad = {0};
	bool ok = !layer_read(l->below, at, buf, len, &bad) && !bad.n;

	ranges_free(&bad);
	return ok;
}

static void check_backup(struct layer *l)
{
	struct fat *g = l->priv;
	uint32_t sector = le16(g->boot.f32.backup);
	uint64_t at = (uint64_t)sector * g->sector;
	struct fat_boot b;

	if (g->from != FAT_FROM_BOOT || !sector || sector == 0xffff ||
	    sector >= le16(g->boot.reserved))
		return;
	if (!get(l, at, &b, sizeof(b)) || b.magic[0] != 0x55 || b.magic[1] != 0xaa) {
		finding(l, FAT_BACKUP_BAD, at, sizeof(b), "there is no copy of the boot sector");
		return;
	}
	for (size_t i = BPB_FROM; i < BPB_TO; i++)
		if (((const uint8_t *)&b)[i] != ((const uint8_t *)&g->boot)[i]) {
			finding_fact(l, FAT_BACKUP_BAD,
				     &(struct fact){
					     .at = at + i,
					     .at_len = 1,
					     .stored = strf("0x%02x", ((uint8_t *)&b)[i]),
					     .expected = strf("0x%02x", ((uint8_t *)&g->boot)[i])},
				     "the copy of the boot sector states other sizes");
			return;
		}
}

static void check_fsinfo(struct layer *l, uint64_t free_clusters)
{
	struct fat *g = l->priv;
	uint32_t sector = le16(g->boot.f32.fsinfo);
	uint64_t at = (uint64_t)sector * g->sector;
	struct fsinfo f;

	if (!sector || sector == 0xffff || sector >= le16(g->boot.reserved))
		return;
	if (!get(l, at, &f, sizeof(f)) || memcmp(f.lead, "RRaA", 4) || memcmp(f.sig, "rrAa", 4) ||
	    memcmp(f.magic, "\0\0\x55\xaa", 4)) {
		finding(l, FAT_FSINFO_BAD, at, sizeof(f),
			"the FSInfo sector has lost its signatures");
		return;
	}
	if (le32(f.free) != UINT32_MAX && le32(f.free) != free_clusters)
		finding_fact(l, FAT_FREE_COUNT,
			     &(struct fact){.at = at + offsetof(struct fsinfo, free),
					    .at_len = 4,
					    .stored = strf("%" PRIu32, le32(f.free)),
					    .expected = strf("%" PRIu64, free_clusters)},
			     "FSInfo counts other free clusters than the FAT has");
}

/* Two bits in the second entry of the FAT, and two in the boot sector: which system uses which. */
static void check_state(struct layer *l)
{
	struct fat *g = l->priv;
	uint8_t state = g->bits == 32 ? g->boot.f32.state : g->boot.old.state, raw[4];
	uint32_t len, clean = g->bits == 32 ? 0x08000000 : 0x8000, v = 0;
	uint64_t at = table_entry_at(&g->t, 0, 1, &len);
	bool has = g->bits != 12 && get(l, at, raw, len);
	bool dirty = state & 1, errors = state & 2;

	if (has) {
		memcpy(&v, raw, sizeof(v));
		if (len == 2)
			v &= 0xffff;
		/* An entry that isn't an end at all was never kept by the system that made it. */
		has = g->bits == 32 ? (v & 0x03ffffff) == 0x03ffffff : (v & 0x3fff) == 0x3fff;
		dirty = dirty || (has && !(v & clean));
		errors = errors || (has && !(v & clean >> 1));
	}
	if (dirty)
		finding(l, FAT_DIRTY, has && !(v & clean) ? at : 0, len,
			"the volume was in use, and not unmounted");
	if (errors)
		finding(l, FAT_IO_ERRORS, has && !(v & clean >> 1) ? at : 0, len,
			"the system that used the volume last met read or write errors on it");
}

int fat_check_boot(struct layer *l, uint64_t free_clusters)
{
	struct fat *g = l->priv;

	if (g->bits == 32) {
		check_backup(l);
		check_fsinfo(l, free_clusters);
	}
	check_state(l);
	session_checked(l->s, 2 * sizeof(g->boot));
	return 0;
}
