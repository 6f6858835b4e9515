package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/raft-ballast/ballast/internal/procs"
)

// peerTimeout is how long a peer may take to start, or to stop.
const peerTimeout = 30 * time.Second

// counters are what the peers told, all of them together and over all their lives.
type counters struct {
	snapshots atomic.Uint64 // taken
	installed atomic.Uint64 // sent by the leader to a peer whose entries were compacted away
	compacted atomic.Uint64 // entries
}

// cluster is the peers' processes.
type cluster struct {
	procs.Group[event]

	command func(id, dir string, addrs map[string]string) *exec.Cmd
	folder  *folder
	addrs   map[string]string
	told    counters
	failed  chan error // one error at most: why a peer ended that was neither killed nor stopped

	// addr is where a peer takes clients, empty while it is down.
	addr func(id string) string
}

func newCluster(cfg *Config, f *folder) (*cluster, error) {
	c := &cluster{
		command: cfg.Command,
		folder:  f,
		addrs:   map[string]string{},
		failed:  make(chan error, 1),
	}
	c.Ready = func(e event) bool { return e.Kind == eventReady }
	c.Told = func(_ string, e event) { c.told.count(e) }
	c.Failed, c.Limit = c.ended, peerTimeout
	c.addr = func(id string) string {
		ready, _ := c.Up(id)
		return ready.Addr
	}
	for _, id := range PeerIDs {
		addr, err := freeAddr("127.0.0.1", raftPorts, portsEnd, c.addrs)
		if err != nil {
			return nil, err
		}
		c.addrs[id] = addr
	}
	return c, nil
}

// Ports below those that systems give to outgoing connections: a peer that is down must find its port free when it comes back.
const (
	metricsPorts = 12000
	raftPorts    = 15000
	portsEnd     = 30000
)

// FreeMetricsAddr returns an address for a peer's metrics that nothing else of a demo takes.
func FreeMetricsAddr(host string, taken map[string]string) (string, error) {
	return freeAddr(host, metricsPorts, raftPorts, taken)
}

// freeAddr looks for a free port from lowest on, below end.
func freeAddr(host string, lowest, end int, taken map[string]string) (string, error) {
	var last error
next:
	for range 200 {
		addr := net.JoinHostPort(host, strconv.Itoa(lowest+rand.IntN(end-lowest)))
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
	return "", fmt.Errorf("no free port on %s between %d and %d: %w", host, lowest, end, last)
}

// start starts a peer and waits until it takes clients.
func (c *cluster) start(ctx context.Context, id string) (event, error) {
	dir := c.folder.peer(id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return event{}, err
	}
	return c.Start(ctx, id, c.command(id, dir, c.addrs))
}

func (c *counters) count(e event) {
	switch e.Kind {
	case eventSnapshot:
		c.snapshots.Add(1)
	case eventInstalled:
		c.installed.Add(1)
	case eventCompacted:
		c.compacted.Add(e.Entries)
	}
}

// ended puts what may be a stack trace behind raft's own log.
func (c *cluster) ended(id string, why error, stderr []byte) {
	f, err := os.OpenFile(filepath.Join(c.folder.peer(id), peerLogName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.Write(stderr)
		err = errors.Join(err, f.Close())
	}
	select {
	case c.failed <- errors.Join(why, err):
	default: // the run is ending because of an earlier one
	}
}
