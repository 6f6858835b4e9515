package cluster

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// leftovers reads what the stopped peers have in their stores: every entry is there from the snapshot on and can be read, and up to
// what was applied the peers have the same ones. At or below a snapshot that the leader sent, raft leaves what was there before,
// also a gap, and entries that were never committed.
func leftovers(engine string, dirs map[string]string, index uint64) (entries int, err error) {
	sums := map[uint64]uint32{}
	for _, id := range peerIDs {
		n, err := leftover(engine, dirs[id], index, sums)
		if err != nil {
			return entries, fmt.Errorf("reading what %s left: %w", id, err)
		}
		entries += n
	}
	return entries, nil
}

func leftover(engine, dir string, index uint64, sums map[uint64]uint32) (entries int, err error) {
	store, err := engines[engine](dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	first, last, err := bounds(store)
	if err != nil {
		return 0, err
	}
	restored, err := lastSnapshot(dir)
	if err != nil {
		return 0, err
	}
	if first > restored+1 || last < index && restored < index {
		return 0, fmt.Errorf("the log has %d to %d and the snapshot ends at %d, but %d was applied", first, last, restored, index)
	}
	for i := max(first, 1); i <= last; i++ {
		var l raft.Log
		if err := store.GetLog(i, &l); errors.Is(err, raft.ErrLogNotFound) && i <= restored {
			continue
		} else if err != nil {
			return entries, fmt.Errorf("entry %d of %d to %d: %w", i, first, last, err)
		}
		entries++
		if l.Type == raft.LogCommand {
			if _, err := decode(l.Data); err != nil {
				return entries, fmt.Errorf("entry %d: %w", i, err)
			}
		}
		if i <= restored || i > index {
			continue
		}
		sum := crc32.Checksum(fmt.Appendf(l.Data[:len(l.Data):len(l.Data)], "%d %d", l.Term, l.Type), castagnoli)
		if other, seen := sums[i]; seen && other != sum {
			return entries, fmt.Errorf("entry %d, of term %d, is not what another peer has", i, l.Term)
		}
		sums[i] = sum
	}
	return entries, nil
}

func bounds(store ballast.Store) (first, last uint64, err error) {
	if first, err = store.FirstIndex(); err != nil {
		return 0, 0, err
	}
	last, err = store.LastIndex()
	return first, last, err
}

func lastSnapshot(dir string) (uint64, error) {
	files, err := raft.NewFileSnapshotStore(dir, retainedSnapshots, io.Discard)
	if err != nil {
		return 0, err
	}
	all, err := files.List()
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[0].Index, nil
}
