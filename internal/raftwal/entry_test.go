package raftwal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// Every time comes back, and every number.
func TestEntryValues(t *testing.T) {
	for _, at := range []time.Time{
		{}, time.Unix(0, 0), time.Unix(1<<34, 999_999_999),
		time.Date(1890, 1, 1, 0, 0, 0, 0, time.FixedZone("local mean time", -(4*3600+56*60+2))),
	} {
		want := &raft.Log{Index: 1<<64 - 1, Term: 1 << 63, Type: 255, Data: []byte("data"), Extensions: []byte("extensions"), AppendedAt: at}
		var got raft.Log
		must(t, decodeEntry(encode(want), &got))
		if !got.AppendedAt.Equal(at) || got.Index != want.Index || got.Term != want.Term || got.Type != want.Type ||
			!bytes.Equal(got.Data, want.Data) || !bytes.Equal(got.Extensions, want.Extensions) {
			t.Errorf("%+v; want %+v", got, *want)
		}
		if cap(got.Data) != len(got.Data) {
			t.Error("what is appended to Data is written into Extensions")
		}
	}
}

func TestEntryDamage(t *testing.T) {
	good := encode(entry(6))
	for n := range good {
		if err := decodeEntry(good[:n], new(raft.Log)); err == nil {
			t.Errorf("the first %d bytes of %d are an entry", n, len(good))
		}
	}
	if err := decodeEntry(append(bytes.Clone(good), 0), new(raft.Log)); err == nil {
		t.Error("a byte behind the end")
	}
	for name, c := range map[string]struct {
		entry []byte
		want  error
	}{
		"a varint that does not end": {bytes.Repeat([]byte{0x80}, 40), errVarint},
		"a type":                     {append([]byte{1, 1, 0x80, 2, 0, 0}, good[len(good)-15:]...), nil},
		"a length":                   {append([]byte{1, 1, 1, 0xff, 0xff, 3}, good...), errLength},
		"a length of all bits":       {append(binary.AppendUvarint([]byte{1, 1, 1}, 1<<64-1), good...), errLength},
		"nanoseconds": {append([]byte{1, 1, 1, 0, 0}, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
			errNanosecs},
	} {
		if err := decodeEntry(c.entry, new(raft.Log)); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
