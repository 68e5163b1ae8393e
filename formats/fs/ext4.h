/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext2, ext3 and ext4 as they lie on disk. Sources: Documentation/filesystems/ext4 of Linux (its
 * chapter is named at each structure), and the "Second Extended File System" by Dave Poirier for
 * what is older. Numbers are little-endian, those of the journal big-endian.
 */
#ifndef VDISKCK_FORMATS_FS_EXT4_H
#define VDISKCK_FORMATS_FS_EXT4_H

#include <stddef.h>

#include "vdiskck/core/endian.h"

enum {
	EXT4_SUPER_AT = 1024, /* of the first superblock, whatever the block size */
	EXT4_SUPER_LEN = 1024,
	EXT4_MAGIC = 0xef53,
	EXT4_BLOCK_BITS_MIN = 10,
	EXT4_BLOCK_BITS_MAX = 16,
	EXT4_GOOD_OLD_INODE = 128,
	EXT4_N_BLOCKS = 15,
	EXT4_NAME_MAX = 255,
	EXT4_FREE_BITMAP_SPARE = 8,
};

/* Reserved inodes, "Special inodes" */
enum {
	EXT4_INO_BAD = 1,
	EXT4_INO_ROOT = 2,
	EXT4_INO_USER_QUOTA = 3,
	EXT4_INO_GROUP_QUOTA = 4,
	EXT4_INO_BOOT = 5,
	EXT4_INO_UNDELETE = 6,
	EXT4_INO_RESIZE = 7,
	EXT4_INO_JOURNAL = 8,
	EXT4_INO_EXCLUDE = 9,
	EXT4_INO_REPLICA = 10,
	EXT4_FIRST_INO_OLD = 11,
};

enum ext4_state { EXT4_STATE_VALID = 1, EXT4_STATE_ERROR = 2, EXT4_STATE_ORPHANS = 4 };
enum ext4_creator { EXT4_OS_LINUX = 0, EXT4_OS_HURD = 1 };

enum ext4_compat {
	EXT4_C_DIR_PREALLOC = 0x1,
	EXT4_C_JOURNAL = 0x4,
	EXT4_C_EXT_ATTR = 0x8,
	EXT4_C_RESIZE_INODE = 0x10,
	EXT4_C_DIR_INDEX = 0x20,
	EXT4_C_SPARSE_SUPER2 = 0x200,
	EXT4_C_FAST_COMMIT = 0x400,
	EXT4_C_STABLE_INODES = 0x800,
	EXT4_C_ORPHAN_FILE = 0x1000,
};

enum ext4_incompat {
	EXT4_I_COMPRESSION = 0x1,
	EXT4_I_FILETYPE = 0x2,
	EXT4_I_RECOVER = 0x4,
	EXT4_I_JOURNAL_DEV = 0x8,
	EXT4_I_META_BG = 0x10,
	EXT4_I_EXTENTS = 0x40,
	EXT4_I_64BIT = 0x80,
	EXT4_I_MMP = 0x100,
	EXT4_I_FLEX_BG = 0x200,
	EXT4_I_EA_INODE = 0x400,
	EXT4_I_DIRDATA = 0x1000,
	EXT4_I_CSUM_SEED = 0x2000,
	EXT4_I_LARGEDIR = 0x4000,
	EXT4_I_INLINE_DATA = 0x8000,
	EXT4_I_ENCRYPT = 0x10000,
	EXT4_I_CASEFOLD = 0x20000,
	EXT4_I_KNOWN = 0x3e7de,
};

enum ext4_ro_compat {
	EXT4_R_SPARSE_SUPER = 0x1,
	EXT4_R_LARGE_FILE = 0x2,
	EXT4_R_HUGE_FILE = 0x8,
	EXT4_R_GDT_CSUM = 0x10,
	EXT4_R_DIR_NLINK = 0x20,
	EXT4_R_EXTRA_ISIZE = 0x40,
	EXT4_R_QUOTA = 0x100,
	EXT4_R_BIGALLOC = 0x200,
	EXT4_R_METADATA_CSUM = 0x400,
	EXT4_R_READONLY = 0x1000,
	EXT4_R_PROJECT = 0x2000,
	EXT4_R_SHARED_BLOCKS = 0x4000,
	EXT4_R_VERITY = 0x8000,
	EXT4_R_ORPHAN_PRESENT = 0x10000,
};

