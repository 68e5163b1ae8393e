/* SPDX-License-Identifier: Apache-2.0 */
/* What the program can still do inside its sandbox, and what it can't any more. */
#include "tests/lib/image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vdiskck/core/pool.h"
#include "vdiskck/core/source.h"
#include "vdiskck/sandbox.h"

/* ROOT/img/{child,parent}  ROOT/out/  ROOT/secret */
struct place {
	char root[64], img[128], out[128], secret[128];
};

enum { GOOD = 0, BAD = 1, SETUP = 2, NOT_HERE = 77 };

static void put(const char *path)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs("text", f);
	fclose(f);
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	char path[192];

	snprintf(p->root, sizeof(p->root), "/tmp/vdiskck-test-XXXXXX");
	assert_non_null(mkdtemp(p->root));
	snprintf(p->img, sizeof(p->img), "%s/img", p->root);
	snprintf(p->out, sizeof(p->out), "%s/out", p->root);
	snprintf(p->secret, sizeof(p->secret), "%s/secret", p->root);
	mkdir(p->img, 0755);
	mkdir(p->out, 0755);
	put(p->secret);
	snprintf(path, sizeof(path), "%s/child", p->img);
	put(path);
	snprintf(path, sizeof(path), "%s/parent", p->img);
	put(path);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -r '%s'", p->root);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

struct inside {
	const struct place *p;
	struct layer *image;
	char report[SANDBOX_TEXT];
};

/* Run @fn in a sandbox of its own. Its exit status, or -signal. */
static int within(const struct place *p, int (*fn)(struct inside *in))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		struct inside in = {.p = p};
		const char *const write[] = {p->out, NULL};
		struct session s;
		char path[192];

		snprintf(path, sizeof(path), "%s/child", p->img);
		session_init(&s);
		if (source_open(&s, path, &in.image))
			_exit(SETUP);
		sandbox_enter(in.image, NULL, write, in.report);
		_exit(fn(&in));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

#define assert_within(p, fn, status)                                                               \
	do {                                                                                       \
		int r_ = within(p, fn);                                                            \
		if (r_ == NOT_HERE)                                                                \
			skip(); /* no Landlock in this kernel, or no seccomp in this build */      \
		assert_int_equal(r_, status);                                                      \
	} while (0)

static bool landlocked(const struct inside *in)
{
	return strstr(in->report, "Landlock") && !strstr(in->report, "no Landlock");
}

static bool filtered(const struct inside *in)
{
	return strstr(in->report, "seccomp") && !strstr(in->report, "no seccomp");
}

static int count(void *arg, size_t i)
{
	free(malloc(1 << 20));
	__atomic_fetch_add((size_t *)arg, i, __ATOMIC_RELAXED);
	return 0;
}

static int do_work(struct inside *in)
{
	char text[5] = "", path[192];
	struct layer *parent;
	struct timespec t;
	struct rlimit core;
	size_t sum = 0;
	FILE *f;

	if (layer_read(in->image, 0, text, 4, NULL) || strcmp(text, "text"))
		return BAD;
	if (source_open_beside(in->image, "parent", &parent))
		return BAD;
	layer_free(parent);
	if (pool_run(4, 1000, count, &sum) || sum != 999 * 1000 / 2)
		return BAD;
	if (clock_gettime(CLOCK_MONOTONIC, &t) || session_jobs(in->image->s) < 1)
		return BAD;
	snprintf(path, sizeof(path), "%s/report", in->p->out);
	f = fopen(path, "w");
	if (!f || fprintf(f, "%f\n", 1.5) < 0 || fflush(f) || ftruncate(fileno(f), 2) || fclose(f))
		return BAD;
	snprintf(path, sizeof(path), "%s/folder", in->p->out);
	if (mkdir(path, 0755) || rmdir(path))
		return BAD;
	source_changed(in->image);
	layer_free(in->image);
	/* And no core file tells what was in memory. */
	return getrlimit(RLIMIT_CORE, &core) || core.rlim_max ? BAD : GOOD;
}

static void work_goes_on(void **state)
{
	assert_within(*state, do_work, GOOD);
}

