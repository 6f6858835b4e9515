package powercut

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
)

// naive is a store that appends each call to a file, and holds in memory what they make. With sync it loses nothing; without it
// does what the trial has to find.
type naive struct {
	file *os.File
	end  int64
	sync bool
	m    *oracle.Model
}

// call is a record of the file. In front of it are its length and its checksum, 4 bytes each.
type call struct {
	Logs      []*raft.Log
	Commit    uint64
	Low, High uint64
	Key       string
	Value     []byte
}

func openNaive(dir string, sync bool) (*naive, error) {
	file, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &naive{file: file, sync: sync, m: oracle.NewModel()}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, s.durable(dir)
}

// durable makes the name durable, and that what could not be read is gone.
func (s *naive) durable(dir string) error {
	if err := s.file.Truncate(s.end); err != nil || !s.sync {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close(), s.file.Sync())
}

// load reads up to the first record that was not written whole.
func (s *naive) load() error {
	for {
		var header [8]byte
		if _, err := s.file.ReadAt(header[:], s.end); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		n := int64(binary.BigEndian.Uint32(header[:]))
		info, err := s.file.Stat()
		if err != nil || n == 0 || n > info.Size()-s.end {
			return err
		}
		b := make([]byte, n)
		if _, err := s.file.ReadAt(b, s.end+8); err != nil && err != io.EOF {
			return err
		}
		if crc32.ChecksumIEEE(b) != binary.BigEndian.Uint32(header[4:]) {
			return nil
		}
		var c call
		if err := json.Unmarshal(b, &c); err != nil {
			return err
		}
		s.apply(c)
		s.end += 8 + n
	}
}

func (s *naive) apply(c call) { oracle.Call(c).Apply(s.m) }

func (s *naive) write(c call) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	header := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
	header = binary.BigEndian.AppendUint32(header, crc32.ChecksumIEEE(b))
	if _, err := s.file.WriteAt(append(header, b...), s.end); err != nil {
		return err
	}
	if s.sync {
		if err := s.file.Sync(); err != nil {
			return err
		}
	}
	s.end += int64(8 + len(b))
	s.apply(c)
	return nil
}

func (s *naive) Close() error { return s.file.Close() }

func (s *naive) FirstIndex() (uint64, error) { return s.m.First(), nil }

func (s *naive) LastIndex() (uint64, error) { return s.m.Last(), nil }

func (s *naive) GetLog(index uint64, log *raft.Log) error {
	l := s.m.Logs[index]
	if l == nil {
		return raft.ErrLogNotFound
	}
	*log = *l
	return nil
}

func (s *naive) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

func (s *naive) StoreLogs(logs []*raft.Log) error { return s.write(call{Logs: logs}) }

func (s *naive) DeleteRange(low, high uint64) error { return s.write(call{Low: low, High: high}) }

func (s *naive) Set(key, value []byte) error { return s.write(call{Key: string(key), Value: value}) }

func (s *naive) Get(key []byte) ([]byte, error) {
	if value, ok := s.m.Stable[string(key)]; ok {
		return value, nil
	}
	return nil, ballast.ErrKeyNotFound
}

func (s *naive) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

func (s *naive) GetUint64(key []byte) (uint64, error) {
	b, err := s.Get(key)
	if err != nil || len(b) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}
