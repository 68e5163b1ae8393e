/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON line of an event, written by hand: there are millions, and json-c builds a tree of each. */
#include "formats/log/log.h"
#include "formats/log/simple.h"

const char *log_state_name(enum log_state s)
{
	static const char *const name[] = {
		[LOG_INTACT] = "intact",
		[LOG_DOUBTFUL] = "doubtful",
		[LOG_CARVED] = "carved",
	};

	return name[s];
}

struct log_time log_filetime(uint64_t ft)
{
	const int64_t epoch = 11644473600; /* seconds from 1601 to 1970 */

	return (struct log_time){.sec = (int64_t)(ft / 10000000) - epoch,
				 .nsec = (uint32_t)(ft % 10000000) * 100,
				 .known = ft != 0};
}

static char *digits(char *o, unsigned v, unsigned n)
{
	for (unsigned i = n; i-- > 0; v /= 10)
		o[i] = (char)('0' + v % 10);
	return o + n;
}

/* Year, month, day of a day since 1970: days are counted from 1 March 0000, in eras of 400 years. */
static void civil(int64_t day, unsigned *year, unsigned *month, unsigned *mday)
{
	uint64_t d = (uint64_t)(day + 719468), era = d / 146097;
	unsigned doe = (unsigned)(d % 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*mday = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = (unsigned)(yoe + era * 400) + (*month <= 2);
}

static bool number(const char *p, size_t n, unsigned least, unsigned most, unsigned *v)
{
	*v = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		*v = 10 * *v + (unsigned)(p[i] - '0');
	}
	return *v >= least && *v <= most;
}

bool log_time_parse(const char *p, size_t len, struct log_time *t)
{
	unsigned year, month, mday, hour, minute, second, scale = 100000000;

	if (len && p[len - 1] == 'Z')
		len--;
	if (len < 19 || p[4] != '-' || p[7] != '-' || (p[10] != 'T' && p[10] != ' ') ||
	    p[13] != ':' || p[16] != ':' || (len > 19 && p[19] != '.'))
		return false;
	if (!number(p, 4, 1, 9999, &year) || !number(p + 5, 2, 1, 12, &month) ||
	    !number(p + 8, 2, 1, 31, &mday) || !number(p + 11, 2, 0, 23, &hour) ||
	    !number(p + 14, 2, 0, 59, &minute) || !number(p + 17, 2, 0, 60, &second))
		return false;
	*t = (struct log_time){.known = true};
	for (size_t i = 20; i < len; i++, scale /= 10) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		t->nsec += scale * (unsigned)(p[i] - '0');
	}
	t->sec = log_date(year, month, mday) + hour * 3600 + minute * 60 + second;
	return true;
}

void log_json_time(struct buf *b, const struct log_time *t)
{
	/* Events come in runs of one day. */
	static _Thread_local struct {
		int64_t day;
		char text[11];
		bool known;
	} last;
	int64_t day = t->sec / 86400, rest = t->sec % 86400;
	unsigned s, year, month, mday;
	char *o;

	if (rest < 0) {
		rest += 86400;
		day--;
	}
	if (!buf_room(b, 64))
		return;
	/* RFC 3339 has four-digit years: 0000-03-01 is far enough back. Others as text_time() does. */
	if (t->sec < -62162208000 || t->sec > 253402300799) {
		buf_char(b, '@');
		buf_i64(b, t->sec);
		return;
	}
	if (!last.known || last.day != day) {
		civil(day, &year, &month, &mday);
		o = digits(last.text, year, 4);
		*o++ = '-';
		o = digits(o, month, 2);
		*o++ = '-';
		o = digits(o, mday, 2);
		*o = 'T';
		last.day = day;
		last.known = true;
	}
	o = b->p + b->len;
	memcpy(o, last.text, 11);
	s = (unsigned)rest;
	o = digits(o + 11, s / 3600, 2);
	*o++ = ':';
	o = digits(o, s / 60 % 60, 2);
	*o++ = ':';
	o = digits(o, s % 60, 2);
	if (t->nsec) {
		*o++ = '.';
		o = digits(o, t->nsec % 1000000000 / 100, 7);
	}
	*o++ = 'Z';
	b->len = (size_t)(o - b->p);
}

static void text(struct buf *b, const char *key, size_t key_len, struct log_text t)
{
	if (!t.p)
		return;
	buf_put(b, key, key_len);
	buf_json(b, t.p, t.len);
	buf_char(b, '"');
}

#define TEXT(b, key, t) text(b, ",\"" key "\":\"", sizeof(key) + 4, t)

void log_json(struct buf *b, const struct log_event *e)
{
	const char *state = log_state_name(e->state);

	if (e->time.known) {
		buf_lit(b, "{\"record\":\"event\",\"time\":\"");
		log_json_time(b, &e->time);
		buf_lit(b, "\",\"source\":\"");
	} else {
		buf_lit(b, "{\"record\":\"event\",\"time\":null,\"source\":\"");
	}
	buf_str(b, e->source);
	buf_char(b, '"');
	TEXT(b, "channel", e->channel);
	TEXT(b, "provider", e->provider);
	if (e->has_event_id) {
		buf_lit(b, ",\"event_id\":");
		buf_u64(b, e->event_id);
	}
	if (e->has_record_id) {
		buf_lit(b, ",\"record_id\":");
		buf_u64(b, e->record_id);
	}
	TEXT(b, "level", e->level);
	TEXT(b, "computer", e->computer);
	TEXT(b, "message", e->message);
	if (e->data.len) {
		buf_lit(b, ",\"data\":");
		buf_put(b, e->data.p, e->data.len);
	}
	if (e->path)
		TEXT(b, "path", ((struct log_text){e->path, strlen(e->path)}));
	buf_lit(b, ",\"offset\":");
	buf_u64(b, e->off);
	buf_lit(b, ",\"length\":");
	buf_u64(b, e->len);
	TEXT(b, "state", ((struct log_text){state, strlen(state)}));
	buf_lit(b, "}\n");
}
