/* SPDX-License-Identifier: Apache-2.0 */
/* What a program, a kernel or an initramfs says of itself. Its damage is a finding, too. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "recover/linux_image.h"
#include "recover/pe.h"
#include "vdiskck/boot.h"

/* A program of Windows: the checksum in its header. */
static enum boot_state pe_program(struct boot *b, struct layer *f, const char *path, char *text,
				  size_t cap)
{
	struct fact fact = {.in = f, .at_len = f->size, .path = path};
	uint32_t stored, sum;
	enum pe_state pe;
	int r = pe_check(f, &pe, &stored, &sum);

	if (r) {
		b->err = r;
		return BOOT_OPEN;
	}
	if (pe == PE_NO_IMAGE) {
		fact.at_len = 64;
		snprintf(text, cap, "its first bytes are not those of a program");
		finding_fact(f->below, PE_HEADER, &fact, "%s is no program", path);
	} else if (pe == PE_DIFFERS) {
		fact.stored = strf("0x%08" PRIx32, stored);
		fact.expected = strf("0x%08" PRIx32, sum);
		snprintf(text, cap, "its bytes are not as they were built (PE checksum)");
		finding_fact(f->below, PE_CHECKSUM, &fact, "%s: %s", path, text);
	} else {
		snprintf(text, cap,
			 pe == PE_FITS ? "there, and its PE checksum fits" : "there, and readable");
	}
	return pe == PE_NO_IMAGE || pe == PE_DIFFERS ? BOOT_BROKEN : BOOT_HOLDS;
}

static bool is_program(const char *path)
{
	static const char *const end[] = {".exe", ".sys", ".dll", ".efi"};
	size_t n = strlen(path);

	for (size_t i = 0; i < sizeof(end) / sizeof(*end); i++)
		if (n > 4 && !strcasecmp(path + n - 4, end[i]))
			return true;
	return false;
}

static enum boot_state linux_image(struct boot *b, struct layer *f, bool kernel, const char *path,
				   char *text, size_t cap)
{
	enum finding_id id = kernel ? KERNEL_CHECKSUM : INITRAMFS_DAMAGED;
	struct linux_image im;
	int r = kernel ? linux_kernel_check(f, &im) : linux_initramfs_check(f, &im);
	struct fact fact = {.in = f, .at = im.at, .at_len = im.len, .path = path};

	if (r) {
		b->err = r;
		return BOOT_OPEN;
	}
	snprintf(text, cap, "%s", im.text);
	if (im.state == LINUX_IMAGE_FITS || im.state == LINUX_IMAGE_NO_SUM)
		return BOOT_HOLDS;
	finding_fact(f->below, id, &fact, "%s: %s", path, im.text);
	return BOOT_BROKEN;
}

enum boot_state boot_program(struct boot *b, struct layer *f, const char *what, const char *path,
			     char *text, size_t cap)
{
	if (!strcmp(what, "kernel") && !is_program(path))
		return linux_image(b, f, true, path, text, cap);
	if (!strcmp(what, "initramfs"))
		return linux_image(b, f, false, path, text, cap);
	return is_program(path) ? pe_program(b, f, path, text, cap) : BOOT_HOLDS;
}
