package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// peerIDs are the peers of every cluster.
var peerIDs = []string{"peer-1", "peer-2", "peer-3"}

// peerVariable holds the configuration of a peer as JSON; with it this binary is that peer.
const peerVariable = "BALLAST_CLUSTER_PEER"

// hangLimit turns whatever does not happen into a failure.
const hangLimit = time.Minute

// processes starts, kills and stops the peers.
type processes struct {
	folder  string            // of raft's own logs
	dirs    map[string]string // of the stores, by id
	engine  string
	network *network
	fail    func(error) // the first one ends the run

	snapshots, installed, compacted atomic.Uint64 // that the peers told of, over all their lives
	noSpace                         atomic.Uint64 // failed appends

	mu sync.Mutex
	up map[string]*process
}

// process is one life of a peer.
type process struct {
	id     string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer // complete when gone is closed
	addr   string       // for clients
	wanted atomic.Bool  // that it ends
	gone   chan struct{}
	err    error // of the process's end; valid when gone is closed
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
	p := &process{id: id, cmd: exec.Command(self), gone: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), peerVariable+"="+string(config))
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", id, err)
	}
	begun := make(chan event, 1)
	go c.follow(p, stdout, begun)
	select {
	case e := <-begun:
		c.network.setPeer(id, e.Raft)
		p.addr = e.Clients
		c.mu.Lock()
		defer c.mu.Unlock()
		c.up[id] = p
		return nil
	case <-p.gone:
		return fmt.Errorf("%s did not start: %s", id, p.reason())
	case <-time.After(hangLimit):
		err = fmt.Errorf("%s did not start within %v", id, hangLimit)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.end()
	<-p.gone
	return err
}

// follow reads what a peer tells until it is gone. One that never was ready is startOne's to report.
func (c *processes) follow(p *process, stdout io.Reader, begun chan<- event) {
	started := false
	for dec := json.NewDecoder(stdout); ; {
		var e event
		if dec.Decode(&e) != nil {
			break // a kill may have cut the last line
		}
		switch e.Kind {
		case ready:
			started = true
			begun <- e
		case snapshots:
			c.snapshots.Add(1)
		case installed:
			c.installed.Add(1)
		case compacted:
			c.compacted.Add(e.Entries)
		case noSpace:
			c.noSpace.Add(1)
		case fault:
			c.fail(fmt.Errorf("the store of %s: %s", p.id, e.Text))
		}
	}
	p.err = p.cmd.Wait()
	close(p.gone)
	if started && !p.wanted.Load() {
		c.fail(fmt.Errorf("%s ended by itself: %s", p.id, p.reason()))
	}
}

// reason is how the process ended, and what it wrote to its standard error.
func (p *process) reason() string {
	return strings.TrimSpace(fmt.Sprintf("%v\n%s", p.err, p.stderr.String()))
}

func (p *process) end() {
	p.wanted.Store(true)
	_ = p.cmd.Process.Kill() // the only error is that it is gone
}

// addr is where a peer takes clients, empty while it is down.
func (c *processes) addr(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.up[id]; p != nil {
		return p.addr
	}
	return ""
}

// kill ends peers as kill -9 does, all at once, and waits until they are gone.
func (c *processes) kill(ids ...string) {
	var dying []*process
	c.mu.Lock()
	for _, id := range ids {
		if p := c.up[id]; p != nil {
			p.end()
			dying = append(dying, p)
			delete(c.up, id)
		}
	}
	c.mu.Unlock()
	for _, p := range dying {
		<-p.gone
	}
}

// stop ends every peer in good order.
func (c *processes) stop() error {
	c.mu.Lock()
	stopping := c.up
	c.up = map[string]*process{}
	c.mu.Unlock()
	for _, p := range stopping {
		p.wanted.Store(true)
		_, _ = io.WriteString(p.stdin, stopCommand) // fails when the process is gone, seen below
	}
	var errs []error
	deadline := time.After(hangLimit)
	for _, p := range stopping {
		select {
		case <-p.gone:
			if p.err != nil {
				errs = append(errs, fmt.Errorf("%s did not stop well: %s", p.id, p.reason()))
			}
		case <-deadline:
			deadline = time.After(0)
			p.end()
			<-p.gone
			errs = append(errs, fmt.Errorf("%s did not stop within %v", p.id, hangLimit))
		}
	}
	return errors.Join(errs...)
}
