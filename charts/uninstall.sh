#!/usr/bin/env bash
# Uninstalls what is no release of helm's: looks for claims that have CPUs, names them and refuses; then cleans every node, and deletes everything.
#   uninstall.sh [--force]                                     what `kubectl apply -f install.yaml` made; uninstall.yaml has to lie beside that file
#   uninstall.sh [--force] RELEASE -n NAMESPACE [-f VALUES]    what was rendered by `helm template --no-hooks` with these arguments
# With --force claims that have CPUs are only named: their containers keep running, with nobody to keep others off their CPUs.
# Nodes are waited for as long as uninstall.timeoutSeconds says (120). Those that are not clean by then are named, and nothing more is deleted; run again, it goes on.
# Needs kubectl, and helm for the second form.
set -euo pipefail
force=no
if [ "${1:-}" = --force ]; then
  force=yes
  shift
fi
case ${1:-} in -h | --help | --*) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;; esac
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stop() { echo "Stopped: $*" >&2; exit 1; }

# What was installed, and both steps that take it away. Advice for releases of helm is no advice here.
if [ $# -gt 0 ]; then
  # The steps are hooks, too.
  for one in "$@"; do
    shift
    case $one in --no-hooks | --skip-tests) ;; *) set -- "$@" "$one" ;; esac
  done
  render() { helm template "$@" "$here/dra-driver-cpu" --set uninstall.hooks=true; }
  render "$@" --no-hooks --skip-tests >"$work/installed.yaml"
  render "$@" -s templates/uninstall-check.yaml -s templates/uninstall.yaml | sed '/^ *- --release=/d' >"$work/steps.yaml"
else
  dir=$here
  [ -e "$dir/install.yaml" ] || dir=$here/..
  cp "$dir/install.yaml" "$work/installed.yaml"
  sed '/^ *- --release=/d' "$dir/uninstall.yaml" >"$work/steps.yaml"
fi
read -r namespace daemonset < <(
  kubectl create --dry-run=client -f "$work/installed.yaml" -o "jsonpath={.kind} {.metadata.namespace} {.metadata.name}{'\n'}" | sed -n 's/^DaemonSet //p'
) || stop "cannot tell what was installed"
k() { kubectl -n "$namespace" "$@"; }
step=app.kubernetes.io/component check=$daemonset-uninstall-check wait=$daemonset-uninstall-wait

# Nodes have the images that run there, whatever these files name.
image_of() { k get daemonset "$1" --ignore-not-found -o "jsonpath={.spec.template.spec.$2.image}"; } # DaemonSet, container of a list
# Run again when the driver is gone, this goes on with the clean-up that is under way: it was allowed to.
for from in "$daemonset" "$daemonset-uninstall"; do
  driver=$(image_of "$from" 'containers[0]') agent=$(image_of "$from" 'initContainers[?(@.name=="nri-agent")]')
  [ -z "$driver" ] || break
done
goes_on=no
[ -z "$driver" ] || [ "$from" = "$daemonset" ] || goes_on=yes
if [ $# = 0 ] && [ -n "$driver" ] && [ -n "$agent" ]; then
  sed -e "s|image: \"[^\"]*/driver:[^\"]*\"|image: \"$driver\"|" -e "s|image: \"[^\"]*/nri-agent:[^\"]*\"|image: \"$agent\"|" "$work/steps.yaml" >"$work/with-images.yaml"
  mv "$work/with-images.yaml" "$work/steps.yaml"
fi

waits=""
# The Job ends itself: what is waited for besides is the API server's word of it.
run_job() { # job, which objects it needs
  local limit end state now
  # One of an earlier run has ended, and would end no second time.
  k delete job "$1" --ignore-not-found >/dev/null || stop "cannot take away an earlier Job $1"
  kubectl apply -f "$work/steps.yaml" -l "$2" >/dev/null || stop "cannot make Job $1 and what it needs"
  limit=$(k get job "$1" -o 'jsonpath={.spec.activeDeadlineSeconds}') || stop "cannot find Job $1"
  end=$((SECONDS + 30 + limit))
  while [ $SECONDS -lt $end ]; do
    state=$(k get job "$1" -o 'jsonpath={.status.conditions[?(@.status=="True")].type}' 2>&1) || true
    case $state in *Complete*) return 0 ;; *Failed*) return 1 ;; esac
    # Its pod goes with its time, and what it waited for is known no more then: an image that nobody has, for one.
    now=$(k get pods -l "job-name=$1" -o 'jsonpath={.items[*].status.containerStatuses[*].state.waiting.message}' 2>/dev/null) || true
    waits=${now:-$waits}
    sleep 1
  done
  return 1
}
said_by() { k logs "job/$1" 2>/dev/null || echo "Nothing was said by Job $1: $(k get job "$1" -o 'jsonpath={.status.conditions[*].message}') $waits"; } # job
take_away() { kubectl delete --ignore-not-found --timeout=120s "$@"; }

if [ $goes_on = no ] && ! run_job "$check" "$step!=uninstall"; then
  said_by "$check"
  if [ $force = no ]; then
    take_away -f "$work/steps.yaml" -l "$step=uninstall-check" >/dev/null
    stop "nothing was uninstalled; --force does it nevertheless"
  fi
fi
take_away -f "$work/steps.yaml" -l "$step=uninstall-check" >/dev/null
take_away -n "$namespace" daemonset "$daemonset"
# One of an earlier uninstallation calls nodes clean that are not any more.
[ $goes_on = yes ] || take_away -n "$namespace" daemonset "$daemonset-uninstall"
if ! run_job "$wait" "$step!=uninstall-check"; then
  said_by "$wait"
  stop "nodes are not clean, and the clean-up goes on there by itself: run this again, or see docs/troubleshooting.md"
fi
said_by "$wait"
take_away -f "$work/steps.yaml"
take_away -f "$work/installed.yaml"
