/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every fuzz target shares: an image in memory, a driver on it, and what must hold for any
 * bytes. A broken promise aborts. While an input runs, opening any file aborts too: an image
 * can't make us look at the machine it is examined on.
 */
#ifndef VDISKCK_TESTS_FUZZ_HARNESS_H
#define VDISKCK_TESTS_FUZZ_HARNESS_H

#include <stddef.h>
#include <stdint.h>

#include "vdiskck/core/layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Keys that the session has; NULL: none. A target may set it, once. */
extern struct keyring *fuzz_keys;

/* fuzz_driver() - open @ops on the bytes, and walk, read, describe and check what opens */
void fuzz_driver(const struct layer_ops *ops, const uint8_t *data, size_t size);
/* fuzz_stack() - let discovery loose on the bytes, and do the same with every layer it finds */
void fuzz_stack(const uint8_t *data, size_t size);

#endif
