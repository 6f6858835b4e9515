package metrics

import "sync"

// Sources are the stores of a sink: its Attach. The zero value has none. What closed stores have counted stays counted, so
// that no counter falls. All methods may be called by any goroutine.
type Sources struct {
	mu     sync.Mutex
	open   map[int]func() Stats
	next   int
	closed Stats // counters of those that are closed
}

// Attach implements [Sink].
func (s *Sources) Attach(read func() Stats) (detach func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[int]func() Stats)
	}
	id := s.next
	s.next++
	s.open[id] = read
	return sync.OnceFunc(func() {
		last := read()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, id)
		counted := last.counters()
		s.closed.add(&counted)
	})
}

// Stats returns the sum of all stores. The file system may be slow to answer, so nobody who opens or closes a store waits for it.
func (s *Sources) Stats() Stats {
	s.mu.Lock()
	sum := s.closed
	reads := make([]func() Stats, 0, len(s.open))
	for _, read := range s.open {
		reads = append(reads, read)
	}
	s.mu.Unlock()
	for _, read := range reads {
		one := read()
		sum.add(&one)
	}
	return sum
}
