package raftwal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/raft"
)

// An entry is the payload of its frame, in raft-wal's codec 1. An integer is a varint, as in encoding/binary.
//
//	varint      Index
//	varint      Term
//	varint      Type
//	varint n    length of Data
//	n bytes     Data
//	varint n    length of Extensions
//	n bytes     Extensions
//	the rest    AppendedAt, as time.MarshalBinary writes it: 15 bytes, or 16
var (
	errVarint   = errors.New("a varint in it is cut off or too long")
	errLength   = errors.New("a length in it goes beyond its end")
	errNanosecs = errors.New("its time has a billion nanoseconds or more")
)

// entryIndex returns the Index of an entry, of which b holds the beginning.
func entryIndex(b []byte) (uint64, error) {
	index, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, errVarint
	}
	return index, nil
}

// decodeEntry reads b into log and sets every field of it. Data and Extensions are parts of b, which is log's from now on. On an
// error log is left as it was.
func decodeEntry(b []byte, log *raft.Log) error {
	d := decoder{b: b}
	out := raft.Log{Index: d.uint(), Term: d.uint()}
	kind := d.uint()
	out.Data = d.bytes()
	out.Extensions = d.bytes()
	switch {
	case d.err != nil:
		return d.err
	case kind > math.MaxUint8:
		return fmt.Errorf("%d is no type of an entry", kind)
	}
	out.Type = raft.LogType(kind)
	var err error
	if out.AppendedAt, err = parseTime(d.b); err != nil {
		return err
	}
	*log = out
	return nil
}

// decoder consumes b from its front, until there is an error.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.err != nil || n <= 0 {
		d.fail(errVarint)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// bytes returns nil for no bytes: raft-wal does not tell the two apart.
func (d *decoder) bytes() []byte {
	n := d.uint()
	if d.err != nil || n == 0 {
		return nil
	}
	if n > uint64(len(d.b)) {
		d.fail(errLength)
		return nil
	}
	out := d.b[:n:n] // an append to it must not reach what follows
	d.b = d.b[n:]
	return out
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func parseTime(b []byte) (t time.Time, err error) {
	if err := t.UnmarshalBinary(b); err != nil {
		return time.Time{}, fmt.Errorf("its time of %d bytes: %w", len(b), err)
	}
	// UnmarshalBinary takes any number here, and makes a time of it that is not what it seems.
	if binary.BigEndian.Uint32(b[9:]) >= 1e9 {
		return time.Time{}, errNanosecs
	}
	return t, nil
}
