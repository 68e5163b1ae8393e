#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Seal or scrub in shards on a cluster:
#   submit.sh seal  SHARDS DIR IMAGE... -o SEAL
#   submit.sh scrub SHARDS DIR IMAGE... --seal SEAL...
# DIR gets plan, results and logs, and must be the same on all nodes, as must be the images.
# LIMIT=4: tasks at a time. LICENSES=sr_a:1: one licence of the storage for each task, where
# slurm.conf has Licenses=sr_a:2. SBATCH_OPTIONS: partition, memory, time.
# Keys lie in a file on the nodes (--keys /etc/vdiskck/keys): never in a job's script or environment,
# which Slurm keeps. Prints the job of the merge; its exit status is the verdict.
set -eu
command=$1 shards=$2 dir=$3
shift 3
here=$(dirname "$(realpath "$0")")
mkdir -p "$dir"
"${VDISKCK:-vdiskck}" "$command" --plan "$shards" "$@" >"$dir/plan.jsonl"
# What the shards and the merge need of the arguments: how to read the images, not which.
options=()
while [ $# -gt 0 ]; do
	case $1 in
	--chain | --keys | --format | --header | --bad-map) options+=("$1" "$2"); shift ;;
	--seal | -o | --output | --at | --time) shift ;;
	esac
	shift
done
cd "$dir"
read -ra more <<<"${SBATCH_OPTIONS:-}"
[ -z "${LICENSES:-}" ] || more+=(-L "$LICENSES")
array=$(sbatch --parsable --array="0-$((shards - 1))${LIMIT:+%$LIMIT}" ${more[@]+"${more[@]}"} \
	"$here/shard.sh" "$command" "$dir" ${options[@]+"${options[@]}"})
# afterany: with afterok, one failed task would leave the merge waiting for ever.
sbatch --parsable --dependency="afterany:$array" "$here/merge.sh" "$dir" ${options[@]+"${options[@]}"}
