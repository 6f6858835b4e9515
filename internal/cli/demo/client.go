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

	acked     atomic.Uint64
	lastError atomic.Pointer[error] // of an attempt whose outcome is not known
	stopping  atomic.Bool

	mu    sync.Mutex
	views map[string]view // what each peer that is up said last
}

type view struct {
	addr   string
	leader bool
	term   uint64
}

// writer is one goroutine's part of the record. Only that goroutine touches it while it writes.
type writer struct {
	id     int
	acked  uint64   // its writes 0 … acked-1 were acknowledged, and no others
	micros []uint32 // micros[i] is the time from the first attempt of write i to its acknowledgement
}

func newClient(c *cluster, run, seed uint64, writers int) *client {
	cl := &client{cluster: c, run: run, seed: seed, views: map[string]view{}}
	for i := range writers {
		cl.writers = append(cl.writers, &writer{id: i})
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
	got, err := s.at.status(opStatus)
	return view{addr: addr, leader: got.Leader, term: got.Term}, err
}

// leader returns who leads, as far as is known, and empty strings while nobody does. Of two that
// think so the one of the higher term is right.
func (c *client) leader() (id, addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var best view
	for i, v := range c.views {
		if v.leader && v.term > best.term {
			id, best = i, v
		}
	}
	return id, best.addr
}

// awaitLeader waits until somebody leads.
func (c *client) awaitLeader(ctx context.Context) (id, addr string, err error) {
	for {
		if id, addr = c.leader(); id != "" {
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
			err := c.attempt(&s, command)
			if err == nil {
				w.acked++
				w.micros = append(w.micros, uint32(time.Since(begin).Microseconds()))
				c.acked.Add(1)
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
func (c *client) attempt(s *session, command []byte) error {
	_, addr := c.leader()
	if addr == "" {
		return errNoLeader
	}
	if err := s.connect(addr); err != nil {
		return err
	}
	_, err := s.at.call(opPut, command)
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

// status asks with opStatus or opBarrier.
func (c *conn) status(op byte) (peerStatus, error) {
	var s peerStatus
	answer, err := c.call(op, nil)
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(answer, &s)
	return s, err
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
