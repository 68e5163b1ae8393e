/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHD: Microsoft "Virtual Hard Disk Image Format Specification" 1.0 (2006), and what XenServer
 * adds to it (blktap: batmap, hidden flag, key hash). Shared by the files of the driver only.
 *
 * A dynamic image: footer copy, dynamic header, BAT, [batmap], [parent locators], then blocks
 * (sector bitmap + data) in any order, and the footer last. A fixed one: data, footer. All
 * integers are big-endian; BAT entries count sectors of 512 bytes from the start of the file.
 */
#ifndef VDISKCK_FORMATS_CONTAINER_VHD_H
#define VDISKCK_FORMATS_CONTAINER_VHD_H

#include <inttypes.h>
#include <stdatomic.h>

#include "vdiskck/core/endian.h"
#include "vdiskck/core/layer.h"

enum {
	VHD_SECTOR = 512,
	VHD_LOCATORS = 8,
	VHD_FIXED = 2,
	VHD_DYNAMIC = 3,
	VHD_DIFFERENCING = 4,
	VHD_BLOCK_DEFAULT = 2 << 20,
};

#define VHD_UNUSED    UINT32_C(0xffffffff) /* BAT: the block is not in this file */
#define VHD_NO_OFFSET UINT64_MAX
#define VHD_VERSION_1 UINT32_C(0x00010000)
#define VHD_EPOCH     INT64_C(946684800)   /* 2000-01-01T00:00:00Z */
#define VHD_CHS_MAX   UINT32_C(0xffff10ff) /* 65535 cylinders, 16 heads, 255 sectors */
#define VHD_COOKIE    "conectix"
#define VHD_POISON    "v_poison" /* blktap: closed to everybody while its journal is open */

/* Hard disk footer; Virtual PC before 2004 left out its last byte. */
struct vhd_footer {
	char cookie[8];		/* 0x00 "conectix" */
	be32_t features;	/* 0x08 1: temporary; 2: reserved, always set */
	be32_t version;		/* 0x0c 0x00010000 */
	be64_t data_offset;	/* 0x10 of the dynamic header; all ones if fixed */
	be32_t time;		/* 0x18 seconds since 2000, made */
	char creator[4];	/* 0x1c "vpc ", "win ", "qemu", "tap\0" ... */
	be32_t creator_version; /* 0x20 */
	char creator_os[4];	/* 0x24 "Wi2k", "Mac " */
	be64_t original_size;	/* 0x28 */
	be64_t current_size;	/* 0x30 */
	be32_t geometry;	/* 0x38 cylinders 16 bits, heads 8, sectors per track 8 */
	be32_t type;		/* 0x3c */
	be32_t checksum;	/* 0x40 one's complement of the sum of all other bytes */
	uint8_t uuid[16];	/* 0x44 */
	uint8_t saved_state;	/* 0x54 */
	uint8_t hidden;		/* 0x55 XenServer: a parent that is no VDI of its own */
	uint8_t reserved[426];	/* 0x56 */
};
_Static_assert(sizeof(struct vhd_footer) == 512, "hard disk footer");

struct vhd_locator {
	be32_t code;	 /* 0x00 "W2ru" ... */
	be32_t space;	 /* 0x04 sectors; bytes in files by Microsoft and by XenServer */
	be32_t len;	 /* 0x08 bytes */
	be32_t reserved; /* 0x0c */
	be64_t offset;	 /* 0x10 in the file */
};
_Static_assert(sizeof(struct vhd_locator) == 24, "parent locator entry");

