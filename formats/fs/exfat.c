/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/exfat.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/core/text.h"

enum {
	UPCASE_MAX = 65536 * 2,	    /* bytes of the table. XS 7.2.5 */
	CLUSTERS_MAX = 0xfffffff5u, /* XS 3.1.9 */
};

/* XS 3.4: flags and percentage are left out, as they change all the time. */
uint32_t exfat_boot_sum(const uint8_t *region, size_t sector)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < 11 * sector; i++)
		if (i != 106 && i != 107 && i != 112)
			sum = (sum >> 1 | sum << 31) + region[i];
	return sum;
}

/* What the boot sector states; false: it can't be one. */
static bool geometry(const struct exfat_boot *b, struct exfat *x)
{
	uint64_t sectors = le64(b->sectors), heap = le32(b->heap_sector);
	unsigned shift = b->sector_shift;

	if (memcmp(b->name, "EXFAT   ", 8) || shift < 9 || shift > 12 ||
	    b->cluster_shift > 25 - shift || !b->fats || b->fats > 2 ||
	    !all_zero(b->zero, sizeof(b->zero)) || !le32(b->clusters) ||
	    le32(b->clusters) > CLUSTERS_MAX || sectors > UINT64_MAX >> 13 ||
	    le32(b->fat_sector) < 2 * EXFAT_BOOT_SECTORS ||
	    heap < le32(b->fat_sector) + (uint64_t)le32(b->fat_sectors) * b->fats ||
	    (uint64_t)le32(b->fat_sectors) << shift < ((uint64_t)le32(b->clusters) + 2) * 4)
		return false;
	x->boot = *b;
	x->sector = 1u << shift;
	x->size = sectors << shift;
	x->t.bits = 32;
	x->t.n = 1; /* the second one of TexFAT is no copy: it may be older */
	x->t.at[0] = ((uint64_t)le32(b->fat_sector) +
		      (b->fats == 2 && le16(b->flags) & 1 ? le32(b->fat_sectors) : 0))
		     << shift;
	x->t.clusters = le32(b->clusters);
	x->t.len = ((uint64_t)x->t.clusters + 2) * 4;
	x->t.cluster = 1u << (shift + b->cluster_shift);
	x->t.heap = heap << shift;
	return true;
}

/* One boot region: does it make sense, and does its checksum hold? */
static void look(struct layer *below, uint32_t sector, unsigned k, struct exfat *x,
		 struct exfat *found)
{
	size_t len = (size_t)EXFAT_BOOT_SECTORS * sector;
	uint8_t *region = malloc(len);
	struct ranges bad = {0};
	bool lost = !region || layer_read(below, k * len, region, len, &bad);

	x->sum_ok[k] = false;
	lost = lost || (bad.n && ranges_overlap(&bad, 0, 512));
	x->there[k] = !lost && geometry((const void *)region, found) && found->sector == sector;
	if (x->there[k] && !bad.n) {
		le32_t stored;

		memcpy(&stored, region + 11 * (size_t)sector, sizeof(stored));
		x->sum_ok[k] = le32(stored) == exfat_boot_sum(region, sector);
	}
	ranges_free(&bad);
	free(region);
}

int exfat_find_boot(struct layer *below, struct exfat *x)
{
	for (uint32_t sector = 512; sector <= 4096; sector *= 2) {
		struct exfat copy[2] = {0}, state = {0};
		unsigned k;

		for (k = 0; k < 2; k++)
			look(below, sector, k, &state, &copy[k]);
		if (!state.there[0] && !state.there[1])
			continue;
		k = state.there[0] && (state.sum_ok[0] || !state.sum_ok[1]) ? 0 : 1;
		*x = copy[k];
		x->from_backup = k;
		memcpy(x->there, state.there, sizeof(x->there));
		memcpy(x->sum_ok, state.sum_ok, sizeof(x->sum_ok));
		return x->sum_ok[k] ? 95 : 70;
	}
	return 0;
}

static int exfat_probe(struct layer *below)
{
	struct exfat x = {0};
	int score = exfat_find_boot(below, &x);

	return x.there[0] ? score : 0;
}

static int exfat_search(struct layer *below)
{
	struct exfat x = {0};
	int score = exfat_find_boot(below, &x);

	return x.there[0] ? 0 : score;
}

static void report_boot(struct layer *l, const struct exfat *x)
{
	char have[SIZE_TEXT], want[SIZE_TEXT];

	if (x->from_backup)
		finding(l, EXFAT_BOOT_LOST, 0, (uint64_t)EXFAT_BOOT_SECTORS * x->sector,
			"the boot region %s; its copy at sector %d is read instead",
			x->there[0] ? "does not have its checksum" : "can't be used",
			EXFAT_BOOT_SECTORS);
	else if (!x->sum_ok[0])
		finding(l, EXFAT_BOOT_LOST, 0, (uint64_t)EXFAT_BOOT_SECTORS * x->sector,
			"the boot region does not have its checksum, and neither has its copy");
	if (x->size > l->size)
		finding_fact(l, EXFAT_TRUNCATED,
			     &(struct fact){.at = 0,
					    .at_len = sizeof(x->boot),
					    .stored = strf("%" PRIu64 " bytes", x->size),
					    .expected = strf("at most %" PRIu64, l->size)},
			     "the file system has %s, but only %s of it are there",
			     size_text(x->size, want), size_text(l->size, have));
}

/* The bytes of a stream that the driver itself needs. */
static int load_stream(struct layer *l, const struct exfat_stream *s, uint8_t *buf, size_t len,
		       struct ranges *bad)
{
	struct exfat_place p = {.cluster = le32(s->cluster), .length = len, .valid = len};
	struct fs_runs runs = {0};
	struct layer *file = NULL;
	int r = exfat_place_runs(l, &p, &runs, NULL);

