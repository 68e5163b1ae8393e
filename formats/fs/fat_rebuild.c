/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FAT without a boot sector. The two FATs begin alike, and their distance is their length; what is
 * behind them must hold as many clusters as they have entries; a folder says in its first entry
 * which cluster it is; and a file's chain is as long as its size asks for, in clusters of one size.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fat.h"

enum {
	FIRST_FAT_MAX = 4096,	   /* sectors before the first FAT */
	FAT_SECTORS_MAX = 1 << 17, /* of one FAT: 64 MiB */
	LOOKED_AT = 64,		   /* entries of the root, for folders */
	CHAIN_MAX = 256,	   /* clusters of a file that is compared with its chain */
	HEAD = 8,		   /* bytes that tell a FAT by */
	PIECE = 256 << 10,
};

static bool get(struct layer *below, uint64_t at, void *buf, size_t len)
{
	struct ranges bad = {0};
	bool ok = !layer_read(below, at, buf, len, &bad) && !bad.n;

	ranges_free(&bad);
	return ok;
}

/*
 * FG, "FAT initialization": media byte and ones, then the end of a chain that has flags. FAT12 and
 * FAT16 can begin alike: a mask of the widths that it may be, as bits / 4 = 3, 4, 8.
 */
static unsigned begins_fat(const uint8_t p[HEAD])
{
	unsigned widths = 1u << 3;

	if ((p[0] != 0xf0 && p[0] < 0xf8) || p[1] != 0xff || p[2] != 0xff)
		return 0;
	if ((p[3] & 0x0f) == 0x0f && p[4] == 0xff && p[5] == 0xff && p[6] == 0xff &&
	    (p[7] & 0x03) == 0x03)
		widths |= 1u << 8;
	if ((p[3] | 0xc0) == 0xff)
		widths |= 1u << 4;
	return widths;
}

/* Could a system have written this? Deleted or not, it has a date and a place. */
static bool sound(const struct fat *g, const struct fat_dirent *e)
{
	unsigned date = le16(e->date);

	if ((e->attr & ATTR_MASK) == ATTR_LONG)
		return !(e->attr & 0xc0);
	return !(e->attr & 0xc0) && (e->name[0] >= ' ' || e->name[0] == 0x05) && (date & 31) &&
	       (date >> 5 & 15) && (date >> 5 & 15) <= 12 &&
	       (!fat_first(g, e) || table_valid(&g->t, fat_first(g, e)));
}

/* What the first FAT has for cluster @c; 0: that can't be had. */
static uint32_t entry_of(struct layer *below, const struct fat *g, uint32_t c)
{
	uint64_t at =
		g->t.at[0] + (g->bits == 12 ? (uint64_t)c * 3 / 2 : (uint64_t)c * g->bits / 8);
	le32_t v = {{0}};
	uint32_t e;

	if (!table_valid(&g->t, c) || !get(below, at, &v, g->bits == 32 ? 4 : 2))
		return 0;
	e = le32(v);
	if (g->bits == 12)
		return c & 1 ? e >> 4 : e & 0xfff;
	return e & 0x0fffffff;
}

/* Does the chain of a file have the length that its size asks for? 0: nothing is to be told. */
static int chain_fits(struct layer *below, const struct fat *g, const struct fat_dirent *e)
{
	uint32_t end = g->bits == 32 ? 0x0ffffff8 : g->bits == 16 ? 0xfff8 : 0xff8;
	uint32_t size = le32(e->size), c = fat_first(g, e);
	uint64_t left = ((uint64_t)size + g->t.cluster - 1) / g->t.cluster;

	if (e->name[0] == 0xe5 || e->attr & (ATTR_DIR | ATTR_LABEL) || !size || left > CHAIN_MAX ||
	    !c)
		return 0;
	while (--left) {
		c = entry_of(below, g, c);
		if (!table_valid(&g->t, c))
			return -1;
	}
	return entry_of(below, g, c) >= end ? 1 : -1;
}

/* The chains of files in a folder's first cluster. */
static int folder_fits(struct layer *below, const struct fat *g, uint64_t at)
{
	struct fat_dirent e[LOOKED_AT];
	size_t n = g->t.cluster < sizeof(e) ? g->t.cluster / sizeof(*e) : LOOKED_AT;
	int fits = 0;

	if (!get(below, at, e, n * sizeof(*e)))
		return 0;
	for (size_t i = 0; i < n && e[i].name[0]; i++)
		fits += chain_fits(below, g, &e[i]);
	return fits;
}

/*
 * How many folders in the root name themselves where this geometry has them, and files have chains
 * of the right length; -1: noise.
 */
static int proof(struct layer *below, const struct fat *g)
{
	uint64_t at = g->bits == 32 ? table_addr(&g->t, g->root_cluster) : g->root_at;
	struct fat_dirent e[LOOKED_AT], self;
	int folders = 0, fits = 0, n = 0;

	if (!get(below, at, e, sizeof(e)))
		return -1;
	for (int i = 0; i < LOOKED_AT && e[i].name[0]; i++) {
		if (!sound(g, &e[i]))
			return -1;
		n++;
		fits += chain_fits(below, g, &e[i]);
		if (e[i].name[0] == 0xe5 || (e[i].attr & ATTR_MASK) == ATTR_LONG ||
		    !(e[i].attr & ATTR_DIR) || !table_valid(&g->t, fat_first(g, &e[i])))
			continue;
		if (!get(below, table_addr(&g->t, fat_first(g, &e[i])), &self, sizeof(self)))
			continue;
		if (memcmp(self.name, ".          ", 11) ||
		    fat_first(g, &self) != fat_first(g, &e[i]))
			return -1;
		folders++;
		fits += folder_fits(below, g, table_addr(&g->t, fat_first(g, &e[i])));
	}
	return !n ? -1 : folders + fits > 0 ? folders + fits : 0;
}

