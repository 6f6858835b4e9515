// Package ballast is the contract of a durable home for a hashicorp/raft peer:
// its log and its stable state.
//
// # Usage
//
// Open one engine and hand it to raft twice, as the log and as the stable store:
//
//	store, err := wal.Open("/var/lib/app/wal", nil)
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	r, err := raft.NewRaft(config, fsm, store, store, snapshots, transport)
//
// The engines are in packages of their own, so that a service builds only what it uses:
//
//   - wal, the default, is a write-ahead log of its own.
//   - boltstore keeps one bbolt file, interchangeable with raft-boltdb v2.
//   - badgerstore keeps one badger directory, interchangeable with raft-badger.
//   - memstore keeps everything in memory, for tests.
//
// Package logcache puts a cache in front of any raft.LogStore, and package storetest proves
// that a store, anybody's, keeps the contract.
//
// # Guarantees
//
// Every engine keeps the promises that are written on [Store]. In short: what a call has
// acknowledged is on the disk before the call returns (memstore has no disk); a batch is there
// as a whole or not at all; gaps, overwrites and deletions of any range are legal; what is
// handed in or out is never shared; damage is a [*CorruptionError] and never the end of the log.
//
// # Layout
//
//	store.go       Store and the optional interfaces that tools use
//	errors.go      the sentinels and the typed errors
//	copy.go        Copy, from any raft store into any other
//	copyverify.go  VerifyCopy, whether the one is what the other is
//
// Imports flow one way: cmd, internal/cli, the engines, this package. This package imports no engine.
package ballast
