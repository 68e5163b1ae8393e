/* SPDX-License-Identifier: Apache-2.0 */
/* Reparse points: what a filter driver makes of a file. [MS-FSCC] 2.1.2 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "formats/fs/ntfs.h"
#include "formats/fs/wof.h"

enum { REPARSE_MAX = 16384 };

enum {
	TAG_MOUNT_POINT = 0xa0000003,
	TAG_SYMLINK = 0xa000000c,
	TAG_LX_SYMLINK = 0xa000001d,
	TAG_DEDUP = 0x80000013,
	TAG_HSM = 0xc0000004,
	TAG_HSM2 = 0x80000006,
	TAG_SIS = 0x80000007,
	TAG_WIM = 0x80000008,
	TAG_CLOUD = 0x9000001a, /* bits 12..15 vary */
	TAG_ONEDRIVE = 0x80000021,
	TAG_APPEXECLINK = 0x8000001b,
	TAG_AF_UNIX = 0x80000023,
};

static const struct {
	uint32_t tag;
	bool elsewhere;
	const char *remark;
} known[] = {
	{TAG_DEDUP, true, "deduplicated: its data are in the chunk store"},
	{TAG_HSM, true, "its data are in hierarchical storage (HSM)"},
	{TAG_HSM2, true, "its data are in hierarchical storage (HSM2)"},
	{TAG_SIS, true, "its data are in the single-instance store (SIS)"},
	{TAG_WIM, true, "its data are in a mounted WIM"},
	{TAG_ONEDRIVE, true, "a cloud file (OneDrive)"},
	{TAG_APPEXECLINK, false, "an app execution alias"},
	{TAG_AF_UNIX, false, "a socket (WSL)"},
	{0x80000024, false, "a FIFO (WSL)"},
	{0x80000025, false, "a character device (WSL)"},
	{0x80000026, false, "a block device (WSL)"},
};

static uint16_t u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

/* Backslashes to slashes, and the prefix of the object manager away: "\??\C:\x" is "C:/x". */
static void tidy(char *target)
{
	char *p = target;

	if (!strncmp(p, "\\??\\", 4) || !strncmp(p, "\\\\?\\", 4))
		p += 4;
	memmove(target, p, strlen(p) + 1);
	for (p = target; *p; p++)
		if (*p == '\\')
			*p = '/';
}

void ntfs_reparse_target(struct span utf16, struct ntfs_reparse *rp)
{
	size_t n = 0;

	/* A slash separates here; it is no part of a name. */
	for (size_t at = 0, to; at <= utf16.len && n + NTFS_NAME_MAX < sizeof(rp->target);
	     at = to + 2) {
		for (to = at; to + 1 < utf16.len && (utf16.p[to] != '/' || utf16.p[to + 1]);
		     to += 2)
			;
		n += ntfs_name_put((struct span){utf16.p + at, to - at, 0}, rp->target + n,
				   sizeof(rp->target) - n - 1);
		if (to + 1 >= utf16.len)
			break;
		rp->target[n++] = '/';
		rp->target[n] = '\0';
	}
}

/* @s: behind tag, length and reserved. The substitute name is where it leads. */
static void parse_link(struct span s, bool symlink, struct ntfs_reparse *rp)
{
	struct span names = span_from(s, symlink ? 12 : 8), name;
	const uint8_t *h = span_at(s, 0, symlink ? 12 : 8), *p;

	if (!h || !(p = span_at(names, u16(h), u16(h + 2))))
		return;
	name = (struct span){p, u16(h + 2), 0};
	ntfs_reparse_target(name, rp);
	tidy(rp->target);
	rp->link = true;
	if (!symlink)
		snprintf(rp->remark, sizeof(rp->remark), "%s",
			 strncmp(rp->target, "Volume{", 7) ? "junction" : "mount point");
}

static void parse(struct span s, struct ntfs_reparse *rp)
{
	struct span data = span_from(s, 8);
	enum wof_format format;

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].tag == rp->tag) {
			rp->elsewhere = known[i].elsewhere;
			snprintf(rp->remark, sizeof(rp->remark), "%s", known[i].remark);
			return;
		}
	switch (rp->tag) {
	case TAG_SYMLINK: parse_link(data, true, rp); return;
	case TAG_MOUNT_POINT: parse_link(data, false, rp); return;
	case TAG_LX_SYMLINK: /* a version, then UTF-8 */
		data = span_from(data, 4);
		snprintf(rp->target, sizeof(rp->target), "%.*s", (int)data.len,
			 (const char *)data.p);
		rp->link = *rp->target != '\0';
		return;
	case WOF_TAG:
		rp->wof = !wof_reparse(data, &format);
		rp->elsewhere = !rp->wof;
		if (rp->wof)
			rp->format = (int)format;
		snprintf(rp->remark, sizeof(rp->remark), "%s%s",
			 rp->wof ? "compressed by CompactOS, " : "",
			 rp->wof ? wof_format_name(format) : "its data are in a WIM (WIMBoot)");
		return;
	default: break;
	}
	if ((rp->tag & 0xffff0fff) == TAG_CLOUD) {
		rp->elsewhere = true;
		snprintf(rp->remark, sizeof(rp->remark), "a cloud file");
	} else {
		snprintf(rp->remark, sizeof(rp->remark), "reparse point 0x%08x", rp->tag);
	}
}

bool ntfs_reparse_get(struct layer *l, const struct ntfs_inode *ino, struct ntfs_reparse *rp)
{
	const struct ntfs_attr *a = ntfs_inode_find(ino, NTFS_REPARSE_POINT, "");
	uint8_t buf[REPARSE_MAX];
	struct ranges bad = {0};
	struct span s;

	if (!a)
		return false;
	rp->tag = 0;
	rp->wof = rp->elsewhere = rp->link = false;
	rp->format = 0;
	*rp->remark = *rp->target = '\0';
	s = a->value;
	if (!a->resident) {
		struct layer *file = NULL;
		bool good = !ntfs_stream_open(l, ino, NTFS_REPARSE_POINT, a->name, "", &file) &&
			    file->size <= sizeof(buf) &&
			    !layer_read(file, 0, buf, (size_t)file->size, &bad) && !bad.n;

		s = (struct span){buf, good ? (size_t)file->size : 0, 0};
		layer_free(file);
		ranges_free(&bad);
	}
	if (s.len < 8)
		return false;
	rp->tag = u16(s.p) | (uint32_t)u16(s.p + 2) << 16;
	if (u16(s.p + 4) + 8u < s.len)
		s.len = u16(s.p + 4) + 8u;
	parse(s, rp);
	return true;
}
