#!/usr/bin/env bash
# Replaces the image of one container of every pod of the driver's DaemonSet, node by node, in the running pods: that container restarts, the other one and the pod
# do not. Stops at the first node on which something is wrong; run again, it goes on there.
#   replace-image.sh NAMESPACE DAEMONSET driver|nri-agent IMAGE
# Needs kubectl and these rights: patch daemonsets and pods, get pods and controllerrevisions, create pods/exec.
set -euo pipefail
[ $# = 4 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
namespace=$1 daemonset=$2 container=$3 image=$4
k() { kubectl -n "$namespace" "$@"; }
case $container in
  driver) list=containers ;;
  nri-agent) list=initContainers ;;
  *) echo "There is no container $container; there are driver and nri-agent" >&2; exit 2 ;;
esac

# Waits until a command prints a text; says what for.
wait_for() { # seconds, what, wanted, command...
  local end=$((SECONDS + $1)) what=$2 wanted=$3 got=""
  shift 3
  until got=$("$@" 2>&1) && [ "$got" = "$wanted" ]; do
    [ $SECONDS -lt $end ] || { echo "Stopped: waited in vain until $what; now: $got" >&2; exit 1; }
    sleep 0.5
  done
}
safe() { k exec "$1" -c driver -- dracpu state -o json | grep -q '"safeToRestart": true' && echo yes || echo no; }
agreed() { k exec "$1" -c driver -- dracpu state -o json | grep -q '"truth": "TRUTH_CONFIRMED"' && echo yes || echo no; }

# The controller must not replace pods while their template is newer than they are.
k patch daemonset "$daemonset" --type=merge -p '{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}' >/dev/null
k patch daemonset "$daemonset" --type=strategic -p "{\"spec\":{\"template\":{\"spec\":{\"$list\":[{\"name\":\"$container\",\"image\":\"$image\"}]}}}}" >/dev/null
observed() { [ "$(k get daemonset "$daemonset" -o 'jsonpath={.metadata.generation}')" = "$(k get daemonset "$daemonset" -o 'jsonpath={.status.observedGeneration}')" ] && echo yes; }
wait_for 60 "the controller has seen the new template" yes observed
selector=$(k get daemonset "$daemonset" -o 'go-template={{range $k, $v := .spec.selector.matchLabels}}{{$k}}={{$v}},{{end}}')
hash=$(k get controllerrevisions -l "${selector%,}" --sort-by=.revision -o 'jsonpath={.items[-1:].metadata.labels.controller-revision-hash}')

for pod in $(k get pods -l "${selector%,}" -o 'jsonpath={.items[*].metadata.name}'); do
  node=$(k get pod "$pod" -o 'jsonpath={.spec.nodeName}')
  now=$(k get pod "$pod" -o "jsonpath={.spec.$list[?(@.name==\"$container\")].image} {.metadata.labels.controller-revision-hash}")
  if [ "$now" != "$image $hash" ]; then
    # A runtime that waits for a container in its termination grace keeps a new agent, and every new pod, waiting.
    wait_for 600 "no container of node $node is in its termination grace" yes safe "$pod"
    k patch pod "$pod" --type=strategic -p "{\"metadata\":{\"labels\":{\"controller-revision-hash\":\"$hash\"}},\"spec\":{\"$list\":[{\"name\":\"$container\",\"image\":\"$image\"}]}}" >/dev/null
    running() { k get pod "$pod" -o "jsonpath={.status.${list%s}Statuses[?(@.name==\"$container\")].image}" ; }
    wait_for 300 "$container on node $node runs $image" "$image" running
  fi
  wait_for 120 "the pod on node $node is ready" True k get pod "$pod" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
  wait_for 60 "driver and agent on node $node agree" yes agreed "$pod"
  echo "node $node: $container is $image, driver and agent agree"
done
k patch daemonset "$daemonset" --type=merge -p '{"spec":{"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1,"maxSurge":0}}}}' >/dev/null
