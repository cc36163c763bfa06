#!/bin/sh
# PID 1 of the guest: mounts, cgroup v2 with all controllers, then /job/run.sh with its output on the virtio port, then power off.
export PATH=/bin:/sbin HOME=/root
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm /dev/pts /dev/mqueue
mount -t tmpfs shm /dev/shm
mount -t devpts devpts /dev/pts
mount -t mqueue mqueue /dev/mqueue 2>/dev/null
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/init
for p in $(cat /sys/fs/cgroup/cgroup.procs); do echo "$p" >/sys/fs/cgroup/init/cgroup.procs 2>/dev/null; done
for c in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$c" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null; done
hostname guest
ip link set lo up
# The kernel has booted with one (see qemu.ts), and has patched what modules and cgroups have it patch.
for c in /sys/devices/system/cpu/cpu[0-9]*/online; do echo 1 >"$c"; done
out=/dev/console
for p in /sys/class/virtio-ports/*; do [ "$(cat "$p/name" 2>/dev/null)" = out ] && out=/dev/${p##*/}; done
mount -t ext4 -o ro /dev/vdb /job
exec >"$out" 2>&1
echo "BOOTED $(cut -d' ' -f1 /proc/uptime)"
/job/run.sh
echo "RC $?"
sync
poweroff -f
