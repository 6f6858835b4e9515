package raftwal

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// entry makes an entry that its index decides.
func entry(index uint64) *raft.Log {
	l := &raft.Log{Index: index, Term: index/10 + 1, Type: raft.LogType(index % 4)}
	for i := range index % 7 * 9 {
		l.Data = append(l.Data, byte(index+i))
	}
	if index%3 == 0 {
		l.Extensions = fmt.Appendf(nil, "extension %d", index)
	}
	if index%5 != 0 {
		l.AppendedAt = time.Unix(1_700_000_000, int64(index)).UTC()
	}
	return l
}

// encode is raft-wal's codec.
func encode(l *raft.Log) []byte {
	b := binary.AppendUvarint(nil, l.Index)
	b = binary.AppendUvarint(b, l.Term)
	b = binary.AppendUvarint(b, uint64(l.Type))
	b = append(binary.AppendUvarint(b, uint64(len(l.Data))), l.Data...)
	b = append(binary.AppendUvarint(b, uint64(len(l.Extensions))), l.Extensions...)
	b, err := l.AppendedAt.AppendBinary(b)
	if err != nil {
		panic(err)
	}
	return b
}

// segmentFile is a segment that is written as raft-wal writes it.
type segmentFile struct {
	info    segmentInfo
	data    []byte
	from    int // where the batch that is written begins
	offsets []uint32
}

func newSegment(base, id uint64) *segmentFile {
	s := &segmentFile{info: segmentInfo{ID: id, BaseIndex: base, MinIndex: base, Codec: binaryCodec}}
	le := binary.LittleEndian
	s.data = le.AppendUint32(nil, segmentMagic)
	s.data = append(s.data, 0, 0, 0, segmentVersion)
	s.data = le.AppendUint64(s.data, base)
	s.data = le.AppendUint64(s.data, id)
	s.data = le.AppendUint64(s.data, binaryCodec)
	return s
}

// next is the index that the next entry has.
func (s *segmentFile) next() uint64 { return s.info.BaseIndex + uint64(len(s.offsets)) }

func (s *segmentFile) frame(kind byte, value uint32, payload []byte) {
	s.data = binary.LittleEndian.AppendUint32(append(s.data, kind, 0, 0, 0), value)
	s.data = append(s.data, payload...)
	for len(s.data)%8 != 0 {
		s.data = append(s.data, 0)
	}
}

func (s *segmentFile) put(payload []byte) {
	s.offsets = append(s.offsets, uint32(len(s.data)))
	s.frame(entryFrame, uint32(len(payload)), payload)
}

func (s *segmentFile) commit() {
	s.frame(commitFrame, crc32.Checksum(s.data[s.from:], castagnoli), nil)
	s.from = len(s.data)
}

// append writes a batch of the next n entries.
func (s *segmentFile) append(n int) *segmentFile {
	for range n {
		s.put(encode(entry(s.next())))
	}
	s.commit()
	return s
}

// seal writes the index as a batch of its own, as a truncation does.
func (s *segmentFile) seal() *segmentFile {
	var index []byte
	for _, o := range s.offsets {
		index = binary.LittleEndian.AppendUint32(index, o)
	}
	s.info.IndexStart = uint64(len(s.data) + frameHeaderBytes)
	s.info.MaxIndex = s.next() - 1
	s.info.SealTime = time.Unix(1, 0)
	s.frame(indexFrame, uint32(len(index)), index)
	s.commit()
	return s
}

// zeros adds what raft-wal has allocated ahead.
func (s *segmentFile) zeros(n int) *segmentFile {
	s.data = append(s.data, make([]byte, n)...)
	return s
}

func (s *segmentFile) name() string { return segmentName(s.info.BaseIndex, s.info.ID) }

// writeDir makes a directory of segments.
func writeDir(t testing.TB, segments ...*segmentFile) string {
	t.Helper()
	dir := t.TempDir()
	var infos []map[string]any
	for _, s := range segments {
		must(t, os.WriteFile(filepath.Join(dir, s.name()), s.data, 0o600))
		infos = append(infos, s.json())
	}
	writeMeta(t, dir, map[string]any{"NextSegmentID": 99, "Segments": infos})
	return dir
}

func (s *segmentFile) json() map[string]any {
	return map[string]any{"ID": s.info.ID, "BaseIndex": s.info.BaseIndex, "MinIndex": s.info.MinIndex, "MaxIndex": s.info.MaxIndex,
		"Codec": s.info.Codec, "IndexStart": s.info.IndexStart, "CreateTime": time.Unix(1, 0), "SealTime": s.info.SealTime, "SizeLimit": 1 << 20}
}

// writeMeta makes a wal-meta.db; state may be JSON, or what is made JSON of, or nil for none.
func writeMeta(t testing.TB, dir string, state any) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, metaName), 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists([]byte(metaBucket))
		if err != nil {
			return err
		}
		stable, err := tx.CreateBucketIfNotExists([]byte(stableBucket))
		if err != nil {
			return err
		}
		raw, isRaw := state.([]byte)
		if !isRaw && state != nil {
			if raw, err = json.Marshal(state); err != nil {
				return err
			}
		}
		if raw != nil {
			if err := meta.Put([]byte(metaKey), raw); err != nil {
				return err
			}
		}
		if err := stable.Put([]byte("CurrentTerm"), binary.LittleEndian.AppendUint64(nil, 258)); err != nil {
			return err
		}
		return stable.Put([]byte("LastVoteCand"), []byte("peer"))
	}))
	must(t, db.Close())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a directory until the test ends.
func open(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(dir)
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	return l
}
