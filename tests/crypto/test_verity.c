/* SPDX-License-Identifier: Apache-2.0 */
/* dm-verity: trees that veritysetup makes, and what it says of the same damage. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "crypto/keys.h"
#include "crypto/verity.h"
#include "tests/lib/corpus.h"

/* Trees of two and three levels; the data is 300 blocks, all different, like an ext4's to probe(). */
static const struct made {
	const char *options, *hash;
	uint32_t dbs, hbs;
} made[] = {
	{"--hash sha256", "sha256", 4096, 4096},
	{"--hash sha1 --data-block-size 512 --hash-block-size 512 --salt -", "sha1", 512, 512},
	{"--hash sha512 --data-block-size 1024 --hash-block-size 1024", "sha512", 1024, 1024},
	{"--hash sha256 --format 0 --data-block-size 1024", "sha256", 1024, 4096},
};
enum { MADE = sizeof(made) / sizeof(*made), BLOCKS = 300 };

static char dir[] = "/tmp/vdiskck-verity-XXXXXX", file[64];
static char root[256]; /* hash, in hex */

static void data_make(struct image *img, const struct made *m)
{
	uint32_t x = 1;

	for (size_t i = 0; i < (size_t)BLOCKS * m->dbs; i++) {
		x = x * 1664525 + 1013904223;
		img->buf[i] = (uint8_t)(x >> 24);
	}
	/* What tells where the file system ends: blocks of 1 KiB. */
	image_le32(img, 1024 + 4, BLOCKS * m->dbs / 1024);
	image_le32(img, 1024 + 24, 0);
	image_poke(img, 1024 + 0x38, "\x53\xef", 2);
}

static size_t tree_at(const struct made *m)
{
	return ((size_t)BLOCKS * m->dbs + 8191) & ~(size_t)4095;
}

static struct image *device(const struct made *m)
{
	struct image *img = image_new((size_t)BLOCKS * m->dbs);
	char command[512];
	FILE *f;

	if (system("command -v veritysetup >/dev/null")) {
		image_free(img);
		skip();
	}
	data_make(img, m);
	image_write(img, file);
	image_free(img);
	snprintf(command, sizeof(command),
		 "veritysetup format %s %s %s --data-blocks %d --hash-offset %zu | "
		 "sed -n 's/^Root hash:[ \t]*//p' >%s.root",
		 file, file, m->options, BLOCKS, tree_at(m), file);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "%s.root", file);
	f = fopen(command, "r");
	assert_non_null(f);
	assert_non_null(fgets(root, sizeof(root), f));
	root[strcspn(root, "\n")] = '\0';
	fclose(f);
	unlink(command);
	return image_file(file);
}

/* Does veritysetup find fault with the image? */
static bool oracle_refuses(const struct image *img, const struct made *m)
{
	char command[512];

	image_write(img, file);
	snprintf(command, sizeof(command),
		 "veritysetup verify %s %s %s --hash-offset %zu >/dev/null 2>&1", file, file, root,
		 tree_at(m));
	return system(command) != 0;
}

static void give_root(struct image *img)
{
	uint8_t raw[64];
	size_t n = strlen(root) / 2;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(sscanf(root + 2 * i, "%2hhx", &raw[i]), 1);
	image_key(img, KEY_ROOT_HASH, raw, n);
}

static void check_data(struct image *img)
{
	image_open(img, &verity_ops);
	assert_int_equal(img->err, 0);
	img->s.opt.data = true;
	assert_int_equal(img->top->ops->check(img->top), 0);
}

static void whole_trees_of_veritysetup_are_clean(void **state)
{
	(void)state;
	for (size_t i = 0; i < MADE; i++) {
		struct image *img = device(&made[i]);

		check_data(img);
		assert_clean(img);
		assert_non_null(strstr(image_first(img, VERITY_NOT_ANCHORED)->message, root));
		give_root(img);
		check_data(img);
		assert_int_equal(img->n_seen, 0);
		assert_int_equal(img->top->size, (uint64_t)BLOCKS * made[i].dbs);
		assert_readable(img, 0, img->top->size);
		image_exercise(img->top);
		image_discover(img);
		assert_string_equal(img->top->ops->name, "verity");
		assert_false(oracle_refuses(img, &made[i]));
		image_free(img);
	}
}

static void another_root_hash_is_damage_everywhere(void **state)
{
	struct image *img = device(&made[0]);

	(void)state;
	image_key(img, KEY_ROOT_HASH, "12345678901234567890123456789012", 32);
	check_data(img);
	assert_int_equal(image_seen(img, VERITY_ROOT, ANYWHERE), 1);
	assert_true(image_first(img, VERITY_ROOT)->fact.doubtful);
	assert_int_equal(image_first(img, VERITY_ROOT)->fact.len, img->top->size);
	image_free(img);
}

static void flipped_data_is_doubtful_and_no_other_block(void **state)
{
	(void)state;
	for (size_t i = 0; i < MADE; i++) {
		const struct made *m = &made[i];
		struct image *img = device(m);
		const struct seen *s;

		for (unsigned n = 7; n < BLOCKS; n += 131) {
			img->buf[n * m->dbs + 5] ^= 1;
			check_data(img);
			s = image_first(img, VERITY_DATA);
			assert_non_null(s);
			assert_int_equal(image_worse(img, INFO + 1), 1);
			assert_int_equal(s->fact.off, n * m->dbs);
			assert_int_equal(s->fact.len, m->dbs);
			assert_true(s->fact.doubtful);
			assert_true(oracle_refuses(img, m));
			img->buf[n * m->dbs + 5] ^= 1;
		}
		image_free(img);
	}
}

