/* SPDX-License-Identifier: Apache-2.0 */
/* Report.wer, what Windows Error Reporting says of a crash: lines of key=value, in UTF-16. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/simple.h"
#include "formats/log/textlog.h"

enum { HEAD = 256, DATA_MAX = 256 << 10 };

static bool starts(const char *p, size_t len, const char *with)
{
	size_t n = strlen(with);

	return len >= n && !memcmp(p, with, n);
}

/* "Version=1", "EventType=..." */
static int wer_probe(struct layer *below)
{
	uint8_t head[HEAD];
	size_t n = below->size < HEAD ? (size_t)below->size : HEAD;
	struct text_lines x = {.mem = head, .mem_len = n};
	struct text_line line;
	int score = 0;

	if ((below->ops->kind != LAYER_FILE && below->ops->kind != LAYER_SOURCE &&
	     below->ops->kind != LAYER_CONTAINER) ||
	    !n || layer_read(below, 0, head, n, NULL))
		return 0;
	if (text_next(&x, &line) == 1 && starts(line.p, line.len, "Version=") &&
	    text_next(&x, &line) == 1 && starts(line.p, line.len, "EventType="))
		score = 92;
	text_end(&x);
	return score;
}

static int wer_open(struct layer *l)
{
	l->size = l->below->size;
	return l->size ? 0 : -EBADMSG;
}

struct report {
	struct log_event e;
	struct buf data, type, app, name; /* @name: of the parameter whose value comes next */
};

static void copy(struct buf *to, const char *p, size_t len)
{
	to->len = 0;
	if (len)
		buf_put(to, p, len);
}

static void event_time(struct report *w, const char *p, size_t len)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9' || i > 18) {
			w->e.failed |= LOG_CONTENT;
			return;
		}
		v = v * 10 + (unsigned)(p[i] - '0');
	}
	w->e.time = log_filetime(v);
}

static bool ends(const char *p, size_t len, const char *with)
{
	size_t n = strlen(with);

	return len > n && !memcmp(p + len - n, with, n);
}

/* Sig[0].Name=Application Name, and then Sig[0].Value=foo.exe; DynamicSig is like it. */
static void put_pair(struct report *w, const char *key, size_t key_len, const char *p, size_t len)
{
	if (ends(key, key_len, ".Name")) {
		copy(&w->name, p, len);
		return;
	}
	if (w->data.len > 1)
		buf_char(&w->data, ',');
	buf_char(&w->data, '"');
	if (ends(key, key_len, ".Value") && w->name.len)
		buf_json(&w->data, w->name.p, w->name.len);
	else
		buf_json(&w->data, key, key_len);
	w->name.len = 0;
	buf_lit(&w->data, "\":\"");
	buf_json(&w->data, p, len);
	buf_char(&w->data, '"');
}

static void take(struct report *w, const struct text_line *line)
{
	const char *eq = line->len ? memchr(line->p, '=', line->len) : NULL;
	size_t key, len;

	if (line->lost || line->hole)
		w->e.failed |= line->lost ? LOG_LOST : LOG_CONTENT;
	if (line->hole || !eq)
		return;
	key = (size_t)(eq - line->p);
	len = line->len - key - 1;
	eq++;
	if (key == 9 && starts(line->p, key, "EventTime"))
		event_time(w, eq, len);
	if (key == 9 && starts(line->p, key, "EventType"))
		copy(&w->type, eq, len);
	if (key == 7 && starts(line->p, key, "AppName"))
		copy(&w->app, eq, len);
	/* Hundreds of modules are no news, and the file has them. */
	if (key && w->data.len < DATA_MAX && !starts(line->p, key, "LoadedModule") &&
	    !starts(line->p, key, "UI["))
		put_pair(w, line->p, key, eq, len);
}

static int wer_records(struct layer *l, const struct log_sink *sink)
{
	struct report w = {.e = {.source = "wer",
				 .channel = LOG_TEXT("Windows Error Reporting"),
				 .level = LOG_TEXT("error")}};
	struct text_lines x = {.in = l};
	struct text_line line;
	int r;

	log_object(&w.data);
	while ((r = text_next(&x, &line)) == 1) {
		w.e.len = line.off + line.raw;
		take(&w, &line);
	}
	text_end(&x);
	if (w.type.len && w.app.len)
		buf_lit(&w.type, ": ");
	if (w.app.len)
		buf_put(&w.type, w.app.p, w.app.len);
	w.e.data = log_object_end(&w.data);
	w.e.message = (struct log_text){w.type.p, w.type.len};
	w.e.provider = w.app.len ? (struct log_text){w.app.p, w.app.len} : w.e.provider;
	w.e.written = w.e.time;
	w.e.state = w.e.failed ? LOG_DOUBTFUL : LOG_INTACT;
	if (!r && w.e.len)
		r = w.data.failed || w.type.failed || w.app.failed || w.name.failed
			    ? -ENOMEM
			    : log_send(sink, &w.e);
	buf_free(&w.data);
	buf_free(&w.type);
	buf_free(&w.app);
	buf_free(&w.name);
	return r;
}

static const char *const where[] = {
	"/programdata/microsoft/windows/wer/**.wer",
	"/users/*/appdata/local/microsoft/windows/wer/**.wer",
	"/windows/system32/config/systemprofile/appdata/local/microsoft/windows/wer/**.wer",
	"/windows/system32/wer/**.wer",
	NULL,
};

const struct layer_ops wer_ops = {
	.name = "wer",
	.kind = LAYER_LOG,
	.probe = wer_probe,
	.open = wer_open,
	.read = log_pass_read,
	.map = log_pass_map,
};

const struct log_driver wer_log = {
	.ops = &wer_ops,
	.where = where,
	.records = wer_records,
};
