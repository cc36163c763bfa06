#!/usr/bin/env bash
# Brings up a kind cluster with the driver in it, from this checkout. Needs Docker, kind, kubectl, helm and npm.
set -euo pipefail
cd "$(dirname "$0")/../.."
npm ci --ignore-scripts --no-audit --no-fund
npm run images
kind create cluster --name dra-cpu --config examples/kind/kind.yaml
kind load image-archive dist/images.tar --name dra-cpu
helm install dra-driver-cpu charts/dra-driver-cpu --namespace dra-driver-cpu --create-namespace --wait
helm test dra-driver-cpu --namespace dra-driver-cpu --logs
echo "Now: kubectl apply -f examples/one-cpu.yaml; kubectl logs one-cpu. kind delete cluster --name dra-cpu takes it away."
