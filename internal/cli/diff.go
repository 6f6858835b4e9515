package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
	"github.com/spf13/cobra"
)

const diffLong = `Compares the logs of two peers, or of one before and after it was moved to another engine, and shows
the first index at which they differ in term, type, data or extensions.

Entries that only one of them has at the front are no difference: peers compact their logs at
different times. Entries that only one has at the end are told and are no difference either: the
other one has not got them yet. Nor is a gap, which is told as well: raft leaves one when it installs a
snapshot. With --strict each of these is a difference: for a log and its copy.

Of a wal that several raft groups share, --group names the one that is compared; a store that is no wal
has one group, and that is taken.

With --json it is one object: a and b with store, first_index and last_index; equal; compared, how many
entries both have; differ with the index, in what, and term, type, data_bytes and data_sha256 of both;
gaps with the store that has no entries which the other one has, and from where to where; longer with
the store that goes on and from where to where; damaged, what was passed over, and damage for which what
a store acknowledged last may be missing.

` + exitHelp

const diffExample = `  ballast diff /var/lib/app-1/raft /var/lib/app-2/raft
  ballast diff --strict bolt:/var/lib/app/raft.db wal:/var/lib/app/wal
  ballast diff --group 7 wal:node-1/shared wal:node-2/shared
  ballast diff --json wal:peer-1 wal:peer-2 | jq .differ.index`

func newDiff(s streams) *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:     "diff STORE STORE",
		Short:   "Compare the logs of two peers",
		Long:    diffLong,
		Example: diffExample,
		Args:    func(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, 2, "two stores") },
		RunE:    func(_ *cobra.Command, args []string) error { return runDiff(s, args[0], args[1], f) },
	}
	f.group.add(cmd)
	cmd.Flags().BoolVar(&f.strict, "strict", false, "what only one of them has is a difference")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one object of JSON")
	return cmd
}

type diffFlags struct {
	group        groupFlag
	strict, json bool
}

// comparison is what `ballast diff --json` prints.
type comparison struct {
	A        side         `json:"a"`
	B        side         `json:"b"`
	Equal    bool         `json:"equal"`
	Compared uint64       `json:"compared"` // entries that both have
	Differ   *difference  `json:"differ,omitempty"`
	Gaps     []sideRange  `json:"gaps"` // between entries; the store is the one that has none there
	Longer   *sideRange   `json:"longer,omitempty"`
	Damaged  []damageJSON `json:"damaged"` // passed over; without an index, for which the end of a log may be missing

	atFront *sideRange // that only one has, where that is a difference
}

type side struct {
	Store      outside `json:"store"`
	Group      *uint64 `json:"group,omitempty"`
	FirstIndex uint64  `json:"first_index"`
	LastIndex  uint64  `json:"last_index"`

	label string
}

// difference is the first index at which two logs differ.
type difference struct {
	Index uint64     `json:"index"`
	In    []string   `json:"in"` // term, type, data, extensions
	A     *shortJSON `json:"a"`
	B     *shortJSON `json:"b"`
}

// shortJSON is an entry without its data.
type shortJSON struct {
	Term      uint64 `json:"term"`
	Type      string `json:"type"`
	DataBytes int    `json:"data_bytes"`
	SHA256    string `json:"data_sha256"`

	log *raft.Log
}

// sideRange are indexes of one of the two.
type sideRange struct {
	Store outside `json:"store"`
	indexRange
}

func newSide(src *source) side {
	return side{Store: src.exactName(), Group: src.engine.group.json(), label: src.String()}
}

func runDiff(s streams, nameA, nameB string, f diffFlags) (err error) {
	a, err := openOneGroup(nameA, f.group)
	if err != nil {
		return err
	}
	defer closing(a, &err)
	b, err := openOneGroup(nameB, f.group)
	if err != nil {
		return err
	}
	defer closing(b, &err)
	c := &comparison{A: newSide(a), B: newSide(b), Gaps: []sideRange{}, Damaged: []damageJSON{}}
	for _, src := range []*source{a, b} {
		if damage := src.damageJSON(); damage != nil {
			c.Damaged = append(c.Damaged, *damage)
		}
	}
	if err := c.compare(s, a, b); err != nil {
		return err
	}
	if f.strict && !c.same() {
		c.Equal, c.atFront = false, c.front()
	}
	if f.json {
		err = writeJSON(s.out, c)
	} else {
		err = c.write(s.out)
	}
	switch {
	case err != nil:
		return err
	case c.Differ != nil:
		return exitStatus(ExitDiffer)
	case len(c.Damaged) > 0:
		return exitStatus(ExitCorrupt)
	case f.strict && !c.Equal:
		return exitStatus(ExitDiffer)
	case !c.Equal:
		return fmt.Errorf("%s and %s have no index in common, so nothing could be compared", a, b)
	}
	return nil
}

// compare goes through what both logs have.
func (c *comparison) compare(s streams, a, b *source) (err error) {
	if c.A.FirstIndex, c.A.LastIndex, err = a.bounds(); err != nil {
		return err
	}
	if c.B.FirstIndex, c.B.LastIndex, err = b.bounds(); err != nil {
		return err
	}
	from, to := max(c.A.FirstIndex, c.B.FirstIndex), min(c.A.LastIndex, c.B.LastIndex)
	r := newReading(s, from, to)
	defer r.finish()
	p := pair{a: a.cursor(from, to), b: b.cursor(from, to), lost: make(map[*cursor][]indexRange)}
	for {
		switch done, err := p.step(); {
		case err != nil:
			return err
		case done:
			c.finish(&p)
			return nil
		}
		if c.Differ = p.differ(); c.Differ != nil {
			c.finish(&p)
			return nil
		}
		r.at(p.index())
	}
}

