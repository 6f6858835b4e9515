package boltstore

import (
	"sync"

	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast/internal/boltmeta"
)

// view is a read transaction and its cursors, used by one goroutine at a time.
type view struct {
	tx         *bbolt.Tx
	logs, conf *bbolt.Cursor // nil where the bucket is not there
	generation uint64        // of views when it was opened

	pages *boltmeta.Pages // as the transaction has them; nil as long as nobody has looked at one
	way   way             // that was looked at last
}

// views keeps read transactions for the next reader, because opening one costs as much as the read itself.
//
// It keeps none while a write is in progress. bbolt keeps the pages that a reader may see, and waits for every
// reader when it maps the file anew, so a transaction that nobody uses would make the file grow, or stop the writer
// for ever. Readers open their own meanwhile.
type views struct {
	mu         sync.Mutex
	idle       []*view
	generation uint64 // counts begin and end of writes: odd while one is in progress
}

// take returns an idle view, or nil and the generation for a new one.
func (v *views) take() (*view, uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := len(v.idle)
	if n == 0 {
		return nil, v.generation
	}
	out := v.idle[n-1]
	v.idle = v.idle[:n-1]
	return out, v.generation
}

// put keeps a view for the next reader. It reports false when the caller has to close it: a write has begun since it
// was opened.
func (v *views) put(w *view) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if w.generation != v.generation || v.generation%2 == 1 {
		return false
	}
	v.idle = append(v.idle, w)
	return true
}

// step begins or ends a write, and returns what was idle, to be closed.
func (v *views) step() []*view {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.generation++
	idle := v.idle
	v.idle = nil
	return idle
}

// restart is step when another file is opened: no write is in progress.
func (v *views) restart() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.generation, v.idle = 0, nil
}

// view calls f with a read transaction of the newest durable state. It does not wait for a writer.
func (s *Store) view(f func(*view) error) error {
	if err := s.blind.Err(); err != nil {
		return err
	}
	return s.guard(func() error {
		w, generation := s.views.take()
		if w == nil {
			tx, err := s.begin(false)
			if err != nil {
				return err
			}
			w = &view{tx: tx, generation: generation, way: way{1, 0}}
		}
		kept := false
		defer func() {
			if !kept { // also when f panics
				_ = w.tx.Rollback()
			}
		}()
		w.open()
		err := f(w)
		kept = s.views.put(w)
		return err
	})
}

// open makes the cursors. A panic here, on a damaged page, is the caller's to handle.
func (w *view) open() {
	if w.logs == nil {
		if b := w.tx.Bucket(logsBucket); b != nil {
			w.logs = b.Cursor()
		}
	}
	if w.conf == nil {
		if b := w.tx.Bucket(confBucket); b != nil {
			w.conf = b.Cursor()
		}
	}
}

// get returns the value of a key, which is bbolt's and valid as long as the view is, and whether
// there is that key. One that is found without a value is a bucket.
func get(c *bbolt.Cursor, key []byte) (value []byte, found bool) {
	if c == nil {
		return nil, false // a read-only store of a new file
	}
	k, v := c.Seek(key)
	return v, string(k) == string(key)
}

// dropViews closes what is idle, at the begin and at the end of a write and before bbolt is closed.
func (s *Store) dropViews() {
	for _, w := range s.views.step() {
		_ = s.guard(w.tx.Rollback)
	}
}
