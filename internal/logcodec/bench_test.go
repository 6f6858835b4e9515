package logcodec_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/logcodec"
)

// benchLog is what a busy service stores: a command with the leader's time.
func benchLog(size int) *raft.Log {
	return &raft.Log{
		Index: 1_234_567, Term: 12, Type: raft.LogCommand, Data: make([]byte, size),
		AppendedAt: time.Unix(1_700_000_000, 123_456_789).UTC(),
	}
}

var benchSizes = []int{256, 4096}

func BenchmarkAppend(b *testing.B) {
	for _, size := range benchSizes {
		l := benchLog(size)
		for name, format := range timeFormats {
			b.Run(fmt.Sprintf("%dB/ballast/%s", size, name), func(b *testing.B) {
				dst := make([]byte, 0, logcodec.Size(l))
				b.ReportAllocs()
				for b.Loop() {
					dst = logcodec.Append(dst[:0], l, format)
				}
			})
		}
		b.Run(fmt.Sprintf("%dB/go-msgpack", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := codec.NewEncoder(new(bytes.Buffer), handle(logcodec.ClassicTime)).Encode(l); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, size := range benchSizes {
		for name, format := range timeFormats {
			in := logcodec.Append(nil, benchLog(size), format)
			b.Run(fmt.Sprintf("%dB/ballast/%s", size, name), func(b *testing.B) {
				var l raft.Log
				b.ReportAllocs()
				for b.Loop() {
					if err := logcodec.Decode(in, &l); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		in := logcodec.Append(nil, benchLog(size), logcodec.ClassicTime)
		b.Run(fmt.Sprintf("%dB/go-msgpack", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var l raft.Log
				if err := codec.NewDecoder(bytes.NewBuffer(in), &codec.MsgpackHandle{}).Decode(&l); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
