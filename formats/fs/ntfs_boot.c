/* SPDX-License-Identifier: Apache-2.0 */
/* The boot sector: the first of the volume, and its copy behind the last. */
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs.h"

enum {
	CLUSTER_MAX = 2 << 20,
	TAIL = 4 << 20, /* of a layer that is larger than its volume, searched for the copy */
};

static bool power_of_2(uint64_t v, uint64_t least, uint64_t most)
{
	return v >= least && v <= most && !(v & (v - 1));
}

/* Above 0x80 it is a negative exponent: clusters beyond 64 KiB, since Windows 10. */
static uint32_t cluster_sectors(uint8_t v)
{
	return v <= 0x80 ? v : 256 - v < 16 ? 1u << (256 - v) : 0;
}

/* Clusters, or a negative exponent of bytes. */
static uint32_t unit_bytes(int8_t v, uint32_t cluster)
{
	if (v > 0)
		return (uint32_t)v * cluster;
	return v < -31 ? 0 : 1u << -v;
}

bool ntfs_boot_parse(const uint8_t *sector, struct ntfs_geometry *g)
{
	const struct ntfs_boot *b = (const void *)sector;
	bool named = !memcmp(b->oem, "NTFS    ", 8);

	if ((!named && le16(b->signature) != 0xaa55) || !memcmp(b->oem, "-FVE-FS-", 8))
		return false;
	*g = (struct ntfs_geometry){.sector = le16(b->bytes_per_sector),
				    .sectors = le64(b->sectors),
				    .mft_lcn = le64(b->mft_lcn),
				    .mirr_lcn = le64(b->mirr_lcn),
				    .serial = le64(b->serial)};
	if (!power_of_2(g->sector, 256, 4096) ||
	    !power_of_2(cluster_sectors(b->sectors_per_cluster), 1, 1 << 15))
		return false;
	g->cluster = g->sector * cluster_sectors(b->sectors_per_cluster);
	if (g->cluster > CLUSTER_MAX || !g->sectors || g->sectors > (uint64_t)INT64_MAX / g->sector)
		return false;
	g->clusters = g->sectors / (g->cluster / g->sector);
	g->record = unit_bytes(b->clusters_per_record, g->cluster);
	g->index_block = unit_bytes(b->clusters_per_index, g->cluster);
	if (!power_of_2(g->index_block, NTFS_BLOCK, 65536))
		g->index_block = 4096;
	return power_of_2(g->record, NTFS_BLOCK, NTFS_RECORD_MAX / 2) && g->mft_lcn &&
	       g->mft_lcn < g->clusters && g->mirr_lcn < g->clusters;
}

static bool read_at(struct layer *below, uint64_t at, void *buf, size_t len)
{
	struct ranges bad = {0};
	bool good = range_inside(at, len, below->size) && !layer_read(below, at, buf, len, &bad) &&
		    !bad.n;

	ranges_free(&bad);
	return good;
}

/* The copy lies where it says that the volume ends: no other sector does. */
static bool is_backup(const uint8_t *sector, uint64_t at, struct ntfs_geometry *g)
{
	return ntfs_boot_parse(sector, g) && g->sectors * g->sector == at;
}

bool ntfs_boot_first(struct layer *below, struct ntfs_geometry *g)
{
	uint8_t sector[NTFS_BLOCK];

	return read_at(below, 0, sector, sizeof(sector)) && ntfs_boot_parse(sector, g);
}

bool ntfs_boot_last(struct layer *below, struct ntfs_geometry *g, uint64_t *at)
{
	static const uint32_t sizes[] = {512, 4096, 1024, 2048};
	uint8_t sector[NTFS_BLOCK];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		*at = below->size / sizes[i] * sizes[i] - sizes[i];
		if (below->size >= sizes[i] && read_at(below, *at, sector, sizeof(sector)) &&
		    is_backup(sector, *at, g))
			return true;
	}
	return false;
}

bool ntfs_boot_search(struct layer *below, struct ntfs_geometry *g, uint64_t *at)
{
	uint64_t from = below->size > TAIL ? (below->size - TAIL) / NTFS_BLOCK * NTFS_BLOCK : 0;
	size_t len = (size_t)(below->size - from) / NTFS_BLOCK * NTFS_BLOCK;
	uint8_t *buf = malloc(len + 1);
	bool found = false;

	if (buf && !layer_read(below, from, buf, len, NULL))
		for (size_t i = len; i && !found; i -= NTFS_BLOCK) {
			*at = from + i - NTFS_BLOCK;
			found = is_backup(buf + i - NTFS_BLOCK, *at, g);
		}
	free(buf);
	return found;
}

/* Do both lead to the same files? */
static bool agree(const struct ntfs_geometry *a, const struct ntfs_geometry *b)
{
	return a->sector == b->sector && a->cluster == b->cluster && a->sectors == b->sectors &&
	       a->record == b->record && a->mft_lcn == b->mft_lcn && a->mirr_lcn == b->mirr_lcn;
}

bool ntfs_boot_find(struct layer *below, struct ntfs_geometry *g, enum ntfs_boot_source *from,
		    uint64_t *at)
{
	struct ntfs_geometry first, last;
	bool have_first = ntfs_boot_first(below, &first);
	bool good = have_first && ntfs_mft_is_at(below, &first);
	bool have_last = ntfs_boot_last(below, &last, at);

	/* A copy at the very end of the layer that says that it ends there is hard to doubt. */
	if (good && have_last && !agree(&first, &last) && ntfs_mft_is_at(below, &last))
		good = false;
	if (!good) {
		*from = NTFS_BOOT_BACKUP;
		*g = last;
		if ((have_last || ntfs_boot_search(below, g, at)) && ntfs_mft_is_at(below, g))
			return true;
	}
	/* It may make sense though no record is where it leads: $MFT may be what is lost. */
	*at = 0;
	*from = NTFS_BOOT_FIRST;
	*g = first;
	return have_first;
}

bool ntfs_mft_is_at(struct layer *below, const struct ntfs_geometry *g)
{
	uint64_t lcns[] = {g->mft_lcn, g->mirr_lcn};
	struct ntfs_record_header h;

	for (int i = 0; i < 2; i++)
		for (uint64_t k = 0; k < 4; k++)
			if (read_at(below, lcns[i] * g->cluster + k * g->record, &h, sizeof(h)) &&
			    !memcmp(h.magic, "FILE", 4) &&
			    le16(h.usa_count) == g->record / NTFS_BLOCK + 1)
				return true;
	return false;
}
