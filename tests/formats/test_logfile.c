/* SPDX-License-Identifier: Apache-2.0 */
/* $LogFile of Windows 7 and 10 as events: names that came and went. */
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "tests/lib/corpus.h"

static struct {
	size_t n;
	uint64_t off[256], len[256];
	char text[16384];
} ev;

static int on_event(void *arg, const struct log_event *e)
{
	(void)arg;
	assert_true(ev.n < 256);
	ev.off[ev.n] = e->off;
	ev.len[ev.n++] = e->len;
	if (strlen(ev.text) + e->message.len + 2 < sizeof(ev.text)) {
		strncat(ev.text, e->message.p, e->message.len);
		strcat(ev.text, "\n");
	}
	return 0;
}

static size_t read_events(struct image *img)
{
	struct log_sink sink = {.event = on_event};

	memset(&ev, 0, sizeof(ev));
	image_open(img, &logfile_ops);
	assert_int_equal(img->err, 0);
	assert_int_equal(logfile_log.records(img->top, &sink), 0);
	return ev.n;
}

static struct image *real(const char *name)
{
	const char *path = corpus_file(name);

	if (!path)
		skip();
	return image_file(path);
}

static void a_rename_is_told_from_both_of_its_sides(void **state)
{
	struct image *img = real("ntfs/dfir_ntfs-LogFile_7.bin.xz");

	(void)state;
	assert_int_equal(read_events(img), 51);
	assert_non_null(strstr(ev.text, "find_me.txt: left a folder\n"
					"find_me.txt: name taken from a file\n"
					"got_renamed.txt: name given to a file\n"
					"got_renamed.txt: came into a folder\n"));
	image_free(img);
	img = real("ntfs/dfir_ntfs-LogFile_10.bin.xz");
	assert_int_equal(read_events(img), 24);
	assert_non_null(strstr(ev.text, "WPSettings.dat: file record made\n"));
	image_free(img);
	img = real("ntfs/dfir_ntfs-LogFile_empty.bin.xz");
	assert_int_equal(read_events(img), 0);
	image_free(img);
	corpus_file(NULL);
}

/* Pages whose sectors don't belong together are left out; the others stay. */
static void a_torn_page_costs_itself(void **state)
{
	struct image *img = real("ntfs/dfir_ntfs-LogFile_7.bin.xz");
	size_t all, lost = 0;
	uint64_t page;

	(void)state;
	all = read_events(img);
	page = ev.off[all / 2] / 4096 * 4096;
	for (size_t i = 0; i < all; i++)
		lost += ev.off[i] / 4096 * 4096 == page ||
			(ev.off[i] < page && ev.off[i] + ev.len[i] > page);
	img->buf[page + 511] ^= 1;
	assert_int_equal(read_events(img), all - lost);
	image_free(img);
	corpus_file(NULL);
}

static void any_byte_may_be_wrong_and_the_end_missing(void **state)
{
	struct image *img = real("ntfs/dfir_ntfs-LogFile_10.bin.xz");
	size_t all;

	(void)state;
	all = read_events(img);
	for (size_t k = 0; k < all; k++) {
		uint64_t at = ev.off[k];

		for (uint64_t off = at; off < at + 48 + 32 && off < img->len; off += 3) {
			img->buf[off] ^= 0x80;
			read_events(img);
			img->buf[off] ^= 0x80;
		}
		read_events(img);
	}
	for (size_t len = img->len; len > 4096; len -= 4096 * 3 + 40) {
		image_resize(img, len);
		read_events(img);
	}
	image_free(img);
	corpus_file(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rename_is_told_from_both_of_its_sides),
		cmocka_unit_test(a_torn_page_costs_itself),
		cmocka_unit_test(any_byte_may_be_wrong_and_the_end_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
