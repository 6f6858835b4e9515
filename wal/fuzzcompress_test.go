package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/raft-ballast/ballast/internal/oracle"
)

// compressible returns data of all sizes that compresses little, well and extremely well.
func compressible() (all [][]byte) {
	rng := oracle.Random(3)
	for _, n := range []int{64, 100, 1000, 4096, 65_535, 65_536, 131_072, 131_073, 1 << 20, 5_000_001, 20 << 20} {
		text := bytes.Repeat([]byte("ballast "), n/8+1)[:n]
		mixed := bytes.Clone(text)
		for range n / 100 {
			mixed[rng.IntN(n)] = byte(rng.Uint32())
		}
		noise := make([]byte, n) // and then zeros
		for i := range n / 8 {
			noise[i] = byte(rng.Uint32())
		}
		all = append(all, make([]byte, n), text, mixed, noise)
	}
	return all
}

// TestDecompress: what was compressed comes back, however much shorter it had become and whether or not the data says
// how long it was.
func TestDecompress(t *testing.T) {
	stream, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	must(t, err)
	for i, data := range compressible() {
		for _, mode := range []Compression{S2, Zstd} {
			c, err := newCompressor(mode)
			must(t, err)
			r := c.entry(oracle.EntryOf(1, data), 0)
			if r.flags&(flagS2|flagZstd) == 0 {
				continue
			}
			if got, err := decompress(&r); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%v, case %d of %d bytes in %d: %d bytes come back, %v", mode, i, len(data), len(r.second), len(got), err)
			}
			if n := s2Length(r.second); mode == S2 && n != int64(len(data)) {
				t.Errorf("s2Length of case %d is %d, should be %d", i, n, len(data))
			}
		}
		var b bytes.Buffer // a stream has its checksum, and no length in front
		stream.Reset(&b)
		_, err = stream.Write(data)
		must(t, err)
		must(t, stream.Close())
		r := record{flags: flagZstd, raw: uint32(len(data)), second: b.Bytes()}
		if got, err := decompress(&r); err != nil || !bytes.Equal(got, data) {
			t.Errorf("stream, case %d of %d bytes in %d: %d bytes come back, %v", i, len(data), b.Len(), len(got), err)
		}
		r.raw--
		if _, err := decompress(&r); err == nil {
			t.Errorf("stream, case %d: one byte more comes back than the record says", i)
		}
	}
}

// TestDeclaredLength: neither a record nor its data gets memory for what it only says. All of these are of a few bytes, and say that they
// are a GiB.
func TestDeclaredLength(t *testing.T) {
	const gib = 1 << 30
	frame := func(content []byte, options ...zstd.EOption) []byte {
		e, err := zstd.NewWriter(nil, options...)
		must(t, err)
		return e.EncodeAll(content, nil)
	}
	// A frame in one segment, with the length in 8 bytes, and an empty last block.
	long := binary.LittleEndian.AppendUint64([]byte{0x28, 0xb5, 0x2f, 0xfd, 3<<6 | 1<<5}, gib)
	varint := binary.AppendUvarint(nil, gib)
	for what, r := range map[string]record{
		"s2 of nothing":           {flags: flagS2, second: varint},
		"s2 of a literal":         {flags: flagS2, second: append(bytes.Clone(varint), 4, 1, 2)},
		"s2 of half a literal":    {flags: flagS2, second: append(bytes.Clone(varint), 63<<2, 255, 255, 255, 63)},
		"s2 of copies":            {flags: flagS2, second: append(bytes.Clone(varint), 0, 1, 63<<2|2, 1, 0, 7<<2|1, 0, 255, 255, 255)},
		"zstd of nothing":         {flags: flagZstd, second: append(bytes.Clone(long), 1, 0, 0)},
		"zstd of a repeated byte": {flags: flagZstd, second: append(bytes.Clone(long), 1|1<<1|0xf0, 0xff, 0, 7)},
		"zstd without a length":   {flags: flagZstd, second: append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0}, 1, 0, 0)},
		"two frames":              {flags: flagZstd, second: append(append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0}, 1, 0, 0), append(bytes.Clone(long), 1, 0, 0)...)},
		"another length":          {flags: flagZstd, second: frame(make([]byte, 100_000))},
	} {
		t.Run(what, func(t *testing.T) {
			r.kind, r.raw = recordEntry, gib
			var err error
			n := allocated(func() { _, err = decompress(&r) })
			if err == nil {
				t.Error("it is decompressed")
			}
			if n > 4<<20 {
				t.Errorf("%s: %d bytes are allocated for %d", fmt.Sprint(err), n, len(r.second))
			}
		})
	}
}
