/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CompactOS: files that Windows' overlay filter (WOF) keeps compressed in a stream of their own,
 * named WofCompressedData, while the unnamed stream is sparse and empty. The only caller of wimlib.
 * Sources: libfsntfs, "Windows Overlay Filter (WOF) compressed data"; wimlib, include/wimlib/wof.h.
 */
#ifndef VDISKCK_FORMATS_FS_WOF_H
#define VDISKCK_FORMATS_FS_WOF_H

#include "vdiskck/core/span.h"

#define WOF_TAG 0x80000017u /* of the reparse point */

/* As the reparse point numbers them. */
enum wof_format {
	WOF_XPRESS4K = 0,
	WOF_LZX = 1,
	WOF_XPRESS8K = 2,
	WOF_XPRESS16K = 3,
};

/*
 * wof_reparse() - what a reparse point of this tag says
 * @data: behind the reparse point's own head (tag, length, reserved)
 * Returns 0 and @format; -ENOENT: the file is not compressed but kept in a WIM elsewhere;
 * -EOPNOTSUPP: a version or format that is not known; -EBADMSG: too short.
 */
int wof_reparse(struct span data, enum wof_format *format);
/* wof_format_name() - as compact.exe has it: "XPRESS4K" */
const char *wof_format_name(enum wof_format format);
/* wof_chunk() - bytes of the file that one chunk stands for */
uint32_t wof_chunk(enum wof_format format);

/*
 * wof_decode() - one chunk
 * A chunk as long as what it stands for is stored as it is. Returns 0; -EBADMSG: it does not
 * decompress, and @out holds anything; -ENOMEM.
 */
int wof_decode(enum wof_format format, const void *in, size_t in_len, void *out, size_t out_len);

/*
 * wof_table_entry() - bytes of one entry of the chunk table for a file of @size bytes
 * The table begins the stream. Entry i says where chunk i + 1 begins, counted from the table's end;
 * chunk 0 begins there, and has none.
 */
static inline uint32_t wof_table_entry(uint64_t size)
{
	return size > UINT32_MAX ? 8 : 4;
}

#endif
