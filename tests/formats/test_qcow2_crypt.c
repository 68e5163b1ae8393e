/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypted qcow2, written by QEMU: what went in comes out, with the right key only. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "crypto/keys.h"
#include "formats/drivers.h"
#include "formats/stack.h"
#include "tests/lib/image.h"
#include "tests/lib/qcow2_build.h"

enum { SIZE = 640 << 10, C = 4096 };

static char dir[] = "/tmp/test_qcow2c.XXXXXX";
static uint8_t plain[SIZE];

static bool run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static bool run(const char *fmt, ...)
{
	char cmd[2048];
	va_list ap;
	int n = snprintf(cmd, sizeof(cmd), "cd %s && exec >/dev/null 2>err && ", dir);

	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	return !system(cmd);
}

static const char *path_of(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Text, noise, a hole, a pattern. A disk that began with noise would look like a VeraCrypt volume. */
static void fill(void)
{
	uint32_t x = 1;

	for (size_t i = 0; i < SIZE; i++) {
		x = x * 1664525 + 1013904223;
		plain[i] = i < SIZE / 4	      ? (uint8_t)("node 16 "[i % 8])
			   : i < SIZE / 2     ? (uint8_t)(x >> 24)
			   : i < 3 * SIZE / 4 ? 0
					      : (uint8_t)(i / 512);
	}
}

static int make(void **state)
{
	FILE *f;

	(void)state;
	fill();
	if (!mkdtemp(dir))
		return -1;
	f = fopen(path_of("plain"), "wb");
	return !f || fwrite(plain, SIZE, 1, f) != 1 || fclose(f);
}

static int remove_dir(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

#define SECRET "--object secret,id=s,data=secret "

/*
 * It measures how many PBKDF2 rounds fit the time, which takes two seconds, and fails where the
 * clock is too coarse for as short a time as a test wants. False: this QEMU can't make it.
 */
static bool luks_new(const char *name, const char *options)
{
	for (int i = 0; i < 12; i++)
		if (run("qemu-img convert -O qcow2 " SECRET
			"-o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,%s "
			"plain %s",
			options, name))
			return true;
	return false;
}

/* A copy of the one that all tests share. */
static bool luks(const char *name)
{
	return (!access(path_of("shared.qcow2"), R_OK) ||
		luks_new("shared.qcow2", "cluster_size=4k")) &&
	       run("cp shared.qcow2 %s", name);
}

static struct image *look(const char *name, const char *passphrase)
{
	struct image *img = image_path(strdup(path_of(name)));

	if (passphrase)
		image_key(img, KEY_PASSPHRASE, passphrase, strlen(passphrase));
	image_discover(img);
	assert_int_equal(img->err, 0);
	assert_non_null(img->top);
	return img;
}

static void done(struct image *img)
{
	char *path = (char *)(uintptr_t)img->path;

	image_free(img);
	free(path);
}

/* In pieces that meet no sector's bounds. */
static void assert_holds(struct layer *l, const uint8_t *bytes)
{
	static uint8_t buf[SIZE];
	struct ranges bad = {0};

	assert_int_equal(l->size, SIZE);
	for (size_t off = 0, n; off < SIZE; off += n) {
		n = SIZE - off < 50001 ? SIZE - off : 50001;
		assert_int_equal(layer_read(l, off, buf + off, n, &bad), 0);
	}
	assert_int_equal(bad.n, 0);
	assert_memory_equal(buf, bytes, SIZE);
}

/* One by default; all of them, which take a minute, with VDISKCK_SLOW set. */
static void every_cipher_of_qemu_opens(void **state)
{
	static const char *const options[] = {
		"encrypt.cipher-alg=aes-256,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,"
		"encrypt.ivgen-hash-alg=sha256",
		"encrypt.cipher-alg=aes-128,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=plain64,"
		"encrypt.hash-alg=sha1",
		"encrypt.cipher-alg=aes-128,encrypt.cipher-mode=ecb,encrypt.hash-alg=sha512",
		"encrypt.cipher-alg=aes-256,encrypt.cipher-mode=xts,encrypt.ivgen-alg=essiv,"
		"encrypt.ivgen-hash-alg=sha256",
		"encrypt.cipher-alg=serpent-128,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=plain",
		"encrypt.cipher-alg=aes-256",
		"encrypt.cipher-alg=aes-128,encrypt.cipher-mode=xts,encrypt.ivgen-alg=plain",
		"encrypt.cipher-alg=serpent-256",
		"encrypt.cipher-alg=serpent-256,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,"
		"encrypt.ivgen-hash-alg=sha256",
		"encrypt.cipher-alg=twofish-128",
		"encrypt.cipher-alg=twofish-256,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=plain64",
		"encrypt.cipher-alg=cast5-128,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=plain64",
		"cluster_size=512", /* clusters as small as a sector */
		"extended_l2=on,cluster_size=16k",
		"compat=0.10",
	};
	int made = 0;

	(void)state;
	for (size_t i = 0; i < (getenv("VDISKCK_SLOW") ? sizeof(options) / sizeof(*options) : 1);
	     i++) {
		struct image *img;

		if (!luks_new("c.qcow2", options[i])) {
			print_message("  qemu-img does not make %s\n", options[i]);
			continue;
		}
		made++;
		img = look("c.qcow2", "secret");
		if (img->top->locked)
			print_message("  %s\n", options[i]);
		assert_clean(img);
		assert_int_equal(img->top->locked, 0);
		assert_holds(img->top, plain);
		done(img);
	}
	if (!made)
		skip();
}

static void without_its_key_the_rest_is_checked(void **state)
{
	static const char *const wrong[] = {NULL, "Secret"};
	struct image *img;

	(void)state;
	if (!luks("k.qcow2"))
		skip();
	for (int i = 0; i < 2; i++) {
		img = look("k.qcow2", wrong[i]);
		assert_int_equal(img->top->locked, i ? -EKEYREJECTED : -ENOKEY);
		assert_int_equal(image_seen(img, i ? LAYER_KEY_REJECTED : LAYER_LOCKED, ANYWHERE),
				 1);
		assert_int_equal(image_worse(img, BLEMISH), 1);
		assert_lost(img, 0, SIZE / 2, LAYER_LOCKED);
		assert_readable(img, SIZE / 2, SIZE / 4); /* the hole */
		assert_true(img->s.checked > 0);
		done(img);
	}
	/* Damage of tables is found all the same: here an L1 table that is nowhere. */
	img = image_file(path_of("k.qcow2"));
	image_be64(img, 40, UINT64_C(1) << 40);
	image_discover(img);
	assert_finding(img, QCOW2_L1_OUTSIDE, 36);
	assert_int_equal(img->top->locked, -ENOKEY);
	image_free(img);
}

static void old_aes_opens_and_rejects(void **state)
{
	struct image *img;

	(void)state;
	if (!run("qemu-img create -f qcow2 " SECRET
		 "-o encrypt.format=aes,encrypt.key-secret=s,cluster_size=4k a.qcow2 %d && "
		 "qemu-img convert -n " SECRET "--target-image-opts plain "
		 "driver=qcow2,file.filename=a.qcow2,encrypt.key-secret=s",
		 SIZE))
		skip();
	img = look("a.qcow2", "secret");
	assert_clean(img);
	assert_holds(img->top, plain);
	done(img);
	img = look("a.qcow2", "wrong");
	assert_int_equal(img->top->locked, -EKEYREJECTED);
	assert_finding(img, LAYER_KEY_REJECTED, ANYWHERE);
	assert_lost(img, 0, 4096, LAYER_LOCKED);
	/* The right one of several. */
	image_key(img, KEY_PASSPHRASE, "secret", 6);
	image_discover(img);
	assert_clean(img);
	assert_holds(img->top, plain);
	done(img);
}

static void snapshots_open_with_the_disk(void **state)
{
	struct image *img;
	struct layer *l;

	(void)state;
	if (!luks("s.qcow2") ||
	    !run("qemu-img snapshot -c before " SECRET
		 "--image-opts driver=qcow2,file.filename=s.qcow2,encrypt.key-secret=s && "
		 "qemu-io " SECRET "-c 'write -P 7 8k 20k' --image-opts "
		 "driver=qcow2,file.filename=s.qcow2,encrypt.key-secret=s"))
		skip();
	img = look("s.qcow2", "secret");
	assert_clean(img);
	l = stack_find(img->source, "qcow2@before");
	assert_non_null(l);
	assert_int_equal(l->locked, 0);
	assert_holds(l, plain);
	memset(plain + (8 << 10), 7, 20 << 10);
	assert_holds(img->top, plain);
	fill();
	done(img);
	img = look("s.qcow2", NULL);
	assert_int_equal(stack_find(img->source, "qcow2@before")->locked, -ENOKEY);
	done(img);
}

static void each_link_has_its_own_key(void **state)
{
	static const char *const top[] = {"encrypt.format=aes,encrypt.key-secret=t,", ""};

	(void)state;
	if (!luks("base.qcow2"))
		skip();
	memset(plain + (8 << 10), 7, 20 << 10);
	for (int i = 0; i < 2; i++) {
		struct image *img;

		if (!run("qemu-img create -f qcow2 --object secret,id=t,data=top -o "
			 "%scluster_size=4k -b base.qcow2 -F qcow2 top.qcow2 %d && "
			 "qemu-io " SECRET "--object secret,id=t,data=top -c 'write -P 7 8k 20k' "
			 "--image-opts driver=qcow2,file.filename=top.qcow2,%s"
			 "backing.encrypt.key-secret=s",
			 top[i], SIZE, *top[i] ? "encrypt.key-secret=t," : ""))
			fail_msg("qemu made no chain %d", i);
		img = look("top.qcow2", "secret");
		assert_int_equal(img->top->parent->locked, 0);
		assert_int_equal(img->top->locked, *top[i] ? -EKEYREJECTED : 0);
		if (*top[i]) {
			assert_lost(img, 8 << 10, 20 << 10, LAYER_LOCKED);
			assert_readable(img, 28 << 10, 64 << 10);
		}
		image_key(img, KEY_PASSPHRASE, "top", 3);
		image_discover(img);
		assert_clean(img);
		assert_holds(img->top, plain);
		image_no_keys(img);
		image_key(img, KEY_PASSPHRASE, "top", 3);
		image_discover(img);
		assert_int_equal(img->top->locked, 0);
		assert_int_equal(img->top->parent->locked, -EKEYREJECTED);
		assert_string_equal(image_first(img, LAYER_KEY_REJECTED)->layer, "qcow2~1");
		assert_readable(img, 8 << 10, 20 << 10);
		assert_lost(img, 28 << 10, 4 << 10, LAYER_LOCKED);
		done(img);
	}
	fill();
}

/* The image as bytes to damage, and where its LUKS header is. */
static struct image *loaded(const char *name, uint64_t *at)
{
	struct image *img;

	if (!luks(name))
		return NULL;
	img = image_file(path_of(name));
	image_key(img, KEY_PASSPHRASE, "secret", 6);
	image_discover(img);
	assert_clean(img);
	assert_holds(img->top, plain);
	for (*at = C; memcmp(img->buf + *at, "LUKS\xba\xbe", 6); *at += C)
		assert_true(*at + C < img->len);
	return img;
}

static void a_damaged_luks_header_is_found(void **state)
{
	uint64_t at, slot;
	struct image *img = loaded("h.qcow2", &at);

	(void)state;
	if (!img)
		skip();
	image_poke(img, at, "luks", 4); /* only the magic: all else opens it */
	image_discover(img);
	assert_finding(img, QCOW2_CRYPT_MAGIC, at);
	assert_int_equal(image_worse(img, BLEMISH), 1);
	assert_holds(img->top, plain);
	image_poke(img, at, "LUKS", 4);

	image_be32(img, at + 0x6c, 0x7fffffff); /* key bytes */
	image_discover(img);
	assert_finding(img, LUKS_HEADER_IMPOSSIBLE, at);
	assert_finding(img, QCOW2_CRYPT_HEADER, at);
	assert_lost(img, 0, C, QCOW2_CRYPT_HEADER);
	image_be32(img, at + 0x6c, 64);

	/* The key material of the only keyslot is overwritten. */
	slot = at + 4096;
	memset(img->buf + slot + 1024, 0, 2048);
	image_discover(img);
	assert_int_equal(img->top->locked, -EKEYREJECTED);
	assert_finding(img, LUKS_KEYSLOT_OVERWRITTEN, slot + 1024);
	assert_lost(img, 0, C, LAYER_LOCKED);
	image_free(img);
}

static void a_lost_luks_header_is_said(void **state)
{
	struct qcow2_build b = {.size = 16 * C};
	be64_t where[2] = {to_be64(UINT64_C(1) << 40), to_be64(8 * C)};
	uint64_t at;

	(void)state;
	qcow2_build(&b);
	qcow2_build_data(&b, 0, 'A');
	image_be32(b.img, 32, 2);
	image_discover(b.img);
	assert_finding(b.img, QCOW2_CRYPT_HEADER, 32);
	assert_lost(b.img, 0, C, QCOW2_CRYPT_HEADER);
	at = qcow2_build_extension(&b, QCOW2_EXT_CRYPTO, where, sizeof(where));
	image_discover(b.img);
	assert_finding(b.img, QCOW2_CRYPT_HEADER, at + 8);
	assert_lost(b.img, 0, C, QCOW2_CRYPT_HEADER);
	image_free(b.img);
}

/* PBKDF2 made cheap, as a header may be: whatever is in it, nothing crashes or hangs. */
static void any_byte_of_the_header_may_be_wrong(void **state)
{
	uint64_t at;
	struct image *img = loaded("f.qcow2", &at);

	(void)state;
	if (!img)
		skip();
	image_no_keys(img);
	for (uint64_t i = 0; i < 592; i++) {
		img->buf[at + i] ^= 0xff;
		image_open(img, &qcow2_ops);
		if (!img->err)
			image_exercise(img->top);
		img->buf[at + i] ^= 0xff;
	}
	image_be32(img, at + 0xa4, 1); /* the digest's rounds, and the keyslot's */
	image_be32(img, at + 0xd4, 1);
	image_key(img, KEY_PASSPHRASE, "secret", 6);
	for (uint64_t i = 0; i < 592; i += 3) {
		if (i / 4 == 0xa4 / 4 || i / 4 == 0xd4 / 4)
			continue;
		img->buf[at + i] ^= 0x81;
		image_open(img, &qcow2_ops);
		img->buf[at + i] ^= 0x81;
	}
	for (size_t len = img->len; len > C; len -= len > 16 * C ? 7 * C + 511 : C / 2 + 1) {
		image_resize(img, len);
		image_open(img, &qcow2_ops);
		if (!img->err)
			image_exercise(img->top);
	}
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cipher_of_qemu_opens),
		cmocka_unit_test(without_its_key_the_rest_is_checked),
		cmocka_unit_test(old_aes_opens_and_rejects),
		cmocka_unit_test(snapshots_open_with_the_disk),
		cmocka_unit_test(each_link_has_its_own_key),
		cmocka_unit_test(a_damaged_luks_header_is_found),
		cmocka_unit_test(a_lost_luks_header_is_said),
		cmocka_unit_test(any_byte_of_the_header_may_be_wrong),
	};

	return cmocka_run_group_tests(tests, make, remove_dir);
}
