package stores

import "github.com/hashicorp/raft"

func init() {
	register(Kind{Name: "InmemStore", Rank: 80, Module: "github.com/hashicorp/raft", Memory: true, Keeps: true, Note: "not durable: in memory",
		Open: func(string, Options) (Store, error) { return inmem{raft.NewInmemStore()}, nil }})
}

// inmem has a Close.
type inmem struct{ *raft.InmemStore }

func (inmem) Close() error { return nil }
