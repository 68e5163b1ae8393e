/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources of the offsets: the formats' specifications as named in REFERENCES.md, and for the
 * less common ones util-linux libblkid's list of superblocks (facts only).
 */
#include "formats/signature.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vdiskck/core/endian.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/core/text.h"

/* Where a structure is looked at: as if a volume began at @base of @l. */
struct view {
	struct layer *l;
	uint64_t base;
	enum { HEAD_UNREAD, HEAD_GOOD, HEAD_BAD } state;
	uint8_t head[4096]; /* most magics lie here: one read for all of them */
	uint64_t sector_at; /* further on several lie in one sector; 0: none read yet */
	uint8_t sector[512];
	uint8_t buf[4096];
};

static bool read_view(struct view *v, uint64_t rel, void *buf, size_t len)
{
	struct ranges bad = {0};
	uint64_t at = v->base + rel;
	bool good = at >= rel && at <= v->l->size && len <= v->l->size - at &&
		    !layer_read(v->l, at, buf, len, &bad) && !bad.n;

	ranges_free(&bad);
	return good;
}

/* @len bytes at @rel from the base, good until the next call; NULL: outside, or lost. */
static const uint8_t *get(struct view *v, uint64_t rel, size_t len)
{
	if (len > sizeof(v->buf))
		return NULL;
	if (rel + len <= sizeof(v->head) && rel < sizeof(v->head)) {
		if (v->state == HEAD_UNREAD)
			v->state = read_view(v, 0, v->head, sizeof(v->head)) ? HEAD_GOOD : HEAD_BAD;
		if (v->state == HEAD_GOOD)
			return v->head + rel;
	}
	if (rel < sizeof(v->head) || rel % 512 + len > 512)
		return read_view(v, rel, v->buf, len) ? v->buf : NULL;
	if (v->sector_at != rel / 512 * 512) {
		v->sector_at = 0;
		if (!read_view(v, rel / 512 * 512, v->sector, 512))
			return NULL;
		v->sector_at = rel / 512 * 512;
	}
	return v->sector + rel % 512;
}

static bool is_at(struct view *v, uint64_t rel, const char *magic, size_t len)
{
	const uint8_t *p = get(v, rel, len);

	return p && !memcmp(p, magic, len);
}

static uint16_t u16(const uint8_t *p)
{
	le16_t v;

	memcpy(&v, p, sizeof(v));
	return le16(v);
}

static uint32_t u32(const uint8_t *p)
{
	le32_t v;

	memcpy(&v, p, sizeof(v));
	return le32(v);
}

static uint64_t u64(const uint8_t *p)
{
	le64_t v;

	memcpy(&v, p, sizeof(v));
	return le64(v);
}

static uint32_t b32(const uint8_t *p)
{
	return __builtin_bswap32(u32(p));
}

static uint64_t b64(const uint8_t *p)
{
	return __builtin_bswap64(u64(p));
}

static bool power_of_2(uint64_t v, uint64_t least, uint64_t most)
{
	return v >= least && v <= most && !(v & (v - 1));
}

static void set_id(struct signature *s, const uint8_t uuid[16])
{
	char text[GUID_TEXT];

	if (!all_zero(uuid, 16))
		snprintf(s->id, sizeof(s->id), "%s", guid_text_be(uuid, text));
}

static void set_label(struct signature *s, const uint8_t *p, size_t len)
{
	size_t n = strnlen((const char *)p, len);

	while (n && p[n - 1] == ' ')
		n--;
	name_escape((const char *)p, n, s->label, sizeof(s->label));
}

/* A structure that states its distance from the volume's start: from there it was told. */
static bool set_start(struct view *v, struct signature *s, uint64_t at, uint64_t distance,
		      const char *from)
{
	if (distance > at)
		return false;
	s->start = at - distance;
	if (s->start != v->base)
		s->from = from;
	return true;
}

/*
 * NTFS boot sector. The backup lies in the volume's last sector, behind the sectors that the
 * file system counts, and is the same byte for byte: only the MFT tells which one this is.
 */
