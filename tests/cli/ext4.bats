#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# ext2, ext3 and ext4 as the program shows them: whole, damaged, and what was deleted.
load common

volume() { # IMAGE OPTIONS...
	local image=$1
	shift
	mkdir -p tree/folder/deep
	seq 1 20000 >tree/numbers
	seq 1 30 >tree/folder/deep/few
	ln -sf numbers tree/link
	truncate -s 40M "$image"
	mke2fs -qF "$@" -d tree "$image"
}

@test "ext: info says which of the three it is" {
	for kind in ext2 ext3 ext4; do
		rm -f v.img
		volume v.img -t $kind -L "a label"
		run_vdiskck info --json v.img
		expect_json 'any(.layer == "raw/ext4" and .version == "'$kind'" and .label == "a label")'
		run_vdiskck check v.img
		expect_status 0
	done
}

@test "ext: files are found by path, through links" {
	volume v.img -t ext4
	run_vdiskck cat v.img /link
	expect_status 0
	[ "$output" = "$(seq 1 20000)" ]
	run_vdiskck ls -R v.img /folder
	expect_text '/folder/deep/few'
}

@test "ext: the first superblock and its descriptors are lost" {
	volume v.img -t ext4 -b 1024 -g 2048
	dd if=/dev/zero of=v.img bs=1024 seek=1 count=3 conv=notrunc status=none
	run_vdiskck cat v.img /numbers
	[ "$output" = "$(seq 1 20000)" ]
	run_vdiskck check --json v.img
	expect_json 'any(.id == "ext4-super-lost")'
	expect_json 'any(.id == "ext4-groups-copy")'
}

@test "ext: damage is said with the path that it hits" {
	volume v.img -t ext4
	debugfs -w -R 'sif numbers links_count 7' v.img 2>/dev/null
	run_vdiskck check --json v.img
	expect_status 2
	expect_json 'any(.id == "ext4-links" and .path == "/numbers" and .stored == "7")'
}

@test "ext: a deleted file comes back from the journal" {
	[ "$(id -u)" = 0 ] || skip "mounting needs root"
	volume v.img -t ext4
	mkdir -p mnt
	mount -o loop v.img mnt || skip "no loop devices"
	seq 1 5000 >mnt/gone
	sync -f mnt
	rm mnt/gone
	umount mnt
	run_vdiskck ls -R -d v.img /
	expect_text '/gone'
	run_vdiskck cat v.img /gone
	[ "$output" = "$(seq 1 5000)" ]
}

@test "ext: info names the system, and what its fstab mounts where" {
	mkdir -p tree/etc tree/usr/lib tree/sbin tree/boot
	printf 'NAME="x"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n' >tree/usr/lib/os-release
	ln -s ../usr/lib/os-release tree/etc/os-release
	echo node16 >tree/etc/hostname
	cat >tree/etc/fstab <<-'END'
		# device at
		UUID=11111111-2222-3333-4444-555555555555 / ext4 defaults 0 1
		LABEL=BOOT /boot vfat defaults 0 2
		PARTUUID=AAAAAAAA-0000-4000-8000-000000000003 none swap sw 0 0
		/dev/mapper/vg0-home /home ext4 defaults 0 2
	END
	volume root.img -t ext4 -U 11111111-2222-3333-4444-555555555555
	truncate -s 16M boot.img
	mkfs.vfat -n BOOT boot.img >/dev/null
	truncate -s 70M disk.img
	sfdisk -q disk.img <<-'END'
		label: gpt
		start=1MiB, size=40MiB
		start=41MiB, size=16MiB
		start=57MiB, size=8MiB, uuid=AAAAAAAA-0000-4000-8000-000000000003
	END
	dd if=root.img of=disk.img bs=1M seek=1 conv=notrunc status=none
	dd if=boot.img of=disk.img bs=1M seek=41 conv=notrunc status=none
	mv root.img boot.img "$OUT"
	run_vdiskck info --json disk.img
	expect_json 'map(select(.record == "system"))[0] |
		.os == "Debian GNU/Linux 12 (bookworm)" and .computer == "node16" and
		(.mounts | map([.at, .layer])) == [["/", "raw/gpt/p1/ext4"], ["/boot", "raw/gpt/p2/fat"],
			["none", "raw/gpt/p3"], ["/home", null]]'
	run_vdiskck info disk.img
	expect_text '^system: Debian GNU/Linux 12.* on node16'
	expect_text '^  /boot is LABEL=BOOT: raw/gpt/p2/fat$'
	expect_text '^  /home is /dev/mapper/vg0-home, which is not in this image$'
}
