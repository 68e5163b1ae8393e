/* SPDX-License-Identifier: Apache-2.0 */
/* Events that tell of trouble, and those that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "recover/symptoms.h"

static const char *said(const char *source, const char *provider, uint64_t id, const char *message)
{
	struct log_event e = {.source = source,
			      .provider = {provider, strlen(provider)},
			      .message = {message, strlen(message)},
			      .event_id = id,
			      .has_event_id = id != 0};

	return symptom_text(symptom_of(&e));
}

static void events_of_windows_are_told_by_provider_and_id(void **state)
{
	(void)state;
	assert_non_null(strstr(said("evtx", "disk", 153, ""), "took too long"));
	assert_non_null(strstr(said("evtx", "Ntfs", 55, ""), "corrupt"));
	assert_non_null(strstr(said("evtx", "Microsoft-Windows-Ntfs", 55, ""), "corrupt"));
	assert_non_null(strstr(said("evtx", "Microsoft-Windows-Kernel-Power", 41, ""), "without"));
	assert_non_null(strstr(said("evtx", "Microsoft-Windows-WHEA-Logger", 18, ""), "hardware"));
	assert_non_null(strstr(said("evt", "EventLog", 6008, ""), "not expected"));
	assert_string_equal(said("evtx", "disk", 1, ""), "");
	assert_string_equal(said("evtx", "Microsoft-Windows-WHEA-Logger", 21, ""), "");
	assert_string_equal(said("evtx", "Service Control Manager", 7036, ""), "");
	/* The words of a Linux kernel in an event of Windows are somebody's text. */
	assert_string_equal(said("evtx", "App", 9, "I/O error"), "");
}

static void lines_of_linux_are_told_by_their_words(void **state)
{
	(void)state;
	assert_non_null(strstr(
		said("journal", "kernel", 0, "blk_update_request: I/O error, dev xvda"), "device"));
	assert_non_null(strstr(
		said("journal", "kernel", 0, "EXT4-fs error (device dm-0): ext4_find_entry:1455"),
		"ext4"));
	assert_non_null(
		strstr(said("text", "kernel", 0, "Out of memory: Killed process 1"), "memory"));
	assert_non_null(
		strstr(said("journal", "kernel", 0,
			    "INFO: task jbd2/xvda1-8:210 blocked for more than 120 seconds."),
		       "did not answer"));
	assert_non_null(strstr(
		said("journal", "systemd", 0, "Failed to start Apply Kernel Variables."), "unit"));
	assert_string_equal(said("journal", "sshd", 0, "Failed to start talking"), "");
	assert_string_equal(said("journal", "kernel", 0, "EXT4-fs (dm-0): mounted filesystem"), "");
	assert_string_equal(said("journal", "", 0, ""), "");
}

static void every_rule_has_a_meaning(void **state)
{
	(void)state;
	assert_true(symptom_count() > 40);
	for (unsigned i = 1; i <= symptom_count(); i++)
		assert_true(strlen(symptom_text(i)) > 5);
	assert_string_equal(symptom_text(0), "");
	assert_string_equal(symptom_text(symptom_count() + 1), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_of_windows_are_told_by_provider_and_id),
		cmocka_unit_test(lines_of_linux_are_told_by_their_words),
		cmocka_unit_test(every_rule_has_a_meaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
