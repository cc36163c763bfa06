#!/usr/bin/env bash
# Installs the Debian packages that the real-system suites need and this machine lacks. Idempotent; needs root only where something is missing.
set -euo pipefail
packages="binutils gcc libc6-dev libseccomp-dev pkg-config openssl iproute2 util-linux busybox-static qemu-system-x86 e2fsprogs cpio mmdebstrap hwloc-nox strace chromium-headless-shell fonts-dejavu-core"
missing=""
for package in $packages; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
done
command -v go >/dev/null || { echo "Go is needed (1.26 or later) to build Kubernetes, containerd, etcd, runc and CNI plugins; install it and run this again" >&2; exit 1; }
# Unpacked, not installed: the package would start a server.
prometheus="${DRACPU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dra-driver-cpu}/prometheus"
if [ ! -x "$prometheus/usr/bin/promtool" ] && ! command -v promtool >/dev/null; then
  download=$(mktemp -d)
  (cd "$download" && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; }) 2>/dev/null
  mkdir -p "$prometheus"
  dpkg -x "$download"/prometheus_*.deb "$prometheus"
  rm -r "$download"
fi
[ -z "$missing" ] && exit 0
[ "$(id -u)" = 0 ] || { echo "These Debian packages are missing:$missing; install them, or run this as root" >&2; exit 1; }
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
