/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line taken apart: one table of how lines begin, and what is behind the time. Shapes as RFC 3164,
 * RFC 5424, printk, dpkg, apt, auditd, Xen and XenServer, cloud-init, and Windows' setup, servicing
 * and update logs write them.
 */
#include <string.h>

#include "formats/log/textlog.h"

#define DATE	  "%Y-%m-%d"
#define DATE_PATH "%Y/%m/%d"
#define CLOCK	  "%H:%M:%S%f"

/* In the order tried: what is more special is first. */
static const struct text_kind kinds[] = {
	{"syslog", "%b %e " CLOCK " ", SPLIT_SYSLOG, false},
	{"syslog", DATE "T" CLOCK "%z ", SPLIT_SYSLOG, false},
	{"dmesg", "[%a %b %e %H:%M:%S %Y] ", SPLIT_NONE, false},
	{"dmesg", "[%u] ", SPLIT_NONE, false},
	{"dmesg", "[%u][%*] ", SPLIT_NONE, false}, /* CONFIG_PRINTK_CALLER */
	{"servicing", DATE " %H:%M:%S, ", SPLIT_COMMA, false},
	{"setupapi", ">>> Section start " DATE_PATH " " CLOCK, SPLIT_NONE, true},
	{"setupapi", "[Boot Session: " DATE_PATH " " CLOCK "]", SPLIT_NONE, true},
	{"apt", "Start-Date: " DATE " " CLOCK, SPLIT_NONE, true},
	{"audit", "type=%* msg=audit(%s:", SPLIT_AUDIT, true},
	{"xen", "(XEN) [" DATE " " CLOCK "] ", SPLIT_NONE, false},
	{"xen", "(XEN) [%u] ", SPLIT_NONE, false},
	{"xapi", "[%Y%m%dT" CLOCK "%z|", SPLIT_NONE, false},
	{"text", DATE " " CLOCK "%z - ", SPLIT_PYTHON, false},
	{"text", DATE " " CLOCK "%z", SPLIT_NONE, false},
	{"text", DATE "T" CLOCK "%z", SPLIT_NONE, false},
	{"text", "[" DATE "T" CLOCK "%z] ", SPLIT_NONE, false},
	{"text", "[" DATE " " CLOCK "%z] ", SPLIT_NONE, false},
	{"text", "[" DATE " %H:%M] ", SPLIT_NONE, false},
	{"text", DATE_PATH " " CLOCK "%z ", SPLIT_NONE, false},
	{"windows update", "{%*} " DATE " " CLOCK "%z ", SPLIT_NONE, false},
	{"text", "%a %b %e " CLOCK " %Y", SPLIT_NONE, false},
	{"text", "Cloud-init v. %*'%*' at %a, %e %b %Y %H:%M:%S%z", SPLIT_NONE, true},
};

struct level {
	const char *word, *name;
};

/* Words that are levels when they stand where a level stands; as the journal's levels are named. */
static const struct level levels[] = {
	{"EMERG", "emergency"}, {"ALERT", "alert"},	  {"CRIT", "critical"},
	{"FATAL", "critical"},	{"ERROR", "error"},	  {"ERR", "error"},
	{"WARN", "warning"},	{"NOTICE", "notice"},	  {"INFO", "info"},
	{"DEBUG", "debug"},	{"DDEBUG", "debug"},	  {"TRACE", "debug"},
	{"SUBDEBUG", "debug"},	{"CRITICAL", "critical"}, {"WARNING", "warning"},
	{"PERF", "info"},	{"EXCEPTION", "error"},
};

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool is_level(struct log_text word, struct log_text *level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
		size_t n = strlen(levels[i].word), k = 0;

		while (k < n && k < word.len && upper(word.p[k]) == levels[i].word[k])
			k++;
		if (k == n && word.len == n) {
			*level = (struct log_text){levels[i].name, strlen(levels[i].name)};
			return true;
		}
	}
	return false;
}

static void skip_blanks(struct log_text *t)
{
	while (t->len && (*t->p == ' ' || *t->p == '\t')) {
		t->p++;
		t->len--;
	}
}

/* The text up to a blank; @t goes on behind it. */
static struct log_text word(struct log_text *t)
{
	struct log_text w = {t->p, 0};

	while (w.len < t->len && t->p[w.len] != ' ' && t->p[w.len] != '\t')
		w.len++;
	t->p += w.len;
	t->len -= w.len;
	skip_blanks(t);
	return w;
}

static bool digits(struct log_text t, uint64_t *v)
{
	*v = 0;
	for (size_t i = 0; i < t.len; i++) {
		if (t.p[i] < '0' || t.p[i] > '9' || i > 17)
			return false;
		*v = *v * 10 + (unsigned)(t.p[i] - '0');
	}
	return t.len;
}

