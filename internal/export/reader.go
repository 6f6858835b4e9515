package export

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"

	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/zstd"

	"github.com/raft-ballast/ballast"
)

// Reader reads such a file. It is for one goroutine.
type Reader struct {
	// Store is what the file says of the store.
	Store Store

	r       io.Reader // and hash
	src     io.Reader
	hash    hash.Hash
	decoder *zstd.Decoder
	path    string
	offset  int64 // of what is read next

	number  uint64 // of the next block
	kind    byte
	at      int64  // where the block begins
	content []byte // what is left of it

	last            uint64 // index
	key             []byte
	entries, stable uint64
}

// Item is an entry, or a stable value when Log is nil. It is the caller's.
type Item struct {
	Log        *raft.Log
	Key, Value []byte
}

// ErrTruncated is matched by the error of a file that ends before its end.
var ErrTruncated = errors.New("the file is not complete")

// ErrForeign is matched by the error of a file that is something else.
var ErrForeign = errors.New("was not made by `ballast export`")

// NewReader reads the beginning of a file; errors name it by path. The error matches ErrForeign when it is something else, [ballast.ErrUnknownVersion]
// for a later format, [ballast.ErrCorrupt] for damage, and ErrTruncated too when it ends too early.
func NewReader(r io.Reader, path string) (*Reader, error) {
	decoder, err := newDecoder()
	if err != nil {
		return nil, err
	}
	in := &Reader{src: r, hash: sha256.New(), decoder: decoder, path: path}
	in.r = io.TeeReader(r, in.hash)
	if err := in.header(); err != nil {
		return nil, err
	}
	h, err := in.block()
	if err != nil {
		return nil, err
	}
	if h.kind != blockStore || len(in.content) < storeBytes {
		return nil, in.damaged(in.at, errors.New("it does not begin with what it holds"))
	}
	b := in.content
	in.Store = Store{
		FirstIndex: binary.LittleEndian.Uint64(b), LastIndex: binary.LittleEndian.Uint64(b[8:]),
		CommitIndex: binary.LittleEndian.Uint64(b[16:]), Engine: string(b[storeBytes:]),
	}
	if s := in.Store; s.FirstIndex > s.LastIndex || s.CommitIndex > s.LastIndex || (s.FirstIndex == 0) != (s.LastIndex == 0) {
		return nil, in.damaged(in.at, fmt.Errorf("it says entries from %d to %d and commit index %d", s.FirstIndex, s.LastIndex, s.CommitIndex))
	}
	in.content = nil
	return in, nil
}

func (r *Reader) damaged(offset int64, err error) error {
	return &ballast.CorruptionError{Path: r.path, Offset: offset, Err: err}
}

// Begins reports whether what r reads begins as a file does that was exported.
func Begins(r io.Reader) bool {
	b := make([]byte, len(magic))
	_, err := io.ReadFull(r, b)
	return err == nil && string(b) == magic
}

func (r *Reader) header() error {
	b, err := r.read(headerBytes)
	if n := min(len(b), len(magic)); string(b[:n]) != magic[:n] {
		return fmt.Errorf("%s %w; give a file that was", r.path, ErrForeign)
	}
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(b[8:]) != crc32.Checksum(b[12:], castagnoli) {
		return r.damaged(0, errors.New("its header does not match its checksum"))
	}
	if v := binary.LittleEndian.Uint32(b[12:]); v != Version {
		return fmt.Errorf("%w: %s is of version %d, this release knows %d; use a newer one", ballast.ErrUnknownVersion, r.path, v, Version)
	}
	return nil
}

// read returns n bytes, which are the caller's, and those that there are with an error. Memory grows as they come, so a length that is wrong takes none.
func (r *Reader) read(n int64) ([]byte, error) {
	var b bytes.Buffer
	got, err := io.CopyN(&b, r.r, n)
	r.offset += got
	if err == io.EOF {
		return b.Bytes(), r.damaged(r.offset, fmt.Errorf("%w: it ends at %d bytes; copy it, or export the store, once more", ErrTruncated, r.offset))
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s at %d: %w", r.path, r.offset, err)
	}
	return b.Bytes(), nil
}

// block reads the next block and makes its content the one that is read from.
func (r *Reader) block() (h blockHeader, err error) {
	r.at = r.offset
	sum := r.hash.Sum(nil) // of everything before
	b, err := r.read(blockHeaderBytes)
	if err != nil {
		return h, err
	}
	if h, err = decodeBlockHeader(b, r.number); errors.Is(err, ballast.ErrUnknownVersion) {
		return h, fmt.Errorf("%s at offset %d: %w", r.path, r.at, err)
	}
	if err != nil {
		return h, r.damaged(r.at, err)
	}
	if b, err = r.read(int64(h.stored)); err != nil {
		return h, err
	}
	if crc32.Checksum(b, castagnoli) != h.sum {
		return h, r.damaged(r.at, fmt.Errorf("block %d does not match its checksum", h.number))
	}
	if h.compression == compressed {
		if b, err = r.decoder.DecodeAll(b, make([]byte, 0, h.raw)); err != nil || len(b) != int(h.raw) {
			return h, r.damaged(r.at, fmt.Errorf("block %d cannot be decompressed: %w", h.number, errors.Join(err, io.ErrUnexpectedEOF)))
		}
	}
	r.number++
	r.kind, r.content = h.kind, b
	if h.kind == blockEnd {
		return h, r.end(sum)
	}
	return h, nil
}

