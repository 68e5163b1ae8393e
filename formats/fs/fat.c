/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/fat.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/fs/fat_walk.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

/* Larger FATs are compared by check() only: every command pays for it. */
enum { COMPARED_AT_OPEN = 16 << 20 };

static int fat_probe(struct layer *below)
{
	struct fat g;
	int score = fat_find_boot(below, false, &g);

	return score > 0 && g.from == FAT_FROM_BOOT ? score : 0;
}

static int fat_search(struct layer *below)
{
	struct fat g;
	int score = fat_find_boot(below, true, &g);

	return score > 0 && g.from != FAT_FROM_BOOT ? score - (g.from == FAT_FROM_BACKUP ? 20 : 0)
						    : 0;
}

static void report_end(struct layer *l, const struct fat *g)
{
	char have[SIZE_TEXT], want[SIZE_TEXT];

	if (g->size <= l->size)
		return;
	finding_fact(l, FAT_TRUNCATED,
		     &(struct fact){.at = 0,
				    .at_len = sizeof(g->boot),
				    .stored = strf("%" PRIu64 " bytes", g->size),
				    .expected = strf("at most %" PRIu64, l->size)},
		     "the file system has %s, but only %s of it are there",
		     size_text(g->size, want), size_text(l->size, have));
}

static int fat_open(struct layer *l)
{
	struct fat *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	l->priv = g;
	r = fat_find_boot(l->below, true, g);
	if (r < 0)
		return -EBADMSG;
	l->size = l->below->size;
	l->sector = g->sector;
	g->t.below = l->below;
	if (g->from == FAT_FROM_BACKUP)
		finding(l, FAT_BOOT_LOST, 0, sizeof(g->boot),
			"the boot sector can't be used; its copy in sector 6 is read instead");
	if (g->from == FAT_FROM_FATS)
		finding(l, FAT_BOOT_REBUILT, 0, sizeof(g->boot),
			"the boot sector can't be used, and has no copy; sizes and places are told "
			"from the FATs: FAT%u, clusters of %" PRIu32 " bytes",
			g->bits, g->t.cluster);
	report_end(l, g);
	r = table_open(&g->t);
	return r || g->t.len > COMPARED_AT_OPEN ? r : fat_compare(l);
}

static void put_label(struct json *to, const uint8_t raw[11])
{
	char label[11 * 4 + 1];
	size_t n = 11;

	while (n && raw[n - 1] == ' ')
		n--;
	if (n && memcmp(raw, "NO NAME    ", 11))
		js_str(to, "label", name_escape((const char *)raw, n, label, sizeof(label)));
}

static void fat_info(struct layer *l, struct json *to)
{
	struct fat *g = l->priv;
	bool new = g->bits == 32;
	uint8_t sig = new ? g->boot.f32.sig : g->boot.old.sig;
	uint32_t serial = le32(new ? g->boot.f32.serial : g->boot.old.serial);

	js_strf(to, "version", "FAT%u", g->bits);
	if (sig == 0x29)
		put_label(to, new ? g->boot.f32.label : g->boot.old.label);
	if (sig == 0x28 || sig == 0x29)
		js_strf(to, "serial", "%04X-%04X", serial >> 16, serial & 0xffff);
	js_u64(to, "cluster_size", g->t.cluster);
	js_u64(to, "clusters", g->t.clusters);
	js_u64(to, "fats", g->fats);
}

static void fat_close(struct layer *l)
{
	struct fat *g = l->priv;

	if (!g)
		return;
	table_close(&g->t);
	free(g);
}

const struct fs_ops fat_fs = {
	.walk = fat_walk,
	.lookup = fat_lookup,
	.open_file = fat_open_file,
	.owners = fat_owners,
	.unused = fat_unused,
};

const struct layer_ops fat_ops = {
	.name = "fat",
	.kind = LAYER_FILESYSTEM,
	.probe = fat_probe,
	.search = fat_search,
	.open = fat_open,
	.read = fs_read,
	.map = fs_map,
	.check = fat_check,
	.info = fat_info,
	.close = fat_close,
	.fs = &fat_fs,
};
