package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/move"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
	"github.com/raft-ballast/ballast/memstore"
)

// migration is a store that is moved into a wal, all on one file system in memory. What the old store holds is not on it, only a file
// that says that it is there.
type migration struct {
	t           *testing.T
	source      string // "/data/old.db" is a file, the others are folders
	destination string
	inside      bool   // there is a folder at the destination, as an empty volume is
	stable      string // a file that says that there is a second old store, with the stable state; "" for none
	model       *model
}

// small reports whether the short form of a test does less of it: the long form has many power cuts
// of all.
func (m *migration) small() bool { return m.inside || m.stable != "" }

const oldContent = "the old store"

func newMigration(t *testing.T, m migration) *migration {
	m.t, m.model = t, oracle.NewModel()
	rng := oracle.Random(1)
	if m.small() { // only the names are others
		m.model.Put(oracle.Entries(rng, 5, 7, 100), 6)
	} else {
		m.model.Put(oracle.Entries(rng, 5, 40, 3000), 17)
		m.model.Put(oracle.Entries(rng, 60, 700, 100), 301)
		m.model.Put([]*raft.Log{oracle.EntryOf(1<<40, oracle.Bytes(rng, 1100<<10))}, 301) // more than a segment
	}
	m.model.Stable["CurrentTerm"] = []byte("\xff\x00\x00\x00\x00\x00\x00\x09")
	m.model.Stable["LastVoteCand"] = []byte("10.0.0.1:8300")
	m.model.Stable["of the application"] = []byte{0, 1, 2}
	return &m
}

// files returns a file system with the old store.
func (m *migration) files() *vfs.Mem {
	mem := vfs.NewMem()
	must(m.t, mem.MkdirAll("/data"))
	for _, path := range []string{m.source, m.stable, m.destination} {
		must(m.t, mem.MkdirAll(filepath.Dir(path)))
	}
	mem.WriteFile(m.marker(m.source), []byte(oldContent))
	if m.stable != "" {
		mem.WriteFile(m.stable, []byte(oldContent))
	}
	if m.inside {
		must(m.t, mem.MkdirAll(filepath.Join(m.destination, engine.LostAndFound)))
	}
	return mem
}

// isOld reports whether an old store is in its place. What a migration leaves there is none.
func (m *migration) isOld(mem *vfs.Mem) bool {
	return string(mem.ReadFile(m.marker(m.source))) == oldContent && (m.stable == "" || string(mem.ReadFile(m.stable)) == oldContent)
}

// marker is the file that is there where the old store is.
func (m *migration) marker(path string) string {
	if strings.HasSuffix(m.source, ".db") {
		return path
	}
	return path + "/MANIFEST"
}

// oldStable returns the store with the stable state.
func (m *migration) oldStable() *memstore.Store {
	s := memstore.New()
	for key, value := range m.model.Stable {
		must(m.t, s.Set([]byte(key), value))
	}
	return s
}

// old returns the old store, when it is there.
func (m *migration) old() *memstore.Store {
	s := memstore.New()
	if m.stable == "" {
		s = m.oldStable()
	}
	must(m.t, s.StageCommitIndex(m.model.Commit))
	for _, index := range m.model.Indexes() {
		must(m.t, s.StoreLog(m.model.Logs[index]))
		must(m.t, s.StageCommitIndex(m.model.Commit))
	}
	must(m.t, s.StoreLog(m.model.Logs[m.model.Last()]))
	return s
}

func (m *migration) job(fsys vfs.FS, mem *vfs.Mem) *move.Job {
	opts := memOptions(fsys)
	stores := func(open func(string, *Options) (*Store, error)) func(string) (ballast.Store, error) {
		return func(path string) (ballast.Store, error) {
			s, err := open(path, opts)
			if err != nil {
				return nil, err
			}
			return s, nil
		}
	}
	return &move.Job{
		Source: m.source, Stable: m.stable, Destination: m.destination, Folder: true, FS: fsys, Create: stores(Open), Read: stores(OpenReadOnly),
		Open: func(path string) (move.Source, error) {
			if string(mem.ReadFile(m.marker(path))) != oldContent {
				return nil, fmt.Errorf("there is no old store: %w", fs.ErrNotExist)
			}
			return m.old(), nil
		},
		OpenStable: func(path string) (move.Source, error) {
			if string(mem.ReadFile(path)) != oldContent {
				return nil, fmt.Errorf("there is no old stable store: %w", fs.ErrNotExist)
			}
			return m.oldStable(), nil
		},
		Content: func(names []string) move.Content {
			c := move.Empty
			for _, name := range names {
				if isSegment(name) {
					return move.Finished
				}
				c = move.Other
			}
			return c
		},
	}
}

