// Package procs runs peers of a cluster as processes of their own, to be killed.
//
// A peer tells what happens on its standard output, as JSON, and ends in good order when its standard input has [Stop], or is closed: it
// does not outlive who started it.
package procs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Stop on its standard input ends a peer.
const Stop = "stop\n"

// Group is peers that tell events of type E. Its functions are set before the first Start. All methods may be called by any goroutine.
type Group[E any] struct {
	// Ready reports whether an event is the one with which a peer takes clients.
	Ready func(E) bool

	// Told is called with each other event, by a goroutine of the peer's own.
	Told func(id string, e E)

	// Failed is called when a peer that was ready has ended, and was neither killed nor stopped. stderr is all that it wrote there.
	Failed func(id string, err error, stderr []byte)

	// Limit is how long a peer may take to be ready, or to stop.
	Limit time.Duration

	mu sync.Mutex
	up map[string]*process[E]
}

// process is one life of a peer.
type process[E any] struct {
	id     string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer // complete when gone is closed
	ready  E
	wanted atomic.Bool // that it ends
	gone   chan struct{}
	err    error // of the process's end; valid when gone is closed
}

// Start starts a peer, waits until it is ready, and returns the event that said so. cmd has no standard streams yet.
func (g *Group[E]) Start(ctx context.Context, id string, cmd *exec.Cmd) (ready E, err error) {
	p := &process[E]{id: id, cmd: cmd, gone: make(chan struct{})}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return ready, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return ready, err
	}
	cmd.Stderr = &p.stderr
	if err := cmd.Start(); err != nil {
		return ready, fmt.Errorf("starting %s: %w", id, err)
	}
	begun := make(chan E, 1)
	go g.follow(p, stdout, begun)
	timer := time.NewTimer(g.Limit)
	defer timer.Stop()
	select {
	case p.ready = <-begun:
		g.add(p)
		return p.ready, nil
	case <-p.gone:
		return ready, fmt.Errorf("%s did not start: %s", id, p.reason())
	case <-timer.C:
		err = fmt.Errorf("%s did not start within %v", id, g.Limit)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.end()
	<-p.gone
	return ready, err
}

func (g *Group[E]) add(p *process[E]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.up == nil {
		g.up = make(map[string]*process[E])
	}
	g.up[p.id] = p
}

// follow reads what a peer tells until it is gone. One that never was ready is Start's to report.
func (g *Group[E]) follow(p *process[E], stdout io.Reader, begun chan<- E) {
	started := false
	for dec := json.NewDecoder(stdout); ; {
		var e E
		if dec.Decode(&e) != nil {
			break // a kill may have cut the last line
		}
		if g.Ready(e) && !started {
			started = true
			begun <- e
			continue
		}
		g.Told(p.id, e)
	}
	p.err = p.cmd.Wait()
	close(p.gone)
	if started && !p.wanted.Load() {
		g.Failed(p.id, fmt.Errorf("%s ended by itself: %s", p.id, p.reason()), p.stderr.Bytes())
	}
}

// reason is the line of its standard error that says why the process ended, or how it ended.
func (p *process[E]) reason() string {
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

func (p *process[E]) end() {
	p.wanted.Store(true)
	_ = p.cmd.Process.Kill() // the only error is that it is gone
}

// Up returns the event with which a peer became ready, and whether it is up.
func (g *Group[E]) Up(id string) (ready E, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.up[id]; p != nil {
		return p.ready, true
	}
	return ready, false
}

// Kill ends peers as kill -9 does, all at once, and waits until they are gone.
func (g *Group[E]) Kill(ids ...string) {
	var dying []*process[E]
	g.mu.Lock()
	for _, id := range ids {
		if p := g.up[id]; p != nil {
			p.end()
			dying = append(dying, p)
			delete(g.up, id)
		}
	}
	g.mu.Unlock()
	for _, p := range dying {
		<-p.gone
	}
}

// Stop ends every peer in good order. It returns an error for each that did not end so, or not within the limit; that one is killed.
func (g *Group[E]) Stop() error {
	g.mu.Lock()
	stopping := g.up
	g.up = nil
	g.mu.Unlock()
	for _, p := range stopping {
		p.wanted.Store(true)
		_, _ = io.WriteString(p.stdin, Stop) // fails when the process is gone, seen below
	}
	var errs []error
	deadline := time.After(g.Limit)
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
			errs = append(errs, fmt.Errorf("%s did not stop within %v", p.id, g.Limit))
		}
	}
	return errors.Join(errs...)
}

// Wait returns when [Stop] was read, or with an error when the input ended without it: whoever started this process is gone. It is what the
// peer does with its standard input.
func Wait(input io.Reader) error {
	word, err := io.ReadAll(io.LimitReader(input, int64(len(Stop))))
	if string(word) != Stop {
		return errors.Join(errors.New("the process that started this one is gone"), err)
	}
	return nil
}
