package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raft-ballast/ballast/internal/procs"
)

// peerIDs are the peers of every cluster.
var peerIDs = []string{"peer-1", "peer-2", "peer-3"}

// peerVariable holds the configuration of a peer as JSON; with it this binary is that peer.
const peerVariable = "BALLAST_CLUSTER_PEER"

// hangLimit turns whatever does not happen into a failure.
const hangLimit = time.Minute

// processes are the peers.
type processes struct {
	procs.Group[event]

	folder  string            // of raft's own logs
	dirs    map[string]string // of the stores, by id
	engine  string
	network *network
	fail    func(error) // the first one ends the run

	snapshots, installed, compacted atomic.Uint64 // that the peers told of, over all their lives
	noSpace                         atomic.Uint64 // failed appends
}

func newProcesses(folder string, dirs map[string]string, engine string, n *network) *processes {
	c := &processes{folder: folder, dirs: dirs, engine: engine, network: n}
	c.Ready = func(e event) bool { return e.Kind == ready }
	c.Told, c.Limit = c.hear, hangLimit
	c.Failed = func(_ string, err error, stderr []byte) { c.fail(fmt.Errorf("%w\n%s", err, stderr)) }
	return c
}

// start starts peers, all at once, and waits until they take clients.
func (c *processes) start(ctx context.Context, ids ...string) error {
	errs := make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() { errs[i] = c.startOne(ctx, id) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c *processes) startOne(ctx context.Context, id string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	config, err := json.Marshal(peerConfig{
		ID: id, Engine: c.engine, Dir: c.dirs[id], Log: logName(c.folder, id), Others: c.network.from(id),
	})
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), peerVariable+"="+string(config))
	e, err := c.Start(ctx, id, cmd)
	if err == nil {
		c.network.setPeer(id, e.Raft)
	}
	return err
}

// hear counts what a peer tells.
func (c *processes) hear(id string, e event) {
	switch e.Kind {
	case snapshots:
		c.snapshots.Add(1)
	case installed:
		c.installed.Add(1)
	case compacted:
		c.compacted.Add(e.Entries)
	case noSpace:
		c.noSpace.Add(1)
	case fault:
		c.fail(fmt.Errorf("the store of %s: %s", id, e.Text))
	}
}

// addr is where a peer takes clients, empty while it is down.
func (c *processes) addr(id string) string {
	e, _ := c.Up(id)
	return e.Clients
}