	if (r) {
		fs_runs_free(&runs);
		return r;
	}
	r = fs_file_new(l, "", len, &runs, &file);
	if (!r)
		r = layer_read(file, 0, buf, len, bad);
	layer_free(file);
	return r;
}

static int load_bitmap(struct layer *l, struct exfat *x)
{
	size_t need = ((size_t)x->t.clusters + 7) / 8;

	if (!x->bitmap_entry_at || le64(x->bitmap_entry.length) < need)
		return 0;
	x->bitmap = calloc(1, need);
	if (!x->bitmap)
		return -ENOMEM;
	return load_stream(l, &x->bitmap_entry, x->bitmap, need, &x->unknown);
}

/* XS 7.2.5: a unit 0xffff, then a number: as many characters are their own upper case. */
static void expand(struct exfat *x, const uint8_t *raw, size_t len)
{
	uint32_t c = 0;

	for (size_t i = 0; i + 1 < len && c < 65536; i += 2) {
		uint16_t v = (uint16_t)(raw[i] | raw[i + 1] << 8);

		if (v == 0xffff && i + 3 < len) {
			c += (uint32_t)(raw[i + 2] | raw[i + 3] << 8);
			i += 2;
		} else {
			x->upcase[c++] = v;
		}
	}
}

static int load_upcase(struct layer *l, struct exfat *x)
{
	uint64_t len = le64(x->upcase_entry.length);
	struct ranges bad = {0};
	uint32_t sum = 0, stored;
	uint8_t *raw;
	int r;

	x->upcase = malloc(65536 * sizeof(*x->upcase));
	if (!x->upcase)
		return -ENOMEM;
	for (unsigned c = 0; c < 65536; c++)
		x->upcase[c] = (uint16_t)(c >= 'a' && c <= 'z' ? c - 32 : c);
	if (!x->upcase_entry_at || !len || len > UPCASE_MAX)
		return 0;
	raw = malloc((size_t)len);
	r = raw ? load_stream(l, &x->upcase_entry, raw, (size_t)len, &bad) : -ENOMEM;
	for (size_t i = 0; i < len && !r; i++)
		sum = (sum >> 1 | sum << 31) + raw[i];
	memcpy(&stored, (const uint8_t *)&x->upcase_entry + 4, sizeof(stored));
	x->upcase_ok = !r && !bad.n && sum == stored;
	if (x->upcase_ok)
		expand(x, raw, (size_t)len);
	free(raw);
	ranges_free(&bad);
	return r;
}

/* What the root says of the volume, besides files. */
static int read_root(struct layer *l, struct exfat *x)
{
	struct exfat_place p;
	struct exfat_dir d = {0};
	int r;

	exfat_root_place(x, &p);
	r = exfat_dir_load(l, &p, &d);
	for (unsigned i = 0; (uint64_t)i * EXFAT_ENTRY < d.len && !r; i++) {
		const uint8_t *e = exfat_dir_entry(&d, i);

		if (!e)
			continue;
		if (*e == EXFAT_END)
			break;
		/* The second bitmap is TexFAT's. */
		if (*e == EXFAT_BITMAP && !x->bitmap_entry_at && !(e[1] & 1)) {
			memcpy(&x->bitmap_entry, e, EXFAT_ENTRY);
			x->bitmap_entry_at = exfat_dir_at(&d, i);
		} else if (*e == EXFAT_UPCASE && !x->upcase_entry_at) {
			memcpy(&x->upcase_entry, e, EXFAT_ENTRY);
			x->upcase_entry_at = exfat_dir_at(&d, i);
		} else if (*e == EXFAT_LABEL && e[1] <= 11) {
			memcpy(x->label, e + 2, sizeof(x->label));
			x->label_units = e[1];
		}
	}
	exfat_dir_free(&d);
	return r;
}

static int exfat_open(struct layer *l)
{
	struct exfat *x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return -ENOMEM;
	l->priv = x;
	if (!exfat_find_boot(l->below, x))
		return -EBADMSG;
	l->size = l->below->size;
	l->sector = x->sector;
	x->t.below = l->below;
	report_boot(l, x);
	r = table_open(&x->t);
	if (!r)
		r = read_root(l, x);
	if (!r)
		r = load_bitmap(l, x);
	return r ? r : load_upcase(l, x);
}

static void exfat_info(struct layer *l, struct json *to)
{
	struct exfat *x = l->priv;
	char label[80], safe[160];
	uint32_t serial = le32(x->boot.serial);

	if (x->label_units) {
		utf16_text(x->label, x->label_units, 0, label, sizeof(label));
		js_str(to, "label", name_escape(label, strlen(label), safe, sizeof(safe)));
	}
	js_strf(to, "serial", "%04X-%04X", serial >> 16, serial & 0xffff);
	js_u64(to, "cluster_size", x->t.cluster);
	js_u64(to, "clusters", x->t.clusters);
}

static void exfat_close(struct layer *l)
{
	struct exfat *x = l->priv;

	if (!x)
		return;
	table_close(&x->t);
	ranges_free(&x->unknown);
	free(x->bitmap);
	free(x->upcase);
	free(x);
}

static const struct fs_ops exfat_fs = {
	.walk = exfat_walk,
	.lookup = exfat_lookup,
	.open_file = exfat_open_file,
	.owners = exfat_owners,
	.unused = exfat_unused,
};

const struct layer_ops exfat_ops = {
	.name = "exfat",
	.kind = LAYER_FILESYSTEM,
	.probe = exfat_probe,
	.search = exfat_search,
	.open = exfat_open,
	.read = fs_read,
	.map = fs_map,
	.check = exfat_check,
	.info = exfat_info,
	.close = exfat_close,
	.fs = &exfat_fs,
};
