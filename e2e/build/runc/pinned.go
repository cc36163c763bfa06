//go:build pinned

// Package pinned names the programs that this module pins and builds.
package pinned

import (
	_ "github.com/opencontainers/runc"
)
