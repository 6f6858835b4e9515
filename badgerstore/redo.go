package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/logcodec"
)

// A batch that does not fit a transaction of badger is written as a redo batch:
//
//  1. its pieces, each a transaction, under keys that nothing else reads
//  2. the marker, with the commit index: from here on the batch is stored
//  3. its entries, in as many transactions as it takes
//  4. the removal of marker and pieces, one transaction
//
// Open finishes 3 and 4 when it finds the marker, and removes pieces that have none.
//
// A piece holds entries, each behind its index (8 bytes) and its length (4 bytes), both big-endian.
// The marker holds one byte of version, the number of pieces (4 bytes) and the CRC-32C of all of them
// in order (4 bytes).
const (
	pieceTarget   = 16 << 20 // bytes from which on a piece is written; one entry may be larger
	pieceHead     = 12
	markerVersion = 1
	markerBytes   = 9
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// storeRedo stores a batch of any size. An error before the marker is written leaves nothing of it.
func (s *Store) storeRedo(logs []*raft.Log, commit uint64) error {
	pieces, sum, err := s.writePieces(logs)
	if err != nil {
		return err
	}
	s.at("redo: marker")
	err = s.commit(func(txn *badger.Txn, _ uint64) error {
		marker := []byte{markerVersion}
		marker = binary.BigEndian.AppendUint32(marker, uint32(pieces))
		marker = binary.BigEndian.AppendUint32(marker, sum)
		if err := s.setCommit(txn, commit); err != nil {
			return err
		}
		return txn.Set([]byte(markerKey), marker)
	})
	if err != nil {
		return err
	}
	// The batch is stored. Until all of it is applied nothing else may be written: the next Open applies it again, over
	// whatever came later.
	done := false
	defer func() {
		if !done {
			s.latch.Fail(fmt.Errorf("badgerstore: a batch that was stored in %s is not applied yet; open it again to finish it", s.dir))
		}
	}()
	a := applier{s: s}
	for _, l := range logs {
		if err := a.add(l.Index, logcodec.Append(nil, l, logcodec.ClassicTime)); err != nil {
			return err
		}
	}
	if err := a.flush(); err != nil {
		return err
	}
	err = s.dropRedo(pieces)
	done = err == nil
	return err
}

// writePieces writes the batch under its own keys and returns how many and their checksum.
func (s *Store) writePieces(logs []*raft.Log) (pieces uint64, sum uint32, err error) {
	var piece []byte
	target := min(pieceTarget, int(s.bopt.ValueLogFileSize/2))
	flush := func() error {
		if len(piece) == 0 {
			return nil
		}
		s.at("redo: piece")
		err := s.commit(func(txn *badger.Txn, _ uint64) error { return txn.Set(pieceKey(pieces), piece) })
		sum = crc32.Update(sum, castagnoli, piece)
		pieces, piece = pieces+1, nil
		return err
	}
	for _, l := range logs {
		if len(piece) > 0 && len(piece)+logcodec.Size(l) > target {
			if err := flush(); err != nil {
				return 0, 0, err
			}
		}
		at := len(piece)
		piece = binary.BigEndian.AppendUint64(piece, l.Index)
		piece = append(piece, 0, 0, 0, 0)
		piece = logcodec.Append(piece, l, logcodec.ClassicTime)
		binary.BigEndian.PutUint32(piece[at+8:], uint32(len(piece)-at-pieceHead))
	}
	err = flush()
	return pieces, sum, err
}

// applier puts encoded entries at their indexes, in transactions that badger takes.
type applier struct {
	s    *Store
	keys []uint64
	vals [][]byte
	size int64 // in badger's count
	long int64 // bytes for the value log
}

func (a *applier) add(index uint64, val []byte) error {
	size, long := int64(entryOverhead+len(val)), int64(0)
	if int64(len(val)) >= a.s.bopt.ValueThreshold {
		size, long = int64(entryOverhead+12), int64(len(val))+valueLogSlack/1024
	}
	if a.size+size+txnOverheadBytes >= a.s.db.MaxBatchSize() || a.long+long >= a.s.bopt.ValueLogFileSize ||
		int64(len(a.keys)+1+txnOverheadCount) >= a.s.db.MaxBatchCount() {
		if err := a.flush(); err != nil {
			return err
		}
	}
	a.keys, a.vals = append(a.keys, index), append(a.vals, val)
	a.size, a.long = a.size+size, a.long+long
	return nil
}

func (a *applier) flush() error {
	if len(a.keys) == 0 {
		return nil
	}
	a.s.at("redo: entries")
	err := a.s.commit(func(txn *badger.Txn, _ uint64) error {
		for i, index := range a.keys {
			if err := txn.Set(logKey(index), a.vals[i]); err != nil {
				return err
			}
		}
		return nil
	})
	clear(a.vals)
	a.keys, a.vals, a.size, a.long = a.keys[:0], a.vals[:0], 0, 0
	return err
}

// dropRedo removes the marker, if there is one, and that many pieces.
func (s *Store) dropRedo(pieces uint64) error {
	s.at("redo: removal")
	return s.commit(func(txn *badger.Txn, _ uint64) error {
		for n := range pieces {
			item, err := getItem(txn, pieceKey(n))
			if err != nil {
				return err
			}
			if item != nil {
				s.garbage += item.EstimatedSize()
			}
			if err := txn.Delete(pieceKey(n)); err != nil {
				return err
			}
		}
		return txn.Delete([]byte(markerKey))
	})
}

// redo finishes the redo batch that a crash has left, or drops the pieces of one that was never stored.
func (s *Store) redo() error {
	txn := s.db.NewTransactionAt(s.version, false)
	defer txn.Discard()
	marker, err := s.readOwn(txn, markerKey)
	if err != nil {
		return err
	}
	found := s.countPieces(txn)
	if marker == nil && found == 0 {
		return nil
	}
	if s.opts.ReadOnly {
		if marker == nil {
			return nil
		}
		return fmt.Errorf("badgerstore: %s was not closed cleanly, a batch is to be finished; open it once for writing", s.dir)
	}
	if marker != nil {
		if err := s.applyRedo(txn, marker); err != nil {
			return err
		}
	}
	return s.dropRedo(found)
}

// countPieces returns a number that no piece reaches.
func (s *Store) countPieces(txn *badger.Txn) (n uint64) {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(piecePrefix)})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if key := it.Item().Key(); len(key) == len(piecePrefix)+8 {
			n = max(n, binary.BigEndian.Uint64(key[len(piecePrefix):])+1)
		}
	}
	return n
}

