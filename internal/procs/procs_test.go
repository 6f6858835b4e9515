package procs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// event is what the peers of this test tell.
type event struct{ Kind string }

// mannerVariable says how a peer behaves; with it this binary is one.
const mannerVariable = "BALLAST_PROCS_PEER"

func TestMain(m *testing.M) {
	manner, is := os.LookupEnv(mannerVariable)
	if !is {
		os.Exit(m.Run())
	}
	out := json.NewEncoder(os.Stdout)
	tell := func(kind string) { _ = out.Encode(event{kind}) }
	switch manner {
	case "never starts":
		fmt.Fprintln(os.Stderr, "no disk")
		os.Exit(3)
	case "is silent":
		time.Sleep(time.Hour)
	case "ends by itself":
		tell("ready")
		panic("a bug")
	}
	tell("ready")
	tell("news")
	if Wait(os.Stdin) != nil {
		os.Exit(4)
	}
	if manner == "stops badly" {
		fmt.Fprintln(os.Stderr, "could not close")
		os.Exit(5)
	}
	os.Exit(0)
}

func peer(manner string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), mannerVariable+"="+manner)
	return cmd
}

func newGroup() (g *Group[event], told chan string, failed chan error) {
	told, failed = make(chan string, 10), make(chan error, 10)
	return &Group[event]{
		Ready:  func(e event) bool { return e.Kind == "ready" },
		Told:   func(id string, e event) { told <- id + " " + e.Kind },
		Failed: func(_ string, err error, _ []byte) { failed <- err },
		Limit:  time.Minute,
	}, told, failed
}

func TestGroup(t *testing.T) {
	g, told, failed := newGroup()
	for _, id := range []string{"a", "b"} {
		if e, err := g.Start(t.Context(), id, peer("works")); err != nil || e.Kind != "ready" {
			t.Fatalf("%s: %v, %v", id, e, err)
		}
		if got := <-told; got != id+" news" {
			t.Errorf("%q", got)
		}
	}
	g.Kill("a", "c")
	if _, up := g.Up("a"); up {
		t.Error("a is up after it was killed")
	}
	if e, up := g.Up("b"); !up || e.Kind != "ready" {
		t.Error("b is not up")
	}
	if err := g.Stop(); err != nil {
		t.Error(err)
	}
	if _, up := g.Up("b"); up || len(failed) > 0 {
		t.Errorf("b is up %v; %d failed", up, len(failed))
	}
}

func TestPeersThatFail(t *testing.T) {
	g, _, failed := newGroup()
	if _, err := g.Start(t.Context(), "a", peer("never starts")); err == nil || err.Error() != "a did not start: no disk" {
		t.Errorf("%v", err)
	}
	if _, err := g.Start(t.Context(), "a", exec.Command("/nowhere")); err == nil {
		t.Error("a program that is not there has started")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("no more")
	time.AfterFunc(10*time.Millisecond, func() { cancel(cause) })
	if _, err := g.Start(ctx, "a", peer("is silent")); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	if _, err := g.Start(t.Context(), "a", peer("ends by itself")); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !strings.HasPrefix(err.Error(), "a ended by itself: panic: a bug") {
		t.Errorf("%v", err)
	}
	g.Kill("a")
	if _, err := g.Start(t.Context(), "a", peer("stops badly")); err != nil {
		t.Fatal(err)
	}
	if err := g.Stop(); err == nil || err.Error() != "a did not stop well: could not close" {
		t.Errorf("%v", err)
	}
	g.Limit = time.Millisecond
	if _, err := g.Start(t.Context(), "a", peer("is silent")); err == nil || !strings.Contains(err.Error(), "within 1ms") {
		t.Errorf("%v", err)
	}
}

func TestWait(t *testing.T) {
	if err := Wait(strings.NewReader("stop\nmore")); err != nil {
		t.Error(err)
	}
	if Wait(strings.NewReader("sto")) == nil || Wait(strings.NewReader("")) == nil {
		t.Error("an input that ended is no order to stop")
	}
}