static bool set_up(struct layer *below, const struct fat_boot *known, unsigned bits,
		   uint32_t per_cluster, uint32_t roots, struct fat *g)
{
	struct fat_boot b = *known;
	uint64_t fat = bits == 32 ? le32(b.f32.fat_sectors) : le16(b.fat_sectors16);
	uint64_t entries = fat * le16(b.sector) * 8 / bits;
	if (bits == 12 && entries > CLUSTERS_12 + 1)
		entries = CLUSTERS_12 + 1;
	/* The volume may go on behind the file system: no further than the FAT has entries for. */
	uint64_t most = le16(b.reserved) + 2 * fat + roots * FAT_ENTRY / le16(b.sector) +
			(entries - 2) * per_cluster;

	if (le32(b.sectors32) > most)
		b.sectors32 = to_le32((uint32_t)most);
	b.per_cluster = (uint8_t)per_cluster;
	b.root_entries = to_le16((uint16_t)roots);
	/* mkfs.fat makes a FAT as long as it must be, and up to a multiple of a cluster. */
	return fat_geometry(&b, g) && g->bits == bits && g->size <= below->size &&
	       ((uint64_t)g->t.clusters + 2) * bits / 8 + (2ull + per_cluster) * g->sector >
		       g->t.at[1] - g->t.at[0];
}

/* The FATs are known: try sizes of clusters and of the root until folders confirm them. */
static int fit(struct layer *below, const struct fat_boot *b, unsigned bits, struct fat *best)
{
	static const uint16_t roots[] = {512, 224, 112, 64, 240, 256, 128, 1024};
	int most = 0;

	for (uint32_t per = 1; per <= 128; per *= 2)
		for (size_t i = 0; i < (bits == 32 ? 1 : sizeof(roots) / sizeof(*roots)); i++) {
			struct fat g = {0};
			int n;

			if (!set_up(below, b, bits, per, bits == 32 ? 0 : roots[i], &g))
				continue;
			n = proof(below, &g);
			/* Without folders, only the usual root of FAT32, or of 512 entries. */
			if (n > most || (!n && !most && !i && !best->bits)) {
				*best = g;
				most = n > 0 ? n : 0;
			}
		}
	return most ? 85 : best->bits ? 62 : 0;
}

/* Two FATs of @len sectors, the first one at sector @first: what fits best? */
static int try_fats(struct layer *below, const uint8_t head[HEAD], uint32_t sector, uint32_t first,
		    uint64_t len, struct fat *g)
{
	uint64_t sectors = below->size / sector;
	int best = 0;

	for (unsigned bits = 32; bits >= 12; bits -= bits == 32 ? 16 : 4) {
		struct fat_boot b = {.jump = {0xeb, 0x3c, 0x90},
				     .sector = to_le16((uint16_t)sector),
				     .reserved = to_le16((uint16_t)first),
				     .fats = 2,
				     .media = head[0],
				     .sectors32 = to_le32((uint32_t)sectors),
				     .magic = {0x55, 0xaa}};
		struct fat other = {0};
		int score;

		if (!(begins_fat(head) & 1u << bits / 4) || (bits != 32 && len > UINT16_MAX))
			continue;
		if (bits == 32) {
			b.f32.fat_sectors = to_le32((uint32_t)len);
			b.f32.root_cluster = to_le32(2);
		} else {
			b.fat_sectors16 = to_le16((uint16_t)len);
		}
		score = fit(below, &b, bits, &other);
		if (score > best) {
			best = score;
			*g = other;
		}
	}
	return best;
}

/* The start of each sector, in order, out of pieces that are read at once. */
struct heads {
	struct layer *below;
	uint32_t sector;
	uint8_t *buf;
	uint64_t at;
	size_t len;
	struct ranges bad;
};

/* NULL: it is lost, or there is none. */
static const uint8_t *head_of(struct heads *h, uint64_t s)
{
	uint64_t at = s * h->sector, left;

	if (at >= h->below->size || h->below->size - at < h->sector)
		return NULL;
	if (at < h->at || at >= h->at + h->len) {
		left = h->below->size - at;
		h->at = at;
		h->len = left < PIECE ? (size_t)left : PIECE;
		ranges_free(&h->bad);
		if (layer_read(h->below, at, h->buf, h->len, &h->bad))
			return NULL;
	}
	return ranges_overlap(&h->bad, at, HEAD) ? NULL : h->buf + (at - h->at);
}

static int find_fats(struct heads *h, struct fat *g)
{
	uint64_t sectors = h->below->size / h->sector;
	const uint8_t *p = NULL;
	uint8_t head[HEAD];
	uint32_t first = 0;
	int score = 0;

	while (++first < FIRST_FAT_MAX && first < sectors) {
		p = head_of(h, first);
		if (p && begins_fat(p))
			break;
		p = NULL;
	}
	if (!p || sectors > UINT32_MAX)
		return 0;
	memcpy(head, p, sizeof(head));
	for (uint64_t s = first + 1; !score && s < first + FAT_SECTORS_MAX && s < sectors; s++) {
		p = head_of(h, s);
		if (p && !memcmp(p, head, 3) && begins_fat(p))
			score = try_fats(h->below, head, h->sector, first, s - first, g);
	}
	return score;
}

int fat_rebuild(struct layer *below, struct fat *g)
{
	struct heads h = {.below = below, .sector = below->sector == 4096 ? 4096 : 512};
	int score;

	h.buf = malloc(PIECE);
	score = h.buf ? find_fats(&h, g) : 0;
	ranges_free(&h.bad);
	free(h.buf);
	return score;
}