// finish notes what is known when all is compared.
func (c *comparison) finish(p *pair) {
	c.Compared = p.compared
	c.Damaged = append(c.Damaged, p.damaged...)
	for _, r := range p.notA {
		c.Gaps = append(c.Gaps, sideRange{c.A.Store, r})
	}
	for _, r := range p.notB {
		c.Gaps = append(c.Gaps, sideRange{c.B.Store, r})
	}
	switch a, b := c.A.LastIndex, c.B.LastIndex; {
	case a > b:
		c.Longer = &sideRange{c.A.Store, indexRange{max(b+1, c.A.FirstIndex), a}}
	case b > a:
		c.Longer = &sideRange{c.B.Store, indexRange{max(a+1, c.B.FirstIndex), b}}
	}
	c.Equal = c.Differ == nil && len(c.Damaged) == 0 && (c.Compared > 0 || c.A.LastIndex == 0 && c.B.LastIndex == 0)
}

// same reports whether neither has an entry that the other one has not.
func (c *comparison) same() bool {
	return c.A.FirstIndex == c.B.FirstIndex && c.A.LastIndex == c.B.LastIndex && len(c.Gaps) == 0
}

// front returns what only one of them has before the first entry of the other one, nil for nothing.
func (c *comparison) front() *sideRange {
	switch a, b := c.A, c.B; {
	case a.FirstIndex == 0 || b.FirstIndex == 0 || a.FirstIndex == b.FirstIndex:
		return nil
	case a.FirstIndex < b.FirstIndex:
		return &sideRange{a.Store, indexRange{a.FirstIndex, min(b.FirstIndex-1, a.LastIndex)}}
	default:
		return &sideRange{b.Store, indexRange{b.FirstIndex, min(a.FirstIndex-1, b.LastIndex)}}
	}
}

// pair goes through two logs side by side.
type pair struct {
	a, b       *cursor
	inA, inB   *raft.Log // the next ones; nil at the end
	readA      bool      // inA is up to date
	readB      bool
	compared   uint64
	damaged    []damageJSON
	lost       map[*cursor][]indexRange // what is damaged in each, not to be compared
	notA, notB []indexRange             // that only the other one has
}

// step reads the next entry of both, or of the one that is behind. It reports true at the end of both.
func (p *pair) step() (done bool, err error) {
	if !p.readA {
		if p.inA, err = p.next(p.a); err != nil {
			return false, err
		}
	}
	if !p.readB {
		if p.inB, err = p.next(p.b); err != nil {
			return false, err
		}
	}
	p.readA, p.readB = true, true
	return p.inA == nil && p.inB == nil, nil
}

// next returns the next entry that can be read, nil at the end.
func (p *pair) next(c *cursor) (*raft.Log, error) {
	for {
		log, err := c.step()
		damage, corrupt := damageOf(err)
		switch {
		case corrupt:
			p.damaged = append(p.damaged, damage)
			p.lost[c] = addRange(p.lost[c], damage.entries())
		case err == io.EOF:
			return nil, nil
		default:
			return log, err
		}
	}
}

// index is that of the entry that is compared.
func (p *pair) index() uint64 {
	switch {
	case p.inA == nil && p.inB == nil:
		return 0
	case p.inA == nil:
		return p.inB.Index
	case p.inB == nil:
		return p.inA.Index
	}
	return min(p.inA.Index, p.inB.Index)
}

// differ compares the entries of the lowest index, and has the next step read behind it.
func (p *pair) differ() *difference {
	index := p.index()
	var inA, inB *raft.Log
	if p.inA != nil && p.inA.Index == index {
		inA, p.readA = p.inA, false
	}
	if p.inB != nil && p.inB.Index == index {
		inB, p.readB = p.inB, false
	}
	switch {
	case inA != nil && inB != nil:
	case within(p.lost[p.a], index), within(p.lost[p.b], index):
		return nil
	case inA == nil:
		p.notA = addIndex(p.notA, index)
		return nil
	case inB == nil:
		p.notB = addIndex(p.notB, index)
		return nil
	}
	p.compared++
	in := differences(inA, inB)
	if len(in) == 0 {
		return nil
	}
	return &difference{Index: index, In: in, A: newShortJSON(inA), B: newShortJSON(inB)}
}

// differences names what two entries of an index differ in. When they were appended is the leader's clock, and no content.
func differences(a, b *raft.Log) (in []string) {
	if a.Term != b.Term {
		in = append(in, "term")
	}
	if a.Type != b.Type {
		in = append(in, "type")
	}
	if !bytes.Equal(a.Data, b.Data) {
		in = append(in, "data")
	}
	if !bytes.Equal(a.Extensions, b.Extensions) {
		in = append(in, "extensions")
	}
	return in
}

func newShortJSON(log *raft.Log) *shortJSON {
	sum := sha256.Sum256(log.Data)
	return &shortJSON{Term: log.Term, Type: typeName(log.Type), DataBytes: len(log.Data), SHA256: hex.EncodeToString(sum[:]), log: log}
}
