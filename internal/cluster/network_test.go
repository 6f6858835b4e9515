package cluster

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// network carries everything between the peers. Each peer has a proxy of its own for each other one.
type network struct {
	mu      sync.Mutex
	rules   map[direction]rule
	changed chan struct{} // closed, and replaced, when a rule changes
	peers   map[string]string
	proxies map[direction]net.Listener // by who dials and who is dialled
	links   map[*link]struct{}         // that are open
	closed  bool
	wg      sync.WaitGroup
}

// direction is a way of bytes from one peer to another, whoever of them has dialled.
type direction struct{ from, to string }

func (d direction) back() direction { return direction{d.to, d.from} }

// rule is what happens in a direction.
type rule struct {
	cut   cut
	delay time.Duration // of each piece
}

type cut string

const (
	whole  cut = ""       // no cut
	refuse cut = "refuse" // connections end at once, and no new one is made
	drop   cut = "drop"   // what is sent is lost; the connection ends when the cut does
	hold   cut = "hold"   // what is sent arrives when the cut ends
)

var cuts = []cut{refuse, drop, hold}

// link is one connection between two peers.
type link struct {
	dials   direction
	a, b    net.Conn           // of who dialled, and of who was dialled
	done    chan struct{}      // closed when the link is
	lost    map[direction]bool // something of this direction was dropped; guarded by the network's mutex
	closing sync.Once
}

func (l *link) close() {
	l.closing.Do(func() {
		close(l.done)
		_ = l.a.Close()
		_ = l.b.Close()
	})
}

func newNetwork() (*network, error) {
	n := &network{
		rules:   map[direction]rule{},
		changed: make(chan struct{}),
		peers:   map[string]string{},
		proxies: map[direction]net.Listener{},
		links:   map[*link]struct{}{},
	}
	for _, from := range peerIDs {
		for _, to := range peerIDs {
			if from == to {
				continue
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				n.close()
				return nil, err
			}
			n.proxies[direction{from, to}] = l
			n.wg.Go(func() { n.accept(direction{from, to}, l) })
		}
	}
	return n, nil
}

// close ends all links and waits for what served them.
func (n *network) close() {
	n.mu.Lock()
	n.closed = true
	for _, l := range n.proxies {
		_ = l.Close()
	}
	for l := range n.links {
		l.close()
	}
	n.mu.Unlock()
	n.wg.Wait()
}

// from returns where a peer reaches the other ones.
func (n *network) from(id string) map[string]string {
	addrs := map[string]string{}
	for d, l := range n.proxies {
		if d.from == id {
			addrs[d.to] = l.Addr().String()
		}
	}
	return addrs
}

// setPeer tells where a peer listens in this life.
func (n *network) setPeer(id, addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.peers[id] = addr
}

// set changes the rule of some directions, all at once.
func (n *network) set(r rule, ways ...direction) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range ways {
		n.rules[d] = r
		for l := range n.links {
			if l.dials != d && l.dials != d.back() {
				continue
			}
			if r.cut == refuse || l.lost[d] && r.cut != drop {
				l.close()
			}
		}
	}
	close(n.changed)
	n.changed = make(chan struct{})
}

// heal takes every rule back.
func (n *network) heal() {
	var all []direction
	for d := range n.proxies {
		all = append(all, d)
	}
	n.set(rule{}, all...)
}

func (n *network) accept(d direction, l net.Listener) {
	for {
		a, err := l.Accept()
		if err != nil {
			return
		}
		n.wg.Go(func() { n.serve(d, a) })
	}
}

func (n *network) serve(d direction, a net.Conn) {
	n.mu.Lock()
	addr := n.peers[d.to]
	refused := n.rules[d].cut == refuse || n.rules[d.back()].cut == refuse
	n.mu.Unlock()
	if refused {
		_ = a.Close()
		return
	}
	b, err := net.DialTimeout("tcp", addr, dialLimit)
	if err != nil {
		_ = a.Close()
		return
	}
	l := &link{dials: d, a: a, b: b, done: make(chan struct{}), lost: map[direction]bool{}}
	n.mu.Lock()
	n.links[l] = struct{}{}
	if n.closed || n.rules[d].cut == refuse || n.rules[d.back()].cut == refuse {
		l.close()
	}
	n.mu.Unlock()
	n.wg.Go(func() { n.pump(l, d.back(), b, a) })
	n.pump(l, d, a, b)
	<-l.done
	n.mu.Lock()
	delete(n.links, l)
	n.mu.Unlock()
}

