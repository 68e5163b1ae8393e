/* SPDX-License-Identifier: Apache-2.0 */
/* Records made text: a template's program, run with the values of an instance. */
#include "formats/log/binxml_program.h"

static void close_with(struct buf *b, char bracket)
{
	if (!buf_room(b, 2))
		return;
	if (b->len && b->p[b->len - 1] == ',')
		b->len--;
	b->p[b->len++] = bracket;
	b->p[b->len++] = ',';
}

static void run_value(struct bx *x, struct bx_value v, bool flat, struct buf *out)
{
	if (v.type != BX_XML) {
		bx_value_json(out, &v, flat);
		return;
	}
	buf_char(out, '{');
	bx_nested(x, v, out, BX_FOR_JSON);
	close_with(out, '}');
	out->len--;
}

static void run_members(struct bx *x, struct bx_value v, struct buf *out)
{
	if (v.type == BX_XML) {
		bx_nested(x, v, out, BX_FOR_JSON);
	} else if (!bx_value_empty(&v)) {
		buf_lit(out, "\"#text\":");
		bx_value_json(out, &v, false);
		buf_char(out, ',');
	}
}

void bx_run(struct bx *x, const struct bx_instance *in, struct buf *out)
{
	static const char attributes[] = "{\"#attributes\":{";
	const struct bx_program *p = in->t->json;
	size_t mark = 0;

	for (uint32_t pc = 0; pc < p->n && out->len <= x->limit; pc++) {
		const struct instruction *i = &p->v[pc];
		struct bx_value v;

		switch ((enum code)i->code) {
		case P_TEXT: buf_short(out, p->text.p + i->a, i->b); break;
		case P_UNLESS:
			v = bx_value(x, in, i->index);
			if (bx_value_empty(&v))
				pc = i->a - 1;
			break;
		case P_VALUE: run_value(x, bx_value(x, in, i->index), i->flat, out); break;
		case P_STRING:
			v = bx_value(x, in, i->index);
			bx_value_text(out, &v, BX_FOR_JSON);
			break;
		case P_MEMBERS: run_members(x, bx_value(x, in, i->index), out); break;
		case P_CLOSE: close_with(out, (char)i->a); break;
		case P_ATTRIBUTES:
			mark = out->len;
			buf_lit(out, attributes);
			break;
		case P_NONE:
			if (out->len - mark == sizeof(attributes) - 1) {
				out->len = mark;
				pc = i->a - 1;
			} else {
				close_with(out, '}');
			}
			break;
		case P_JUMP: pc = i->a - 1; break;
		}
	}
}

/* What is known of an instance without its template. */
static void run_raw(struct bx *x, const struct bx_instance *in, struct buf *out)
{
	buf_lit(out, "\"#template\":\"0x");
	for (int i = 3; i >= 0; i--) {
		buf_char(out, "0123456789abcdef"[in->id[i] >> 4]);
		buf_char(out, "0123456789abcdef"[in->id[i] & 15]);
	}
	buf_lit(out, "\",\"#values\":[");
	for (uint32_t i = 0; i < in->n && out->len <= x->limit; i++) {
		run_value(x, bx_value(x, in, i), false, out);
		buf_char(out, ',');
	}
	close_with(out, ']');
}

void bx_nested(struct bx *x, struct bx_value v, struct buf *out, enum bx_quoting q)
{
	struct bx_instance in;

	if (!v.len)
		return;
	if (x->depth >= BX_NESTED) {
		x->failed |= LOG_CONTENT;
		return;
	}
	x->depth++;
	if (!bx_open(x, (size_t)(v.p - x->c.p), v.len, true, &in))
		x->failed |= LOG_CONTENT;
	if (q == BX_FOR_XML && in.t)
		bx_print(x, &in, out);
	else if (q == BX_FOR_JSON && in.t)
		bx_run(x, &in, out);
	else if (q == BX_FOR_JSON)
		run_raw(x, &in, out);
	bx_close(x, &in);
	x->depth--;
}

