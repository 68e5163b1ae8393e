/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "vdiskck/core/source.h"

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

static void __attribute__((format(printf, 2, 3)))
say(char report[SANDBOX_TEXT], const char *fmt, ...)
{
	size_t n = strlen(report);
	va_list ap;

	n += (size_t)snprintf(report + n, SANDBOX_TEXT - n, "%s", n ? ", " : "");
	if (n >= SANDBOX_TEXT)
		return;
	va_start(ap, fmt);
	vsnprintf(report + n, SANDBOX_TEXT - n, fmt, ap);
	va_end(ap);
}

/*
 * Landlock, Linux Documentation/userspace-api/landlock.rst. The kernel may be newer or older than
 * the headers, so what came after ABI 2 is spelled out.
 */
struct ruleset {
	uint64_t fs;
	uint64_t net;	 /* ABI 4 */
	uint64_t scoped; /* ABI 6 */
};

enum {
	FS_TRUNCATE = 1 << 14,	/* ABI 3 */
	FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
	NET_ALL = 3,		/* bind and connect TCP */
	SCOPE_ALL = 3,		/* abstract sockets, signals */
};

static uint64_t fs_rights(long abi)
{
	uint64_t all = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1; /* ABI 1 */

	if (abi >= 2)
		all |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		all |= FS_TRUNCATE;
	if (abi >= 5)
		all |= FS_IOCTL_DEV;
	return all;
}

static int allow_path(int ruleset, const char *path, uint64_t rights)
{
	const uint64_t for_files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				   LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV;
	struct landlock_path_beneath_attr rule = {.allowed_access = rights};
	struct stat st;
	int r = 0;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return -errno;
	if (!fstat(rule.parent_fd, &st) && !S_ISDIR(st.st_mode))
		rule.allowed_access &= for_files;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		r = -errno;
	close(rule.parent_fd);
	return r;
}

static int allow_all(int ruleset, const struct layer *source, const char *const *read,
		     const char *const *write, uint64_t handled)
{
	/* How many processors there are; libgcrypt's and SQLite's fallback for getrandom(). */
	static const char *const system[] = {"/sys/devices/system/cpu", "/dev/urandom", NULL};
	const uint64_t to_read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	const uint64_t never = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
			       LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SOCK |
			       LANDLOCK_ACCESS_FS_MAKE_FIFO | FS_IOCTL_DEV;
	const char *folder;
	int r = 0;

	for (size_t i = 0; system[i]; i++)
		allow_path(ruleset, system[i], to_read); /* not everywhere: no matter */
	for (size_t i = 0; !r && (folder = source_folder(source, i)); i++)
		r = allow_path(ruleset, folder, to_read);
	/* The leak check lists the threads of the process before it stops them. */
	if (SANITIZED)
		allow_path(ruleset, "/proc", to_read);
	for (size_t i = 0; !r && read && read[i]; i++)
		r = allow_path(ruleset, read[i], to_read);
	for (size_t i = 0; !r && write && write[i]; i++)
		r = allow_path(ruleset, write[i], handled & ~never);
	return r;
}

static int landlock(const struct layer *source, const char *const *read, const char *const *write,
		    char report[SANDBOX_TEXT])
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset attr = {.fs = fs_rights(abi)};
	size_t len = sizeof(attr.fs);
	int fd, r;

	if (abi < 1) {
		r = abi < 0 ? -errno : -EOPNOTSUPP;
		say(report, "no Landlock (%s)", strerror(-r));
		return r;
	}
	if (abi >= 4) {
		attr.net = NET_ALL;
		len = 2 * sizeof(attr.fs);
	}
	if (abi >= 6) {
		attr.scoped = SCOPE_ALL;
		len = sizeof(attr);
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, len, 0);
	r = fd < 0 ? -errno : allow_all(fd, source, read, write, attr.fs);
	if (!r && syscall(SYS_landlock_restrict_self, fd, 0))
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (r)
		say(report, "no Landlock (%s)", strerror(-r));
	else
		say(report, "Landlock %ld", abi);
	return r;
}

