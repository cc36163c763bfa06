//go:build pinned

// Package pinned names the programs that this module pins and builds.
package pinned

import (
	_ "helm.sh/helm/v4/cmd/helm"
)