/* "Super Block" */
struct ext4_super {
	le32_t inodes_count;	     /* 0x00 */
	le32_t blocks_count_lo;	     /* 0x04 */
	le32_t r_blocks_count_lo;    /* 0x08 */
	le32_t free_blocks_lo;	     /* 0x0c */
	le32_t free_inodes;	     /* 0x10 */
	le32_t first_data_block;     /* 0x14 1 if blocks are 1 KiB, else 0; 0 with bigalloc */
	le32_t log_block_size;	     /* 0x18 1024 << this */
	le32_t log_cluster_size;     /* 0x1c */
	le32_t blocks_per_group;     /* 0x20 */
	le32_t clusters_per_group;   /* 0x24 */
	le32_t inodes_per_group;     /* 0x28 */
	le32_t mtime;		     /* 0x2c mounted */
	le32_t wtime;		     /* 0x30 written */
	le16_t mnt_count;	     /* 0x34 */
	le16_t max_mnt_count;	     /* 0x36 */
	le16_t magic;		     /* 0x38 */
	le16_t state;		     /* 0x3a */
	le16_t errors;		     /* 0x3c */
	le16_t minor_rev;	     /* 0x3e */
	le32_t lastcheck;	     /* 0x40 */
	le32_t checkinterval;	     /* 0x44 */
	le32_t creator_os;	     /* 0x48 */
	le32_t rev_level;	     /* 0x4c 0: nothing below counts but the first group's layout */
	le16_t def_resuid;	     /* 0x50 */
	le16_t def_resgid;	     /* 0x52 */
	le32_t first_ino;	     /* 0x54 */
	le16_t inode_size;	     /* 0x58 */
	le16_t block_group_nr;	     /* 0x5a of the group that holds this copy */
	le32_t compat;		     /* 0x5c */
	le32_t incompat;	     /* 0x60 */
	le32_t ro_compat;	     /* 0x64 */
	uint8_t uuid[16];	     /* 0x68 */
	char label[16];		     /* 0x78 */
	char last_mounted[64];	     /* 0x88 */
	le32_t algorithms;	     /* 0xc8 */
	uint8_t prealloc[2];	     /* 0xcc */
	le16_t reserved_gdt_blocks;  /* 0xce */
	uint8_t journal_uuid[16];    /* 0xd0 */
	le32_t journal_ino;	     /* 0xe0 */
	le32_t journal_dev;	     /* 0xe4 */
	le32_t last_orphan;	     /* 0xe8 */
	le32_t hash_seed[4];	     /* 0xec */
	uint8_t def_hash_version;    /* 0xfc */
	uint8_t jnl_backup_type;     /* 0xfd 1: jnl_blocks is a copy of i_block and i_size */
	le16_t desc_size;	     /* 0xfe with 64bit */
	le32_t mount_opts;	     /* 0x100 */
	le32_t first_meta_bg;	     /* 0x104 */
	le32_t mkfs_time;	     /* 0x108 */
	le32_t jnl_blocks[17];	     /* 0x10c */
	le32_t blocks_count_hi;	     /* 0x150 with 64bit */
	le32_t r_blocks_count_hi;    /* 0x154 */
	le32_t free_blocks_hi;	     /* 0x158 */
	le16_t min_extra_isize;	     /* 0x15c */
	le16_t want_extra_isize;     /* 0x15e */
	le32_t flags;		     /* 0x160 */
	le16_t raid_stride;	     /* 0x164 */
	le16_t mmp_interval;	     /* 0x166 */
	le64_t mmp_block;	     /* 0x168 */
	le32_t raid_stripe_width;    /* 0x170 */
	uint8_t log_groups_per_flex; /* 0x174 */
	uint8_t checksum_type;	     /* 0x175 1: CRC-32C */
	le16_t reserved_pad;	     /* 0x176 */
	le64_t kbytes_written;	     /* 0x178 */
	le32_t snapshot[5];	     /* 0x180 */
	le32_t error_count;	     /* 0x194 */
	le32_t first_error_time;     /* 0x198 */
	le32_t first_error_ino;	     /* 0x19c */
	le64_t first_error_block;    /* 0x1a0 */
	char first_error_func[32];   /* 0x1a8 */
	le32_t first_error_line;     /* 0x1c8 */
	le32_t last_error_time;	     /* 0x1cc */
	le32_t last_error_ino;	     /* 0x1d0 */
	le32_t last_error_line;	     /* 0x1d4 */
	le64_t last_error_block;     /* 0x1d8 */
	char last_error_func[32];    /* 0x1e0 */
	uint8_t mount_options[64];   /* 0x200 */
	le32_t usr_quota_ino;	     /* 0x240 */
	le32_t grp_quota_ino;	     /* 0x244 */
	le32_t overhead;	     /* 0x248 */
	le32_t backup_bgs[2];	     /* 0x24c sparse_super2: the groups that hold copies */
	uint8_t encrypt_algos[4];    /* 0x254 */
	uint8_t encrypt_salt[16];    /* 0x258 */
	le32_t lpf_ino;		     /* 0x268 */
	le32_t prj_quota_ino;	     /* 0x26c */
	le32_t checksum_seed;	     /* 0x270 with csum_seed */
	uint8_t times_hi[8];	     /* 0x274 */
	le16_t encoding;	     /* 0x27c */
	le16_t encoding_flags;	     /* 0x27e */
	le32_t orphan_file_ino;	     /* 0x280 */
	le32_t reserved[94];	     /* 0x284 */
	le32_t checksum;	     /* 0x3fc CRC-32C register over all before, from ~0 */
};
_Static_assert(sizeof(struct ext4_super) == EXT4_SUPER_LEN, "Super Block");
_Static_assert(offsetof(struct ext4_super, usr_quota_ino) == 0x240, "Super Block");

