/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage with structure. Random bytes end at the first magic and the first checksum, so half of
 * the inputs are valid seeds with one to four fields changed to values that parsers trip on, and
 * their checksums made right again. The other half is libFuzzer's own.
 */
#include "tests/fuzz/harness.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/sum.h"

enum { SECTOR = 512 };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

/* xorshift64*: the same seed gives the same damage. */
static uint64_t next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1d;
}

static uint64_t below(uint64_t *state, uint64_t n)
{
	return next(state) % n;
}

/* VHD: one's complement of the sum of the bytes, the field itself as zero. */
static void fix_vhd_sum(uint8_t *p, size_t len, size_t field)
{
	be32_t sum = {{0}};

	memcpy(p + field, &sum, sizeof(sum));
	sum = to_be32(~sum_bytes(p, len));
	memcpy(p + field, &sum, sizeof(sum));
}

/* tdbatmap: where it lies, how many sectors, and the sum of those; after blktap's vhd.h. */
static void fix_batmap(uint8_t *data, size_t size, uint8_t *p)
{
	be64_t off;
	be32_t sectors, sum;
	uint64_t len;

	memcpy(&off, p + 8, sizeof(off));
	memcpy(&sectors, p + 16, sizeof(sectors));
	len = (uint64_t)be32(sectors) * SECTOR;
	if (!range_inside(be64(off), len, size))
		return;
	sum = to_be32(~sum_bytes(data + be64(off), (size_t)len));
	memcpy(p + 24, &sum, sizeof(sum));
}

/* UEFI 5.3.2: the CRC of the entries, then the CRC of the header with its own field zero. */
static void fix_gpt(uint8_t *data, size_t size, uint8_t *p)
{
	le64_t lba;
	le32_t count, entry, header, crc = {{0}};
	uint64_t off, len;

	memcpy(&header, p + 0x0c, sizeof(header));
	memcpy(&lba, p + 0x48, sizeof(lba));
	memcpy(&count, p + 0x50, sizeof(count));
	memcpy(&entry, p + 0x54, sizeof(entry));
	len = (uint64_t)le32(count) * le32(entry);
	off = le64(lba) * SECTOR;
	if (le64(lba) < size / SECTOR && range_inside(off, len, size)) {
		crc = to_le32(sum_crc32(0, data + off, (size_t)len));
		memcpy(p + 0x58, &crc, sizeof(crc));
	}
	if (le32(header) < 92 || !range_inside((uint64_t)(p - data), le32(header), size))
		return;
	crc = (le32_t){{0}};
	memcpy(p + 0x10, &crc, sizeof(crc));
	crc = to_le32(sum_crc32(0, p, le32(header)));
	memcpy(p + 0x10, &crc, sizeof(crc));
}

/* ext4's fast commits: a head opens them, and each tail has a CRC-32C of all since the last. */
static void fix_fast_commits(uint8_t *p, size_t size)
{
	uint32_t crc = 0;
	size_t off = 0;

	while (off + 12 <= size) {
		unsigned tag = p[off] | p[off + 1] << 8, len = p[off + 2] | p[off + 3] << 8;
		le32_t sum;

		if (!tag || tag > 9 || off + 4 + len > size)
			return;
		crc = sum_crc32c(crc, p + off, tag == 8 ? 8 : 4 + len);
		sum = to_le32(crc);
		if (tag == 8) {
			memcpy(p + off + 8, &sum, sizeof(sum));
			crc = 0;
		}
		off += 4 + len;
	}
}

static void fix_sums(uint8_t *data, size_t size)
{
	for (size_t off = 0; off + SECTOR <= size; off += SECTOR) {
		uint8_t *p = data + off;

		if (!memcmp(p, "conectix", 8))
			fix_vhd_sum(p, SECTOR, 64);
		else if (!memcmp(p, "cxsparse", 8) && off + 1024 <= size)
			fix_vhd_sum(p, 1024, 36);
		else if (!memcmp(p, "tdbatmap", 8))
			fix_batmap(data, size, p);
		else if (!memcmp(p, "EFI PART", 8))
			fix_gpt(data, size, p);
		else if (!memcmp(p, "\x09\0\x08\0\0\0\0\0", 8))
			fix_fast_commits(p, size - off);
	}
	/* Virtual PC's footers of 511 bytes end the file without ending a sector. */
	if (size >= 511 && size % SECTOR == 511 && !memcmp(data + size - 511, "conectix", 8))
		fix_vhd_sum(data + size - 511, 511, 64);
}

/* Metadata is where the bytes aren't zero; small images hold little else. */
static size_t place(uint64_t *state, const uint8_t *data, size_t size, size_t width)
{
	size_t slots = size / width, at = 0;

	if (!below(state, 3) && size > 1024)
		return below(state, 1024 / width) * width;
	for (int tries = 0; tries < 32; tries++) {
		at = below(state, slots) * width;
		for (size_t i = 0; i < width; i++)
			if (data[at + i])
				return at;
	}
	return at;
}

static uint64_t value(uint64_t *state, uint64_t old, size_t size)
{
	switch (below(state, 11)) {
	case 0: return 0;
	case 1: return UINT64_MAX;
	case 2: return old + 1;
	case 3: return old - 1;
	case 4: return old ^ (UINT64_C(1) << below(state, 64));
	case 5: return UINT64_C(1) << below(state, 64);
	case 6: return (UINT64_C(1) << below(state, 64)) - 1;
	case 7: return below(state, size + 1) & ~UINT64_C(511); /* an address in the file */
	case 8: return below(state, size + 1) / SECTOR;
	case 9: return size + below(state, 3) - 1;
	default: return next(state);
	}
}

static void change_field(uint64_t *state, uint8_t *data, size_t size)
{
	size_t width = (size_t)1 << below(state, 4), at;
	uint64_t v = 0;
	int big = below(state, 2) != 0;

	if (size < 8)
		return;
	at = place(state, data, size, width);
	for (size_t i = 0; i < width; i++)
		v |= (uint64_t)data[at + i] << 8 * (big ? width - 1 - i : i);
	v = value(state, v, size);
	for (size_t i = 0; i < width; i++)
		data[at + i] = (uint8_t)(v >> 8 * (big ? width - 1 - i : i));
}

/* One piece of metadata in the place of another, or in two places. */
static void copy_piece(uint64_t *state, uint8_t *data, size_t size)
{
	size_t len = (size_t)8 << below(state, 7), from, to;

	if (size < 2 * len)
		return;
	from = below(state, size / len) * len;
	to = below(state, size / len) * len;
	memmove(data + to, data + from, len);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint64_t state = (uint64_t)seed << 1 | 1;
	uint64_t changes;

	next(&state);
	if (size < SECTOR || below(&state, 2)) {
		size = LLVMFuzzerMutate(data, size, max);
	} else {
		for (changes = 1 + below(&state, 4); changes; changes--) {
			if (below(&state, 8))
				change_field(&state, data, size);
			else
				copy_piece(&state, data, size);
		}
		if (!below(&state, 16)) /* cut short, in sectors or anywhere */
			size = below(&state, 2) ? 1 + below(&state, size)
						: SECTOR * (1 + below(&state, size / SECTOR));
	}
	if (below(&state, 8))
		fix_sums(data, size);
	return size;
}
