/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Windows registry hive, as a file system: keys are folders, values are named streams of their
 * key ("/ControlSet001/Services/disk:Start"). Either kind of slash separates keys; look-ups ignore
 * case. The hive's transaction logs are applied in memory when it was not written out cleanly.
 *
 * Source: M. Suhanov, "Windows registry file format specification".
 */
#ifndef VDISKCK_FORMATS_LOG_REGF_H
#define VDISKCK_FORMATS_LOG_REGF_H

#include "vdiskck/core/endian.h"
#include "vdiskck/core/layer.h"
#include "vdiskck/core/ranges.h"
#include "vdiskck/core/span.h"

enum {
	REGF_BASE = 4096,	/* bytes of the base block; cell offsets count from its end */
	REGF_BIN_HEAD = 32,	/* bytes of a bin's header */
	REGF_PAGE = 4096,	/* bins are made of these */
	REGF_NAME_MAX = 1024,	/* bytes of a name as UTF-8; 255 characters of key names */
	REGF_DEPTH_MAX = 512,	/* keys below keys, as Windows has it */
	REGF_NONE = 0xffffffff, /* no cell */
};

/* Base block */
struct regf_base {
	char magic[4];	     /* 0x00 "regf" */
	le32_t seq1, seq2;   /* 0x04 differ while the hive is being written */
	le64_t written;	     /* 0x0c FILETIME */
	le32_t major, minor; /* 0x14 */
	le32_t type;	     /* 0x1c 0 hive, 1 and 2 old log, 6 new log */
	le32_t format;	     /* 0x20 1 */
	le32_t root;	     /* 0x24 cell of the root key */
	le32_t bins;	     /* 0x28 bytes of all bins */
	le32_t cluster;	     /* 0x2c 1 */
	uint8_t name[64];    /* 0x30 UTF-16, the end of the file's path */
	uint8_t rest[396];   /* 0x70 */
	le32_t sum;	     /* 0x1fc XOR of the 127 words before */
};
_Static_assert(sizeof(struct regf_base) == 512, "regf spec, Base block");

/* Key node */
struct regf_nk {
	char magic[2];		 /* 0x00 "nk" */
	le16_t flags;		 /* 0x02 */
	le64_t written;		 /* 0x04 FILETIME */
	le32_t access;		 /* 0x0c */
	le32_t parent;		 /* 0x10 */
	le32_t subkeys;		 /* 0x14 */
	le32_t volatile_subkeys; /* 0x18 */
	le32_t list;		 /* 0x1c */
	le32_t volatile_list;	 /* 0x20 */
	le32_t values;		 /* 0x24 */
	le32_t value_list;	 /* 0x28 */
	le32_t security;	 /* 0x2c */
	le32_t class_name;	 /* 0x30 */
	le32_t longest[4];	 /* 0x34 names and data below, at most */
	le32_t work;		 /* 0x44 */
	le16_t name_len;	 /* 0x48 */
	le16_t class_len;	 /* 0x4a */
};
_Static_assert(sizeof(struct regf_nk) == 76, "regf spec, Key node");

/* Key value */
struct regf_vk {
	char magic[2];	 /* 0x00 "vk" */
	le16_t name_len; /* 0x02 0: the default value */
	le32_t size;	 /* 0x04 bit 31: at most 4 bytes, in @data itself */
	le32_t data;	 /* 0x08 cell */
	le32_t type;	 /* 0x0c REG_SZ ... */
	le16_t flags;	 /* 0x10 bit 0: name in Latin-1 */
	le16_t spare;	 /* 0x12 */
};
_Static_assert(sizeof(struct regf_vk) == 20, "regf spec, Key value");

#define REGF_NK_ROOT   0x04
#define REGF_NK_LATIN1 0x20
#define REGF_VK_LATIN1 0x01
#define REGF_INLINE    0x80000000u

/* A page of the hive that a log replaced. */
struct regf_page {
	uint32_t off, len; /* in the bins */
};

struct regf {
	struct layer *l;
	uint8_t *bins; /* all of them, logs applied, zeros where lost */
	uint32_t len;
	uint32_t from; /* offset of bins[0]: 0 but for bins that were carved */
	uint32_t root, minor;
	struct regf_base base; /* as the hive has it */
	bool base_ok, dirty, replayed;
	struct ranges lost;	/* of the layer: base block and bins; flat, logs applied */
	struct regf_page *page; /* what logs replaced, by offset */
	size_t n_pages;
	uint32_t log_seq; /* of the last log entry applied; 0: none, or the old kind */
};

/* regf_of() - the hive that the layer @l (regf_ops, open) presents */
struct regf *regf_of(struct layer *l);

/*
 * regf_cell() - the bytes of the cell at @off, without its length; addr: in the hive's layer
 * An empty span (p NULL) where no cell can be. @unused: is it free? May be NULL.
 */
