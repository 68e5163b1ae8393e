# SPDX-License-Identifier: Apache-2.0
"""Small machines for the cases: where things lie in their disks, known without asking vdiskck."""
import os
import shutil
import struct
import subprocess
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
for part in "demo", "windows", "linux":
    sys.path.insert(0, os.path.join(TOP, "fixtures", part))
import make_linux as linux  # noqa: E402
import make_windows as win  # noqa: E402
from disks import (DISK_GUID, MIB, PART_GUID, SECTOR, Qcow2, Vhd, bitlocker, copy_ntfs, ext4, fat, gpt,  # noqa: E402
                   luks, ntfs, peek, poke, read, run)

ESP, WINDOWS, LINUX = ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
                       "0FC63DAF-8483-4772-8E79-3D69D8477DE4")
# What sound disks may be like, too. Options of mkntfs, mke2fs, mkbitlocker, qemu-img.
VARIANTS = [{}, {"ntfs": ["-c", "512"], "ext4": ["-b", "1024"], "method": "xts256"},
            {"ntfs": ["-c", "8192"], "ext4": ["-b", "4096", "-O", "^metadata_csum"], "method": "cbc128",
             "qcow2": "cluster_size=4096"},
            {"ntfs": ["-c", "2048"], "ext4": ["-b", "2048", "-O", "^64bit"], "method": "cbc256",
             "qcow2": "compat=0.10"},
            {"ntfs": ["-c", "16384"], "ext4": ["-b", "4096", "-O", "^has_journal"], "method": "elephant128",
             "qcow2": "cluster_size=2M"},
            {"ntfs": ["-c", "1024"], "ext4": ["-b", "4096", "-I", "128"], "method": "elephant256",
             "qcow2": "extended_l2=on,cluster_size=128k"},
            {"ntfs": ["-c", "65536"], "ext4": ["-b", "1024", "-O", "^extents,^64bit"], "method": "xts128",
             "qcow2": "refcount_bits=64"}]
PASSWORD = "a-case-of-its-own"
LOG = "Windows/System32/winevt/Logs/System.evtx"


def once(data, want, name):
    at = data.find(want)
    if at < 0 or data.find(want, at + 1) >= 0:
        raise SystemExit("%s: not found, or twice" % name)
    return at


