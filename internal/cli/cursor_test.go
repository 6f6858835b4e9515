package cli

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/memstore"
)

// brokenDisk is a store on a disk that does not read some entries.
type brokenDisk struct {
	readStore
	unread func(index uint64) bool
}

func (b *brokenDisk) GetLog(index uint64, log *raft.Log) error {
	if b.unread(index) {
		return fmt.Errorf("wal: reading a segment: %w", &fs.PathError{Op: "read", Path: "segment", Err: syscall.EIO})
	}
	return b.readStore.GetLog(index, log)
}

// Entries that the disk does not read are told like damaged ones, and those behind them are read; a disk that reads nothing at all ends it.
func TestBrokenDisk(t *testing.T) {
	store := memstore.New()
	for index := uint64(1); index <= 3*maxUnread; index++ {
		must(t, store.StoreLog(&raft.Log{Index: index, Term: 1}))
	}
	scan := func(unread func(uint64) bool) (found, told []uint64, err error) {
		src := &source{place{path: filepath.Join("some", "store")}, &brokenDisk{store, unread}}
		err = src.scan(newReading(newStreams(nil, io.Discard, io.Discard), 1, 3*maxUnread), 1, 3*maxUnread, func(log *raft.Log) error {
			found = append(found, log.Index)
			return nil
		}, func(d damageJSON) error {
			told = append(told, d.Index)
			return nil
		})
		return found, told, err
	}
	found, told, err := scan(func(index uint64) bool { return index%2 == 0 })
	if err != nil || len(found) != 3*maxUnread/2 || len(told) != 3*maxUnread/2 || !slices.Contains(told, 2) {
		t.Errorf("each second one: %d are read, %d told, %v", len(found), len(told), err)
	}
	found, told, err = scan(func(index uint64) bool { return index > 10 })
	if !unreadable(err) || len(found) != 10 || len(told) != maxUnread {
		t.Errorf("all from 11 on: %d are read, %d told, %v", len(found), len(told), err)
	}
}
