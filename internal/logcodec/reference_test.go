package logcodec_test

import (
	"bytes"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/logcodec"
)

var timeFormats = map[string]logcodec.TimeFormat{"classic": logcodec.ClassicTime, "new": logcodec.NewTime}

// handle is the one that raft-boltdb v2 encodes with.
func handle(format logcodec.TimeFormat) *codec.MsgpackHandle {
	h := new(codec.MsgpackHandle)
	h.TimeNotBuiltin = format == logcodec.ClassicTime
	return h
}

// msgpackEncode is what raft-boltdb v2 would store.
func msgpackEncode(l *raft.Log, format logcodec.TimeFormat) ([]byte, error) {
	var buf bytes.Buffer
	err := codec.NewEncoder(&buf, handle(format)).Encode(l)
	return buf.Bytes(), err
}

// msgpackDecode is what raft-boltdb v2 would read.
func msgpackDecode(b []byte, l *raft.Log) error {
	return codec.NewDecoder(bytes.NewBuffer(b), &codec.MsgpackHandle{}).Decode(l)
}
