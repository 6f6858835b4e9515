package boltmeta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sort"
	"sync/atomic"
)

// maxDepth is how many pages, or buckets, may be below each other. A tree has two children at least
// at each branch.
const maxDepth = 64

// A walk goes through the pages of a tree before bbolt does, which on damaged ones panics, also in
// goroutines of its own, follows circles until the stack ends, and takes memory for each page that
// one says it overflows into.
type walk struct {
	pages  *Pages
	strict bool     // also what bbolt relies on when it writes: the order of keys, and the extent of pages
	nested bool     // into the buckets in the tree
	top    bool     // it is the root bucket, in which there are buckets only
	seen   []uint64 // a bit for each page that was come by; nil where that is not asked
	way    *Way     // nil where that is not asked
	alone  bool     // without the pages beside the way
	known  *Known
	unsure bool     // the keys of a branch on the way are not in their order
	bufs   [][]byte // for each depth one
	keys   [2][]byte
}

// Check reads all pages of the bucket with that root page, and of the buckets in it, and finds what
// bbolt stumbles over when it reads all of them, or writes.
func (p *Pages) Check(root uint64) error {
	w := walk{pages: p, strict: true, nested: true, seen: make([]uint64, p.Count/64+1)}
	return w.tree(root, all, bounds{root: true}, 0)
}

// CheckTop is Check of the root bucket without the pages of the buckets in it.
func (p *Pages) CheckTop(root uint64) error {
	w := walk{pages: p, strict: true, top: true, seen: make([]uint64, p.Count/64+1)}
	return w.tree(root, all, bounds{root: true}, 0)
}

// CheckShape is Check without the order of keys, and without the buckets in the bucket: bbolt can
// read all of it.
func (p *Pages) CheckShape(root uint64) error {
	w := walk{pages: p, seen: make([]uint64, p.Count/64+1)}
	return w.tree(root, all, bounds{root: true}, 0)
}

// CheckRange is Check of the pages with the keys from one to another one, and of those beside them.
func (p *Pages) CheckRange(root uint64, from, to []byte) error {
	w := walk{pages: p, strict: true}
	return w.tree(root, span{from: from, to: to}, bounds{root: true}, 0)
}

// Way is which keys have the same way from the root: those from the first one on that are below the
// second one, both parts of the file. nil is for no such bound.
type Way struct {
	From, Below []byte
	Last        []byte // the last key of the leaf that they lead to; bbolt goes on to the next leaf for one that comes behind it
}

// Known are the pages that were looked at. One that bbolt writes anew is sound, so it stays known.
// All goroutines may use it.
type Known struct{ bits []atomic.Uint64 }

// NewKnown returns one of a file with that many pages. Those that it gets later are bbolt's, and
// known.
func NewKnown(pages uint64) *Known { return &Known{make([]atomic.Uint64, pages/64+1)} }

func (k *Known) has(id uint64) bool {
	return k != nil && (id/64 >= uint64(len(k.bits)) || k.bits[id/64].Load()&(1<<(id%64)) != 0)
}

func (k *Known) add(id uint64) {
	if k != nil && id/64 < uint64(len(k.bits)) {
		k.bits[id/64].Or(1 << (id % 64))
	}
}

// CheckWay is CheckShape of the pages on the way to a key and, where that is asked, of those on the
// ways to the leaves beside it; without those that are known. Known may be nil.
func (p *Pages) CheckWay(root uint64, key []byte, beside bool, known *Known) (Way, error) {
	w := walk{pages: p, way: &Way{}, alone: !beside, known: known}
	err := w.tree(root, span{from: key, to: key}, bounds{root: true}, 0)
	if w.unsure {
		w.way.From, w.way.Below = key, append(bytes.Clone(key), 0)
	}
	return *w.way, err
}

// span is which children of a branch are gone to: those which have the keys between two, and one on
// each side.
type span struct {
	from, to    []byte // nil for none
	first, last bool   // only the way to the first, or to the last key
}

var all = span{}

// bounds are what a page's parent says of its keys.
type bounds struct {
	root      bool
	low, high []byte // the first key, and one that all are below; nil for unknown
}

func (b bounds) outside(key []byte) bool {
	return b.low != nil && bytes.Compare(key, b.low) < 0 || b.high != nil && bytes.Compare(key, b.high) >= 0
}

func damaged(id uint64, err error) error {
	if _, known := errors.AsType[*PageError](err); err == nil || known {
		return err
	}
	return &PageError{Page: id, Err: err}
}

