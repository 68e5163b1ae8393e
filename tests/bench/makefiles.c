/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long the kernel takes to make the files of a tree, with bytes of no matter and times: the
 * floor of any extraction. makefiles OUT THREADS <LIST, lines "d PATH", then "f SIZE PATH", as
 * find's -printf 'd %P\n' and 'f %s %P\n' give them.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS_MAX = 64 };

static char **line;
static size_t n, first; /* lines; the first of a file */
static int root;
static unsigned threads;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void make(int dir, const char *name, size_t size)
{
	static const struct timespec t[2] = {{1500000000, 100}, {1500000000, 100}};
	static char bytes[1 << 20];
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0)
		fail(name);
	for (size_t left = size, k; left; left -= k) {
		k = left < sizeof(bytes) ? left : sizeof(bytes);
		if (write(fd, bytes, k) != (ssize_t)k)
			fail(name);
	}
	futimens(fd, t);
	close(fd);
}

/* A share of the files that lie together; the folder of the last one stays open. */
static void *work(void *arg)
{
	size_t i = first + (n - first) * (size_t)arg / threads;
	size_t end = first + (n - first) * ((size_t)arg + 1) / threads, len = 0;
	const char *folder = "";
	int dir = dup(root);

	for (; i < end; i++) {
		char *path, *slash;
		size_t size = strtoull(line[i] + 2, &path, 10);

		slash = strrchr(++path, '/');
		if (slash && (len != (size_t)(slash - path) || memcmp(folder, path, len))) {
			close(dir);
			folder = path;
			len = (size_t)(slash - path);
			*slash = '\0';
			dir = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			*slash = '/';
			if (dir < 0)
				fail(path);
		}
		make(slash ? dir : root, slash ? slash + 1 : path, size);
	}
	close(dir);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t id[THREADS_MAX];
	char *text = NULL;
	size_t cap = 0, room = 0;
	ssize_t len;

	threads = argc == 3 ? (unsigned)atoi(argv[2]) : 0;
	if (!threads || threads > THREADS_MAX || mkdir(argv[1], 0777))
		fail("makefiles OUT THREADS");
	root = open(argv[1], O_RDONLY | O_DIRECTORY);
	while ((len = getline(&text, &cap, stdin)) > 0) {
		text[len - 1] = '\0';
		if (n == room)
			line = realloc(line, (room = room ? 2 * room : 1 << 16) * sizeof(*line));
		if (!line || !(line[n++] = strdup(text)))
			fail("memory");
	}
	for (; first < n && line[first][0] == 'd'; first++)
		mkdirat(root, line[first] + 2, 0777);
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&id[i], NULL, work, (void *)(size_t)i))
			fail("thread");
	for (unsigned i = 0; i < threads; i++)
		pthread_join(id[i], NULL);
	return 0;
}