static bool ntfs(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 0, 512);
	uint32_t bps = p ? u16(p + 11) : 0;
	uint32_t spc = p ? p[13] : 0;
	uint64_t total, mft, bytes;

	if (!power_of_2(bps, 256, 4096) || u16(p + 510) != 0xaa55)
		return false;
	if (spc > 0x80)
		spc = 256 - spc < 31 ? 1u << (256 - spc) : 0;
	total = u64(p + 40);
	mft = u64(p + 48);
	if (!power_of_2(spc, 1, 1u << 22) || !total || total > (UINT64_MAX >> 13) ||
	    mft > total / spc)
		return false;
	s->size = (total + 1) * bps; /* with the backup boot sector */
	snprintf(s->id, sizeof(s->id), "%016" PRIX64, u64(p + 72));
	bytes = mft * spc * bps;
	if (is_at(v, bytes, "FILE", 4) || is_at(v, bytes, "BAAD", 4))
		return true;
	if (v->base >= total * bps) {
		struct view first = {.l = v->l, .base = v->base - total * bps};

		if (is_at(&first, bytes, "FILE", 4))
			return set_start(v, s, v->base, total * bps, "backup boot sector");
	}
	return true;
}

/* exFAT: the boot region has a checksum of its own, a copy follows at sector 12. */
static bool exfat(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 0, 512);
	unsigned shift = p ? p[108] : 0;
	uint64_t fat;

	if (shift < 9 || shift > 12 || p[109] > 25 - shift || u16(p + 510) != 0xaa55 ||
	    !all_zero(p + 11, 53) || u64(p + 72) > (UINT64_MAX >> 13) || !u64(p + 72))
		return false;
	s->size = u64(p + 72) << shift;
	fat = (uint64_t)u32(p + 80) << shift;
	snprintf(s->id, sizeof(s->id), "%04X-%04X", u32(p + 100) >> 16, u32(p + 100) & 0xffff);
	if (!is_at(v, fat, "\xf8\xff\xff\xff", 4) && v->base >= 12ull << shift) {
		struct view first = {.l = v->l, .base = v->base - (12ull << shift)};

		if (is_at(&first, fat, "\xf8\xff\xff\xff", 4))
			return set_start(v, s, v->base, 12ull << shift, "backup boot sector");
	}
	return true;
}

/* BitLocker: the first FVE metadata block must be where the header says, if it is there at all. */
static bool bitlocker(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 0, 512);
	static const uint8_t fve[8] = {0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a};
	static const uint8_t eow[8] = {0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d};
	unsigned guid = 0xa0; /* BitLocker To Go has it at 0x1a8, behind a FAT32 header */
	uint64_t block[3], vista;

	if (!p || u16(p + 510) != 0xaa55)
		return false;
	/* Vista has no GUID, but the cluster of the first FVE block where NTFS has $MFTMirr's. */
	vista = u64(p + 56) * p[13] * u16(p + 11);
	if (!memcmp(p + 0x1a8, fve, 8) && memcmp(p + 3, "-FVE-FS-", 8) != 0)
		guid = 0x1a8;
	else if (memcmp(p + guid, fve, 8) && memcmp(p + guid, eow, 8))
		guid = 0;
	s->size = guid == 0x1a8 ? u32(p + 32) : u64(p + 40);
	s->size = s->size > (UINT64_MAX >> 13) ? 0 : s->size * u16(p + 11);
	if (!guid)
		return is_at(v, vista, "-FVE-FS-", 8);
	for (int i = 0; i < 3; i++)
		block[i] = u64(p + guid + 16 + 8 * i);
	for (int i = 0; i < 3; i++) {
		const uint8_t *b = get(v, block[i], 64);

		/* Behind a volume being encrypted, its size in the block, [libbde] 5.1 */
		if (!b || memcmp(b, "-FVE-FS-", 8))
			continue;
		if (!s->size)
			s->size = u64(b + 16);
		return true;
	}
	return block[0] && block[0] % 512 == 0 && block[1] > block[0];
}

