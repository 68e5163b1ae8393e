/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/drivers.h"
#include "tests/lib/image.h"
#include "vdiskck/report_html.h"
#include "vdiskck/report_internal.h"

enum { KIB = 1024, MIB = 1024 * 1024, DISK = 64 * MIB };

struct page {
	struct image *img;
	struct collect c;
	struct diskmap map;
	struct report r;
	char *text;
	size_t len;
};

static void to_collect(void *arg, const struct finding *f)
{
	collect_finding(arg, f);
}

static struct json *layer(const char *path, const char *kind, uint64_t size, const char *of)
{
	struct json *l = js_object();

	js_str(l, "record", "layer");
	js_str(l, "layer", path);
	js_str(l, "kind", kind);
	js_u64(l, "size", size);
	if (of)
		js_str(l, "of", of);
	return l;
}

static int page_new(void **state)
{
	struct page *p = calloc(1, sizeof(*p));

	p->img = image_new(MIB);
	image_open(p->img, &raw_ops);
	collect_init(&p->c, &p->img->s);
	p->img->s.on_finding = to_collect;
	p->img->s.arg = &p->c;
	assert_int_equal(diskmap_init(&p->map, DISK), 0);
	p->r = (struct report){
		.image = "node16.vhd",
		.headline = "nothing is wrong",
		.complete = true,
		.read_all = true,
		.layers = js_array(),
		.findings = &p->c,
		.run = js_object(),
		.map = &p->map,
		.disk = "vhd",
	};
	js_add(p->r.layers, layer("node16.vhd", "source", MIB, NULL));
	js_add(p->r.layers, layer("vhd", "container", DISK, "node16.vhd"));
	*state = p;
	return 0;
}

static const char *rendered(struct page *p)
{
	FILE *f;

	free(p->text);
	f = open_memstream(&p->text, &p->len);
	collect_sort(&p->c);
	report_html(f, &p->r);
	fclose(f);
	return p->text;
}

