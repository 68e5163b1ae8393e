/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading qcow2 that QEMU made: every option of qemu-img, and the corpus. Content by SHA-256.
 * Each option set and each backing format is seen once, compressed and not in turn; with
 * VDISKCK_TEST_FULL=1 in the environment, all combinations are (20 s on a busy machine).
 */
#include <gcrypt.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/container/qcow2.h"
#include "formats/drivers.h"
#include "formats/stack.h"
#include "tests/lib/image.h"

static char dir[] = "/tmp/test_qcow2.XXXXXX";

static bool full(void)
{
	return getenv("VDISKCK_TEST_FULL") != NULL;
}

static int make_dir(void **state)
{
	(void)state;
	gcry_check_version(NULL);
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
	char cmd[2048];
	va_list ap;
	int n = snprintf(cmd, sizeof(cmd), "cd %s && exec >/dev/null && ", dir);

	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	if (system(cmd))
		fail_msg("%s", cmd);
}

static const char *hex(gcry_md_hd_t md, char out[65])
{
	for (int i = 0; i < 32; i++)
		snprintf(out + 2 * i, 3, "%02x", gcry_md_read(md, GCRY_MD_SHA256)[i]);
	gcry_md_close(md);
	return out;
}

/* In pieces that meet no cluster's bounds. */
static const char *sha256_layer(struct layer *l, char out[65])
{
	enum { PIECE = (1 << 20) - 1000 };
	static uint8_t buf[PIECE];
	struct ranges bad = {0};
	gcry_md_hd_t md;

	gcry_md_open(&md, GCRY_MD_SHA256, 0);
	for (uint64_t off = 0; off < l->size; off += PIECE) {
		size_t n = l->size - off < PIECE ? (size_t)(l->size - off) : PIECE;

		assert_int_equal(layer_read(l, off, buf, n, &bad), 0);
		gcry_md_write(md, buf, n);
	}
	assert_int_equal(bad.n, 0);
	return hex(md, out);
}

/* Of the first @len bytes of a raw file: QEMU gives a snapshot the size of the active disk. */
static const char *sha256_file(const char *name, size_t len, char out[65])
{
	char path[300];
	struct image *img;
	gcry_md_hd_t md;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	img = image_file(path);
	assert_true(len <= img->len);
	gcry_md_open(&md, GCRY_MD_SHA256, 0);
	gcry_md_write(md, img->buf, len);
	image_free(img);
	return hex(md, out);
}

/*
 * The layer @path of the image @name has the contents that qemu-img gives with @options, and
 * nothing is wrong with it.
 */
static void assert_same(const char *name, const char *path, const char *options)
{
	char file[300], ours[65], qemus[65];
	struct image *img;
	struct layer *l;

	run("qemu-img convert -t unsafe -O raw %s %s out.raw", options, name);
	snprintf(file, sizeof(file), "%s/%s", dir, name);
	img = image_stack(file, NULL);
	assert_int_equal(img->err, 0);
	assert_clean(img);
	l = stack_find(img->source, path);
	assert_non_null(l);
	sha256_layer(l, ours);
	assert_string_equal(ours, sha256_file("out.raw", l->size, qemus));
	image_free(img);
}

/* Compressible and incompressible bytes, holes; a size that is no multiple of any cluster. */
static void make_raw(const char *name, size_t size)
{
	char path[300];
	FILE *f;
	uint32_t x = 12345;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wb");
	assert_non_null(f);
	for (size_t at = 0; at < size; at += 512) {
		uint32_t words[128] = {0};

		x = x * 1664525 + 1013904223;
		if (x >> 29 < 5)
			for (int i = 0; i < 128; i++)
				words[i] = x >> 29 < 2 ? (x = x * 1664525 + 1013904223) : x >> 20;
		/* Runs of alike sectors, so that clusters differ in kind. */
		for (size_t n = 1 + (x >> 16) % 200; n && at < size; n--, at += 512)
			assert_int_equal(fwrite(words, 512, 1, f), 1);
		at -= 512;
	}
	fclose(f);
	assert_int_equal(truncate(path, (off_t)size), 0);
}