enum ext4_super_flags { EXT4_SF_SIGNED_HASH = 1, EXT4_SF_UNSIGNED_HASH = 2 };

/* "Block Group Descriptors"; the second half only with 64bit and desc_size >= 64 */
struct ext4_desc {
	le32_t block_bitmap_lo; /* 0x00 */
	le32_t inode_bitmap_lo; /* 0x04 */
	le32_t inode_table_lo;	/* 0x08 */
	le16_t free_blocks_lo;	/* 0x0c clusters */
	le16_t free_inodes_lo;	/* 0x0e */
	le16_t used_dirs_lo;	/* 0x10 */
	le16_t flags;		/* 0x12 */
	le32_t exclude_lo;	/* 0x14 */
	le16_t block_csum_lo;	/* 0x18 */
	le16_t inode_csum_lo;	/* 0x1a */
	le16_t unused_lo;	/* 0x1c inodes at the end of the table that were never used */
	le16_t checksum;	/* 0x1e */
	le32_t block_bitmap_hi; /* 0x20 */
	le32_t inode_bitmap_hi; /* 0x24 */
	le32_t inode_table_hi;	/* 0x28 */
	le16_t free_blocks_hi;	/* 0x2c */
	le16_t free_inodes_hi;	/* 0x2e */
	le16_t used_dirs_hi;	/* 0x30 */
	le16_t unused_hi;	/* 0x32 */
	le32_t exclude_hi;	/* 0x34 */
	le16_t block_csum_hi;	/* 0x38 */
	le16_t inode_csum_hi;	/* 0x3a */
	le32_t reserved;	/* 0x3c */
};
_Static_assert(sizeof(struct ext4_desc) == 64, "Block Group Descriptors");

