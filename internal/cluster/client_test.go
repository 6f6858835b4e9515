package cluster

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Registers are used a few at a time and then left for good, but for a look back now and then: what a client sees of each of them
// stays short enough to be checked, and whatever is lost later is still noticed at the end.
const (
	clientCount      = 6
	window           = 5   // registers in use
	windowOperations = 300 // after which the next ones are used
	lookBack         = 20  // one operation in so many goes to any register there was
	maxPadding       = 8 << 10
	retryPause       = 10 * time.Millisecond
)

// clients use the cluster, through whoever takes what they send.
type clients struct {
	procs   *processes
	history *history
	seed    uint64

	begun    atomic.Uint64 // operations
	values   atomic.Uint64 // no two writes have the same one
	ids      atomic.Int64  // of clients, as the history knows them
	ok       atomic.Uint64
	stopping atomic.Bool
	running  sync.WaitGroup

	mu      sync.Mutex
	leaders map[uint64]string // by term, who answered
	whyNot  string            // of the last operation that was no success
}

func newClients(procs *processes, seed uint64) *clients {
	return &clients{procs: procs, history: newHistory(), seed: seed, leaders: map[uint64]string{}}
}

func (c *clients) start(ctx context.Context) {
	for i := range clientCount {
		c.running.Go(func() { c.use(ctx, rand.New(rand.NewPCG(c.seed, uint64(i+1)))) })
	}
}

// stop waits for the answers of what is under way.
func (c *clients) stop() {
	c.stopping.Store(true)
	c.running.Wait()
}

// use does one operation after the other.
func (c *clients) use(ctx context.Context, rng *rand.Rand) {
	s := session{clients: c, id: int(c.ids.Add(1)), target: peerIDs[rng.IntN(len(peerIDs))]}
	defer s.close()
	seen := map[uint32]uint64{} // what was last in a register, as far as this client knows
	for !c.stopping.Load() && ctx.Err() == nil {
		in := c.next(rng, seen)
		o, a := s.do(in, rng.IntN(maxPadding))
		if o == success {
			seen[in.register] = a.Value
			if in.kind == write || a.Swapped {
				seen[in.register] = in.to
			}
			continue
		}
		if s.target == "" {
			s.target = peerIDs[rng.IntN(len(peerIDs))]
		}
		time.Sleep(retryPause)
	}
}

// next chooses an operation.
func (c *clients) next(rng *rand.Rand, seen map[uint32]uint64) input {
	base := uint32(c.begun.Add(1)/windowOperations) * window
	in := input{register: base + rng.Uint32N(window)}
	if rng.IntN(lookBack) == 0 {
		in.register = rng.Uint32N(base + window)
	}
	switch rng.IntN(4) {
	case 0, 1:
		in.kind = read
	case 2:
		in.kind, in.to = write, c.values.Add(1)
	default:
		in.kind, in.from, in.to = swap, seen[in.register], c.values.Add(1)
	}
	return in
}

// readAll reads every register that there is, so that the history ends with what is there.
func (c *clients) readAll(ctx context.Context) error {
	s := session{clients: c, id: int(c.ids.Add(1))}
	defer s.close()
	end := uint32(c.begun.Load()/windowOperations)*window + window
	for r := range end {
		err := await(ctx, "a read at the end", func() bool {
			if s.target == "" {
				s.target = peerIDs[int(c.ids.Load())%len(peerIDs)]
			}
			o, _ := s.do(input{kind: read, register: r}, 0)
			return o == success
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// session is the client's side of one operation after the other.
type session struct {
	clients *clients
	id      int
	target  string // the peer that is asked next; empty when no one is known to lead
	at      *conn  // to target, or nil
}

func (s *session) close() {
	if s.at != nil {
		s.at.close()
		s.at = nil
	}
}

// do tries an operation once, and records it.
func (s *session) do(in input, padding int) (outcome, answer) {
	c := s.clients
	call := c.history.now()
	got := s.send(request{What: apply, Command: command{
		Kind: in.kind, Register: in.register, From: in.from, To: in.to, Padding: padding,
	}})
	c.history.add(s.id, in, call, got.Outcome, got.Answer)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch got.Outcome {
	case success:
		c.ok.Add(1)
		c.leaders[got.Term] = s.target
		return success, got.Answer
	case unknown:
		s.id = int(c.ids.Add(1)) // one client does one thing at a time, and this one has not ended
	}
	c.whyNot = s.target + ": " + got.Why
	s.close()
	s.target = ""
	if slices.Contains(peerIDs, got.Leader) {
		s.target = got.Leader
	}
	return got.Outcome, answer{}
}

// send makes a response of what happens to the connection, too.
func (s *session) send(r request) response {
	if s.at == nil {
		at, err := dial(s.clients.procs.addr(s.target))
		if err != nil {
			return response{Outcome: failure, Why: err.Error()}
		}
		s.at = at
	}
	got, err := s.at.call(r)
	if err != nil {
		return response{Outcome: unknown, Why: err.Error()}
	}
	return got
}