/* "name[12]" */
static void take_pid(struct text_parts *out)
{
	const char *open = memchr(out->program.p, '[', out->program.len);
	struct log_text in;

	if (!open || out->program.p[out->program.len - 1] != ']')
		return;
	in = (struct log_text){open + 1,
			       (size_t)(out->program.p + out->program.len - 1 - (open + 1))};
	out->has_pid = digits(in, &out->pid);
	if (out->has_pid)
		out->program.len = (size_t)(open - out->program.p);
}

/* "host program[pid]: text"; yum has no host; dnf has a level instead of both. */
static void split_syslog(struct text_parts *out)
{
	struct log_text rest = out->message, first = word(&rest), second = rest, tag;

	if (is_level(first, &out->level)) {
		out->message = rest;
		return;
	}
	if (first.len && first.p[first.len - 1] == ':') {
		tag = first;
	} else {
		out->host = first;
		out->message = rest;
		tag = word(&second);
		rest = second;
	}
	if (!tag.len || tag.p[tag.len - 1] != ':')
		return;
	out->program = (struct log_text){tag.p, tag.len - 1};
	out->message = rest;
	if (out->program.len)
		take_pid(out);
}

/* "Info                  CBS    text" */
static void split_comma(struct text_parts *out)
{
	struct log_text rest = out->message, first = word(&rest);

	if (!is_level(first, &out->level))
		return;
	out->message = rest;
	first = word(&rest);
	if (first.len && first.len <= 16 && *first.p != '[' && rest.len) {
		out->program = first;
		out->message = rest;
	}
}

/* "util.py[DEBUG]: text" */
static void split_python(struct text_parts *out)
{
	const char *open = memchr(out->message.p, '[', out->message.len), *close;
	size_t left;

	if (!open)
		return;
	left = out->message.len - (size_t)(open - out->message.p);
	close = memchr(open, ']', left);
	if (!close ||
	    !is_level((struct log_text){open + 1, (size_t)(close - open - 1)}, &out->level))
		return;
	out->program = (struct log_text){out->message.p, (size_t)(open - out->message.p)};
	left -= (size_t)(close - open) + 1;
	out->message = (struct log_text){close + 1, left};
	if (left && close[1] == ':')
		out->message = (struct log_text){close + 2, left - 1};
	skip_blanks(&out->message);
}

/* "1234): ..." behind the time */
static void take_serial(struct log_text rest, struct text_parts *out)
{
	const char *close = memchr(rest.p, ')', rest.len);

	if (close)
		out->has_id = digits((struct log_text){rest.p, (size_t)(close - rest.p)}, &out->id);
}

/* "<6>" of a kernel's buffer; RFC 5424 goes on with its version. */
static size_t priority(const char *p, size_t len, struct log_text *level)
{
	static const char *const name[] = {"emergency", "alert",  "critical", "error",
					   "warning",	"notice", "info",     "debug"};
	size_t n = 1;
	unsigned v = 0;

	if (len < 3 || *p != '<')
		return 0;
	for (; n < len && n < 4 && p[n] >= '0' && p[n] <= '9'; n++)
		v = v * 10 + (unsigned)(p[n] - '0');
	if (n == 1 || n == len || p[n] != '>')
		return 0;
	*level = (struct log_text){name[v & 7], strlen(name[v & 7])};
	n++;
	return len - n > 2 && !memcmp(p + n, "1 ", 2) ? n + 2 : n;
}

static void split(struct text_parts *out, const char *p, size_t len, size_t used)
{
	struct log_text rest = {p + used, len - used};

	out->message = rest;
	if (!out->kind->whole)
		skip_blanks(&out->message);
	switch (out->kind->split) {
	case SPLIT_NONE: break;
	case SPLIT_SYSLOG: split_syslog(out); break;
	case SPLIT_COMMA: split_comma(out); break;
	case SPLIT_AUDIT: take_serial(rest, out); break;
	case SPLIT_PYTHON: split_python(out); break;
	}
	if (out->kind->whole)
		out->message = (struct log_text){p, len};
	else if (out->kind->split == SPLIT_NONE) {
		struct log_text first;

		rest = out->message;
		first = word(&rest);
		if (first.len > 2 && first.p[0] == '[' && first.p[first.len - 1] == ']')
			first = (struct log_text){first.p + 1, first.len - 2};
		if (!out->level.len && is_level(first, &out->level))
			out->message = rest;
	}
}

void text_parse(const char *p, size_t len, struct text_parts *out)
{
	size_t skip, used;

	*out = (struct text_parts){0};
	skip = priority(p, len, &out->level);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		used = text_stamp(kinds[i].pattern, p + skip, len - skip, &out->t);
		if (!used)
			continue;
		out->kind = &kinds[i];
		split(out, p + skip, len - skip, used);
		return;
	}
	out->t = (struct text_stamp){0};
	out->level = (struct log_text){NULL, 0};
	out->message = (struct log_text){p, len};
}

bool text_leads(const char *p, size_t len)
{
	return len > 6 && !memcmp(p, ">>>  [", 6);
}
