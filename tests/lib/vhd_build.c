/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/vhd_build.h"

enum { BAT = 1536 };

static struct vhd_header *header_of(const struct image *img)
{
	return (struct vhd_header *)(void *)(img->buf + 512);
}

static uint32_t block_size(const struct image *img)
{
	return be32(header_of(img)->block_size);
}

static uint32_t bitmap_size(const struct image *img)
{
	return ((block_size(img) / 512 + 7) / 8 + 511) / 512 * 512;
}

static uint64_t pad(uint64_t n)
{
	return (n + 511) / 512 * 512;
}

uint64_t vhd_end(const struct image *img)
{
	return img->len % 512 ? img->len - 511 : img->len - 512;
}

uint64_t vhd_block(const struct image *img, uint32_t n)
{
	be32_t e;

	memcpy(&e, img->buf + BAT + n * 4, 4);
	return be32(e) == VHD_UNUSED ? 0 : be32(e) * UINT64_C(512);
}

void vhd_bat(struct image *img, uint32_t n, uint64_t at)
{
	image_be32(img, BAT + n * 4, at == VHD_NO_OFFSET ? VHD_UNUSED : (uint32_t)(at / 512));
}

static struct vhd_batmap_header *batmap_of(const struct image *img)
{
	uint64_t at = BAT + pad(be32(header_of(img)->max_table_entries) * UINT64_C(4));
	struct vhd_batmap_header *h = (struct vhd_batmap_header *)(void *)(img->buf + at);

	return at + sizeof(*h) <= img->len && !memcmp(h->cookie, "tdbatmap", 8) ? h : NULL;
}

static uint32_t sum(const uint8_t *p, size_t len)
{
	uint32_t s = 0;

	while (len--)
		s += *p++;
	return ~s;
}

void vhd_sums(struct image *img)
{
	uint64_t end = vhd_end(img);
	struct vhd_footer f;
	struct vhd_batmap_header *b;

	memset(&f, 0, sizeof(f));
	memcpy(&f, img->buf + end, img->len - end);
	f.checksum = to_be32(0);
	f.checksum = to_be32(sum((void *)&f, sizeof(f)));
	memcpy(img->buf + end, &f, img->len - end);
	if (be32(f.type) == VHD_FIXED)
		return;
	memcpy(img->buf, &f, sizeof(f));
	header_of(img)->checksum = to_be32(0);
	header_of(img)->checksum = to_be32(sum(img->buf + 512, 1024));
	b = batmap_of(img);
	if (b)
		b->checksum = to_be32(sum(img->buf + be64(b->offset), be32(b->sectors) * 512));
}

static void make_footer(const struct vhd_spec *s, uint64_t size, struct vhd_footer *f)
{
	const char *creator = s->creator ? s->creator : "win ";
	bool tap = !strncmp(creator, "tap", 3);
	uint32_t version = tap ? 0x00010003 : 0x00060001;

	memset(f, 0, sizeof(*f));
	memcpy(f->cookie, VHD_COOKIE, 8);
	f->features = to_be32(2);
	f->version = to_be32(VHD_VERSION_1);
	f->data_offset = to_be64(s->type == VHD_FIXED ? VHD_NO_OFFSET : 512);
	f->time = to_be32(s->time ? s->time : 300000000);
	memcpy(f->creator, creator, tap ? 3 : 4);
	f->creator_version = to_be32(s->creator_version ? s->creator_version : version);
	memcpy(f->creator_os, "Wi2k", 4);
	f->original_size = f->current_size = to_be64(size);
	f->geometry = to_be32(s->geometry ? s->geometry : VHD_CHS_MAX);
	f->type = to_be32(s->type ? s->type : VHD_DYNAMIC);
	memset(f->uuid, s->id ? s->id : 0x11, 16);
}

static void make_header(const struct vhd_spec *s, uint32_t entries, uint32_t size,
			struct vhd_header *h)
{
	memcpy(h->cookie, "cxsparse", 8);
	h->data_offset = to_be64(VHD_NO_OFFSET);
	h->table_offset = to_be64(BAT);
	h->version = to_be32(VHD_VERSION_1);
	h->max_table_entries = to_be32(entries);
	h->block_size = to_be32(size);
	if (s->type != VHD_DIFFERENCING)
		return;
	memset(h->parent_uuid, s->parent_id, 16);
	h->parent_time = to_be32(s->parent_time);
	for (size_t i = 0; s->parent_name && s->parent_name[i]; i++)
		h->parent_name[2 * i + 1] = (uint8_t)s->parent_name[i];
}

