#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""VHDs smaller than real writers make them (blocks of 4 KiB), and disks inside them.

Written from the Virtual Hard Disk Image Format Specification 1.0 and XenServer's tdbatmap."""
import struct

SECTOR, BLOCK = 512, 4096
UUID = bytes(range(16))


def summed(data, field):
    total = ~sum(data) & 0xFFFFFFFF
    return data[:field] + struct.pack(">I", total) + data[field + 4:]


def footer(kind, size, creator=b"win ", data_offset=512):
    f = struct.pack(">8sIIQI4sI4sQQHBBII16sB", b"conectix", 2, 0x10000, data_offset, 0x2A000000,
                    creator, 0x60001, b"Wi2k", size, size, 4, 4, 17, kind, 0, UUID, 0)
    return summed(f.ljust(SECTOR, b"\0"), 64)


def header(entries, table, parent="", locators=()):
    h = struct.pack(">8sQQIIII16sII512s", b"cxsparse", 2 ** 64 - 1, table, 0x10000, entries, BLOCK,
                    0, UUID[::-1] if parent else bytes(16), 0x29000000 if parent else 0, 0,
                    parent.encode("utf-16-be").ljust(512, b"\0"))
    for code, space, length, offset in locators:
        h += struct.pack(">4sIIIQ", code, space, length, 0, offset)
    return summed(h.ljust(1024, b"\0"), 36)


def sectors(data):
    return data.ljust(-(-len(data) // SECTOR) * SECTOR, b"\0")


def dynamic(blocks, kind=3, parent="", names=(), batmap=False, bitmap=b"\xff"):
    """blocks: one bytes object per block, None where the block isn't allocated."""
    at, extra, locators = 1536, b"", []
    table = at
    at += len(sectors(bytes(4 * len(blocks))))
    if batmap:
        bits = bytearray(SECTOR)
        for i, b in enumerate(blocks):
            if b is not None:
                bits[i // 8] |= 0x80 >> i % 8
        extra += sectors(struct.pack(">8sQIIIB", b"tdbatmap", at + SECTOR, 1, 0x10002,
                                     ~sum(bits) & 0xFFFFFFFF, 0)) + bits
        at += 2 * SECTOR
    for code, text in names:
        locators.append((code, SECTOR, len(text), at))
        extra += sectors(text)
        at += SECTOR
    bat, data = b"", b""
    for b in blocks:
        bat += struct.pack(">I", 0xFFFFFFFF if b is None else at // SECTOR)
        if b is not None:
            piece = bitmap.ljust(SECTOR, b"\0") + b.ljust(BLOCK, b"\0")
            data, at = data + piece, at + len(piece)
    f = footer(kind, BLOCK * len(blocks))
    bat = bat.ljust(len(sectors(bat)), b"\xff")
    return f + header(len(blocks), table, parent, locators) + bat + extra + data + f


def save(name, data):
    with open(name, "wb") as out:
        out.write(data)


mbr = open("mbr", "rb").read()
save("vhd-fixed", mbr[:65536] + footer(2, 65536, data_offset=2 ** 64 - 1))
save("vhd-511", (mbr[:65536] + footer(2, 65536, data_offset=2 ** 64 - 1))[:-1])
save("vhd-dynamic", dynamic([mbr[:BLOCK], None, b"x" * BLOCK, None] * 4))
save("vhd-batmap", dynamic([mbr[:BLOCK], None, b"x" * BLOCK], batmap=True))
save("vhd-child", dynamic([b"y" * BLOCK, None, None], 4, "parent.vhd", bitmap=b"\xa5", names=[
    (b"W2ru", ".\\parent.vhd".encode("utf-16-le")), (b"W2ku", "C:\\p.vhd".encode("utf-16-le")),
    (b"MacX", b"file:///p.vhd")]))
save("vhd-gpt", dynamic([open("gpt", "rb").read()[i:i + BLOCK] for i in range(0, 131072, BLOCK)]))
