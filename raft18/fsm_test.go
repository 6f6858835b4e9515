package raft18_test

import (
	"encoding/json"
	"io"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// listFSM keeps the commands in the order in which they were applied.
type listFSM struct {
	mu       sync.Mutex
	commands []string
	restored int // commands in the longest snapshot that was restored
}

func (f *listFSM) Apply(l *raft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, string(l.Data))
	return nil
}

func (f *listFSM) Snapshot() (raft.FSMSnapshot, error) { return listSnapshot(f.all()), nil }

func (f *listFSM) Restore(r io.ReadCloser) error {
	defer r.Close()
	var commands []string
	if err := json.NewDecoder(r).Decode(&commands); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = commands
	f.restored = max(f.restored, len(commands))
	return nil
}

// all returns a copy of the commands.
func (f *listFSM) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.commands)
}

func (f *listFSM) longestRestored() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.restored
}

type listSnapshot []string

func (s listSnapshot) Persist(sink raft.SnapshotSink) error {
	if err := json.NewEncoder(sink).Encode([]string(s)); err != nil {
		_ = sink.Cancel() // the first error says more
		return err
	}
	return sink.Close()
}

func (s listSnapshot) Release() {}
