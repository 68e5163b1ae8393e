#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The shards of a plan put together, once all tasks of the array have ended, however they did.
#SBATCH --job-name=vdiskck-merge --output=%x-%A.log
set -u
exec "${VDISKCK:-vdiskck}" merge "$1" "${@:2}"
