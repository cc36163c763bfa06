#!/usr/bin/env bash
# Brings one container of every pod of the driver's DaemonSet to the image that its template has, node by node, in the running pods: that container restarts, the other
# one and the pod do not. Nodes that are not ready are left out, and named at the end. Stops at the first other node on which something is wrong, or whose pod differs from
# the template in more than this image; run again, it goes on there.
#   1. helm upgrade RELEASE CHART --reuse-values --set updateStrategy.type=OnDelete --set agent.image=IMAGE     (driver.image for the other one)
#   2. replace-image.sh NAMESPACE DAEMONSET nri-agent|driver
#   3. helm upgrade RELEASE CHART --reuse-values --set updateStrategy.type=RollingUpdate
# Without helm, 1 and 3 are kubectl patch and kubectl set image (docs/upgrade.md).
# Needs kubectl and these rights: get daemonsets, controllerrevisions and nodes, list pods of all namespaces, patch pods and create pods/exec here.
set -euo pipefail
[ $# = 3 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
namespace=$1 daemonset=$2 container=$3
k() { kubectl -n "$namespace" "$@"; }
case $container in
  driver) list=containers statuses=containerStatuses other=nri-agent others=initContainers ;;
  nri-agent) list=initContainers statuses=initContainerStatuses other=driver others=containers ;;
  *) echo "There is no container $container; there are driver and nri-agent" >&2; exit 2 ;;
esac
of_set() { k get daemonset "$daemonset" -o "$1"; }
stop() { echo "Stopped: $*" >&2; exit 1; }

# Waits until a command prints a text; says what for.
wait_for() { # seconds, what, wanted, command...
  local end=$((SECONDS + $1)) what=$2 wanted=$3 got=""
  shift 3
  until got=$("$@" 2>&1) && [ "$got" = "$wanted" ]; do
    [ $SECONDS -lt $end ] || stop "waited in vain until $what; now: $got"
    sleep 0.5
  done
}
state_has() { # pod, text
  local state
  state=$(k exec "$1" -c driver -- dracpu state -o json) || return
  if [[ $state == *"$2"* ]]; then echo yes; else echo no; fi
}
# Pods of a node that are being deleted and still have a container that runs; sidecars, which are init containers, end last. The agent cannot tell: containerd speaks of a stop
# when it is over.
ending() { # node
  local kind running=""
  for kind in initContainer container ephemeralContainer; do
    running+="{{range .status.${kind}Statuses}}{{if .state.running}}{{\$pod.namespace}}/{{\$pod.name}} {{end}}{{end}}"
  done
  kubectl get pods --all-namespaces --field-selector "spec.nodeName=$1" -o "go-template={{range .items}}{{\$pod := .metadata}}{{if .metadata.deletionTimestamp}}$running{{end}}{{end}}"
}
observed() { if [ "$(of_set 'jsonpath={.metadata.generation}')" = "$(of_set 'jsonpath={.status.observedGeneration}')" ]; then echo yes; fi; }
status_of() { k get pod "$1" -o "jsonpath={.status.$statuses[?(@.name==\"$container\")]$2}"; } # pod, path
# The runtime may call an image by another name than the pod does: that the container is a new one can be told from its id alone.
is_new() { # pod, id before
  local now
  now=$(status_of "$1" '.containerID')
  if [ "$now" != "$2" ] && [ -n "$(status_of "$1" '.state.running')" ] && [ "$(status_of "$1" '.ready')" = true ]; then
    echo yes
  else
    echo "$(status_of "$1" '.state')"
  fi
}

