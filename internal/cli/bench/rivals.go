package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/limit"
	"github.com/raft-ballast/ballast/logcache"
)

// Names of rivals that are no engines.
const (
	Limit  = "limit"    // the disk itself
	Cached = "logcache" // a cache in front of wal
)

// mostBytes is what an engine appends in a workload at most.
const mostBytes = 64 << 20

// startWay starts the rival that writes so many bytes in one way, so often in a call. One that cannot is there all the same, and has failed.
func startWay(way limit.Way, path string, bytes, writes int) *rival {
	f, err := way.Create(path, bytes, wayFileBytes)
	if err != nil {
		return &rival{name: Limit, failed: err}
	}
	return &rival{name: Limit, ready: f.Ready, close: f, call: func() error {
		for range writes {
			if err := f.Write(); err != nil {
				return err
			}
		}
		return nil
	}}
}

// startEngine starts an engine's rival in a workload, as startWay does.
func startEngine(e Engine, dir string, w workload, rng *rand.Rand) *rival {
	s, err := e.Open(dir)
	if err != nil {
		return &rival{name: e.Name, failed: err}
	}
	r, err := w.start(s, rng)
	if err != nil {
		return &rival{name: e.Name, failed: errors.Join(err, s.Close())}
	}
	r.name, r.close = e.Name, s
	return r
}

// cached is the cache in front of wal as if it were an engine.
func cached(engines []Engine) Engine {
	return Engine{Name: Cached, Open: func(dir string) (ballast.Store, error) {
		i := slices.IndexFunc(engines, func(e Engine) bool { return e.Name == "wal" })
		if i < 0 {
			return nil, errors.New("there is no wal to put it in front of")
		}
		s, err := engines[i].Open(dir)
		if err != nil {
			return nil, err
		}
		c, err := logcache.New(s, &logcache.Options{MaxEntries: readEntries})
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		return cachedStore{s, c}, nil
	}}
}

// cachedStore is a store whose log is behind a cache.
type cachedStore struct {
	ballast.Store
	cache logcache.Cache
}

func (s cachedStore) StoreLogs(logs []*raft.Log) error         { return s.cache.StoreLogs(logs) }
func (s cachedStore) GetLog(index uint64, log *raft.Log) error { return s.cache.GetLog(index, log) }

// batch makes n entries whose Data no engine can compress.
func batch(rng *rand.Rand, n, size int) []*raft.Log {
	var key [32]byte
	for i := 0; i < len(key); i += 8 {
		binary.LittleEndian.PutUint64(key[i:], rng.Uint64())
	}
	noise := rand.NewChaCha8(key)
	logs := make([]*raft.Log, n)
	for i := range logs {
		logs[i] = &raft.Log{Term: 3, Type: raft.LogCommand, Data: make([]byte, size)}
		_, _ = noise.Read(logs[i].Data) // never fails
	}
	return logs
}

// number gives a batch the indexes from next on, and returns the one that follows.
func number(logs []*raft.Log, next uint64) uint64 {
	now := time.Now()
	for _, l := range logs {
		l.Index, l.AppendedAt = next, now
		next++
	}
	return next
}

// appends stores one batch of n entries behind the other.
func appends(s ballast.Store, rng *rand.Rand, n, size int) *rival {
	logs, next := batch(rng, n, size), uint64(1)
	return &rival{
		most:  mostBytes / (n * size),
		ready: func() { next = number(logs, next) },
		call:  func() error { return s.StoreLogs(logs) },
	}
}

// votes does what raft does when it votes.
func votes(s ballast.Store) *rival {
	term := uint64(0)
	return &rival{ready: func() { term++ }, call: func() error {
		return errors.Join(s.SetUint64([]byte("CurrentTerm"), term), s.SetUint64([]byte("LastVoteTerm"), term),
			s.Set([]byte("LastVoteCand"), fmt.Appendf(nil, "127.0.0.1:%d", 7000+term%3)))
	}}
}

const (
	readEntries = 8192 // in the log
	readCalls   = 64   // a sample
)

// reads reads one entry behind the other, from the first to the last and again.
func reads(s ballast.Store, rng *rand.Rand) (*rival, error) {
	next := uint64(1)
	for next <= readEntries {
		logs := batch(rng, 512, smallBytes)
		next = number(logs, next)
		if err := s.StoreLogs(logs); err != nil {
			return nil, err
		}
	}
	index := uint64(0)
	var log raft.Log
	return &rival{calls: readCalls, call: func() error {
		index = index%readEntries + 1
		return s.GetLog(index, &log)
	}}, nil
}