class Machine:
    """old.raw and new.raw, the disk before and after; places of the new one."""

    def __init__(self, build, folder, kind, cipher, options=()):
        self.build, self.folder, self.kind, self.cipher = build, folder, kind, cipher
        self.options = dict(options)
        os.makedirs(folder, exist_ok=True)
        (self.make_windows if kind == "windows" else self.make_linux)()

    def file(self, name):
        return os.path.join(self.folder, name)

    def keys(self):
        with open(self.file("keys"), "w") as f:
            f.write("passphrase %s\n" % PASSWORD)
        read(self.file("keys"))
        return self.file("keys")

    def make_windows(self):
        device, boot = win.partition(PART_GUID[1], DISK_GUID), win.partition(PART_GUID[0], DISK_GUID)
        self.esp_files, self.files = win.esp(device, boot), win.volume()
        log = subprocess.run([os.path.join(self.build, "fixtures/mkevtx"), "System", "1", "900"],
                             stdout=subprocess.PIPE, check=True).stdout
        self.files["Users/admin/budget.xlsx"] = linux.noise("old budget", 30000)
        self.files[LOG] = log[:4096] + bytes(len(log) - 4096)
        for i in range(3):
            self.files["Users/admin/data-%d.bin" % i] = linux.noise("data%d" % i, 200000)
        for i in range(60):  # a folder whose index has blocks
            self.files["Users/admin/Downloads/a file with a rather long name %02d.txt" % i] = b"%d\n" % i
        win.write(self.file("esp"), self.esp_files)
        win.write(self.file("tree"), self.files)
        ntfs(self.file("old.vol"), 20 * MIB, self.file("tree"), (), self.options.get("ntfs", ()))
        with open(self.file("new.vol"), "wb") as f:
            f.write(read(self.file("old.vol")))
        later = {"Users/admin/budget.xlsx": linux.noise("budget", 41000), LOG: log,
                 "Users/admin/report.bin": linux.noise("report", 300000)}
        win.write(self.file("tree"), later)
        copy_ntfs(self.file("new.vol"), [(os.path.join(self.file("tree"), name), name) for name in later])
        self.files.update(later)
        self.make_disk(WINDOWS)

    def make_linux(self):
        self.esp_files, self.files = linux.esp(), linux.root()
        self.files.update(("boot/" + name, data) for name, data in
                          linux.boot("/boot", linux.ROOT_UUID).items())
        win.write(self.file("esp"), self.esp_files)
        win.write(self.file("tree"), self.files)
        os.makedirs(os.path.join(self.file("tree"), "sbin"), exist_ok=True)
        os.symlink("../usr/lib/systemd/systemd", os.path.join(self.file("tree"), "sbin/init"))
        ext4(self.file("new.vol"), 24 * MIB, self.file("tree"), "root", linux.ROOT_UUID,
             self.options.get("ext4", ("-b", "4096")))
        data = bytearray(read(self.file("new.vol")))
        for name in "var/log/syslog", "srv/data/run-3.bin":
            at = once(data, self.files[name][:4096], name)
            length = len(self.files[name]) & ~4095
            data[at:at + length] = linux.before(name, length)
        with open(self.file("old.vol"), "wb") as f:
            f.write(data)
        self.make_disk(LINUX)

    def make_disk(self, kind):
        fat(self.file("esp.fat"), 8 * MIB, self.file("esp"))
        self.volume, self.esp = read(self.file("new.vol")), read(self.file("esp.fat"))
        self.payload, self.fve = 0, []
        for age in "old", "new":
            plain, part = self.file(age + ".vol"), self.file(age + ".part")
            if self.cipher == "bitlocker":
                _, self.fve, _ = bitlocker(self.build, plain, part, PASSWORD, self.options.get("method", "xts128"))
            elif self.cipher == "luks" and age == "new":
                self.payload = luks(plain, part, PASSWORD)
            elif self.cipher == "plain":
                shutil.copyfile(plain, part)
            if self.cipher == "luks" and age == "old":
                continue
            self.starts = gpt(self.file(age + ".raw"), [(self.file("esp.fat"), ESP), (part, kind)])
        if self.cipher == "luks":  # its key is another in every volume: the old disk is the new one, with holes
            with open(self.file("old.raw"), "wb") as f:
                f.write(read(self.file("new.raw")))
            for name in "var/log/syslog", "srv/data/run-3.bin":
                poke(self.file("old.raw"), self.start(self.find(name)),
                     linux.before(name, len(self.files[name]) & ~4095))

    def chain(self, container):
        if container == "vhd":
            base = Vhd(self.file("base.vhd"), read(self.file("old.raw")))
            return Vhd(self.file("disk.vhd"), read(self.file("new.raw")), base)
        os.makedirs(self.folder, exist_ok=True)
        return Qcow2(self.folder, "disk", self.file("old.raw"), self.file("new.raw"),
                     self.options.get("qcow2", "cluster_size=65536"))

    # Places in the disk

    def start(self, off):
        return self.starts[1] + self.payload + off

    def find(self, name, off=0):
        """By the page itself; if there are more like it, by the file's first one and what follows that."""
        data, page = self.files[name], off & ~4095
        want = data[page:page + 4096]
        at = self.volume.find(want)
        if self.volume.find(want, at + 1) < 0:
            return at + off - page
        at = once(self.volume, data[:4096], name)
        if self.volume[at:at + len(data)] != data:
            raise SystemExit("%s: in pieces" % name)
        return at + off

    def record(self, name, off=0):
        want, at = name.encode("utf-16-le"), -1
        while True:
            at = self.volume.index(want, at + 1)
            record = self.volume[at & ~1023:(at & ~1023) + 24]
            if record[:4] == b"FILE" and not record[22] & 2:
                return (at & ~1023) + off

    def index(self, off=0):
        """A block of the index of Downloads."""
        at = -1
        while True:
            at = self.volume.index(b"INDX", at + 1)
            if not at % 4096 and "long name".encode("utf-16-le") in self.volume[at:at + 4096]:
                return at + off

    def ntfs_lcn(self, field):
        cluster = struct.unpack_from("<H", self.volume, 11)[0] * self.volume[13]
        return struct.unpack_from("<Q", self.volume, field)[0] * cluster

    def inode(self, path, off=0):
        words = run("debugfs", "-R", "imap " + path, self.file("new.vol")).replace(",", "").split()
        return int(words[words.index("located") + 3]) * 4096 + int(words[words.index("offset") + 1], 16) + off

    def block_of(self, path, off=0):
        return int(run("debugfs", "-R", "blocks " + path, self.file("new.vol")).split()[0]) * 4096 + off

    def group(self, what):
        said = run("dumpe2fs", self.file("new.vol"))
        line = next(w for w in said.splitlines() if what in w)
        return int(line[line.index(what) + len(what):].split()[0].strip(",").split("-")[0]) * 4096

    def place(self, text):
        """KIND:NAME+OFFSET as the catalogue has it: a byte of the disk."""
        kind, _, rest = text.partition(":")
        name, _, off = rest.partition("+")
        off = int(off or "0", 0)
        if kind == "disk":
            return int(name, 0) + off
        if kind == "end":
            return os.path.getsize(self.file("new.raw")) - int(name, 0)
        if kind == "esp":
            return self.starts[0] + (once(self.esp, self.esp_files[name][:512], name) if "/" in name
                                     else int(name, 0)) + off
        if kind == "fve":
            return self.starts[1] + self.fve[int(name)] + off
        if kind == "luks":
            return self.starts[1] + int(name, 0)
        volume = {"file": lambda: self.find(name, off), "record": lambda: self.record(name, off),
                  "index": lambda: self.index(off), "vol": lambda: int(name, 0) + off,
                  "volend": lambda: len(self.volume) - int(name, 0),
                  "mirror": lambda: self.ntfs_lcn(56) + off, "inode": lambda: self.inode(name, off),
                  "folder": lambda: self.block_of(name, off), "group": lambda: self.group(name + " at ") + off}
        return self.start(volume[kind]())