static const char *const variants[] = {
	"compat=0.10,cluster_size=512",
	"compat=0.10",
	"compat=0.10,cluster_size=2M",
	"compat=1.1,cluster_size=512,refcount_bits=1",
	"compat=1.1,cluster_size=1k,refcount_bits=64,compression_type=zstd",
	"compat=1.1,lazy_refcounts=on,refcount_bits=2",
	"compat=1.1,compression_type=zstd",
	"compat=1.1,cluster_size=2M,compression_type=zstd,refcount_bits=4",
	"compat=1.1,cluster_size=16k,extended_l2=on",
	"compat=1.1,cluster_size=2M,extended_l2=on,refcount_bits=32",
	"compat=1.1,cluster_size=64k,extended_l2=on,compression_type=zstd,refcount_bits=8",
};

enum { VARIANTS = sizeof(variants) / sizeof(*variants), SIZE = 5 * 1024 * 1024 + 1536 };

/* Over whole and parts of clusters and subclusters; zeros with and without a cluster behind. */
#define REWRITE                                                                                               \
	"qemu-io -t unsafe -f qcow2 -c 'write -P 1 1536 512' -c 'write -P 2 70k 200k' -c 'write -z 100k 3k' " \
	"-c 'write -z -u 1M 300k' -c 'discard 1500k 256k' -c 'write -P 3 5120k 1k' "

static void every_option_reads_the_same(void **state)
{
	(void)state;
	make_raw("in.raw", SIZE);
	for (size_t i = 0; i < VARIANTS; i++) {
		for (int packed = 0; packed < 2; packed++) {
			if (packed != (int)(i % 2) && !full())
				continue;
			run("qemu-img convert -t unsafe -O qcow2 %s -o %s in.raw a.qcow2",
			    packed ? "-c" : "", variants[i]);
			run(REWRITE "a.qcow2");
			assert_same("a.qcow2", "qcow2", "");
		}
	}
}

static void snapshots_read_the_same(void **state)
{
	static const char *const v[] = {"compat=0.10,cluster_size=4k",
					"compat=1.1,extended_l2=on,compression_type=zstd"};

	(void)state;
	make_raw("in.raw", SIZE);
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		run("qemu-img convert -t unsafe -c -O qcow2 -o %s in.raw a.qcow2", v[i]);
		run("qemu-img snapshot -c one a.qcow2 && " REWRITE "a.qcow2");
		run("qemu-img snapshot -c two a.qcow2");
		run("qemu-io -t unsafe -f qcow2 -c 'write -P 9 0 1M' a.qcow2");
		assert_same("a.qcow2", "qcow2", "");
		assert_same("a.qcow2", "qcow2@one", "-l one");
		assert_same("a.qcow2", "qcow2@two", "-l two");
	}
	run("qemu-img resize a.qcow2 +3M"); /* a snapshot keeps its size */
	assert_same("a.qcow2", "qcow2@one", "-l one");
}

static void backing_files_read_the_same(void **state)
{
	static const char *const format[] = {"raw", "qcow2", "vpc"};

	(void)state;
	for (int longer = 0; longer < 2; longer++) {
		make_raw("in.raw", longer ? SIZE + (1 << 20) : SIZE - (1 << 20));
		for (size_t i = 0; i < 3; i++) {
			if (longer != (int)(i % 2) && !full())
				continue;
			run("qemu-img convert -t unsafe -O %s in.raw base", format[i]);
			run("qemu-img create -f qcow2 -b base -F %s mid.qcow2 %d", format[i], SIZE);
			run(REWRITE "mid.qcow2");
			run("qemu-img create -f qcow2 -o extended_l2=on -b mid.qcow2 -F qcow2 "
			    "top.qcow2");
			run("qemu-io -t unsafe -f qcow2 -c 'write -P 7 1535k 2k' -c 'write -z 80k 5k' "
			    "top.qcow2");
			assert_same("top.qcow2", "qcow2", "");
		}
	}
}

