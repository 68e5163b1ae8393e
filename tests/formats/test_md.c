/* SPDX-License-Identifier: Apache-2.0 */
/*
 * md: arrays written here, their members the partitions of one disk or images side by side.
 * fixtures/volumes compares every level, whole and degraded, with what a kernel reads.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "formats/drivers.h"
#include "formats/part/md.h"
#include "formats/stack.h"
#include "tests/lib/disk_build.h"

enum {
	CHUNK = 4096,
	DATA = 16384, /* where a member's data begins */
	COLUMN = 8 * CHUNK,
	MEMBER = 256 * 1024,
	FIRST = 1 << 20, /* of the disk: the first partition */
};

static uint64_t member_at(unsigned i)
{
	return FIRST + (uint64_t)i * MEMBER;
}

static void seal(struct image *img, uint64_t at)
{
	uint64_t sum = 0;

	image_le32(img, at + 216, 0);
	for (unsigned i = 0; i < 256 + 2 * 8; i += 4) {
		uint32_t w;

		memcpy(&w, img->buf + at + i, 4);
		sum += w;
	}
	image_le32(img, at + 216, (uint32_t)sum + (uint32_t)(sum >> 32));
}

/* A superblock 1.2 of a member of 8 roles at most. */
static void put_super(struct image *img, unsigned i, int level, uint32_t layout, uint32_t disks)
{
	uint64_t at = member_at(i) + 4096;

	memset(img->buf + at, 0, 512);
	image_le32(img, at, 0xa92b4efc);
	image_le32(img, at + 4, 1);
	memset(img->buf + at + 16, 0x5a, 16);
	memcpy(img->buf + at + 32, "host:data", 9);
	image_le32(img, at + 72, (uint32_t)level);
	image_le32(img, at + 76, layout);
	image_le64(img, at + 80, COLUMN / 512);
	image_le32(img, at + 88, CHUNK / 512);
	image_le32(img, at + 92, disks);
	image_le64(img, at + 128, DATA / 512);
	image_le64(img, at + 136, COLUMN / 512);
	image_le64(img, at + 144, 8);
	image_le32(img, at + 160, i);
	image_le64(img, at + 200, 40); /* events */
	image_le64(img, at + 208, UINT64_MAX);
	image_le32(img, at + 220, 8);
	for (uint16_t k = 0; k < 8; k++)
		image_poke(img, at + 256 + 2u * k, &k, 2);
	seal(img, at);
}

static struct image *disk(int level, uint32_t layout, uint32_t disks)
{
	struct image *img = image_new(FIRST + 4 * (size_t)MEMBER);
	struct slot slots[4];

	for (unsigned i = 0; i < 4; i++)
		slots[i] = (struct slot){member_at(i) / 512, MEMBER / 512, 0xfd};
	disk_mbr(img, slots, 4);
	for (unsigned i = 0; i < disks; i++)
		put_super(img, i, level, layout, disks);
	return img;
}

/* Chunk @row of member @i. */
static uint8_t *chunk(struct image *img, unsigned i, unsigned row)
{
	return img->buf + member_at(i) + DATA + (size_t)row * CHUNK;
}

static struct layer *array(struct image *img)
{
	for (struct layer *p = img->source->child->child; p; p = p->next)
		if (p->child && p->child->child)
			return p->child->child;
	fail_msg("no array");
	return NULL;
}

/* Byte @off: what it is, or -1 where it is lost. */
static int byte_at(struct layer *l, uint64_t off)
{
	struct ranges bad = {0};
	uint8_t b;
	int lost;

	assert_int_equal(layer_read(l, off, &b, 1, &bad), 0);
	lost = bad.n != 0;
	ranges_free(&bad);
	return lost ? -1 : b;
}

static void forget(struct image *img, unsigned i)
{
	memset(img->buf + member_at(i) + 4096, 0, 512);
}

/* md(4), left-symmetric, three members: D0 D1 P / D3 P D2 / P D4 D5. */
static const int raid5[3][3] = {{0, 1, -1}, {3, -1, 2}, {-1, 4, 5}};

static struct image *raid5_disk(void)
{
	struct image *img = disk(5, 2, 3);

	for (unsigned row = 0; row < 3; row++) {
		uint8_t *parity = NULL;

		for (unsigned i = 0; i < 3; i++)
			if (raid5[row][i] < 0)
				parity = chunk(img, i, row);
		for (unsigned i = 0; i < 3; i++)
			for (unsigned b = 0; raid5[row][i] >= 0 && b < CHUNK; b++) {
				chunk(img, i, row)[b] = (uint8_t)(raid5[row][i] * 16 + b % 13);
				parity[b] ^= chunk(img, i, row)[b];
			}
	}
	return img;
}

