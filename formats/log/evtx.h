/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows XML Event Log. A file header of 4 KiB, then chunks of 64 KiB, each complete in itself: a
 * header, records in the order they were written, and within those the names and templates that
 * later records of the same chunk refer to.
 *
 * Sources: libyal/libevtx, "Windows XML Event Log (EVTX).asciidoc"; [MS-EVEN6] 2.2 for the BinXML
 * grammar. Both describe what Windows does; neither is a specification of the file.
 */
#ifndef VDISKCK_FORMATS_LOG_EVTX_H
#define VDISKCK_FORMATS_LOG_EVTX_H

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "vdiskck/core/endian.h"

enum {
	EVTX_FILE_HEADER = 4096, /* bytes; the chunks follow */
	EVTX_CHUNK = 65536,
	EVTX_CHUNK_DATA = 512, /* where in a chunk its records begin */
	EVTX_RECORD_MAGIC = 0x2a2a,
	EVTX_RECORD_MIN = 28, /* its header and the size at its end */
	EVTX_STRINGS = 64,
	EVTX_TEMPLATES = 32,
};

/* 3.1 "File header" */
struct evtx_file_header {
	char magic[8];	     /* 0x00 "ElfFile" */
	le64_t first_chunk;  /* 0x08 the oldest; not kept up to date by Windows */
	le64_t last_chunk;   /* 0x10 the newest */
	le64_t next_record;  /* 0x18 id that the next record will have */
	le32_t header_len;   /* 0x20 128 */
	le16_t minor, major; /* 0x24 1 or 2, 3 */
	le16_t block_len;    /* 0x28 4096 */
	le16_t chunks;	     /* 0x2a */
	uint8_t unused[76];  /* 0x2c */
	le32_t flags;	     /* 0x78 EVTX_DIRTY, EVTX_FULL, EVTX_NO_SUM */
	le32_t crc;	     /* 0x7c CRC-32 of the 120 bytes at 0x00 */
};
_Static_assert(sizeof(struct evtx_file_header) == 128, "libevtx, File header");

enum { EVTX_DIRTY = 1, EVTX_FULL = 2, EVTX_NO_SUM = 4 };

/* "Chunk header"; numbers count within the file, ids within the channel */
struct evtx_chunk_header {
	char magic[8];			  /* 0x00 "ElfChnk" */
	le64_t first_number, last_number; /* 0x08 */
	le64_t first_id, last_id;	  /* 0x18 */
	le32_t header_len;		  /* 0x28 128 */
	le32_t last_record;		  /* 0x2c offset of the last record in the chunk */
	le32_t free_off;		  /* 0x30 end of the records */
	le32_t data_crc;		  /* 0x34 CRC-32 of the records, 512 to free_off */
	uint8_t unused[64];		  /* 0x38 */
	le32_t flags;			  /* 0x78 EVTX_NO_SUM: the sums are not kept */
	le32_t crc;			  /* 0x7c CRC-32 of 0x00 to 0x77 and 0x80 to 0x1ff */
	le32_t strings[EVTX_STRINGS];	  /* 0x80 hash table of names: offsets in the chunk */
	le32_t templates[EVTX_TEMPLATES]; /* 0x180 the same of template definitions */
};
_Static_assert(sizeof(struct evtx_chunk_header) == EVTX_CHUNK_DATA, "libevtx, Chunk header");

/* "Event record" */
struct evtx_record_header {
	le32_t magic;	/* 0x00 0x2a2a */
	le32_t len;	/* 0x04 with header and the copy of this length at the end */
	le64_t id;	/* 0x08 */
	le64_t written; /* 0x10 FILETIME */
};
_Static_assert(sizeof(struct evtx_record_header) == 24, "libevtx, Event record");

/* An EVTX file as a layer. */
struct evtx {
	struct evtx_file_header header;
	bool magic, sum_ok; /* of the file header */
	uint64_t chunks;    /* places for chunks, the last one perhaps cut */
};

