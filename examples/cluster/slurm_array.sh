#!/bin/bash
# Restore every scan of a folder by a Slurm job array: sbatch examples/cluster/slurm_array.sh scans/ restored/
# A job that was killed, or an array that is submitted again, goes on: --resume leaves what is done.
#SBATCH --job-name=unfog-restore
#SBATCH --array=1-8
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=unfog-%A-%a.log
set -euo pipefail

scans=${1:?the folder of scans}
restored=${2:?the folder of results}

export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-2}"
unfog bulk --items "$scans" --out "$restored" --resume \
    --shard "${SLURM_ARRAY_TASK_ID}/${SLURM_ARRAY_TASK_COUNT}" --cpus "$OMP_NUM_THREADS" \
    restore head {} --task denoise --noise-model rician --samples 8
