package vfs

import (
	"bytes"
	"io"
	"slices"
)

// A page is never changed once it is part of a content, so contents share pages.
type page [BlockBytes]byte

// zeroPage is the page of every block that takes space and holds zeros only. A hole is nil.
var zeroPage page

const chunkPages = 64

// chunk is a part of a content's table. It belongs to the one content that has the same tag, and nobody changes
// a chunk that belongs to another.
type chunk struct {
	tag   *tag
	pages [chunkPages]*page
}

type tag struct{ _ byte } // not of size 0, so that no two have one address

// zeroChunk is a chunk of zero pages for every content.
var zeroChunk = func() *chunk {
	c := &chunk{tag: new(tag)}
	for i := range c.pages {
		c.pages[i] = &zeroPage
	}
	return c
}()

// content is what is in a file. A copy of it costs nothing until one of the two is changed.
type content struct {
	size   int64
	blocks int64    // pages that are no holes
	chunks []*chunk // nil is a chunk of holes; nothing but holes lies beyond size
	tag    *tag     // nil: the table itself is shared
}

// share returns a copy.
func (c *content) share() content {
	c.tag = nil
	return *c
}

// newContent is the content of a file that holds data.
func newContent(data []byte) content {
	var c content
	c.size = int64(len(data))
	for i := int64(0); len(data) > 0; i++ {
		p := new(page)
		data = data[copy(p[:], data):]
		c.set(i, p)
	}
	return c
}

// own makes the table this content's alone, and long enough for n chunks.
func (c *content) own(n int64) {
	if c.tag == nil {
		c.tag = new(tag)
		c.chunks = slices.Clone(c.chunks)
	}
	if missing := n - int64(len(c.chunks)); missing > 0 {
		c.chunks = append(c.chunks, make([]*chunk, missing)...)
	}
}

// page returns page i, nil when it is a hole.
func (c *content) page(i int64) *page {
	k := i / chunkPages
	if k >= int64(len(c.chunks)) || c.chunks[k] == nil {
		return nil
	}
	return c.chunks[k].pages[i%chunkPages]
}

func (c *content) set(i int64, p *page) {
	old := c.page(i)
	if old == p {
		return
	}
	c.own(i/chunkPages + 1)
	at := &c.chunks[i/chunkPages]
	switch {
	case *at == nil:
		*at = &chunk{tag: c.tag}
	case (*at).tag != c.tag:
		*at = &chunk{tag: c.tag, pages: (*at).pages}
	}
	(*at).pages[i%chunkPages] = p
	if old == nil {
		c.blocks++
	}
	if p == nil {
		c.blocks--
	}
}

// holes counts the holes among n pages from first.
func (c *content) holes(first, n int64) int64 {
	count := int64(0)
	for i := first; i < first+n; {
		if k := i / chunkPages; k >= int64(len(c.chunks)) {
			return count + first + n - i
		} else if i%chunkPages == 0 && i+chunkPages <= first+n && c.chunks[k] == zeroChunk {
			i += chunkPages
			continue
		}
		if c.page(i) == nil {
			count++
		}
		i++
	}
	return count
}

// fill makes zero pages of the holes among n pages from first.
func (c *content) fill(first, n int64) {
	for i := first; i < first+n; {
		k := i / chunkPages
		if i%chunkPages == 0 && i+chunkPages <= first+n && (k >= int64(len(c.chunks)) || c.chunks[k] == nil) {
			c.own(k + 1)
			c.chunks[k] = zeroChunk
			c.blocks += chunkPages
			i += chunkPages
			continue
		}
		if c.page(i) == nil {
			c.set(i, &zeroPage)
		}
		i++
	}
}

// resize sets the size. What lies beyond it is gone also when the size is the same.
func (c *content) resize(size int64) {
	c.size = size
	pages := (size + BlockBytes - 1) / BlockBytes
	for i := pages; i%chunkPages != 0; i++ {
		c.set(i, nil)
	}
	if keep := (pages + chunkPages - 1) / chunkPages; keep < int64(len(c.chunks)) {
		for _, k := range c.chunks[keep:] {
			c.blocks -= k.blocks()
		}
		c.own(0)
		clear(c.chunks[keep:])
		c.chunks = c.chunks[:keep]
	}
	if last := c.page(size / BlockBytes); last != nil && size%BlockBytes != 0 {
		p := new(page)
		copy(p[:size%BlockBytes], last[:])
		if *p != *last {
			c.set(size/BlockBytes, p)
		}
	}
}

func (k *chunk) blocks() int64 {
	if k == nil {
		return 0
	}
	n := int64(0)
	for _, p := range k.pages {
		if p != nil {
			n++
		}
	}
	return n
}

// readAt is that of io.ReaderAt for an offset that is not negative.
func (c *content) readAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) && off < c.size {
		p := c.page(off / BlockBytes)
		if p == nil {
			p = &zeroPage
		}
		from := off % BlockBytes
		m := copy(b[n:], p[from:min(BlockBytes, from+c.size-off)])
		n += m
		off += int64(m)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// newPages copies bufs, each a multiple of the page.
func newPages(bufs [][]byte) []*page {
	var pages []*page
	for _, b := range bufs {
		for ; len(b) > 0; b = b[BlockBytes:] {
			p := &zeroPage
			if !bytes.Equal(b[:BlockBytes], zeroPage[:]) {
				p = new(page)
				copy(p[:], b)
			}
			pages = append(pages, p)
		}
	}
	return pages
}
