package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/raft-ballast/ballast"
)

// A grave says that every entry from lo to hi of that version or an older one was deleted. It is what
// deletes: the keys are removed besides, for their space and for raft-badger.
//
// It is needed since badger's garbage collection writes a value that it moves under its old version into
// the newest level. A deletion that lies deeper is dropped by a later compaction that does not see it,
// and the deleted entry would be back.
type grave struct{ lo, hi, version uint64 }

// graves are disjoint and ascending.
type graves []grave

// maxGraves bounds the record. More than a few need deletions in the middle of the log, which raft
// never makes; the oldest is let go then.
const maxGraves = 1024

// bury returns a copy of g in which the entries from lo to hi are deleted up to version.
func (g graves) bury(lo, hi, version uint64) graves {
	out := make(graves, 0, len(g)+2)
	for _, old := range g {
		if old.lo < lo {
			out = append(out, grave{old.lo, min(old.hi, lo-1), old.version})
		}
		if old.hi > hi {
			out = append(out, grave{max(old.lo, hi+1), old.hi, old.version})
		}
	}
	out = append(out, grave{lo, hi, version})
	slices.SortFunc(out, func(a, b grave) int {
		if a.lo < b.lo {
			return -1
		}
		return 1
	})
	for len(out) > maxGraves {
		oldest := 0
		for i := range out {
			if out[i].version < out[oldest].version {
				oldest = i
			}
		}
		out = slices.Delete(out, oldest, oldest+1)
	}
	return out
}

// dead reports whether the entry of that index and version was deleted.
func (g graves) dead(index, version uint64) bool {
	i := sort.Search(len(g), func(i int) bool { return g[i].hi >= index })
	return i < len(g) && g[i].lo <= index && version <= g[i].version
}

// newest returns the highest version, 0 for none.
func (g graves) newest() (version uint64) {
	for _, one := range g {
		version = max(version, one.version)
	}
	return version
}

// The record: one byte of version, one of flags, then lo, hi and version of each, big-endian.
const (
	gravesVersion = 1
	gravesPending = 1 // flag: keys of deleted entries are still there
	graveBytes    = 24
)

func (g graves) encode(pending bool) []byte {
	out := make([]byte, 2, 2+graveBytes*len(g))
	out[0] = gravesVersion
	if pending {
		out[1] = gravesPending
	}
	for _, one := range g {
		out = binary.BigEndian.AppendUint64(out, one.lo)
		out = binary.BigEndian.AppendUint64(out, one.hi)
		out = binary.BigEndian.AppendUint64(out, one.version)
	}
	return out
}

func decodeGraves(b []byte) (g graves, pending bool, err error) {
	if len(b) < 2 || (len(b)-2)%graveBytes != 0 {
		return nil, false, errors.New("the record of deletions has a wrong length")
	}
	if b[0] != gravesVersion {
		return nil, false, fmt.Errorf("record of deletions, version %d: %w", b[0], ballast.ErrUnknownVersion)
	}
	pending = b[1]&gravesPending != 0
	next := uint64(0)
	for b = b[2:]; len(b) > 0; b = b[graveBytes:] {
		one := grave{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
		if one.lo < next || one.hi < one.lo || (next == 0 && len(g) > 0) {
			return nil, false, errors.New("the record of deletions is out of order")
		}
		g = append(g, one)
		next = one.hi + 1
		if one.hi == math.MaxUint64 {
			next = 0
		}
	}
	return g, pending, nil
}
