package ballast_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/memstore"
)

// Whatever is changed in a copy is seen.
func TestVerifyCopy(t *testing.T) {
	replace := func(change func(*raft.Log)) func(*memstore.Store) error {
		return func(s *memstore.Store) error {
			log := entry(12)
			change(log)
			return s.StoreLog(log)
		}
	}
	for name, change := range map[string]func(*memstore.Store) error{
		"nothing":                  func(s *memstore.Store) error { return nil },
		"the term":                 replace(func(l *raft.Log) { l.Term++ }),
		"the type":                 replace(func(l *raft.Log) { l.Type = raft.LogNoop }),
		"the data":                 replace(func(l *raft.Log) { l.Data[3] ^= 1 }),
		"the extensions":           replace(func(l *raft.Log) { l.Extensions = nil }),
		"the time":                 replace(func(l *raft.Log) { l.AppendedAt = l.AppendedAt.Add(time.Nanosecond) }),
		"the first is missing":     func(s *memstore.Store) error { return s.DeleteRange(3, 3) },
		"one is missing":           func(s *memstore.Store) error { return s.DeleteRange(11, 11) },
		"the last is missing":      func(s *memstore.Store) error { return s.DeleteRange(50, 50) },
		"one too many, in a gap":   func(s *memstore.Store) error { return s.StoreLog(entry(30)) },
		"one too many, at the end": func(s *memstore.Store) error { return s.StoreLog(entry(51)) },
		"all are missing":          func(s *memstore.Store) error { return s.DeleteRange(0, 100) },
		"the commit index":         func(s *memstore.Store) error { return errors.Join(s.StageCommitIndex(11), s.StoreLog(entry(50))) },
		"the term of the peer":     func(s *memstore.Store) error { return s.SetUint64([]byte("CurrentTerm"), 4) },
		"the vote":                 func(s *memstore.Store) error { return s.Set([]byte("LastVoteCand"), []byte("10.0.0.1:8301")) },
		"another key":              func(s *memstore.Store) error { return s.Set([]byte("other"), nil) },
	} {
		for _, inspect := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				src, dst := source(t, 40, entries(3, 4, 10, 11, 12, 40, 50)), memstore.New()
				_, err := ballast.Copy(t.Context(), dst, src, nil)
				must(t, err)
				must(t, change(dst))
				var from ballast.Source = src
				if !inspect {
					from = struct {
						ballast.Source
						ballast.CommitTracker
					}{src, src}
				}
				_, err = ballast.VerifyCopy(t.Context(), dst, from, nil)
				if same := name == "nothing"; same != (err == nil) || !same && !errors.Is(err, ballast.ErrCopyDiffers) {
					t.Errorf("with an Inspector %v: %v", inspect, err)
				}
			})
		}
	}
	t.Run("a key is missing", func(t *testing.T) {
		src, dst := source(t, 0, nil), memstore.New()
		_, err := ballast.VerifyCopy(t.Context(), dst, src, nil)
		if !errors.Is(err, ballast.ErrCopyDiffers) {
			t.Error(err)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		src := source(t, 0, upTo(1, 3))
		if _, err := ballast.VerifyCopy(ctx, src, src, nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("the copy cannot be read", func(t *testing.T) {
		src := source(t, 0, upTo(1, 3))
		damage := &ballast.CorruptionError{Path: "p", Offset: -1, Index: 2, Err: errors.New("cause")}
		dst := &faulty{Store: src, fault: func(call string, index uint64, _ []byte) error {
			if call == "GetLog" && index == 2 {
				return damage
			}
			return nil
		}}
		if _, err := ballast.VerifyCopy(t.Context(), dst, src, nil); !errors.Is(err, ballast.ErrCorrupt) || errors.Is(err, ballast.ErrCopyDiffers) {
			t.Error(err)
		}
	})
}
