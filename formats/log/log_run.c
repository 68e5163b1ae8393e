/* SPDX-License-Identifier: Apache-2.0 */
/* What the logs of one run share. */
#include <pthread.h>
#include <stdlib.h>

#include "formats/log/binxml.h"
#include "formats/log/evtx.h"
#include "formats/log/journal.h"

enum { BOOTS_MAX = 4096 };

struct log_run {
	struct bx_pool *templates;
	pthread_mutex_t lock; /* of what follows */
	struct boot {
		uint8_t id[16];
		char channel[JOURNAL_CHANNEL];
	} * boot;
	size_t boots;
};

struct log_run *log_run_new(void)
{
	struct log_run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	pthread_mutex_init(&run->lock, NULL);
	run->templates = bx_pool_new();
	if (!run->templates) {
		log_run_free(run);
		return NULL;
	}
	return run;
}

void log_run_free(struct log_run *run)
{
	if (!run)
		return;
	bx_pool_free(run->templates);
	free(run->boot);
	pthread_mutex_destroy(&run->lock);
	free(run);
}

struct bx_pool *log_run_templates(struct log_run *run)
{
	return run->templates;
}

static struct boot *find(const struct log_run *run, const uint8_t id[16])
{
	/* Entries of one boot come together, and the latest boot is the last. */
	for (size_t i = run->boots; i > 0; i--)
		if (!memcmp(run->boot[i - 1].id, id, 16))
			return &run->boot[i - 1];
	return NULL;
}

void log_run_boot(struct log_run *run, const uint8_t id[16], const char *channel)
{
	struct boot *more;

	if (!run)
		return;
	pthread_mutex_lock(&run->lock);
	if (!find(run, id) && run->boots < BOOTS_MAX) {
		more = realloc(run->boot, (run->boots + 1) * sizeof(*more));
		if (more) {
			run->boot = more;
			more += run->boots++;
			memcpy(more->id, id, 16);
			strncpy(more->channel, channel, sizeof(more->channel) - 1);
			more->channel[sizeof(more->channel) - 1] = '\0';
		}
	}
	pthread_mutex_unlock(&run->lock);
}

bool log_run_booted(struct log_run *run, const uint8_t id[16], char channel[JOURNAL_CHANNEL])
{
	const struct boot *b;

	if (!run)
		return false;
	pthread_mutex_lock(&run->lock);
	b = find(run, id);
	if (b)
		memcpy(channel, b->channel, JOURNAL_CHANNEL);
	pthread_mutex_unlock(&run->lock);
	return b != NULL;
}
