//go:build !linux

package loopfs

import "testing"

// ForTest skips the test: there are no loop devices here.
func ForTest(t testing.TB, kind Kind, _ int64) string {
	t.Helper()
	t.Skipf("no %s: %s", kind, Missing(kind))
	return ""
}