/* FAT: there is no checksum; the first FAT entry repeats the media byte. */
static bool fat(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 0, 512);
	uint32_t bps, spc, reserved, fats, roots, total, fat_len, clusters, media;
	uint64_t data;
	unsigned ext;

	if (!p || u16(p + 510) != 0xaa55 || (p[0] != 0xeb && p[0] != 0xe9))
		return false;
	if (!memcmp(p + 3, "MSWIN4.1", 8) && u32(p + 0x1a8) == 0x4967d63b)
		return bitlocker(v, s) && (s->name = "bitlocker");
	bps = u16(p + 11);
	spc = p[13];
	reserved = u16(p + 14);
	fats = p[16];
	roots = u16(p + 17);
	total = u16(p + 19) ? u16(p + 19) : u32(p + 32);
	media = p[21];
	fat_len = u16(p + 22) ? u16(p + 22) : u32(p + 36);
	if (!power_of_2(bps, 512, 4096) || !power_of_2(spc, 1, 128) || !reserved || !fats ||
	    fats > 2 || (media != 0xf0 && media < 0xf8) || !fat_len)
		return false;
	data = reserved + (uint64_t)fats * fat_len + (roots * 32 + bps - 1) / bps;
	if (data >= total)
		return false;
	clusters = (uint32_t)((total - data) / spc);
	s->name = !u16(p + 22) ? "fat32" : clusters < 4085 ? "fat12" : "fat16";
	s->size = (uint64_t)total * bps;
	ext = u16(p + 22) ? 38 : 66;
	if (p[ext] == 0x29) {
		snprintf(s->id, sizeof(s->id), "%04X-%04X", u32(p + ext + 1) >> 16,
			 u32(p + ext + 1) & 0xffff);
		if (memcmp(p + ext + 5, "NO NAME    ", 11))
			set_label(s, p + ext + 5, 11);
	}
	if (!u16(p + 22) && u16(p + 50) && u16(p + 50) < reserved &&
	    v->base >= (uint64_t)u16(p + 50) * bps) {
		uint64_t back = (uint64_t)u16(p + 50) * bps;
		struct view first = {.l = v->l, .base = v->base - back};
		const uint8_t *f = get(v, (uint64_t)reserved * bps, 4);
		bool here = f && f[0] == media && (f[1] & f[2]) == 0xff;

		f = get(&first, (uint64_t)reserved * bps, 4);
		if (!here && f && f[0] == media && f[1] == 0xff && f[2] == 0xff)
			return set_start(v, s, v->base, back, "backup boot sector");
	}
	p = get(v, (uint64_t)reserved * bps, 4);
	return p && p[0] == media && p[1] == 0xff;
}

/* ReFS: "ReFS" at 3, "FSRS" at 16; the backup is in the last sector, as NTFS has it. */
static bool refs(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 0, 512);
	uint32_t bps = p ? u32(p + 32) : 0;
	uint64_t total = p ? u64(p + 24) : 0;

	if (!power_of_2(bps, 512, 4096) || memcmp(p + 16, "FSRS", 4) || !total ||
	    total > (UINT64_MAX >> 13))
		return false;
	s->size = (total + 1) * bps;
	snprintf(s->id, sizeof(s->id), "%016" PRIX64, u64(p + 56));
	return true;
}

/* ext2/3/4 superblock; a backup states the number of its block group. */
static bool ext(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 1024, 1024);
	uint64_t blocks, block;
	uint32_t compat, incompat, ro_compat, per_group, group, first;

	if (!p || u16(p + 56) != 0xef53 || u32(p + 24) > 6)
		return false;
	compat = u32(p + 92);
	incompat = u32(p + 96);
	ro_compat = u32(p + 100);
	block = 1024ull << u32(p + 24);
	blocks = u32(p + 4);
	if (incompat & 0x80)
		blocks |= (uint64_t)u32(p + 0x150) << 32;
	per_group = u32(p + 32);
	group = u16(p + 90);
	first = u32(p + 20);
	/* With bigalloc it is the clusters of a group that a bitmap of one block must hold. */
	if (!blocks || !per_group || u32(p + 36) > 8 * block || first > 1 ||
	    blocks > (UINT64_MAX >> 17) || u32(p + 76) > 1 ||
	    (!(incompat & 8) && (!u32(p) || !u32(p + 40))))
		return false;
	if (incompat & 8)
		s->name = "jbd"; /* an external journal */
	else if (incompat & ~0x17u || ro_compat & ~7u)
		s->name = "ext4";
	else
		s->name = compat & 4 ? "ext3" : "ext2";
	s->size = blocks * block;
	set_id(s, p + 104);
	set_label(s, p + 120, 16);
	return set_start(v, s, group ? v->base + 1024 : v->base,
			 group ? ((uint64_t)group * per_group + first) * block : 0,
			 "backup superblock");
}

