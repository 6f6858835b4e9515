//go:build !linux

package loopfs

import (
	"errors"
	"runtime"
)

// Missing returns why there are no such file systems here.
func Missing(Kind) string { return "there are no loop devices on " + runtime.GOOS }

// Format fails with what Missing says.
func Format(kind Kind, _ string) error { return errors.New(Missing(kind)) }

// Mount fails with what Missing says.
func Mount(kind Kind, _, _ string) (*Mounted, error) { return nil, errors.New(Missing(kind)) }

// Unmount does nothing: nothing is mounted here.
func (m *Mounted) Unmount() error { return nil }
