/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled once per driver of the Makefile's FUZZ_DRIVERS, with FUZZ_OPS its table. */
#include "formats/drivers.h"
#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_driver(&FUZZ_OPS, data, size);
	return 0;
}
