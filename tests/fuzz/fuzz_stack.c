/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery: every probe, and drivers on top of one another. */
#include "tests/fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_stack(data, size);
	return 0;
}
