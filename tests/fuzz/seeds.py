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

# Logs of few kinds of records, and text: what each parser knows is in one of these.
save("text-syslog", b"May 14 11:52:08 node16 kernel: [    0.000000] Linux version 5.10\n"
     b"May 14 11:52:09 node16 sshd[42]: Failed password\n    continued\nDec 31 23:59:59 node16 a: b\n"
     b"Jan  1 00:00:01 node16 a: c\n" + bytes(64) + b"2018-05-14T11:52:08.123456+02:00 node16 d: e\n")
save("text-cbs", "2018-05-14 11:52:08, Error                 CBS    Failed [HRESULT = 0x800f0831]\r\n"
     "2018-05-14 11:52:09, Info                  DISM   x\r\n>>>  [Setup]\r\n".encode("utf-16"))
save("text-audit", b"type=AVC msg=audit(1526298728.123:42): denied\n[   12.345678] EXT4-fs error\n"
     b"2018-05-14 11:52:08,123 - util.py[DEBUG]: x\nStart-Date: 2018-05-16  11:52:08\n" * 3)


def cabinet(text):
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"CK" + pack.compress(text) + pack.flush()
    block = struct.pack("<IHH", 0, len(data), len(text)) + data
    return struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, 44 + len(block), 0, 44, 0, 3, 1, 1, 1, 0, 0, 0) + struct.pack(
        "<IHH", 44, 1, 1) + block


save("text-cab", cabinet(b"2018-05-14 11:52:08, Info                  CBS    Package\r\n" * 9))
save("log-wtmp", (struct.pack("<hxxi32s4s32s256shhiii", 7, 42, b"tty1", b"1", b"root", b"host", 0, 0, 0, 1526298728, 0)
                  .ljust(384, b"\0") + struct.pack("<hxxi32s4s32s256shhiii", 2, 0, b"~", b"~~", b"reboot", b"5.10", 0, 0,
                                                   0, 1526298720, 0).ljust(384, b"\0")))
save("log-dump64", (b"PAGEDU64" + struct.pack("<II", 15, 17763)).ljust(0x38, b"P") + struct.pack(
    "<IIQQQQ", 0x24, 0, 1, 2, 3, 4) + bytes(8192))
save("log-mdmp", struct.pack("<4sIIIIIQ", b"MDMP", 0xA793, 1, 32, 0, 1526298728, 0) + struct.pack("<III", 6, 168, 44) +
     bytes(256))
save("log-wer", "Version=1\r\nEventType=APPCRASH\r\nEventTime=131707651280000000\r\nAppName=a.exe\r\n".encode("utf-16"))
save("log-prefetch", struct.pack("<I4sII60sI", 30, b"SCCA", 17, 1024, "A.EXE".encode("utf-16le"), 7).ljust(1024, b"\0"))
save("log-usn", struct.pack("<IHHQQQQIIIIHH", 72, 2, 0, 5, 5, 0, 131707651280000000, 0x100, 0, 0, 32, 10, 60) +
     "a.txt".encode("utf-16le") + bytes(2) + bytes(4024))
save("log-kdump", (b"KDUMP   " + struct.pack("<i", 6) + b"Linux".ljust(65, b"\0") * 6).ljust(408, b"\0") + struct.pack(
    "<qq", 1526298728, 0) + b"OSRELEASE=5.10\nCRASHTIME=1526298728\n")


def seal():
    """Two generations of 6 leaves: data, zeros, lost, data; then one of them anew."""
    def page(kind, body):
        return (bytes(4) + kind + bytes(8) + body).ljust(4096, b"\0")

    def runs(*v):
        return b"".join(struct.pack("<QQQII", *r, 0) for r in v)

    def done(number, begin, count, previous):
        return page(b"DONE", struct.pack("<13Q", number, 1, begin, 1, 1, count, previous, 3, 2, 1, 1, 6 << 16, 1))
    return b"".join([
        page(b"HEAD", b"VDCKSEAL" + struct.pack("<IIIIQQ", 1, 65536, 4096, 0, 6 << 16, 1) + b"raw"),
        page(b"LEAF", bytes(range(240))),
        page(b"RUNS", runs((0, 2, 0, 1), (2, 2, 2, 2), (4, 1, 2, 3), (5, 1, 2, 1))), done(1, 1, 4, 0),
        page(b"LEAF", bytes(80)), page(b"RUNS", runs((0, 1, 0, 1), (1, 5, 1, 4))), done(2, 4, 2, 3)])


