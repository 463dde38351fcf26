#!/usr/bin/env bash
# A real Slurm on this machine alone, for tests of what is submitted to one: sudo scripts/slurm/one_node.sh up | down
# Needs Debian's slurmctld, slurmd, slurm-client and munge. Everything it writes lies in /tmp/mmdx-slurm but munge's key.
set -euo pipefail
home=/tmp/mmdx-slurm
conf=$home/slurm.conf

down() {
  [ -d "$home" ] || return 0
  if [ -f "$home/slurmctld.pid" ]; then
    export SLURM_CONF=$conf
    for _ in $(seq 20); do # jobs first, or their processes stay behind
      [ -n "$(timeout 5 squeue -h -o %i 2>/dev/null)" ] || break
      timeout 5 scancel --full --signal=KILL --state=RUNNING 2>/dev/null || true
      timeout 5 scancel --state=PENDING 2>/dev/null || true
      sleep 0.5
    done
  fi
  local name pid
  for name in slurmd slurmctld munged; do
    [ -f "$home/$name.pid" ] || continue
    pid=$(cat "$home/$name.pid")
    kill "$pid" 2>/dev/null || continue
    for _ in $(seq 100); do
      kill -0 "$pid" 2>/dev/null || continue 2
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
  done
  pkill -KILL -f "$home/spool" 2>/dev/null || true
  rm -rf "$home"
}

up() {
  mkdir -p "$home"/{state,spool,log}
  chmod 755 "$home"
  local node cores memory
  node=$(hostname -s)
  cores=$(nproc)
  memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 - 512))
  cat > "$conf" <<CONF
ClusterName=one
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits until its old credential has expired, two minutes by default.
AuthInfo=cred_expire=5
SchedulerParameters=sched_interval=2
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
SlurmctldLogFile=$home/log/slurmctld.log
SlurmdLogFile=$home/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
JobRequeue=1
KillWait=5
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=$node NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$memory State=UNKNOWN
PartitionName=all Nodes=$node Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
CONF
  if [ ! -s /etc/munge/munge.key ]; then
    install -d -m 700 /etc/munge
    dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 status=none
    chmod 400 /etc/munge/munge.key
  fi
  chown -R munge: /etc/munge 2>/dev/null || true
  install -d -o munge -g munge -m 755 /run/munge
  install -d -o munge -g munge -m 700 /var/lib/munge /var/log/munge
  if ! pgrep -x munged > /dev/null; then
    runuser -u munge -- munged --pid-file=/run/munge/munged.pid
    for _ in $(seq 50); do
      [ -s /run/munge/munged.pid ] && [ -S /run/munge/munge.socket.2 ] && break
      sleep 0.1
    done
    cp /run/munge/munged.pid "$home/munged.pid"
  fi
  SLURM_CONF=$conf slurmctld -f "$conf"
  SLURM_CONF=$conf slurmd -f "$conf" -N "$node"
  for _ in $(seq 60); do
    if SLURM_CONF=$conf sinfo -h -o %t 2>/dev/null | grep -q idle; then
      echo "export SLURM_CONF=$conf"
      return
    fi
    sleep 0.5
  done
  echo "Slurm did not come up; see $home/log." >&2
  exit 1
}

case "${1:-}" in
  up) up ;;
  down) down ;;
  *) echo "usage: $0 up|down" >&2; exit 2 ;;
esac
