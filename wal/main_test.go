package wal

import (
	"os"
	"runtime"
	"runtime/debug"
	"testing"
)

// TestMain gives the tests a larger heap. They make thousands of small logs in memory, one after
// the other. With the heap that such a log has, the collector, and the memory profile that it
// writes, would take almost half of the processors' time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(1 << 30)
	os.Exit(m.Run())
}

func init() { runtime.MemProfileRate = 0 }
