//go:build !linux

package powercut

import (
	"context"
	"errors"

	"github.com/raft-ballast/ballast/internal/loopfs"
)

// Missing returns why there is no such file system to cut the power of.
func Missing(kind loopfs.Kind) string { return loopfs.Missing(kind) }

// Run fails with what Missing says.
func Run(_ context.Context, c Config) (Result, error) { return Result{}, errors.New(Missing(c.Kind)) }

// Child does nothing: Run starts no process here.
func Child(map[string]Open) {}