// replace migrates, or finishes a migration, and checks that all is as it should be then.
func (m *migration) replace(mem *vfs.Mem) error {
	if _, _, err := m.job(mem, mem).Replace(m.t.Context()); err != nil {
		return err
	}
	if err := m.look(mem, m.destination); err != nil {
		return fmt.Errorf("in the end: %w", err)
	}
	if string(mem.ReadFile(m.marker(m.source+".migrated"))) != oldContent ||
		m.stable != "" && string(mem.ReadFile(m.stable+".migrated")) != oldContent {
		return errors.New("the old store was not kept")
	}
	for _, path := range mem.Files() {
		if string(mem.ReadFile(path)) == oldContent && !strings.Contains(path, ".migrated") ||
			strings.Contains(path, ".migrating") || strings.Contains(path, ".ready") || strings.Contains(path, "-note") {
			return fmt.Errorf("%s is still there", path)
		}
	}
	if err := m.checkLeft(mem); err != nil {
		return err
	}
	if _, moved, err := m.job(mem, mem).Replace(m.t.Context()); err != nil || moved {
		return fmt.Errorf("the second time it moved: %v, %w", moved, err)
	}
	return nil
}

// checkLeft looks at what stops an older release where the old store was, and at what was in the
// folder before.
func (m *migration) checkLeft(mem *vfs.Mem) error {
	left := []string{m.marker(m.source)}
	if m.stable != "" {
		left = append(left, m.stable)
	}
	for _, path := range left {
		if m.source != m.destination && !strings.Contains(string(mem.ReadFile(path)), m.destination) {
			return fmt.Errorf("%s does not say where the store is now", path)
		}
	}
	names, err := mem.List(m.destination)
	if err == nil && m.inside && !slices.Contains(names, engine.LostAndFound) {
		err = fmt.Errorf("only %v is there", names)
	}
	return err
}

// seen is what there is at the destination for a process that does not migrate. The one that does
// may open what is not finished.
func (m *migration) seen(mem *vfs.Mem) (*vfs.Mem, string) {
	mem = mem.Clone()
	if err := mem.Rename(m.destination, m.destination+"-seen"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Error(err)
	}
	return mem, m.destination + "-seen"
}

// look returns how what opens at a path is not the whole log.
func (m *migration) look(mem *vfs.Mem, path string) error {
	s, err := OpenReadOnly(path, memOptions(mem))
	if err != nil {
		return err
	}
	defer s.Close()
	return check(m.model, s)
}

// lookAfterCrash checks what a crash has left: the old store, or the whole new one, and nothing that is half.
func (m *migration) lookAfterCrash(mem *vfs.Mem) error {
	if s, err := OpenReadOnly(m.destination+".ready", memOptions(mem)); err == nil {
		err = check(m.model, s)
		_ = s.Close() // it was only read
		if err != nil {
			return fmt.Errorf("a part of a store opens: %w", err)
		}
	}
	err := m.look(m.seen(mem))
	if err == nil {
		if m.source != m.destination && m.isOld(mem) {
			return errors.New("both are there")
		}
		return nil
	}
	// A folder without a log, with the old one, or with what is not finished.
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ballast.ErrForeign) && !(m.inside && errors.Is(err, ballast.ErrUnfinished)) {
		return fmt.Errorf("at the destination: %w", err)
	}
	if m.isOld(mem) {
		return nil
	}
	if m.inside {
		if names, err := mem.List(m.destination); err != nil || !slices.Contains(names, engine.ReadyName) {
			return fmt.Errorf("the old store is not in its place, and the new one is not ready: %v, %w", names, err)
		}
		defer engine.Finishing(m.destination)()
		return m.look(mem, m.destination)
	}
	if err := m.look(mem, m.destination+".ready"); err != nil {
		return fmt.Errorf("the old store is not in its place, and the new one is not ready: %w", err)
	}
	return nil
}

var migrations = map[string]migration{
	"a file":                    {source: "/data/old.db", destination: "/data/wal"},
	"a folder elsewhere":        {source: "/old/raft", destination: "/data/deep/wal"},
	"a folder in its own place": {source: "/data/wal", destination: "/data/wal"},
	"a file into a volume":      {source: "/data/old.db", destination: "/volume", inside: true},
	"two files":                 {source: "/data/logs.db", stable: "/data/stable.db", destination: "/data/of/two"},
	"two files into a volume":   {source: "/data/logs.db", stable: "/else/stable.db", destination: "/volume2", inside: true},
}

