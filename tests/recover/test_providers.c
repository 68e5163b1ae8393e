/* SPDX-License-Identifier: Apache-2.0 */
/* Where the registry's names of programs lead. tests/cli/messages.bats has the rest. */
#include <string.h>

#include "recover/providers.h"
#include "tests/lib/image.h"

static void names_of_programs_lead_to_the_same_volume(void **state)
{
	static const char *const name[][2] = {
		{"%SystemRoot%\\System32\\x.dll", "/Windows/System32/x.dll"},
		{"%systemroot%\\x.dll", "/Windows/x.dll"},
		{"C:\\Program Files\\Citrix\\x.dll", "/Program Files/Citrix/x.dll"},
		{"%ProgramFiles%\\a\\x.dll", "/Program Files/a/x.dll"},
		{"%ProgramFiles(x86)%\\x.dll", "/Program Files (x86)/x.dll"},
		{"\\SystemRoot\\System32\\x.sys", "/Windows/System32/x.sys"},
		{"\\??\\C:\\Windows\\x.sys", "/Windows/x.sys"},
		{"System32\\drivers\\x.sys", "/Windows/System32/drivers/x.sys"},
		{"x.dll", "/Windows/System32/x.dll"},
		{" \"D:\\x y.dll\" ", "/x y.dll"},
	};
	char path[256];

	(void)state;
	for (size_t i = 0; i < sizeof(name) / sizeof(*name); i++)
		assert_string_equal(providers_path(name[i][0], path, sizeof(path)), name[i][1]);
	providers_path("%SystemRoot%\\System32\\long.dll", path, 20);
	assert_string_equal(path, "/Windows/System32/l");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_programs_lead_to_the_same_volume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