enum { EXT4_DESC_OLD = 32, EXT4_DESC_64 = 64 };
enum ext4_desc_flags { EXT4_BG_INODE_UNINIT = 1, EXT4_BG_BLOCK_UNINIT = 2, EXT4_BG_ZEROED = 4 };

/* "Inode Table" */
struct ext4_dinode {
	le16_t mode;	     /* 0x00 */
	le16_t uid;	     /* 0x02 */
	le32_t size_lo;	     /* 0x04 */
	le32_t atime;	     /* 0x08 */
	le32_t ctime;	     /* 0x0c */
	le32_t mtime;	     /* 0x10 */
	le32_t dtime;	     /* 0x14 deleted; in the orphan list: the next inode */
	le16_t gid;	     /* 0x18 */
	le16_t links;	     /* 0x1a */
	le32_t blocks_lo;    /* 0x1c of 512 bytes, or with HUGE_FILE file system blocks */
	le32_t flags;	     /* 0x20 */
	le32_t version;	     /* 0x24 */
	uint8_t block[60];   /* 0x28 block map, extent tree, symlink, inline data */
	le32_t generation;   /* 0x64 */
	le32_t file_acl_lo;  /* 0x68 */
	le32_t size_hi;	     /* 0x6c */
	le32_t faddr;	     /* 0x70 */
	le16_t blocks_hi;    /* 0x74 */
	le16_t file_acl_hi;  /* 0x76 */
	le16_t uid_hi;	     /* 0x78 */
	le16_t gid_hi;	     /* 0x7a */
	le16_t checksum_lo;  /* 0x7c */
	le16_t reserved;     /* 0x7e */
	le16_t extra_isize;  /* 0x80 bytes from here on that are fields */
	le16_t checksum_hi;  /* 0x82 */
	le32_t ctime_extra;  /* 0x84 nanoseconds << 2, epoch in the lowest bits */
	le32_t mtime_extra;  /* 0x88 */
	le32_t atime_extra;  /* 0x8c */
	le32_t crtime;	     /* 0x90 */
	le32_t crtime_extra; /* 0x94 */
	le32_t version_hi;   /* 0x98 */
	le32_t projid;	     /* 0x9c */
};
_Static_assert(sizeof(struct ext4_dinode) == 160, "Inode Table");

enum ext4_mode {
	EXT4_S_FIFO = 0x1000,
	EXT4_S_CHR = 0x2000,
	EXT4_S_DIR = 0x4000,
	EXT4_S_BLK = 0x6000,
	EXT4_S_REG = 0x8000,
	EXT4_S_LNK = 0xa000,
	EXT4_S_SOCK = 0xc000,
	EXT4_S_TYPE = 0xf000,
};

enum ext4_flags {
	EXT4_F_COMPRESSED = 0x4,
	EXT4_F_IMMUTABLE = 0x10,
	EXT4_F_APPEND = 0x20,
	EXT4_F_ENCRYPT = 0x800,
	EXT4_F_INDEX = 0x1000,
	EXT4_F_HUGE_FILE = 0x40000,
	EXT4_F_EXTENTS = 0x80000,
	EXT4_F_VERITY = 0x100000,
	EXT4_F_EA_INODE = 0x200000,
	EXT4_F_EOFBLOCKS = 0x400000,
	EXT4_F_INLINE_DATA = 0x10000000,
	EXT4_F_CASEFOLD = 0x40000000,
};

/* "Extent Tree": a header, then entries of the same size */
struct ext4_extent_header {
	le16_t magic;	   /* 0x00 */
	le16_t entries;	   /* 0x02 */
	le16_t max;	   /* 0x04 */
	le16_t depth;	   /* 0x06 0: leaf */
	le32_t generation; /* 0x08 */
};

struct ext4_extent {
	le32_t block;	 /* 0x00 first logical block */
	le16_t len;	 /* 0x04 above 32768: that much less, unwritten */
	le16_t start_hi; /* 0x06 */
	le32_t start_lo; /* 0x08 */
};

