package cli

import (
	"errors"
	"fmt"
	"io"
	"math"
	"syscall"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// cursor goes through the entries of a store in ascending order.
type cursor struct {
	src  *source
	next uint64 // where it goes on
	to   uint64 // the last index of interest
	done bool

	unread int // entries, one behind the other, that the disk did not read
}

// maxUnread is how many entries that the disk does not read are passed over, one behind the other: a disk that is dead takes seconds
// for each.
const maxUnread = 1000

// unreadable reports whether an error is the disk's, which has lost what it should read.
func unreadable(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EBADMSG)
}

func (s *source) cursor(from, to uint64) *cursor {
	return &cursor{src: s, next: max(from, 1), to: to, done: to == 0}
}

// step returns the next entry, which is the caller's. It returns io.EOF behind the last one, a *ballast.CorruptionError for
// an entry that is damaged or that the disk does not read, and an *unfoundError for several; then the next step goes on behind it. After
// any other error the cursor is at its end.
func (c *cursor) step() (*raft.Log, error) {
	for !c.done && c.next <= c.to {
		index, err := c.src.NextIndex(c.next)
		if damage, ok := errors.AsType[*ballast.CorruptionError](err); ok {
			return nil, c.pass(damage)
		}
		if err != nil {
			c.done = true
			return nil, fmt.Errorf("looking for the entry behind %d: %w", c.next-1, err)
		}
		if index == 0 || index > c.to {
			break
		}
		log, err := c.read(index)
		if log == nil && err == nil {
			continue // the peer has deleted it meanwhile
		}
		c.next = index + 1
		c.done = index == math.MaxUint64 || err != nil && !errors.Is(err, ballast.ErrCorrupt)
		return log, err
	}
	c.done = true
	return nil, io.EOF
}

// unfoundError is damage for which it cannot be told which entries there are from one index to another.
type unfoundError struct {
	damage *ballast.CorruptionError
	at     indexRange
}

func (e *unfoundError) Error() string { return newDamage(e.damage, e.at).line() }

func (e *unfoundError) Unwrap() error { return e.damage }

// fineness is how small a piece that can be read is seen when it has damage on both sides: a part of what was passed over before it.
const fineness = 64

// pass goes on with the lowest index from which on the store tells again which entry is next. A page of bbolt that is damaged hides all that is in it, or below
// it, and what is behind can be read.
func (c *cursor) pass(damage *ballast.CorruptionError) error {
	last, err := c.src.LastIndex()
	if err != nil {
		c.done = true
		return fmt.Errorf("looking for the last entry: %w", err)
	}
	from, to := c.next, min(c.to, last)
	hidden, seen := from, from
	for found := false; !found; {
		if hidden = seen; hidden >= to {
			c.done = true
			return &unfoundError{damage, indexRange{from, hidden}}
		}
		seen += min(max(1, (hidden-from)/fineness), to-hidden)
		found = c.tells(seen)
	}
	for seen-hidden > 1 {
		if middle := hidden + (seen-hidden)/2; c.tells(middle) {
			seen = middle
		} else {
			hidden = middle
		}
	}
	c.next = seen
	return &unfoundError{damage, indexRange{from, hidden}}
}

// tells reports whether the store tells which entry is the next at an index.
func (c *cursor) tells(index uint64) bool {
	_, err := c.src.NextIndex(index)
	return err == nil
}

// read returns an entry that there is; nil and nil when there is none any more.
func (c *cursor) read(index uint64) (*raft.Log, error) {
	log := new(raft.Log)
	err := c.src.GetLog(index, log)
	damage, corrupt := errors.AsType[*ballast.CorruptionError](err)
	switch {
	case corrupt && damage.Index != index:
		return nil, &ballast.CorruptionError{Path: damage.Path, Offset: damage.Offset, Index: index, Err: damage.Err}
	case corrupt:
		return nil, damage
	case errors.Is(err, raft.ErrLogNotFound):
		return nil, c.missing(index)
	case unreadable(err) && c.unread < maxUnread:
		c.unread++
		return nil, &ballast.CorruptionError{Path: c.src.path, Offset: -1, Index: index, Err: err}
	case err != nil:
		return nil, fmt.Errorf("reading entry %d: %w", index, err)
	case log.Index != index:
		return nil, &ballast.CorruptionError{Path: c.src.path, Offset: -1, Index: index, Err: fmt.Errorf("it comes back as entry %d", log.Index)}
	}
	c.unread = 0
	return log, nil
}

// missing tells an entry that was deleted meanwhile from one that the store has and does not find.
func (c *cursor) missing(index uint64) error {
	again, err := c.src.NextIndex(index)
	if err == nil && again == index {
		return &ballast.CorruptionError{Path: c.src.path, Offset: -1, Index: index, Err: errors.New("the store has it and does not find it")}
	}
	return nil
}

// scan calls found for each entry from one index to another, and damaged for those that cannot be read. It ends early with the
// error that one of them returns.
func (s *source) scan(r *reading, from, to uint64, found func(*raft.Log) error, damaged func(damageJSON) error) error {
	defer r.finish()
	for c := s.cursor(from, to); ; {
		log, err := c.step()
		damage, corrupt := damageOf(err)
		switch {
		case err == io.EOF:
			return nil
		case corrupt:
			r.finish() // what is told may go to the same terminal
			err = damaged(damage)
		case err == nil:
			err = found(log)
		}
		if err != nil {
			return err
		}
		r.at(c.next)
	}
}

// damageOf returns the damage that step has met: of one entry, or of several.
func damageOf(err error) (damageJSON, bool) {
	if several, ok := errors.AsType[*unfoundError](err); ok {
		return newDamage(several.damage, several.at), true
	}
	damage, ok := errors.AsType[*ballast.CorruptionError](err)
	if !ok {
		return damageJSON{}, false
	}
	return newDamageJSON(damage), true
}

// bounds returns the first and the last index, 0 for an empty log.
func (s *source) bounds() (first, last uint64, err error) {
	if first, err = s.FirstIndex(); err != nil {
		return 0, 0, err
	}
	last, err = s.LastIndex()
	return first, last, err
}
