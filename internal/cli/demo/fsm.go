package demo

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// machine is the replicated key-value state. A key is written once: the same value again changes
// nothing, which is what a client that retries an unknown outcome needs, and another value is refused.
//
// The digest chains the index and the bytes of every applied command, so two machines with the same
// digest at the same index applied the same commands in the same order. Terms are no part of it.
type machine struct {
	mu      sync.RWMutex
	index   uint64 // of the last command applied
	digest  [sha256.Size]byte
	written [][]byte          // the commands that wrote a key, in order; neither they nor their order change
	byKey   map[string]uint32 // byKey[key] is the command in written
	damage  error             // the first command that failed its checksum

	// onPersist and onRestore, when not nil, are told after a snapshot was written or restored.
	onPersist func(index uint64)
	onRestore func(index uint64)
}

var _ raft.FSM = (*machine)(nil)

func newMachine() *machine { return &machine{byKey: map[string]uint32{}} }

// status is what peers are compared by.
type status struct {
	Index  uint64 `json:"index"`
	Digest string `json:"digest"`
	Keys   int    `json:"keys"`
	Damage string `json:"damage,omitempty"`
}

func (m *machine) status() status {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := status{Index: m.index, Digest: fmt.Sprintf("%x", m.digest), Keys: len(m.byKey)}
	if m.damage != nil {
		s.Damage = m.damage.Error()
	}
	return s
}

// get returns the value of key, which the caller does not change, and whether there is one.
func (m *machine) get(key []byte) ([]byte, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	at, ok := m.byKey[string(key)]
	if !ok {
		return nil, false
	}
	return m.written[at][commandHeaderBytes+len(key):], true
}

// Apply implements raft.FSM. What it returns is nil or an error.
func (m *machine) Apply(l *raft.Log) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index = l.Index
	h := sha256.New()
	h.Write(m.digest[:])
	h.Write(binary.BigEndian.AppendUint64(nil, l.Index))
	h.Write(l.Data)
	h.Sum(m.digest[:0])

	err := m.put(l.Data)
	if err != nil {
		err = fmt.Errorf("entry %d: %w", l.Index, err)
		if m.damage == nil {
			m.damage = err
		}
		return err
	}
	return nil
}

func (m *machine) put(command []byte) error {
	key, value, err := decodeCommand(command)
	if err != nil {
		return err
	}
	if at, ok := m.byKey[string(key)]; ok {
		if !bytes.Equal(m.written[at][commandHeaderBytes+len(key):], value) {
			return fmt.Errorf("key %q is written already, with another value", key)
		}
		return nil
	}
	m.byKey[string(key)] = uint32(len(m.written))
	m.written = append(m.written, command)
	return nil
}

// A snapshot is, all numbers big-endian:
//
//	 0   8  "ballast1"
//	 8   8  index of the last command applied
//	16  32  digest at that index
//	48   8  number of commands
//	        each command: 4 bytes of length, the command
//	    32  SHA-256 of everything before it
const (
	snapshotMagic       = "ballast1"
	snapshotHeaderBytes = 56
)

var errSnapshotSum = errors.New("checksum of the snapshot does not match")

type snapshot struct {
	index     uint64
	digest    [sha256.Size]byte
	written   [][]byte
	onPersist func(index uint64)
}

// Snapshot implements raft.FSM. It costs nothing: commands are only ever appended.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.damage != nil {
		return nil, fmt.Errorf("a damaged state is not worth a snapshot: %w", m.damage)
	}
	n := len(m.written)
	return &snapshot{index: m.index, digest: m.digest, written: m.written[:n:n], onPersist: m.onPersist}, nil
}

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.write(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return err
	}
	if s.onPersist != nil {
		s.onPersist(s.index)
	}
	return nil
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() {}

func (s *snapshot) write(to io.Writer) error {
	buffered := bufio.NewWriterSize(to, 1<<18)
	sum := sha256.New()
	w := io.MultiWriter(buffered, sum)
	head := append(make([]byte, 0, snapshotHeaderBytes), snapshotMagic...)
	head = binary.BigEndian.AppendUint64(head, s.index)
	head = append(head, s.digest[:]...)
	head = binary.BigEndian.AppendUint64(head, uint64(len(s.written)))
	if _, err := w.Write(head); err != nil {
		return err
	}
	var size [4]byte
	for _, command := range s.written {
		binary.BigEndian.PutUint32(size[:], uint32(len(command)))
		if _, err := w.Write(size[:]); err != nil {
			return err
		}
		if _, err := w.Write(command); err != nil {
			return err
		}
	}
	if _, err := buffered.Write(sum.Sum(nil)); err != nil {
		return err
	}
	return buffered.Flush()
}

// Restore implements raft.FSM. The state stays as it was when the snapshot is not good.
func (m *machine) Restore(from io.ReadCloser) error {
	defer from.Close()
	got := newMachine()
	if err := got.read(bufio.NewReaderSize(from, 1<<18)); err != nil {
		return fmt.Errorf("restoring a snapshot: %w", err)
	}
	m.mu.Lock()
	m.index, m.digest, m.written, m.byKey, m.damage = got.index, got.digest, got.written, got.byKey, nil
	m.mu.Unlock()
	if m.onRestore != nil {
		m.onRestore(got.index)
	}
	return nil
}

func (m *machine) read(from io.Reader) error {
	sum := sha256.New()
	r := io.TeeReader(from, sum)
	var head [snapshotHeaderBytes]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if string(head[:8]) != snapshotMagic {
		return errors.New("not a snapshot of this demo")
	}
	m.index = binary.BigEndian.Uint64(head[8:])
	copy(m.digest[:], head[16:])
	for range binary.BigEndian.Uint64(head[48:]) {
		command, err := readCommand(r)
		if err == nil {
			err = m.put(command)
		}
		if err != nil {
			return fmt.Errorf("command %d: %w", len(m.written), err)
		}
	}
	return checkSum(from, sum)
}

func readCommand(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxCommandBytes {
		return nil, errCommandLong
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

// checkSum reads the trailing sum past the hash, and the end behind it.
func checkSum(from io.Reader, sum hash.Hash) error {
	var trailer [sha256.Size + 1]byte
	n, err := io.ReadFull(from, trailer[:])
	if n != sha256.Size || !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(trailer[:n], sum.Sum(nil)) {
		return errSnapshotSum
	}
	return nil
}
