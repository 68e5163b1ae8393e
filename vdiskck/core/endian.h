/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers as they lie on disk. The types have alignment 1 and are of no use without their
 * accessor, so a field can't be read in the wrong byte order and a structure can be laid over
 * any address.
 */
#ifndef VDISKCK_CORE_ENDIAN_H
#define VDISKCK_CORE_ENDIAN_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the accessors below assume a little-endian host"
#endif

typedef struct {
	uint8_t b[2];
} le16_t;
typedef struct {
	uint8_t b[4];
} le32_t;
typedef struct {
	uint8_t b[8];
} le64_t;
typedef struct {
	uint8_t b[2];
} be16_t;
typedef struct {
	uint8_t b[4];
} be32_t;
typedef struct {
	uint8_t b[8];
} be64_t;

#define VDISKCK_ENDIAN(type, bits, load, store)                                                    \
	static inline uint##bits##_t type(type##_t v)                                              \
	{                                                                                          \
		uint##bits##_t x;                                                                  \
		memcpy(&x, v.b, sizeof(x));                                                        \
		return load(x);                                                                    \
	}                                                                                          \
	static inline type##_t to_##type(uint##bits##_t x)                                         \
	{                                                                                          \
		type##_t v;                                                                        \
		x = store(x);                                                                      \
		memcpy(v.b, &x, sizeof(x));                                                        \
		return v;                                                                          \
	}
VDISKCK_ENDIAN(le16, 16, (uint16_t), (uint16_t))
VDISKCK_ENDIAN(le32, 32, (uint32_t), (uint32_t))
VDISKCK_ENDIAN(le64, 64, (uint64_t), (uint64_t))
VDISKCK_ENDIAN(be16, 16, __builtin_bswap16, __builtin_bswap16)
VDISKCK_ENDIAN(be32, 32, __builtin_bswap32, __builtin_bswap32)
VDISKCK_ENDIAN(be64, 64, __builtin_bswap64, __builtin_bswap64)

#undef VDISKCK_ENDIAN

#endif