static struct log_text field_text(struct bx *x, const struct bx_instance *in, const struct field *f)
{
	struct bx_value v;
	size_t at = x->names.len;

	if (f->where == NOWHERE)
		return (struct log_text){NULL, 0};
	if (f->where == IN_TEMPLATE)
		return (struct log_text){in->t->json->text.p + f->off, f->len};
	v = bx_value(x, in, f->index);
	if (v.type != BX_STRING)
		return (struct log_text){NULL, 0};
	while (v.len >= 2 && !v.p[v.len - 1] && !v.p[v.len - 2])
		v.len -= 2;
	buf_utf16(&x->names, v.p, v.len / 2);
	return (struct log_text){x->names.p + at, x->names.len - at};
}

static bool field_number(const struct bx *x, const struct bx_instance *in, const struct field *f,
			 uint64_t *out)
{
	struct bx_value v;

	if (f->where == IN_TEMPLATE) {
		const char *p = in->t->json->text.p + f->off;

		*out = 0;
		for (uint32_t i = 0; i < f->len; i++) {
			if (p[i] < '0' || p[i] > '9' || i > 18)
				return false;
			*out = 10 * *out + (uint64_t)(p[i] - '0');
		}
		return f->len > 0;
	}
	v = bx_value(x, in, f->index);
	return f->where == IN_VALUE && bx_value_u64(&v, out);
}

static const uint8_t *field_guid(const struct bx *x, const struct bx_instance *in)
{
	const struct field *f = &in->t->json->field[PROVIDER_ID];
	struct bx_value v;

	if (f->where == IN_TEMPLATE)
		return in->t->json->provider_id;
	v = f->where == IN_VALUE ? bx_value(x, in, f->index) : (struct bx_value){NULL, 0, BX_NULL};
	return v.type == BX_GUID && v.len == 16 ? v.p : NULL;
}

void bx_system(struct bx *x, const struct bx_instance *in, struct bx_fields *f)
{
	const struct field *in_program = in->t->json->field;
	static const unsigned texts[] = {PROVIDER, CHANNEL, COMPUTER};
	size_t room = 64;
	uint64_t ft;

	/* Room for all three, so that none moves. */
	for (unsigned i = 0; i < 3; i++)
		if (in_program[texts[i]].where == IN_VALUE)
			room += 3 * (size_t)bx_value(x, in, in_program[texts[i]].index).len;
	x->names.len = 0;
	if (!buf_room(&x->names, room))
		return;
	f->provider = field_text(x, in, &in_program[PROVIDER]);
	f->channel = field_text(x, in, &in_program[CHANNEL]);
	f->computer = field_text(x, in, &in_program[COMPUTER]);
	f->has_event_id = field_number(x, in, &in_program[EVENT_ID], &f->event_id);
	f->has_record_id = field_number(x, in, &in_program[RECORD_ID], &f->record_id);
	f->has_level = field_number(x, in, &in_program[LEVEL], &f->level);
	field_number(x, in, &in_program[QUALIFIERS], &f->qualifiers);
	field_number(x, in, &in_program[VERSION], &f->version);
	f->provider_id = field_guid(x, in);
	if (in_program[TIME].where == IN_TEMPLATE)
		log_time_parse(in->t->json->text.p + in_program[TIME].off, in_program[TIME].len,
			       &f->time);
	if (in_program[TIME].where == IN_VALUE && field_number(x, in, &in_program[TIME], &ft))
		f->time = log_filetime(ft);
}

/*
 * Every template of Windows for System has the same order of values: the fourth is the event's
 * id, the first its level. Where the template is gone, that is what their types are compared with.
 */
static void guess_system(const struct bx *x, const struct bx_instance *in, struct bx_fields *f)
{
	static const uint8_t types[] = {BX_UINT8, BX_UINT8, BX_UINT16, BX_UINT16};
	struct bx_value v = bx_value(x, in, 6);

	for (uint32_t i = 0; i < sizeof(types); i++)
		if (bx_value(x, in, i).type != types[i] && (i == 3 || bx_value(x, in, i).type))
			return;
	if (in->n < 18 || v.type != BX_FILETIME || v.len != 8)
		return;
	bx_value_u64(&v, &f->event_id);
	f->time = log_filetime(f->event_id);
	v = bx_value(x, in, 3);
	f->has_event_id = bx_value_u64(&v, &f->event_id);
	v = bx_value(x, in, 0);
	f->has_level = bx_value_u64(&v, &f->level);
}

