/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_CORE_SPAN_H
#define VDISKCK_CORE_SPAN_H

#include <stddef.h>
#include <stdint.h>

/* Bytes read from a layer, and the address they were read from. */
struct span {
	const uint8_t *p;
	size_t len;
	uint64_t addr;
};

/* The bytes s[off, off + len), or NULL if any of them lies outside @s. */
static inline const void *span_at(struct span s, uint64_t off, uint64_t len)
{
	return off <= s.len && len <= s.len - off ? s.p + off : NULL;
}

/* The part of @s that starts at @off; empty if @off lies outside. */
static inline struct span span_from(struct span s, uint64_t off)
{
	if (off > s.len)
		off = s.len;
	return (struct span){s.p + off, s.len - off, s.addr + off};
}

/* Does [off, off + len) lie inside [0, size)? Safe against overflow. */
static inline int range_inside(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

#endif
