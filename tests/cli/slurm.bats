#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shards as a job array of a real Slurm: one controller and one node on this machine, with its own
# munge; nothing in /etc or /run is touched, and all of it is stopped by pid.
load common

DEPLOY=$BATS_TEST_DIRNAME/../../deploy

slurm_start() {
	local host cpus
	C=$BATS_TEST_TMPDIR/slurm host=$(hostname -s) cpus=$(nproc)
	mkdir -p "$C/state" "$C/spool"
	export SLURM_CONF=$C/slurm.conf
	dd if=/dev/urandom of="$C/key" bs=128 count=1 status=none
	chmod 400 "$C/key"
	munged --force --key-file="$C/key" --socket="$C/munge" --pid-file="$C/munged.pid" \
		--log-file="$C/munged.log" --seed-file="$C/seed" 3>&- 4>&- || return 1
	cat >"$SLURM_CONF" <<-END
		ClusterName=vdiskck
		SlurmctldHost=$host(127.0.0.1)
		SlurmctldPort=$((20000 + RANDOM % 5000))
		SlurmdPort=$((25000 + RANDOM % 5000))
		AuthType=auth/munge
		AuthInfo=socket=$C/munge
		CredType=cred/munge
		SlurmUser=root
		SlurmdUser=root
		StateSaveLocation=$C/state
		SlurmdSpoolDir=$C/spool
		SlurmctldPidFile=$C/slurmctld.pid
		SlurmdPidFile=$C/slurmd.pid
		SlurmctldLogFile=$C/slurmctld.log
		SlurmdLogFile=$C/slurmd.log
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		JobAcctGatherType=jobacct_gather/none
		AccountingStorageType=accounting_storage/none
		JobCompType=jobcomp/none
		MpiDefault=none
		SwitchType=switch/none
		SelectType=select/cons_tres
		SelectTypeParameters=CR_Core
		ReturnToService=2
		KillWait=5
		SchedulerParameters=sched_interval=2,batch_sched_delay=0
		Licenses=sr_a:1
		NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=256 State=UNKNOWN
		PartitionName=scrub Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
	END
	slurmctld 3>&- 4>&- || return 1
	slurmd 3>&- 4>&- || return 1
	for i in $(seq 60); do
		[ "$(sinfo -h -o %T 2>/dev/null)" = idle ] && return
		sleep 0.5
	done
	tail -n 5 "$C"/*.log
	return 1
}

teardown() {
	local daemon
	for daemon in slurmd slurmctld munged; do
		[ ! -s "${C:-/nowhere}/$daemon.pid" ] || kill "$(cat "$C/$daemon.pid")"
	done
}

ended() { # JOB: wait for it
	for i in $(seq 120); do
		[ -n "$(squeue -h -j "$1" 2>/dev/null)" ] || return 0
		sleep 0.5
	done
	squeue
	return 1
}

@test "an array of shards, one of which is requeued half done, merges into what one run says" {
	command -v slurmctld munged >/dev/null || skip "Slurm is not installed"
	[ "$(id -u)" = 0 ] || skip "only root starts the daemons"
	truncate -s 100M a.raw
	head -c 90M /dev/urandom | dd of=a.raw conv=notrunc status=none
	export VDISKCK=${VDISKCK_PROGRAM:-$VDISKCK} D=$OUT/job
	"$VDISKCK" seal a.raw -o "$OUT/one" --time @1700000000 >/dev/null
	slurm_start || { cat "$C"/*.log; return 1; }
	local merge when job
	merge=$(LIMIT=2 "$DEPLOY/slurm/submit.sh" seal 4 "$D" "$PWD/a.raw" -o "$OUT/merged" --time @1700000000)
	ended "$merge"
	cat "$D"/*.log
	cmp "$OUT/one" "$OUT/merged"
	when=$(stat -c %y a.raw)
	printf ROT | dd of=a.raw bs=1 seek=50000000 conv=notrunc status=none
	touch -d "$when" a.raw
	D=$OUT/scrub
	"$VDISKCK" scrub a.raw --seal "$OUT/one" --format raw --json >"$OUT/serial" || [ $? = 2 ]
	mkdir "$D"
	"$VDISKCK" scrub --plan 2 "$PWD/a.raw" --seal "$OUT/one" --format raw >"$D/plan.jsonl"
	cd "$D"
	job=$(sbatch --parsable --array=0-1 -L sr_a "$DEPLOY/slurm/shard.sh" scrub "$D" --format raw --rate 6M)
	for i in $(seq 200); do
		[ -s "$(ls "$D"/*.pass 2>/dev/null | head -n 1)" ] && break
		sleep 0.25
	done
	# Requeued, as at a time limit or a preemption: SIGTERM, a checkpoint, and on from there.
	scontrol requeue "${job}_0"
	for i in $(seq 60); do
		# Slurm holds back what it requeued for two minutes: not in a test.
		scontrol update "JobId=${job}_0" StartTime=now 2>/dev/null || true
		grep -qs . "$D/requeued" && break
		scontrol show job "${job}_0" | grep -o 'Restarts=1' >"$D/requeued" || true
		sleep 0.5
	done
	grep -q Restarts=1 "$D/requeued"
	ended "$job"
	merge=$(sbatch --parsable --dependency="afterany:$job" "$DEPLOY/slurm/merge.sh" "$D" --format raw --json)
	ended "$merge"
	diff <(jq -cS 'select(.record == "finding" or .record == "scrub")' "$OUT/serial") \
		<(jq -cS 'select(.record == "finding" or .record == "scrub")' "$D"/vdiskck-merge-*.log)
	[ "$(jq -s '[.[] | select(.id == "scrub-rot")] | length' "$D"/vdiskck-merge-*.log)" = 1 ]
}

@test "the same by GNU parallel, on one machine" {
	command -v parallel >/dev/null || skip "GNU parallel is not installed"
	truncate -s 100M a.raw
	head -c 90M /dev/urandom | dd of=a.raw conv=notrunc status=none
	export VDISKCK=${VDISKCK_PROGRAM:-$VDISKCK}
	"$VDISKCK" seal a.raw -o "$OUT/one" --time @1700000000
	"$VDISKCK" seal --plan 4 a.raw -o "$OUT/merged" --time @1700000000 >"$OUT/plan.jsonl"
	HOME=$OUT parallel --will-cite -j2 --joblog "$OUT/log" --resume-failed --retries 2 \
		"$VDISKCK" seal --shard {} --plan "$OUT/plan.jsonl" --out "$OUT" ::: $(seq 0 3)
	run_vdiskck merge "$OUT"
	expect_status 0
	cmp "$OUT/one" "$OUT/merged"
}