struct ext4_extent_idx {
	le32_t block;	/* 0x00 first logical block below */
	le32_t leaf_lo; /* 0x04 */
	le16_t leaf_hi; /* 0x08 */
	le16_t unused;	/* 0x0a */
};
_Static_assert(sizeof(struct ext4_extent) == 12 && sizeof(struct ext4_extent_idx) == 12 &&
		       sizeof(struct ext4_extent_header) == 12,
	       "Extent Tree");

enum { EXT4_EXTENT_MAGIC = 0xf30a, EXT4_EXTENT_MAX_LEN = 32768, EXT4_EXTENT_DEPTH = 5 };

/* "Directory Entries" */
struct ext4_dirent {
	le32_t inode;	  /* 0x00 0: unused */
	le16_t rec_len;	  /* 0x04 */
	uint8_t name_len; /* 0x06 */
	uint8_t type;	  /* 0x07 with the filetype feature; else name_len's high byte */
};
_Static_assert(sizeof(struct ext4_dirent) == 8, "Directory Entries");

struct ext4_dir_tail {
	le32_t zero;	  /* 0x00 */
	le16_t rec_len;	  /* 0x04 12 */
	uint8_t zero_len; /* 0x06 */
	uint8_t type;	  /* 0x07 0xde */
	le32_t checksum;  /* 0x08 */
};
_Static_assert(sizeof(struct ext4_dir_tail) == 12, "Leaf directory block checksums");

enum ext4_file_type {
	EXT4_FT_UNKNOWN,
	EXT4_FT_REG,
	EXT4_FT_DIR,
	EXT4_FT_CHR,
	EXT4_FT_BLK,
	EXT4_FT_FIFO,
	EXT4_FT_SOCK,
	EXT4_FT_LNK,
	EXT4_FT_TAIL = 0xde,
};

/* "Hash Tree Directories": behind "." and ".." of the first block */
struct ext4_dx_root {
	le32_t zero;
	uint8_t hash_version;
	uint8_t info_len; /* 8 */
	uint8_t levels;
	uint8_t flags;
};

struct ext4_dx_entry {
	le32_t hash; /* the first entry: le16 limit, le16 count */
	le32_t block;
};

enum { EXT4_DX_ROOT_AT = 24, EXT4_DX_NODE_AT = 8, EXT4_DX_LEVELS = 3 };

/* "Extended Attributes" */
enum { EXT4_XATTR_MAGIC = 0xea020000, EXT4_XATTR_SYSTEM = 7 };

struct ext4_xattr_header {
	le32_t magic;
	le32_t refcount;
	le32_t blocks;
	le32_t hash;
	le32_t checksum;
	le32_t reserved[3];
};

struct ext4_xattr_entry {
	uint8_t name_len;
	uint8_t name_index;
	le16_t value_offs;
	le32_t value_inum;
	le32_t value_size;
	le32_t hash;
};
_Static_assert(sizeof(struct ext4_xattr_header) == 32 && sizeof(struct ext4_xattr_entry) == 16,
	       "Extended Attributes");

/* "Journal (jbd2)" */
enum {
	JBD2_MAGIC = 0xc03b3998,
	JBD2_DESCRIPTOR = 1,
	JBD2_COMMIT = 2,
	JBD2_SUPER_V1 = 3,
	JBD2_SUPER_V2 = 4,
	JBD2_REVOKE = 5,
	JBD2_TAG_ESCAPED = 1,
	JBD2_TAG_SAME_UUID = 2,
	JBD2_TAG_DELETED = 4,
	JBD2_TAG_LAST = 8,
	JBD2_C_CHECKSUM = 1,
	JBD2_I_REVOKE = 1,
	JBD2_I_64BIT = 2,
	JBD2_I_ASYNC_COMMIT = 4,
	JBD2_I_CSUM_V2 = 8,
	JBD2_I_CSUM_V3 = 16,
	JBD2_I_FAST_COMMIT = 32,
	JBD2_I_KNOWN = 63,
	JBD2_FAST_COMMIT_BLOCKS = 256,
};

