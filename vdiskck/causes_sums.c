/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/causes_sums.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "formats/log/evtx.h"
#include "vdiskck/core/sum.h"

/* Findings whose stored and computed checksums are told, over the bytes that they point at. */
static const struct {
	enum finding_id id;
	uint32_t poly;
	uint32_t tail; /* bytes at the end that are not summed */
} told[] = {
	{GPT_HEADER_CRC, CRC32_POLY, 0},  {GPT_ARRAY_CRC, CRC32_POLY, 0},
	{FVE_COPY_BAD, CRC32_POLY, 0},	  {FVE_COPY_USED_BAD, CRC32_POLY, 0},
	{EXT4_INODE_SUM, CRC32C_POLY, 0}, {EXT4_BITMAP_SUM, CRC32C_POLY, 0},
	{EXT4_SUPER_SUM, CRC32C_POLY, 4},
};

static const char cut[] = "the end is gone: the file was cut short, or its copy was not finished";
static const char misplaced[] =
	"it is whole, but was written for another place: a write or a copy went astray, "
	"below the encryption";

/* What a finding tells of its cause by itself, when its bytes tell nothing more. */
static const struct cause_hint hints[] = {
	{.id = CIPHERTEXT_OVERWRITTEN, .ciphertext = true},
	{.id = CIPHERTEXT_MISDIRECTED, CAUSE_MISPLACED, CAUSE_BELOW, CAUSE_STRONG, misplaced},
	{.id = CIPHERTEXT_TWICE,
	 CAUSE_MISPLACED,
	 CAUSE_BELOW,
	 CAUSE_STRONG,
	 "the same ciphertext in two places: a write went to a second one, below the encryption"},
	{.id = NTFS_RECORD_TORN,
	 CAUSE_TORN,
	 CAUSE_ANYWHERE,
	 CAUSE_LIKELY,
	 "its sectors are from two writes: one was interrupted between them, or an older sector came back"},
	{.id = NTFS_INDEX_BLOCK,
	 CAUSE_TORN,
	 CAUSE_ANYWHERE,
	 CAUSE_POSSIBLE,
	 "it may be of two writes, one of which was interrupted"},
	{.id = VHD_BAT_PAST_END,
	 CAUSE_TRUNCATED,
	 CAUSE_BELOW,
	 CAUSE_POSSIBLE,
	 "the file was cut short, or the entry was overwritten",
	 .orphan = VHD_BLOCK_ORPHAN,
	 .shift = 9,
	 .mask = UINT32_MAX},
	{.id = VHD_BAT_METADATA,
	 CAUSE_POINTER,
	 CAUSE_BELOW,
	 CAUSE_POSSIBLE,
	 "the entry was overwritten",
	 .orphan = VHD_BLOCK_ORPHAN,
	 .shift = 9,
	 .mask = UINT32_MAX},
	{.id = VHD_BAT_OVERLAP,
	 CAUSE_POINTER,
	 CAUSE_BELOW,
	 CAUSE_POSSIBLE,
	 "the entry was overwritten",
	 .orphan = VHD_BLOCK_ORPHAN,
	 .shift = 9,
	 .mask = UINT32_MAX},
	{.id = QCOW2_L2_PAST_END,
	 CAUSE_TRUNCATED,
	 CAUSE_BELOW,
	 CAUSE_POSSIBLE,
	 "the file was cut short, or the entry was overwritten",
	 .orphan = QCOW2_CLUSTER_LEAKED,
	 .mask = 0x00fffffffffffe00},
	{.id = QCOW2_L2_UNALIGNED,
	 CAUSE_POINTER,
	 CAUSE_BELOW,
	 CAUSE_POSSIBLE,
	 "the entry was overwritten",
	 .orphan = QCOW2_CLUSTER_LEAKED,
	 .mask = 0x00fffffffffffe00},
	{.id = QCOW2_CLUSTER_ORPHANED,
	 CAUSE_ZEROED,
	 CAUSE_BELOW,
	 CAUSE_LIKELY,
	 "entries of the table became zeros, for what they named is still there"},
	{.id = EVTX_DATA_SUM, .dense = true},
	{.id = EVTX_RECORD_LOST, .dense = true},
	{.id = EVTX_CHUNK_LOST, .dense = true},
	{.id = INITRAMFS_DAMAGED, .dense = true},
	{.id = VHD_TRUNCATED, CAUSE_TRUNCATED, CAUSE_BELOW, CAUSE_LIKELY, cut},
	{.id = VHD_BLOCK_TRUNCATED, CAUSE_TRUNCATED, CAUSE_BELOW, CAUSE_LIKELY, cut},
	{.id = FVE_TRUNCATED, CAUSE_TRUNCATED, CAUSE_BELOW, CAUSE_LIKELY, cut},
	{.id = LUKS_TRUNCATED, CAUSE_TRUNCATED, CAUSE_BELOW, CAUSE_LIKELY, cut},
	{.id = NTFS_TRUNCATED, CAUSE_TRUNCATED, CAUSE_ANYWHERE, CAUSE_LIKELY, cut},
	{.id = GPT_DISK_CUT, CAUSE_TRUNCATED, CAUSE_ANYWHERE, CAUSE_LIKELY, cut},
	{.id = GPT_HEADER_PLACE,
	 CAUSE_MISPLACED,
	 CAUSE_ANYWHERE,
	 CAUSE_LIKELY,
	 "it is whole, but was written for another sector"},
};