static int read_elsewhere(struct inside *in)
{
	if (!landlocked(in))
		return NOT_HERE;
	if (open(in->p->secret, O_RDONLY) >= 0 || errno != EACCES)
		return BAD;
	return open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES ? BAD : GOOD;
}

static void other_files_cannot_be_read(void **state)
{
	assert_within(*state, read_elsewhere, GOOD);
}

static int write_beside(struct inside *in)
{
	char path[192];

	if (!landlocked(in))
		return NOT_HERE;
	snprintf(path, sizeof(path), "%s/child", in->p->img);
	if (open(path, O_RDWR) >= 0 || !truncate(path, 0) || !unlink(path))
		return BAD;
	snprintf(path, sizeof(path), "%s/new", in->p->img);
	if (open(path, O_WRONLY | O_CREAT, 0644) >= 0 || !mkdir(path, 0755))
		return BAD;
	return open(in->p->secret, O_WRONLY) >= 0 ? BAD : GOOD;
}

static void the_evidence_cannot_be_written(void **state)
{
	assert_within(*state, write_beside, GOOD);
}

static int run_program(struct inside *in)
{
	if (!landlocked(in) && !filtered(in))
		return NOT_HERE;
	execl("/bin/true", "true", NULL);
	return errno == EACCES && !filtered(in) ? -SIGSYS & 0xff : BAD;
}

static void no_program_can_be_run(void **state)
{
	int r = within(*state, run_program);

	if (r == NOT_HERE)
		skip();
	assert_true(r == -SIGSYS || r == (-SIGSYS & 0xff));
}

static int open_socket(struct inside *in)
{
	return filtered(in) ? socket(AF_INET, SOCK_STREAM, 0) : NOT_HERE;
}

static void a_socket_kills(void **state)
{
	assert_within(*state, open_socket, -SIGSYS);
}

static int trace(struct inside *in)
{
	return filtered(in) ? (int)ptrace(PTRACE_TRACEME, 0, 0, 0) : NOT_HERE;
}

static void tracing_kills(void **state)
{
	assert_within(*state, trace, -SIGSYS);
}

static int make_process(struct inside *in)
{
	if (!filtered(in))
		return NOT_HERE;
	return fork() >= 0 || errno != ENOSYS ? BAD : GOOD;
}

static void processes_cannot_be_made(void **state)
{
	assert_within(*state, make_process, GOOD);
}

static int make_code(struct inside *in)
{
	void *p;

	if (!filtered(in))
		return NOT_HERE;
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0) != MAP_FAILED)
		return BAD;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED || !mprotect(p, 4096, PROT_READ | PROT_EXEC) ? BAD : GOOD;
}

static void data_cannot_become_code(void **state)
{
	assert_within(*state, make_code, GOOD);
}

static int stop_parent(struct inside *in)
{
	if (!filtered(in))
		return NOT_HERE;
	return !kill(getppid(), 0) ? BAD : GOOD;
}

static void others_cannot_be_signalled(void **state)
{
	assert_within(*state, stop_parent, GOOD);
}

static int give_up(struct inside *in)
{
	if (!filtered(in))
		return NOT_HERE;
	abort();
}

static void an_abort_is_still_one(void **state)
{
	assert_within(*state, give_up, -SIGABRT);
}

static int report_missing(struct inside *in)
{
	const char *const write[] = {"/no/such/folder", NULL};

	/* What can't be had is named, and does not stop the rest. */
	if (sandbox_enter(NULL, NULL, write, in->report) == 0)
		return BAD;
	return strstr(in->report, "no Landlock") ? GOOD : BAD;
}

static void a_missing_output_folder_is_in_the_report(void **state)
{
	struct place *p = *state;
	struct inside in = {.p = p};
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(report_missing(&in));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(work_goes_on),
		T(other_files_cannot_be_read),
		T(the_evidence_cannot_be_written),
		T(no_program_can_be_run),
		T(a_socket_kills),
		T(tracing_kills),
		T(processes_cannot_be_made),
		T(data_cannot_become_code),
		T(others_cannot_be_signalled),
		T(an_abort_is_still_one),
		T(a_missing_output_folder_is_in_the_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
