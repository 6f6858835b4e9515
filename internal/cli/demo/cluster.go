package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readyTimeout = 30 * time.Second
	stopTimeout  = 30 * time.Second
)

// counters are what the peers told, all of them together and over all their lives.
type counters struct {
	snapshots atomic.Uint64 // taken
	installed atomic.Uint64 // sent by the leader to a peer whose entries were compacted away
	compacted atomic.Uint64 // entries
}

// cluster starts, kills and stops the peers' processes.
type cluster struct {
	command func(id, dir string, addrs map[string]string) *exec.Cmd
	folder  *folder
	addrs   map[string]string
	told    counters
	failed  chan error // one error at most: why a peer ended that was neither killed nor stopped

	mu    sync.Mutex
	peers map[string]*process // that are up
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

func newCluster(cfg *Config, f *folder) (*cluster, error) {
	c := &cluster{
		command: cfg.Command,
		folder:  f,
		addrs:   map[string]string{},
		failed:  make(chan error, 1),
		peers:   map[string]*process{},
	}
	for _, id := range PeerIDs {
		addr, err := freeAddr(c.addrs)
		if err != nil {
			return nil, err
		}
		c.addrs[id] = addr
	}
	return c, nil
}

// freeAddr looks below the ports that systems give to outgoing connections: a peer that is down must
// find its port free when it comes back.
func freeAddr(taken map[string]string) (string, error) {
	var last error
next:
	for range 200 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(15000+rand.IntN(15000)))
		for _, t := range taken {
			if t == addr {
				continue next
			}
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			last = err
			continue
		}
		return addr, l.Close()
	}
	return "", fmt.Errorf("no free port on 127.0.0.1 between 15000 and 30000: %w", last)
}

// start starts a peer and waits until it takes clients.
func (c *cluster) start(ctx context.Context, id string) (event, error) {
	dir := c.folder.peer(id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return event{}, err
	}
	p := &process{id: id, cmd: c.command(id, dir, c.addrs), gone: make(chan struct{})}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return event{}, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return event{}, err
	}
	p.stdin, p.cmd.Stderr = stdin, &p.stderr
	if err := p.cmd.Start(); err != nil {
		return event{}, fmt.Errorf("starting %s: %w", id, err)
	}
	ready := make(chan event, 1)
	go c.follow(p, stdout, ready)

	timer := time.NewTimer(readyTimeout)
	defer timer.Stop()
	select {
	case e := <-ready:
		p.addr = e.Addr
		c.mu.Lock()
		c.peers[id] = p
		c.mu.Unlock()
		return e, nil
	case <-p.gone:
		return event{}, fmt.Errorf("%s did not start: %s", id, p.reason())
	case <-timer.C:
		err = fmt.Errorf("%s did not start within %v", id, readyTimeout)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.end()
	<-p.gone
	return event{}, err
}

// follow reads what a peer tells until it is gone. One that never was ready is start's to report.
func (c *cluster) follow(p *process, stdout io.Reader, ready chan<- event) {
	started := false
	for dec := json.NewDecoder(stdout); ; {
		var e event
		if dec.Decode(&e) != nil {
			break // a kill may have cut the last line
		}
		switch e.Kind {
		case eventReady:
			started = true
			ready <- e
		case eventSnapshot:
			c.told.snapshots.Add(1)
		case eventInstalled:
			c.told.installed.Add(1)
		case eventCompacted:
			c.told.compacted.Add(e.Entries)
		}
	}
	p.err = p.cmd.Wait()
	close(p.gone)
	if p.wanted.Load() || !started {
		return
	}
	err := fmt.Errorf("%s ended by itself: %s", p.id, p.reason())
	select {
	case c.failed <- errors.Join(err, c.keepStderr(p)):
	default: // the run is ending because of an earlier one
	}
}

// reason is the line of its standard error that says why the process ended, or how it ended.
func (p *process) reason() string {
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	why := lines[len(lines)-1]
	for _, l := range lines {
		if strings.HasPrefix(l, "panic: ") || strings.HasPrefix(l, "fatal error: ") {
			why = l
			break
		}
	}
	switch {
	case why != "":
		return strings.TrimPrefix(why, "ballast: ")
	case p.err != nil:
		return p.err.Error()
	default:
		return "it said nothing"
	}
}

// keepStderr puts what may be a stack trace behind raft's own log.
func (c *cluster) keepStderr(p *process) error {
	f, err := os.OpenFile(filepath.Join(c.folder.peer(p.id), peerLogName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(p.stderr.Bytes())
	return errors.Join(err, f.Close())
}

func (p *process) end() {
	p.wanted.Store(true)
	_ = p.cmd.Process.Kill() // the only error is that it is gone
}

// addr is where a peer takes clients, empty while it is down.
func (c *cluster) addr(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.peers[id]; p != nil {
		return p.addr
	}
	return ""
}

// kill ends peers as kill -9 does, all at once, and waits until they are gone.
func (c *cluster) kill(ids ...string) {
	var dying []*process
	c.mu.Lock()
	for _, id := range ids {
		if p := c.peers[id]; p != nil {
			p.end()
			dying = append(dying, p)
			delete(c.peers, id)
		}
	}
	c.mu.Unlock()
	for _, p := range dying {
		<-p.gone
	}
}

// stop ends every peer in good order.
func (c *cluster) stop() error {
	c.mu.Lock()
	stopping := c.peers
	c.peers = map[string]*process{}
	c.mu.Unlock()
	for _, p := range stopping {
		p.wanted.Store(true)
		_, _ = io.WriteString(p.stdin, stopCommand) // fails when the process is gone, seen below
	}
	var errs []error
	deadline := time.After(stopTimeout)
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
			errs = append(errs, fmt.Errorf("%s did not stop within %v", p.id, stopTimeout))
		}
	}
	return errors.Join(errs...)
}
