/* SPDX-License-Identifier: Apache-2.0 */
/* The program that binxml_json.c compiles and binxml_run.c runs. */
#ifndef VDISKCK_FORMATS_LOG_BINXML_PROGRAM_H
#define VDISKCK_FORMATS_LOG_BINXML_PROGRAM_H

#include "formats/log/binxml_parts.h"

enum code {
	P_TEXT,	      /* copy text[a, a + b) */
	P_UNLESS,     /* if value @index is empty, go to @a */
	P_VALUE,      /* value @index as JSON; @flat: an array's items without brackets */
	P_STRING,     /* value @index inside a string */
	P_MEMBERS,    /* value @index is a fragment: its elements as members */
	P_CLOSE,      /* drop a comma, put the bracket @a and a comma */
	P_ATTRIBUTES, /* begin "#attributes" that may all be empty */
	P_NONE,	      /* end them; if there are none, undo that, and go to @a */
	P_JUMP,	      /* go to @a */
};

struct instruction {
	uint8_t code;
	uint8_t flat;
	uint16_t index;
	uint32_t a, b;
};

/* Where a field of System is: in a value, or in the template itself. */
struct field {
	enum { NOWHERE, IN_VALUE, IN_TEMPLATE } where;
	uint16_t index;
	uint32_t off, len; /* in text, UTF-8 */
};

enum {
	PROVIDER,
	PROVIDER_ID,
	CHANNEL,
	COMPUTER,
	EVENT_ID,
	QUALIFIERS,
	VERSION,
	RECORD_ID,
	LEVEL,
	TIME,
	FIELDS
};

struct bx_program {
	struct instruction *v;
	uint32_t n, cap;
	uint32_t label; /* a jump leads here: text is not joined across it */
	struct buf text;
	struct field field[FIELDS];
	uint8_t provider_id[16]; /* field[PROVIDER_ID] in the template, parsed */
	bool failed;
};

#endif
