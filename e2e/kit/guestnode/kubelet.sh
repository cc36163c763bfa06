#!/bin/sh
# Starts the kubelet in the background, with the configuration that is at /etc/kubelet.json now.
. /job/node.env
kubelet --config /etc/kubelet.json --kubeconfig /job/kubelet.kubeconfig --hostname-override "$NAME" --node-ip "$ADDRESS" -v=2 \
  >>/var/log/daemons/kubelet.log 2>&1 &
echo $! >/run/kubelet.pid
