package bench

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	badgerv3 "github.com/dgraph-io/badger/v3"
	"github.com/hashicorp/go-msgpack/codec"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/badgerstore"
)

// raftBadger reads and writes a directory with badger v3 and go-msgpack v0.5.5, what raft-badger v0.6 is built on, under the keys
// that raft-badger uses. That module itself cannot be had from the module proxy.
type raftBadger struct{ db *badgerv3.DB }

func openRaftBadger(dir string) (*raftBadger, error) {
	db, err := badgerv3.Open(badgerv3.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		return nil, err
	}
	return &raftBadger{db}, nil
}

func (s *raftBadger) Close() error { return s.db.Close() }

func logsKey(index uint64) []byte { return binary.BigEndian.AppendUint64([]byte("logs-"), index) }

func (s *raftBadger) get(key []byte) (value []byte, err error) {
	err = s.db.View(func(txn *badgerv3.Txn) error {
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		value, err = item.ValueCopy(nil)
		return err
	})
	return value, err
}

func (s *raftBadger) set(key, value []byte) error {
	return s.db.Update(func(txn *badgerv3.Txn) error { return txn.Set(key, value) })
}

// end returns the first index of the log at or behind from, in one direction or the other.
func (s *raftBadger) end(from uint64, reverse bool) (index uint64, err error) {
	err = s.db.View(func(txn *badgerv3.Txn) error {
		it := txn.NewIterator(badgerv3.IteratorOptions{Reverse: reverse})
		defer it.Close()
		if it.Seek(logsKey(from)); !it.ValidForPrefix([]byte("logs-")) {
			return errors.New("the log is empty")
		}
		index = binary.BigEndian.Uint64(it.Item().Key()[len("logs-"):])
		return nil
	})
	return index, err
}

func (s *raftBadger) FirstIndex() (uint64, error) { return s.end(0, false) }
func (s *raftBadger) LastIndex() (uint64, error)  { return s.end(math.MaxUint64, true) }

func (s *raftBadger) GetLog(index uint64, log *raft.Log) error {
	value, err := s.get(logsKey(index))
	if errors.Is(err, badgerv3.ErrKeyNotFound) {
		return raft.ErrLogNotFound
	}
	if err != nil {
		return err
	}
	return codec.NewDecoderBytes(value, new(codec.MsgpackHandle)).Decode(log)
}

func (s *raftBadger) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

func (s *raftBadger) StoreLogs(logs []*raft.Log) error {
	for _, l := range logs {
		var value []byte
		if err := codec.NewEncoderBytes(&value, new(codec.MsgpackHandle)).Encode(l); err != nil {
			return err
		}
		if err := s.set(logsKey(l.Index), value); err != nil {
			return err
		}
	}
	return nil
}

func (s *raftBadger) DeleteRange(first, last uint64) error {
	return s.db.Update(func(txn *badgerv3.Txn) error {
		it := txn.NewIterator(badgerv3.IteratorOptions{Prefix: []byte("logs-")})
		defer it.Close()
		for it.Seek(logsKey(first)); it.Valid(); it.Next() {
			key := it.Item().KeyCopy(nil)
			if binary.BigEndian.Uint64(key[len("logs-"):]) > last {
				return nil
			}
			if err := txn.Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *raftBadger) Set(key, value []byte) error {
	return s.set(slices.Concat([]byte("meta-"), key), value)
}

func (s *raftBadger) Get(key []byte) ([]byte, error) {
	return s.get(slices.Concat([]byte("meta-"), key))
}

// SetUint64 prefixes its key twice, as raft-badger does.
func (s *raftBadger) SetUint64(key []byte, value uint64) error {
	return s.Set(slices.Concat([]byte("meta-"), key), binary.BigEndian.AppendUint64(nil, value))
}

func (s *raftBadger) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(slices.Concat([]byte("meta-"), key))
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(value), nil
}

// A directory goes from badgerstore to badger v3 and back, with each compression. Whoever has it reads everything and
// changes something.
func TestBadgerInterchange(t *testing.T) {
	for name, compression := range map[string]badgerstore.Compression{
		"none": badgerstore.None, "snappy": badgerstore.Snappy, "zstd": badgerstore.ZSTD,
	} {
		t.Run(name, func(t *testing.T) {
			dir, c := t.TempDir(), sample()
			open := func() *badgerstore.Store {
				t.Helper()
				s, err := badgerstore.Open(dir, &badgerstore.Options{Compression: compression})
				must(t, err)
				t.Cleanup(func() { _ = s.Close() })
				return s
			}
			ours := open()
			must(t, ours.StageCommitIndex(1<<40))
			c.writeTo(t, ours)
			c.deleteRange(t, ours, 1, 25)
			must(t, ours.StageCommitIndex(1<<40+3))
			c.append(t, ours, 5)
			c.check(t, "badgerstore", ours)
			must(t, ours.Close())

			theirs, err := openRaftBadger(dir)
			must(t, err)
			t.Cleanup(func() { _ = theirs.Close() })
			c.check(t, "badger v3", theirs)
			c.deleteRange(t, theirs, 110, 1<<40+5)
			c.append(t, theirs, 3)
			must(t, theirs.Set([]byte("LastVoteCand"), []byte("127.0.0.1:7002")))
			must(t, theirs.SetUint64([]byte("CurrentTerm"), 8))
			c.values["LastVoteCand"], c.numbers["CurrentTerm"] = "127.0.0.1:7002", 8
			c.check(t, "badger v3", theirs)
			must(t, theirs.Close())

			ours = open()
			c.check(t, "badgerstore", ours)
			wantCommit(t, ours, 112) // what badger v3 has left of the log
			c.append(t, ours, 40)
			wantCommit(t, ours, 112)
			c.check(t, "badgerstore", ours)
		})
	}
}