struct span regf_cell(const struct regf *h, uint32_t off, bool *unused);
const struct regf_nk *regf_nk(const struct regf *h, uint32_t off);
const struct regf_vk *regf_vk(const struct regf *h, uint32_t off);
/* regf_root() - the first key marked as root, nearly always the first cell; REGF_NONE: there is none */
uint32_t regf_root(const struct regf *h);
/* regf_name() - the name behind a key node or value, as UTF-8 with no '/' in it; its length */
size_t regf_key_name(const struct regf *h, uint32_t off, char out[REGF_NAME_MAX]);
size_t regf_value_name(const struct regf *h, uint32_t off, char out[REGF_NAME_MAX]);
/*
 * regf_each_subkey(), regf_each_value() - the cells that a key's lists name, bounded by what they
 * can hold; each one is a claim. A non-zero result of @fn ends it and is returned.
 */
int regf_each_subkey(const struct regf *h, uint32_t key, int (*fn)(void *arg, uint32_t off),
		     void *arg);
int regf_each_value(const struct regf *h, uint32_t key, int (*fn)(void *arg, uint32_t off),
		    void *arg);
/* regf_find() - the key at @path below @key (root: h->root); 0 or -ENOENT */
int regf_find(const struct regf *h, uint32_t key, const char *path, uint32_t *found);
/* regf_value() - the value of a key by name, "" the default one; 0 or -ENOENT */
int regf_value(const struct regf *h, uint32_t key, const char *name, uint32_t *found);
/* regf_name_equal() - do two names differ by case only? ASCII and Latin-1; others to the letter */
bool regf_name_equal(const char *a, size_t a_len, const char *b, size_t b_len);

/* Bytes of a value that the hive's file has as they are. */
struct regf_run {
	uint32_t off, len; /* in the value */
	uint64_t at;	   /* in the hive's layer */
};

struct regf_data {
	uint32_t type;
	uint8_t *p; /* malloc'd; NULL when empty */
	uint32_t len;
	uint64_t at, at_len;  /* where it lies in the hive's layer (of big data: its list) */
	struct ranges bad;    /* of @p */
	struct regf_run *run; /* malloc'd, by offset: where it lies, what is in none is lost */
	size_t runs;
	bool logged; /* some of it is a log's: @run is not all */
};
/*
 * regf_data() - the data of a value, "big data" put together
 * What can't be had is zero and in @d->bad. Returns 0 or -ENOMEM; regf_data_free().
 */
int regf_data(const struct regf *h, uint32_t value, struct regf_data *d);
void regf_data_free(struct regf_data *d);
/* regf_data_text() - as people read it: text, a number, hex digits; cut at @cap */
const char *regf_data_text(const struct regf_data *d, char *out, size_t cap);
const char *regf_type_name(uint32_t type);

/* regf_key_data(), _u32(), _text() - the value @name of a key; -ENOENT, -EBADMSG: not that, or lost */
int regf_key_data(const struct regf *h, uint32_t key, const char *name, struct regf_data *d);
int regf_key_u32(const struct regf *h, uint32_t key, const char *name, uint32_t *v);
int regf_key_text(const struct regf *h, uint32_t key, const char *name, char *out, size_t cap);
/* regf_u32(), regf_text() - of the key at @path, for who looks for one thing */
int regf_u32(const struct regf *h, const char *path, const char *name, uint32_t *v);
int regf_text(const struct regf *h, const char *path, const char *name, char *out, size_t cap);

/* regf_logs.c: apply what the logs @log (NULL: none) hold that the hive does not; 0 or -ENOMEM */
int regf_replay(struct regf *h, struct layer *const *log, size_t n);
/* regf_sum() - the checksum of a base block */
uint32_t regf_sum(const struct regf_base *b);
/* regf_walk.c: as fs_ops.walk(); a key as an entry (without its path); a FILETIME */
struct fs_query;
struct fs_entry;
struct fs_time;
int regf_walk(struct layer *l, const struct fs_query *q,
	      int (*fn)(void *arg, const struct fs_entry *e), void *arg);
struct fs_entry regf_key_entry(const struct regf *h, uint32_t off);
struct fs_time regf_time(le64_t v);
/* regf_check.c */
int regf_check(struct layer *l);

/*
 * regf_events() - every key as an event of the time at which it was last written, with its values
 * @base: of byte 0 of the hive in the addresses that events get; @carved: no live file leads to it
 * Returns 0 or -errno. regf_events.c
 */
struct log_sink;
int regf_events(struct regf *h, uint64_t base, bool carved, const struct log_sink *sink);
/* regf_carve.c: bins wherever they lie, as struct log_driver wants it */
void *regf_carve_begin(struct layer *l, const struct log_sink *sink);
int regf_carve(void *state, const uint8_t *p, size_t len, size_t more, uint64_t off);
int regf_carve_end(void *state, int r);

#endif
