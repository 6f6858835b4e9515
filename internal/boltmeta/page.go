package boltmeta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A page is followed by those that it overflows into; its integers are in the order of the machine
// that wrote it.
//
//	page
//	 0  u64  its number
//	 8  u16  kind
//	10  u16  elements
//	12  u32  pages that it overflows into
//	16  the elements, and behind them their keys and values, without a gap
//
//	element of a leaf              element of a branch
//	 0  u32  1 for a bucket         0  u32  key's offset
//	 4  u32  key's offset           4  u32  key's length
//	 8  u32  key's length           8  u64  page
//	12  u32  value's length
//
// Offsets count from the element; a value follows its key. A bucket's value is the page of its
// root, u64, and a sequence, u64. Where the page is 0, a leaf follows in the value itself.
const (
	branchPage   = 0x01 // wire format
	leafPage     = 0x02 // wire format
	freelistPage = 0x10 // wire format
	bucketFlag   = 1    // wire format
	pageHeader   = 16
	elementBytes = 16
	bucketHeader = 16
	firstPage    = 2     // behind the two that say what the last transaction is
	maxKeyBytes  = 32768 // bbolt takes no longer ones
)

// What is wrong with a page.
var (
	errNoPage   = errors.New("there is no page of that number")
	errNumber   = errors.New("it has the number of another page")
	errKind     = errors.New("it is neither a branch nor a leaf")
	errTwice    = errors.New("it belongs to two places of the tree")
	errDeep     = errors.New("the pages refer to each other in a circle")
	errEmpty    = errors.New("it is not the root, and holds nothing")
	errElement  = errors.New("an element goes beyond its page")
	errOrder    = errors.New("its keys are not in their order")
	errOverflow = errors.New("it overflows into more or less pages than it needs")
	errCount    = errors.New("it says that nothing is in it, and something is")
	errFlags    = errors.New("an element has flags that are not known")
	errBucket   = errors.New("what says where a bucket is cannot be right")
	errList     = errors.New("it is not the list of the free pages that it should be")
)

// A PageError says which page is damaged.
type PageError struct {
	Page uint64
	Err  error
}

func (e *PageError) Error() string { return fmt.Sprintf("page %d: %v", e.Page, e.Err) }
func (e *PageError) Unwrap() error { return e.Err }

// Pages reads the pages of a file, as of one transaction. Either Data or File is set. It may be
// used by one goroutine at a time, Data by all.
type Pages struct {
	PageBytes uint64
	Count     uint64      // how many pages there are
	Data      []byte      // the file in memory
	File      io.ReaderAt // or the file
}

// at returns bytes of the file, in buf where that is large enough. Nobody may write to them.
func (p *Pages) at(buf []byte, offset, n uint64) ([]byte, error) {
	if p.File == nil {
		if end := uint64(len(p.Data)); offset > end || n > end-offset {
			return nil, errNoPage
		}
		return p.Data[offset : offset+n], nil
	}
	if uint64(cap(buf)) < n {
		buf = make([]byte, max(n, p.PageBytes))
	}
	_, err := p.File.ReadAt(buf[:n], int64(offset))
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = errNoPage
	}
	return buf[:n], err
}

// page is one page, or the leaf of a bucket that lies in a value.
type page struct {
	pages *Pages
	begin uint64 // in the file
	size  uint64 // in bytes, with what it overflows into
	head  []byte // the begin of it, at least all elements
	leaf  bool
	count int

	inValue bool // the leaf of a bucket that lies in a value
}

// page reads a page of the tree. Its elements lie in it; their keys and values are not looked at.
func (p *Pages) page(buf []byte, id uint64) (page, error) {
	out := page{pages: p, begin: id * p.PageBytes}
	if id < firstPage || id >= p.Count {
		return out, errNoPage
	}
	head, err := p.at(buf, out.begin, p.PageBytes)
	if err != nil {
		return out, err
	}
	order := binary.NativeEndian
	kind, overflow := order.Uint16(head[8:]), uint64(order.Uint32(head[12:]))
	switch {
	case order.Uint64(head) != id:
		return out, errNumber
	case kind != branchPage && kind != leafPage:
		return out, errKind
	case overflow >= p.Count-id:
		return out, errOverflow
	}
	out.leaf, out.count = kind == leafPage, int(order.Uint16(head[10:]))
	out.size = (1 + overflow) * p.PageBytes
	elements := out.elementsEnd()
	if elements > out.size {
		return out, errElement
	}
	if elements > uint64(len(head)) {
		head, err = p.at(head, out.begin, elements)
	}
	out.head = head
	return out, err
}

// inline returns the leaf in the value of a bucket, which begins at an offset of the file.
func (p *Pages) inline(value []byte, begin uint64) (page, error) {
	order := binary.NativeEndian
	out := page{pages: p, begin: begin, size: uint64(len(value)), head: value, leaf: true, inValue: true}
	if len(value) < pageHeader || order.Uint16(value[8:]) != leafPage || order.Uint32(value[12:]) != 0 {
		return out, errBucket
	}
	out.count = int(order.Uint16(value[10:]))
	if out.elementsEnd() > out.size {
		return out, errElement
	}
	return out, nil
}

func (p *page) elementsEnd() uint64 { return pageHeader + uint64(p.count)*elementBytes }

// element is one of a page. The offset of its key counts from the begin of the page.
type element struct {
	flags, pos, key, value uint64
	child                  uint64 // of a branch
}

func (p *page) element(i int) element {
	order, at := binary.NativeEndian, pageHeader+i*elementBytes
	b := p.head[at : at+elementBytes]
	if !p.leaf {
		return element{pos: uint64(at) + uint64(order.Uint32(b)), key: uint64(order.Uint32(b[4:])), child: order.Uint64(b[8:])}
	}
	return element{
		flags: uint64(order.Uint32(b)), pos: uint64(at) + uint64(order.Uint32(b[4:])),
		key: uint64(order.Uint32(b[8:])), value: uint64(order.Uint32(b[12:])),
	}
}

// check returns an error for an element that goes beyond its page, or that bbolt cannot have
// written.
func (p *page) check(e element) error {
	switch {
	case e.pos < p.elementsEnd() || e.key == 0 || e.key > maxKeyBytes || e.pos+e.key+e.value > p.size:
		return errElement
	case e.flags > bucketFlag:
		return errFlags
	case !p.leaf && (e.child < firstPage || e.child >= p.pages.Count):
		return &PageError{Page: e.child, Err: errNoPage}
	}
	return nil
}

// bytes returns bytes of the page.
func (p *page) bytes(buf []byte, offset, n uint64) ([]byte, error) {
	if offset+n <= uint64(len(p.head)) {
		return p.head[offset : offset+n], nil
	}
	return p.pages.at(buf, p.begin+offset, n)
}

// packed returns an error unless the page is as long as what is in it, which ends at an offset. Old
// versions of bolt took one more where that is a number of whole pages. Where nothing is in it,
// nothing was: bbolt fills pages up with zeros.
func (p *page) packed(end uint64) error {
	if size := p.pages.PageBytes; p.size/size < (end+size-1)/size || p.size/size > end/size+1 {
		return errOverflow
	}
	if rest := p.head[pageHeader:]; p.count == 0 && bytes.Count(rest, []byte{0}) != len(rest) {
		return errCount
	}
	return nil
}
