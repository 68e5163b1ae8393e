/* SPDX-License-Identifier: Apache-2.0 */
/* Message tables and manifests of providers; values put into messages. */
#include <errno.h>
#include <stdio.h>

#include "formats/log/msgtable.h"
#include "tests/lib/corpus.h"

static const char *expand(const char *message, const struct msgtable *t)
{
	static char text[256];
	static const struct log_text values[] = {LOG_TEXT("one"), LOG_TEXT("%%7 two"),
						 LOG_TEXT("100%")};
	struct buf b = {0};

	msg_expand(&b, (struct log_text){message, strlen(message)}, values, 3, t);
	snprintf(text, sizeof(text), "%.*s", (int)b.len, b.p ? b.p : "");
	buf_free(&b);
	return text;
}

/* The smallest PE file with one section of resources: messages 5 and 7, in two languages. */
static struct image *build(void)
{
	struct image *img = image_new(4096);
	const uint32_t rsrc = 0x400, rva = 0x3000;
	/* Offset of each table's folders and data in the section. */
	const struct {
		uint32_t at, v;
	} words[] = {
		{0x3c, 0x80},
		{0x80, 0x4550},
		{0x84, 0x1014c},
		{0x94, 224},
		{0x98, 0x10b},
		{0x98 + 96 + 16, rva},
		{0x98 + 96 + 20, 0x800},
		/* the section: size, address, raw size, raw offset */
		{0x178 + 8, 0x800},
		{0x178 + 12, rva},
		{0x178 + 16, 0x800},
		{0x178 + 20, rsrc},
		/* type 11, name 1, languages 0x407 and 0x409 */
		{rsrc + 12, 1 << 16},
		{rsrc + 16, 11},
		{rsrc + 20, 0x80000020},
		{rsrc + 0x20 + 12, 1 << 16},
		{rsrc + 0x30, 1},
		{rsrc + 0x34, 0x80000040},
		{rsrc + 0x40 + 12, 2 << 16},
		{rsrc + 0x50, 0x407},
		{rsrc + 0x54, 0x70},
		{rsrc + 0x58, 0x409},
		{rsrc + 0x5c, 0x80},
		{rsrc + 0x70, rva + 0x100},
		{rsrc + 0x74, 0x60},
		{rsrc + 0x80, rva + 0x200},
		{rsrc + 0x84, 0x60},
		/* German: one block of 5 to 5. English: 5 to 5, and 7 to 7, in ANSI. */
		{rsrc + 0x100, 1},
		{rsrc + 0x104, 5},
		{rsrc + 0x108, 5},
		{rsrc + 0x10c, 16},
		{rsrc + 0x110, 16 | 1 << 16},
		{rsrc + 0x200, 2},
		{rsrc + 0x204, 5},
		{rsrc + 0x208, 5},
		{rsrc + 0x20c, 28},
		{rsrc + 0x210, 7},
		{rsrc + 0x214, 7},
		{rsrc + 0x218, 48},
		{rsrc + 0x21c, 20 | 1 << 16},
		{rsrc + 0x230, 12},
	};

	memcpy(img->buf, "MZ", 2);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		image_le32(img, words[i].at, words[i].v);
	image_poke(img, rsrc + 0x114, u"f\xfcnf\0", 12);
	image_poke(img, rsrc + 0x220, u"five %1\0", 16);
	image_poke(img, rsrc + 0x234, "seven\r\n", 8);
	return img;
}

static int add(struct msgtable *t, struct image *img)
{
	struct session s;
	struct layer *l;
	int r;

	session_init(&s);
	l = memory_source(&s, "pe", img->buf, img->len);
	r = msgtable_add(t, l);
	layer_free(l);
	session_fini(&s);
	return r;
}

static const char *text_of(const struct msgtable *t, uint32_t id, unsigned language)
{
	static char text[1024];
	struct buf b = {0};

	if (!msgtable_text(t, id, language, &b))
		return NULL;
	snprintf(text, sizeof(text), "%.*s", (int)b.len, b.p ? b.p : "");
	buf_free(&b);
	return text;
}

