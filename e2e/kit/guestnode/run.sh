#!/bin/sh
# Makes a Kubernetes node of the guest, as /job says, and then does what comes through the port `shell`: a line is a script in base64,
# whose output goes back, with its status in a last line.
export PATH=/bin:/sbin HOME=/root
# Go's scheduler wakes a thread for each CPU at every occasion; emulated, that is most of what an idle node does.
export GOMAXPROCS=2
. /job/node.env
ip link set eth0 up
ip addr add "$ADDRESS/16" dev eth0
ip route add default via "$GATEWAY"
# The way out knows the guest's own address alone: it asks who has a pod's.
echo 1 >/proc/sys/net/ipv4/conf/eth0/proxy_arp
echo 1 >/proc/sys/net/ipv4/ip_forward
hostname "$NAME"
echo "$ADDRESS $NAME" >>/etc/hosts
mkdir -p /var/lib/containerd /var/lib/kubelet /var/log/daemons /etc/cni/net.d /run/containerd
mount -t ext4 -o rw,noatime /dev/vdc /var/lib/containerd
cp /job/10-bridge.conflist /etc/cni/net.d/
cp /job/kubelet.json /etc/kubelet.json
containerd -c /job/containerd.toml -l info >/var/log/daemons/containerd.log 2>&1 &
until ctr version >/dev/null 2>&1; do sleep 0.2; done
echo "CONTAINERD $(cut -d' ' -f1 /proc/uptime)"
/job/kubelet.sh
for p in /sys/class/virtio-ports/*; do [ "$(cat "$p/name")" = shell ] && port=/dev/${p##*/}; done
exec 3<>"$port"
echo "SHELL $(cut -d' ' -f1 /proc/uptime)"
while :; do
  # Nobody is at the other end yet: there is nothing to read, at once.
  read -r line <&3 || { sleep 0.2 && continue; }
  echo "$line" | base64 -d >/tmp/script
  sh /tmp/script >/tmp/output 2>&1 </dev/null
  status=$?
  { cat /tmp/output && echo && echo "END $status"; } >&3
done