static void assert_raid5(struct layer *l)
{
	for (unsigned d = 0; d < 6; d++)
		for (unsigned b = 0; b < CHUNK; b += 911)
			assert_int_equal(byte_at(l, d * CHUNK + b), (int)(d * 16 + b % 13));
}

static void raid5_is_read_whole_and_without_any_member(void **state)
{
	struct image *img = raid5_disk();
	struct layer *l;

	(void)state;
	image_discover(img);
	assert_clean(img);
	l = array(img);
	assert_string_equal(l->path, "mbr/p1/md/data");
	assert_int_equal(l->size, 2 * COLUMN);
	assert_raid5(l);
	assert_int_equal(md_check_data(l->below), 0);
	assert_int_equal(image_seen(img, MD_MISMATCH, ANYWHERE), 0);
	image_free(img);
	for (unsigned gone = 0; gone < 3; gone++) {
		img = raid5_disk();
		forget(img, gone);
		image_discover(img);
		assert_finding(img, MD_DEGRADED, ANYWHERE);
		assert_int_equal(image_worse(img, DAMAGE), 0);
		assert_raid5(array(img));
		image_exercise(array(img));
		/* Another one: what was on both is lost, and said. */
		forget(img, (gone + 1) % 3);
		image_discover(img);
		assert_finding(img, MD_MEMBER_MISSING, ANYWHERE);
		for (unsigned d = 0; d < 6; d++) {
			unsigned left = (gone + 2) % 3;
			int want = -1;

			for (unsigned row = 0; row < 3; row++)
				if (raid5[row][left] == (int)d)
					want = (int)d * 16;
			assert_int_equal(byte_at(array(img), d * CHUNK), want);
		}
		image_free(img);
	}
}

static void parity_that_does_not_match_is_found(void **state)
{
	struct image *img = raid5_disk();
	struct layer *l;

	(void)state;
	chunk(img, 0, 2)[1000] ^= 1;
	image_discover(img);
	l = array(img);
	assert_int_equal(md_check_data(l->below), 0);
	assert_finding(img, MD_MISMATCH, ANYWHERE);
	assert_int_equal(image_first(img, MD_MISMATCH)->fact.off, 4 * CHUNK + 512);
	image_free(img);
}

static uint8_t times2(uint8_t a)
{
	return (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1d : 0));
}

/* Left-symmetric, four members: row 0 is Q D0 D1 P, row 1 is D2 D3 P Q. */
static void raid6_is_read_without_any_two_members(void **state)
{
	(void)state;
	for (unsigned x = 0; x < 4; x++)
		for (unsigned y = 0; y < 4; y++) {
			struct image *img = disk(6, 2, 4);
			struct layer *l;

			for (unsigned row = 0; row < 2; row++) {
				unsigned p = 3 - row, q = (p + 1) % 4, a = (p + 2) % 4,
					 b = (p + 3) % 4;

				memset(chunk(img, a, row), (int)(0x31 + 2 * row), CHUNK);
				memset(chunk(img, b, row), (int)(0xc2 + 2 * row), CHUNK);
				memset(chunk(img, p, row),
				       *chunk(img, a, row) ^ *chunk(img, b, row), CHUNK);
				memset(chunk(img, q, row),
				       *chunk(img, a, row) ^ times2(*chunk(img, b, row)), CHUNK);
			}
			forget(img, x);
			forget(img, y);
			image_discover(img);
			l = array(img);
			assert_int_equal(byte_at(l, 5), 0x31);
			assert_int_equal(byte_at(l, CHUNK), 0xc2);
			assert_int_equal(byte_at(l, 2 * CHUNK), 0x33);
			assert_int_equal(byte_at(l, 3 * CHUNK + 9), 0xc4);
			image_free(img);
		}
}

static void the_newest_mirror_is_read(void **state)
{
	struct image *img = disk(1, 0, 2);
	struct layer *l;

	(void)state;
	memset(chunk(img, 0, 0), 1, CHUNK);
	memset(chunk(img, 1, 0), 2, CHUNK);
	image_le64(img, member_at(0) + 4096 + 200, 30);
	seal(img, member_at(0) + 4096);
	image_discover(img);
	assert_finding(img, MD_STALE, 4096);
	assert_int_equal(byte_at(array(img), 0), 2);
	image_le64(img, member_at(0) + 4096 + 200, 40);
	image_le64(img, member_at(0) + 4096 + 208, 100);
	seal(img, member_at(0) + 4096);
	image_discover(img);
	assert_finding(img, MD_DIRTY, 4096);
	l = array(img);
	assert_int_equal(byte_at(l, 0), 1);
	md_check_data(l->below);
	assert_finding(img, MD_MISMATCH, ANYWHERE);
	image_free(img);
}