struct jbd2_header {
	be32_t magic;
	be32_t type;
	be32_t sequence;
};

struct jbd2_super {
	struct jbd2_header h;	 /* 0x00 */
	be32_t block_size;	 /* 0x0c */
	be32_t max_len;		 /* 0x10 blocks, this one included */
	be32_t first;		 /* 0x14 first block of the log */
	be32_t sequence;	 /* 0x18 first commit id expected */
	be32_t start;		 /* 0x1c block that the log starts at; 0: it is empty */
	be32_t error;		 /* 0x20 */
	be32_t compat;		 /* 0x24 from here on version 2 */
	be32_t incompat;	 /* 0x28 */
	be32_t ro_compat;	 /* 0x2c */
	uint8_t uuid[16];	 /* 0x30 */
	be32_t nr_users;	 /* 0x40 */
	be32_t dyn_super;	 /* 0x44 */
	be32_t max_transaction;	 /* 0x48 */
	be32_t max_trans_data;	 /* 0x4c */
	uint8_t checksum_type;	 /* 0x50 */
	uint8_t padding[3];	 /* 0x51 */
	be32_t fast_commit_blks; /* 0x54 */
	be32_t head;		 /* 0x58 */
	uint8_t reserved[160];	 /* 0x5c */
	be32_t checksum;	 /* 0xfc */
	uint8_t users[768];	 /* 0x100 */
};
_Static_assert(sizeof(struct jbd2_super) == 1024, "Journal (jbd2), Super Block");

/*
 * Fast commits: fs/ext4/fast_commit.h of Linux. A stream of tags behind the log, each a type and
 * a length, then its value. A commit ends in a tail, and fills up its last block.
 */
enum ext4_fc_tag {
	EXT4_FC_ADD_RANGE = 1,
	EXT4_FC_DEL_RANGE = 2,
	EXT4_FC_CREAT = 3,
	EXT4_FC_LINK = 4,
	EXT4_FC_UNLINK = 5,
	EXT4_FC_INODE = 6,
	EXT4_FC_PAD = 7,
	EXT4_FC_TAIL = 8,
	EXT4_FC_HEAD = 9,
};

struct ext4_fc_tl {
	le16_t tag;
	le16_t len; /* of the value behind it */
};

struct ext4_fc_head {	 /* the first tag of all */
	le32_t features; /* none is known */
	le32_t tid;	 /* of the transaction that they go ahead of */
};

struct ext4_fc_tail {
	le32_t tid;
	le32_t crc; /* CRC-32C register from 0 over all tags since the last tail, up to here */
};

struct ext4_fc_add_range {
	le32_t ino;
	struct ext4_extent extent;
};

struct ext4_fc_del_range {
	le32_t ino;
	le32_t lblk;
	le32_t len;
};

struct ext4_fc_dentry { /* creat, link and unlink; then the name */
	le32_t parent;
	le32_t ino;
};
_Static_assert(sizeof(struct ext4_fc_tl) == 4 && sizeof(struct ext4_fc_head) == 8 &&
		       sizeof(struct ext4_fc_tail) == 8 && sizeof(struct ext4_fc_add_range) == 16 &&
		       sizeof(struct ext4_fc_del_range) == 12 && sizeof(struct ext4_fc_dentry) == 8,
	       "fast_commit.h");

/* "Multiple Mount Protection" */
struct ext4_mmp {
	le32_t magic; /* 0x004d4d50 */
	le32_t sequence;
	le64_t time;
	char node[64];
	char device[32];
	le16_t interval;
	le16_t pad;
	le32_t reserved[226];
	le32_t checksum;
};
_Static_assert(sizeof(struct ext4_mmp) == 1024, "Multiple Mount Protection");

enum { EXT4_MMP_MAGIC = 0x004d4d50, EXT4_ORPHAN_MAGIC = 0x0b10ca04 };

#endif
