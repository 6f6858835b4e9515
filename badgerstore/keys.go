package badgerstore

import (
	"bytes"
	"encoding/binary"
	"math"
)

// The key space. Wire format: the first three lines are raft-badger's.
const (
	logsPrefix   = "logs-"      // + index, 8 bytes big-endian -> the entry in MessagePack
	bytesPrefix  = "meta-"      // + key -> what Set wrote
	uint64Prefix = "meta-meta-" // + key -> what SetUint64 wrote, 8 bytes big-endian

	ownPrefix    = "ballast-"
	stablePrefix = "ballast-stable-" // + key -> what Set wrote, for a key that begins with "meta-"
	commitKey    = "ballast-commit"  // -> the commit index, 8 bytes big-endian
	gravesKey    = "ballast-deleted" // -> graves
	markerKey    = "ballast-batch"   // -> the redo batch that is to be applied
	piecePrefix  = "ballast-batch-"  // + number, 8 bytes big-endian -> a piece of the redo batch
	padKey       = "ballast-pad"     // -> zeros, see Store.pushOut
)

const logKeyLen = len(logsPrefix) + 8

func logKey(index uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, logKeyLen), logsPrefix...), index)
}

// logIndex returns the index of a log key, false for any other key and for index 0, which is no entry's.
func logIndex(key []byte) (uint64, bool) {
	if len(key) != logKeyLen || !bytes.HasPrefix(key, []byte(logsPrefix)) {
		return 0, false
	}
	index := binary.BigEndian.Uint64(key[len(logsPrefix):])
	return index, index != 0
}

func pieceKey(n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(piecePrefix), n)
}

// bytesKey is where Set writes. raft-badger's "meta-" + key would be another key's uint64Key for a key
// that begins with "meta-", so such keys have a place of their own.
func bytesKey(key []byte) []byte {
	prefix := bytesPrefix
	if bytes.HasPrefix(key, []byte(bytesPrefix)) {
		prefix = stablePrefix
	}
	return append([]byte(prefix), key...)
}

// uint64Key is where SetUint64 writes.
func uint64Key(key []byte) []byte { return append([]byte(uint64Prefix), key...) }

// stableKey is the inverse of bytesKey and uint64Key.
func stableKey(key []byte) ([]byte, bool) {
	for _, prefix := range []string{stablePrefix, uint64Prefix, bytesPrefix} {
		if rest, ok := bytes.CutPrefix(key, []byte(prefix)); ok {
			return rest, true
		}
	}
	return nil, false
}

// atVersion is badger's own form of a key: the version inverted behind it, so that newer ones come first.
func atVersion(key string, version uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(key), math.MaxUint64-version)
}
