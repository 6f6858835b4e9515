package wal_test

import (
	"math/rand/v2"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/wal"
)

func open(b *testing.B, opts *wal.Options) *wal.Store {
	s, err := wal.Open(b.TempDir(), opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func batch(n, size int) []*raft.Log {
	logs := make([]*raft.Log, n)
	r := rand.NewChaCha8([32]byte{1})
	for i := range logs {
		data := make([]byte, size)
		r.Read(data)
		logs[i] = &raft.Log{Index: uint64(i + 1), Term: 1, Data: data}
	}
	return logs
}

func BenchmarkStoreLogs(b *testing.B) {
	for _, tc := range []struct {
		name    string
		n, size int
	}{{"1x128", 1, 128}, {"64x128", 64, 128}, {"64x4KiB", 64, 4096}} {
		b.Run(tc.name, func(b *testing.B) {
			s := open(b, nil)
			logs := batch(tc.n, tc.size)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.StoreLogs(logs); err != nil {
					b.Fatal(err)
				}
				for _, l := range logs {
					l.Index += uint64(tc.n)
				}
			}
		})
	}
}

func BenchmarkSetUint64(b *testing.B) {
	s := open(b, nil)
	key := []byte("CurrentTerm")
	b.ReportAllocs()
	for b.Loop() {
		if err := s.SetUint64(key, 7); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGetLog(b *testing.B) {
	const entries = 100_000
	s := open(b, nil)
	logs := batch(1000, 256)
	for range entries / len(logs) {
		if err := s.StoreLogs(logs); err != nil {
			b.Fatal(err)
		}
		for _, l := range logs {
			l.Index += uint64(len(logs))
		}
	}
	read := func(b *testing.B, next func(i uint64) uint64) {
		var log raft.Log
		b.ReportAllocs()
		i := uint64(0)
		for b.Loop() {
			if err := s.GetLog(next(i)%entries+1, &log); err != nil {
				b.Fatal(err)
			}
			i++
		}
	}
	b.Run("in order", func(b *testing.B) { read(b, func(i uint64) uint64 { return i }) })
	b.Run("at random", func(b *testing.B) { read(b, func(uint64) uint64 { return rand.Uint64() }) })
}