/* The text of a locator into the next sector at *at. */
static void add_locator(struct image *img, unsigned i, const char *code, const char *text,
			uint64_t *at)
{
	struct vhd_locator *c = &header_of(img)->locator[i];
	bool wide = code[0] == 'W';
	size_t n = strlen(text);

	memcpy(&c->code, code, 4);
	c->space = to_be32(512); /* bytes, as Microsoft and XenServer have it */
	c->len = to_be32((uint32_t)(wide ? 2 * n : n));
	c->offset = to_be64(*at);
	for (size_t k = 0; k < n; k++)
		img->buf[*at + (wide ? 2 * k : k)] = (uint8_t)text[k];
	*at += 512;
}

static uint64_t add_batmap(struct image *img, const struct vhd_spec *s, uint64_t at,
			   uint32_t entries)
{
	struct vhd_batmap_header h;
	uint64_t len = pad((entries + 7) / 8);

	memset(&h, 0, sizeof(h));
	memcpy(h.cookie, "tdbatmap", 8);
	h.offset = to_be64(at + 512);
	h.sectors = to_be32((uint32_t)(len / 512));
	h.version = to_be32(0x00010002);
	if (s->key) {
		h.key_cookie = 1;
		memset(h.key_nonce, s->key, 32);
		memset(h.key_hash, s->key + 1, 32);
	}
	image_poke(img, at, &h, sizeof(h));
	return at + 512 + len;
}

/* One sector; a block that is not there yet is put at the end. */
static void put(struct image *img, const struct vhd_spec *s, uint64_t off, uint8_t byte)
{
	uint32_t size = block_size(img), n = (uint32_t)(off / size);
	uint32_t sector = (uint32_t)(off % size / 512);
	uint64_t at = vhd_block(img, n);
	struct vhd_batmap_header *b;
	bool full = true;

	if (!at) {
		at = img->len;
		image_resize(img, img->len + bitmap_size(img) + size);
		vhd_bat(img, n, at);
		if (s->whole_bitmaps)
			memset(img->buf + at, 0xff, bitmap_size(img));
	}
	img->buf[at + sector / 8] |=
		(uint8_t)(s->creator_version == 1 ? 1 << sector % 8 : 0x80 >> sector % 8);
	memset(img->buf + at + bitmap_size(img) + sector * 512, byte, 512);
	for (uint32_t i = 0; i < size / 512 / 8; i++)
		full &= img->buf[at + i] == 0xff;
	b = batmap_of(img);
	if (full && b)
		img->buf[be64(b->offset) + n / 8] |= (uint8_t)(0x80 >> n % 8);
}

static struct image *build_fixed(const struct vhd_spec *s, uint64_t size)
{
	size_t tail = s->short_footer ? 511 : 512;
	struct image *img = image_new(size + tail);
	struct vhd_footer f;

	make_footer(s, size, &f);
	memcpy(img->buf + size, &f, tail);
	for (const struct vhd_write *w = s->write; w->len; w++)
		memset(img->buf + w->off, w->byte, w->len);
	vhd_sums(img);
	return img;
}

struct image *vhd_build(const struct vhd_spec *s)
{
	uint32_t block = s->block_size ? s->block_size : 32768;
	uint64_t size = s->size ? s->size : block * UINT64_C(8), at;
	uint32_t entries = s->entries ? s->entries : (uint32_t)((size + block - 1) / block);
	size_t tail = s->short_footer ? 511 : 512;
	struct vhd_footer f;
	struct image *img;
	unsigned n = 0;

	if (s->type == VHD_FIXED)
		return build_fixed(s, size);
	at = BAT + pad(entries * UINT64_C(4));
	img = image_new(at + 8 * 512 + pad((entries + 7) / 8));
	memset(img->buf + BAT, 0xff, at - BAT);
	make_header(s, entries, block, header_of(img));
	if (s->batmap)
		at = add_batmap(img, s, at, entries);
	if (s->w2ru)
		add_locator(img, n++, "W2ru", s->w2ru, &at);
	if (s->w2ku)
		add_locator(img, n++, "W2ku", s->w2ku, &at);
	if (s->macx)
		add_locator(img, n++, "MacX", s->macx, &at);
	image_resize(img, at);
	for (const struct vhd_write *w = s->write; w->len; w++)
		for (uint64_t off = 0; off < w->len; off += 512)
			put(img, s, w->off + off, w->byte);
	make_footer(s, size, &f);
	at = img->len;
	image_resize(img, at + tail);
	memcpy(img->buf + at, &f, tail);
	vhd_sums(img);
	return img;
}
