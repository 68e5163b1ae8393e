/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers that are recognised, so that nobody takes them for a raw disk, but not read: each
 * is a driver whose open() says what it is and what to do. A driver that reads the format takes
 * its line here away.
 *
 * A magic alone claims nothing: a second field must agree, for a raw disk may hold any bytes.
 * Sources: the formats' specifications (REFERENCES.md), qemu/qemu block/{vdi,qed,parallels,
 * bochs,dmg,qcow}.c, libyal/libewf documentation (facts).
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "formats/drivers.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum { HEAD = 512, CONVERT, EXPORT, UNPACK, NATIVE };

/* The first sector of what may be a container; nothing when it can't be read. */
struct head {
	struct layer *below;
	uint8_t b[HEAD];
};

static bool head_read(struct head *h, struct layer *below, uint64_t at)
{
	struct ranges bad = {0};
	bool good;

	h->below = below;
	good = below->size >= HEAD && at <= below->size - HEAD &&
	       !layer_read(below, at, h->b, HEAD, &bad) && !bad.n;
	ranges_free(&bad);
	return good;
}

static bool has(const struct head *h, size_t at, const char *magic, size_t len)
{
	return !memcmp(h->b + at, magic, len);
}

static uint32_t l32(const struct head *h, size_t at)
{
	le32_t v;

	memcpy(&v, h->b + at, sizeof(v));
	return le32(v);
}

static uint64_t l64(const struct head *h, size_t at)
{
	le64_t v;

	memcpy(&v, h->b + at, sizeof(v));
	return le64(v);
}

static uint32_t b32(const struct head *h, size_t at)
{
	return __builtin_bswap32(l32(h, at));
}

static uint64_t b64(const struct head *h, size_t at)
{
	return __builtin_bswap64(l64(h, at));
}

