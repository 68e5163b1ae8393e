/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/disk_build.h"

#include <stdio.h>
#include <unistd.h>

#include "formats/part/gpt.h"
#include "vdiskck/core/sum.h"

void disk_mbr_entry(struct image *img, uint64_t at, int i, uint8_t type, uint32_t start,
		    uint32_t sectors)
{
	struct mbr_entry e = {.type = type, .start = to_le32(start), .sectors = to_le32(sectors)};

	image_poke(img, at + MBR_ENTRY_AT + (uint64_t)i * sizeof(e), &e, sizeof(e));
	image_poke(img, at + 510, "\x55\xaa", 2);
}

void disk_mbr(struct image *img, const struct slot *slots, int n)
{
	image_le32(img, 0x1b8, 0x12345678);
	image_poke(img, 510, "\x55\xaa", 2);
	for (int i = 0; i < n; i++)
		disk_mbr_entry(img, 0, i, slots[i].type, (uint32_t)slots[i].start,
			       (uint32_t)slots[i].sectors);
}

void disk_ebr(struct image *img, uint32_t sector, uint32_t lba, uint32_t start, uint32_t sectors,
	      uint32_t next, uint32_t next_sectors)
{
	uint64_t at = (uint64_t)lba * sector;

	disk_mbr_entry(img, at, 0, 0x83, start, sectors);
	if (next)
		disk_mbr_entry(img, at, 1, 0x05, next, next_sectors);
}

void disk_gpt_seal(struct image *img, uint32_t sector, uint64_t at)
{
	struct gpt_header h;
	uint64_t len;

	memcpy(&h, img->buf + at, sizeof(h));
	len = (uint64_t)le32(h.entries) * le32(h.entry_size);
	h.array_crc32 = to_le32(sum_crc32(0, img->buf + le64(h.array_lba) * sector, len));
	h.header_crc32 = to_le32(0);
	h.header_crc32 = to_le32(sum_crc32(0, &h, sizeof(h)));
	image_poke(img, at, &h, sizeof(h));
}

static void gpt_copy_at(struct image *img, uint32_t sector, uint64_t lba, uint64_t other,
			uint64_t array, const struct slot *slots, int n)
{
	uint64_t last = img->len / sector - 1, table = 128 * sizeof(struct gpt_entry) / sector;
	struct gpt_header h = {
		.signature = "EFI PART",
		.revision = to_le32(0x10000),
		.header_size = to_le32(sizeof(h)),
		.my_lba = to_le64(lba),
		.alternate_lba = to_le64(other),
		.first_usable_lba = to_le64(2 + table),
		.last_usable_lba = to_le64(last - 1 - table),
		.disk_guid = "disk guid of ou",
		.array_lba = to_le64(array),
		.entries = to_le32(128),
		.entry_size = to_le32(128),
	};

	for (int i = 0; i < n; i++) {
		/* Linux filesystem */
		struct gpt_entry e = {
			.type = {0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d,
				 0x69, 0xd8, 0x47, 0x7d, 0xe4},
			.unique = {(uint8_t)(i + 1), 0xbb},
			.start_lba = to_le64(slots[i].start),
			.end_lba = to_le64(slots[i].start + slots[i].sectors - 1),
			.name = {{{'a'}}, {{'b'}}},
		};

		image_poke(img, array * sector + (uint64_t)i * 128, &e, sizeof(e));
	}
	image_poke(img, lba * sector, &h, sizeof(h));
	disk_gpt_seal(img, sector, lba * sector);
}

void disk_gpt(struct image *img, uint32_t sector, const struct slot *slots, int n)
{
	uint64_t last = img->len / sector - 1, table = 128 * sizeof(struct gpt_entry) / sector;

	disk_mbr_entry(img, 0, 0, MBR_TYPE_GPT, 1, (uint32_t)last);
	gpt_copy_at(img, sector, 1, last, 2, slots, n);
	gpt_copy_at(img, sector, last, 1, last - table, slots, n);
}

void disk_ntfs(struct image *img, uint64_t at, uint64_t sectors, bool backup)
{
	static const uint8_t head[] = {0xeb, 0x52, 0x90, 'N', 'T', 'F', 'S',
				       ' ',  ' ',  ' ',	 ' ', 0,   2,	8};
	uint64_t mft = 4;

	for (int i = 0; i < 1 + backup; i++) {
		uint64_t boot = at + (i ? sectors * 512 : 0);

		image_poke(img, boot, head, sizeof(head));
		image_le64(img, boot + 40, sectors);
		image_le64(img, boot + 48, mft);
		image_le64(img, boot + 72, 0x1122334455667788);
		image_poke(img, boot + 510, "\x55\xaa", 2);
	}
	image_poke(img, at + mft * 8 * 512, "FILE", 4);
}

void disk_xfs(struct image *img, uint64_t at, uint32_t blocks)
{
	image_poke(img, at, "XFSB", 4);
	image_be32(img, at + 4, 4096);
	image_be64(img, at + 8, blocks);
	image_poke(img, at + 32, "an id of 16 byte", 16);
	image_be32(img, at + 84, blocks); /* of the one allocation group */
	image_be32(img, at + 88, 1);
	image_poke(img, at + 102, "\x02", 1); /* sectors of 512 bytes */
	image_poke(img, at + 108, "root", 4);
}

void disk_fat16(struct image *img, uint64_t at, uint16_t sectors)
{
	static const uint8_t bpb[] = {0xeb, 0x3c, 0x90, 'm', 'k', 'f', 's', '.', 'f', 'a',  't', 0,
				      2,    4,	  4,	0,   2,	  0,   2,   0,	 0,   0xf8, 64,	 0};

	image_poke(img, at, bpb, sizeof(bpb));
	image_poke(img, at + 19, &sectors, 2);
	image_poke(img, at + 510, "\x55\xaa", 2);
	image_poke(img, at + 4 * 512, "\xf8\xff\xff\xff", 4);
}

bool disk_tool(struct image *img, const char *command)
{
	char path[] = "/tmp/vdiskck-disk-XXXXXX", line[1024];
	int fd = mkstemp(path), status;
	struct image *made;

	assert_true(fd >= 0);
	close(fd);
	image_write(img, path);
	snprintf(line, sizeof(line),
		 "export PATH=$PATH:/usr/sbin:/sbin DISK=%s; { %s; } >/dev/null 2>&1", path,
		 command);
	status = system(line);
	made = image_file(path);
	unlink(path);
	image_resize(img, made->len);
	image_poke(img, 0, made->buf, made->len);
	image_free(made);
	if (status && status >> 8 != 127)
		fail_msg("%s: status %d", command, status);
	return !status;
}
