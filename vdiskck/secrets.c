/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include "crypto/keys.h"
#include "crypto/prim.h"
#include "vdiskck/out_text.h"

enum { ANSWER_MAX = 1024, TRIES = 3 };

/* The sanitizers' leak check traces the process, which one that can't be dumped does not allow. */
#if defined(__SANITIZE_ADDRESS__)
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

/* Eight groups of six digits: what BitLocker calls a recovery password. */
static bool is_recovery(const char *s)
{
	for (int i = 0; i < 55; i++)
		if (i % 7 == 6 ? s[i] != '-' : s[i] < '0' || s[i] > '9')
			return false;
	return !s[55];
}

/*
 * One line from the terminal. The echo is off before the question is there: an answer that comes
 * at once is neither shown nor flushed away. The length, or -1 at its end or on a signal.
 */
static ssize_t ask(int tty, const char *path, char *answer)
{
	struct termios shown, hidden;
	ssize_t n = 0, got = 0;

	if (tcgetattr(tty, &shown))
		return -1;
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	hidden.c_lflag |= ECHONL | ICANON;
	if (tcsetattr(tty, TCSAFLUSH, &hidden))
		return -1;
	fputs("Passphrase or recovery password for ", stderr);
	text_put(stderr, path);
	fputs(" (Enter: leave it locked): ", stderr);
	while (n < ANSWER_MAX - 1 && (got = read(tty, answer + n, 1)) == 1 && answer[n] != '\n')
		n++;
	tcsetattr(tty, TCSADRAIN, &shown);
	answer[n] = '\0';
	return got == 1 ? n : -1;
}

/* Called by discovery for a locked layer: ask until the user gives up on it. */
static bool on_locked(void *arg, struct layer *l)
{
	struct run *r = arg;
	char *answer = prim_secret(ANSWER_MAX);
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	bool added = false;
	ssize_t n;

	if (r->asked != l)
		r->tries = 0;
	r->asked = l;
	if (answer && tty >= 0 && r->tries < TRIES) {
		progress_wipe(&r->progress);
		if (r->tries++)
			fputs("It does not fit. ", stderr);
		n = ask(tty, l->path, answer);
		added = n > 0 &&
			!keys_add(&r->s.keys, is_recovery(answer) ? KEY_RECOVERY : KEY_PASSPHRASE,
				  NULL, answer, (size_t)n);
		if (n <= 0)
			r->tries = TRIES;
	}
	if (tty >= 0)
		close(tty);
	prim_secret_free(answer);
	return added;
}

int secrets_open(struct run *r)
{
	const struct rlimit none = {0, 0};
	const char *spec = r->a->keys ? r->a->keys : getenv("VDISKCK_KEYS");

	setrlimit(RLIMIT_CORE, &none);
	if (!SANITIZED)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (spec && *spec)
		return keys_load(&r->s, spec, &r->s.keys);
	if (r->a->cmd->bit & CMD_SEAL) /* ciphertext is sealed as it is: nobody needs to be asked */
		return 0;
	if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
		r->s.on_locked = on_locked;
	return 0;
}

void secrets_close(struct run *r)
{
	keys_free(r->s.keys);
	r->s.keys = NULL;
}