const struct cause_hint *causes_hint(enum finding_id id)
{
	for (size_t i = 0; i < sizeof(hints) / sizeof(*hints); i++)
		if (hints[i].id == id)
			return &hints[i];
	return NULL;
}

/* Blemishes are looked at where a copy or a checksum is wrong: that, too, was once damaged. */
bool causes_looks_at(enum finding_id id)
{
	static const enum finding_id copies[] = {
		VHD_FOOTER_COPY,  VHD_FOOTER_SUM,  VHD_HEADER_SUM,   GPT_HEADER_LOST,
		LUKS2_HEADER_BAD, NTFS_MIRROR_BAD, NTFS_BACKUP_BOOT, NTFS_BOOT_FROM_BACKUP,
		NTFS_MIRROR_USED, NTFS_LOG_PAGE,
	};

	if (id == VHD_BLOCK_ORPHAN || id == QCOW2_TABLE_ORPHANED)
		return false; /* what is left of a damage, which has a finding of its own */
	if (finding_severity(id) == DAMAGE || causes_hint(id))
		return true;
	for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++)
		if (told[i].id == id)
			return true;
	for (size_t i = 0; i < sizeof(copies) / sizeof(*copies); i++)
		if (copies[i] == id)
			return true;
	return false;
}

/* The number behind "0x" in a text like "CRC-32 0x72e5fbc6". */
static bool hex_in(const char *text, uint32_t *v)
{
	const char *p = text ? strstr(text, "0x") : NULL;
	char *end;

	if (!p)
		return false;
	*v = (uint32_t)strtoull(p, &end, 16);
	return end == p + 10; /* all 32 bits: not the half of one that some descriptors have */
}

static bool evtx_sum(const struct entry *e, struct layer *l, struct cause_sum *s)
{
	static const size_t data_crc = offsetof(struct evtx_chunk_header, data_crc);
	struct evtx_chunk_header h;
	uint8_t *buf;
	uint32_t sum, stored;
	bool data = e->id == EVTX_DATA_SUM;

	if (e->id == EVTX_HEADER_SUM) {
		struct evtx_file_header f;

		if (layer_read(l, 0, &f, sizeof(f), NULL))
			return false;
		*s = (struct cause_sum){.l = l, .len = 120, .poly = CRC32_POLY};
		s->differs = le32(f.crc) ^ sum_crc32(0, &f, 120);
		return true;
	}
	s->off = data ? e->at.off - data_crc : e->at.off;
	if ((data && e->at.off < data_crc) || layer_read(l, s->off, &h, sizeof(h), NULL))
		return false;
	*s = (struct cause_sum){.l = l, .off = s->off, .poly = CRC32_POLY};
	if (data) {
		if (le32(h.free_off) <= EVTX_CHUNK_DATA || le32(h.free_off) > EVTX_CHUNK)
			return false;
		s->off += EVTX_CHUNK_DATA;
		s->len = le32(h.free_off) - EVTX_CHUNK_DATA;
		stored = le32(h.data_crc);
	} else {
		s->len = EVTX_CHUNK_DATA;
		s->hole = 120;
		s->hole_len = 8;
		stored = le32(h.crc);
	}
	buf = malloc(s->len);
	if (!buf || layer_read(l, s->off, buf, s->len, NULL)) {
		free(buf);
		return false;
	}
	sum = data ? sum_crc32(0, buf, s->len)
		   : sum_crc32(sum_crc32(0, buf, 120), buf + 128, s->len - 128);
	free(buf);
	s->differs = stored ^ sum;
	return true;
}

/* All of a kernel leaves zero in the register: what it leaves is the difference. */
static bool kernel_sum(const struct entry *e, struct layer *l, struct cause_sum *s)
{
	enum { PIECE = 1 << 20 };
	uint8_t *buf = malloc(PIECE);
	uint32_t crc = ~0u;
	int r = buf ? 0 : -1;

	for (uint64_t off = 0; off < e->at.len && !r; off += PIECE) {
		size_t n = e->at.len - off < PIECE ? (size_t)(e->at.len - off) : PIECE;

		r = layer_read(l, e->at.off + off, buf, n, NULL);
		if (!r)
			crc = sum_crc32_raw(crc, buf, n);
	}
	free(buf);
	*s = (struct cause_sum){l, e->at.off, e->at.len, 0, 0, CRC32_POLY, crc};
	return !r;
}

bool causes_sum(const struct entry *e, struct layer *l, struct cause_sum *s)
{
	uint32_t stored, sum;

	if (e->id == EVTX_DATA_SUM || e->id == EVTX_CHUNK_SUM || e->id == EVTX_HEADER_SUM)
		return evtx_sum(e, l, s);
	if (e->id == KERNEL_CHECKSUM)
		return kernel_sum(e, l, s);
	for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++) {
		if (told[i].id != e->id || !hex_in(e->stored, &stored) ||
		    !hex_in(e->expected, &sum) || e->at.len <= told[i].tail)
			continue;
		*s = (struct cause_sum){
			l, e->at.off, e->at.len - told[i].tail, 0, 0, told[i].poly, stored ^ sum};
		return true;
	}
	return false;
}
