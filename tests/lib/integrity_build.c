/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/integrity_build.h"

uint64_t integrity_build_data(const struct integrity_image *b, uint64_t block)
{
	uint64_t sector = block << b->s.log2_block, area = sector >> b->s.log2_interleave;

	return b->initial + (area + 1) * b->run + sector * 512;
}

uint64_t integrity_build_tag(const struct integrity_image *b, uint64_t block)
{
	uint64_t sector = block << b->s.log2_block, area = sector >> b->s.log2_interleave;
	uint64_t first = area << b->s.log2_interleave;

	return b->initial + area * b->run + first * 512 +
	       ((sector - first) >> b->s.log2_block) * b->s.tag;
}

void integrity_build_retag(struct integrity_image *b, uint64_t block)
{
	const uint8_t *data = b->img->buf + integrity_build_data(b, block);

	if (integrity_hash_tag(b->h, block << b->s.log2_block, data, b->block,
			       b->img->buf + integrity_build_tag(b, block), b->s.tag))
		abort();
}

uint64_t integrity_build_entry(const struct integrity_image *b, uint32_t section, uint32_t entry)
{
	return INTEGRITY_SB + ((uint64_t)section * b->section + entry % 8) * 512 +
	       (uint64_t)(entry / 8) * b->entry;
}

uint64_t integrity_build_entry_data(const struct integrity_image *b, uint32_t section,
				    uint32_t entry)
{
	return INTEGRITY_SB +
	       ((uint64_t)section * b->section + 8 + ((uint64_t)entry << b->s.log2_block)) * 512;
}

void integrity_build_commit(struct integrity_image *b, uint32_t section, unsigned seq)
{
	for (uint32_t i = 0; i < b->section; i++)
		image_le64(b->img, INTEGRITY_SB + ((uint64_t)section * b->section + i) * 512 + 504,
			   0x1111111111111111ull * (seq + 1) ^ ((uint64_t)section << 32 ^ i));
}

void integrity_build_journal(struct integrity_image *b, uint32_t section, uint32_t entry,
			     uint64_t number, uint8_t value)
{
	uint64_t at = integrity_build_entry(b, section, entry);
	uint8_t data[4096];

	memset(data, value, b->block);
	image_le64(b->img, at, number << b->s.log2_block);
	image_poke(b->img, at + 8, data, 8ul << b->s.log2_block);
	image_poke(b->img, integrity_build_entry_data(b, section, entry), data, b->block);
	if (integrity_hash_tag(b->h, number << b->s.log2_block, data, b->block,
			       b->img->buf + at + 8 + (8ul << b->s.log2_block), b->s.tag))
		abort();
}

struct integrity_image integrity_build(const struct integrity_spec *s)
{
	static const uint8_t salt[INTEGRITY_SALT] = "sixteen bytes :)";
	struct integrity_image b = {.s = *s, .block = 512u << s->log2_block};
	uint64_t pad = s->flags & INTEGRITY_FIXED_PADDING ? 4096 : 131072, areas;
	uint32_t spb = 1u << s->log2_block, mac = s->flags & INTEGRITY_HAVE_JOURNAL_MAC ? 8 : 0;
	struct integrity_superblock sb = {.magic = "integrt",
					  .version = 5,
					  .log2_interleave_sectors = (uint8_t)s->log2_interleave,
					  .log2_sectors_per_block = (uint8_t)s->log2_block};

	b.entry = (uint32_t)((8 + 8 * spb + s->tag + 7) / 8 * 8);
	b.entries = (504 - mac) / b.entry * 8;
	b.section = b.entries * spb + 8;
	b.initial = INTEGRITY_SB + (uint64_t)s->sections * b.section * 512;
	b.run = ((s->tag << s->log2_interleave >> s->log2_block) + pad - 1) / pad * pad;
	areas = (s->sectors + (1u << s->log2_interleave) - 1) >> s->log2_interleave;
	b.img = image_new(b.initial + areas * b.run + s->sectors * 512);
	if (integrity_hash_open(&b.h, s->hash, s->key, s->key ? strlen(s->key) : 0,
				s->flags & INTEGRITY_FIXED_HMAC ? salt : NULL))
		abort();
	memcpy(&sb.tag_size, &(uint16_t){(uint16_t)s->tag}, 2);
	memcpy(sb.salt, salt, sizeof(salt));
	image_poke(b.img, 0, &sb, sizeof(sb));
	image_le32(b.img, 12, s->sections);
	image_le64(b.img, 16, s->sectors);
	image_le32(b.img, 24, s->flags);
	for (uint32_t i = 0; i < s->sections; i++) {
		for (uint32_t e = 0; e < b.entries; e++)
			image_le64(b.img, integrity_build_entry(&b, i, e), 0xffffffff00000000);
		integrity_build_commit(&b, i, 0);
	}
	for (uint64_t n = 0; n < s->sectors >> s->log2_block; n++) {
		memset(b.img->buf + integrity_build_data(&b, n), (int)(n % 255 + 1), b.block);
		integrity_build_retag(&b, n);
	}
	return b;
}

void integrity_build_free(struct integrity_image *b)
{
	integrity_hash_close(b->h);
	image_free(b->img);
}
