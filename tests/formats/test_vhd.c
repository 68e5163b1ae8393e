/* SPDX-License-Identifier: Apache-2.0 */
/* VHD against images that others made: the corpus, and qemu-img with all its options. */
#include <errno.h>
#include <gcrypt.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/drivers.h"
#include "tests/lib/image.h"
#include "tests/lib/vhd_build.h"

static char dir[] = "/tmp/test_vhd.XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

static void run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;
	int n = snprintf(cmd, sizeof(cmd), "cd %s && ", dir);

	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	if (system(cmd))
		fail_msg("%s", cmd);
}

static struct image *load(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return image_file(path);
}

static void sha256(struct layer *l, char hex[65])
{
	enum { PIECE = 1 << 20 };
	static uint8_t buf[PIECE];
	gcry_md_hd_t md;

	gcry_check_version(NULL);
	gcry_md_open(&md, GCRY_MD_SHA256, 0);
	for (uint64_t off = 0; off < l->size; off += PIECE) {
		size_t n = l->size - off < PIECE ? (size_t)(l->size - off) : PIECE;

		assert_int_equal(layer_read(l, off, buf, n, NULL), 0);
		gcry_md_write(md, buf, n);
	}
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", gcry_md_read(md, GCRY_MD_SHA256)[i]);
	gcry_md_close(md);
}

/* An unpacked file of the corpus, or NULL if there is no corpus. */
static struct image *corpus(const char *name, const char *unpack)
{
	const char *root = getenv("CORPUS");
	char path[512];

	snprintf(path, sizeof(path), "%s/containers/%s", root ? root : "", name);
	if (!root || access(path, R_OK))
		return NULL;
	run("%s -dc %s > corpus.img", unpack, path);
	return load("corpus.img");
}

static void corpus_dynamic_by_qemu(void **state)
{
	struct image *img = corpus("tsk-image.vhd.xz", "xz");
	char hex[65];

	(void)state;
	if (!img)
		skip();
	image_check(img, &vhd_ops);
	assert_int_equal(img->err, 0);
	assert_clean(img);
	sha256(img->top, hex);
	assert_string_equal(hex,
			    "84c172cd6e864e2a2ca00b60b531a3c7b1376e5257174bfdc4987f3f6312ad3c");
	image_free(img);
}

static void corpus_wrong_checksum_is_read_and_said(void **state)
{
	struct image *img = corpus("vhd-differential/image.vhd.xz", "xz");
	char hex[65];

	(void)state;
	if (!img)
		skip();
	image_check(img, &vhd_ops);
	assert_int_equal(img->err, 0);
	assert_finding(img, VHD_FOOTER_SUM, 2099712 + 0x40);
	sha256(img->top, hex);
	assert_string_equal(hex,
			    "c6db12a7db548e193c29420c1b4533e4708b20c5033db5cc29ef075d48316d25");
	image_free(img);
}

static void corpus_chain_reads_as_its_parent(void **state)
{
	struct image *img = corpus("vhd-differential/image.vhd.xz", "xz");
	char path[512], hex[65];

	(void)state;
	if (!img)
		skip();
	image_free(img);
	run("mv corpus.img image.vhd");
	image_free(corpus("vhd-differential/image-differential.vhd.xz", "xz"));
	snprintf(path, sizeof(path), "%s/corpus.img", dir);
	img = image_stack(path, NULL);
	assert_int_equal(img->err, 0);
	assert_finding(img, VHD_HEADER_SUM, 512 + 0x24);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	sha256(img->top, hex);
	assert_string_equal(hex,
			    "c6db12a7db548e193c29420c1b4533e4708b20c5033db5cc29ef075d48316d25");
	image_free(img);
}

static void corpus_virtual_pc_ends_at_its_geometry(void **state)
{
	struct image *img = corpus("qemu-virtualpc-dynamic.vhd.bz2", "bzip2");

	(void)state;
	if (!img)
		skip();
	image_check(img, &vhd_ops);
	assert_int_equal(img->err, 0);
	assert_clean(img);
	assert_int_equal(img->top->size, 136363130880);
	assert_finding(img, VHD_SIZE_CHS, 262144 + 0x38);
	image_free(img);
}

static void corpus_fuzzed_is_refused(void **state)
{
	struct image *img = corpus("qemu-afl5.img.bz2", "bzip2");

	(void)state;
	if (!img)
		skip();
	image_check(img, &vhd_ops);
	assert_int_not_equal(img->err, 0);
	assert_finding(img, VHD_BAT_LOST, 0x600);
	image_free(img);
}

