package raftwal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/boltmeta"
)

// A bbolt file is pages of one size; its integers are in the order of the machine that wrote it. Pages 0 and 1 say
// where the root is, see package boltmeta. bbolt itself is not asked for the values: on damaged pages it panics, follows circles
// until memory ends, and reads beside its memory map.
//
//	page
//	 0  u64  its number
//	 8  u16  kind
//	10  u16  elements
//	12  u32  pages that follow
//	16  the elements
//
//	element of a leaf              element of a branch
//	 0  u32  1 for a bucket         0  u32  key's offset
//	 4  u32  key's offset           4  u32  key's length
//	 8  u32  key's length           8  u64  page
//	12  u32  value's length
//
// Offsets count from the element; a value follows its key. A bucket's value is the page of its root, u64, and a sequence, u64. Where the
// page is 0, a leaf follows in the value itself.
const (
	branchPage   = 1 // wire format
	leafPage     = 2 // wire format
	bucketFlag   = 1 // wire format
	pageHeader   = 16
	branchBytes  = 16
	leafBytes    = 16
	bucketHeader = 16
)

var native = binary.NativeEndian

var (
	errPages   = errors.New("a page refers to one that is not there")
	errCircle  = errors.New("its pages refer to each other in a circle")
	errElement = errors.New("an element goes beyond its page")

	errPageSize = errors.New("bbolt has no pages of such a size")
)

// boltFile is a bbolt file in memory.
type boltFile struct {
	data     []byte
	pageSize uint64
	budget   int // bytes of elements, keys and values that may still be read; more than the file has is a circle
}

// element is one of a leaf.
type element struct {
	bucket     bool
	key, value []byte
}

// readBolt returns the values of raft-wal's two buckets.
func readBolt(data []byte) (state []byte, stable map[string][]byte, err error) {
	b := &boltFile{data: data}
	root, err := b.root()
	if err != nil {
		return nil, nil, err
	}
	buckets := map[string]map[string][]byte{}
	b.budget = 2 * len(data)
	err = b.walk(root, func(e element) error {
		if e.bucket && (string(e.key) == stableBucket || string(e.key) == metaBucket) {
			values := map[string][]byte{}
			buckets[string(e.key)] = values
			return b.bucket(e.value, values)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, nil, err
	case buckets[metaBucket] == nil && buckets[stableBucket] == nil:
		return nil, nil, fmt.Errorf("it is a bbolt file without the buckets of raft-wal: %w", ballast.ErrForeign)
	case buckets[metaBucket] == nil || buckets[stableBucket] == nil:
		return nil, nil, errors.New("one of raft-wal's two buckets is missing")
	}
	return buckets[metaBucket][metaKey], buckets[stableBucket], nil
}

// root returns the first page of the root bucket, of the newer transaction. Both metas have to be right: the older one may hold a vote
// that was changed since, and would be taken in silence. A meta lies in one sector, which is not torn by a crash.
func (b *boltFile) root() (page uint64, err error) {
	first, err := parseMeta(b.data)
	if err != nil {
		return 0, fmt.Errorf("page 0: %w", err)
	}
	b.pageSize = first.PageBytes
	if b.pageSize > uint64(len(b.data)) {
		return 0, errPages
	}
	second, err := parseMeta(b.data[b.pageSize:])
	switch {
	case err != nil:
		return 0, fmt.Errorf("page 1: %w", err)
	case second.PageBytes != first.PageBytes:
		return 0, errors.New("its two meta pages differ in the size of a page")
	case second.Transaction > first.Transaction:
		return second.Root, nil
	}
	return first.Root, nil
}

// parseMeta reads a meta page.
func parseMeta(b []byte) (boltmeta.Meta, error) {
	m, err := boltmeta.Parse(b)
	if err == nil && (m.PageBytes < boltmeta.MinPageBytes || m.PageBytes > boltmeta.MaxPageBytes) {
		err = errPageSize
	}
	return m, err
}

// bucket reads all values of a bucket into values. They are parts of the file.
func (b *boltFile) bucket(head []byte, values map[string][]byte) error {
	if len(head) < bucketHeader {
		return errElement
	}
	put := func(e element) error {
		if !e.bucket {
			values[string(e.key)] = e.value
		}
		return nil
	}
	if root := native.Uint64(head); root != 0 {
		return b.walk(root, put)
	}
	inline := head[bucketHeader:]
	if len(inline) < pageHeader || native.Uint16(inline[8:]) != leafPage {
		return errElement
	}
	return b.leaf(inline, put)
}

// walk calls f for each element of the leaves under a page.
func (b *boltFile) walk(root uint64, f func(element) error) error {
	for open := []uint64{root}; len(open) > 0; {
		page, err := b.page(open[len(open)-1])
		if err != nil {
			return err
		}
		open = open[:len(open)-1]
		if native.Uint16(page[8:]) == branchPage {
			open, err = b.branch(page, open)
		} else {
			err = b.leaf(page, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// page returns a page with those that belong to it.
func (b *boltFile) page(id uint64) ([]byte, error) {
	if id >= uint64(len(b.data))/b.pageSize {
		return nil, errPages
	}
	page := b.data[id*b.pageSize:]
	kind := native.Uint16(page[8:])
	if native.Uint64(page) != id || kind != branchPage && kind != leafPage {
		return nil, fmt.Errorf("page %d is not the one that it should be", id)
	}
	size := (1 + uint64(native.Uint32(page[12:]))) * b.pageSize
	if size > uint64(len(page)) {
		return nil, errPages
	}
	return page[:size], b.spend(pageHeader)
}

// spend counts what is read, so that no circle is followed for long.
func (b *boltFile) spend(n int) error {
	if b.budget -= n; b.budget < 0 {
		return errCircle
	}
	return nil
}

func (b *boltFile) branch(page []byte, open []uint64) ([]uint64, error) {
	count := int(native.Uint16(page[10:]))
	if pageHeader+count*branchBytes > len(page) {
		return nil, errElement
	}
	for i := range count {
		if err := b.spend(branchBytes); err != nil {
			return nil, err
		}
		open = append(open, native.Uint64(page[pageHeader+i*branchBytes+8:]))
	}
	return open, nil
}

func (b *boltFile) leaf(page []byte, f func(element) error) error {
	count := int(native.Uint16(page[10:]))
	if pageHeader+count*leafBytes > len(page) {
		return errElement
	}
	for i := range count {
		from := page[pageHeader+i*leafBytes:]
		flags := native.Uint32(from)
		pos, keyLen, valueLen := uint64(native.Uint32(from[4:])), uint64(native.Uint32(from[8:])), uint64(native.Uint32(from[12:]))
		end := pos + keyLen + valueLen
		if flags > bucketFlag || pos < leafBytes || end > uint64(len(from)) {
			return errElement
		}
		if err := b.spend(leafBytes + int(keyLen+valueLen)); err != nil {
			return err
		}
		if err := f(element{flags == bucketFlag, from[pos : pos+keyLen], from[pos+keyLen : end : end]}); err != nil {
			return err
		}
	}
	return nil
}

// sortedKeys returns copies of the keys in ascending order.
func sortedKeys(values map[string][]byte) [][]byte {
	out := make([][]byte, 0, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		out = append(out, []byte(key))
	}
	return out
}
