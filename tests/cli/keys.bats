# SPDX-License-Identifier: Apache-2.0
# Where keys come from, what a locked layer says, and that no secret gets out.
load common
# Descriptors, terminals and /proc are the program's own here: no wrapper in between.
VDISKCK=${VDISKCK_PROGRAM:-$VDISKCK}

SECRET='correct horse & battery'

locked() { # a LUKS1 volume in disk.img, and key files outside the evidence
	truncate -s 4M disk.img
	printf %s "$SECRET" | cryptsetup luksFormat --batch-mode --type luks1 --pbkdf-force-iterations 1000 \
		-h sha256 disk.img -
	printf 'passphrase %s\n' "$SECRET" >"$OUT/keys"
	printf 'passphrase %s\n' "not $SECRET" >"$OUT/wrong"
}

@test "keys come from a file, a descriptor, standard input or the file that VDISKCK_KEYS names" {
	locked
	run_vdiskck check disk.img --keys "$OUT/keys"
	[ "$status" = 0 ]
	run_vdiskck check disk.img --keys fd:7 7<"$OUT/keys"
	[ "$status" = 0 ]
	run_vdiskck check disk.img --keys - <"$OUT/keys"
	[ "$status" = 0 ]
	VDISKCK_KEYS=$OUT/keys run_vdiskck check disk.img
	[ "$status" = 0 ]
}

@test "without a key the layer is locked: undecided, and info says what would open it" {
	locked
	run_vdiskck check disk.img --json </dev/null
	[ "$status" = 3 ]
	[ "$(jq -r 'select(.record == "finding").id' <<<"$output")" = layer-locked ]
	[ "$(jq -r 'select(.layer == "raw/luks1" and .record == "layer").state' <<<"$output")" = locked ]
	run_vdiskck info disk.img </dev/null
	[[ "$output" == *"opened by passphrase"* ]]
	[[ "$output" == *"aes-xts-plain64"* ]]
}

@test "what is locked is not exported, and no file is left" {
	locked
	run_vdiskck export disk.img --at raw/luks1 -o "$OUT/got" </dev/null
	[ "$status" = 3 ]
	[[ "$stderr" == *"raw/luks1 is locked"* ]]
	[[ "$stderr" != *"bytes:"* ]]
	[ ! -e "$OUT/got" ]
}

@test "a wrong key is told from none" {
	locked
	run_vdiskck check disk.img --keys "$OUT/wrong" --json
	[ "$status" = 3 ]
	[ "$(jq -r 'select(.record == "finding").id' <<<"$output")" = layer-key-rejected ]
}

@test "every key is tried, and one that is for another volume is not" {
	locked
	cat "$OUT/wrong" "$OUT/keys" >"$OUT/both"
	run_vdiskck check disk.img --keys "$OUT/both"
	[ "$status" = 0 ]
	sed 's/passphrase/passphrase@00000000-0000-0000-0000-000000000000/' "$OUT/keys" >"$OUT/other"
	run_vdiskck check disk.img --keys "$OUT/other"
	[ "$status" = 3 ]
	[[ "$output" == *layer-locked* ]]
	uuid=$(cryptsetup luksUUID disk.img)
	sed "s/passphrase/passphrase@${uuid^^}/" "$OUT/keys" >"$OUT/mine"
	run_vdiskck check disk.img --keys "$OUT/mine"
	[ "$status" = 0 ]
}

@test "a key file that can't be used stops the run and shows nothing of it" {
	locked
	printf '%s\n' "$SECRET" >"$OUT/bare"
	run_vdiskck check disk.img --keys "$OUT/bare"
	[ "$status" = 3 ]
	[[ "$stderr" == *"line 1: not a key"* ]]
	[[ "$stderr" != *horse* ]]
	run_vdiskck check disk.img --keys "$OUT/none"
	[ "$status" = 3 ]
	[[ "$stderr" == *"No such file"* ]]
}