/* Our bytes of @name are those that libvhdi presents of it, at @layer of its chain. */
static bool same_as_vhdimount(const char *name, const char *layer)
{
	struct image *img, *want;
	char path[512];
	uint8_t *got;
	bool same;

	run("mkdir -p mnt && timeout 10 vhdimount %s mnt >/dev/null 2>&1 || touch no-fuse", name);
	snprintf(path, sizeof(path), "%s/no-fuse", dir);
	if (!access(path, F_OK))
		skip();
	run("cp mnt/%s want.raw; umount mnt", layer);
	want = load("want.raw");
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	img = image_stack(path, NULL);
	assert_int_equal(img->err, 0);
	got = malloc(want->len);
	assert_non_null(got);
	same = img->top->size == want->len && !layer_read(img->top, 0, got, want->len, NULL) &&
	       !memcmp(got, want->buf, want->len);
	free(got);
	image_free(img);
	image_free(want);
	return same;
}

static void save(const struct vhd_spec *s, const char *name)
{
	struct image *img = vhd_build(s);
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	image_write(img, path);
	image_free(img);
}

/*
 * Child sectors come in groups of eight: libvhdi 20210425 reads the clear bits behind the last set
 * one of a byte as zeros, where the specification has the parent's sectors.
 */
static void libvhdi_reads_the_same(void **state)
{
	static const uint32_t block[] = {512 << 10, 2 << 20};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uint64_t b = block[i];
		struct vhd_spec base = {.block_size = block[i],
					.size = 4 * b,
					.id = 5,
					.whole_bitmaps = true,
					.write = {{b, b, 1}, {3 * b, 8192, 2}}};
		struct vhd_spec child = {.block_size = block[i],
					 .size = 4 * b,
					 .type = VHD_DIFFERENCING,
					 .id = 6,
					 .parent_id = 5,
					 .parent_name = "base.vhd",
					 .w2ru = ".\\base.vhd",
					 .write = {{b + 4096, 4096, 3}, {2 * b + 8192, 12288, 4}}};

		save(&base, "base.vhd");
		save(&child, "child.vhd");
		assert_true(same_as_vhdimount("base.vhd", "vhdi1"));
		assert_true(same_as_vhdimount("child.vhd", "vhdi2"));
	}
}

static void a_table_larger_than_we_read_is_refused(void **state)
{
	const struct vhd_spec s = {.block_size = 512, .size = 4096};
	struct image *img = vhd_build(&s);
	char path[512];

	(void)state;
	image_be64(img, vhd_end(img) + 0x30, UINT64_C(512) << 27);
	image_be32(img, 512 + 0x1c, 1 << 27);
	vhd_sums(img);
	snprintf(path, sizeof(path), "%s/table.vhd", dir);
	image_write(img, path);
	image_free(img);
	assert_int_equal(truncate(path, 600 << 20), 0);
	img = image_stack(path, NULL);
	assert_int_equal(img->top->state, -EOPNOTSUPP);
	assert_finding(img, VHD_BAT_TOO_LARGE, 1536);
	image_free(img);
}

/* Our bytes are those that qemu-img converts to. */
static void assert_same_as_qemu(struct image *img, const char *name)
{
	char raw[280];
	struct image *want;
	uint8_t *got;

	run("qemu-img convert -f vpc -O raw %s %s.raw", name, name);
	snprintf(raw, sizeof(raw), "%s.raw", name);
	want = load(raw);
	assert_int_equal(img->top->size, want->len);
	got = malloc(want->len);
	assert_non_null(got);
	assert_int_equal(layer_read(img->top, 0, got, want->len, NULL), 0);
	assert_memory_equal(got, want->buf, want->len);
	free(got);
	image_free(want);
}

static void every_option_of_qemu_is_clean(void **state)
{
	static const char *const option[] = {
		"subformat=fixed,force_size=on", "subformat=fixed,force_size=off",
		"subformat=dynamic,force_size=on", "subformat=dynamic,force_size=off"};
	static const char *const size[] = {"512", "1M", "4097K", "9M"};

	(void)state;
	for (size_t i = 0; i < 16; i++) {
		struct image *img;

		run("qemu-img create -q -f vpc -o %s q.vhd %s", option[i / 4], size[i % 4]);
		if (i % 4)
			run("qemu-io -f vpc -c 'write -P 7 64k 100k' -c 'write -P 9 700k 1k' "
			    "q.vhd >/dev/null");
		if (i % 4 == 3)
			run("qemu-io -f vpc -c 'write -P 5 6M 2M' q.vhd >/dev/null");
		img = load("q.vhd");
		image_check(img, &vhd_ops);
		assert_int_equal(img->err, 0);
		assert_clean(img);
		assert_readable(img, 0, img->top->size);
		assert_same_as_qemu(img, "q.vhd");
		image_free(img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(corpus_dynamic_by_qemu),
		cmocka_unit_test(corpus_wrong_checksum_is_read_and_said),
		cmocka_unit_test(corpus_chain_reads_as_its_parent),
		cmocka_unit_test(corpus_virtual_pc_ends_at_its_geometry),
		cmocka_unit_test(corpus_fuzzed_is_refused),
		cmocka_unit_test(libvhdi_reads_the_same),
		cmocka_unit_test(a_table_larger_than_we_read_is_refused),
		cmocka_unit_test(every_option_of_qemu_is_clean),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
