package migrate_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/migrate"
	"github.com/raft-ballast/ballast/wal"
)

// vote changes what a peer must not forget.
func vote(t testing.TB, path string) {
	t.Helper()
	s, err := boltstore.Open(path, nil)
	must(t, err)
	must(t, s.SetUint64([]byte("CurrentTerm"), 6))
	must(t, s.Close())
}

// voted checks that it was not forgotten.
func voted(t testing.TB, s ballast.Store) {
	t.Helper()
	if term, err := s.GetUint64([]byte("CurrentTerm")); term != 6 || err != nil {
		t.Errorf("the term is %d, %v; the peer has promised 6", term, err)
	}
}

// moves are both ways to move the file raft.db of a folder, with what is done when the old store was opened.
var moves = map[string]func(t *testing.T, dir string, open func(path string) (migrate.Source, error)) (store ballast.Store, log io.Closer, err error){
	"alone": func(t *testing.T, dir string, open func(path string) (migrate.Source, error)) (ballast.Store, io.Closer, error) {
		s, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), migrate.Old{Path: filepath.Join(dir, "raft.db"), Open: open}, nil)
		return s, s, err
	},
	"a group": func(t *testing.T, dir string, open func(path string) (migrate.Source, error)) (ballast.Store, io.Closer, error) {
		old := map[uint64]migrate.Old{3: {Path: filepath.Join(dir, "raft.db"), Open: open}}
		gs, err := migrate.OpenGroups(t.Context(), filepath.Join(dir, "wal"), old, nil)
		if err != nil {
			return nil, nil, err
		}
		s, err := gs.Store(3)
		return s, gs, err
	},
}

// refused checks that the old store is in its place, and that nothing is lost when it is moved again.
func refused(t *testing.T, dir string, err, want error, move func(*testing.T, string, func(string) (migrate.Source, error)) (ballast.Store, io.Closer, error)) {
	t.Helper()
	if got := strings.TrimSuffix(names(t, dir), " wal"); !errors.Is(err, want) || got != "raft.db" {
		t.Fatalf("%v, want %v; there is %s", err, want, got)
	}
	s, log, err := move(t, dir, bolt("").Open)
	must(t, err)
	voted(t, s)
	must(t, log.Close())
}

// raft-boltdb waits for ever for the lock of a file that it has opened, and goes on with it whatever that is called by then.
func TestOpenBesideAWaiter(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows gives no other name to a file that somebody has open")
	}
	for name, move := range moves {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "raft.db")
			fill(t, path)
			waits, moved, done := make(chan struct{}), make(chan struct{}), make(chan error)
			wait := func() {
				db, err := bbolt.Open(path, 0o600, &bbolt.Options{OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
					defer close(waits)
					return os.OpenFile(name, flag, mode)
				}})
				<-moved // it runs on, as peers do
				if err == nil {
					err = errors.Join(db.Update(func(tx *bbolt.Tx) error {
						return tx.Bucket([]byte("conf")).Put([]byte("CurrentTerm"), []byte{7: 6})
					}), db.Close())
				}
				done <- err
			}
			waiting := false
			_, _, err := move(t, dir, func(path string) (migrate.Source, error) {
				src, err := bolt("").Open(path)
				if !waiting {
					waiting = true
					go wait()
					<-waits
				}
				return src, err
			})
			close(moved)
			must(t, <-done)
			refused(t, dir, err, ballast.ErrLocked, move)
		})
	}
}

// usedMeanwhile is an old store on which a peer runs for a moment as soon as it is closed.
type usedMeanwhile struct {
	migrate.Source
	run func()
}

func (u usedMeanwhile) Close() error {
	err := u.Source.Close()
	u.run()
	return err
}

func TestOpenUsedMeanwhile(t *testing.T) {
	for name, move := range moves {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "raft.db")
			fill(t, path)
			_, _, err := move(t, dir, func(opened string) (migrate.Source, error) {
				src, err := bolt("").Open(opened)
				return usedMeanwhile{src, func() {
					if opened == path {
						vote(t, path)
					}
				}}, err
			})
			refused(t, dir, err, ballast.ErrCopyDiffers, move)
		})
	}
}

// Whoever gave the old store its other name has died, and the next one finds it under that. It must be what the copy is of.
func TestOpenResumed(t *testing.T) {
	kept := func(dir string) string { return filepath.Join(dir, "raft.db.migrated") }
	for _, c := range []struct {
		name  string
		setup func(t *testing.T, dir string)
		want  error
	}{
		{"as it was left", func(*testing.T, string) {}, nil},
		{"beside an older one", func(t *testing.T, dir string) {
			must(t, os.Rename(kept(dir), kept(dir)+"-2"))
			vote(t, kept(dir))
		}, nil},
		{"and only an older one is there", func(t *testing.T, dir string) {
			must(t, os.Remove(kept(dir)))
			vote(t, kept(dir))
		}, migrate.ErrSourceGone},
		{"a peer has run on it", func(t *testing.T, dir string) { vote(t, kept(dir)) }, migrate.ErrSourceGone},
		{"somebody has begun with an empty wal", func(t *testing.T, dir string) {
			s, err := wal.Open(filepath.Join(dir, "wal"), nil)
			must(t, err)
			must(t, s.Close())
		}, migrate.ErrTwoStores},
		{"a peer runs on it", func(t *testing.T, dir string) {
			s, err := boltstore.Open(kept(dir), nil)
			must(t, err)
			t.Cleanup(func() { must(t, s.Close()) })
		}, ballast.ErrLocked},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "raft.db")
			model := fill(t, path)
			s, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), bolt(path), nil)
			must(t, err)
			must(t, s.Close())
			must(t, os.Rename(filepath.Join(dir, "wal"), filepath.Join(dir, "wal.ready")))
			c.setup(t, dir)
			before := names(t, dir)
			s, err = migrate.Open(t.Context(), filepath.Join(dir, "wal"), bolt(path), nil)
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if err != nil {
				if got := names(t, dir); got != before || !strings.Contains(err.Error(), " give ") {
					t.Errorf("%v; there was %s, and is %s", err, before, got)
				}
				return
			}
			checkModel(t, model, s)
			must(t, s.Close())
		})
	}
}
