/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When lines were written that do not say it: the year of RFC 3164's times, the hour at which the
 * kernel's clock stood at zero. Both are said by one line of the kernel, where it sets the system's
 * clock from the real-time clock; the year is also known from the time of the file, as no line
 * can be younger than that.
 */
#include <string.h>

#include "formats/log/simple.h"
#include "formats/log/textlog.h"

/* A new year is told by months that go back far: clocks that are set back go back a little. */
static void note_month(struct text_when *w, const struct text_stamp *t)
{
	if (w->month > t->month && w->month - t->month >= 6)
		w->rolled++;
	else if (w->month == 1 && t->month == 12 && w->rolled)
		w->rolled--;
	w->month = t->month;
	w->month_day = t->day;
}

static void note_uptime(struct text_when *w, const struct text_stamp *t)
{
	/* Lines of several processors may be out of order by a little. */
	if (t->since + 1 < w->uptime && w->boots < TEXT_BOOTS - 1)
		w->boots++;
	w->uptime = t->since;
}

static int64_t seconds(const struct text_stamp *t)
{
	return log_date(t->year, t->month, t->day) +
	       (int64_t)(t->hour * 3600 + t->minute * 60 + t->second) - t->zone * 60;
}

/* drivers/rtc/class.c: "rtc_cmos 00:02: setting system clock to 2021-08-03T12:34:56 UTC (...)" */
static bool clock_set(struct log_text m, struct text_stamp *t)
{
	static const char words[] = "setting system clock to ";
	const char *p = m.len ? memmem(m.p, m.len, words, sizeof(words) - 1) : NULL;
	size_t left;

	if (!p)
		return false;
	p += sizeof(words) - 1;
	left = m.len - (size_t)(p - m.p);
	return text_stamp("%Y-%m-%dT%H:%M:%S UTC", p, left, t) ||
	       text_stamp("%Y-%m-%d %H:%M:%S UTC", p, left, t);
}

void text_when_note(struct text_when *w, const struct text_parts *line)
{
	const struct text_stamp *t = &line->t;
	struct text_stamp set;
	bool told = clock_set(line->message, &set);

	if (t->uptime) {
		note_uptime(w, t);
		if (told && !w->boot[w->boots].known) {
			int64_t sec = seconds(&set) - (int64_t)t->since;

			/* The real-time clock has no fractions: the start is known to a second. */
			w->boot[w->boots].sec = sec;
			w->boot[w->boots].known = true;
		}
	} else if (t->month) {
		note_month(w, t);
		told = told && set.month == t->month;
		if (t->year)
			set = *t;
		if (!w->base && (told || t->year) && set.year > w->rolled) {
			w->base = set.year - w->rolled;
			w->from = t->year ? "another line" : "the kernel's clock";
		}
	}
}

void text_when_done(struct text_when *w, const struct log_time *written)
{
	unsigned year = 1970;

	if (!w->base && w->month && written->known && written->sec >= 0) {
		while (year < 2199 && log_date(year + 1, 1, 1) <= written->sec)
			year++;
		/* A day for time zones. 29 February is in no year but its own. */
		if (log_date(year, w->month, w->month_day) > written->sec + 86400)
			year--;
		w->base = year > w->rolled ? year - w->rolled : 0;
		w->from = "the file's time";
	}
	w->rolled = w->month = w->boots = 0;
	w->uptime = 0;
}

struct log_time text_when(struct text_when *w, const struct text_stamp *t)
{
	struct text_stamp with = *t;

	if (t->uptime) {
		int64_t sec;

		note_uptime(w, t);
		sec = w->boot[w->boots].sec + (int64_t)t->since;
		return (struct log_time){sec, t->nsec, w->boot[w->boots].known};
	}
	if (t->epoch)
		return (struct log_time){(int64_t)t->since, t->nsec, true};
	if (!t->month)
		return (struct log_time){0};
	note_month(w, t);
	if (!t->year && !w->base)
		return (struct log_time){0};
	if (!t->year)
		with.year = w->base + w->rolled;
	return (struct log_time){seconds(&with), t->nsec, true};
}
