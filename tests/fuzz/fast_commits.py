#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A journal (jbd2) of 16 blocks whose log is empty, and behind it every kind of fast commit.

Written from the kernel's ext4 documentation. Inodes are those of tests/fuzz/seeds.sh: 2 the root,
13 its folder, 14 a file in it; 17 is new."""
import struct
import sys

BLOCK, FAST = 1024, 6


def crc32c(crc, data):
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def tag(kind, value):
    return struct.pack("<HH", kind, len(value)) + value


def extent(ino, lblk, length, block):
    return tag(1, struct.pack("<IIHHI", ino, lblk, length, 0, block))


def name(kind, parent, ino, text):
    return tag(kind, struct.pack("<II", parent, ino) + text)


def inode(ino, mode, size, links, flags=0x80000):
    raw = struct.pack("<HHIIIIIHHIII", mode, 0, size, 1, 1, 1, 0, 0, links, 2, flags, 0)
    return tag(6, struct.pack("<I", ino) + raw.ljust(160, b"\0"))


def commit(tid, *tags):
    data = b"".join(tags)
    data += struct.pack("<HHI", 8, BLOCK - (len(data) + 4) % BLOCK, tid)
    return (data + struct.pack("<I", crc32c(0, data))).ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")


area = commit(1, tag(9, struct.pack("<II", 0, 1)), inode(17, 0o100644, 3000, 1), extent(17, 0, 3, 90),
              name(3, 13, 17, b"new"), name(4, 2, 17, b"hard"), inode(17, 0o100644, 3000, 2))
area += commit(1, tag(2, struct.pack("<III", 14, 1, 2)), extent(14, 7, 0x8001, 95), extent(14, 9, 1, 97),
               extent(14, 11, 1, 96), inode(14, 0o100600, 12000, 1), tag(7, b"pad"))
area += commit(1, inode(18, 0o40755, 1024, 2), name(3, 2, 18, b"made"), name(3, 18, 19, b"in it"),
               name(5, 13, 17, b"new"), inode(19, 0o120777, 4, 1, 0), name(5, 2, 17, b"hard"))
head = struct.pack(">6I", 0xC03B3998, 4, 0, BLOCK, 16, 1) + struct.pack(">IIIIII", 1, 1, 0, 0, 32, 0)
head = head.ljust(0x40, b"j") + struct.pack(">I", 1)
head = head.ljust(0x54, b"\0") + struct.pack(">I", FAST)
sys.stdout.buffer.write((head.ljust(11 * BLOCK, b"\0") + area).ljust(16 * BLOCK, b"\0"))
