package demo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
)

// A command is what one write puts into the raft log:
//
//	0  4  CRC-32C of everything after it
//	4  2  length of the key
//	6  k  key
//	…     value, up to the end
const (
	commandHeaderBytes = 6
	maxCommandBytes    = 1 << 20

	valueBytes = 256
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errCommandLong  = fmt.Errorf("command is longer than %d bytes", maxCommandBytes)
	errCommandShort = errors.New("command is shorter than its header says")
	errCommandSum   = errors.New("checksum of the command does not match")
)

// encodeCommand returns the command that writes value under key, which is shorter than 64 KiB.
func encodeCommand(key string, value []byte) []byte {
	b := make([]byte, commandHeaderBytes, commandHeaderBytes+len(key)+len(value))
	binary.BigEndian.PutUint16(b[4:], uint16(len(key)))
	b = append(b, key...)
	b = append(b, value...)
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// decodeCommand verifies a command; key and value are parts of it, not copies.
func decodeCommand(b []byte) (key, value []byte, err error) {
	if len(b) > maxCommandBytes {
		return nil, nil, errCommandLong
	}
	if len(b) < commandHeaderBytes {
		return nil, nil, errCommandShort
	}
	if binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return nil, nil, errCommandSum
	}
	end := commandHeaderBytes + int(binary.BigEndian.Uint16(b[4:]))
	if end > len(b) {
		return nil, nil, errCommandShort
	}
	return b[commandHeaderBytes:end], b[end:], nil
}

// write names one write of a demo. Its key and its value follow from it, so that the client's record
// of what was acknowledged needs no values, and the check computes what each peer has to answer.
type write struct {
	run    uint64 // of the folder, from 1
	seed   uint64 // of that run
	writer int
	seq    uint64 // of the writer, from 0
}

func (w write) key() string { return fmt.Sprintf("run%d/writer%d/%d", w.run, w.writer, w.seq) }

// value is 256 pseudo-random bytes.
func (w write) value() []byte {
	rng := rand.NewPCG(w.seed^w.run<<32, w.seq<<16^uint64(w.writer))
	b := make([]byte, 0, valueBytes)
	for len(b) < valueBytes {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return b
}
