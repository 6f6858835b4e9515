package badgerstore

import (
	"math"

	"github.com/dgraph-io/badger/v4"
)

// DeleteRange deletes the entries from lo to hi. The first transaction deletes all of them, by a grave; the
// keys follow.
func (s *Store) DeleteRange(lo, hi uint64) (err error) {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	defer s.recovered(0, &err)
	v := s.view.Load()
	lo, hi = max(lo, v.first), min(hi, v.last)
	if v.first == 0 || lo > hi {
		return nil
	}
	if next := s.seek(v, lo, false); next == 0 || next > hi {
		return nil
	}
	if err := s.checkSpace(deleteSpace, s.opts.ReserveBytes/4); err != nil {
		return err
	}
	return s.bury(v, lo, hi)
}

const (
	deleteChunk = 8192    // keys that are removed in one transaction, at the most
	deleteSpace = 1 << 20 // bytes that such a transaction takes
)

// without returns v without what is from lo to hi, both within the log. Its graves are still v's.
func (s *Store) without(v *view, lo, hi uint64) view {
	next := *v
	switch prefix, suffix := lo <= v.first, hi >= v.last; {
	case prefix && suffix:
		next.first, next.last = 0, 0
	case prefix:
		next.first = s.seek(v, hi+1, false)
	case suffix:
		next.last = s.seek(v, lo-1, true)
	}
	next.commit = min(v.commit, next.last)
	return next
}

// bury deletes what is from lo to hi, both within the log.
func (s *Store) bury(v *view, lo, hi uint64) error {
	next := s.without(v, lo, hi)
	prefix, suffix := lo <= v.first, hi >= v.last
	from, to := lo, hi
	if prefix {
		from = 0
	}
	if suffix {
		to = math.MaxUint64
	}

	// A suffix goes from the top down and a prefix from the bottom up: raft-badger, which knows no
	// graves, finds a log without a hole in it after a crash in between.
	w := sweep{lo: lo, hi: hi, backwards: suffix && !prefix, all: true}
	s.fill(&w, v.graves)
	s.at("delete: first transaction")
	err := s.commit(func(txn *badger.Txn, version uint64) error {
		next.graves = v.graves.bury(from, to, version)
		if err := txn.Set([]byte(gravesKey), next.graves.encode(!w.done)); err != nil {
			return err
		}
		if err := s.setCommit(txn, next.commit); err != nil {
			return err
		}
		return w.remove(txn)
	})
	if err != nil {
		return err
	}
	s.stored = next.commit
	next.version = s.version
	s.publish(&next)
	if w.done {
		s.garbage += w.garbage
		return nil
	}
	w.all = false
	if err := s.finish(next.graves, &w); err != nil {
		return err
	}
	if err := s.swept(next.graves); err != nil {
		return err
	}
	next.version = s.version
	s.publish(&next)
	return nil
}

// sweep is the removal of the keys of deleted entries from lo to hi. What is done is cut off the range.
type sweep struct {
	lo, hi    uint64
	backwards bool
	all       bool     // of the entries there are, otherwise of those alone that graves have deleted
	done      bool     // there are no more keys than those in keys
	keys      [][]byte // to remove in the next transaction
	garbage   int64    // bytes in the value log
}

// fill finds the next keys to remove.
func (s *Store) fill(w *sweep, g graves) {
	w.keys, w.done = w.keys[:0], true
	txn := s.db.NewTransactionAt(s.version, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(logsPrefix), Reverse: w.backwards})
	defer it.Close()
	start := w.lo
	if w.backwards {
		start = w.hi
	}
	for it.Seek(logKey(start)); it.Valid(); it.Next() {
		item := it.Item()
		index, ok := logIndex(item.Key())
		if !ok {
			continue
		}
		if index < w.lo || index > w.hi {
			return
		}
		if w.all || g.dead(index, item.Version()) {
			if len(w.keys) == s.chunk {
				w.done = false
				return
			}
			w.keys = append(w.keys, item.KeyCopy(nil))
			if n := item.EstimatedSize(); n >= s.bopt.ValueThreshold {
				w.garbage += n
			}
		}
		if w.backwards {
			w.hi = index - 1
		} else {
			w.lo = index + 1
		}
	}
}

func (w *sweep) remove(txn *badger.Txn) error {
	for _, key := range w.keys {
		if err := txn.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// finish removes what is left of a sweep.
func (s *Store) finish(g graves, w *sweep) error {
	for !w.done {
		s.fill(w, g)
		if len(w.keys) == 0 {
			continue
		}
		s.at("delete: further transaction")
		if err := s.commit(func(txn *badger.Txn, _ uint64) error { return w.remove(txn) }); err != nil {
			return err
		}
	}
	s.garbage += w.garbage
	return nil
}

// swept notes that no key of a deleted entry is left.
func (s *Store) swept(g graves) error {
	s.at("delete: last transaction")
	return s.commit(func(txn *badger.Txn, _ uint64) error {
		return txn.Set([]byte(gravesKey), g.encode(false))
	})
}

// sweepAll removes the keys that a DeleteRange before a crash has left.
func (s *Store) sweepAll(g graves) error {
	for _, one := range g {
		w := sweep{lo: one.lo, hi: one.hi, backwards: one.hi == math.MaxUint64 && one.lo > 0}
		if err := s.finish(g, &w); err != nil {
			return err
		}
	}
	return s.swept(g)
}

// at is where tests stop a call that writes more than one transaction.
func (s *Store) at(step string) {
	if s.step != nil {
		s.step(step)
	}
}