/* What no parser does: not an error to be handled, but an attack to be ended. */
static const char *const attack[] = {
	"execve",
	"execveat",
	"ptrace",
	"process_vm_readv",
	"process_vm_writev",
	"pidfd_getfd",
	"socket",
	"connect",
	"bind",
	"listen",
	"accept",
	"accept4",
	"sendmmsg",
	"mount",
	"umount2",
	"pivot_root",
	"chroot",
	"move_mount",
	"open_tree",
	"fsopen",
	"unshare",
	"setns",
	"bpf",
	"perf_event_open",
	"init_module",
	"finit_module",
	"delete_module",
	"kexec_load",
	"kexec_file_load",
	"keyctl",
	"add_key",
	"request_key",
	"userfaultfd",
	"io_uring_setup",
	"open_by_handle_at",
	"reboot",
	"swapon",
	"swapoff",
	"setuid",
	"setgid",
	"setreuid",
	"setregid",
	"setresuid",
	"setresgid",
	"setgroups",
	"capset",
	"personality",
	"mknod",
	"mknodat",
	NULL,
};

/* The same, unless the image comes through a connection (add_connection()). */
static const char *const attack_local[] = {"sendto", "sendmsg", NULL};

/* What reading, threads, memory, time, output, SQLite and a prompt need. */
static const char *const needed[] = {
	/* files */
	"read",
	"pread64",
	"readv",
	"preadv",
	"preadv2",
	"write",
	"pwrite64",
	"writev",
	"pwritev",
	"pwritev2",
	"lseek",
	"_llseek",
	"close",
	"close_range",
	"fstat",
	"stat",
	"lstat",
	"newfstatat",
	"fstatat64",
	"statx",
	"fstatfs",
	"statfs",
	"access",
	"faccessat",
	"faccessat2",
	"readlink",
	"readlinkat",
	"getcwd",
	"open",
	"openat",
	"openat2",
	"getdents64",
	"fcntl",
	"flock",
	"dup",
	"dup2",
	"dup3",
	"fadvise64",
	"readahead",
	"copy_file_range",
	"splice",
	"pipe",
	"pipe2",
	"poll",
	"ppoll",
	"select",
	"pselect6",
	/* output */
	"fsync",
	"fdatasync",
	"sync_file_range",
	"fallocate",
	"ftruncate",
	"unlink",
	"unlinkat",
	"rename",
	"renameat",
	"renameat2",
	"mkdir",
	"mkdirat",
	"rmdir",
	"link",
	"linkat",
	"symlink",
	"symlinkat",
	"chmod",
	"fchmod",
	"fchmodat",
	"fchown",
	"fchownat",
	"lchown",
	"utimensat",
	"umask",
	"fsetxattr",
	"lsetxattr",
	/* memory */
	"munmap",
	"mremap",
	"madvise",
	"brk",
	"mlock",
	"mlock2",
	"munlock",
	"msync",
	"mincore",
	"membarrier",
	/* threads and processes */
	"futex",
	"futex_waitv",
	"set_robust_list",
	"get_robust_list",
	"rseq",
	"set_tid_address",
	"arch_prctl",
	"exit",
	"exit_group",
	"sched_yield",
	"sched_getaffinity",
	"sched_setaffinity",
	"getpid",
	"gettid",
	"getppid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"getcpu",
	"restart_syscall",
	/* signals and time */
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"rt_sigtimedwait",
	"rt_sigpending",
	"rt_sigsuspend",
	"sigaltstack",
	"clock_gettime",
	"clock_getres",
	"clock_nanosleep",
	"nanosleep",
	"gettimeofday",
	"time",
	"setitimer",
	"getitimer",
	"alarm",
	"timer_create",
	"timer_settime",
	"timer_delete",
	"times",
	"getrusage",
	/* the rest */
	"getrandom",
	"uname",
	"sysinfo",
	"getrlimit",
	"setrlimit",
	NULL,
};

static int add_names(scmp_filter_ctx f, uint32_t action, const char *const *name)
{
	int r = 0;

	for (; !r && *name; name++) {
		int number = seccomp_syscall_resolve_name(*name);

		/* A call that this machine does not have needs no rule. */
		if (number >= 0)
			r = seccomp_rule_add(f, action, number, 0);
	}
	return r;
}

