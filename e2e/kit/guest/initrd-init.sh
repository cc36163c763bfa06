#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
while read -r module; do $B insmod "/m/$module" 2>/dev/null; done </m/order
n=0
until [ -b /dev/vda ]; do
  $B sleep 0.05
  n=$((n + 1))
  [ "$n" -gt 400 ] && { echo "no root disk"; $B poweroff -f; }
done
$B mount -t ext4 -o rw,noatime /dev/vda /mnt
for d in dev sys proc; do $B mount --move "/$d" "/mnt/$d"; done
exec $B switch_root /mnt /sbin/init
