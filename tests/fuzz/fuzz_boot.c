/* SPDX-License-Identifier: Apache-2.0 */
/* What the boot chain and the causes of damage read of files: programs, kernels, initramfs, BCD devices. */
#include <stdlib.h>

#include "recover/bcd.h"
#include "recover/boot_code.h"
#include "recover/cause_bit.h"
#include "recover/cause_shape.h"
#include "recover/linux_image.h"
#include "recover/pe.h"
#include "tests/fuzz/harness.h"
#include "tests/lib/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct linux_image im;
	struct grub_core core = {0};
	struct cause_shape sh;
	struct cause_bit bit;
	struct bcd_device d;
	enum pe_state pe;
	uint32_t stored, sum;
	struct session s;
	struct layer *l;

	session_init(&s);
	l = memory_source(&s, "fuzz.bin", data, size);
	if (linux_kernel_check(l, &im) || im.at > size || im.len > size - im.at)
		abort();
	if (linux_initramfs_check(l, &im) || im.at > size || im.len > size - im.at)
		abort();
	if (pe_check(l, &pe, &stored, &sum) || cause_shape(l, size / 3, size, &sh) ||
	    sh.flat > sh.len || sh.len > size)
		abort();
	if (size > 8) {
		struct cause_sum of = {l,	   data[0], data[1] * 16u, data[2], data[3] % 16,
				       CRC32_POLY, 0};

		of.differs = (uint32_t)data[4] << 24 | (uint32_t)data[5] << 16 | data[6];
		if (cause_bit_find(&of, &bit) < 0 || (bit.in && bit.at >= size))
			abort();
	}
	if (size >= 2 * BOOT_CODE_SECTOR) {
		boot_code_kind(data);
		boot_code_is_core(data + BOOT_CODE_SECTOR);
		if (boot_code_check_core(l, boot_code_core(data), l, &core) || core.at > size ||
		    core.len > size - core.at)
			abort();
	}
	bcd_device(data, size, &d);
	layer_free(l);
	session_fini(&s);
	return 0;
}
