package demo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// mux carries the raft connections of all groups of a peer over one port: each begins with four bytes, its group.
type mux struct {
	net.Listener
	lines []*line
}

// line is what a group's transport sees of the mux.
type line struct {
	m      *mux
	group  int
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

var _ raft.StreamLayer = (*line)(nil)

const groupBytes = 4

func newMux(l net.Listener, groups int) *mux {
	m := &mux{Listener: l}
	for g := range groups {
		m.lines = append(m.lines, &line{m: m, group: g, conns: make(chan net.Conn), closed: make(chan struct{})})
	}
	go m.serve()
	return m
}

// serve ends when the listener is closed.
func (m *mux) serve() {
	for {
		c, err := m.Listener.Accept()
		if err != nil {
			return
		}
		go m.hand(c)
	}
}

// hand gives a connection to the group that it names.
func (m *mux) hand(c net.Conn) {
	var head [groupBytes]byte
	err := c.SetReadDeadline(time.Now().Add(rpcTimeout))
	if err == nil {
		_, err = io.ReadFull(c, head[:])
	}
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	group := binary.BigEndian.Uint32(head[:])
	if err != nil || group >= uint32(len(m.lines)) {
		_ = c.Close() // who dialled tries again
		return
	}
	l := m.lines[group]
	select {
	case l.conns <- c:
	case <-l.closed:
		_ = c.Close()
	}
}

var errLineClosed = errors.New("the group's transport is closed")

// Accept implements net.Listener.
func (l *line) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, errLineClosed
	}
}

// Close implements net.Listener. The port stays open for the other groups.
func (l *line) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *line) Addr() net.Addr { return l.m.Addr() }

// Dial implements raft.StreamLayer.
func (l *line) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", string(address), timeout)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(binary.BigEndian.AppendUint32(nil, uint32(l.group))); err != nil {
		return nil, errors.Join(fmt.Errorf("naming the raft group: %w", err), c.Close())
	}
	return c, nil
}