// pump carries one direction of a link until the link ends.
func (n *network) pump(l *link, d direction, from io.Reader, to io.Writer) {
	defer l.close()
	piece := make([]byte, 64<<10)
	for {
		k, err := from.Read(piece)
		if err != nil {
			return
		}
		passed, err := n.pass(l, d)
		if err != nil {
			return
		}
		if passed {
			if _, err := to.Write(piece[:k]); err != nil {
				return
			}
		}
	}
}

// pass waits as long as a piece has to wait, and reports whether it arrives at all.
func (n *network) pass(l *link, d direction) (bool, error) {
	for delayed := false; ; {
		n.mu.Lock()
		r, changed := n.rules[d], n.changed
		if r.cut == drop {
			l.lost[d] = true
		}
		lost := l.lost[d]
		n.mu.Unlock()
		switch {
		case lost:
			return false, nil // what comes after a hole does not arrive either
		case r.cut == hold:
			select {
			case <-changed:
			case <-l.done:
				return false, net.ErrClosed
			}
		case r.delay > 0 && !delayed:
			delayed = true
			select {
			case <-time.After(r.delay):
			case <-l.done:
				return false, net.ErrClosed
			}
		default:
			return true, nil
		}
	}
}

// echo answers each line with itself, as a peer would.
func echo(t *testing.T, n *network, id string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	n.setPeer(id, l.Addr().String())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
}

// TestNetwork cuts a link in both directions in each way, and heals it.
func TestNetwork(t *testing.T) {
	n, err := newNetwork()
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	echo(t, n, peerIDs[1])
	there := direction{peerIDs[0], peerIDs[1]}
	for _, c := range cuts {
		for _, way := range []direction{there, there.back()} {
			t.Run(string(c)+" "+way.from, func(t *testing.T) { cutAndHeal(t, n, c, way) })
		}
	}
	n.set(rule{delay: time.Millisecond}, there, there.back())
	if got, err := roundTrip(dialLink(t, n), time.Time{}); err != nil || got != "x\n" {
		t.Errorf("over a slow link: %q, %v", got, err)
	}
}

func cutAndHeal(t *testing.T, n *network, c cut, way direction) {
	before := dialLink(t, n)
	if got, err := roundTrip(before, time.Time{}); err != nil || got != "x\n" {
		t.Fatalf("before the cut: %q, %v", got, err)
	}
	n.set(rule{cut: c}, way)
	patience := time.Now().Add(20 * time.Millisecond) // nothing comes, however long one waits
	if c == refuse {
		patience = time.Time{}
	}
	for _, l := range []net.Conn{before, dialLink(t, n)} {
		_, err := roundTrip(l, patience)
		timeout, ok := errors.AsType[net.Error](err)
		if cut := ok && timeout.Timeout(); err == nil || cut == (c == refuse) {
			t.Errorf("while it is cut: %v", err)
		}
	}
	n.heal()
	_ = before.SetDeadline(time.Time{})
	got, err := bufio.NewReader(before).ReadString('\n')
	if held := err == nil && got == "x\n"; held != (c == hold) {
		t.Errorf("after the cut, what was sent in it: %q, %v", got, err)
	}
	if got, err := roundTrip(dialLink(t, n), time.Time{}); err != nil || got != "x\n" {
		t.Errorf("a new link after the cut: %q, %v", got, err)
	}
}

func dialLink(t *testing.T, n *network) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", n.from(peerIDs[0])[peerIDs[1]])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func roundTrip(c net.Conn, deadline time.Time) (string, error) {
	_ = c.SetDeadline(deadline)
	if _, err := io.WriteString(c, "x\n"); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}
