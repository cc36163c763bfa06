#!/usr/bin/env bash
# Brings one container of every pod of the driver's DaemonSet to the image that its template has, node by node, in the running pods: that container restarts, the other
# one and the pod do not. Stops at the first node on which something is wrong; run again, it goes on there.
#   1. helm upgrade RELEASE CHART --reuse-values --set updateStrategy.type=OnDelete --set agent.image=IMAGE     (driver.image for the other one)
#   2. replace-image.sh NAMESPACE DAEMONSET nri-agent|driver
#   3. helm upgrade RELEASE CHART --reuse-values --set updateStrategy.type=RollingUpdate
# Needs kubectl and these rights: get daemonsets and controllerrevisions, list and patch pods, create pods/exec.
set -euo pipefail
[ $# = 3 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
namespace=$1 daemonset=$2 container=$3
k() { kubectl -n "$namespace" "$@"; }
case $container in
  driver) list=containers statuses=containerStatuses ;;
  nri-agent) list=initContainers statuses=initContainerStatuses ;;
  *) echo "There is no container $container; there are driver and nri-agent" >&2; exit 2 ;;
esac
of_set() { k get daemonset "$daemonset" -o "$1"; }

# Waits until a command prints a text; says what for.
wait_for() { # seconds, what, wanted, command...
  local end=$((SECONDS + $1)) what=$2 wanted=$3 got=""
  shift 3
  until got=$("$@" 2>&1) && [ "$got" = "$wanted" ]; do
    [ $SECONDS -lt $end ] || { echo "Stopped: waited in vain until $what; now: $got" >&2; exit 1; }
    sleep 0.5
  done
}
state_has() { if k exec "$1" -c driver -- dracpu state -o json | grep -q "$2"; then echo yes; else echo no; fi; }
observed() { if [ "$(of_set 'jsonpath={.metadata.generation}')" = "$(of_set 'jsonpath={.status.observedGeneration}')" ]; then echo yes; fi; }

[ "$(of_set 'jsonpath={.spec.updateStrategy.type}')" = OnDelete ] ||
  { echo "The DaemonSet's controller would replace whole pods: set updateStrategy.type=OnDelete first, see step 1" >&2; exit 1; }
wait_for 60 "the controller has seen the DaemonSet's template" yes observed
image=$(of_set "jsonpath={.spec.template.spec.$list[?(@.name==\"$container\")].image}")
selector=$(of_set 'go-template={{range $k, $v := .spec.selector.matchLabels}}{{$k}}={{$v}},{{end}}')
hash=$(k get controllerrevisions -l "${selector%,}" --sort-by=.revision -o 'jsonpath={.items[-1:].metadata.labels.controller-revision-hash}')

for pod in $(k get pods -l "${selector%,}" -o 'jsonpath={.items[*].metadata.name}'); do
  node=$(k get pod "$pod" -o 'jsonpath={.spec.nodeName}')
  now=$(k get pod "$pod" -o "jsonpath={.spec.$list[?(@.name==\"$container\")].image} {.metadata.labels.controller-revision-hash}")
  if [ "$now" != "$image $hash" ]; then
    # A runtime that waits for a container in its termination grace keeps a new agent, and every new pod, waiting.
    wait_for 600 "no container of node $node is in its termination grace" yes state_has "$pod" '"safeToRestart": true'
    k patch pod "$pod" --type=strategic -p "{\"metadata\":{\"labels\":{\"controller-revision-hash\":\"$hash\"}},\"spec\":{\"$list\":[{\"name\":\"$container\",\"image\":\"$image\"}]}}" >/dev/null
    wait_for 300 "$container on node $node runs $image" "$image" k get pod "$pod" -o "jsonpath={.status.$statuses[?(@.name==\"$container\")].image}"
  fi
  wait_for 120 "the pod on node $node is ready" True k get pod "$pod" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
  wait_for 60 "driver and agent on node $node agree" yes state_has "$pod" '"truth": "TRUTH_CONFIRMED"'
  echo "node $node: $container is $image, driver and agent agree"
done