// end compares what was read with what the last block says.
func (r *Reader) end(sum []byte) error {
	want := binary.LittleEndian.AppendUint64(nil, r.entries)
	want = binary.LittleEndian.AppendUint64(want, r.stable)
	switch {
	case !bytes.Equal(r.content, append(want, sum...)):
		return r.damaged(r.at, errors.New("what was read is not what was written: the sum over the file does not match"))
	case r.last != r.Store.LastIndex:
		return r.damaged(r.at, fmt.Errorf("its entries end with %d and not with %d", r.last, r.Store.LastIndex))
	}
	if n, err := io.ReadFull(r.src, make([]byte, 1)); n > 0 {
		return r.damaged(r.offset, errors.New("something follows its end"))
	} else if err != nil && err != io.EOF {
		return fmt.Errorf("reading %s at %d: %w", r.path, r.offset, err)
	}
	return nil
}

// Next returns the next entry or stable value, and io.EOF at the end of a file that is complete and whole. Other errors are those of
// NewReader.
func (r *Reader) Next() (Item, error) {
	for len(r.content) == 0 {
		h, err := r.block()
		switch {
		case err != nil:
			return Item{}, err
		case h.kind == blockEnd:
			r.content = nil
			return Item{}, io.EOF
		case h.kind == blockStore || h.kind == blockEntries && r.stable > 0 || len(r.content) == 0:
			return Item{}, r.damaged(r.at, fmt.Errorf("block %d is of kind %d, which does not belong there", h.number, h.kind))
		}
	}
	if r.kind == blockEntries {
		log, err := r.entry()
		return Item{Log: log}, err
	}
	return r.value()
}

// take returns the first n bytes of the content.
func (r *Reader) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.content)) {
		return nil, r.damaged(r.at, errors.New("a record is longer than its block"))
	}
	b := r.content[:n:n]
	r.content = r.content[n:]
	return b, nil
}

func (r *Reader) entry() (*raft.Log, error) {
	b, err := r.take(entryBytes)
	if err != nil {
		return nil, err
	}
	log := &raft.Log{
		Index: binary.LittleEndian.Uint64(b), Term: binary.LittleEndian.Uint64(b[8:]), Type: raft.LogType(b[28]),
		AppendedAt: time.Unix(int64(binary.LittleEndian.Uint64(b[16:])), int64(binary.LittleEndian.Uint32(b[24:]))).UTC(),
	}
	flags, data, extensions := b[29], binary.LittleEndian.Uint32(b[32:]), binary.LittleEndian.Uint32(b[36:])
	switch {
	case flags&^(flagData|flagExtensions) != 0 || b[30]|b[31] != 0:
		return nil, fmt.Errorf("%w: entry %d in %s has flags %#x; use a newer release", ballast.ErrUnknownVersion, log.Index, r.path, flags)
	case r.entries == 0 && log.Index != r.Store.FirstIndex, log.Index <= r.last, log.Index > r.Store.LastIndex,
		binary.LittleEndian.Uint32(b[24:]) >= 1e9, flags&flagData == 0 && data > 0, flags&flagExtensions == 0 && extensions > 0:
		return nil, r.damaged(r.at, fmt.Errorf("entry %d does not belong behind %d", log.Index, r.last))
	}
	parts, err := r.take(uint64(data) + uint64(extensions))
	if err != nil {
		return nil, err
	}
	if flags&flagData != 0 {
		log.Data = append([]byte{}, parts[:data]...)
	}
	if flags&flagExtensions != 0 {
		log.Extensions = append([]byte{}, parts[data:]...)
	}
	r.last = log.Index
	r.entries++
	return log, nil
}

func (r *Reader) value() (item Item, err error) {
	b, err := r.take(stableBytes)
	if err != nil {
		return item, err
	}
	key, value := uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[4:]))
	parts, err := r.take(key + value)
	if err != nil {
		return item, err
	}
	item.Key, item.Value = append([]byte{}, parts[:key]...), append([]byte{}, parts[key:]...)
	if r.stable > 0 && bytes.Compare(item.Key, r.key) <= 0 {
		return item, r.damaged(r.at, fmt.Errorf("the stable value %q does not belong behind %q", item.Key, r.key))
	}
	r.key = item.Key
	r.stable++
	return item, nil
}
