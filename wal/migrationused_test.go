package wal

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// TestMigrationKilledAndUsed: a process is killed in each call of a migration that changes a name.
// The next one finishes it, and acknowledges a write; then the power is cut. That write is there,
// whichever name the migration gave had not been durable.
func TestMigrationKilledAndUsed(t *testing.T) {
	for name, places := range migrations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMigration(t, places)
			mem, calls := m.files(), 0
			mem.SetHook(func(call *vfs.Call) error {
				if itsOwn(call) {
					calls++
					killed := mem.Clone()
					what := fmt.Sprintf("killed before %v of %s", call.Op, call.Path)
					for seed := range uint64(4 / min(thin, 4)) {
						m.useAndCut(t, killed.Clone(), seed, what)
					}
				}
				return nil
			})
			must(t, m.replace(mem))
			if calls == 0 {
				t.Error("no call was one of the migration")
			}
		})
	}
}

// useAndCut finishes a migration, writes one entry, and cuts the power.
func (m *migration) useAndCut(t *testing.T, mem *vfs.Mem, seed uint64, what string) {
	t.Helper()
	open := func(mem *vfs.Mem) *Store {
		if _, _, err := m.job(mem, mem).Replace(t.Context()); err != nil {
			t.Fatalf("%s, seed %d: %v", what, seed, err)
		}
		opts := memOptions(mem)
		asleep(opts)
		s, err := Open(m.destination, opts)
		if err != nil {
			t.Fatalf("%s, seed %d: %v", what, seed, err)
		}
		return s
	}
	s := open(mem)
	entry := oracle.EntryOf(m.model.Last()+1, []byte("acknowledged"))
	must(t, s.StoreLogs([]*raft.Log{entry}))
	after := mem.Crash(seed)
	_ = s.Close() // of a process that is gone
	s = open(after)
	defer s.Close() // it was only read
	var got raft.Log
	if err := s.GetLog(entry.Index, &got); err != nil || !bytes.Equal(got.Data, entry.Data) {
		t.Errorf("%s, seed %d: what was acknowledged is not there: %v", what, seed, err)
	}
}