save("seal", seal())


# What lies beside a seal, of a disk of 10 MiB: a log of its changes, xe's list, a map, a pass.
save("scrub-cbt", bytes(32) + struct.pack("<IIQ", 1, 0, 10 << 20) + bytes(range(20)))
save("scrub-list", b"gAAAAAAAAAAAAAAAAAAAAAAAAAA=")
save("scrub-map", b"0x0 ? 1\n0x0 0x10000 +\n0x10000 0x9F0000 -\n")
save("scrub-pass", (b'{"first":0,"end":160,"next":100,"intact":97,"unsealed":0,"beyond":0,"lost_beyond":0,"once_beyond":0,'
                    b'"differ":[{"leaf":7,"sectors":3,"since":1,"good":1700000000,"record":"' + b"00" * 80 + b'"}],'
                    b'"lost":[{"leaf":9,"count":2}],"once":[],'
                    b'"bad":[{"offset":4096,"length":512,"why":"source-unreadable","lost":"true"}]}'))


def resources():
    import os
    import sys
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../fixtures/windows"))
    import provider
    return provider.program({11: provider.message_table({1: "one %1 %%2", 2: "two"}),
                             "WEVT_TEMPLATE": provider.manifest(bytes(16), {1: 1})})


save("pe-messages", resources())


def cell(body):
    size = (len(body) + 4 + 7) & ~7
    return struct.pack("<i", -size) + body.ljust(size - 4, b"\0")


def key(name, flags, parent, subkeys, at, values, value_list):
    return cell(b"nk" + struct.pack("<HQIIIIIIIIII", flags, 131000000000000000, 0, parent, subkeys, 0, at,
                                    0xffffffff, values, value_list, 0xffffffff, 0xffffffff) +
                bytes(20) + struct.pack("<HH", len(name), 0) + name)


def hive():
    """The root with one key, which has a value in its cell and one elsewhere."""
    disk, listed, values, start, text, data = 0x80, 0xe0, 0xf0, 0x100, 0x120, 0x140
    at = {0x20: key(b"ROOT", 0x2c, 0xffffffff, 1, listed, 0, 0xffffffff),
          disk: key(b"disk", 0x20, 0x20, 0, 0xffffffff, 2, values),
          listed: cell(b"lh" + struct.pack("<HII", 1, disk, 0x36215F)),
          values: cell(struct.pack("<II", start, text)),
          start: cell(b"vk" + struct.pack("<HIIIHH", 5, 0x80000004, 3, 4, 1, 0) + b"Start"),
          text: cell(b"vk" + struct.pack("<HIIIHH", 4, 10, data, 1, 1, 0) + b"Name"),
          data: cell("disk\0".encode("utf-16le"))}
    bins = bytearray(b"hbin" + struct.pack("<II", 0, 4096) + bytes(20))
    for off, body in at.items():
        bins += (struct.pack("<I", off - len(bins)).ljust(off - len(bins), b"\0") if off > len(bins) else b"") + body
    bins += struct.pack("<I", 4096 - len(bins)).ljust(4096 - len(bins), b"\0")
    base = bytearray(b"regf" + struct.pack("<IIQIIIIIII", 1, 1, 131000000000000000, 1, 5, 0, 1, 0x20, 4096, 1))
    base += "SYSTEM".encode("utf-16le")
    base = base.ljust(508, b"\0")
    total = 0
    for (word,) in struct.iter_unpack("<I", bytes(base)):
        total ^= word
    return bytes(base + struct.pack("<I", total)).ljust(4096, b"\0") + bytes(bins)


save("regf", hive())
save("regf-bins", b"x" * 512 + hive()[4096:])
