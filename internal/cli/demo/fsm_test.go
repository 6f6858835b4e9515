package demo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
)

// command is the command of write seq of writer 0.
func command(seq uint64) []byte {
	w := write{run: 1, seed: 7, seq: seq}
	return encodeCommand(w.key(), w.value())
}

// apply applies commands at index 1, 2, … and fails the test when one is refused.
func apply(t *testing.T, m *machine, commands ...[]byte) {
	t.Helper()
	for _, c := range commands {
		if res := m.Apply(&raft.Log{Index: m.index + 1, Type: raft.LogCommand, Data: c}); res != nil {
			t.Fatalf("Apply: %v", res)
		}
	}
}

func wantValue(t *testing.T, m *machine, seq uint64) {
	t.Helper()
	w := write{run: 1, seed: 7, seq: seq}
	got, ok := m.get([]byte(w.key()))
	if !ok || !bytes.Equal(got, w.value()) {
		t.Errorf("get(%q): found %v, right value %v", w.key(), ok, bytes.Equal(got, w.value()))
	}
}

func TestMachineApply(t *testing.T) {
	flipped := command(1)
	flipped[len(flipped)-1] ^= 1
	beyond := encodeCommand("", nil)
	beyond[5] = 9 // length of the key
	binary.BigEndian.PutUint32(beyond, crc32.Checksum(beyond[4:], castagnoli))
	cases := []struct {
		name    string
		second  []byte // after command(0)
		wantErr string
		keys    int
	}{
		{"another key", command(1), "", 2},
		{"the same write again", command(0), "", 1},
		{"another value of the same key", encodeCommand(write{run: 1, seed: 7}.key(), []byte("x")),
			`entry 2: key "run1/writer0/0" is written already, with another value`, 1},
		{"a flipped bit", flipped, "entry 2: checksum of the command does not match", 1},
		{"nothing", nil, "entry 2: command is shorter than its header says", 1},
		{"a key beyond the end", beyond, "entry 2: command is shorter than its header says", 1},
		{"too long", make([]byte, maxCommandBytes+1), "entry 2: command is longer than 1048576 bytes", 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine()
			apply(t, m, command(0))
			res := m.Apply(&raft.Log{Index: 2, Type: raft.LogCommand, Data: c.second})
			got := ""
			if err, ok := res.(error); ok {
				got = err.Error()
			}
			s := m.status()
			if got != c.wantErr || s.Damage != c.wantErr {
				t.Errorf("Apply returned %q, damage is %q, want %q", got, s.Damage, c.wantErr)
			}
			if s.Keys != c.keys || s.Index != 2 {
				t.Errorf("%d keys at index %d, want %d at 2", s.Keys, s.Index, c.keys)
			}
			wantValue(t, m, 0)
		})
	}
}

func TestDigestTellsOrderAndPlace(t *testing.T) {
	digest := func(first uint64, commands ...[]byte) string {
		m := newMachine()
		m.index = first - 1
		apply(t, m, commands...)
		return m.status().Digest
	}
	a, b := command(0), command(1)
	base := digest(1, a, b)
	if digest(1, a, b) != base {
		t.Error("the same commands at the same indexes have two digests")
	}
	for name, other := range map[string]string{
		"order":   digest(1, b, a),
		"index":   digest(2, a, b),
		"one off": digest(1, a),
		"twice":   digest(1, a, b, b),
	} {
		if other == base {
			t.Errorf("digest does not tell: %s", name)
		}
	}
}

type sink struct {
	bytes.Buffer
	full              error // what Write returns
	closed, cancelled bool
}

func (s *sink) Write(p []byte) (int, error) {
	if s.full != nil {
		return 0, s.full
	}
	return s.Buffer.Write(p)
}
func (s *sink) ID() string    { return "test" }
func (s *sink) Cancel() error { s.cancelled = true; return nil }
func (s *sink) Close() error  { s.closed = true; return nil }

func persist(t *testing.T, m *machine) []byte {
	t.Helper()
	snap, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	var to sink
	if err := snap.Persist(&to); err != nil || !to.closed || to.cancelled {
		t.Fatalf("Persist: %v, closed %v, cancelled %v", err, to.closed, to.cancelled)
	}
	return to.Bytes()
}

func restore(m *machine, snapshot []byte) error {
	return m.Restore(io.NopCloser(bytes.NewReader(snapshot)))
}

func TestSnapshotComesBack(t *testing.T) {
	m := newMachine()
	apply(t, m, command(0), command(1), command(1))
	snap, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	then := m.status()
	apply(t, m, command(2)) // between Snapshot and Persist, as raft does
	var to sink
	if err := snap.Persist(&to); err != nil {
		t.Fatal(err)
	}

	got := newMachine()
	apply(t, got, command(9)) // what was there before goes
	var told uint64
	got.onRestore = func(index uint64) { told = index }
	if err := restore(got, to.Bytes()); err != nil {
		t.Fatal(err)
	}
	if got.status() != then || told != 3 {
		t.Errorf("restored %+v, told index %d; want %+v, 3", got.status(), told, then)
	}
	wantValue(t, got, 0)
	wantValue(t, got, 1)
	apply(t, got, command(2))
	if got.status() != m.status() {
		t.Errorf("after one more command %+v, want %+v", got.status(), m.status())
	}
}

func TestEmptySnapshot(t *testing.T) {
	m := newMachine()
	if err := restore(m, persist(t, newMachine())); err != nil || m.status() != newMachine().status() {
		t.Errorf("Restore: %v, %+v", err, m.status())
	}
}

// Each flipped bit, each cut and anything behind the end is found, and the state stays what it was.
func TestDamagedSnapshotIsRefused(t *testing.T) {
	m := newMachine()
	apply(t, m, command(0), command(1))
	good := persist(t, m)

	victim := newMachine()
	apply(t, victim, command(5))
	before := victim.status()
	check := func(what string, snapshot []byte) {
		if err := restore(victim, snapshot); err == nil {
			t.Errorf("%s: restored without an error", what)
		}
		if victim.status() != before {
			t.Fatalf("%s: the state changed", what)
		}
	}
	for bit := range len(good) * 8 {
		bad := slices.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		check(fmt.Sprintf("bit %d flipped", bit), bad)
	}
	for n := range good {
		check(fmt.Sprintf("cut to %d bytes", n), good[:n])
	}
	check("one byte more", append(slices.Clone(good), 0))
}

func TestSnapshotThatCannotBeWrittenIsCancelled(t *testing.T) {
	m := newMachine()
	apply(t, m, command(0))
	snap, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space")
	to := sink{full: full}
	if err := snap.Persist(&to); !errors.Is(err, full) || !to.cancelled || to.closed {
		t.Errorf("Persist: %v, cancelled %v, closed %v", err, to.cancelled, to.closed)
	}
}

func TestDamagedMachineTakesNoSnapshot(t *testing.T) {
	m := newMachine()
	m.Apply(&raft.Log{Index: 1, Data: []byte("no command")})
	if _, err := m.Snapshot(); !errors.Is(err, errCommandSum) {
		t.Errorf("Snapshot: %v, want %v", err, errCommandSum)
	}
}
