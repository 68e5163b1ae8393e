#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""VHDs smaller than real writers make them (blocks of 4 KiB), and disks inside them.

Written from the Virtual Hard Disk Image Format Specification 1.0 and XenServer's tdbatmap."""
import struct
import zlib

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


def lvm(lvs):
    """A physical volume of 64 KiB with one extent of 4 KiB for each letter."""
    def crc(data):
        return ~zlib.crc32(data, ~0xF597A6CF & 0xFFFFFFFF) & 0xFFFFFFFF

    text = ("vg {\nid = \"v\"\nseqno = 1\nextent_size = 8\nphysical_volumes {\npv0 {\n"
            "id = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"\npe_start = 32\npe_count = 12\n}\n}\n"
            "logical_volumes {\n%s}\n}\n" % lvs).encode() + b"\0"
    label = b"LVM2 001" + b"A" * 32 + struct.pack("<9Q", 65536, 16384, 0, 0, 0, 4096, 8192, 0, 0)
    label = (struct.pack("<I", 32) + label).ljust(492, b"\0")
    label = b"LABELONE" + struct.pack("<QI", 1, crc(label)) + label
    area = (b" LVM2 x[5A%r0N*>" + struct.pack("<IQQQQI", 1, 4096, 8192, 512, len(text), crc(text)))
    area = area.ljust(508, b"\0")
    disk = bytes(512) + label + bytes(3072) + struct.pack("<I", crc(area)) + area + text
    return disk.ljust(16384, b"\0") + b"".join(bytes([65 + i]) * 4096 for i in range(12))


def lv(name, *segments, visible=True):
    return "%s {\nid = \"%s\"\nstatus = [\"READ\"%s]\n%s}\n" % (
        name, name, ", \"VISIBLE\"" if visible else "", "".join(
            "segment%d {\nstart_extent = %d\nextent_count = %d\n%s\n}\n" % ((i + 1,) + s)
            for i, s in enumerate(segments)))


def linear(at):
    return "type = \"striped\"\nstripes = [\"pv0\", %d]" % at


save("lvm-linear", lvm(lv("root", (0, 2, linear(1)), (2, 1, linear(5))) + lv(
    "str", (0, 2, "type = \"striped\"\nstripe_size = 1\nstripes = [\"pv0\", 3, \"pv0\", 4]"))))
save("lvm-snapshot", lvm(lv("root", (0, 2, linear(1))) + lv("cow", (0, 2, linear(3))) + lv(
    "snapshot0", (0, 2, "type = \"snapshot\"\nchunk_size = 8\norigin = \"root\"\n"
                  "cow_store = \"cow\""))).replace(
    b"D" * 4096, struct.pack("<4I", 0x70416e53, 1, 1, 1).ljust(512, b"\0") +
    struct.pack("<QQ", 1, 2).ljust(3584, b"\0")))
save("lvm-thin", lvm(lv("pool", (0, 2, "type = \"thin-pool\"\nmetadata = \"m\"\npool = \"d\"")) + lv(
    "m", (0, 3, linear(1)), visible=False) + lv("d", (0, 3, linear(6)), visible=False) + lv(
    "t", (0, 9, "type = \"thin\"\nthin_pool = \"pool\"\ndevice_id = 1"))))


def md(level, layout, disks):
    head = struct.pack("<4I16s32s8xIIQII", 0xa92b4efc, 1, 0, 0, b"u" * 16, b"host:name", level,
                       layout, 64, 8, disks).ljust(128, b"\0")
    head += struct.pack("<QQQQII16s8xQQQIII", 32, 64, 8, 0, 0, 0, b"d" * 16, 0, 9, 2 ** 64 - 1, 0, 8,
                        0).ljust(128, b"\0") + struct.pack("<8H", *range(8))
    total = sum(struct.unpack("<%dI" % (len(head) // 4), head))
    total = (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF
    head = head[:216] + struct.pack("<I", total) + head[220:]
    return (bytes(4096) + head).ljust(16384, b"\0") + mbr[:65536]


save("md-raid1", md(1, 0, 2))
save("md-raid5", md(5, 2, 3))
save("md-raid10", md(10, 0x102, 2))