/* A record by its frame. */
struct evtx_frame {
	uint32_t off, len; /* in the bytes looked at */
	uint64_t id, written;
};

/*
 * evtx_frame() - is there a record at p[off]? Its magic, and its length at both ends inside @len
 * evtx_frame_next() - the first one at or behind @off, a multiple of 8 from there, that looks like
 * what Windows writes: with a fragment of BinXML in it, and a time
 */
bool evtx_frame(const uint8_t *p, size_t len, size_t off, struct evtx_frame *f);
bool evtx_frame_plausible(const uint8_t *p, const struct evtx_frame *f);
bool evtx_frame_next(const uint8_t *p, size_t len, size_t off, struct evtx_frame *f);

#define EVTX_CHUNK_MAGIC "ElfChnk" /* with its NUL */

/* The 64 KiB (or what is there of them) at a place for a chunk, and what its checks say. */
struct evtx_chunk {
	const uint8_t *p;
	size_t len;
	uint64_t addr;		  /* in the layer */
	const struct ranges *bad; /* sorted, in the layer's addresses; NULL: nothing is lost */
	bool empty;		  /* zeros: never used */
	bool magic, header_ok, data_ok;
	bool no_sum;	   /* it says that its sums are not kept */
	uint32_t free_off; /* end of the live records; the end of the chunk if its header is lost */
	uint64_t first_id, last_id; /* of header_ok */
};

void evtx_chunk_look(struct evtx_chunk *c);
static inline bool evtx_chunk_sound(const struct evtx_chunk *c)
{
	return c->header_ok && (c->data_ok || c->no_sum) && !(c->bad && c->bad->n);
}
/* evtx_chunk_record() - the next live record at or behind *@off; advances it */
bool evtx_chunk_record(const struct evtx_chunk *c, size_t *off, struct evtx_frame *f);
/* evtx_chunk_read() - place @i of the log, into 64 KiB at @buf */
int evtx_chunk_read(struct layer *l, uint64_t i, uint8_t *buf, struct ranges *bad,
		    struct evtx_chunk *c);

/* The channel that a log's ids are counted in; @cap with NUL. */
int evtx_label(struct layer *l, char *label, size_t cap);

struct bx;
struct bx_pool;
struct bx_pool *log_run_templates(struct log_run *run);

/*
 * evtx_event() - fill @e from record @f of @c, with @data as the buffer for its JSON and its message
 * @words: who knows messages, or NULL
 */
void evtx_event(struct bx *x, const struct evtx_chunk *c, const struct evtx_frame *f,
		struct log_words *words, struct buf *data, struct log_event *e);

/* evtx_slack.c: records in the unused ends of chunks, each once, that are not live ones, too */
struct evtx_slack;
struct evtx_slack *evtx_slack_new(void);
void evtx_slack_free(struct evtx_slack *k);
/* evtx_slack_add() - note a live chunk's ids, and the records behind its end */
int evtx_slack_add(struct evtx_slack *k, const struct evtx_chunk *c);
/*
 * evtx_slack_full() - time for evtx_slack_walk() and to go on: memory has its bounds. A record found in
 * two parts of the log may then come twice.
 */
bool evtx_slack_full(const struct evtx_slack *k);
/* evtx_slack_walk() - call @fn for each chunk with the records in it that are new */
int evtx_slack_walk(struct evtx_slack *k, struct layer *l,
		    int (*fn)(void *arg, const struct evtx_chunk *c, const struct evtx_frame *f),
		    void *arg);

int evtx_records(struct layer *l, const struct log_sink *sink);
int evtx_check(struct layer *l);
void *evtx_carve_begin(struct layer *l, const struct log_sink *sink);
int evtx_carve(void *state, const uint8_t *p, size_t len, size_t more, uint64_t off);
int evtx_carve_end(void *state, int r);

#endif
