/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shutdowns that were planned: Windows' tasks whose command shuts down or restarts, and what shutdown(8)
 * of systemd was told. Sources: [MS-TSCH] 2.5 (the XML of a task); systemd, src/login/logind-dbus.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/simple.h"
#include "formats/log/textlog.h"

enum { FILE_MAX = 256 << 10 };

static const char *const where[] = {
	"/windows/system32/tasks/**",
	"/windows/tasks/**",
	"/run/systemd/shutdown/scheduled",
	"/systemd/shutdown/scheduled",
	NULL,
};

static int schedule_open(struct layer *l)
{
	l->size = l->below->size;
	return 0;
}

/* The text of the first element of that name behind *@p, which moves behind it. */
static bool element(const char **p, const char *name, struct log_text *t)
{
	char open[64], shut[64];
	const char *from, *to;

	snprintf(open, sizeof(open), "<%s>", name);
	snprintf(shut, sizeof(shut), "</%s>", name);
	from = strstr(*p, open);
	to = from ? strstr(from, shut) : NULL;
	if (!to)
		return false;
	from += strlen(open);
	*t = (struct log_text){from, (size_t)(to - from)};
	*p = to;
	return true;
}

static bool shuts_down(struct log_text command, struct log_text arguments)
{
	static const char *const word[] = {"shutdown", "restart-computer", "stop-computer",
					   "psshutdown"};
	char text[512];

	snprintf(text, sizeof(text), "%.*s %.*s", (int)(command.len < 255 ? command.len : 255),
		 command.p, (int)(arguments.len < 250 ? arguments.len : 250), arguments.p);
	for (size_t i = 0; i < sizeof(word) / sizeof(*word); i++)
		if (strcasestr(text, word[i]))
			return true;
	return false;
}

/* What a task runs, if that is a shutdown. */
static bool action(const char *text, struct log_text *command, struct log_text *arguments)
{
	if (!element(&text, "Command", command))
		return false;
	if (!element(&text, "Arguments", arguments))
		*arguments = LOG_TEXT("");
	return shuts_down(*command, *arguments);
}

static int send(const struct log_sink *sink, struct log_event *e, struct buf *data,
		struct buf *message)
{
	e->source = "schedule";
	e->channel = LOG_TEXT("shutdown");
	e->written = sink->modified;
	e->state = e->failed ? LOG_DOUBTFUL : LOG_INTACT;
	e->data = log_object_end(data);
	e->message = (struct log_text){message->p, message->len};
	return data->failed || message->failed ? -ENOMEM : log_send(sink, e);
}

/* A task: when it was to run first, and what. */
static int task(const char *text, const struct log_sink *sink, struct log_event *e,
		struct buf *data, struct buf *message)
{
	struct log_text command, arguments, t;
	const char *p = text;

	if (!action(text, &command, &arguments))
		return 0;
	if (element(&p, "StartBoundary", &t)) {
		/* Without a zone: the machine's. */
		log_member(data, "start", t.p, t.len);
		log_time_parse(t.p, t.len, &e->time);
	}
	p = text;
	if (element(&p, "URI", &t))
		log_member(data, "task", t.p, t.len);
	p = text;
	if (element(&p, "Author", &t))
		log_member(data, "author", t.p, t.len);
	p = text;
	if (element(&p, "Enabled", &t))
		log_member(data, "enabled", t.p, t.len);
	buf_lit(message, "scheduled task: ");
	buf_put(message, command.p, command.len);
	buf_char(message, ' ');
	buf_put(message, arguments.p, arguments.len);
	return send(sink, e, data, message);
}

/* "USEC=1500000000000000", "MODE=reboot", "WALL_MESSAGE=..." */
static int scheduled(const char *text, const struct log_sink *sink, struct log_event *e,
		     struct buf *data, struct buf *message)
{
	uint64_t usec = strtoull(text + 5, NULL, 10);
	const char *mode = strstr(text, "\nMODE="), *wall = strstr(text, "\nWALL_MESSAGE=");

	e->time = (struct log_time){.sec = (int64_t)(usec / 1000000),
				    .nsec = (uint32_t)(usec % 1000000) * 1000,
				    .known = usec != 0};
	buf_lit(message, "scheduled: ");
	mode = mode ? mode + 6 : "shutdown";
	buf_put(message, mode, strcspn(mode, "\n"));
	if (wall)
		log_member(data, "wall", wall + 14, strcspn(wall + 14, "\n"));
	return send(sink, e, data, message);
}

/* All of the file as UTF-8, ended by NUL; @e: what is lost of it. free(text->p). */
static int load(struct layer *l, struct buf *text, struct log_event *e)
{
	struct text_lines x = {.in = l};
	struct text_line line;
	int r;

	while ((r = text_next(&x, &line)) == 1 && text->len < FILE_MAX) {
		e->failed |= line.lost ? LOG_LOST : line.hole ? LOG_CONTENT : 0;
		e->len = line.off + line.raw;
		if (!line.hole)
			buf_put(text, line.p, line.len);
		buf_char(text, '\n');
	}
	text_end(&x);
	buf_char(text, '\0');
	return text->failed ? -ENOMEM : r < 0 ? r : 0;
}

static bool is_scheduled(const char *text)
{
	return !strncmp(text, "USEC=", 5);
}

static int schedule_probe(struct layer *below)
{
	struct log_event e = {.failed = 0};
	struct log_text command, arguments;
	struct buf text = {0};
	int score = 0;

	if (log_named(below, where) && below->size <= FILE_MAX && !load(below, &text, &e) &&
	    (is_scheduled(text.p) || action(text.p, &command, &arguments)))
		score = 95;
	buf_free(&text);
	return score;
}

static int schedule_records(struct layer *l, const struct log_sink *sink)
{
	struct buf text = {0}, data = {0}, message = {0};
	struct log_event e = {.failed = 0};
	int r = load(l, &text, &e);

	log_object(&data);
	if (!r)
		r = is_scheduled(text.p) ? scheduled(text.p, sink, &e, &data, &message)
					 : task(text.p, sink, &e, &data, &message);
	buf_free(&text);
	buf_free(&data);
	buf_free(&message);
	return r;
}

const struct layer_ops schedule_ops = {
	.name = "schedule",
	.kind = LAYER_LOG,
	.probe = schedule_probe,
	.open = schedule_open,
	.read = log_pass_read,
	.map = log_pass_map,
};

const struct log_driver schedule_log = {
	.ops = &schedule_ops,
	.where = where,
	.rare = true,
	.records = schedule_records,
};
