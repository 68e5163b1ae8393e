/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/regf_build.h"

#include "formats/log/regf.h"

static uint32_t cell(struct hive_build *b, uint32_t len)
{
	uint32_t off = b->used, size = (len + 4 + 7) & ~7u;

	assert_true(off + size + 8 <= HIVE_BINS);
	*(le32_t *)(b->bins + off) = to_le32(0u - size);
	b->used += size;
	return off;
}

static void *at(struct hive_build *b, uint32_t off)
{
	return b->bins + off + 4;
}

uint32_t hive_key(struct hive_build *b, uint32_t parent, const char *name)
{
	uint32_t n = b->keys++;
	struct regf_nk *nk;

	assert_true(n < HIVE_KEYS);
	b->key[n].name = name;
	b->key[n].parent = parent;
	b->key[n].off = cell(b, (uint32_t)(sizeof(*nk) + strlen(name)));
	nk = at(b, b->key[n].off);
	memcpy(nk->magic, "nk", 2);
	nk->flags = to_le16(REGF_NK_LATIN1 | (n ? 0 : 0x0c));
	nk->written = to_le64(UINT64_C(131000000000000000));
	nk->parent = to_le32(n ? b->key[parent].off : REGF_NONE);
	nk->list = nk->volatile_list = nk->value_list = nk->class_name = to_le32(REGF_NONE);
	nk->security = to_le32(b->security);
	nk->name_len = to_le16((uint16_t)strlen(name));
	memcpy(nk + 1, name, strlen(name));
	return n;
}

void hive_begin(struct hive_build *b)
{
	uint8_t *sk;

	memset(b, 0, sizeof(*b));
	b->used = REGF_BIN_HEAD;
	b->security = cell(b, 40);
	sk = at(b, b->security);
	memcpy(sk, "sk", 2);
	hive_key(b, 0, "ROOT");
	/* The root must be the first key that anybody finds; its cell is known by the base block. */
}

static uint32_t data_cell(struct hive_build *b, const void *data, uint32_t len)
{
	uint32_t off = cell(b, len);

	memcpy(at(b, off), data, len);
	return off;
}

static uint32_t big_data(struct hive_build *b, const uint8_t *data, uint32_t len)
{
	uint32_t n = (len + 16343) / 16344, list = cell(b, n * 4), db = cell(b, 8);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t part = len - i * 16344 < 16344 ? len - i * 16344 : 16344;

		((le32_t *)at(b, list))[i] = to_le32(data_cell(b, data + i * 16344, part));
	}
	memcpy(at(b, db), "db", 2);
	((le16_t *)at(b, db))[1] = to_le16((uint16_t)n);
	((le32_t *)at(b, db))[1] = to_le32(list);
	return db;
}

uint32_t hive_value(struct hive_build *b, uint32_t key, const char *name, uint32_t type,
		    const void *data, uint32_t len)
{
	uint32_t n = b->values++, size = len;
	struct regf_vk *vk;
	le32_t where = {{0}};

	assert_true(n < HIVE_VALUES);
	if (len <= 4) {
		memcpy(&where, data, len);
		size |= REGF_INLINE;
	} else {
		where = to_le32(len > 16344 ? big_data(b, data, len) : data_cell(b, data, len));
	}
	b->value[n].name = name;
	b->value[n].key = key;
	b->value[n].off = cell(b, (uint32_t)(sizeof(*vk) + strlen(name)));
	vk = at(b, b->value[n].off);
	memcpy(vk->magic, "vk", 2);
	vk->name_len = to_le16((uint16_t)strlen(name));
	vk->size = to_le32(size);
	vk->data = where;
	vk->type = to_le32(type);
	vk->flags = to_le16(REGF_VK_LATIN1);
	memcpy(vk + 1, name, strlen(name));
	return n;
}

static uint32_t hash(const char *s)
{
	uint32_t h = 0;

	for (; *s; s++)
		h = h * 37 + (uint8_t)(*s >= 'a' && *s <= 'z' ? *s - 32 : *s);
	return h;
}

static void lists(struct hive_build *b, uint32_t key)
{
	struct regf_nk *nk = at(b, b->key[key].off);
	uint32_t n = 0, v = 0, list = cell(b, 4 + HIVE_KEYS), values;

	b->used = list;
	for (uint32_t i = 1; i < b->keys; i++)
		n += b->key[i].parent == key;
	for (uint32_t i = 0; i < b->values; i++)
		v += b->value[i].key == key;
	nk->subkeys = to_le32(n);
	nk->values = to_le32(v);
	if (n) {
		uint8_t *p;

		list = cell(b, 4 + n * 8);
		nk->list = to_le32(list);
		p = at(b, list);
		memcpy(p, "lh", 2);
		*(le16_t *)(p + 2) = to_le16((uint16_t)n);
		p += 4;
		for (uint32_t i = 1; i < b->keys; i++) {
			if (b->key[i].parent != key)
				continue;
			((le32_t *)p)[0] = to_le32(b->key[i].off);
			((le32_t *)p)[1] = to_le32(hash(b->key[i].name));
			p += 8;
		}
	}
	if (v) {
		le32_t *p;

		values = cell(b, v * 4);
		nk->value_list = to_le32(values);
		p = at(b, values);
		for (uint32_t i = 0; i < b->values; i++)
			if (b->value[i].key == key)
				*p++ = to_le32(b->value[i].off);
	}
}

struct image *hive_finish(struct hive_build *b, bool dirty)
{
	struct regf_base base = {.magic = "regf"};
	struct image *img;
	uint32_t size;

	for (uint32_t i = 0; i < b->keys; i++)
		lists(b, i);
	size = (b->used + 8 + REGF_PAGE - 1) / REGF_PAGE * REGF_PAGE;
	*(le32_t *)(b->bins + b->used) = to_le32(size - b->used);
	memset(b->bins + b->used + 4, 0, size - b->used - 4);
	memcpy(b->bins, "hbin", 4);
	*(le32_t *)(b->bins + 8) = to_le32(size);
	base.seq1 = to_le32(dirty ? 8 : 7);
	base.seq2 = to_le32(7);
	base.major = to_le32(1);
	base.minor = to_le32(5);
	base.format = base.cluster = to_le32(1);
	base.root = to_le32(b->key[0].off);
	base.bins = to_le32(size);
	base.sum = to_le32(regf_sum(&base));
	img = image_new(REGF_BASE + size);
	image_poke(img, 0, &base, sizeof(base));
	image_poke(img, REGF_BASE, b->bins, size);
	return img;
}