// tree checks the page with that number and, where it is a branch, what is below.
func (w *walk) tree(id uint64, s span, b bounds, depth int) error {
	if depth >= maxDepth {
		return damaged(id, errDeep)
	}
	for len(w.bufs) <= depth {
		w.bufs = append(w.bufs, nil)
	}
	p, err := w.pages.page(w.bufs[depth], id)
	if w.pages.File != nil {
		w.bufs[depth] = p.head
	}
	if err == nil {
		err = w.count(id, p)
	}
	if err == nil && w.way != nil && p.leaf && p.count > 0 && s.from != nil && w.inPage(&p, p.count-1) == nil {
		w.way.Last, err = p.key(p.count - 1)
	}
	switch {
	case err != nil || p.leaf && w.known.has(id):
	case p.count == 0 && (!b.root || !p.leaf):
		err = errEmpty
	case p.leaf:
		if err = w.leaf(&p, b, depth); err == nil {
			w.known.add(id)
		}
	default:
		err = w.branch(&p, id, s, b, depth)
	}
	return damaged(id, err)
}

// count notes the page and those that it overflows into.
func (w *walk) count(id uint64, p page) error {
	if w.seen == nil {
		return nil
	}
	for end := id + p.size/w.pages.PageBytes; id < end; id++ {
		if w.seen[id/64]&(1<<(id%64)) != 0 {
			return &PageError{Page: id, Err: errTwice}
		}
		w.seen[id/64] |= 1 << (id % 64)
	}
	return nil
}

func (w *walk) branch(p *page, id uint64, s span, b bounds, depth int) error {
	if !w.known.has(id) {
		unsure := w.unsure
		if err := w.elements(p, b); err != nil {
			return err
		}
		if w.unsure == unsure {
			w.known.add(id)
		}
	}
	from, to, err := s.children(p)
	if err != nil {
		return err
	}
	if w.way != nil && s.from != nil {
		if w.way.From, err = p.key(from); err == nil && from < p.count-1 {
			w.way.Below, err = p.key(from + 1)
		}
		if err != nil {
			return err
		}
	}
	for i := from; i <= to; i++ {
		below := span{first: s.first, last: s.last}
		if i == from {
			below.from = s.from
		}
		if i == to {
			below.to = s.to
		}
		if err := w.child(p, i, below, b, depth); err != nil {
			return err
		}
	}
	if w.alone || s.first || s.last {
		return nil
	}
	if from > 0 {
		err = w.child(p, from-1, span{last: true}, b, depth)
	}
	if err == nil && to < p.count-1 {
		err = w.child(p, to+1, span{first: true}, b, depth)
	}
	return err
}

// child goes on with the child of a branch.
func (w *walk) child(p *page, i int, s span, b bounds, depth int) (err error) {
	below := bounds{high: b.high}
	if w.strict || w.way != nil {
		if below.low, err = p.key(i); err == nil && i < p.count-1 {
			below.high, err = p.key(i + 1)
		}
		if err != nil {
			return err
		}
	}
	return w.tree(p.element(i).child, s, below, depth+1)
}

// inPage is check of one element.
func (w *walk) inPage(p *page, i int) error { return p.check(p.element(i)) }

// key returns a key, which is valid as long as the file is.
func (p *page) key(i int) ([]byte, error) {
	e := p.element(i)
	k, err := p.bytes(nil, e.pos, e.key)
	if p.pages.File != nil { // a buffer for other pages
		k = bytes.Clone(k)
	}
	return k, err
}

// children returns which children are gone to. It finds them as bbolt does, also where keys are not
// in their order.
func (s span) children(p *page) (from, to int, err error) {
	from, to = 0, p.count-1
	find := func(key []byte) int {
		exact := false
		i := sort.Search(p.count, func(i int) bool {
			e := p.element(i)
			k, e2 := p.bytes(nil, e.pos, e.key)
			err = errors.Join(err, e2)
			order := bytes.Compare(k, key)
			exact = exact || order == 0
			return order >= 0
		})
		if !exact && i > 0 {
			i--
		}
		return min(i, p.count-1)
	}
	switch {
	case s.first:
		return 0, 0, nil
	case s.last:
		return to, to, nil
	}
	if s.from != nil {
		from = find(s.from)
	}
	if s.to != nil {
		to = max(from, find(s.to))
	}
	return from, to, err
}