/* XFS superblock; a secondary one has its group's number in the AGF, one sector on. */
static bool xfs(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 0, 512);
	uint64_t block, blocks, ag = 0;
	uint32_t sector, ag_blocks, ags;

	if (!p)
		return false;
	block = b32(p + 4);
	blocks = b64(p + 8);
	ag_blocks = b32(p + 84);
	ags = b32(p + 88);
	sector = (uint32_t)p[102] << 8 | p[103];
	if (!power_of_2(block, 512, 65536) || !power_of_2(sector, 512, 32768) || !blocks ||
	    blocks > (UINT64_MAX >> 17) || !ags || !ag_blocks || blocks > (uint64_t)ags * ag_blocks)
		return false;
	s->size = blocks * block;
	set_id(s, p + 32);
	set_label(s, p + 108, 12);
	p = get(v, sector, 12);
	if (p && !memcmp(p, "XAGF", 4) && b32(p + 8) < ags)
		ag = b32(p + 8);
	return set_start(v, s, v->base, ag * ag_blocks * block, "secondary superblock");
}

/* btrfs: a superblock states its own address. */
static bool btrfs(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 65536, 4096);

	if (!p || ~sum_crc32c(~0u, p + 32, 4096 - 32) != u32(p))
		return false;
	s->size = u64(p + 0xc9 + 8); /* dev_item.total_bytes */
	set_id(s, p + 32);
	set_label(s, p + 0x12b, 256);
	return set_start(v, s, v->base + 65536, u64(p + 0x30), "superblock copy");
}

static bool f2fs(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 1024, 512);

	if (!p || u32(p + 16) != 12 || !u64(p + 36))
		return false;
	s->size = u64(p + 36) > (UINT64_MAX >> 13) ? 0 : u64(p + 36) << 12;
	set_id(s, p + 108);
	return true;
}

static bool luks(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 0, 512);
	unsigned version = p ? (unsigned)p[6] << 8 | p[7] : 0;

	if (version != 1 && version != 2)
		return false;
	s->name = version == 1 ? "luks1" : "luks2";
	name_escape((const char *)p + 168, strnlen((const char *)p + 168, 36), s->id,
		    sizeof(s->id));
	if (version == 1)
		return true;
	set_label(s, p + 24, 48);
	return set_start(v, s, v->base, b64(p + 256), "secondary header");
}

/* LVM2 label: in one of the first four sectors, and it says in which; CRC from LVM's own seed. */
static bool lvm2(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 0, 512);
	uint32_t off = p ? u32(p + 20) : 0;
	char id[40];

	if (!p || memcmp(p + 24, "LVM2 001", 8) || off < 32 || off > 512 - 40 || u64(p + 8) > 3)
		return false;
	if (~sum_crc32(~0xf597a6cfu, p + 20, 512 - 20) != u32(p + 16))
		return false;
	p += off;
	snprintf(id, sizeof(id), "%.6s-%.4s-%.4s-%.4s-%.4s-%.4s-%.6s", p, p + 6, p + 10, p + 14,
		 p + 18, p + 22, p + 26);
	name_escape(id, strlen(id), s->id, sizeof(s->id));
	p -= off;
	s->size = u64(p + off + 32);
	return set_start(v, s, v->base, u64(p + 8) * 512, NULL);
}

/* md 1.x: the superblock states the sector that it lies in. */
static bool md(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 0, 512);

	if (!p || u32(p + 4) != 1 || u64(p + 128) > (UINT64_MAX >> 11) ||
	    u64(p + 136) > (UINT64_MAX >> 11) || u64(p + 144) > (UINT64_MAX >> 11) ||
	    !u32(p + 92) || u32(p + 92) > 4096 || !u64(p + 136))
		return false;
	s->size = (u64(p + 128) + u64(p + 136)) * 512;
	set_id(s, p + 16);
	set_label(s, p + 32, 32);
	return set_start(v, s, v->base, u64(p + 144) * 512, NULL);
}