/* QEMU never probes a backing file that the header calls raw: a guest could have written it. */
static void a_raw_backing_file_that_looks_like_qcow2_stays_raw(void **state)
{
	char path[300], a[65], b[65];
	struct image *img;

	(void)state;
	run("qemu-img create -f qcow2 inner.qcow2 64M");
	run("qemu-img create -f qcow2 -b inner.qcow2 -F raw outer.qcow2");
	snprintf(path, sizeof(path), "%s/outer.qcow2", dir);
	img = image_stack(path, NULL);
	assert_int_equal(img->err, 0);
	assert_string_equal(img->top->parent->ops->name, "raw");
	run("qemu-img convert -t unsafe -O raw outer.qcow2 out.raw");
	assert_string_equal(sha256_layer(img->top, a), sha256_file("out.raw", img->top->size, b));
	image_free(img);
}

static void data_files_read_the_same(void **state)
{
	(void)state;
	for (int raw = 0; raw < 2; raw++) {
		for (int sub = 0; sub < 2; sub++) {
			run("rm -f d.qcow2 d.data && qemu-img create -f qcow2 -o "
			    "data_file=d.data,data_file_raw=%s,extended_l2=%s d.qcow2 %d",
			    raw ? "on" : "off", sub ? "on" : "off", SIZE);
			run(REWRITE "d.qcow2");
			assert_same("d.qcow2", "qcow2", "");
		}
	}
}

/* Guest byte N is byte N of a raw data file: it survives the loss of every table. */
static void a_raw_data_file_is_read_without_its_tables(void **state)
{
	char path[300], a[65], b[65];
	struct image *img;

	(void)state;
	run("rm -f d.qcow2 d.data && qemu-img create -f qcow2 -o "
	    "data_file=d.data,data_file_raw=on d.qcow2 %d",
	    SIZE);
	run(REWRITE "d.qcow2 && qemu-img convert -t unsafe -O raw d.qcow2 out.raw");
	run("printf '\\377\\377\\377\\377' | dd of=d.qcow2 bs=1 seek=44 conv=notrunc status=none");
	snprintf(path, sizeof(path), "%s/d.qcow2", dir);
	img = image_stack(path, NULL);
	assert_int_equal(img->err, 0);
	assert_finding(img, QCOW2_L1_OUTSIDE, 36);
	assert_string_equal(sha256_layer(img->top, a), sha256_file("out.raw", SIZE, b));
	image_free(img);
}

static void preallocation_reads_the_same(void **state)
{
	static const char *const how[] = {"metadata", "falloc", "full"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		run("rm -f p.qcow2 && qemu-img create -f qcow2 -o preallocation=%s p.qcow2 %d && " REWRITE
		    "p.qcow2",
		    how[i], SIZE);
		assert_same("p.qcow2", "qcow2", "");
	}
}

static void bitmaps_are_no_trouble(void **state)
{
	char path[300];
	struct image *img;

	(void)state;
	run("qemu-img create -f qcow2 m.qcow2 %d && qemu-img bitmap --add m.qcow2 b0 && "
	    "qemu-img bitmap --add -g 4k --disable m.qcow2 b1 && " REWRITE "m.qcow2",
	    SIZE);
	assert_same("m.qcow2", "qcow2", "");
	snprintf(path, sizeof(path), "%s/m.qcow2", dir);
	img = image_stack(path, NULL);
	assert_false(image_worse(img, BLEMISH));
	image_free(img);
}

/* QEMU gives a bitmap over NBD; as "data": false, what is dirty. */
static void dirty_by_qemu(const char *bitmap, struct ranges *d)
{
	char path[300];
	unsigned long long off, len;
	FILE *f;

	run("qemu-nbd -r -f qcow2 --fork -k $PWD/%s -B %s m.qcow2 && qemu-img map --output=json "
	    "--image-opts driver=nbd,server.type=unix,server.path=$PWD/%s,"
	    "x-dirty-bitmap=qemu:dirty-bitmap:%s | tr -d '[{' | grep '\"data\": false' | "
	    "tr -cd '0-9,\\n' | cut -d, -f1,2 >dirty",
	    bitmap, bitmap, bitmap, bitmap);
	snprintf(path, sizeof(path), "%s/dirty", dir);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fscanf(f, "%llu,%llu", &off, &len) == 2)
		ranges_add(d, off, len, GRADE_DOUBTFUL, FINDING_COUNT);
	fclose(f);
}