static void stripes_and_copies_are_where_they_belong(void **state)
{
	struct image *img = disk(0, 0, 3);

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		memset(chunk(img, i, 1), (int)(10 + i), CHUNK);
	image_discover(img);
	assert_int_equal(byte_at(array(img), 3 * CHUNK), 10);
	assert_int_equal(byte_at(array(img), 5 * CHUNK), 12);
	forget(img, 1);
	image_discover(img);
	assert_finding(img, MD_MEMBER_MISSING, ANYWHERE);
	assert_int_equal(byte_at(array(img), 4 * CHUNK), -1);
	assert_int_equal(byte_at(array(img), 5 * CHUNK), 12);
	image_free(img);

	img = disk(10, 0x102, 4); /* two near copies */
	memset(chunk(img, 2, 0), 0x77, CHUNK);
	memset(chunk(img, 3, 0), 0x77, CHUNK);
	forget(img, 2);
	image_discover(img);
	assert_int_equal(byte_at(array(img), CHUNK), 0x77);
	image_free(img);

	img = disk(MD_LINEAR, 0, 2);
	memset(chunk(img, 1, 0), 0x88, CHUNK);
	image_discover(img);
	assert_int_equal(array(img)->size, 2 * COLUMN);
	assert_int_equal(byte_at(array(img), COLUMN), 0x88);
	image_free(img);
}

static void superblocks_are_checked(void **state)
{
	struct image *img = disk(5, 2, 3);

	(void)state;
	img->buf[member_at(1) + 4096 + 140] ^= 1;
	image_discover(img);
	assert_finding(img, MD_SUPER_SUM, 4096);
	image_free(img);
	img = disk(5, 77, 3);
	image_discover(img);
	assert_finding(img, MD_UNSUPPORTED, 4096);
	image_free(img);
	img = disk(5, 2, 3);
	for (unsigned i = 0; i < 3; i++) {
		image_le32(img, member_at(i) + 4096 + 8, 4);
		seal(img, member_at(i) + 4096);
	}
	image_discover(img);
	assert_finding(img, MD_UNSUPPORTED, 4096);
	image_free(img);
}

/* Members in other images: in the folder, and in one that --chain names. */
static void members_are_found_in_other_images(void **state)
{
	char dir[] = "/tmp/vdiskck-md-XXXXXX", name[3][64];
	struct image *img = raid5_disk();

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (unsigned i = 0; i < 3; i++) {
		struct image *one = image_new(MEMBER);

		memcpy(one->buf, img->buf + member_at(i), MEMBER);
		snprintf(name[i], sizeof(name[i]), "%s/%u.img", dir, i);
		image_write(one, name[i]);
		image_free(one);
	}
	image_free(img);
	img = image_stack(name[1], NULL);
	assert_clean(img);
	assert_string_equal(img->top->child->ops->name, "md");
	assert_raid5(img->top->child->child);
	image_free(img);
	unlink(name[0]);
	img = image_stack(name[1], NULL);
	assert_finding(img, MD_DEGRADED, ANYWHERE);
	assert_raid5(img->top->child->child);
	image_free(img);
	unlink(name[1]);
	unlink(name[2]);
	rmdir(dir);
}

static void flips_and_truncation_are_survived(void **state)
{
	static const struct {
		int level;
		uint32_t layout, disks;
	} kinds[] = {{5, 2, 3}, {6, 2, 4}, {10, 0x102, 4}, {0, 0, 3}, {1, 0, 2}, {MD_LINEAR, 0, 2}};

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		struct image *img = disk(kinds[k].level, kinds[k].layout, kinds[k].disks);

		for (uint64_t b = 0; b < 272; b++)
			for (int bit = (int)(b % 3); bit < 8; bit += 5) {
				img->buf[member_at(0) + 4096 + b] ^= (uint8_t)(1 << bit);
				seal(img, member_at(0) + 4096);
				image_discover(img);
				img->buf[member_at(0) + 4096 + b] ^= (uint8_t)(1 << bit);
			}
		seal(img, member_at(0) + 4096);
		for (uint64_t end = FIRST; end < FIRST + 3 * MEMBER; end += 3 * CHUNK) {
			image_resize(img, end);
			image_discover(img);
			image_exercise(img->source->child);
		}
		image_free(img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(raid5_is_read_whole_and_without_any_member),
		cmocka_unit_test(parity_that_does_not_match_is_found),
		cmocka_unit_test(raid6_is_read_without_any_two_members),
		cmocka_unit_test(the_newest_mirror_is_read),
		cmocka_unit_test(stripes_and_copies_are_where_they_belong),
		cmocka_unit_test(superblocks_are_checked),
		cmocka_unit_test(members_are_found_in_other_images),
		cmocka_unit_test(flips_and_truncation_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