/* Linux swap: the magic ends the first page, whose size the reader has to know. */
static bool swap(struct view *v, struct signature *s)
{
	static const uint32_t page[] = {4096, 8192, 16384, 65536};
	const uint8_t *p;

	for (size_t i = 0; i < sizeof(page) / sizeof(page[0]); i++) {
		if (!is_at(v, page[i] - 10, "SWAPSPACE2", 10))
			continue;
		p = get(v, 1024, 64);
		if (!p || u32(p) != 1 || !u32(p + 4))
			return false;
		s->size = ((uint64_t)u32(p + 4) + 1) * page[i];
		set_id(s, p + 12);
		set_label(s, p + 28, 16);
		return true;
	}
	return false;
}

/* dm-integrity: superblock in the first sector; what it provides is less than what it takes. */
static bool integrity(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 0, 512);

	(void)s;
	return p && p[8] >= 1 && p[8] <= 16 && u64(p + 16) && u16(p + 10) <= 512;
}

/* dm-verity: the superblock of a hash device */
static bool verity(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 0, 512);

	if (!p || u32(p + 8) != 1 || u32(p + 12) > 1 || !power_of_2(u32(p + 64), 512, 1 << 20))
		return false;
	set_id(s, p + 16);
	return true;
}

static bool iso9660(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 32768, 2048);

	if (!p || p[0] != 1 || p[6] != 1 || u16(p + 128) != 2048)
		return false;
	s->size = (uint64_t)u32(p + 80) * 2048;
	set_label(s, p + 40, 32);
	return true;
}

static bool hfsplus(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 1024, 512);
	uint32_t block = p ? b32(p + 40) : 0;

	if (!power_of_2(block, 512, 1 << 20) || !b32(p + 44) || p[3] < 4 || p[3] > 5)
		return false;
	s->size = (uint64_t)b32(p + 44) * block;
	return true;
}

static bool apfs(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 0, 512);
	uint32_t block = p ? u32(p + 36) : 0;

	/* Later checkpoints hold copies of the container superblock; the first is block 0. */
	if (!power_of_2(block, 4096, 65536) || !u64(p + 40) || u64(p + 40) > (UINT64_MAX >> 17) ||
	    u64(p + 8) != 1)
		return false;
	s->size = u64(p + 40) * block;
	set_id(s, p + 72);
	return true;
}

static bool squashfs(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 0, 96);

	if (!p || u16(p + 28) != 4 || u16(p + 22) > 20 || 1u << u16(p + 22) != u32(p + 12))
		return false;
	s->size = u64(p + 40);
	return true;
}

static bool reiserfs(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 65536, 128);

	if (!p || !power_of_2(u16(p + 44), 512, 32768) || !u32(p))
		return false;
	s->size = (uint64_t)u32(p) * u16(p + 44);
	set_id(s, p + 84);
	set_label(s, p + 100, 16);
	return true;
}

static bool jfs(struct view *v, struct signature *s)
{
	const uint8_t *p = get(v, 32768, 160);

	if (!p || !power_of_2(u32(p + 16), 512, 4096) || u64(p + 8) > (UINT64_MAX >> 13))
		return false;
	s->size = u64(p + 8) * u32(p + 24);
	set_id(s, p + 136);
	return true;
}

static bool vmfs(struct view *v, struct signature *s)
{
	(void)s;
	return is_at(v, 0x100000, "\x0d\xd0\x01\xc0", 4);
}