static void messages_are_found_by_id_and_language(void **state)
{
	struct image *img = build();
	struct msgtable *t = msgtable_new(), *empty = msgtable_new();

	(void)state;
	assert_int_equal(add(t, img), 0);
	assert_int_equal(msgtable_count(t), 3);
	assert_string_equal(text_of(t, 5, 0), "five %1");
	assert_string_equal(text_of(t, 5, 0x407), "f\xc3\xbcnf");
	assert_string_equal(text_of(t, 7, 0), "seven\r\n");
	assert_null(text_of(t, 6, 0));
	assert_null(text_of(empty, 5, 0));
	assert_null(text_of(t, 7, 0x407));
	assert_string_equal(expand("%%7 and %2", t), "seven and seven two");
	msgtable_also(empty, t);
	assert_string_equal(text_of(empty, 5, 0), "five %1");
	assert_null(text_of(empty, 6, 0));
	msgtable_free(empty);
	msgtable_free(t);
	image_free(img);
}

static void messages_are_expanded_as_windows_does(void **state)
{
	(void)state;
	assert_string_equal(expand("a %1 b%n%tc %3%%%0 not this", NULL), "a one b\n\tc 100%%");
	assert_string_equal(expand("%1!s!, %1!04x! %9 %12", NULL), "one, one %9 %12");
	assert_string_equal(expand("%2 %%123 %. %! %x %", NULL), "%%7 two %%123 . ! %x ");
	assert_string_equal(expand("", NULL), "");
}

/* A value of parameters, which are long, and many: what comes of it is bounded. */
static void a_message_ends_somewhere(void **state)
{
	static char value[3 * 20000 + 1], message[2 * 20000 + 1];
	struct image *img = build();
	struct msgtable *t = msgtable_new();
	struct log_text v[1] = {{value, sizeof(value) - 1}};
	struct buf b = {0};

	(void)state;
	for (size_t i = 0; i < 20000; i++) {
		memcpy(value + 3 * i, "%%7", 3);
		memcpy(message + 2 * i, "%1", 2);
	}
	assert_int_equal(add(t, img), 0);
	msg_expand(&b, (struct log_text){message, sizeof(message) - 1}, v, 1, t);
	assert_in_range(b.len, MSG_MAX, MSG_MAX + 4096);
	buf_free(&b);
	msgtable_free(t);
	image_free(img);
}

static void any_byte_may_be_wrong(void **state)
{
	struct image *img = build();

	(void)state;
	for (size_t i = 0; i < 0x700; i++)
		for (unsigned v = 0; v < 256; v += 51) {
			struct msgtable *t = msgtable_new();
			uint8_t was = img->buf[i];

			img->buf[i] = (uint8_t)v;
			add(t, img);
			text_of(t, 5, 0);
			img->buf[i] = was;
			msgtable_free(t);
		}
	while (img->len) {
		struct msgtable *t = msgtable_new();

		image_resize(img, img->len > 37 ? img->len - 37 : 0);
		add(t, img);
		msgtable_free(t);
	}
	image_free(img);
}

static void real_message_tables_are_read(void **state)
{
	static const char *const files[] = {"pe/winevt-kb-wrc_test.dll.xz",
					    "pe/plaso-wrc-test-wevt_template.dll.xz"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const char *path = corpus_file(files[i]);
		struct msgtable *t;
		struct image *img;

		if (!path)
			skip();
		t = msgtable_new();
		img = image_file(path);
		assert_int_equal(add(t, img), 0);
		assert_true(msgtable_count(t));
		msgtable_free(t);
		image_free(img);
	}
	corpus_file(NULL);
}

static void a_real_manifest_names_messages(void **state)
{
	static const uint8_t provider[] = {0x90, 0x26, 0x00, 0x0a, 0x39, 0x38, 0x3a, 0x4e,
					   0xb3, 0xb6, 0x96, 0xd8, 0xdf, 0x86, 0x8d, 0x99};
	const char *path = corpus_file("evtx/dissect-mpengine_etw.wevt.xz");
	struct msgtable *t;
	struct image *img;
	uint32_t id = 0;

	(void)state;
	if (!path)
		skip();
	t = msgtable_new();
	img = image_file(path);
	assert_int_equal(msgtable_manifest(t, img->buf, img->len), 0);
	assert_true(msgtable_event(t, provider, 1, 1, &id));
	assert_int_equal(id, 0xb0010001);
	assert_false(msgtable_event(t, provider, 60000, 0, &id));
	assert_int_equal(msgtable_manifest(t, img->buf, 1000), -EBADMSG);
	msgtable_free(t);
	image_free(img);
	corpus_file(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_found_by_id_and_language),
		cmocka_unit_test(messages_are_expanded_as_windows_does),
		cmocka_unit_test(a_message_ends_somewhere),
		cmocka_unit_test(any_byte_may_be_wrong),
		cmocka_unit_test(real_message_tables_are_read),
		cmocka_unit_test(a_real_manifest_names_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
