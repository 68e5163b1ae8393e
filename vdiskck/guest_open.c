/* SPDX-License-Identifier: Apache-2.0 */
/* When the appliance is wanted, and for which volumes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "formats/signature.h"
#include "formats/stack.h"
#include "vdiskck/filespec.h"
#include "vdiskck/guest.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"

/* What the kernel of an appliance may mount. A native driver takes its name off this list. */
static const char *const foreign[] = {"xfs",	  "btrfs", "f2fs",     "hfs+",
				      "reiserfs", "jfs",   "squashfs", "iso9660"};

struct choice {
	struct guest_job job;
	char type[GUEST_VOLUMES][16];
	bool own; /* a file system that we read is there */
	size_t left_out;
};

static bool is_foreign(const char *name)
{
	for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++)
		if (!strcmp(foreign[i], name))
			return true;
	return false;
}

static int consider(void *arg, struct layer *l)
{
	struct choice *c = arg;
	struct signature sig;

	if (!layer_within(l, c->job.r->volume))
		return 0;
	c->own |= l->ops->kind == LAYER_FILESYSTEM && !l->state && l->ops->fs;
	if (l->ops->kind == LAYER_SOURCE || l->child || l->state || l->locked || l->lazy ||
	    l->chain_child || !signature_at(l, 0, &sig) || sig.from || !is_foreign(sig.name))
		return 0;
	if (c->job.n == GUEST_VOLUMES) {
		c->left_out++;
		return 0;
	}
	snprintf(c->type[c->job.n], sizeof(c->type[0]), "%s", sig.name);
	c->job.volume[c->job.n++] = l;
	return 0;
}

/* Only those that the command line names: by --volume, or in front of a file. */
static void keep_named(struct choice *c)
{
	const struct args *a = c->job.r->a;
	size_t n = 0;

	for (size_t i = 0; i < c->job.n; i++) {
		bool named = a->volume != NULL;

		for (size_t k = 0; k < a->n_rest && !named; k++)
			named = filespec_names(c->job.r->source, a->rest[k], c->job.volume[i]);
		if (!named)
			continue;
		c->job.volume[n] = c->job.volume[i];
		memmove(c->type[n++], c->type[i], sizeof(c->type[0]));
	}
	c->job.n = n;
}

/*
 * --guest=auto: what is named; all when there is nothing that we read ourselves; for `logs` all, for
 * a log that was not looked for is missed by nobody.
 */
static void choose(struct choice *c)
{
	const struct args *a = c->job.r->a;

	stack_walk(c->job.r->source, consider, c);
	if (a->guest == WHEN_AUTO && (a->cmd->bit & CMD_CHECK))
		c->job.n = 0;
	else if (a->guest == WHEN_AUTO && c->own && !(a->cmd->bit & CMD_LOGS))
		keep_named(c);
}

static void announce(struct choice *c)
{
	struct run *r = c->job.r;

	if (r->a->quiet)
		return;
	progress_wipe(&r->progress);
	for (size_t i = 0; i < c->job.n; i++) {
		fputs("vdiskck: ", stderr);
		text_put(stderr, c->job.volume[i]->path);
		fprintf(stderr,
			" holds %s, which libguestfs reads: its appliance starts now, "
			"that takes some 20 s\n",
			c->type[i]);
	}
}

/* The helper keeps neither our output open nor our image, and outlives a Ctrl-C to clean up. */
static void become_helper(const struct guest_job *job, int fd)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGALRM, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	guest_serve(job, fd);
}

static struct guest *start(struct choice *c)
{
	struct guest *g = NULL;
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return NULL;
	pid = fork();
	if (!pid) {
		close(pair[0]);
		become_helper(&c->job, pair[1]);
	}
	close(pair[1]);
	if (pid > 0)
		g = guest_new(&c->job.r->s, pair[0]);
	if (!g)
		close(pair[0]);
	return g;
}

int guest_open(struct run *r)
{
	struct choice c = {.job.r = r};
	char why[512] = "no memory";
	struct guest *g;
	int err;

	if (r->a->guest == WHEN_NO)
		return 0;
	choose(&c);
	if (c.left_out && c.job.n)
		session_err(&r->s, 0, "%zu more volumes than libguestfs is asked for at once",
			    c.left_out);
	if (!c.job.n)
		return 0;
	announce(&c);
	/* A helper that died is an error of write(), not the end. */
	signal(SIGPIPE, SIG_IGN);
	g = start(&c);
	err = g ? guest_launch(g, why, sizeof(why)) : -ENOMEM;
	for (size_t i = 0; i < c.job.n && !err; i++) {
		err = guest_attach(g, c.job.volume[i], (unsigned)i, r->a->cmd->bit & CMD_CHECK);
		snprintf(why, sizeof(why), "the appliance ended");
	}
	if (err && err != -EINTR)
		run_fail(r, 0, "%s: %s on %s can't be read: %s", r->a->image, c.type[0],
			 c.job.volume[0]->path, why);
	if (g)
		guest_put(g);
	return err;
}