static void begin(struct bx *x, const struct buf *out)
{
	size_t left = x->chunk_out < BX_CHUNK_OUT ? BX_CHUNK_OUT - x->chunk_out : 0;

	x->failed = 0;
	x->depth = 0;
	x->stack_n = 0;
	x->limit = out->len + (left < BX_OUT_MAX ? left : BX_OUT_MAX);
}

unsigned bx_json(struct bx *x, size_t off, size_t len, struct bx_fields *f, struct buf *out)
{
	struct bx_instance in;
	size_t mark = out->len;

	begin(x, out);
	*f = (struct bx_fields){0};
	buf_char(out, '{');
	if (!range_inside(off, len, x->c.len) || !bx_open(x, off, len, false, &in)) {
		x->failed |= LOG_CONTENT;
		in = (struct bx_instance){0};
	}
	if (in.t) {
		bx_system(x, &in, f);
		bx_run(x, &in, out);
	} else if (in.n) {
		guess_system(x, &in, f);
		run_raw(x, &in, out);
	}
	close_with(out, '}');
	if (out->len > x->limit) {
		/* No record that Windows wrote is that long. */
		out->len = mark;
		buf_lit(out, "{},");
		x->failed |= LOG_CONTENT;
	}
	out->len -= !out->failed;
	x->chunk_out += out->len - mark;
	x->top = in;
	return x->failed;
}

/* The last value of the event that is a fragment: EventData or UserData. */
static struct bx_value payload(const struct bx *x)
{
	struct bx_value v = {NULL, 0, BX_NULL};

	for (uint32_t i = x->top.n; i-- > 0 && v.type != BX_XML;)
		v = bx_value(x, &x->top, i);
	return v;
}

/* A classic event's strings are one value, an array: each is an insert. */
static size_t insert(struct bx *x, struct bx_value v, struct log_text *out, size_t max)
{
	bool strings = v.type == (BX_STRING | BX_ARRAY);
	struct bx_value item = v;
	size_t n = 0;

	while (n < max && (strings ? bx_value_item(&v, &item) : !n)) {
		out[n].p = NULL;
		out[n].len = x->inserts.len;
		if (item.type != BX_XML)
			bx_value_text(&x->inserts, &item, BX_PLAIN);
		out[n].len = x->inserts.len - out[n].len;
		n++;
	}
	return n;
}

size_t bx_inserts(struct bx *x, struct log_text *v, size_t max)
{
	struct bx_value data = payload(x);
	struct bx_instance in;
	const char *p;
	size_t n = 0;

	x->inserts.len = 0;
	if (data.type != BX_XML || !data.len || !buf_room(&x->inserts, 1))
		return 0;
	bx_open(x, (size_t)(data.p - x->c.p), data.len, true, &in);
	for (uint32_t i = 0; i < in.n && n < max; i++)
		n += insert(x, bx_value(x, &in, i), v + n, max - n);
	bx_close(x, &in);
	/* The buffer has moved while it grew: now it stays. */
	p = x->inserts.failed ? NULL : x->inserts.p;
	for (size_t i = 0; i < n && p; p += v[i++].len)
		v[i].p = p;
	return p ? n : 0;
}

unsigned bx_xml(struct bx *x, size_t off, size_t len, struct buf *out)
{
	struct bx_instance in;
	size_t mark = out->len;

	begin(x, out);
	if (!range_inside(off, len, x->c.len) || !bx_open(x, off, len, false, &in))
		x->failed |= LOG_CONTENT;
	else if (in.t)
		bx_print(x, &in, out);
	if (out->len > x->limit) {
		out->len = mark;
		x->failed |= LOG_CONTENT;
	}
	x->chunk_out += out->len - mark;
	return x->failed;
}
