package vfs

import (
	"math/rand/v2"
	"slices"
)

// node is a file of [Mem], whatever its names are.
type node struct {
	now content // what every call sees

	// pending is what has changed since durable and may be lost in a power cut, in order. Without any, durable is
	// not looked at and everything in now is durable.
	pending []change
	durable content

	// fixed is how many changes of the size among the pending ones are durable, the first ones.
	fixed int

	opens int // open files
	links int // names: more than 1 by [Mem.Link] only
}

// change is one of: a size set, pages written, holes filled.
type change struct {
	kind  changeKind
	size  int64   // of a resize
	first int64   // page of a write and a fill
	n     int64   // pages of a fill
	pages []*page // of a write

	// torn is a write that failed: a power cut leaves any sectors of it. Other writes are durable; they are among the
	// pending changes because they came behind one that is not.
	torn bool
}

type changeKind uint8

const (
	resized changeKind = iota
	written
	filled
)

func (c *change) apply(to *content) {
	switch c.kind {
	case resized:
		to.resize(c.size)
	case filled:
		to.fill(c.first, c.n)
	case written:
		for i, p := range c.pages {
			to.set(c.first+int64(i), p)
		}
	}
}

// change makes a change. A write that is durable, and a fill, which nobody can see, are pending only where they
// depend on what is.
func (n *node) change(c change) {
	if len(n.pending) > 0 || c.kind == resized || c.torn {
		if len(n.pending) == 0 {
			n.durable = n.now.share()
		}
		n.pending = append(n.pending, c)
	}
	c.apply(&n.now)
}

// grow makes the file at least size bytes long.
func (n *node) grow(size int64) {
	if size > n.now.size {
		n.change(change{kind: resized, size: size})
	}
}

// sync makes durable what there is, but for writes that failed: the system may believe that it has written
// them, and then it does not try again. Who needs them writes them again.
func (n *node) sync() {
	if !slices.ContainsFunc(n.pending, func(c change) bool { return c.torn }) {
		n.settle()
		return
	}
	n.fixed = n.resizes()
}

// settle makes everything durable.
func (n *node) settle() { n.pending, n.durable, n.fixed = nil, content{}, 0 }

// resizes counts the pending changes of the size.
func (n *node) resizes() int {
	count := 0
	for i := range n.pending {
		if n.pending[i].kind == resized {
			count++
		}
	}
	return count
}

// clone returns the same file for another Mem, where nobody has it open.
func (n *node) clone() *node {
	return &node{
		now: n.now.share(), durable: n.durable.share(), pending: slices.Clip(n.pending), fixed: n.fixed, links: n.links,
	}
}

// crash returns the file as it is after a power cut. Sizes come back in the order in which they were set: the
// file has one of them.
func (n *node) crash(rng *rand.Rand) *node {
	if len(n.pending) == 0 {
		return &node{now: n.now.share(), links: 1}
	}
	out := &node{now: n.durable.share(), links: 1}
	kept := n.fixed + rng.IntN(n.resizes()-n.fixed+1)
	size := out.now.size
	for _, c := range n.pending {
		if c.kind == resized {
			if kept == 0 {
				continue
			}
			kept--
			size = c.size
		}
		if c.torn {
			c.tear(&out.now, rng)
			continue
		}
		c.apply(&out.now)
	}
	out.now.resize(size)
	return out
}

const pageSectors = BlockBytes / SectorBytes

// tear applies some sectors of a write.
func (c *change) tear(to *content, rng *rand.Rand) {
	keep := choose(rng, len(c.pages)*pageSectors)
	for i, p := range c.pages {
		at := c.first + int64(i)
		old := to.page(at)
		mixed := new(page)
		if old != nil {
			*mixed = *old
		}
		kept := 0
		for s := range pageSectors {
			if keep(i*pageSectors + s) {
				copy(mixed[s*SectorBytes:(s+1)*SectorBytes], p[s*SectorBytes:])
				kept++
			}
		}
		switch kept {
		case 0:
		case pageSectors:
			to.set(at, p)
		default:
			to.set(at, mixed)
		}
	}
}

// choose returns which of n things a power cut keeps. Each is kept or not by itself, but as coins alone would hardly
// ever keep or lose all of many things, the plain cases have a share of their own.
func choose(rng *rand.Rand, n int) func(i int) bool {
	at := rng.IntN(n + 1)
	switch rng.IntN(8) {
	case 0:
		return func(int) bool { return true }
	case 1:
		return func(int) bool { return false }
	case 2:
		return func(i int) bool { return i < at }
	case 3:
		return func(i int) bool { return i >= at }
	case 4:
		return func(i int) bool { return i == at }
	case 5:
		return func(i int) bool { return i != at }
	}
	return func(int) bool { return rng.Uint64()&1 == 0 }
}
