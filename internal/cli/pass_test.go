package cli

import (
	"errors"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/memstore"
)

// hiding is a store that does not tell which entry is the next in some ranges, as bbolt with damaged pages.
type hiding struct {
	readStore
	hidden []indexRange
}

func (h *hiding) NextIndex(index uint64) (uint64, error) {
	if within(h.hidden, index) {
		return 0, &ballast.CorruptionError{Path: "raft.db", Offset: -1, Err: errors.New("a page is damaged")}
	}
	return h.readStore.NextIndex(index)
}

// What is hidden is told as it is, and all that is around it is found.
func TestHiddenEntries(t *testing.T) {
	const top = math.MaxUint64
	upTo := func(from, to uint64) (list []uint64) {
		for index := from; ; index++ {
			if list = append(list, index); index == to {
				return list
			}
		}
	}
	for name, c := range map[string]struct {
		has    []uint64
		hidden []indexRange
		to     uint64
		told   []indexRange
	}{
		"one":                     {upTo(1, 9), []indexRange{{4, 4}}, top, []indexRange{{4, 4}}},
		"the first":               {upTo(1, 9), []indexRange{{1, 3}}, top, []indexRange{{1, 3}}},
		"the last":                {upTo(1, 9), []indexRange{{8, 9}}, top, []indexRange{{8, 9}}},
		"all":                     {upTo(5, 9), []indexRange{{0, top}}, top, []indexRange{{5, 9}}},
		"several":                 {upTo(1, 900), []indexRange{{4, 7}, {9, 300}, {302, 302}, {310, 900}}, top, []indexRange{{4, 7}, {9, 300}, {302, 302}, {310, 900}}},
		"more than is wanted":     {upTo(1, 900), []indexRange{{4, 700}}, 10, []indexRange{{4, 10}}},
		"nothing that is wanted":  {upTo(1, 900), []indexRange{{11, 700}}, 10, nil},
		"a large part":            {append(upTo(1, 9), upTo(1<<40, 1<<40+9)...), []indexRange{{5, 1<<40 + 3}}, top, []indexRange{{5, 1<<40 + 3}}},
		"with a gap in it":        {[]uint64{1, 2, 50, 90}, []indexRange{{2, 60}}, top, []indexRange{{2, 60}}},
		"up to the highest index": {upTo(top-5, top), []indexRange{{top - 2, top}}, top, []indexRange{{top - 2, top}}},
		"below the highest index": {upTo(top-5, top), []indexRange{{top - 2, top - 1}}, top, []indexRange{{top - 2, top - 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			store := memstore.New()
			var want []uint64
			for _, index := range c.has {
				must(t, store.StoreLog(&raft.Log{Index: index, Term: 1}))
				if !within(c.hidden, index) && index <= c.to {
					want = append(want, index)
				}
			}
			src := &source{place{path: "raft.db"}, &hiding{store, c.hidden}}
			var found []uint64
			var told []indexRange
			for cur, n := src.cursor(c.has[0], c.to), 0; ; n++ {
				log, err := cur.step()
				if err == io.EOF || n > 2*len(c.has) {
					break
				}
				if damage, ok := damageOf(err); ok {
					told = append(told, damage.entries())
				} else if must(t, err); true {
					found = append(found, log.Index)
				}
			}
			if !slices.Equal(found, want) || !slices.Equal(told, c.told) {
				t.Errorf("%d are found, want %d; told are %v, want %v", len(found), len(want), told, c.told)
			}
		})
	}
}

// Damage to entries that follow one another is one line.
func TestDamageLines(t *testing.T) {
	at := func(offset int64) *int64 { return &offset }
	damaged := []damageJSON{
		{Index: 3, File: "a", Offset: at(10), Cause: "x"}, {Index: 4, File: "a", Offset: at(20), Cause: "x"},
		{Index: 5, File: "b", Cause: "x"}, {Index: 6, To: 9, File: "b", Cause: "y"}, {Index: 10, File: "b", Cause: "x"},
		{Index: 12, File: "b", Cause: "x"}, {File: "b", Cause: "z"}, {File: "b", Cause: "z"},
		{Index: 1, File: "b", Cause: "x"}, // the first of all does not follow what has no index
	}
	want := []string{
		"damaged: entries 3 to 4 in a from offset 10 to 20: x", "damaged: entries 5 to 10 in b: x; and others, see --json",
		"damaged: entry 12 in b: x", "damaged: b: z", "damaged: b: z", "damaged: entry 1 in b: x",
	}
	if got := damageLines(damaged); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
