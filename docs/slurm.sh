#!/bin/bash
# Two nodes, one worker on each, every GPU of a node in its worker. Submit from the project's folder:
#   sbatch docs/slurm.sh --config=configs/oxford_pets.py --workdir=/shared/runs/pets
# Submitting it again goes on from the newest checkpoint; so does Slurm itself where a node fails (--requeue).
#SBATCH --job-name=gradline
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --requeue
# SIGTERM five minutes before the time is up: the step is finished and saved, and the exit code is 75.
#SBATCH --signal=TERM@300

set -uo pipefail

# TensorFlow's resolver gives the workers of a node the ports 8888, 8889, … Between nodes they have to be open.
# --kill-on-bad-exit ends all workers with the first that fails; block is the order in which the resolver counts them.
srun --kill-on-bad-exit=1 --distribution=block .venv/bin/python main.py "$@"
code=$?

# 75 is "asked to stop, saved, to be continued": back into the queue, which starts this script again.
if [[ $code -eq 75 ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
