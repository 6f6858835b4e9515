package wal

import (
	"encoding/binary"
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
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxMaxEntryBytes),
		zstd.WithDecoderMaxWindow(maxMaxEntryBytes), zstd.WithDecodeAllCapLimit(true))
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

// A length is believed at once up to so many times what is stored. Data that compresses better has to show that it does before
// there is memory for it: otherwise a few bytes could ask for a GiB.
const (
	believedRatio = 64
	believedBytes = 64 << 10
)

// decompress takes no more memory than the data really needs, within a factor of 8, and never more than the record says, which
// its checksum vouches for.
func decompress(r *record) (data []byte, err error) {
	if r.raw > maxMaxEntryBytes {
		return nil, errLength
	}
	believed := believedRatio*len(r.second) + believedBytes
	if r.flags&flagS2 != 0 {
		if n, err := s2.DecodedLen(r.second); err != nil || n != int(r.raw) {
			return nil, errLength
		}
		if int(r.raw) > believed && s2Length(r.second) != int64(r.raw) {
			return nil, errLength
		}
		data, err = s2.Decode(make([]byte, r.raw), r.second)
	} else {
		data, err = decompressZstd(r, believed)
	}
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	if len(data) != int(r.raw) {
		return nil, errLength
	}
	return data, nil
}

// decompressZstd decodes into as much memory as is believed, and into more when that gets full.
func decompressZstd(r *record, believed int) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(r.second); err != nil || h.HasFCS && h.FrameContentSize != uint64(r.raw) || h.DictionaryID != 0 {
		return nil, errLength
	}
	decoder, err := zstdDecoder()
	if err != nil {
		return nil, err
	}
	src, limit := r.second, int(r.raw)
	if believed < limit {
		limit = believed
		if h.HasFCS {
			src = withoutLength(src, &h)
		}
	}
	for {
		data, err := decoder.DecodeAll(src, make([]byte, 0, limit))
		// The error of a block that does not fit is the one of a damaged block.
		if err == nil || limit == int(r.raw) || len(data)+zstdBlockBytes < limit {
			return data, err
		}
		limit = min(8*limit, int(r.raw))
	}
}

// zstdBlockBytes is the most that one block of a frame holds.
const zstdBlockBytes = 128 << 10

// withoutLength returns a frame that does not say how long its content is, which a decoder would take the memory for. Its window
// is one GiB, as that of a frame with a length may be; of that no memory is taken.
func withoutLength(frame []byte, h *zstd.Header) []byte {
	const checksum, windowOfGiB = 1 << 2, 20 << 3
	out := make([]byte, 0, len(frame)+1)
	out = append(out, frame[:4]...)
	out = append(out, frame[4]&checksum, windowOfGiB)
	return append(out, frame[h.HeaderSize:]...)
}

// s2Length returns how many bytes the elements of an S2 block are, without making them, and -1 for what is no block.
func s2Length(b []byte) (total int64) {
	_, n := binary.Uvarint(b)
	for b = b[max(n, 0):]; len(b) > 0; {
		size, length := s2Element(b)
		if size > int64(len(b)) {
			return -1
		}
		b = b[size:]
		total += length
	}
	return total
}

// s2Element returns how many bytes the element that b begins with takes and how many it is: a literal, a copy, or one
// more copy from as far back as the last.
func s2Element(b []byte) (size, length int64) {
	tag := int64(b[0])
	number := func(from, n int) (v int64) { // little-endian; what is missing is found by the size
		for i := range n {
			if from+i < len(b) {
				v |= int64(b[from+i]) << (8 * i)
			}
		}
		return v
	}
	n := tag >> 2
	switch tag & 3 {
	case 0:
		if extra := n - 59; extra > 0 {
			length = number(1, int(extra)) + 1
			return 1 + extra + length, length
		}
		return 2 + n, n + 1
	case 1:
		n &= 7
		if tag&0xe0 != 0 || number(1, 1) != 0 || n < 5 {
			return 2, n + 4
		}
		extra := int(n - 4) // bytes of the length
		return 2 + int64(extra), number(2, extra) + []int64{4, 1 << 8, 1 << 16}[extra-1] + 4
	case 2:
		return 3, n + 1
	}
	return 5, n + 1
}
