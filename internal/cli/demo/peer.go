package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/procs"
)

const (
	rpcTimeout     = 5 * time.Second
	enqueueTimeout = 2 * time.Second
	bindTimeout    = 5 * time.Second
)

// PeerConfig is what one peer of a demo needs, which is one operating-system process.
type PeerConfig struct {
	ID    string
	Dir   string            // of this peer alone
	Addrs map[string]string // host:port for raft of every peer, this one among them, by id
	Stores

	Commands io.Reader // "stop" and a newline: end in good order; the end of it: the client is gone
	Events   io.Writer // one JSON object a line
	Orphaned func()    // ends the process at once
}

// An event is what a peer tells the client without being asked.
type event struct {
	Kind     eventKind `json:"kind"`
	Addr     string    `json:"addr,omitempty"`     // ready: where clients connect
	Snapshot uint64    `json:"snapshot,omitempty"` // ready, snapshot, installed: its last index; ready of several groups: their sum
	Last     uint64    `json:"last,omitempty"`     // ready: of the log; of several groups the sum
	Entries  uint64    `json:"entries,omitempty"`  // compacted: how many
}

type eventKind string

const (
	eventReady     eventKind = "ready"
	eventSnapshot  eventKind = "snapshot"
	eventInstalled eventKind = "installed"
	eventCompacted eventKind = "compacted"
)

type eventWriter struct {
	mu  sync.Mutex
	enc *json.Encoder
}

// send drops the error: a client that is gone is noticed by reading commands.
func (w *eventWriter) send(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.enc.Encode(e)
}

// ServePeer runs one peer until it is told to stop, and returns after its store is closed.
func ServePeer(cfg PeerConfig) (err error) {
	stop := make(chan struct{})
	go func() {
		if procs.Wait(cfg.Commands) != nil {
			cfg.Orphaned()
		}
		close(stop)
	}()
	events := &eventWriter{enc: json.NewEncoder(cfg.Events)}

	stores, closeStores, err := cfg.open(cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStores()) }()
	logFile, err := os.OpenFile(filepath.Join(cfg.Dir, peerLogName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer logFile.Close()

	p := &peer{id: cfg.ID, events: events}
	if err := p.start(cfg, stores, logFile); err != nil {
		return err
	}
	<-stop
	return p.stop()
}

type peer struct {
	id       string
	events   *eventWriter
	replicas []*replica // by group
	mux      *mux
	listener net.Listener
}

// start leaves nothing running when it fails but what the end of the process ends.
func (p *peer) start(cfg PeerConfig, stores []ballast.Store, logFile io.Writer) error {
	l, err := listenRaft(cfg)
	if err != nil {
		return err
	}
	p.mux = newMux(l, cfg.Groups)
	ready := event{Kind: eventReady}
	logFile = &lockedWriter{w: logFile}
	for g, store := range stores {
		r := &replica{id: p.id, group: g, events: p.events, machine: newMachine()}
		if err := r.start(cfg, store, p.mux.lines[g], r.logger(cfg, logFile)); err != nil {
			return fmt.Errorf("raft group %d: %w", g, err)
		}
		p.replicas = append(p.replicas, r)
		ready.Snapshot += r.restored.Load()
		ready.Last += r.raft.LastIndex()
	}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("listening for clients: %w", err)
	}
	go p.serve()
	ready.Addr = p.listener.Addr().String()
	p.events.send(ready)
	return nil
}

// stop stops the groups at once: each waits for its own goroutines.
func (p *peer) stop() error {
	_ = p.listener.Close()
	errs := make([]error, len(p.replicas))
	var all sync.WaitGroup
	for g, r := range p.replicas {
		all.Go(func() { errs[g] = r.stop() })
	}
	all.Wait()
	return errors.Join(append(errs, p.mux.Close())...)
}

// lockedWriter is written to by the loggers of several groups.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// listenRaft tries again for a moment: the port was this peer's before it was killed.
func listenRaft(cfg PeerConfig) (net.Listener, error) {
	for deadline := time.Now().Add(bindTimeout); ; time.Sleep(20 * time.Millisecond) {
		l, err := net.Listen("tcp", cfg.Addrs[cfg.ID])
		if err == nil {
			return l, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("another process took its port: %w; start the demo again", err)
		}
	}
}
