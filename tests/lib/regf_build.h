/* SPDX-License-Identifier: Apache-2.0 */
/* A small registry hive in memory: one bin, keys and values as they are added. */
#ifndef VDISKCK_TESTS_REGF_BUILD_H
#define VDISKCK_TESTS_REGF_BUILD_H

#include "tests/lib/image.h"

enum { HIVE_KEYS = 64, HIVE_VALUES = 64, HIVE_BINS = 32768 };

struct hive_build {
	uint8_t bins[HIVE_BINS];
	uint32_t used;
	struct {
		const char *name;
		uint32_t parent, off; /* @parent: index of a key made before; the root is 0 */
	} key[HIVE_KEYS];
	struct {
		const char *name;
		uint32_t key, off;
	} value[HIVE_VALUES];
	uint32_t keys, values, security;
};

/* hive_begin() - a hive with a root key */
void hive_begin(struct hive_build *b);
/* hive_key() - a key below @parent; its index */
uint32_t hive_key(struct hive_build *b, uint32_t parent, const char *name);
/* hive_value() - its index; large data goes into segments, as Windows has it */
uint32_t hive_value(struct hive_build *b, uint32_t key, const char *name, uint32_t type,
		    const void *data, uint32_t len);
/* hive_finish() - write the lists, the base block; sequence numbers differ if @dirty */
struct image *hive_finish(struct hive_build *b, bool dirty);

#endif
