package wal_test

import (
	"flag"
	"testing"

	"github.com/raft-ballast/ballast/storetest"
	"github.com/raft-ballast/ballast/wal"
)

func openIn(_ *testing.T, dir string) (storetest.Store, error) { return wal.Open(dir, nil) }

func TestConformance(t *testing.T) { storetest.Run(t, openIn) }

// Segments so small that everything that happens when one is full happens often.
func TestConformanceSmallSegments(t *testing.T) {
	storetest.Run(t, func(_ *testing.T, dir string) (storetest.Store, error) {
		return wal.Open(dir, &wal.Options{SegmentBytes: 1, CacheBytes: 1})
	})
}

var killed = flag.Int("kills", 10, "how often a writing process is killed")

func TestKilled(t *testing.T) {
	storetest.RunCrash(t, storetest.Kills(openIn), storetest.Crashes(*killed))
}
