/* SPDX-License-Identifier: Apache-2.0 */
/* A finished part of an examination is not done again, and is told again; the kills are in killed.bats. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/lib/image.h"
#include "vdiskck/checkup.h"
#include "vdiskck/core/json.h"
#include "vdiskck/parts.h"

static uint8_t data[1 << 20];
static unsigned checks, many; /* calls of check(); findings of each */

static int fake_check(struct layer *l)
{
	checks++;
	for (unsigned i = 0; i < many; i++)
		finding_fact(l, VHD_BAT_METADATA,
			     &(struct fact){.at = i, .at_len = 4, .stored = "1", .expected = "2"},
			     "entry %u of %s", i, l->path);
	session_checked(l->s, 512);
	return 0;
}

static int fake_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	return layer_read_as(l->below, off, buf, len, off, bad);
}

static int fake_map(struct layer *l, uint64_t off, struct extent *run)
{
	return layer_map_below(l, off, 0, run);
}

static const struct layer_ops fake_ops = {.name = "fake",
					  .kind = LAYER_CONTAINER,
					  .read = fake_read,
					  .map = fake_map,
					  .check = fake_check};

/* A container in a container, not examined yet. */
static void begin(struct run *r, const struct args *a)
{
	struct layer *outer, *inner;

	run_init(r, a);
	r->source = memory_source(&r->s, "disk", data, sizeof(data));
	outer = layer_new(&r->s, &fake_ops, r->source, "fake");
	inner = layer_new(&r->s, &fake_ops, outer, "inner");
	outer->size = inner->size = sizeof(data);
	layer_attach(r->source, outer);
	layer_attach(outer, inner);
	assert_non_null(parts_new(r));
}

static void end(struct run *r)
{
	parts_free(r->parts);
	run_end(r, 0);
}

static struct json *saved(struct run *r)
{
	struct json *j = js_object(), *parsed;
	const char *text;

	parts_put(r->parts, j);
	text = js_line(j);
	parsed = js_parse(text, strlen(text));
	assert_non_null(parsed);
	js_free(j);
	return parsed;
}

static struct json *after_one; /* the state when the first part was done */

static void on_part(void *arg)
{
	if (!after_one)
		after_one = saved(arg);
}

static void what_is_done_is_not_done_again(void **state)
{
	struct args a = {.image = "disk", .quiet = true};
	struct json *whole;
	struct run r, more;

	(void)state;
	checks = 0;
	many = 3;
	after_one = NULL;
	begin(&r, &a);
	parts_on_end(r.parts, on_part, &r);
	assert_int_equal(checkup(&r, NULL), 0);
	assert_int_equal(checks, 2);
	assert_int_equal(r.found.seen, 6);
	whole = saved(&r);

	/* Go on behind the first part: one check is left, and nothing is missing. */
	begin(&more, &a);
	assert_int_equal(parts_get(more.parts, after_one), 0);
	assert_int_equal(more.found.seen, 3);
	assert_int_equal(checkup(&more, NULL), 0);
	assert_int_equal(checks, 3);
	assert_int_equal(more.found.seen, 6);
	assert_int_equal(more.s.count[DAMAGE], r.s.count[DAMAGE]);
	assert_int_equal(more.s.checked, r.s.checked);
	for (size_t i = 0; i < 6; i++) {
		assert_string_equal(more.found.v[i].message, r.found.v[i].message);
		assert_string_equal(more.found.v[i].stored, "1");
		assert_int_equal(more.found.v[i].at.off, r.found.v[i].at.off);
	}
	end(&more);

	begin(&more, &a);
	assert_int_equal(parts_get(more.parts, whole), 0);
	assert_int_equal(checkup(&more, NULL), 0);
	assert_int_equal(checks, 3);
	assert_int_equal(more.found.seen, 6);
	assert_int_equal(more.s.checked, r.s.checked);
	end(&more);
	js_free(whole);
	js_free(after_one);
	end(&r);
}

/* A driver that says something when it is first asked says it to each run: once is enough. */
static void what_was_said_before_is_not_said_twice(void **state)
{
	struct args a = {.image = "disk", .quiet = true};
	struct run r, more;
	struct json *j;

	(void)state;
	begin(&r, &a);
	finding(r.source->child, VHD_BAT_METADATA, 7, 4, "when it was read");
	finding(r.source->child, VHD_BAT_METADATA, 7, 4, "when it was read");
	j = saved(&r);
	begin(&more, &a);
	assert_int_equal(parts_get(more.parts, j), 0);
	assert_int_equal(more.found.seen, 2);
	for (int i = 0; i < 3; i++)
		finding(more.source->child, VHD_BAT_METADATA, 7, 4, "when it was read");
	assert_int_equal(more.found.seen, 3);
	finding(more.source->child, VHD_BAT_METADATA, 8, 4, "when it was read");
	assert_int_equal(more.found.seen, 4);
	assert_int_equal(more.s.count[finding_severity(VHD_BAT_METADATA)], 4);
	js_free(j);
	end(&more);
	end(&r);
}

static void too_much_to_keep_is_not_kept_in_part(void **state)
{
	struct args a = {.image = "disk", .quiet = true};
	struct run r, more;
	struct json *j;

	(void)state;
	many = PARTS_FINDINGS;
	begin(&r, &a);
	assert_int_equal(checkup(&r, NULL), 0);
	j = saved(&r);
	begin(&more, &a);
	assert_int_equal(parts_get(more.parts, j), -ENOBUFS);
	js_free(j);
	end(&more);
	end(&r);
}

static void a_state_that_does_not_fit_is_refused(void **state)
{
	static const char *const wrong[][2] = {
		{"\"path\":\"fake\"", "\"path\":\"fade\""}, {"\"findings\":3", "\"findings\":7"},
		{"vhd-bat-metadata", "vhd-bat-meta"},	    {"\"at\":", "\"an\":"},
		{"\"checked\":", "\"chequed\":"},
	};
	struct args a = {.image = "disk", .quiet = true};
	struct json *j, *bent;
	struct run r, more;

	(void)state;
	many = 3;
	begin(&r, &a);
	assert_int_equal(checkup(&r, NULL), 0);
	j = saved(&r);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		const char *text = js_line(j), *at = strstr(text, wrong[i][0]);
		char *copy;

		assert_non_null(at);
		assert_true(asprintf(&copy, "%.*s%s%s", (int)(at - text), text, wrong[i][1],
				     at + strlen(wrong[i][0])) > 0);
		bent = js_parse(copy, strlen(copy));
		begin(&more, &a);
		assert_int_equal(parts_get(more.parts, bent), -EBADMSG);
		js_free(bent);
		free(copy);
		end(&more);
	}
	js_free(j);
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_done_is_not_done_again),
		cmocka_unit_test(what_was_said_before_is_not_said_twice),
		cmocka_unit_test(too_much_to_keep_is_not_kept_in_part),
		cmocka_unit_test(a_state_that_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
