package powercut

import (
	"fmt"
	"math/bits"
	"slices"
	"sync"
)

const (
	// SectorBytes is what a disk writes as a whole: after a power cut a sector is as before or as after.
	SectorBytes = 512

	pageBytes   = 4096
	pageSectors = pageBytes / SectorBytes
	wholePage   = 1<<pageSectors - 1
)

// A page is never changed once it is part of a disk, so disks share pages. A nil page holds zeros.
type page [pageBytes]byte

var zeros page

// part is what a write does to one page.
type part struct {
	page  int
	mask  uint8 // bit i: sector i of the page was written
	after *page // the page as it was then
}

// units says which sectors are written as one when page i becomes p, as a mask; nil is for none. Some file systems have places that do not
// stand to be torn.
type units func(i int, p *page) uint8

// Disk is the content of a disk, in memory. It knows what a power cut may take away: what was written since the last flush. All
// methods may be called by any goroutine at any time.
type Disk struct {
	mu      sync.Mutex
	now     []*page  // what is read
	durable []*page  // as of the last flush
	pending [][]part // the writes since then, in order
	units   units

	// hook is called, with the lock held, in each write when it is pending already and in each flush before it takes effect: the
	// moments at which a cut makes a difference.
	hook func()
}

// NewDisk returns a disk of zeros; bytes is a multiple of 4 KiB.
func NewDisk(bytes int64) *Disk {
	n := bytes / pageBytes
	return &Disk{now: make([]*page, n), durable: make([]*page, n)}
}

// Bytes returns the size of the disk.
func (d *Disk) Bytes() int64 { return int64(len(d.now)) * pageBytes }

// ReadAt fills b with what is at off. Beyond the end of the disk is an error.
func (d *Disk) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(b)) > d.Bytes() {
		return 0, fmt.Errorf("read of %d bytes at %d of a disk of %d", len(b), off, d.Bytes())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for n := 0; n < len(b); {
		at := off + int64(n)
		p := d.now[at/pageBytes]
		if p == nil {
			p = &zeros
		}
		n += copy(b[n:], p[at%pageBytes:])
	}
	return len(b), nil
}

// WriteAt writes b at off, both in whole sectors. A power cut may take any of it away, until the next flush.
func (d *Disk) WriteAt(b []byte, off int64) (int, error) {
	err := d.write(off, int64(len(b)), func(p *page, from, to int64, at int64) {
		copy(p[from:to], b[at-off:])
	})
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// Zero writes n zeros at off.
func (d *Disk) Zero(off, n int64) error {
	return d.write(off, n, func(p *page, from, to int64, _ int64) { clear(p[from:to]) })
}

// write changes n bytes from off on: fill sets the bytes of a page between from and to, which are those of the disk from at on.
func (d *Disk) write(off, n int64, fill func(p *page, from, to, at int64)) error {
	if off < 0 || n < 0 || n > d.Bytes() || off > d.Bytes()-n || off%SectorBytes != 0 || n%SectorBytes != 0 {
		return fmt.Errorf("write of %d bytes at %d of a disk of %d", n, off, d.Bytes())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	parts := make([]part, 0, n/pageBytes+2)
	for at := off; at < off+n; {
		i, from := at/pageBytes, at%pageBytes
		to := min(pageBytes, from+off+n-at)
		p := new(page)
		if old := d.now[i]; old != nil && to-from < pageBytes {
			*p = *old
		}
		fill(p, from, to, at)
		if *p == zeros {
			p = nil
		}
		d.now[i] = p
		mask := uint8(1<<(to/SectorBytes) - 1<<(from/SectorBytes))
		parts = append(parts, part{page: int(i), mask: mask, after: p})
		at += to - from
	}
	d.pending = append(d.pending, parts)
	d.call()
	return nil
}

// Flush makes durable what was written.
func (d *Disk) Flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.call()
	for _, parts := range d.pending {
		for _, p := range parts {
			d.durable[p.page] = d.now[p.page]
		}
	}
	d.pending = nil
}

func (d *Disk) call() {
	if d.hook != nil {
		d.hook()
	}
}

// setHook replaces the hook; nil is none.
func (d *Disk) setHook(hook func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hook = hook
}

// unit returns the sectors that are written as one in any of some writes to a page.
func (d *Disk) unit(writes ...part) (mask uint8) {
	if d.units == nil {
		return 0
	}
	for _, p := range writes {
		if p.after != nil {
			mask |= d.units(p.page, p.after)
		}
	}
	return mask
}

// patch makes of the sectors in mask of a page what they are in p.
func patch(pages []*page, p part, mask uint8) {
	switch mask {
	case 0:
		return
	case wholePage:
		pages[p.page] = p.after
		return
	}
	next, after := new(page), p.after
	if old := pages[p.page]; old != nil {
		*next = *old
	}
	if after == nil {
		after = &zeros
	}
	for ; mask != 0; mask &= mask - 1 {
		from := bits.TrailingZeros8(mask) * SectorBytes
		copy(next[from:from+SectorBytes], after[from:])
	}
	pages[p.page] = next
}

// with returns a disk with other content, all of it durable.
func (d *Disk) with(pages []*page) *Disk {
	return &Disk{now: pages, durable: slices.Clone(pages), units: d.units}
}