static bool power_of_2(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* Each says how sure it is, 0..100, and the size of the disk in @size if it is told. */

/* [MS-VHDX] 2.2: file type identifier, two headers at 64 and 128 KiB, region table at 192 KiB */
static int vhdx(const struct head *h, uint64_t *size)
{
	static const struct {
		uint64_t at;
		char magic[5];
	} other[] = {{64 << 10, "head"}, {128 << 10, "head"}, {192 << 10, "regi"}};
	bool magic = has(h, 0, "vhdxfile", 8);
	int agree = 0;

	(void)size;
	for (int i = 0; i < 3; i++) {
		struct head o;

		agree += head_read(&o, h->below, other[i].at) && has(&o, 0, other[i].magic, 4);
	}
	return magic ? (agree ? 95 : 60) : agree == 3 ? 70 : 0;
}

/* VMware Virtual Disk Format 5.0: hosted sparse extent (little-endian throughout) */
static int vmdk(const struct head *h, uint64_t *size)
{
	if (has(h, 0, "# Disk DescriptorFile", 21))
		return 95;
	if (has(h, 0, "COWD", 4) && l32(h, 4) == 1 && power_of_2(l32(h, 16))) {
		*size = (uint64_t)l32(h, 12) * 512;
		return 90;
	}
	if (!has(h, 0, "KDMV", 4) || !l32(h, 4) || l32(h, 4) > 3)
		return 0;
	if (l64(h, 12) < UINT64_MAX >> 9)
		*size = l64(h, 12) << 9;
	/* A grain size that is a power of two; the bytes that a text-mode transfer would change. */
	return power_of_2(l64(h, 20)) && has(h, 73, "\n \r\n", 4) ? 95 : 60;
}

static int vdi(const struct head *h, uint64_t *size)
{
	if (l32(h, 0x40) != 0xbeda107f || l32(h, 0x44) >> 16 > 1)
		return 0;
	*size = l64(h, 0x170);
	return has(h, 0, "<<< ", 4) ? 95 : 80;
}

static int qcow1(const struct head *h, uint64_t *size)
{
	if (!has(h, 0, "QFI\xfb", 4) || b32(h, 4) != 1)
		return 0;
	*size = b64(h, 24);
	return h->b[32] >= 9 && h->b[32] <= 16 ? 95 : 60; /* cluster_bits */
}

static int qed(const struct head *h, uint64_t *size)
{
	if (!has(h, 0, "QED\0", 4) || !power_of_2(l32(h, 4)) || !power_of_2(l32(h, 8)))
		return 0;
	*size = l64(h, 48);
	return 95;
}

static int parallels(const struct head *h, uint64_t *size)
{
	if ((!has(h, 0, "WithoutFreeSpace", 16) && !has(h, 0, "WithouFreSpacExt", 16)) ||
	    l32(h, 16) != 2)
		return 0;
	if (l64(h, 36) < UINT64_MAX >> 9)
		*size = l64(h, 36) << 9;
	return 95;
}

static int bochs(const struct head *h, uint64_t *size)
{
	(void)size;
	return has(h, 0, "Bochs Virtual HD Image", 22) && has(h, 32, "Redolog", 7) ? 95 : 0;
}

/* UDIF: the trailer in the last sector */
static int dmg(const struct head *h, uint64_t *size)
{
	struct head end;

	if (!head_read(&end, h->below, h->below->size - HEAD) || !has(&end, 0, "koly", 4) ||
	    b32(&end, 4) != 4 || b32(&end, 8) != HEAD)
		return 0;
	if (b64(&end, 0x1ec) < UINT64_MAX >> 9)
		*size = b64(&end, 0x1ec) << 9;
	return 95;
}

static int ewf(const struct head *h, uint64_t *size)
{
	(void)size;
	/* Segment files: E01, L01; then "fields start" 1 and a segment number */
	if (has(h, 0, "EVF\x09\x0d\x0a\xff\0", 8) || has(h, 0, "LVF\x09\x0d\x0a\xff\0", 8))
		return h->b[8] == 1 ? 95 : 70;
	return has(h, 0, "EVF2\r\n\x81\0", 8) || has(h, 0, "LEF2\r\n\x81\0", 8) ? 95 : 0;
}

static int aff(const struct head *h, uint64_t *size)
{
	(void)size;
	return has(h, 0, "AFF10\r\n\0", 8) ? 95 : 0;
}

static int cloop(const struct head *h, uint64_t *size)
{
	(void)size;
	return has(h, 0, "#!/bin/sh\n#V2.0 Format\n", 23) ? 90 : 0;
}

static int wim(const struct head *h, uint64_t *size)
{
	(void)size;
	return has(h, 0, "MSWIM\0\0\0", 8) && l32(h, 8) >= 148 && l32(h, 8) <= 512 ? 90 : 0;
}

/* Files somebody packed: only the image file itself is looked at for these. */
static int packed(const struct head *h, const char *magic, size_t len)
{
	return h->below->ops->kind == LAYER_SOURCE && has(h, 0, magic, len) ? 80 : 0;
}

static int xz(const struct head *h, uint64_t *size)
{
	(void)size;
	return packed(h,
		      "\xfd"
		      "7zXZ\0\0",
		      7);
}

static int gzip(const struct head *h, uint64_t *size)
{
	(void)size;
	/* method 8, flags below 0x20, and an operating system that RFC 1952 lists */
	return h->b[3] < 0x20 && (h->b[9] < 14 || h->b[9] == 255) ? packed(h, "\x1f\x8b\x08", 3)
								  : 0;
}

static int bzip2(const struct head *h, uint64_t *size)
{
	(void)size;
	return has(h, 4, "1AY&SY", 6) ? packed(h, "BZh", 3) : 0;
}

static int zstd(const struct head *h, uint64_t *size)
{
	(void)size;
	return h->b[4] & 8 ? 0 : packed(h, "\x28\xb5\x2f\xfd", 4); /* reserved bit, RFC 8878 */
}

static int zip(const struct head *h, uint64_t *size)
{
	(void)size;
	/* ZIP: also AFF4 and many appliance exports. Version needed is at most 6.3. */
	return h->b[4] <= 63 && !h->b[5] ? packed(h, "PK\x03\x04", 4) : 0;
}

/* An appliance: a tar archive whose first member is the OVF descriptor */
static int ova(const struct head *h, uint64_t *size)
{
	size_t len = strnlen((const char *)h->b, 100);

	(void)size;
	return len > 4 && has(h, len - 4, ".ovf", 4) && has(h, 257, "ustar", 5) ? 90 : 0;
}

/*
 * IS(name, as printed, what to do). A name is the layer's, and the word for --format.
 */
#define FOREIGN(IS)                                                                                \
	IS(vhdx, "a VHDX image", CONVERT)                                                          \
	IS(vmdk, "a VMware image (VMDK)", CONVERT)                                                 \
	IS(vdi, "a VirtualBox image (VDI)", CONVERT)                                               \
	IS(qcow1, "a qcow image of version 1", CONVERT)                                            \
	IS(qed, "a QED image", CONVERT)                                                            \
	IS(parallels, "a Parallels image", CONVERT)                                                \
	IS(bochs, "a Bochs image", CONVERT)                                                        \
	IS(dmg, "an Apple disk image (DMG)", CONVERT)                                              \
	IS(cloop, "a cloop image", CONVERT)                                                        \
	IS(ewf, "an EnCase image (EWF)", EXPORT)                                                   \
	IS(aff, "an AFF image", NATIVE)                                                            \
	IS(wim, "a Windows image (WIM)", NATIVE)                                                   \
	IS(xz, "a file packed by xz", UNPACK)                                                      \
	IS(gzip, "a file packed by gzip", UNPACK)                                                  \
	IS(bzip2, "a file packed by bzip2", UNPACK)                                                \
	IS(zstd, "a file packed by zstd", UNPACK)                                                  \
	IS(zip, "a ZIP archive", UNPACK)                                                           \
	IS(ova, "a virtual appliance (OVA)", UNPACK)

static const char *what_to_do(int todo)
{
	switch (todo) {
	case CONVERT: return "convert it (qemu-img convert -O raw IMAGE disk.raw) and examine that";
	case EXPORT: return "export it (ewfexport -f raw IMAGE) and examine that";
	case UNPACK: return "unpack it and examine the image inside";
	default: return "convert it to a raw image with its own tools and examine that";
	}
}

static int foreign_score(struct layer *below, int (*look)(const struct head *, uint64_t *))
{
	struct head h;
	uint64_t size = 0;

	return head_read(&h, below, 0) ? look(&h, &size) : 0;
}

static int foreign_open(struct layer *l, int (*look)(const struct head *, uint64_t *),
			const char *what, int todo)
{
	struct head h;
	uint64_t size = 0;
	char text[SIZE_TEXT];

	if (!head_read(&h, l->below, 0) || !look(&h, &size))
		return -EBADMSG;
	finding_fact(l, FORMAT_FOREIGN, &(struct fact){.at = 0, .at_len = HEAD},
		     "this is %s%s%s: not read by this version; %s", what,
		     size ? " with a disk of " : "", size ? size_text(size, text) : "",
		     what_to_do(todo));
	return -EOPNOTSUPP;
}

#define IS(format, what, todo)                                                                     \
	static int format##_probe(struct layer *below)                                             \
	{                                                                                          \
		return foreign_score(below, format);                                               \
	}                                                                                          \
	static int format##_open(struct layer *l)                                                  \
	{                                                                                          \
		return foreign_open(l, format, what, todo);                                        \
	}                                                                                          \
	const struct layer_ops foreign_##format##_ops = {                                          \
		.name = #format,                                                                   \
		.kind = LAYER_CONTAINER,                                                           \
		.probe = format##_probe,                                                           \
		.open = format##_open,                                                             \
	};
FOREIGN(IS)
#undef IS
