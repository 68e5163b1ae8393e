/* SPDX-License-Identifier: Apache-2.0 */
/* Real hives: every key, every value with its type and its bytes as hivex has them; their logs. */
#include <inttypes.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/fs.h"
#include "formats/log/regf.h"
#include "tests/lib/corpus.h"
#include "vdiskck/core/session.h"

struct listing {
	const struct regf *h;
	FILE *to; /* a line for each key and value; NULL: only @all */
	uint64_t keys;
	char all[4096];
};

/* Paths are as hexadecimal as data: names may hold anything. */
static void put_hex(FILE *f, const void *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		fprintf(f, "%02x", ((const uint8_t *)p)[i]);
}

static void put_entry(const struct listing *t, const struct fs_entry *e)
{
	struct regf_data d = {0};

	if (e->stream)
		assert_int_equal(regf_data(t->h, (uint32_t)e->id, &d), 0);
	fputc(e->stream ? 'V' : 'K', t->to);
	fputc(' ', t->to);
	put_hex(t->to, e->path, strlen(e->path));
	if (e->stream) {
		fprintf(t->to, " %" PRIu32 " ", d.type);
		put_hex(t->to, d.p, d.len);
	}
	fputc('\n', t->to);
	regf_data_free(&d);
}

static int list_entry(void *arg, const struct fs_entry *e)
{
	struct listing *t = arg;

	t->keys += e->kind == FS_DIR;
	if (strlen(t->all) + strlen(e->path) + 2 < sizeof(t->all))
		strcat(strcat(t->all, e->path), "\n");
	if (t->to && e->path_sure == FS_SURE)
		put_entry(t, e);
	return 0;
}

static struct listing list(struct layer *l, FILE *to)
{
	struct fs_query q = {.recursive = true};
	struct listing t = {.h = regf_of(l), .to = to};

	assert_int_equal(l->ops->fs->walk(l, &q, list_entry, &t), 0);
	return t;
}

/* Unpack a hive and its logs under the names they had (a copy to @keep), and let discovery open it. */
static struct image *real(const char *name, bool logs, const char *keep)
{
	static char dir[] = "/tmp/vdiskck-regf-XXXXXX", path[600];
	static const char *const suffix[] = {"", ".LOG1", ".LOG2"};
	struct image *img;

	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < (logs ? 3 : 1); i++) {
		char from[200], cmd[600];
		const char *f;

		snprintf(from, sizeof(from), "registry/%s%s.xz", name, suffix[i]);
		f = corpus_file(from);
		if (!f) {
			snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
			assert_int_equal(system(cmd), 0);
			return NULL;
		}
		snprintf(cmd, sizeof(cmd), "cp %s %s/hive%s", f, dir, suffix[i]);
		assert_int_equal(system(cmd), 0);
	}
	corpus_file(NULL);
	if (keep) {
		snprintf(path, sizeof(path), "cp %s/hive %s", dir, keep);
		assert_int_equal(system(path), 0);
	}
	snprintf(path, sizeof(path), "%s/hive", dir);
	img = image_stack(path, NULL);
	snprintf(path, sizeof(path), "rm -r %s", dir);
	assert_int_equal(system(path), 0);
	return img;
}

static struct layer *hive_of(struct image *img)
{
	struct layer *l = img->top;

	while (l && l->ops != &regf_ops)
		l = l->child;
	assert_non_null(l);
	return l;
}

/* What Windows made of the same hives and logs is in the corpus, too. */
static void logs_give_what_windows_made_of_them(void **state)
{
	static const struct {
		const char *dirty, *windows;
	} pair[] = {
		{"yarp-OldDirtyHive__OldDirtyHive", "yarp-OldDirtyHive__RecoveredHive_Windows7"},
		{"yarp-NewDirtyHive1__NewDirtyHive", "yarp-NewDirtyHive1__RecoveredHive_Windows10"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pair) / sizeof(*pair); i++) {
		struct image *ours = real(pair[i].dirty, true, NULL), *theirs;
		struct regf *a, *b;

		if (!ours)
			skip();
		theirs = real(pair[i].windows, false, NULL);
		a = regf_of(hive_of(ours));
		b = regf_of(hive_of(theirs));
		assert_finding(ours, REGF_REPLAYED, 0);
		assert_true(a->len <= b->len);
		/* Bins carry times that Windows wrote when it loaded them: compare keys. */
		assert_string_equal(list(a->l, NULL).all, list(b->l, NULL).all);
		image_free(ours);
		image_free(theirs);
	}
}

static void a_log_gives_the_base_block_back(void **state)
{
	struct image *img = real("yarp-BadBaseBlockHive__BadBaseBlockHive", true, NULL);

	(void)state;
	if (!img)
		skip();
	assert_finding(img, REGF_BASE_BLOCK, 0x1fc);
	assert_int_equal(list(hive_of(img), NULL).keys, 5002);
	image_free(img);
}

static void logs_that_prove_nothing_are_not_applied(void **state)
{
	(void)state;
	for (int i = 1; i <= 3; i++) {
		char name[64];
		struct image *img;

		snprintf(name, sizeof(name), "yarp-BadLogHive%d__BadLogHive", i);
		img = real(name, true, NULL);
		if (!img)
			skip();
		assert_finding(img, REGF_DIRTY, 0);
		image_free(img);
	}
}

/* Those that "hivexml 1.3 (computed): exit 0" says hivex reads; dirty ones as they are on disk, too. */
static bool next_hive(FILE *manifest, char name[300], bool *dirty)
{
	char line[4096];

	while (fgets(line, sizeof(line), manifest)) {
		const char *end = strstr(line, ".xz\t");

		if (strncmp(line, "registry/", 9) || !strstr(line, "(computed): exit 0, ") || !end)
			continue;
		snprintf(name, 300, "%.*s", (int)(end - line - 9), line + 9);
		*dirty = strstr(line, "DIRTY");
		return true;
	}
	return false;
}

static void every_key_and_every_byte_of_a_value_as_hivex_has_them(void **state)
{
	const char *corpus = getenv("CORPUS");
	char dir[] = "/tmp/vdiskck-hives-XXXXXX", path[300], to[300], name[300];
	unsigned hives = 0;
	bool dirty;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/MANIFEST.tsv", corpus ? corpus : "");
	f = corpus && *corpus ? fopen(path, "r") : NULL;
	if (!f)
		skip();
	assert_non_null(mkdtemp(dir));
	while (next_hive(f, name, &dirty)) {
		struct image *img;
		FILE *list_to;

		snprintf(to, sizeof(to), "%s/%u.hive", dir, hives);
		img = real(name, false, to);
		assert_non_null(img);
		if (!dirty && image_worse(img, BLEMISH)) {
			image_print(img);
			fail_msg("%s is said to be damaged", name);
		}
		snprintf(to, sizeof(to), "%s/%u.txt", dir, hives);
		list_to = fopen(to, "w");
		assert_non_null(list_to);
		list(hive_of(img), list_to);
		assert_int_equal(fclose(list_to), 0);
		image_free(img);
		hives++;
	}
	fclose(f);
	assert_true(hives > 40);
	snprintf(path, sizeof(path), "tests/formats/hivex-compare %s; r=$?; rm -r %s; exit $r", dir,
		 dir);
	assert_int_equal(system(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logs_give_what_windows_made_of_them),
		cmocka_unit_test(a_log_gives_the_base_block_back),
		cmocka_unit_test(logs_that_prove_nothing_are_not_applied),
		cmocka_unit_test(every_key_and_every_byte_of_a_value_as_hivex_has_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
