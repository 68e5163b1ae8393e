/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/image.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "crypto/keys.h"

static char said[4096];

static void on_error(void *arg, const char *line)
{
	(void)arg;
	snprintf(said, sizeof(said), "%s", line);
}

static int load(const char *text, struct keyring **ring)
{
	char path[] = "/tmp/vdiskck-keys-XXXXXX";
	int fd = mkstemp(path), r;
	struct session s;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	session_init(&s);
	s.on_error = on_error;
	*ring = NULL;
	*said = '\0';
	r = keys_load(&s, path, ring);
	session_fini(&s);
	unlink(path);
	return r;
}

static void kinds_values_and_volumes_are_told_apart(void **state)
{
	struct keyring *ring;
	const struct key *k;

	(void)state;
	assert_int_equal(load("# comment\n\npassphrase  two spaces, # and all \r\n"
			      "recovery@ABC-1 111111-222222\nvolume-key 00ff10\n",
			      &ring),
			 0);
	k = keys_next(ring, NULL, KEY_PASSPHRASE, NULL, NULL);
	assert_string_equal((const char *)k->data, " two spaces, # and all ");
	assert_int_equal(k->number, 1);
	assert_null(keys_next(ring, k, KEY_PASSPHRASE, NULL, NULL));
	assert_null(keys_next(ring, NULL, KEY_RECOVERY, "other", NULL));
	k = keys_next(ring, NULL, KEY_RECOVERY, "other", "abc-1");
	assert_string_equal((const char *)k->data, "111111-222222");
	k = keys_next(ring, NULL, KEY_VOLUME_KEY | KEY_RECOVERY, NULL, NULL);
	assert_int_equal(k->kind, KEY_VOLUME_KEY);
	assert_int_equal(k->len, 3);
	assert_memory_equal(k->data, "\x00\xff\x10", 3);
	keys_free(ring);
}

static void a_bad_line_is_named_by_number_and_not_repeated(void **state)
{
	static const char *const bad[] = {"passphrase ok\nsecretword\n", "passphrase ok\nfvek 0g\n",
					  "passphrase ok\nvmk abc\n", "passphrase ok\nvmk\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct keyring *ring;

		assert_int_equal(load(bad[i], &ring), -EINVAL);
		assert_non_null(strstr(said, "line 2"));
		assert_null(strstr(said, "secretword"));
		assert_null(strstr(said, "0g"));
		keys_free(ring);
	}
}

static void a_key_file_that_is_missing_says_so(void **state)
{
	struct keyring *ring;

	(void)state;
	assert_int_equal(load("keyfile /nonexistent/key\n", &ring), -ENOENT);
	assert_non_null(strstr(said, "keyfile /nonexistent/key"));
	keys_free(ring);
}

static void key_files_and_descriptors_are_read(void **state)
{
	char path[] = "/tmp/vdiskck-keyfile-XXXXXX", text[128];
	int fd = mkstemp(path), p[2];
	struct keyring *ring = NULL;
	const struct key *k;
	struct session s;

	(void)state;
	assert_int_equal(write(fd, "a\0b\n", 4), 4);
	close(fd);
	assert_int_equal(pipe(p), 0);
	snprintf(text, sizeof(text), "keyfile %s", path); /* no newline at the end */
	assert_int_equal(write(p[1], text, strlen(text)), strlen(text));
	close(p[1]);
	snprintf(text, sizeof(text), "fd:%d", p[0]);
	session_init(&s);
	assert_int_equal(keys_load(&s, text, &ring), 0);
	session_fini(&s);
	unlink(path);
	k = keys_next(ring, NULL, KEY_KEYFILE, NULL, NULL);
	assert_int_equal(k->len, 4);
	assert_memory_equal(k->data, "a\0b\n", 4);
	keys_free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_values_and_volumes_are_told_apart),
		cmocka_unit_test(a_bad_line_is_named_by_number_and_not_repeated),
		cmocka_unit_test(a_key_file_that_is_missing_says_so),
		cmocka_unit_test(key_files_and_descriptors_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
