package main

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"
)

const (
	headBytes  = 16 // index and term, at the beginning of Data
	smallBytes = 128
	largeBytes = 64 << 10
	poolBytes  = 1 << 20
)

// source makes entries. It is never changed.
type source struct {
	seed uint64
	pool []byte // noise that Data is cut from
}

func newSource(seed uint64) *source {
	rng := rand.New(rand.NewPCG(seed, 0))
	pool := make([]byte, poolBytes+largeBytes)
	for i := 0; i < len(pool); i += 8 {
		binary.LittleEndian.PutUint64(pool[i:], rng.Uint64())
	}
	return &source{seed: seed, pool: pool}
}

// shape returns the size of an entry's Data, where in the pool it begins, and how many Extensions there are. Of 256 entries one
// has 64 KiB, the others 128 bytes to 4 KiB.
func (s *source) shape(index, term uint64) (size, from, extensions int) {
	h := rand.NewPCG(s.seed^term<<48, index).Uint64()
	base := smallBytes << (h >> 8 % 5)
	size = base + int(h>>16&0xffff)%base
	if h%256 == 0 {
		size = largeBytes
	}
	if h>>61 == 0 {
		extensions = headBytes
	}
	return size, int(h >> 32 % poolBytes), extensions
}

// bytes is how much an entry holds.
func (s *source) bytes(index, term uint64) int64 {
	size, _, extensions := s.shape(index, term)
	return int64(size + extensions)
}

// fill makes l the entry of an index and a term, in the memory that l.Data has.
func (s *source) fill(l *raft.Log, index, term uint64) {
	size, from, extensions := s.shape(index, term)
	data := binary.BigEndian.AppendUint64(l.Data[:0], index)
	data = binary.BigEndian.AppendUint64(data, term)
	data = append(data, s.pool[from:from+size-headBytes]...)
	*l = raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: data,
		AppendedAt: time.Unix(1_700_000_000, int64(index%1_000_000_000))}
	if extensions > 0 {
		l.Extensions = s.pool[from : from+extensions]
	}
}