struct vhd_header {
	char cookie[8];				  /* 0x000 "cxsparse" */
	be64_t data_offset;			  /* 0x008 all ones */
	be64_t table_offset;			  /* 0x010 of the BAT */
	be32_t version;				  /* 0x018 0x00010000 */
	be32_t max_table_entries;		  /* 0x01c */
	be32_t block_size;			  /* 0x020 data bytes of a block */
	be32_t checksum;			  /* 0x024 as in the footer */
	uint8_t parent_uuid[16];		  /* 0x028 */
	be32_t parent_time;			  /* 0x038 mtime of the parent, since 2000 */
	be32_t reserved1;			  /* 0x03c */
	uint8_t parent_name[512];		  /* 0x040 UTF-16BE */
	struct vhd_locator locator[VHD_LOCATORS]; /* 0x240 */
	uint8_t reserved2[256];			  /* 0x300 */
};
_Static_assert(sizeof(struct vhd_header) == 1024, "dynamic disk header");

/* XenServer: follows the BAT; blktap include/vhd.h, struct dd_batmap_hdr */
struct vhd_batmap_header {
	char cookie[8];	       /* 0x00 "tdbatmap" */
	be64_t offset;	       /* 0x08 of the batmap: bit set = all sectors of the block are here */
	be32_t sectors;	       /* 0x10 */
	be32_t version;	       /* 0x14 0x00010001: bytes of the sum are signed; 0x00010002 */
	be32_t checksum;       /* 0x18 one's complement of the sum of the batmap's bytes */
	uint8_t marker;	       /* 0x1c */
	uint8_t key_cookie;    /* 0x1d not 0: the disk is encrypted, and the key hash is set */
	uint8_t key_nonce[32]; /* 0x1e */
	uint8_t key_hash[32];  /* 0x3e SHA-256 of nonce and key */
	uint8_t reserved[418]; /* 0x5e */
};
_Static_assert(sizeof(struct vhd_batmap_header) == 512, "batmap header");

struct sector_cipher;

/* What is known of a block. Set by open(), but for BLOCK_FULL. */
enum {
	BLOCK_FULL = 1,	  /* its bitmap was read: all bits are set */
	BLOCK_BAD = 2,	  /* its BAT entry can't be true */
	BLOCK_SHARED = 4, /* another block's bytes overlap it */
	BLOCK_CUT = 8,	  /* runs past the end */
};

enum vhd_bit { BIT_CLEAR, BIT_SET, BIT_UNKNOWN };

/* Where the footer in use came from. */
enum vhd_footer_from { FOOTER_END, FOOTER_SHORT, FOOTER_COPY, FOOTER_SEARCH, FOOTER_MADE };

struct vhd {
	struct vhd_footer footer;
	enum vhd_footer_from from;
	uint64_t footer_at;  /* of the one in use */
	uint64_t footer_len; /* 512 or 511 */
	uint64_t data_end;   /* where the footer at the end starts, or the file ends without one */
	unsigned type;	     /* VHD_FIXED, VHD_DYNAMIC, VHD_DIFFERENCING */
	bool chs;	     /* l->size comes from the geometry */

	/* Not fixed only, from here on. */
	struct vhd_header header;
	uint64_t header_at;
	bool header_made; /* rebuilt: the header itself is lost */
	uint64_t bat_at;
	uint64_t bat_len; /* bytes that the header states, up to a whole sector */
	uint32_t block_size;
	unsigned block_shift;
	uint32_t bitmap_size; /* bytes, a multiple of 512 */
	uint64_t blocks;      /* that the disk needs */
	uint32_t entries;     /* at @bat: no more than blocks, the BAT and the file have */
	uint32_t *bat;
	struct ranges bat_bad; /* bytes of @bat that could not be read */
	_Atomic uint8_t *flags;
	uint32_t *order; /* allocated blocks by their place in the file */
	uint32_t allocated;
	uint64_t
		meta_end; /* behind the last of header, BAT, batmap, locators: where blocks may start */

	bool tap;	 /* XenServer keeps bitmaps exactly; stale bytes lie under clear bits */
	bool old_bits;	 /* tap 0.1: bit 0 is the lowest of its byte */
	bool has_batmap; /* its header was found */
	uint64_t batmap_at;
	struct vhd_batmap_header batmap;
	bool encrypted;
	struct sector_cipher *cipher; /* NULL: not encrypted, or locked */

