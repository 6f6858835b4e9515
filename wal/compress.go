package wal

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// minCompressBytes is the least Data that is worth a try.
const minCompressBytes = 64

// compressor makes records of entries. It is the writer's own.
type compressor struct {
	mode Compression
	zstd *zstd.Encoder
	buf  []byte
}

func newCompressor(mode Compression) (c compressor, err error) {
	c.mode = mode
	if mode == Zstd {
		// One goroutine at a time encodes, so more of them would be memory for nothing.
		c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
		if err != nil {
			return c, fmt.Errorf("wal: setting up zstd: %w", err)
		}
	}
	return c, nil
}

// entry returns the record of an entry. It refers to the entry, or to memory that the next call uses again.
func (c *compressor) entry(l *raft.Log, group uint64) record {
	r := record{
		kind: recordEntry, logType: uint8(l.Type), group: group, a: l.Index, b: l.Term,
		c: uint64(l.AppendedAt.Unix()), nanos: uint32(l.AppendedAt.Nanosecond()),
		first: l.Extensions, second: l.Data, raw: uint32(len(l.Data)),
	}
	if l.Data != nil {
		r.flags |= flagData
	}
	if l.Extensions != nil {
		r.flags |= flagExtensions
	}
	if c.mode == None || len(l.Data) < minCompressBytes {
		return r
	}
	flag := byte(flagS2)
	if c.mode == Zstd {
		flag = flagZstd
		c.buf = c.zstd.EncodeAll(l.Data, c.buf[:0])
	} else {
		if n := s2.MaxEncodedLen(len(l.Data)); cap(c.buf) < n {
			c.buf = make([]byte, n)
		}
		c.buf = s2.Encode(c.buf[:cap(c.buf)], l.Data)
	}
	if padded(int64(len(c.buf))) < padded(int64(len(l.Data))) {
		r.second = c.buf
		r.flags |= flag
	}
	return r
}

// trim lets go of a buffer that one large entry left.
func (c *compressor) trim() {
	if cap(c.buf) > maxGroupBytes {
		c.buf = nil
	}
}

var errLength = errors.New("the data is not as long as the record says")

// zstdDecoder may be used by any number of goroutines.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxMaxEntryBytes))
})

// fill sets out to the entry of a record, with memory of its own; not after an error. The checksum was verified.
func fill(out *raft.Log, r *record) (err error) {
	var data, extensions []byte
	switch {
	case r.flags&flagData == 0:
	case r.flags&(flagS2|flagZstd) != 0:
		if data, err = decompress(r); err != nil {
			return err
		}
	default:
		data = append([]byte{}, r.second...)
	}
	if r.flags&flagExtensions != 0 {
		extensions = append([]byte{}, r.first...)
	}
	*out = raft.Log{Index: r.a, Term: r.b, Type: raft.LogType(r.logType), Data: data, Extensions: extensions,
		AppendedAt: time.Unix(int64(r.c), int64(r.nanos)).UTC()}
	return nil
}

// decompress takes no more memory than the record says that the data needs, which its checksum vouches for, and at most
// what an entry may have.
func decompress(r *record) (data []byte, err error) {
	if r.raw > maxMaxEntryBytes {
		return nil, errLength
	}
	if r.flags&flagS2 != 0 {
		if n, err := s2.DecodedLen(r.second); err != nil || n != int(r.raw) {
			return nil, errLength
		}
		data, err = s2.Decode(make([]byte, r.raw), r.second)
	} else {
		var h zstd.Header
		if err := h.Decode(r.second); err != nil || h.HasFCS && h.FrameContentSize != uint64(r.raw) {
			return nil, errLength
		}
		decoder, e := zstdDecoder()
		if e != nil {
			return nil, e
		}
		data, err = decoder.DecodeAll(r.second, make([]byte, 0, r.raw))
	}
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	if len(data) != int(r.raw) {
		return nil, errLength
	}
	return data, nil
}
