package cli

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/hashicorp/raft"
)

// entrySum is a sum over entries, by which two logs are compared that cannot be read at once. Whether an empty part is nil is
// all the same, as it is to raft. The zero entrySum is that of no entries.
type entrySum struct {
	hash hash.Hash
	head []byte
}

func (s *entrySum) add(log *raft.Log) {
	if s.hash == nil {
		s.hash = sha256.New()
	}
	b := binary.LittleEndian.AppendUint64(s.head[:0], log.Index)
	b = binary.LittleEndian.AppendUint64(b, log.Term)
	b = append(b, byte(log.Type))
	b = binary.LittleEndian.AppendUint64(b, uint64(log.AppendedAt.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(log.AppendedAt.Nanosecond()))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(log.Data)))
	s.head = binary.LittleEndian.AppendUint64(b, uint64(len(log.Extensions)))
	s.hash.Write(s.head)
	s.hash.Write(log.Data)
	s.hash.Write(log.Extensions)
}

func (s *entrySum) total() (sum [sha256.Size]byte) {
	if s.hash != nil {
		s.hash.Sum(sum[:0])
	}
	return sum
}
