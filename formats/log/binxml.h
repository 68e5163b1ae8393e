/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BinXML, the binary XML inside EVTX records: tokens, templates, and values put into templates.
 *
 * A template's definition is stored once per 64 KiB chunk, and its names once per chunk too, at
 * places that differ from chunk to chunk. So a definition is first made canonical: the same
 * tokens with the names in them, checked and bounded. Equal definitions are then equal bytes,
 * whatever chunk or log they come from, and are compiled once: into a tree (binxml_tree.c), and
 * that into a program for writing JSON (binxml_json.c), in which all that does not depend on
 * the record is text already.
 *
 * Sources: [MS-EVEN6] 2.2.12 (grammar), libevtx's documentation (offsets, sizes, inline copies).
 */
#ifndef VDISKCK_FORMATS_LOG_BINXML_H
#define VDISKCK_FORMATS_LOG_BINXML_H

#include "formats/log/buf.h"
#include "formats/log/log.h"
#include "vdiskck/core/span.h"

enum bx_type {
	BX_NULL,
	BX_STRING, /* UTF-16 */
	BX_ANSI,
	BX_INT8,
	BX_UINT8,
	BX_INT16,
	BX_UINT16,
	BX_INT32,
	BX_UINT32,
	BX_INT64,
	BX_UINT64,
	BX_REAL32,
	BX_REAL64,
	BX_BOOL,
	BX_BINARY,
	BX_GUID,
	BX_SIZE, /* 4 or 8 bytes */
	BX_FILETIME,
	BX_SYSTEMTIME,
	BX_SID,
	BX_HEX32,
	BX_HEX64,
	BX_HANDLE = 0x20,
	BX_XML = 0x21, /* a fragment of BinXML */
	BX_TEXT_XML = 0x23,
	BX_ARRAY = 0x80, /* of the type in the other bits */
};

struct bx_value {
	const uint8_t *p;
	uint32_t len;
	uint8_t type;
};

enum {
	BX_DEPTH = 64,		  /* elements in elements */
	BX_NESTED = 16,		  /* fragments in values of fragments */
	BX_CANON_MAX = 256 << 10, /* bytes of a canonical definition */
	BX_OUT_MAX = 1 << 20,	  /* text of one record: 64 KiB of UTF-16 make at most 200 KiB */
	BX_CHUNK_OUT = 16 << 20,  /* text of all records of a chunk */
	BX_PRIVATE = 8 << 20,	  /* templates of one chunk that the pool has no room for */
	BX_POOL = 64 << 20,	  /* templates kept for all logs of a run */
};

/* Canonical tokens: the operation, then what is listed; numbers are little-endian. */
enum bx_op {
	BX_OP_OPEN = 1,	 /* u16 units, name */
	BX_OP_ATTRIBUTE, /* u16 units, name; its value follows as tokens */
	BX_OP_CONTENT,	 /* end of the start tag; content follows */
	BX_OP_EMPTY,	 /* end of the start tag, and of the element */
	BX_OP_END,
	BX_OP_TEXT,    /* u16 units, UTF-16 */
	BX_OP_VALUE,   /* u8 type, u16 len, bytes */
	BX_OP_SUB,     /* u16 index, u8 type, u8 optional */
	BX_OP_ENTITY,  /* u16 units, name */
	BX_OP_PI,      /* u16 units, target; data follows as BX_OP_PI_DATA */
	BX_OP_PI_DATA, /* u16 units, UTF-16 */
};

/* The bytes that offsets in BinXML count from. */
struct bx_chunk {
	const uint8_t *p;
	size_t len;
	bool sound; /* its checksum holds: a name whose hash does not fit is how it was written */
};

/*
 * bx_canon() - make the tokens in [off, off + len) of the chunk canonical, appended to @out
 * @dependency: elements are expected to have a dependency id (all but direct content of values)
 * @end: set to where the tokens ended
 * Returns 0, or -EBADMSG when they break off, break the grammar, or a name is lost.
 */
int bx_canon(const struct bx_chunk *c, size_t off, size_t len, bool dependency, struct buf *out,
	     size_t *end);

/* A template, compiled; does not change, and is shared by threads. */
struct bx_template;
struct bx_pool;
struct bx_pool *bx_pool_new(void);
void bx_pool_free(struct bx_pool *pool);

/* What the event line wants to know, from Event/System. */
struct bx_fields {
	struct log_text provider, channel, computer;
	struct log_time time; /* TimeCreated */
	uint64_t event_id, record_id, level, version;
	uint64_t qualifiers;	    /* of the id, in classic events; else 0 */
	const uint8_t *provider_id; /* its GUID; NULL: none */
	bool has_event_id, has_record_id, has_level;
};

/* One thread's reader. */
struct bx;
struct bx *bx_new(struct bx_pool *pool);
void bx_free(struct bx *x);
/* bx_chunk() - from now on, offsets are in @c, whose bytes stay until the next call */
void bx_chunk(struct bx *x, const struct bx_chunk *c);
/*
 * bx_json() - the fragment in [off, off + len) of the chunk: the members of the Event element, as
 * one JSON object appended to @out
 * @f: filled as far as known; its texts live until the next call
 * Returns the checks that failed: 0, LOG_CONTENT, LOG_FOREIGN.
 * bx_xml() - the same as XML, without indentation
 */
unsigned bx_json(struct bx *x, size_t off, size_t len, struct bx_fields *f, struct buf *out);
unsigned bx_xml(struct bx *x, size_t off, size_t len, struct buf *out);
/*
 * bx_inserts() - what %1, %2 ... stand for in the message of the event that bx_json() wrote last
 * Returns how many, at most @max; the texts live until the next call.
 */
size_t bx_inserts(struct bx *x, struct log_text *v, size_t max);
/* bx_learn() - put the definition at @off of a sound chunk into the pool; where the next one is */
uint32_t bx_learn(struct bx *x, uint32_t off);

#endif
