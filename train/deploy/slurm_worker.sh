#!/usr/bin/env bash
# One worker of a training on several machines, under SLURM: sets TF_CONFIG from the step's variables and trains.
#
#     srun --nodes 2 --ntasks-per-node 1 train/deploy/slurm_worker.sh --pipeline_config_path P --model_dir M
#
# One task a machine; each uses all GPUs of its own. TRAIN_PORT (default 12345) must be free on all of them; PYTHON is
# the interpreter (default python).
set -euo pipefail

: "${SLURM_STEP_NODELIST:?this is for srun, which sets SLURM_STEP_NODELIST}" "${SLURM_PROCID:?}"
port=${TRAIN_PORT:-12345}
if [ "${SLURM_STEP_NUM_TASKS:-1}" != "${SLURM_STEP_NUM_NODES:-1}" ]; then
    echo "error: $SLURM_STEP_NUM_TASKS tasks on $SLURM_STEP_NUM_NODES machines; use srun --ntasks-per-node 1" >&2
    exit 2
fi
addresses=$(scontrol show hostnames "$SLURM_STEP_NODELIST" | sed "s/.*/\"&:$port\"/" | paste -sd, -)
export TF_CONFIG="{\"cluster\": {\"worker\": [$addresses]}, \"task\": {\"type\": \"worker\", \"index\": $SLURM_PROCID}}"
cd "$(dirname "$0")/../.."
exec "${PYTHON:-python}" -m train.train "$@"