static void bitmaps_say_what_qemu_wrote(void **state)
{
	static const char *const name[] = {"coarse", "fine"};
	struct image *img;
	char path[300];

	(void)state;
	run("qemu-img create -f qcow2 -o cluster_size=512 m.qcow2 %d && "
	    "qemu-img bitmap --add m.qcow2 coarse && qemu-img bitmap --add -g 512 m.qcow2 fine && "
	    "" REWRITE "m.qcow2",
	    SIZE);
	snprintf(path, sizeof(path), "%s/m.qcow2", dir);
	img = image_stack(path, NULL);
	assert_int_equal(img->err, 0);
	assert_clean(img);
	for (size_t i = 0; i < 2; i++) {
		struct ranges ours = {0}, qemus = {0};

		dirty_by_qemu(name[i], &qemus);
		assert_int_equal(qcow2_bitmap_dirty(img->top, name[i], &ours), 0);
		assert_true(qemus.n > 2);
		assert_int_equal(ours.n, qemus.n);
		assert_memory_equal(ours.v, qemus.v, ours.n * sizeof(*ours.v));
		ranges_free(&ours);
		ranges_free(&qemus);
	}
	image_free(img);
}

static void a_luks_disk_is_locked_not_damaged(void **state)
{
	char path[300];
	struct image *img;

	(void)state;
	/* It measures how many PBKDF2 rounds fit the time, and fails on a machine that is busy. */
	run("for i in 1 2 3 4 5 6 7 8; do qemu-img create -q -f qcow2 --object secret,id=s,data=x "
	    "-o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 l.qcow2 1M && "
	    "break; rm -f l.qcow2; done 2>&1");
	snprintf(path, sizeof(path), "%s/l.qcow2", dir);
	if (access(path, R_OK))
		skip();
	img = image_stack(path, NULL);
	assert_int_equal(img->err, 0);
	assert_int_equal(image_seen(img, LAYER_LOCKED, ANYWHERE), 1);
	assert_int_equal(image_worse(img, DAMAGE), 1);
	assert_false(image_seen(img, QCOW2_EXTENSION, ANYWHERE));
	image_free(img);
}

static void corpus_same(const char *name, const char *sha256)
{
	const char *root = getenv("CORPUS");
	char path[512], ours[65];
	struct image *img;

	snprintf(path, sizeof(path), "%s/containers/%s.xz", root ? root : "", name);
	if (!root || access(path, R_OK))
		skip();
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	run("xz -dc %s/containers/%s.xz > %s", root, name, name);
	img = image_stack(path, NULL);
	assert_int_equal(img->err, 0);
	assert_clean(img);
	assert_string_equal(sha256_layer(img->top, ours), sha256);
	image_free(img);
}

static void corpus_version_3(void **state)
{
	(void)state;
	corpus_same("dfvfs-windows_volume.qcow2",
		    "44abe9deca9658f331a2bdba2deb53192d04f35d157a1fb3ba0597b03f0524f2");
}

static void corpus_version_2_compressed(void **state)
{
	(void)state;
	corpus_same("plaso-image.qcow2",
		    "a9c0220b1dadd1812fc4bbe137f495d2c3b88c7b33b5a4de545d201fd31b3bc0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_option_reads_the_same),
		cmocka_unit_test(snapshots_read_the_same),
		cmocka_unit_test(backing_files_read_the_same),
		cmocka_unit_test(a_raw_backing_file_that_looks_like_qcow2_stays_raw),
		cmocka_unit_test(data_files_read_the_same),
		cmocka_unit_test(a_raw_data_file_is_read_without_its_tables),
		cmocka_unit_test(preallocation_reads_the_same),
		cmocka_unit_test(bitmaps_are_no_trouble),
		cmocka_unit_test(bitmaps_say_what_qemu_wrote),
		cmocka_unit_test(a_luks_disk_is_locked_not_damaged),
		cmocka_unit_test(corpus_version_3),
		cmocka_unit_test(corpus_version_2_compressed),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
