/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd's journal: objects one behind another, each stating its own length; entries name the data
 * objects that hold their fields. journalctl follows chains of entry arrays and ends where one
 * breaks; here all objects are met in file order, so a broken chain costs nothing.
 *
 * Source: systemd, docs/JOURNAL_FILE_FORMAT.md.
 */
#ifndef VDISKCK_FORMATS_LOG_JOURNAL_H
#define VDISKCK_FORMATS_LOG_JOURNAL_H

#include "formats/log/log.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/layer.h"
#include "vdiskck/core/ranges.h"

enum journal_type {
	JOURNAL_UNUSED,
	JOURNAL_DATA,
	JOURNAL_FIELD,
	JOURNAL_ENTRY,
	JOURNAL_DATA_HASHES,
	JOURNAL_FIELD_HASHES,
	JOURNAL_ARRAY,
	JOURNAL_TAG,
	JOURNAL_TYPES
};

enum { /* incompatible flags */
       JOURNAL_XZ = 1,
       JOURNAL_LZ4 = 2,
       JOURNAL_KEYED = 4,
       JOURNAL_ZSTD = 8,
       JOURNAL_COMPACT = 16,
       JOURNAL_KNOWN = 31,
};

struct journal_header {
	char magic[8];			 /* 0x00 "LPKSHHRH" */
	le32_t compatible, incompatible; /* 0x08 */
	uint8_t state;			 /* 0x10 0 offline, 1 online, 2 archived */
	uint8_t reserved[7];
	uint8_t file_id[16];			/* 0x18 */
	uint8_t machine_id[16];			/* 0x28 */
	uint8_t tail_boot_id[16];		/* 0x38 */
	uint8_t seqnum_id[16];			/* 0x48 */
	le64_t header_size;			/* 0x58 */
	le64_t arena_size;			/* 0x60 what follows the header */
	le64_t data_hashes, data_hashes_size;	/* 0x68 */
	le64_t field_hashes, field_hashes_size; /* 0x78 */
	le64_t tail_object;			/* 0x88 */
	le64_t n_objects, n_entries;		/* 0x90 */
	le64_t tail_seqnum, head_seqnum;	/* 0xa0 */
	le64_t entry_array;			/* 0xb0 */
	le64_t head_realtime, tail_realtime;	/* 0xb8 microseconds since 1970 */
	le64_t tail_monotonic;			/* 0xc8 */
};
_Static_assert(sizeof(struct journal_header) == 208, "JOURNAL_FILE_FORMAT, Header, first version");

struct journal_object {
	uint8_t type, flags; /* flags: compression of a data object's payload */
	uint8_t reserved[6];
	le64_t size; /* with this head; the next object begins at a multiple of 8 */
};
_Static_assert(sizeof(struct journal_object) == 16, "JOURNAL_FILE_FORMAT, Objects");

struct journal_data {
	struct journal_object o;
	le64_t hash, next_hash, next_field, entry, entry_array, n_entries;
};
_Static_assert(sizeof(struct journal_data) == 64, "JOURNAL_FILE_FORMAT, Data Objects");

struct journal_entry {
	struct journal_object o;
	le64_t seqnum, realtime, monotonic;
	uint8_t boot_id[16];
	le64_t xor_hash;
};
_Static_assert(sizeof(struct journal_entry) == 64, "JOURNAL_FILE_FORMAT, Entry Objects");

enum {
	JOURNAL_PAYLOAD_MAX =
		64 << 20,	  /* DATA_SIZE_MAX of journald is 768 MiB; none is near this */
	JOURNAL_ITEMS_MAX = 1024, /* ENTRY_FIELD_COUNT_MAX */
};

struct cache;

struct journal {
	struct layer *l;
	struct journal_header h; /* as on disk */
	bool header_ok;		 /* so that its numbers can be used */
	uint32_t flags;		 /* incompatible; guessed when the header is lost */
	uint64_t start, end;	 /* of the objects */
	struct cache *blocks;
};

struct journal *journal_of(struct layer *l);
/* journal_read() - bytes of the file; lost ones are zero and added to @bad. 0 or -errno. */
int journal_read(struct journal *j, uint64_t off, void *buf, size_t len, struct ranges *bad);

/*
 * journal_next() - the object at *@off or, where none can be, the next that can
 * @o: its head; *@off: where it is; *@skipped: bytes passed over. 0, -ENOENT at the end, -errno.
 */
int journal_next(struct journal *j, uint64_t *off, struct journal_object *o, uint64_t *skipped);
/* journal_sane() - can an object with this head be at @off? */
bool journal_sane(const struct journal *j, uint64_t off, const struct journal_object *o);

/* One field, "NAME=VALUE", unpacked. */
struct journal_field {
	uint8_t *p;
	size_t len;
	uint64_t hash;	  /* as the file states it */
	uint64_t jenkins; /* of @p: what entries' xor_hash is made of */
	bool ok;	  /* its hash fits, nothing of it is lost */
};
/*
 * journal_field() - the data object at @off
 * Returns 0; -EBADMSG: there is none, or it can't be unpacked; -ENOMEM. free(f->p).
 */
int journal_field(struct journal *j, uint64_t off, struct journal_field *f);

/* Hashes of payloads: the keyed one (SipHash-2-4) or Bob Jenkins' lookup3, both words. */
uint64_t journal_jenkins(const void *p, size_t len);
uint64_t journal_siphash(const uint8_t key[16], const void *p, size_t len);

/* An entry's items: addresses of its data objects. */
struct journal_items {
	uint64_t off[JOURNAL_ITEMS_MAX];
	uint64_t hash[JOURNAL_ITEMS_MAX]; /* regular: as the entry states them; compact: 0 */
	size_t n;
	bool cut; /* the object has more */
};
int journal_items(struct journal *j, uint64_t off, const struct journal_object *o,
		  struct journal_entry *e, struct journal_items *it, struct ranges *bad);

enum { JOURNAL_CHANNEL = 33 };
/*
 * log_run_boot() - entries of boot @id are in the journal @channel
 * log_run_booted() - which one that was; false: not known. @run may be NULL.
 */
void log_run_boot(struct log_run *run, const uint8_t id[16], const char *channel);
bool log_run_booted(struct log_run *run, const uint8_t id[16], char channel[JOURNAL_CHANNEL]);

/*
 * Entries made events, for records() and carving. @carved: nothing but an entry's own hash proves its
 * fields, and the events are carved ones.
 */
struct journal_events;
struct journal_events *journal_events_new(struct journal *j, const struct log_sink *sink,
					  bool carved);
void journal_events_free(struct journal_events *x);
/*
 * journal_event() - the event of entry @e, of @len bytes at @off, with the fields at @it; a seqnum
 * of zero: of no entry, only these fields are there
 * @damaged: checks that failed before. 0 or -errno.
 */
int journal_event(struct journal_events *x, const char *channel, uint64_t off, uint64_t len,
		  const struct journal_entry *e, const struct journal_items *it, unsigned damaged);
/* journal_fits() - are these the fields that the entry was written with? 1, 0 or -errno */
int journal_fits(struct journal_events *x, const struct journal_entry *e,
		 const struct journal_items *it);

int journal_records(struct layer *l, const struct log_sink *sink);
int journal_check(struct layer *l);

/* journal_carve.c */
void *journal_carve_begin(struct layer *l, const struct log_sink *sink);
int journal_carve(void *state, const uint8_t *p, size_t len, size_t more, uint64_t off);
int journal_carve_end(void *state, int r);

#endif
