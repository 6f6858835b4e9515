package demo

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A connection reaches the group that it names, one that names none is closed, and a group that is closed leaves the others alone.
func TestMux(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := newMux(l, 3)
	defer m.Close()
	say := func(group int) {
		t.Helper()
		from := &line{group: group}
		c, err := from.Dial(raft.ServerAddress(l.Addr().String()), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if group >= len(m.lines) {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("group %d is served", group)
			}
			return
		}
		if _, err := c.Write([]byte{byte(group)}); err != nil {
			t.Fatal(err)
		}
		got, err := m.lines[group].Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		b := make([]byte, 1)
		if _, err := io.ReadFull(got, b); err != nil || int(b[0]) != group {
			t.Errorf("group %d: %d, %v", group, b[0], err)
		}
	}
	for _, g := range []int{2, 0, 1, 3} {
		say(g)
	}
	if err := m.lines[1].Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.lines[1].Accept(); err == nil {
		t.Error("a closed group accepts")
	}
	say(0)
	say(2)
}
