#!/bin/bash
# A Slurm cluster of this one machine, for as long as a command takes.
#
#     bash benchmarks/slurm.sh                                   a table of `ifrkit reproduce --executor slurm`
#     bash benchmarks/slurm.sh python -m pytest -m slurm         any other command, here the tests of it
#     bash benchmarks/slurm.sh python benchmarks/cells.py --slurm --run       200 cells, and a node that dies
#
# Needs the Debian packages slurm-wlm and munge, and root. Everything lies in a temporary folder, also the key and the
# socket of munge; no service of the system is touched. The node has two GPUs in name only, so that a training of two
# ranks can be asked for where there is no GPU: torch then takes the CPU. The controller looks for work every two seconds
# (by itself Slurm leaves a job waiting for up to a minute), forgets no job, and takes a node back that was rebooted.
set -euo pipefail

place=$(mktemp -d /tmp/ifrkit-slurm.XXXXXX)
export SLURM_CONF=$place/slurm.conf

finish() {
  scancel --quiet --user="$(id -un)" 2>/dev/null || true
  for name in slurmd slurmctld munged; do
    [ ! -f "$place/$name.pid" ] || kill "$(cat "$place/$name.pid")" 2>/dev/null || true
  done
  sleep 1
  rm -rf "$place"
}
trap finish EXIT

start() {
  local node user
  node=$(hostname -s)
  user=$(id -un)
  chmod 755 "$place"
  mkdir "$place/state" "$place/spool"
  (umask 077 && head -c 1024 /dev/urandom > "$place/key")
  munged --key-file="$place/key" --socket="$place/munge" --pid-file="$place/munged.pid" \
    --log-file="$place/munged.log" --seed-file="$place/seed"
  cat > "$SLURM_CONF" <<EOF
ClusterName=ifrkit
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$place/munge
SlurmUser=$user
SlurmdUser=$user
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdLogFile=$place/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
MinJobAge=86400
ReturnToService=2
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) Gres=gpu:2
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
EOF
  touch "$place/gpu0" "$place/gpu1"
  echo "NodeName=$node Name=gpu File=$place/gpu[0-1]" > "$place/gres.conf"
  if slurmctld && slurmd; then
    for _ in $(seq 60); do
      [ "$(sinfo --noheader --format=%t 2>/dev/null)" != idle ] || return 0
      sleep 1
    done
  fi
  cat "$place"/*.log >&2
  exit 1
}

table() {
  local workspace=$place/workspace tiny=(--set prepare.options.train_videos=8 --set prepare.options.val_videos=2)
  for stage in train-branches train-flow train-fusion; do tiny+=(--set "$stage.loop.steps=10"); done
  python -m ifrkit reproduce 7 --scale tiny --only DFF --executor slurm --gpus 2 --workspace "$workspace" "${tiny[@]}"
  echo "job, state, waits for"
  squeue --noheader --sort=i --format="%.3i %.9T  %j  %E"
  while [ -n "$(squeue --noheader)" ]; do sleep 1; done
  cat "$workspace"/table/*/table.txt
}

start
if [ $# -gt 0 ]; then "$@"; else table; fi
