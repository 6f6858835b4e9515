package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var raftTests = []test{
	{"starts on an empty store, writes, and finds it again", func(e *env) {
		written := raftOnce(e, nil, 40)
		e.reopen()
		written = raftOnce(e, written, 40)
		e.reopen()
		raftOnce(e, written, 1)
	}},
	{"recovers a cluster", func(e *env) {
		written := raftOnce(e, nil, 20)
		e.reopen()
		fsm, snapshots := &listFSM{}, raft.NewInmemSnapshotStore()
		_, transport := raft.NewInmemTransport("only")
		if err := raft.RecoverCluster(raftConfig(), fsm, e.store, e.store, snapshots, transport, onlyServer()); err != nil {
			e.Fatalf("raft.RecoverCluster: %v", err)
		}
		if err := fsm.equal(written); err != nil {
			e.Fatalf("after raft.RecoverCluster: %v", err)
		}
		if last, err := e.store.LastIndex(); err != nil || last != 0 {
			e.Fatalf("after raft.RecoverCluster the log ends at %d, %v; want 0", last, err)
		}
	}},
}

// raftOnce runs a cluster of one peer on the store: it expects that the log replays to written, applies n more
// commands, and returns all of them.
func raftOnce(e *env, written [][]byte, n int) [][]byte {
	e.Helper()
	config, fsm := raftConfig(), &listFSM{}
	_, transport := raft.NewInmemTransport("only")
	if written == nil {
		err := raft.BootstrapCluster(config, e.store, e.store, raft.NewInmemSnapshotStore(), transport, onlyServer())
		if err != nil {
			e.Fatalf("raft.BootstrapCluster: %v", err)
		}
	}
	r, err := raft.NewRaft(config, fsm, e.store, e.store, raft.NewInmemSnapshotStore(), transport)
	if err != nil {
		e.Fatalf("raft.NewRaft: %v", err)
	}
	defer func() {
		if err := r.Shutdown().Error(); err != nil {
			e.Fatalf("raft.Shutdown: %v", err)
		}
	}()
	leads := time.After(e.cfg.hangLimit)
	for leader := false; !leader; {
		select {
		case leader = <-r.LeaderCh():
		case <-leads:
			e.Fatalf("no leader after %v", e.cfg.hangLimit)
		}
	}
	for range n {
		command := fmt.Appendf(nil, "command %d", len(written))
		if err := r.Apply(command, e.cfg.hangLimit).Error(); err != nil {
			e.Fatalf("raft.Apply: %v", err)
		}
		written = append(written, command)
	}
	if err := r.Barrier(e.cfg.hangLimit).Error(); err != nil {
		e.Fatalf("raft.Barrier: %v", err)
	}
	if err := fsm.equal(written); err != nil {
		e.Fatalf("%v", err)
	}
	return written
}

func raftConfig() *raft.Config {
	config := raft.DefaultConfig()
	config.LocalID = "only"
	config.HeartbeatTimeout = 50 * time.Millisecond
	config.ElectionTimeout = 50 * time.Millisecond
	config.LeaderLeaseTimeout = 50 * time.Millisecond
	config.CommitTimeout = 5 * time.Millisecond
	config.LogOutput = io.Discard
	return config
}

func onlyServer() raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{{ID: "only", Address: "only"}}}
}

// listFSM keeps the commands in the order in which they were applied.
type listFSM struct {
	mu       sync.Mutex
	commands [][]byte
}

func (f *listFSM) Apply(l *raft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, bytes.Clone(l.Data))
	return nil
}

// Snapshot is called by RecoverCluster, and what it returns is never read back here.
func (f *listFSM) Snapshot() (raft.FSMSnapshot, error) { return f, nil }

// Restore is not called: no test here starts from a snapshot.
func (f *listFSM) Restore(io.ReadCloser) error { return errors.New("no snapshot was expected") }

// Persist writes nothing: the snapshot is only there so that RecoverCluster can end.
func (f *listFSM) Persist(sink raft.SnapshotSink) error { return sink.Close() }

// Release has nothing to release.
func (f *listFSM) Release() {}

func (f *listFSM) equal(want [][]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.commands) != len(want) {
		return fmt.Errorf("the state machine has applied %d commands; want %d", len(f.commands), len(want))
	}
	for i := range want {
		if !bytes.Equal(f.commands[i], want[i]) {
			return fmt.Errorf("command %d is %q; want %q", i, f.commands[i], want[i])
		}
	}
	return nil
}
