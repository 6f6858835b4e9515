package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	leaderPoll = 20 * time.Millisecond
	retryPause = 10 * time.Millisecond
)

// client writes through whoever leads, and remembers what was acknowledged.
type client struct {
	cluster *cluster
	run     uint64
	seed    uint64
	writers []*writer

	groups    int
	acked     atomic.Uint64
	ackedOf   []atomic.Uint64       // by group
	lastError atomic.Pointer[error] // of an attempt whose outcome is not known
	stopping  atomic.Bool

	mu    sync.Mutex
	views map[string]view // what each peer that is up said last
}

type view struct {
	addr   string
	groups []peerStatus
}

// writer is one goroutine's part of the record. Only that goroutine touches it while it writes.
type writer struct {
	id     int
	group  int      // to which it writes
	acked  uint64   // its writes 0 … acked-1 were acknowledged, and no others
	micros []uint32 // micros[i] is the time from the first attempt of write i to its acknowledgement
}

func newClient(c *cluster, run uint64, cfg *Config) *client {
	cl := &client{cluster: c, run: run, seed: cfg.Seed, views: map[string]view{}, groups: cfg.Groups, ackedOf: make([]atomic.Uint64, cfg.Groups)}
	for i := range cfg.Writers {
		cl.writers = append(cl.writers, &writer{id: i, group: i % cfg.Groups})
	}
	return cl
}

func (c *client) record() record {
	r := record{Run: c.run, Seed: c.seed}
	for _, w := range c.writers {
		r.Acknowledged = append(r.Acknowledged, w.acked)
	}
	return r
}

// watch keeps the view of one peer until ctx ends.
func (c *client) watch(ctx context.Context, id string) {
	var s session
	defer s.close()
	for pause(ctx, leaderPoll) {
		v, err := look(&s, c.cluster.addr(id))
		if err != nil {
			s.close()
		}
		c.mu.Lock()
		if err == nil {
			c.views[id] = v
		} else {
			delete(c.views, id)
		}
		c.mu.Unlock()
	}
}

func look(s *session, addr string) (view, error) {
	if addr == "" {
		return view{}, errPeerDown
	}
	if err := s.connect(addr); err != nil {
		return view{}, err
	}
	groups, err := s.at.statuses()
	return view{addr: addr, groups: groups}, err
}

// leader returns who leads a group, as far as is known, and empty strings while nobody does. Of two that
// think so the one of the higher term is right.
func (c *client) leader(group int) (id, addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	term := uint64(0)
	for i, v := range c.views {
		if s := v.groups[group]; s.Leader && s.Term > term {
			id, addr, term = i, v.addr, s.Term
		}
	}
	return id, addr
}

// awaitLeader waits until somebody leads a group.
func (c *client) awaitLeader(ctx context.Context, group int) (id, addr string, err error) {
	for {
		if id, addr = c.leader(group); id != "" {
			return id, addr, nil
		}
		if !pause(ctx, retryPause) {
			return "", "", context.Cause(ctx)
		}
	}
}

// write writes until the client is stopping. It returns an error for a write that was refused, and
// nil otherwise: failures of peers are what the demo is about.
func (c *client) write(ctx context.Context, w *writer) error {
	var s session
	defer s.close()
	for !c.stopping.Load() {
		next := write{run: c.run, seed: c.seed, writer: w.id, seq: w.acked}
		command := encodeCommand(next.key(), next.value())
		begin := time.Now()
		for {
			err := c.attempt(&s, w.group, command)
			if err == nil {
				w.acked++
				w.micros = append(w.micros, uint32(time.Since(begin).Microseconds()))
				c.acked.Add(1)
				c.ackedOf[w.group].Add(1)
				break
			}
			if _, refused := errors.AsType[*refusedError](err); refused {
				return fmt.Errorf("the write of %s was refused: %w", next.key(), err)
			}
			c.lastError.Store(&err)
			// Stopping gives up a write whose outcome is not known: it counts neither way.
			if c.stopping.Load() || !pause(ctx, retryPause) {
				return nil
			}
		}
	}
	return nil
}

var (
	errNoLeader = errors.New("no peer leads")
	errPeerDown = errors.New("the peer is down")
)

// attempt sends a command to the leader, over the connection of the last attempt when it is still good.
func (c *client) attempt(s *session, group int, command []byte) error {
	_, addr := c.leader(group)
	if addr == "" {
		return errNoLeader
	}
	if err := s.connect(addr); err != nil {
		return err
	}
	_, err := s.at.callGroup(opPut, group, command)
	if err != nil {
		s.close()
	}
	return err
}

// session is a connection to a peer that changes. The zero session has none.
type session struct {
	at   *conn // nil or connected to addr
	addr string
}

func (s *session) close() {
	if s.at != nil {
		s.at.close()
		s.at = nil
	}
}

// connect leaves a connection to addr as it is.
func (s *session) connect(addr string) (err error) {
	if s.addr != addr {
		s.close()
	}
	if s.at == nil {
		s.addr = addr
		s.at, err = dial(addr)
	}
	return err
}

// statuses asks how all groups are.
func (c *conn) statuses() (all []peerStatus, err error) {
	answer, err := c.call(opStatus, nil)
	if err != nil {
		return nil, err
	}
	return all, json.Unmarshal(answer, &all)
}

// barrier asks how a group is after everything before was applied.
func (c *conn) barrier(group int) (s peerStatus, err error) {
	answer, err := c.callGroup(opBarrier, group, nil)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(answer, &s)
}

// pause waits and reports whether ctx still goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