	enum finding_id parent_why; /* why sectors of the parent are lost, if they are */
	char parent_from[8];	    /* how the parent was found: "W2ru", "name", "uuid" */
};

/* vhd_footer.c */
bool vhd_footer_sum_ok(const struct vhd_footer *f);
bool vhd_header_sum_ok(const struct vhd_header *h);
uint32_t vhd_sum(const void *p, size_t len, uint32_t stored);
int vhd_footer_probe(struct layer *below);
/*
 * vhd_footer_open() - find the footer: at the end, the copy, by search, or made from the header
 * Sets from, footer.., data_end, type. -EBADMSG: no trace of a VHD.
 */
int vhd_footer_open(struct layer *l);
/* vhd_uuid() - identity of the VHD in @below; false: there is none */
bool vhd_uuid(struct layer *below, uint8_t uuid[16]);
/* vhd_chs_bytes() - the size that a geometry states */
uint64_t vhd_chs_bytes(uint32_t geometry);
/* vhd_size() - the size of the disk: see there; sets v->chs */
uint64_t vhd_size(struct vhd *v);

/* vhd_bat.c */
/* vhd_header_open() - find or rebuild the header; sets header.., block_.., bitmap_size, bat_at */
int vhd_header_open(struct layer *l);
/* vhd_bat_open() - read the BAT, the batmap header; order and judge the blocks */
int vhd_bat_open(struct layer *l);
/*
 * vhd_bits() - how many sectors from @sector of an allocated block have one bit in its bitmap
 * @max: no more than these; @bit: which. Returns at least 1, or 0 with *err set (-ENOMEM ...).
 */
uint32_t vhd_bits(struct layer *l, uint32_t block, uint32_t sector, uint32_t max, enum vhd_bit *bit,
		  int *err);
/* vhd_block_len() - bytes of the disk that @block holds: the last one may be shorter */
uint64_t vhd_block_len(const struct layer *l, uint64_t block);
static inline uint64_t vhd_block_at(const struct vhd *v, uint32_t block)
{
	return (uint64_t)v->bat[block] * VHD_SECTOR;
}

/* vhd_chain.c */
/* vhd_parent_open() - find and open the parent of a differencing image; findings if it can't */
int vhd_parent_open(struct layer *l);
/* vhd_locator_name() - the text of locator @i as UTF-8, or false: unused, unreadable, a Mac alias */
bool vhd_locator_name(struct layer *l, unsigned i, char *name, size_t cap);
/* vhd_locator_space() - bytes reserved for a locator, whatever the unit its creator used */
uint64_t vhd_locator_space(const struct vhd_locator *c);
/* vhd_parent_name() - the name in the header as UTF-8 */
const char *vhd_parent_name(const struct vhd *v, char *name, size_t cap);
/* vhd_code_text() - a platform code made printable */
const char *vhd_code_text(be32_t code, char text[20]);

/* vhd_check.c */
int vhd_check(struct layer *l);

/* vhd_info.c */
void vhd_info(struct layer *l, struct json *to);
bool vhd_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
		   uint64_t *len);

/*
 * vhd_crypt.c: XenServer's encryption. Data sectors are encrypted, each link of a chain by a key
 * of its own or by none; metadata and bitmaps are not.
 */
/* vhd_crypt_open() - is it encrypted? Try the session's keys; sets v->encrypted and l->locked */
int vhd_crypt_open(struct layer *l);
int vhd_unlock(struct layer *l);
/*
 * vhd_decrypt() - decrypt sectors of this file for byte @off of the disk, in place
 * @bad: from index @from on, what of them was lost. A part of a sector at the end is lost.
 */
int vhd_decrypt(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad,
		size_t from);
/* vhd_ciphertext() - a layer's ciphertext(): sectors that this link of the chain stores */
int vhd_ciphertext(struct layer *l, uint64_t at, uint64_t *len, uint64_t *off);
void vhd_crypt_info(const struct layer *l, struct json *to);

#endif
