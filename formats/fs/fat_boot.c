/* SPDX-License-Identifier: Apache-2.0 */
/* FAT: the boot sector, its copy, and what the FATs alone say when both are lost. */
#include <errno.h>
#include <string.h>

#include "formats/fs/fat.h"
#include "vdiskck/core/sum.h"

enum {
	CLUSTERS_16 = 65525, /* fewer: FAT16, and see CLUSTERS_12 */
	CLUSTERS_MAX = 0x0ffffff5,
	BACKUP_SECTOR = 6, /* FG: "no value other than 6 is recommended" */
};

static bool power_of_2(uint32_t v, uint32_t min, uint32_t max)
{
	return v >= min && v <= max && !(v & (v - 1));
}

/* Volumes of TrueCrypt's and BitLocker's kind also begin like this. */
static bool foreign(const struct fat_boot *b)
{
	static const char *const oem[] = {"NTFS    ", "EXFAT   ", "-FVE-FS-", "ReFS\0\0\0\0"};

	for (size_t i = 0; i < sizeof(oem) / sizeof(*oem); i++)
		if (!memcmp(b->oem, oem[i], 8))
			return true;
	/* BitLocker To Go keeps a FAT32 boot sector in front: libbde, "volume header" */
	return !memcmp(b->oem, "MSWIN4.1", 8) &&
	       !memcmp((const uint8_t *)b + 0x1a8, "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a", 8);
}

/* Addresses and sizes from counts of sectors; @clusters may be too many for the FAT. */
static void lay_out(struct fat *g, uint64_t reserved, uint64_t fat_len, uint32_t roots,
		    uint32_t clusters, uint32_t cluster)
{
	uint64_t entries, in_use;

	g->t.n = g->fats > 2 ? 2 : g->fats;
	for (unsigned k = 0; k < g->t.n; k++)
		g->t.at[k] = reserved + k * fat_len;
	g->root_at = reserved + g->fats * fat_len;
	g->root_len = (uint64_t)roots * FAT_ENTRY;
	g->t.heap = g->root_at + (g->root_len + g->sector - 1) / g->sector * g->sector;
	g->t.cluster = cluster;
	g->t.bits = g->bits == 32 ? 28 : g->bits;
	/* Clusters that the FAT has no entry for can't be used by anybody. */
	entries = g->bits == 12 ? fat_len * 2 / 3 : fat_len / (g->bits / 8);
	if (clusters > entries - 2)
		clusters = (uint32_t)(entries - 2);
	g->t.clusters = clusters;
	in_use = g->bits == 12 ? ((uint64_t)clusters + 2) * 3 / 2 + 1
			       : ((uint64_t)clusters + 2) * (g->bits / 8);
	g->t.len = in_use < fat_len ? in_use : fat_len;
}

bool fat_geometry(const struct fat_boot *b, struct fat *g)
{
	uint32_t sector = le16(b->sector), reserved = le16(b->reserved);
	uint64_t total = le16(b->sectors16) ? le16(b->sectors16) : le32(b->sectors32);
	bool old = le16(b->fat_sectors16) != 0;
	uint64_t fat = old ? le16(b->fat_sectors16) : le32(b->f32.fat_sectors);
	uint64_t root = ((uint64_t)le16(b->root_entries) * FAT_ENTRY + sector - 1);
	uint64_t first, clusters;

	if (foreign(b) || !power_of_2(sector, 512, 4096) || !power_of_2(b->per_cluster, 1, 128) ||
	    !reserved || !b->fats || b->fats > 4 || !fat || (b->media != 0xf0 && b->media < 0xf8) ||
	    (old && !le16(b->root_entries)))
		return false;
	first = reserved + b->fats * fat + root / sector;
	if (first >= total)
		return false;
	clusters = (total - first) / b->per_cluster;
	if (!clusters || clusters > CLUSTERS_MAX || (old && clusters >= CLUSTERS_16 + 11))
		return false;
	g->boot = *b;
	/*
	 * Without a 16-bit FAT size it is FAT32 whatever the number of clusters: fsck.fat, Linux
	 * and Windows agree where the specification would not.
	 */
	g->bits = !old ? 32 : clusters < CLUSTERS_12 ? 12 : 16;
	g->sector = sector;
	g->fats = b->fats;
	g->size = total * sector;
	g->root_cluster = old ? 0 : le32(b->f32.root_cluster) & 0x0fffffff;
	if (fat * sector < 4)
		return false;
	lay_out(g, (uint64_t)reserved * sector, fat * sector, old ? le16(b->root_entries) : 0,
		(uint32_t)clusters, b->per_cluster * sector);
	if (!old && le16(b->f32.flags) & 0x80) { /* one FAT is active, the others are not kept */
		unsigned k = le16(b->f32.flags) & 15;

		if (k < g->fats)
			g->t.at[0] += k * fat * sector;
		g->t.n = 1;
	}
	return true;
}

/* Does the table begin as FG, "FAT initialization" says? -1: can't be read */
static int table_begins(struct layer *below, const struct fat *g, unsigned k)
{
	uint8_t p[4];
	struct ranges bad = {0};
	bool lost = layer_read(below, g->t.at[k], p, sizeof(p), &bad) || bad.n;

	ranges_free(&bad);
	if (lost)
		return -1;
	return p[0] == g->boot.media && p[1] == 0xff;
}

/* The boot sector at byte @at, 0..100. */
static int boot_at(struct layer *below, uint64_t at, struct fat *g)
{
	struct fat_boot b;
	struct ranges bad = {0};
	bool lost = layer_read(below, at, &b, sizeof(b), &bad) || bad.n, magic, begins = false;

	ranges_free(&bad);
	if (lost || !fat_geometry(&b, g))
		return 0;
	magic = b.magic[0] == 0x55 && b.magic[1] == 0xaa;
	for (unsigned k = 0; k < g->t.n; k++)
		begins = begins || table_begins(below, g, k) == 1;
	if (magic && begins)
		return 92;
	if (begins && (b.jump[0] == 0xeb || b.jump[0] == 0xe9))
		return 75;
	return magic && (b.jump[0] == 0xeb || b.jump[0] == 0xe9) ? 45 : 0;
}

int fat_find_boot(struct layer *below, bool rebuild, struct fat *g)
{
	struct fat first = {0};
	int score = boot_at(below, 0, &first), best = score;
	uint32_t sector = below->sector == 4096 ? 4096 : 512;

	*g = first;
	g->from = FAT_FROM_BOOT;
	for (uint32_t s = sector; s <= 4096 && best < 75; s *= 2) {
		struct fat other = {0};

		score = boot_at(below, (uint64_t)BACKUP_SECTOR * s, &other);
		if (score > best && other.bits == 32) {
			best = score;
			*g = other;
			g->from = FAT_FROM_BACKUP;
		}
	}
	if (best < 75 && rebuild) {
		struct fat other = {0};

		score = fat_rebuild(below, &other);
		if (score > best) {
			best = score;
			*g = other;
			g->from = FAT_FROM_FATS;
		}
	}
	return best ? best : -ENOENT;
}
