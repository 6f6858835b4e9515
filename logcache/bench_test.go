package logcache_test

import (
	"fmt"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/logcache"
)

// Beside raft's own cache, over a store that costs nothing. raft.LogCache shares its entries' bytes with
// every caller, so a hit of ours costs the copy more.
func benchCaches(b *testing.B, run func(b *testing.B, c raft.LogStore)) {
	b.Run("raft.LogCache", func(b *testing.B) {
		c, err := raft.NewLogCache(logcache.DefaultMaxEntries, nothing{})
		must(b, err)
		run(b, c)
	})
	b.Run("logcache", func(b *testing.B) { run(b, open(b, nothing{}, nil)) })
}

func benchLogs(n int) []*raft.Log {
	var logs []*raft.Log
	for i := range n {
		logs = append(logs, &raft.Log{Index: uint64(i) + 1, Term: 1, Data: make([]byte, 256)})
	}
	return logs
}

func BenchmarkGetLogHit(b *testing.B) {
	benchCaches(b, func(b *testing.B, c raft.LogStore) {
		must(b, c.StoreLogs(benchLogs(512)))
		b.ReportAllocs()
		var l raft.Log
		for i := uint64(0); b.Loop(); i++ {
			if err := c.GetLog(i%512+1, &l); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkGetLogMiss(b *testing.B) {
	benchCaches(b, func(b *testing.B, c raft.LogStore) {
		must(b, c.StoreLogs(benchLogs(512)))
		b.ReportAllocs()
		var l raft.Log
		for b.Loop() {
			if err := c.GetLog(1000, &l); err != raft.ErrLogNotFound {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkStoreLogs(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("%dx256B", n), func(b *testing.B) {
			benchCaches(b, func(b *testing.B, c raft.LogStore) {
				logs := benchLogs(n)
				b.ReportAllocs()
				for b.Loop() {
					if err := c.StoreLogs(logs); err != nil {
						b.Fatal(err)
					}
					for _, l := range logs {
						l.Index += uint64(n)
					}
				}
			})
		})
	}
}