func (w *walk) leaf(p *page, b bounds, depth int) error {
	if err := w.elements(p, b); err != nil || !w.strict {
		return err
	}
	for i := range p.count {
		e := p.element(i)
		switch {
		case e.flags == bucketFlag:
			if err := w.bucket(p, e, depth); err != nil {
				return err
			}
		case w.top:
			return errBucket
		}
	}
	return nil
}

// elements checks what bbolt relies on: keys and values lie one behind the other, the page is as
// long as they need, and, when something is written, the keys ascend, from the one that the parent
// has for the page.
func (w *walk) elements(p *page, b bounds) error {
	end, outside := p.elementsEnd(), 0
	var before []byte
	for i := range p.count {
		e := p.element(i)
		if err := p.check(e); err != nil {
			return err
		}
		if e.pos != end {
			return errElement
		}
		end += e.key + e.value
		if !w.strict && (w.way == nil || p.leaf && i > 0 && i < p.count-1) {
			continue
		}
		k, err := p.bytes(w.keys[i%2], e.pos, e.key)
		if err != nil {
			return err
		}
		if p.pages.File != nil && e.pos+e.key > uint64(len(p.head)) {
			w.keys[i%2] = k // a buffer of ours
		}
		if b.outside(k) {
			outside++
		}
		if outside > 0 || i == 0 && b.low != nil && !bytes.Equal(k, b.low) ||
			before != nil && bytes.Compare(before, k) >= 0 {
			if w.strict {
				return errOrder
			}
			w.unsure = true
		}
		before = k
	}
	if outside >= min(p.count, 2) && p.count > 0 { // not one key is damaged: it is another page
		return errOrder
	}
	if p.inValue {
		return nil
	}
	return p.packed(end)
}

// bucket checks what an element says of a bucket, and goes on in it.
func (w *walk) bucket(p *page, e element, depth int) error {
	if e.value < bucketHeader {
		return errBucket
	}
	head, err := p.bytes(nil, e.pos+e.key, bucketHeader)
	if err != nil {
		return err
	}
	root := binary.NativeEndian.Uint64(head)
	switch {
	case root != 0 && (root < firstPage || root >= w.pages.Count || e.value != bucketHeader):
		return errBucket
	case root != 0 && w.nested:
		return w.tree(root, all, bounds{root: true}, depth+1)
	case root != 0:
		return nil
	}
	value, err := p.bytes(nil, e.pos+e.key, e.value)
	if err != nil {
		return err
	}
	in, err := w.pages.inline(value[bucketHeader:], p.begin+e.pos+e.key+bucketHeader)
	if err != nil {
		return err
	}
	for i := range in.count {
		if in.element(i).flags != 0 { // bbolt lays no bucket with one in it into a value
			return errBucket
		}
	}
	return w.elements(&in, bounds{})
}

// CheckFreelist reads the list of free pages, which bbolt hands out again, and frees with the next
// transaction.
func (p *Pages) CheckFreelist(id, root uint64) error {
	return damaged(id, p.freelist(id, root))
}

func (p *Pages) freelist(id, root uint64) error {
	if id < firstPage || id >= p.Count {
		return errNoPage
	}
	order := binary.NativeEndian
	head, err := p.at(nil, id*p.PageBytes, pageHeader+8)
	if err != nil {
		return err
	}
	count, begin := uint64(order.Uint16(head[10:])), uint64(pageHeader)
	overflow := uint64(order.Uint32(head[12:]))
	if count == 1<<16-1 { // the first number says how many there are
		count, begin = order.Uint64(head[pageHeader:]), pageHeader+8
	}
	size := (1 + overflow) * p.PageBytes
	switch {
	case order.Uint64(head) != id:
		return errNumber
	case order.Uint16(head[8:]) != freelistPage:
		return errList
	case overflow >= p.Count-id, count >= p.Count, begin+8*count > size:
		return errOverflow
	case overflow > (begin+8*(count+overflow+3))/p.PageBytes+1: // it may have become shorter by its own pages
		return errOverflow
	}
	list, err := p.at(nil, id*p.PageBytes+begin, 8*count)
	if err != nil {
		return err
	}
	seen := make([]uint64, p.Count/64+1)
	for ; len(list) > 0; list = list[8:] {
		free := order.Uint64(list)
		own := free == root || free >= id && free <= id+overflow
		if free < firstPage || free >= p.Count || own || seen[free/64]&(1<<(free%64)) != 0 {
			return errList
		}
		seen[free/64] |= 1 << (free % 64)
	}
	return nil
}
