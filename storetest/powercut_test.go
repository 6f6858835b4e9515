package storetest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
	"github.com/raft-ballast/ballast/memstore"
)

// whole is a store that writes all it holds into a new file with each call, and renames that file. Its faults are what such
// stores get wrong.
type whole struct {
	*memstore.Store
	fsys  FS
	dir   string
	fault string
	calls int
}

// content is what is in the file.
type content struct {
	Logs   []*raft.Log
	Stable map[string][]byte
	Commit uint64
}

func openWhole(fault string) OpenFSFunc {
	return func(fsys FS, dir string) (Store, error) {
		if err := fsys.MkdirAll(dir); err != nil {
			return nil, err
		}
		if err := fsys.SyncDir(dir); err != nil { // what is shown below has to be there for ever
			return nil, err
		}
		s := &whole{Store: memstore.New(), fsys: fsys, dir: dir, fault: fault}
		return s, s.load()
	}
}

func (s *whole) path(name string) string { return filepath.Join(s.dir, name) }

func (s *whole) load() error {
	f, err := s.fsys.OpenRead(s.path("now"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return err
	}
	if size < 8 || size-8 < int64(binary.LittleEndian.Uint32(b[4:])) {
		return errors.New("the file is too short")
	}
	body := b[8:][:binary.LittleEndian.Uint32(b[4:])]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(b) {
		return errors.New("the checksum does not match")
	}
	var c content
	if err := json.Unmarshal(body, &c); err != nil {
		return err
	}
	for key, value := range c.Stable {
		err = errors.Join(err, s.Store.Set([]byte(key), value))
	}
	return errors.Join(err, s.Store.StageCommitIndex(c.Commit), s.Store.StoreLogs(c.Logs))
}

// save writes everything, and the name.
func (s *whole) save() error {
	if s.calls++; s.fault == "acknowledges early" && s.calls%3 != 0 {
		return nil
	}
	b, err := s.encode()
	if err != nil {
		return err
	}
	name := "next"
	if s.fault == "writes in place" {
		name = "now"
	}
	f, err := s.fsys.Create(s.path(name))
	if errors.Is(err, fs.ErrExist) {
		f, err = s.fsys.Open(s.path(name))
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(int64(len(b))); err != nil {
		return err
	}
	if err = f.WriteBlocks([][]byte{b}, 0); err == nil && s.fault != "no sync of the size" {
		err = f.Sync()
	}
	if err != nil {
		return err
	}
	if err := s.fsys.Rename(s.path("next"), s.path("now")); err != nil && name == "next" {
		return err
	}
	if s.fault == "no sync of the folder" {
		return nil
	}
	return s.fsys.SyncDir(s.dir)
}

func (s *whole) encode() ([]byte, error) {
	m, err := oracle.Read(s.Store)
	if err != nil {
		return nil, err
	}
	c := content{Stable: m.Stable, Commit: m.Commit}
	for _, index := range m.Indexes() {
		c.Logs = append(c.Logs, m.Logs[index])
	}
	if s.fault == "forgets the last entry" && len(c.Logs) > 40 {
		c.Logs = c.Logs[:len(c.Logs)-1]
	}
	body, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	size := (8 + len(body) + vfs.BlockBytes - 1) / vfs.BlockBytes * vfs.BlockBytes
	b := vfs.AlignedBytes(size)
	binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(body))
	binary.LittleEndian.PutUint32(b[4:], uint32(len(body)))
	copy(b[8:], body)
	return b, nil
}

func (s *whole) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

func (s *whole) StoreLogs(logs []*raft.Log) error {
	return errors.Join(s.Store.StoreLogs(logs), s.save())
}

func (s *whole) DeleteRange(low, high uint64) error {
	return errors.Join(s.Store.DeleteRange(low, high), s.save())
}

func (s *whole) Set(key, value []byte) error {
	return errors.Join(s.Store.Set(key, value), s.save())
}

// smallEntries are enough for a store without segments.
func smallEntries(c *config) { c.crashEntryBytes = 200 }

// TestRunCrash is a store that does it right.
func TestRunCrash(t *testing.T) {
	RunCrash(t, PowerCuts(openWhole("")), Crashes(2000), EveryCall(3), smallEntries)
}

// TestPowerCutsFindFaults has stores that do not. A simulator that finds nothing proves nothing.
func TestPowerCutsFindFaults(t *testing.T) {
	for _, fault := range []string{
		"acknowledges early", "writes in place", "no sync of the size", "no sync of the folder", "forgets the last entry",
	} {
		t.Run(fault, func(t *testing.T) {
			var found error
			for seed := uint64(1); found == nil && seed <= 20; seed++ {
				found = newSimulator(openWhole(fault), newConfig([]Option{EveryCall(3), smallEntries}), seed).run()
			}
			if found == nil || !strings.HasPrefix(found.Error(), "seed ") {
				t.Fatalf("not noticed, or not with the seed that repeats it: %v", found)
			}
			t.Log(found)
		})
	}
}