static void every_flip_in_the_tree_is_seen(void **state)
{
	const struct made *m = &made[1];
	struct image *img = device(m);
	struct extent run;
	char name[80];
	uint64_t start, len, at;

	(void)state;
	give_root(img);
	for (at = tree_at(m) + 512; at < img->len; at += 97) {
		img->buf[at] ^= 0x20;
		check_data(img);
		if (!image_worse(img, DAMAGE)) {
			image_print(img);
			fail_msg("nothing said of a flip at %#llx", (unsigned long long)at);
		}
		assert_true(
			img->top->ops->structure(img->top, at, name, sizeof(name), &start, &len));
		img->buf[at] ^= 0x20;
	}
	/* A block next to the data: all that it proves is doubtful, and the rest is not. */
	check_data(img);
	assert_int_equal(layer_map(img->top, 0, &run), 0);
	at = img->len - 512;
	img->buf[at] ^= 1;
	check_data(img);
	assert_finding(img, VERITY_TREE, at);
	assert_int_equal(image_first(img, VERITY_TREE)->fact.off, 288 * 512);
	assert_int_equal(image_first(img, VERITY_TREE)->fact.len, 12 * 512);
	assert_readable(img, 0, 288 * 512);
	image_free(img);
}

static void a_tree_alone_is_checked_and_said_to_be_alone(void **state)
{
	const struct made *m = &made[1];
	struct image *img = device(m);

	(void)state;
	memmove(img->buf, img->buf + tree_at(m), img->len - tree_at(m));
	image_resize(img, img->len - tree_at(m));
	give_root(img);
	check_data(img);
	assert_int_equal(image_seen(img, VERITY_BARE, 0), 1);
	assert_int_equal(img->n_seen, 1);
	img->buf[img->len - 512] ^= 1;
	check_data(img);
	assert_finding(img, VERITY_TREE, img->len - 512);
	image_free(img);
}

static void impossible_and_unknown_superblocks_are_told_apart(void **state)
{
	const struct made *m = &made[0];
	struct image *img = device(m);
	uint64_t sb = tree_at(m);

	(void)state;
	image_poke(img, sb + 0x20, "whirl99", 8);
	image_open(img, &verity_ops);
	assert_int_equal(img->err, -EOPNOTSUPP);
	assert_finding(img, VERITY_UNSUPPORTED, sb);
	image_poke(img, sb + 0x20, "sha256\0", 8);
	image_poke(img, sb + 0x50, "\xff\xff", 2);
	image_open(img, &verity_ops);
	assert_int_equal(img->err, -EBADMSG);
	assert_finding(img, VERITY_SUPERBLOCK, sb);
	image_free(img);
}

static void truncation_never_crashes(void **state)
{
	const struct made *m = &made[1];
	struct image *img = device(m);
	size_t full = img->len;

	(void)state;
	for (size_t len = full; len > tree_at(m); len -= len > tree_at(m) + 800 ? 511 : 37) {
		image_resize(img, len);
		image_open(img, &verity_ops);
		img->s.opt.data = true;
		if (!img->err) {
			assert_int_equal(img->top->ops->check(img->top), 0);
			assert_true(len == full || image_worse(img, BLEMISH));
			image_exercise(img->top);
		}
	}
	image_free(img);
}

static void flips_in_the_superblock_never_crash(void **state)
{
	const struct made *m = &made[1];
	struct image *img = device(m);

	(void)state;
	for (size_t i = 0; i < 0x58 * 8; i++) {
		size_t at = tree_at(m) + i / 8;

		img->buf[at] ^= (uint8_t)(1u << i % 8);
		image_open(img, &verity_ops);
		if (!img->err) {
			assert_int_equal(img->top->ops->check(img->top), 0);
			image_exercise(img->top);
		}
		img->buf[at] ^= (uint8_t)(1u << i % 8);
	}
	image_free(img);
}

/* data blocks 1500 and the root hash as dm/TRUTH.txt has them */
static void what_a_kernel_mounted_is_clean(void **state)
{
	const char *path = corpus_file("dm/verity.img.xz");
	struct image *img;

	(void)state;
	if (!path)
		skip();
	img = image_file(path);
	corpus_file(NULL);
	strcpy(root, "6f2b784d712990d97c66273a973bbbec4f23878364985276bee8e2439b399814");
	give_root(img);
	check_data(img);
	assert_int_equal(img->n_seen, 0);
	assert_int_equal(img->top->size, 1500 * 4096);
	image_free(img);
}

static int folder(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof(file), "%s/disk.img", dir);
	return 0;
}

static int folder_gone(void **state)
{
	(void)state;
	unlink(file);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_trees_of_veritysetup_are_clean),
		cmocka_unit_test(another_root_hash_is_damage_everywhere),
		cmocka_unit_test(flipped_data_is_doubtful_and_no_other_block),
		cmocka_unit_test(every_flip_in_the_tree_is_seen),
		cmocka_unit_test(a_tree_alone_is_checked_and_said_to_be_alone),
		cmocka_unit_test(impossible_and_unknown_superblocks_are_told_apart),
		cmocka_unit_test(truncation_never_crashes),
		cmocka_unit_test(flips_in_the_superblock_never_crash),
		cmocka_unit_test(what_a_kernel_mounted_is_clean),
	};

	return cmocka_run_group_tests(tests, folder, folder_gone);
}
