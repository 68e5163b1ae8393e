#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Many small disks with one fault each, and as many sound ones: does the first line of triage name what
was hit, and does a sound disk stay without damage and without a cause?

cases.py BUILD FOLDER [--sample N] [--clean N] [--only NAME] [--keep]

{plain, BitLocker, LUKS} x {VHD, qcow2 chain} x catalogue.tsv. A sample takes every so many of the list.
The last lines count; exit status 1 when less than 95 % are named, or a sound disk is not called so.
"""
import argparse
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from machine import VARIANTS, Machine, peek, poke  # noqa: E402

KINDS = [("windows", "plain"), ("windows", "bitlocker"), ("linux", "plain"), ("linux", "luks")]
CONTAINERS = ["vhd", "qcow2"]


def catalogue():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "catalogue.tsv")) as f:
        return [line.rstrip("\n").split("\t") for line in f if line.strip() and line[0] != "#"]


def all_cases():
    for kind, cipher in KINDS:
        for container in CONTAINERS:
            for fault in catalogue():
                if all(want in ("*", have) for want, have in zip(fault[1:4], (container, kind, cipher))):
                    yield kind, cipher, container, fault


class Base:
    """One machine in one container, made once; cases work on copies."""

    def __init__(self, build, folder, kind, cipher, container, variant):
        self.machine = Machine(build, folder, kind, cipher, VARIANTS[variant % len(VARIANTS)])
        self.keys = self.machine.keys()
        self.disk = self.machine.chain(container)
        self.container, self.folder = container, folder
        self.names = ["base.vhd", "disk.vhd"] if container == "vhd" else ["disk-base.qcow2", "disk.qcow2"]
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name in ("esp", "tree"):
                shutil.rmtree(path)
            elif name.endswith((".part", ".fat", ".raw")) or name == "old.vol":
                if name != "new.raw":
                    os.remove(path)

    def copy(self, to):
        os.makedirs(to)
        for name in self.names:
            subprocess.run(["cp", "--reflink=auto", "--preserve=timestamps", os.path.join(self.folder, name), to],
                           check=True)

    def in_files(self, off, to):
        name, at = self.disk.at(off)
        return os.path.join(to, os.path.basename(name)), at

    def container_place(self, text, to):
        """Places of the container's own: in the child, or, of tables that lead to data, in the base."""
        base, child = (os.path.join(to, name) for name in self.names)
        kind, _, rest = text[1:].partition(":")
        if kind in ("vhd", "qcow2"):
            at, _, off = rest.partition("+")
            at = int(at, 0)
            return child, (at if at >= 0 else os.path.getsize(child) + at) + int(off or "0", 0)
        if kind == "bat":
            used = [i for i, s in enumerate(self.disk.bat) if s != 0xFFFFFFFF]
            return child, self.disk.table + 4 * used[len(used) // 2]
        cluster = 1 << struct.unpack(">I", peek(base, 20, 4))[0]
        l1 = struct.unpack(">Q", peek(base, 40, 8))[0]
        if kind == "l1":
            return base, l1
        if kind == "refcount":
            table = struct.unpack(">Q", peek(base, 48, 8))[0]
            block = struct.unpack(">Q", peek(base, table, 8))[0]
            return base, block + 2 * (self.disk.at(self.some_data())[1] // cluster)
        l2 = struct.unpack(">Q", peek(base, l1, 8))[0] & 0x00FFFFFFFFFFFE00
        return base, l2 + 8 * (self.some_data() // cluster)

    def some_data(self):
        """A byte of a file that only the base holds."""
        m = self.machine
        return m.place("file:Users/admin/data-2.bin+70000" if m.kind == "windows" else
                       "file:srv/data/run-2.bin+300000")

    def inject(self, fault, to):
        place, change = fault[4], fault[5].split()
        path, at = self.container_place(place, to) if place[0] == "@" else \
            self.in_files(self.machine.place(place), to)
        if change[0] == "truncate":
            os.truncate(path, at)
            return
        if change[0] == "bit":
            poke(path, at, bytes([peek(path, at, 1)[0] ^ 8]))
            return
        n = int(change[1]) if change[0] != "set" else 0
        poke(path, at, {"zero": lambda: bytes(n), "fill": lambda: b"\x5a" * n,
                        "set": lambda: bytes.fromhex(change[1]),
                        "random": lambda: hashlib.shake_128(fault[0].encode()).digest(n)}[change[0]]())


def triage(vdiskck, image, keys, case):
    p = subprocess.run([vdiskck, "triage", "-q", "--jobs", "1", image, "--keys", keys, "-o", case],
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=120)
    return p.returncode, p.stdout.split("\n")[0]


def run_case(args, base, number, fault):
    to = os.path.join(args.folder, "case%d" % number)
    base.copy(to)
    try:
        base.inject(fault, to)
    except (ValueError, TypeError, IndexError, StopIteration, SystemExit) as e:
        return False, -1, "it could not be injected: %r" % e
    status, line = triage(os.path.join(args.build, "vdiskck"), os.path.join(to, base.names[1]), base.keys, to + "/case")
    ok = status in (1, 2) and re.search(fault[6], line.split(": ", 2)[-1], re.I)
    if not args.keep:
        shutil.rmtree(to)
    return ok, status, line


def clean_report(path):
    with open(path) as f:
        records = [json.loads(line) for line in f]
    return [r.get("id") or r["record"] for r in records
            if r["record"] == "cause" or r["record"] == "finding" and r["severity"] == "damage"]


def run_clean(args, base, number):
    to = os.path.join(args.folder, "clean%d" % number)
    base.copy(to)
    status, line = triage(os.path.join(args.build, "vdiskck"), os.path.join(to, base.names[1]), base.keys, to + "/case")
    bad = clean_report(to + "/case/report.json")
    if not args.keep:
        shutil.rmtree(to)
    return status in (0, 1) and not bad, status, "%s %s" % (bad, line)


def parse():
    p = argparse.ArgumentParser()
    p.add_argument("build")
    p.add_argument("folder")
    p.add_argument("--sample", type=int, help="so many faults, evenly over the list")
    p.add_argument("--clean", type=int, default=50, help="so many sound disks")
    p.add_argument("--only", help="faults of this name")
    p.add_argument("--keep", action="store_true", help="leave the disks and cases there")
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    return p.parse_args()


def main():
    args = parse()
    cases = [c for c in all_cases() if not args.only or c[3][0] == args.only]
    if args.sample and args.sample < len(cases):
        cases = [cases[i * len(cases) // args.sample] for i in range(args.sample)]
    bases, missed, unsound, number = {}, [], [], 0

    def base_of(kind, cipher, container, variant=0):
        key = (kind, cipher, container, variant)
        if key not in bases:
            folder = os.path.join(args.folder, "%s-%s-%s-%d" % key)
            bases[key] = Base(args.build, folder, kind, cipher, container, variant)
        return bases[key]

    with ThreadPoolExecutor(args.jobs) as pool:
        waiting = []
        for kind, cipher, container, fault in cases:
            number += 1
            waiting.append(((kind, cipher, container, fault[0], fault[6]),
                            pool.submit(run_case, args, base_of(kind, cipher, container), number, fault)))
        for name, future in waiting:
            ok, status, line = future.result()
            if not ok:
                missed.append(name)
                print("MISSED %s (exit %d)\n       %s" % (" ".join(name), status, line[:400]))
        waiting = []
        for i in range(args.clean):
            kind, cipher = KINDS[i % len(KINDS)]
            container = CONTAINERS[i // len(KINDS) % len(CONTAINERS)]
            base = base_of(kind, cipher, container, i // (len(KINDS) * len(CONTAINERS)))
            waiting.append(((kind, cipher, container, i), pool.submit(run_clean, args, base, i)))
        for name, future in waiting:
            ok, status, line = future.result()
            if not ok:
                unsound.append(name)
                print("NOT SOUND %s (exit %d)\n       %s" % (name, status, line[:400]))
    named = len(cases) - len(missed)
    print("%d of %d faults named in the first line (%.1f %%), %d kinds; %d of %d sound disks without damage and cause" %
          (named, len(cases), 100.0 * named / max(1, len(cases)), len({c[3][0] for c in cases}),
           args.clean - len(unsound), args.clean))
    if not args.keep:
        for key in bases:
            shutil.rmtree(os.path.join(args.folder, "%s-%s-%s-%d" % key))
    return named < 0.95 * len(cases) or bool(unsound)


if __name__ == "__main__":
    sys.exit(main())
