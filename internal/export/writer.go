package export

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/zstd"
)

// Writer writes a store to a file: its entries in ascending order, then its stable values in the order of their keys. It is for
// one goroutine. After an error the file is of no use.
type Writer struct {
	w       io.Writer // and hash
	hash    hash.Hash
	encoder *zstd.Encoder

	number  uint64 // of the next block
	kind    byte   // of the records in content
	content []byte

	entries, stable uint64
}

// NewWriter begins a file.
func NewWriter(w io.Writer, store Store) (*Writer, error) {
	encoder, err := newEncoder()
	if err != nil {
		return nil, err
	}
	out := &Writer{hash: sha256.New(), encoder: encoder}
	out.w = io.MultiWriter(w, out.hash)
	if _, err := out.w.Write(fileHeader()); err != nil {
		return nil, err
	}
	b := binary.LittleEndian.AppendUint64(nil, store.FirstIndex)
	b = binary.LittleEndian.AppendUint64(b, store.LastIndex)
	b = binary.LittleEndian.AppendUint64(b, store.CommitIndex)
	return out, out.block(blockStore, append(b, store.Engine...))
}

// Entry adds an entry, whose index is above that of the one before.
func (w *Writer) Entry(log *raft.Log) error {
	if err := w.record(blockEntries, entryBytes+len(log.Data)+len(log.Extensions)); err != nil {
		return fmt.Errorf("entry %d: %w", log.Index, err)
	}
	flags := byte(0)
	if log.Data != nil {
		flags |= flagData
	}
	if log.Extensions != nil {
		flags |= flagExtensions
	}
	b := w.content
	b = binary.LittleEndian.AppendUint64(b, log.Index)
	b = binary.LittleEndian.AppendUint64(b, log.Term)
	b = binary.LittleEndian.AppendUint64(b, uint64(log.AppendedAt.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(log.AppendedAt.Nanosecond()))
	b = append(b, byte(log.Type), flags, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(log.Data)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(log.Extensions)))
	w.content = append(append(b, log.Data...), log.Extensions...)
	w.entries++
	return nil
}

// Stable adds a stable value.
func (w *Writer) Stable(key, value []byte) error {
	if err := w.record(blockStable, stableBytes+len(key)+len(value)); err != nil {
		return fmt.Errorf("the stable value %q: %w", key, err)
	}
	b := binary.LittleEndian.AppendUint32(w.content, uint32(len(key)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
	w.content = append(append(b, key...), value...)
	w.stable++
	return nil
}

// Close ends the file, which is complete then. It does not close what the file is written to.
func (w *Writer) Close() error {
	if err := w.flush(); err != nil {
		return err
	}
	b := binary.LittleEndian.AppendUint64(nil, w.entries)
	b = binary.LittleEndian.AppendUint64(b, w.stable)
	return w.block(blockEnd, w.hash.Sum(b))
}

// record makes room for a record of n bytes in a block of a kind.
func (w *Writer) record(kind byte, n int) error {
	if n > maxBytes {
		return errors.New("it is larger than a block can be")
	}
	if w.kind == kind && len(w.content)+n <= fullBytes {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.kind = kind
	return nil
}

func (w *Writer) flush() error {
	if len(w.content) == 0 {
		return nil
	}
	err := w.block(w.kind, w.content)
	if w.content = w.content[:0]; cap(w.content) > 2*fullBytes {
		w.content = nil
	}
	return err
}

// block writes one block, compressed where that makes it smaller.
func (w *Writer) block(kind byte, content []byte) error {
	h := blockHeader{kind: kind, number: w.number, raw: uint32(len(content))}
	stored := content
	if kind == blockEntries || kind == blockStable {
		if small := w.encoder.EncodeAll(content, nil); len(small) < len(content) && believed(h.raw, uint32(len(small))) {
			h.compression, stored = compressed, small
		}
	}
	h.stored, h.sum = uint32(len(stored)), crc32.Checksum(stored, castagnoli)
	w.number++
	if _, err := w.w.Write(h.encode()); err != nil {
		return err
	}
	_, err := w.w.Write(stored)
	return err
}