/* Calls that are good or bad by what they are asked for. */
static int add_by_argument(scmp_filter_ctx f)
{
	const struct rule {
		int call;
		unsigned arg;
		enum scmp_compare op;
		uint64_t a, b; /* MASKED_EQ: mask and value */
	} rules[] = {
		{SCMP_SYS(ioctl), 1, SCMP_CMP_EQ, BLKGETSIZE64, 0},
		{SCMP_SYS(ioctl), 1, SCMP_CMP_EQ, BLKSSZGET, 0},
		{SCMP_SYS(ioctl), 1, SCMP_CMP_EQ, TCGETS, 0},
		{SCMP_SYS(ioctl), 1, SCMP_CMP_EQ, TCSETS, 0},
		{SCMP_SYS(ioctl), 1, SCMP_CMP_EQ, TCSETSW, 0},
		{SCMP_SYS(ioctl), 1, SCMP_CMP_EQ, TCSETSF, 0},
		{SCMP_SYS(ioctl), 1, SCMP_CMP_EQ, TIOCGWINSZ, 0},
		{SCMP_SYS(ioctl), 1, SCMP_CMP_EQ, FIONREAD, 0},
		/* Threads, but no processes. glibc takes clone() where clone3() is unknown. */
		{SCMP_SYS(clone), 0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD},
		/* Memory to hold data, not code. */
		{SCMP_SYS(mmap), 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0},
		{SCMP_SYS(mprotect), 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0},
		/* Signals to ourselves: abort(), raise(). */
		{SCMP_SYS(tgkill), 0, SCMP_CMP_EQ, (uint64_t)getpid(), 0},
		{SCMP_SYS(kill), 0, SCMP_CMP_EQ, (uint64_t)getpid(), 0},
		{SCMP_SYS(prlimit64), 0, SCMP_CMP_EQ, 0, 0},
		{SCMP_SYS(prctl), 0, SCMP_CMP_EQ, PR_SET_NAME, 0},
	};
	int r = 0;

	for (size_t i = 0; !r && i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct scmp_arg_cmp cmp = {rules[i].arg, rules[i].op, rules[i].a, rules[i].b};

		r = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, rules[i].call, 1, &cmp);
	}
	return r;
}

/* A connection that is open by now: send() gives no address. TLS sends by sendmsg(). */
static int add_connection(scmp_filter_ctx f)
{
	const struct scmp_arg_cmp no_address = {4, SCMP_CMP_EQ, 0, 0};
	int r = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 1, &no_address);

	return r ? r
		 : add_names(f, SCMP_ACT_ALLOW,
			     (const char *const[]){"sendmsg", "recvfrom", "recvmsg", "shutdown",
						   "getsockopt", NULL});
}

static int syscall_filter(bool remote, char report[SANDBOX_TEXT])
{
	scmp_filter_ctx f;
	int r = -ENOMEM;

	if (SANITIZED) {
		say(report, "no seccomp (built with AddressSanitizer)");
		return -EOPNOTSUPP;
	}
	f = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	if (f)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	/* A tree instead of a list of 150 comparisons before each pread(). */
	if (!r)
		seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!r)
		r = add_names(f, SCMP_ACT_KILL_PROCESS, attack);
	if (!r && !remote)
		r = add_names(f, SCMP_ACT_KILL_PROCESS, attack_local);
	if (!r)
		r = add_names(f, SCMP_ACT_ALLOW, needed);
	if (!r)
		r = add_by_argument(f);
	if (!r && remote)
		r = add_connection(f);
	if (!r)
		r = seccomp_load(f);
	seccomp_release(f);
	if (r)
		say(report, "no seccomp (%s)", strerror(-r));
	else
		say(report, "seccomp");
	return r;
}

int sandbox_enter(const struct layer *source, const char *const *read, const char *const *write,
		  char report[SANDBOX_TEXT])
{
	const struct rlimit none = {0, 0};
	int first = 0, r;

	report[0] = '\0';
	/* Memory holds keys and evidence: no core files, nobody attaches. */
	if (setrlimit(RLIMIT_CORE, &none) || (!SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))) {
		first = -errno;
		say(report, "may be dumped (%s)", strerror(errno));
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
		r = -errno;
		say(report, "may gain privileges (%s)", strerror(errno));
		first = first ? first : r;
	}
	r = landlock(source, read, write, report);
	first = first ? first : r;
	r = syscall_filter(source_is_remote(source), report);
	return first ? first : r;
}
