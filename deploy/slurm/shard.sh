#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One shard of a plan as a task of a job array: see submit.sh.
#SBATCH --job-name=vdiskck --open-mode=append --requeue --signal=B:TERM@60
#SBATCH --output=%x-%A_%a.log
set -u
# exec: SIGTERM reaches vdiskck itself, which saves how far it came; a requeued task goes on there.
# The exit status is 0 also when damage was found: that is for the merge to say.
exec "${VDISKCK:-vdiskck}" "$1" --shard "$SLURM_ARRAY_TASK_ID" --plan "$2/plan.jsonl" "${@:3}"
