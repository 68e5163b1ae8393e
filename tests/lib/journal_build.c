/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/journal_build.h"

#include "formats/log/journal.h"

static const uint8_t file_id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

const char *const journal_build_text[5] = {"MESSAGE=first", "PRIORITY=3", "_HOSTNAME=node16",
					   "MESSAGE=second", "SYSLOG_IDENTIFIER=kernel"};

static uint64_t object(struct journal_build *b, uint8_t type, const void *body, size_t len)
{
	struct journal_object o = {.type = type, .size = to_le64(sizeof(o) + len)};
	uint64_t at = b->end;

	image_poke(b->img, at, &o, sizeof(o));
	image_poke(b->img, at + sizeof(o), body, len);
	b->end = (at + sizeof(o) + len + 7) / 8 * 8;
	b->objects++;
	return at;
}

static uint64_t field(struct journal_build *b, const char *text)
{
	uint8_t body[256] = {0};
	size_t len = strlen(text), head = b->compact ? 56 : 48;
	le64_t hash = to_le64(journal_siphash(file_id, text, len));

	memcpy(body, &hash, 8);
	memcpy(body + head, text, len);
	return object(b, JOURNAL_DATA, body, head + len);
}

static void entry(struct journal_build *b, const size_t *field_no, size_t n)
{
	static const uint8_t boot_id[16] = {0xb0, 0x07};
	size_t step = b->compact ? 4 : 16;
	uint8_t body[48 + 16 * 8] = {0};
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		const char *text = journal_build_text[field_no[i]];
		le64_t at = to_le64(b->data[field_no[i]]);
		le64_t hash = to_le64(journal_siphash(file_id, text, strlen(text)));

		memcpy(body + 48 + step * i, &at, b->compact ? 4 : 8);
		if (!b->compact)
			memcpy(body + 56 + step * i, &hash, 8);
		sum ^= journal_jenkins(text, strlen(text));
	}
	*(le64_t *)body = to_le64(++b->entries);
	*(le64_t *)(body + 8) = to_le64(UINT64_C(1500000000000000) + b->entries * 1000000);
	memcpy(body + 24, boot_id, 16);
	*(le64_t *)(body + 40) = to_le64(sum);
	b->len[b->entries - 1] = 64 + step * n;
	b->at[b->entries - 1] = object(b, JOURNAL_ENTRY, body, 48 + step * n);
}

struct journal_build journal_build(bool compact)
{
	struct journal_header h = {.magic = "LPKSHHRH", .seqnum_id = {0x5e, 0x91}};
	struct journal_build b = {.img = image_new(8192), .compact = compact, .end = sizeof(h)};
	uint64_t list[8] = {0};

	for (size_t i = 0; i < 5; i++)
		b.data[i] = field(&b, journal_build_text[i]);
	entry(&b, (const size_t[]){0, 1, 2}, 3);
	entry(&b, (const size_t[]){3, 2, 4}, 3);
	entry(&b, (const size_t[]){0, 4}, 2);
	for (size_t i = 0; i < 3; i++)
		list[i + 1] = b.at[i];
	b.array = object(&b, JOURNAL_ARRAY, list, 8 * 8);
	memcpy(h.file_id, file_id, 16);
	h.incompatible = to_le32(JOURNAL_KEYED | (compact ? JOURNAL_COMPACT : 0));
	h.header_size = to_le64(sizeof(h));
	h.arena_size = to_le64(8192 - sizeof(h));
	h.tail_object = to_le64(b.array);
	h.n_objects = to_le64(b.objects);
	h.n_entries = to_le64(b.entries);
	h.head_seqnum = to_le64(1);
	h.tail_seqnum = to_le64(3);
	image_poke(b.img, 0, &h, sizeof(h));
	return b;
}
