package cluster

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// A command is the data of an entry, all numbers big-endian:
//
//	 0  4  CRC-32C of everything after it
//	 4  1  kind
//	 5  4  register
//	 9  8  value that a swap expects
//	17  8  value that is written
//	25  …  padding, which makes logs grow
type command struct {
	Kind     kind
	Register uint32
	From, To uint64
	Padding  int // bytes
}

type kind byte

const (
	read  kind = 1
	write kind = 2
	swap  kind = 3 // writes To where From is
)

const commandBytes = 25

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errCommand = errors.New("the command is damaged")
)

func (c command) encode() []byte {
	b := make([]byte, 4, commandBytes+c.Padding)
	b = append(b, byte(c.Kind))
	b = binary.BigEndian.AppendUint32(b, c.Register)
	b = binary.BigEndian.AppendUint64(b, c.From)
	b = binary.BigEndian.AppendUint64(b, c.To)
	for i := range c.Padding {
		b = append(b, byte(c.To)+byte(i))
	}
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

func decode(b []byte) (command, error) {
	if len(b) < commandBytes || binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return command{}, errCommand
	}
	return command{
		Kind:     kind(b[4]),
		Register: binary.BigEndian.Uint32(b[5:]),
		From:     binary.BigEndian.Uint64(b[9:]),
		To:       binary.BigEndian.Uint64(b[17:]),
		Padding:  len(b) - commandBytes,
	}, nil
}

// answer is what a command returns.
type answer struct {
	Value   uint64 // that was there before; 0 where nothing was written yet
	Swapped bool
}

// applied is what Apply returns.
type applied struct {
	answer
	term uint64
}

// machine is the replicated state.
type machine struct {
	mu     sync.Mutex
	state  state
	damage error // the first command that was damaged

	// onPersist and onRestore are told of snapshots, when they are not nil.
	onPersist func()
	onRestore func()
}

// state is what a snapshot holds, as JSON: raft's own store of snapshots has a checksum.
type state struct {
	Index     uint64            // of the last command that was applied
	Chain     [sha256.Size]byte // of all commands with their indexes, in order
	Registers map[uint32]uint64
}

func newMachine() *machine { return &machine{state: state{Registers: map[uint32]uint64{}}} }

// Apply implements raft.FSM.
func (m *machine) Apply(l *raft.Log) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Index = l.Index
	h := sha256.New()
	h.Write(m.state.Chain[:])
	h.Write(binary.BigEndian.AppendUint64(nil, l.Index))
	h.Write(l.Data)
	h.Sum(m.state.Chain[:0])
	c, err := decode(l.Data)
	if err != nil {
		if m.damage == nil {
			m.damage = fmt.Errorf("entry %d: %w", l.Index, err)
		}
		return err
	}
	a := answer{Value: m.state.Registers[c.Register]}
	if c.Kind == swap {
		a.Swapped = a.Value == c.From
	}
	if c.Kind == write || a.Swapped {
		m.state.Registers[c.Register] = c.To
	}
	return applied{a, l.Term}
}

// digest is the same on all peers that applied the same commands and have the same registers.
func (m *machine) digest() (index uint64, digest string, damage error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := sha256.New()
	h.Write(m.state.Chain[:])
	for _, r := range slices.Sorted(maps.Keys(m.state.Registers)) {
		fmt.Fprintln(h, r, m.state.Registers[r])
	}
	return m.state.Index, fmt.Sprintf("%x", h.Sum(nil)), m.damage
}

type snapshot struct {
	content   []byte
	onPersist func()
}

// Snapshot implements raft.FSM.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.damage != nil {
		return nil, m.damage
	}
	content, err := json.Marshal(m.state)
	return &snapshot{content, m.onPersist}, err
}

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s.content); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return err
	}
	if s.onPersist != nil {
		s.onPersist()
	}
	return nil
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() {}

// Restore implements raft.FSM.
func (m *machine) Restore(from io.ReadCloser) error {
	defer from.Close()
	var got state
	if err := json.NewDecoder(from).Decode(&got); err != nil {
		return fmt.Errorf("restoring a snapshot: %w", err)
	}
	if got.Registers == nil {
		return errors.New("restoring a snapshot: it has no registers")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.damage = got, nil
	if m.onRestore != nil {
		m.onRestore()
	}
	return nil
}
