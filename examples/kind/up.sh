#!/usr/bin/env bash
# Brings up a kind cluster with the driver in it, from this checkout. Needs Docker with BuildKit, kind 0.32 or later, kubectl and helm; images are built in containers, so that any system will do. Never run yet.
set -euo pipefail
cd "$(dirname "$0")/../.."
repository=localhost/dra-driver-cpu
tag=$(sed -n 's/^appVersion: *//p' charts/dra-driver-cpu/Chart.yaml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
built=$(git log -1 --format=%ct 2>/dev/null || echo 0)
for name in driver nri-agent; do
  docker build -f images/Dockerfile --target "$name" -t "$repository/$name:$tag" --build-arg TAG="$tag" --build-arg REVISION="$revision" --build-arg SOURCE_DATE_EPOCH="$built" .
done
kind create cluster --name dra-cpu --config examples/kind/kind.yaml
kind load docker-image "$repository/driver:$tag" "$repository/nri-agent:$tag" --name dra-cpu
helm install dra-driver-cpu charts/dra-driver-cpu --namespace dra-driver-cpu --create-namespace --wait
helm test dra-driver-cpu --namespace dra-driver-cpu --logs
echo "Now: kubectl apply -f examples/one-cpu.yaml && kubectl wait pod/one-cpu --for=condition=Ready; kubectl logs one-cpu. kind delete cluster --name dra-cpu takes it away."