# A pod is made of the template that its revision keeps; afterwards only this container's image was changed in it, by this script.
of_revision() { k get controllerrevisions -l "${selector%,},controller-revision-hash=$1" -o "jsonpath={.items[*].data.spec.template$2}"; } # hash, path
named() { echo ".spec.$1[?(@.name==\"$2\")]"; } # list, container
image_out() { # hash, list, container; the container without its image
  local whole image
  whole=$(of_revision "$1" "$(named "$2" "$3")")
  image="\"image\":\"$(of_revision "$1" "$(named "$2" "$3").image")\""
  whole=${whole/"$image"/}
  echo "$whole"
}
spec_out() { # hash; the template's spec without both containers, and without the image of what has ended before they began
  local spec part
  spec=$(of_revision "$1" .spec)
  for part in "$(named "$list" "$container")" "$(named "$others" "$other")"; do
    part=$(of_revision "$1" "$part")
    spec=${spec/"$part"/}
  done
  part="\"image\":\"$(of_revision "$1" "$(named initContainers node-labels).image")\""
  spec=${spec/"$part"/}
  echo "$spec"
}
differences() { # hash of the pod, hash of the template; one line each, beside images
  local there here
  [ -n "$(of_revision "$1" .spec)" ] || { echo "  - the template that it was made of (revision $1) is not kept any more"; return; }
  [ "$(image_out "$1" "$list" "$container")" = "$(image_out "$2" "$list" "$container")" ] || echo "  - container $container: arguments, environment, mounts, probes or resources"
  [ "$(image_out "$1" "$others" "$other")" = "$(image_out "$2" "$others" "$other")" ] || echo "  - container $other: arguments, environment, mounts, probes or resources"
  there=$(of_revision "$1" .metadata.annotations) here=$(of_revision "$2" .metadata.annotations)
  [ "$there" = "$here" ] || echo "  - annotations, of which checksum/config stands for the configuration: $there, in the template $here"
  there=$(of_revision "$1" .metadata.labels) here=$(of_revision "$2" .metadata.labels)
  [ "$there" = "$here" ] || echo "  - labels: $there, in the template $here"
  [ "$(spec_out "$1")" = "$(spec_out "$2")" ] || echo "  - the pod itself: volumes, tolerations, priority or the like"
}

[ "$(of_set 'jsonpath={.spec.updateStrategy.type}')" = OnDelete ] ||
  { echo "The DaemonSet's controller would replace whole pods: set updateStrategy.type=OnDelete first, see step 1" >&2; exit 1; }
wait_for 60 "the controller has seen the DaemonSet's template" yes observed
image=$(of_set "jsonpath={.spec.template$(named "$list" "$container").image}")
selector=$(of_set 'go-template={{range $k, $v := .spec.selector.matchLabels}}{{$k}}={{$v}},{{end}}')
hash=$(k get controllerrevisions -l "${selector%,}" --sort-by=.revision -o 'jsonpath={.items[-1:].metadata.labels.controller-revision-hash}')
other_image=$(of_set "jsonpath={.spec.template$(named "$others" "$other").image}")
left_out=() compared=$hash

for pod in $(k get pods -l "${selector%,}" -o 'jsonpath={.items[*].metadata.name}'); do
  node=$(k get pod "$pod" -o 'jsonpath={.spec.nodeName}')
  if [ "$(k get node "$node" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" != True ]; then
    left_out+=("$node")
    continue
  fi
  image_now=$(k get pod "$pod" -o "jsonpath={$(named "$list" "$container").image}")
  hash_now=$(k get pod "$pod" -o 'jsonpath={.metadata.labels.controller-revision-hash}')
  if [ "$image_now $hash_now" != "$image $hash" ]; then
    found="" other_now=$(k get pod "$pod" -o "jsonpath={$(named "$others" "$other").image}")
    [ "$other_now" = "$other_image" ] || found="  - image of $other: $other_now, in the template $other_image"
    # Pods of one revision are alike.
    if [ "$hash_now" != "$compared" ]; then
      more=$(differences "$hash_now" "$hash")
      if [ -z "$more" ]; then compared=$hash_now; else found+=${found:+$'\n'}$more; fi
    fi
    [ -z "$found" ] || stop "the pod on node $node ($pod) differs from the template in more than the image of $container, so that it has to be replaced as a whole (updateStrategy.type=RollingUpdate):
$found"
    # A runtime that waits for a container in its termination grace keeps a new agent, and every new pod, waiting. Where this container does not run, nothing gets worse, and the
    # image may be what mends it.
    if [ -n "$(status_of "$pod" '.state.running')" ]; then
      wait_for 600 "no pod of node $node is being stopped" "" ending "$node"
    fi
    before=$(status_of "$pod" '.containerID')
    k patch pod "$pod" --type=strategic -p "{\"metadata\":{\"labels\":{\"controller-revision-hash\":\"$hash\"}},\"spec\":{\"$list\":[{\"name\":\"$container\",\"image\":\"$image\"}]}}" >/dev/null
    [ "$image_now" = "$image" ] || wait_for 300 "$container on node $node runs anew with $image" yes is_new "$pod" "$before"
  fi
  wait_for 120 "the pod on node $node is ready" True k get pod "$pod" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
  wait_for 60 "driver and agent on node $node agree" yes state_has "$pod" '"truth": "TRUTH_CONFIRMED"'
  echo "node $node: $container is $image, driver and agent agree"
done
[ ${#left_out[@]} = 0 ] || { echo "Left out, since these nodes are not ready; run it again when they are: ${left_out[*]}" >&2; exit 1; }
