package logcache

import (
	"io"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// closer closes the store behind a cache. The cache forgets first, so that from then on it is the
// store that answers every call, with its own error once it is closed.
type closer struct {
	of    *cache
	store io.Closer
}

// Close closes the store.
func (c closer) Close() error {
	c.of.shut()
	return c.store.Close()
}

// What a store has besides a log and an Inspector, as bits.
const (
	hasCommit = 1 << iota
	hasStable
	hasCloser
)

// optional holds that; nil for what a store has not.
type optional struct {
	have int // the bits

	commit ballast.CommitTracker
	stable raft.StableStore
	closer closer
}

// withOptional returns c as a type that has the optional interfaces of its store and no other. A type
// assertion sees nothing but what the type has, so there is one type for each combination.
func withOptional(c *cache) Cache {
	var o optional
	var ok bool
	if o.commit, ok = c.store.(ballast.CommitTracker); ok {
		o.have |= hasCommit
	}
	if o.stable, ok = c.store.(raft.StableStore); ok {
		o.have |= hasStable
	}
	o.closer.of = c
	if o.closer.store, ok = c.store.(io.Closer); ok {
		o.have |= hasCloser
	}
	if inspector, ok := c.store.(ballast.Inspector); ok {
		return withInspector(inspected{c, inspector}, o)
	}
	return withoutInspector(c, o)
}

// withoutInspector adds the interfaces of o to c.
func withoutInspector(c *cache, o optional) Cache {
	switch o.have {
	case hasCommit:
		return struct {
			*cache
			ballast.CommitTracker
		}{c, o.commit}
	case hasStable:
		return struct {
			*cache
			raft.StableStore
		}{c, o.stable}
	case hasCommit | hasStable:
		return struct {
			*cache
			ballast.CommitTracker
			raft.StableStore
		}{c, o.commit, o.stable}
	case hasCloser:
		return struct {
			*cache
			closer
		}{c, o.closer}
	case hasCommit | hasCloser:
		return struct {
			*cache
			ballast.CommitTracker
			closer
		}{c, o.commit, o.closer}
	case hasStable | hasCloser:
		return struct {
			*cache
			raft.StableStore
			closer
		}{c, o.stable, o.closer}
	case hasCommit | hasStable | hasCloser:
		return struct {
			*cache
			ballast.CommitTracker
			raft.StableStore
			closer
		}{c, o.commit, o.stable, o.closer}
	}
	return c
}

// inspected is the cache of a store that is a ballast.Inspector.
type inspected struct {
	*cache
	ballast.Inspector
}

// withInspector adds the interfaces of o to c.
func withInspector(c inspected, o optional) Cache {
	switch o.have {
	case hasCommit:
		return struct {
			inspected
			ballast.CommitTracker
		}{c, o.commit}
	case hasStable:
		return struct {
			inspected
			raft.StableStore
		}{c, o.stable}
	case hasCommit | hasStable:
		return struct {
			inspected
			ballast.CommitTracker
			raft.StableStore
		}{c, o.commit, o.stable}
	case hasCloser:
		return struct {
			inspected
			closer
		}{c, o.closer}
	case hasCommit | hasCloser:
		return struct {
			inspected
			ballast.CommitTracker
			closer
		}{c, o.commit, o.closer}
	case hasStable | hasCloser:
		return struct {
			inspected
			raft.StableStore
			closer
		}{c, o.stable, o.closer}
	case hasCommit | hasStable | hasCloser:
		return struct {
			inspected
			ballast.CommitTracker
			raft.StableStore
			closer
		}{c, o.commit, o.stable, o.closer}
	}
	return c
}