/* In the order asked: what owns the boot sector first, then what leaves it alone. */
static const struct kind {
	const char *name;
	uint32_t magic_at; /* from the structure's base */
	uint8_t len;
	bool boot;
	const char *magic;
	bool (*parse)(struct view *v, struct signature *s);
	uint32_t base; /* where the structure lies in a volume: 0, or md 1.2's 4096 */
} kinds[] = {
	{"bitlocker", 3, 8, true, "-FVE-FS-", bitlocker, 0},
	{"ntfs", 3, 8, true, "NTFS    ", ntfs, 0},
	{"exfat", 3, 8, true, "EXFAT   ", exfat, 0},
	{"refs", 3, 8, true, "ReFS\0\0\0\0", refs, 0},
	{"fat", 510, 2, true, "\x55\xaa", fat, 0},
	{"luks", 0, 6, true, "LUKS\xba\xbe", luks, 0},
	{"luks", 0, 6, true, "SKUL\xba\xbe", luks, 0},
	{"xfs", 0, 4, true, "XFSB", xfs, 0},
	{"squashfs", 0, 4, true, "hsqs", squashfs, 0},
	{"apfs", 32, 4, true, "NXSB", apfs, 0},
	{"integrity", 0, 8, true, "integrt\0", integrity, 0},
	{"verity", 0, 8, true, "verity\0\0", verity, 0},
	{"md", 0, 4, true, "\xfc\x4e\x2b\xa9", md, 0},
	{"md", 0, 4, false, "\xfc\x4e\x2b\xa9", md, 4096},
	{"lvm2", 0, 8, false, "LABELONE", lvm2, 0},
	{"lvm2", 0, 8, false, "LABELONE", lvm2, 512},
	{"lvm2", 0, 8, false, "LABELONE", lvm2, 1024},
	{"lvm2", 0, 8, false, "LABELONE", lvm2, 1536},
	{"ext", 1024 + 56, 2, false, "\x53\xef", ext, 0},
	{"btrfs", 65536 + 64, 8, false, "_BHRfS_M", btrfs, 0},
	{"f2fs", 1024, 4, false, "\x10\x20\xf5\xf2", f2fs, 0},
	{"swap", 4096 - 10, 10, false, "SWAPSPACE2", swap, 0},
	{"swap", 8192 - 10, 10, false, "SWAPSPACE2", swap, 0},
	{"swap", 16384 - 10, 10, false, "SWAPSPACE2", swap, 0},
	{"swap", 65536 - 10, 10, false, "SWAPSPACE2", swap, 0},
	{"iso9660", 32769, 5, false, "CD001", iso9660, 0},
	{"hfs+", 1024, 2, false, "H+", hfsplus, 0},
	{"hfs+", 1024, 2, false, "HX", hfsplus, 0},
	{"reiserfs", 65536 + 52, 8, false, "ReIsEr2F", reiserfs, 0},
	{"reiserfs", 65536 + 52, 8, false, "ReIsEr3F", reiserfs, 0},
	{"jfs", 32768, 4, false, "JFS1", jfs, 0},
	{"vmfs", 0x200000, 4, false, "\x5e\xf1\xab\x2f", vmfs, 0},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static bool try_kind(const struct kind *k, struct layer *l, uint64_t base, struct signature *sig)
{
	struct view v = {.l = l, .base = base};

	*sig = (struct signature){.name = k->name, .boot = k->boot, .start = base};
	return k->parse(&v, sig);
}

bool signature_at(struct layer *l, uint64_t off, struct signature *sig)
{
	struct view v = {.l = l, .base = off};

	for (size_t i = 0; i < KINDS; i++) {
		const struct kind *k = &kinds[i];

		if (is_at(&v, (uint64_t)k->base + k->magic_at, k->magic, k->len) &&
		    try_kind(k, l, off + k->base, sig) && sig->start == off)
			return true;
	}
	return false;
}

bool signature_in_sector(struct layer *l, uint64_t at, const uint8_t *sector, struct signature *sig)
{
	for (size_t i = 0; i < KINDS; i++) {
		const struct kind *k = &kinds[i];
		uint32_t ahead = k->magic_at & ~511u;

		if (!memcmp(sector + k->magic_at % 512, k->magic, k->len) && at >= ahead &&
		    try_kind(k, l, at - ahead, sig))
			return true;
	}
	return false;
}

void signature_info(const struct signature *sig, struct json *to)
{
	js_str(to, "content", sig->name);
	if (sig->size)
		js_u64(to, "content_size", sig->size);
	if (*sig->id)
		js_str(to, "content_id", sig->id);
	if (*sig->label)
		js_str(to, "content_label", sig->label);
}