// TestMigrationCrash cuts the power in each call of a migration. After some of them, and after some calls at which the process is only
// killed, the power is cut again while the migration is finished.
func TestMigrationCrash(t *testing.T) {
	more := max(1, *crashPoints/2400)
	for name, places := range migrations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMigration(t, places)
			cuts, calls := 0, 0
			mem := m.files()
			mem.SetHook(func(call *vfs.Call) error {
				calls++
				cut, seeds := call.Cut(), more
				if itsOwn(call) { // what happened is whole or not at all, but in many orders
					seeds *= 5
				}
				for range seeds {
					cuts++
					m.afterCrash(t, cut.Crash(*crashSeed+uint64(cuts)), call, cuts)
				}
				if itsOwn(call) && (thin == 1 || call.Op == vfs.OpRename) {
					if !m.small() || calls%2 == 0 {
						cuts += m.cutAgain(t, cut.Crash(*crashSeed+uint64(cuts)), cuts)
					}
					if !m.small() || calls%2 == 1 {
						cuts += m.cutAgain(t, mem.Clone(), cuts)
					}
				}
				return nil
			})
			if err := m.replace(mem); err != nil {
				t.Error(err)
			}
			t.Logf("%d power cuts in %d calls", cuts, calls)
		})
	}
}

// itsOwn reports whether a call is one of the migration and not of the wal in it, and changes or syncs names.
func itsOwn(call *vfs.Call) bool {
	if name := filepath.Base(call.Path); name == engine.UnfinishedName || name == engine.ReadyName {
		return true
	}
	return (call.Op == vfs.OpRename || call.Op == vfs.OpSyncDir) && !strings.Contains(call.Path, ".migrating"+string(filepath.Separator)) &&
		!(call.Op == vfs.OpSyncDir && strings.HasSuffix(call.Path, ".migrating"))
}

// cutAgain finishes a migration and cuts the power in each of its own calls.
func (m *migration) cutAgain(t *testing.T, mem *vfs.Mem, seed int) (cuts int) {
	t.Helper()
	calls, more := 0, max(1, *crashPoints/2400)
	mem.SetHook(func(call *vfs.Call) error {
		calls++
		seeds := 0
		if itsOwn(call) && m.small() {
			seeds = more
		} else if itsOwn(call) {
			seeds = 3
		} else if calls%50 == seed%50 {
			seeds = 1
		}
		for range seeds {
			cuts++
			m.afterCrash(t, call.Cut().Crash(uint64(seed+cuts)), call, seed+cuts)
		}
		return nil
	})
	if err := m.replace(mem); err != nil {
		t.Errorf("while it was finished, after power cut %d: %v", seed, err)
	}
	return cuts
}

func (m *migration) afterCrash(t *testing.T, mem *vfs.Mem, call *vfs.Call, cut int) {
	t.Helper()
	if err := m.lookAfterCrash(mem); err != nil {
		t.Errorf("power cut %d (%v of %s): %v", cut, call.Op, call.Path, err)
	}
	if err := m.replace(mem); err != nil {
		t.Errorf("power cut %d (%v of %s), and then: %v", cut, call.Op, call.Path, err)
	}
}

// TestMigrationFault has each call of a migration fail in turn, also for want of space. Then the old store is in its place, or the new one is
// ready, nothing half is left that opens, and the next time it goes well.
func TestMigrationFault(t *testing.T) {
	for name, places := range migrations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMigration(t, places)
			for n, fired := 1, true; fired; n += 1 + n/40 {
				mem := m.files()
				fired = false
				for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
					faults := vfs.NewFaults(mem)
					var at string
					faults.SetRule(func(op vfs.Op, path string, call int) error {
						if call != n {
							return nil
						}
						fired, at = true, fmt.Sprint(op, " of ", path)
						return cause
					})
					_, _, err := m.job(faults, mem).Replace(context.Background())
					if err == nil && fired {
						continue // wal goes on without the space that it wanted ahead
					}
					if err != nil && !errors.Is(err, cause) || cause == syscall.ENOSPC && err != nil && !errors.Is(err, ballast.ErrNoSpace) {
						t.Errorf("call %d, %s: %v", n, at, err)
					}
					if err := m.lookAfterCrash(mem); err != nil {
						t.Errorf("call %d, %s: %v", n, at, err)
					}
				}
				if err := m.replace(mem); err != nil {
					t.Errorf("after call %d: %v", n, err)
				}
			}
		})
	}
}