static int page_free(void **state)
{
	struct page *p = *state;

	free(p->text);
	js_free(p->r.layers);
	js_free(p->r.run);
	diskmap_free(&p->map);
	collect_free(&p->c);
	image_free(p->img);
	free(p);
	return 0;
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

/* Every tag that opens closes, in order; enough of HTML for what we write. */
static void assert_tags_nest(const char *text)
{
	static const char *const empty[] = {"meta", "br", "!doctype"};
	char stack[64][16];
	size_t depth = 0;

	for (const char *p = text; (p = strchr(p, '<')); p++) {
		char name[16] = {0};
		const char *end = strchr(p, '>');
		bool close = p[1] == '/', is_empty;
		size_t len;

		assert_non_null(end);
		len = strcspn(p + 1 + close, " >/\n");
		assert_in_range(len, 1, 15);
		memcpy(name, p + 1 + close, len);
		is_empty = end[-1] == '/';
		for (size_t i = 0; i < sizeof(empty) / sizeof(*empty); i++)
			is_empty |= !strcmp(name, empty[i]);
		if (is_empty)
			continue;
		if (close) {
			assert_true(depth > 0);
			assert_string_equal(stack[--depth], name);
		} else {
			assert_true(depth < 64);
			memcpy(stack[depth++], name, 16);
		}
	}
	assert_int_equal(depth, 0);
}

static void a_hostile_name_does_nothing(void **state)
{
	static const char bad[] =
		"</style><script>alert(1)</script>\"' onload=x &lt;\x1b[2J\xff\xe2\x80\xae";
	struct page *p = *state;
	struct json *l = layer(bad, bad, DISK, "vhd");
	const char *text;

	js_str(l, bad, bad);
	js_add(p->r.layers, l);
	js_str(p->r.run, bad, bad);
	p->r.image = p->r.disk = p->r.headline = bad;
	finding_fact(p->img->top, LAYER_READ_PAST_END,
		     &(struct fact){.at = 8, .at_len = 4, .stored = bad, .expected = bad}, "%s",
		     bad);
	text = rendered(p);
	assert_tags_nest(text);
	assert_null(strstr(text, "<script>alert"));
	assert_non_null(strstr(text, report_script)); /* the page's own, and no other */
	assert_null(strstr(strstr(text, "<script") + 1, "<script"));
	assert_null(strstr(text, "</style><s"));
	assert_null(strchr(text, '\x1b'));
	assert_null(strchr(text, '\xff'));
	assert_null(strstr(text, "\xe2\x80\xae"));
	assert_non_null(strstr(text, "\\x1b[2J"));
	/* Nothing is fetched, nothing runs. */
	assert_null(strstr(text, "http:"));
	assert_null(strstr(text, "https:"));
	assert_null(strstr(text, "url("));
	assert_int_equal(count(text, "src="), 0);
}

static void a_finding_says_where_it_lies_and_what_to_do(void **state)
{
	struct page *p = *state;
	struct ranges lost = {0};
	const char *text;

	finding_fact(p->img->top, LAYER_READ_PAST_END,
		     &(struct fact){.at = 0x60c,
				    .at_len = 4,
				    .off = 6 * KIB,
				    .len = 2 * KIB,
				    .lost = true,
				    .stored = "0xffff00",
				    .expected = "below 0x800"},
		     "block 3 points past the end");
	finding(p->img->top, SOURCE_CHANGED, 0, 0, "it changed");
	ranges_add(&lost, 6 * MIB, 2 * MIB, GRADE_LOST, LAYER_READ_PAST_END);
	diskmap_run(&p->map, 0, DISK, CELL_DATA);
	assert_int_equal(diskmap_bad(&p->map, &lost), 0);
	text = rendered(p);
	assert_tags_nest(text);
	assert_non_null(strstr(text, "<div class=\"verdict damaged\">"));
	assert_non_null(strstr(text, "block 3 points past the end"));
	assert_non_null(strstr(text, "<code>test.img</code> <span class=\"n\">0x60c</span>, 4 B"));
	assert_non_null(strstr(text, "<code>raw</code> <span class=\"n\">0x1800</span>, 2 KiB"));
	assert_non_null(strstr(text, "0xffff00"));
	assert_non_null(strstr(text, finding_advice(LAYER_READ_PAST_END)));
	assert_non_null(strstr(text, "<title>0x600000 (6 MiB), lost 2 MiB</title>"));
	/* The worst first. */
	assert_true(strstr(text, "id=\"layer-read-past-end\"") <
		    strstr(text, "id=\"source-changed\""));
	assert_null(strstr(text, "Incomplete"));
	ranges_free(&lost);
}

static void an_interrupted_run_says_so_in_front(void **state)
{
	struct page *p = *state;
	const char *text;

	p->r.complete = false;
	diskmap_run(&p->map, 0, DISK / 2, CELL_ZERO);
	text = rendered(p);
	assert_true(strstr(text, "Incomplete:") < strstr(text, "<main>"));
	assert_non_null(strstr(text, "not examined, 32 MiB"));
}

static void many_findings_are_counted_not_all_shown(void **state)
{
	struct page *p = *state;
	const char *text;

	for (int i = 0; i < 1500; i++)
		finding(p->img->top, LAYER_READ_PAST_END, 16, 4, "entry %d", i);
	text = rendered(p);
	assert_tags_nest(text);
	assert_non_null(strstr(text, ", 1500 times"));
	assert_non_null(strstr(text, "1300 more are in"));
	assert_true(p->len < 200 * KIB);
}

static void a_stack_that_states_nonsense_is_still_drawn(void **state)
{
	struct page *p = *state;

	js_add(p->r.layers, layer("a", "map", 1, "a"));
	js_add(p->r.layers, layer("b", "map", 1, "nowhere"));
	for (int i = 0; i < 100; i++)
		js_add(p->r.layers, layer("vhd", "map", 1, "vhd"));
	assert_tags_nest(rendered(p));
}

#define PAGE_TEST(fn) cmocka_unit_test_setup_teardown(fn, page_new, page_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAGE_TEST(a_hostile_name_does_nothing),
		PAGE_TEST(a_finding_says_where_it_lies_and_what_to_do),
		PAGE_TEST(an_interrupted_run_says_so_in_front),
		PAGE_TEST(many_findings_are_counted_not_all_shown),
		PAGE_TEST(a_stack_that_states_nonsense_is_still_drawn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
