/* SPDX-License-Identifier: Apache-2.0 */
/* A layer as a block device for the appliance: nbdkit with our plugin, on a private socket. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/keys.h"
#include "vdiskck/guest.h"

enum { ARGS_MAX = 200, START_MS = 60000, POLL_MS = 20 };

struct command_line {
	char *arg[ARGS_MAX + 1];
	size_t n;
	bool failed;
};

static void __attribute__((format(printf, 2, 3))) put(struct command_line *c, const char *fmt, ...)
{
	va_list ap;

	if (c->n == ARGS_MAX) {
		c->failed = true;
		return;
	}
	va_start(ap, fmt);
	if (vasprintf(&c->arg[c->n], fmt, ap) < 0)
		c->failed = true;
	else
		c->n++;
	va_end(ap);
}

static void command_free(struct command_line *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->arg[i]);
}

/* Memory that only a descriptor names: secrets go into no file, and on no command line. */
static int hidden(const void *p, size_t len)
{
	int fd = memfd_create("vdiskck", 0); /* nbdkit inherits it */

	if (fd >= 0 && (write(fd, p, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void put_key(FILE *f, const struct key *k)
{
	fputs(key_kind_name(k->kind), f);
	if (k->volume)
		fprintf(f, "@%s", k->volume);
	fputc(' ', f);
	if (k->kind & (KEY_BEK | KEY_KEYFILE))
		fprintf(f, "/proc/self/fd/%d", hidden(k->data, k->len));
	else if (k->kind & (KEY_PASSPHRASE | KEY_RECOVERY | KEY_PIM))
		fwrite(k->data, 1, k->len, f);
	else
		for (size_t i = 0; i < k->len; i++)
			fprintf(f, "%02x", k->data[i]);
	fputc('\n', f);
}

/* A descriptor with all keys of the run as a key file has them; -1: there are none. */
static int key_file(const struct keyring *ring)
{
	const struct key *k = keys_after(ring, NULL);
	int fd = k ? memfd_create("vdiskck keys", 0) : -1;
	FILE *f = fd >= 0 ? fdopen(dup(fd), "w") : NULL;

	if (!f)
		return fd;
	setvbuf(f, NULL, _IONBF, 0); /* no copy of a secret stays in a buffer */
	for (; k; k = keys_after(ring, k))
		put_key(f, k);
	fclose(f);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* As it was built, or as it is installed. */
static void put_plugin(struct command_line *c)
{
	static const char name[] = "nbdkit-vdiskck-plugin.so";
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(name) - 1);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash)
		strcpy(slash + 1, name);
	if (slash && !access(path, R_OK))
		put(c, "%s", path);
	else
		put(c, "vdiskck");
}

static void put_image(struct command_line *c, const struct run *r, const struct layer *l)
{
	const struct options *o = &r->s.opt;
	int keys = key_file(r->s.keys);

	/* A path that has a "=" is no parameter of its own then. */
	put(c, "image=%s", r->a->image);
	put(c, "at=%s", l->path);
	if (keys >= 0)
		put(c, "keys=fd:%d", keys);
	for (size_t i = 0; o->chain && o->chain[i]; i++)
		put(c, "chain=%s", o->chain[i]);
	for (size_t i = 0; o->header && o->header[i]; i++)
		put(c, "header=%s", o->header[i]);
	if (o->bad_map)
		put(c, "bad-map=%s", o->bad_map);
	if (o->format)
		put(c, "format=%s", o->format);
	if (o->rebuild)
		put(c, "rebuild=yes");
}

/* The last line that nbdkit said, for the message of a failure. */
static void last_line(const char *log, char *why, size_t cap)
{
	FILE *f = fopen(log, "r");
	char line[512];

	snprintf(why, cap, "nbdkit did not start");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (*line)
			snprintf(why, cap, "%s", line);
	}
	if (f)
		fclose(f);
}

static int await(pid_t pid, const char *socket)
{
	const struct timespec moment = {.tv_nsec = POLL_MS * 1000000L};

	for (int ms = 0; ms < START_MS; ms += POLL_MS) {
		int status;

		if (!access(socket, F_OK))
			return 0;
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : -EIO;
		nanosleep(&moment, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return -ETIMEDOUT;
}

pid_t guest_nbd_start(const struct run *r, const struct layer *l, const char *folder,
		      unsigned number, char socket[GUEST_SOCKET], char *why, size_t cap)
{
	struct command_line c = {0};
	char log[GUEST_SOCKET];
	pid_t pid = -1;
	int err = 0;

	snprintf(socket, GUEST_SOCKET, "%s/%u", folder, number);
	snprintf(log, sizeof(log), "%s/%u.log", folder, number);
	put(&c, "nbdkit");
	put(&c, "--foreground");
	put(&c, "--exit-with-parent");
	put(&c, "--readonly");
	put(&c, "--unix=%s", socket);
	put_plugin(&c);
	put_image(&c, r, l);
	if (!c.failed)
		pid = fork();
	if (!pid) {
		int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		dup2(fd, STDERR_FILENO);
		execvp(c.arg[0], c.arg);
		_exit(127);
	}
	command_free(&c);
	if (pid < 0)
		err = -ENOMEM;
	else
		err = await(pid, socket);
	if (err == -ENOENT)
		snprintf(why, cap, "nbdkit is not installed");
	else if (err)
		last_line(log, why, cap);
	return err ? err : pid;
}
