package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"

	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
)

// A bbolt file begins with two pages, to which transactions write in turns. One that is not valid bbolt passes over in silence, and goes
// on with the other one: when it was the newer, what was acknowledged last is gone. No crash leaves one that is not, but for the
// creation of the file, since what counts of it lies in one sector.
//
//	16  u32  magic, in the machine's order of bytes, as all of it
//	20  u32  version
//	64  u64  transaction
//	72  u64  FNV-1a of the 56 bytes from 16 on
const (
	boltMagic       = 0xED0CDAED // wire format
	boltVersion     = 2          // wire format
	boltMagicOffset = 16         // wire format
	boltTxOffset    = 64         // wire format
	boltSumOffset   = 72         // wire format
	boltMetaEnd     = 80         // wire format
	boltFirstPages  = 4          // that a file has when it is created: these two, the freelist and an empty leaf
)

var errMeta = errors.New("this page says which transaction is the last, and is not valid; bbolt goes on with the other one, and what was acknowledged last may be missing")

// checkMeta finds out whether one of the two pages is not valid. The next transaction writes over it, so this is asked before there is one. A file
// that has nothing in it, and a page that its creation cannot have left as it is, has had something in it: to create the buckets would hide that.
// The creation leaves zeros where it was cut off, in a file that no transaction has made longer.
func (s *Store) checkMeta(tx *bbolt.Tx) error {
	size := int64(s.db.Info().PageSize)
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("boltstore: %w", err)
	}
	for _, page := range [2]int64{0, size} {
		meta := make([]byte, boltMetaEnd)
		if _, err := s.file.ReadAt(meta, page); err != nil {
			return fmt.Errorf("boltstore: reading the pages that %s begins with: %w", s.path, err)
		}
		if validMeta(meta) {
			continue
		}
		name, _ := tx.Cursor().First()
		if name == nil && info.Size() <= boltFirstPages*size && [boltMetaEnd]byte(meta) == [boltMetaEnd]byte{} {
			continue // its creation was cut off
		}
		s.damaged = &ballast.CorruptionError{Path: s.path, Offset: page, Err: errMeta}
		s.meter.Missed(s.damaged)
		if name == nil {
			return s.damaged
		}
	}
	return nil
}

// cutCreation adds to damage of a file in which there was no transaction yet what to do.
func (s *Store) cutCreation(err error) error {
	damage, ok := errors.AsType[*ballast.CorruptionError](err)
	if !ok || !s.isNew() {
		return err
	}
	return &ballast.CorruptionError{Path: damage.Path, Offset: damage.Offset, Err: fmt.Errorf("%w; %s", damage.Err, removeIt)}
}

// removeIt is said of a file that may be what is left of a creation.
const removeIt = "if its creation was cut off and nothing was ever stored, remove it"

// isNew reports whether the file is as long as when it was created, and its valid pages are those of the creation.
func (s *Store) isNew() bool {
	size := os.Getpagesize()
	if s.opts.Bolt != nil && s.opts.Bolt.PageSize > 0 {
		size = s.opts.Bolt.PageSize
	}
	info, err := os.Stat(s.path)
	if err != nil || info.Size() > int64(boltFirstPages*size) {
		return false
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		return false
	}
	valid := 0
	for page := range 2 {
		if at := page * size; len(data) >= at+boltMetaEnd && validMeta(data[at:at+boltMetaEnd]) {
			if binary.NativeEndian.Uint64(data[at+boltTxOffset:]) > 1 {
				return false
			}
			valid++
		}
	}
	return valid > 0
}

// hasMagic reports whether one of the two pages has bbolt's magic, in any order of bytes and with any size of pages.
func hasMagic(f *os.File) bool {
	for _, page := range [...]int64{0, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10} {
		var magic [4]byte
		_, err := f.ReadAt(magic[:], page+boltMagicOffset)
		if err == nil && (binary.LittleEndian.Uint32(magic[:]) == boltMagic || binary.BigEndian.Uint32(magic[:]) == boltMagic) {
			return true
		}
	}
	return false
}

// validMeta is what bbolt asks for.
func validMeta(meta []byte) bool {
	order, sum := binary.NativeEndian, fnv.New64a()
	sum.Write(meta[boltMagicOffset:boltSumOffset])
	return order.Uint32(meta[boltMagicOffset:]) == boltMagic && order.Uint32(meta[boltMagicOffset+4:]) == boltVersion &&
		order.Uint64(meta[boltSumOffset:]) == sum.Sum64()
}

// Damaged implements [ballast.DamageReporter]: one of the two pages which say what the last transaction is was not valid when the file was
// opened. It is the same until the store is opened again; after a write to a store that is not ReadOnly the file itself does not tell any more.
func (s *Store) Damaged() error {
	if s.damaged == nil {
		return nil
	}
	return s.damaged
}
