package powercut

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// Cut returns the disk as it may be after a power cut at this moment, and says how that was chosen. Everything up to the last flush
// is there, and of what was written later some of the sectors; one that was written several times is as it was after any of these
// writes, or before. d is left as it is.
//
// How a disk loses its cache differs from one to the next, and so does what hurts: one write that is missing among many, or many that
// are missing. So there are several ways to choose.
func (d *Disk) Cut(rng *rand.Rand) (*Disk, string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cut(rng)
}

// cut is Cut for the hook.
func (d *Disk) cut(rng *rand.Rand) (*Disk, string) {
	pages := slices.Clone(d.durable)
	n := len(d.pending)
	var how string
	switch way := rng.IntN(10); {
	case n == 0:
		how = "nothing was written since the flush"
	case way == 0:
		how = fmt.Sprintf("none of %d writes since the flush", n)
	case way == 1:
		pages = slices.Clone(d.now)
		how = fmt.Sprintf("all of %d writes since the flush", n)
	case way < 4:
		torn := rng.IntN(n)
		for _, parts := range d.pending[:torn] {
			apply(pages, parts)
		}
		d.tear(pages, d.pending[torn], rng)
		how = fmt.Sprintf("%d of %d writes since the flush in order, and a part of one", torn, n)
	case way == 4:
		without := rng.IntN(n)
		for i, parts := range d.pending {
			if i != without {
				apply(pages, parts)
			}
		}
		how = fmt.Sprintf("all of %d writes since the flush but the one numbered %d", n, without+1)
	case way < 7:
		share := rng.Float64()
		for _, parts := range d.pending {
			if rng.Float64() < share {
				apply(pages, parts)
			}
		}
		how = fmt.Sprintf("each of %d writes since the flush with probability %.2f", n, share)
	default:
		share := rng.Float64()
		d.scatter(pages, rng, share)
		how = fmt.Sprintf("each sector of %d writes since the flush with probability %.2f", n, share)
	}
	return d.with(pages), how
}

func apply(pages []*page, parts []part) {
	for _, p := range parts {
		patch(pages, p, p.mask)
	}
}

// tear applies some sectors of a write.
func (d *Disk) tear(pages []*page, parts []part, rng *rand.Rand) {
	for _, p := range parts {
		mask := uint8(rng.Uint32())
		if unit := d.unit(p); mask&unit != 0 {
			mask |= unit
		}
		patch(pages, p, p.mask&mask)
	}
}

// scatter chooses for each sector that was written: as the last write has left it, with probability share, or as any one before has.
func (d *Disk) scatter(pages []*page, rng *rand.Rand, share float64) {
	writes := make(map[int][]part)
	for _, parts := range d.pending {
		for _, p := range parts {
			writes[p.page] = append(writes[p.page], p)
		}
	}
	for _, i := range slices.Sorted(maps.Keys(writes)) {
		masks := make([]uint8, len(writes[i])) // which sectors are taken from which write
		unit := d.unit(writes[i]...)
		for done := uint8(0); done != wholePage; {
			bits := ^done & (done + 1) // the next sector
			if bits&unit != 0 {
				bits = unit
			}
			done |= bits
			if j := choose(writes[i], bits, rng, share); j >= 0 {
				masks[j] |= bits
			}
		}
		for j, p := range writes[i] {
			patch(pages, p, p.mask&masks[j])
		}
	}
}

// choose returns the write that sectors of a page are taken from, -1 for none.
func choose(writes []part, bits uint8, rng *rand.Rand, share float64) int {
	of := []int{-1}
	for j, p := range writes {
		if p.mask&bits != 0 {
			of = append(of, j)
		}
	}
	last := len(of) - 1
	if last == 0 || rng.Float64() < share {
		return of[last]
	}
	return of[rng.IntN(last)]
}