func (s *Store) applyRedo(txn *badger.Txn, marker []byte) error {
	if marker[0] != markerVersion {
		return fmt.Errorf("badgerstore: %s: batch of version %d: %w", s.dir, marker[0], ballast.ErrUnknownVersion)
	}
	if len(marker) != markerBytes {
		return s.corrupt(0, errors.New("the marker of a batch has a wrong length"))
	}
	pieces, want := uint64(binary.BigEndian.Uint32(marker[1:])), binary.BigEndian.Uint32(marker[5:])
	// The checksum comes first: nothing of a damaged batch may be applied.
	sum, total := uint32(0), int64(0)
	for n := range pieces {
		piece, err := s.readOwn(txn, string(pieceKey(n)))
		if err != nil {
			return err
		}
		sum = crc32.Update(sum, castagnoli, piece)
		total += int64(len(piece))
	}
	if sum != want {
		return s.corrupt(0, errors.New("a batch that was stored does not match its checksum"))
	}
	if err := s.checkSpace(total, s.opts.ReserveBytes/8); err != nil {
		return err
	}
	a := applier{s: s}
	for n := range pieces {
		piece, err := s.readOwn(txn, string(pieceKey(n)))
		if err != nil {
			return err
		}
		for len(piece) > 0 {
			if len(piece) < pieceHead || uint64(len(piece)-pieceHead) < uint64(binary.BigEndian.Uint32(piece[8:])) {
				return s.corrupt(0, errors.New("a batch that was stored ends early"))
			}
			index, size := binary.BigEndian.Uint64(piece), binary.BigEndian.Uint32(piece[8:])
			val := piece[pieceHead : pieceHead+int(size)]
			if err := a.add(index, val); err != nil {
				return err
			}
			piece = piece[pieceHead+int(size):]
		}
	}
	return a.flush()
}

// readOwn returns the value of one of Ballast's own keys, nil when there is none.
func (s *Store) readOwn(txn *badger.Txn, key string) ([]byte, error) {
	item, err := getItem(txn, []byte(key))
	if err != nil {
		return nil, s.corrupt(0, err)
	}
	if item == nil {
		return nil, nil
	}
	value, err := item.ValueCopy(nil)
	if err == nil && len(value) == 0 {
		err = fmt.Errorf("the value of %q cannot be read", key)
	}
	if err != nil {
		return nil, s.corrupt(0, err)
	}
	return value, nil
}
