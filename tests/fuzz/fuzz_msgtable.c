/* SPDX-License-Identifier: Apache-2.0 */
/* Resources of PE files, manifests and messages that say anything. Input: which, then the bytes. */
#include <stdlib.h>

#include "formats/log/msgtable.h"
#include "tests/fuzz/harness.h"
#include "tests/lib/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct log_text values[] = {LOG_TEXT("one"), LOG_TEXT("%%1 two")};
	struct msgtable *t = msgtable_new();
	struct buf out = {0};
	struct session s;
	struct layer *l;
	uint32_t id = 0;

	session_init(&s);
	l = memory_source(&s, "fuzz.dll", data, size);
	msgtable_add(t, l);
	if (size)
		msgtable_manifest(t, data, size);
	if (size > 16)
		msgtable_event(t, data, data[16], 0, &id);
	msgtable_text(t, id, 0, &out);
	msgtable_text(t, size ? data[0] : 0, 0x409, &out);
	msg_expand(&out, (struct log_text){(const char *)data, size}, values, 2, t);
	if (out.failed || out.len > 64 * size + (64 << 20))
		abort();
	buf_free(&out);
	layer_free(l);
	session_fini(&s);
	msgtable_free(t);
	return 0;
}