@test "no output, log or report holds the secret" {
	locked
	for keys in keys wrong; do
		for how in "info -v" "check -v --data" "check --json --data" "triage -o $OUT/case-$keys"; do
			# shellcheck disable=SC2086
			run_vdiskck $how disk.img --keys "$OUT/$keys"
			[[ "$output$stderr" != *horse* ]]
		done
		run grep -r horse "$OUT/case-$keys"
		[ "$status" = 1 ]
	done
}

@test "while it runs, its command line and environment hold no secret, and it can't dump core" {
	locked
	mkfifo "$OUT/fifo"
	"$VDISKCK" export disk.img --at raw/luks1 --keys "$OUT/keys" -o - >"$OUT/fifo" &
	pid=$!
	exec 5<"$OUT/fifo"
	head -c 1 <&5 >/dev/null # it has the key now, and waits for a reader of the rest
	cmdline=$(tr '\0' ' ' <"/proc/$pid/cmdline")
	environ=$(tr '\0' ' ' <"/proc/$pid/environ")
	core=$(grep 'core file size' "/proc/$pid/limits")
	cat <&5 >/dev/null
	wait $pid
	[[ "$cmdline" == *export* ]]
	[[ "$cmdline$environ" != *horse* ]]
	[[ "$core" =~ size\ +0\ +0 ]]
}

@test "the secret is nowhere in memory but where memory is locked" {
	[[ $BUILD != */san ]] || skip "a sanitizer shadows all of the address space"
	locked
	mkfifo "$OUT/fifo"
	"$VDISKCK" export disk.img --at raw/luks1 --keys "$OUT/keys" -o - >"$OUT/fifo" &
	pid=$!
	exec 5<"$OUT/fifo"
	head -c 1 <&5 >/dev/null
	run python3 - "$pid" "$SECRET" <<'PY'
import re, sys
pid, secret = sys.argv[1], sys.argv[2].encode()
try:
    maps, mem = open(f"/proc/{pid}/smaps").read(), open(f"/proc/{pid}/mem", "rb")
except PermissionError:
    sys.exit(77)
region, locked, seen = None, 0, 0
for line in maps.splitlines():
    m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ", line)
    if m:
        region = int(m[1], 16), int(m[2], 16), m[3]
    if not line.startswith("Locked:") or region[2][0] != "r":
        continue
    try:
        mem.seek(region[0])
        n = mem.read(region[1] - region[0]).count(secret)
    except (OSError, ValueError, OverflowError):
        continue # [vvar] and the like
    if int(line.split()[1]):
        locked += n
    else:
        seen += n
print(f"locked {locked}, not locked {seen}")
sys.exit(seen != 0 or locked == 0)
PY
	cat <&5 >/dev/null
	wait $pid
	[ "$status" != 77 ] || skip "may not look into another process"
	echo "$output"
	[ "$status" = 0 ]
}

# Answer each prompt with the next line of $1; print what the terminal showed.
on_a_terminal() { # ANSWERS COMMAND...
	python3 - "$@" <<'PY'
import os, pty, sys
answers, command = sys.argv[1].split("|"), sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
seen = b""
while True:
    try:
        more = os.read(fd, 4096)
    except OSError:
        break
    if not more:
        break
    seen += more
    if seen.endswith(b"locked): ") and answers:
        os.write(fd, answers.pop(0).encode() + b"\n")
sys.stdout.write(seen.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY
}

@test "on a terminal it asks, without echo, and again after a wrong answer" {
	locked
	run on_a_terminal "wrong one|$SECRET" "$VDISKCK" check disk.img
	[ "$status" = 0 ]
	[[ "$output" == *"Passphrase or recovery password for raw/luks1"* ]]
	[[ "$output" == *"It does not fit."* ]]
	[[ "$output" != *horse* ]]
	[[ "$output" != *"wrong one"* ]]
	[[ "$output" == *intact* ]]
}

@test "on a terminal, Enter leaves the layer locked" {
	locked
	run on_a_terminal "" "$VDISKCK" check disk.img
	[ "$status" = 3 ]
	[[ "$output" == *layer-locked* ]]
}
