package badgerstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/dgraph-io/ristretto/v2/z"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
)

// A part of a store is never opened: badger makes what is missing anew, and removes what its
// manifest does not name, without a word.
//
// What a crash leaves is told from it by the order in which badger makes its files. At first the
// manifest, with a rename, then the key registry, a write-ahead log, the statistics, and a value
// log. A table is complete before the manifest names it, and the write-ahead log that it is of, or
// the tables, are removed behind that. When badger is closed the write-ahead logs go first, and
// last the value log gets its length.

// adviseParts is what to do about a part of a store.
const adviseParts = "restore the whole folder from a copy; " +
	"or remove it and let the peer join the cluster again as a new server"

// partError is of a folder that holds part of a store.
func partError(path, format string, args ...any) error {
	return &ballast.CorruptionError{Path: path, Offset: -1,
		Err: fmt.Errorf("this is part of a badger directory: "+format+"; nothing was changed; "+
			adviseParts, args...)}
}

// checkLeft refuses a folder without a manifest in which there is something that badger makes
// later.
func checkLeft(dir string, entries []fs.DirEntry) error {
	table, other := "", false
	for _, e := range entries {
		switch name := e.Name(); {
		case e.IsDir():
		case !engine.BadgerFile(name):
			other = other || !isBadgerName(name)
		case filepath.Ext(name) == tableSuffix: // others have such files too
			table = name
		default:
			return partError(dir, "it has %q and no MANIFEST", name)
		}
	}
	if table != "" && !other {
		return partError(dir, "it has %q and no MANIFEST", table)
	}
	return nil
}

// parts are the files of a directory.
type parts struct {
	dir        string
	manifest   badger.Manifest
	tables     map[uint64]bool // there is such a file
	mems       []string        // names
	vlogs      map[uint32]int64
	registry   int64    // bytes; -1 for none
	unrecorded []uint64 // tables that the manifest does not name
	written    [][]byte // what is in the write-ahead logs
}

// checkParts refuses a directory in which something is missing. It changes nothing.
func checkParts(dir string, entries []fs.DirEntry, manifest badger.Manifest) error {
	p := parts{dir: dir, manifest: manifest, registry: -1,
		tables: map[uint64]bool{}, vlogs: map[uint32]int64{}}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("badgerstore: %w", err)
		}
		p.add(info)
	}
	for _, check := range []func() error{
		p.checkTables, p.checkRegistry, p.checkUnrecorded, p.checkVlogs, p.checkPointers,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (p *parts) add(info fs.FileInfo) {
	name := info.Name()
	number, err := strconv.ParseUint(strings.TrimSuffix(name, filepath.Ext(name)), 10, 64)
	switch ext := filepath.Ext(name); {
	case name == registryName:
		p.registry = info.Size()
	case err != nil:
	case ext == tableSuffix:
		if p.tables[number] = true; !p.named(number) {
			p.unrecorded = append(p.unrecorded, number)
		}
	case ext == memSuffix:
		p.mems = append(p.mems, name)
	case ext == vlogSuffix && number <= math.MaxUint32:
		p.vlogs[uint32(number)] = info.Size()
	}
}

func (p *parts) named(table uint64) bool {
	_, ok := p.manifest.Tables[table]
	return ok
}

// untouched reports whether the manifest never named a table.
func (p *parts) untouched() bool {
	return p.manifest.Creations == 0 && p.manifest.Deletions == 0 && len(p.manifest.Tables) == 0
}

func (p *parts) checkTables() error {
	for id := range p.manifest.Tables {
		if !p.tables[id] {
			return partError(p.dir, "its manifest names the table %06d, which is missing", id)
		}
	}
	return nil
}

// checkRegistry refuses a directory with a key registry that is cut, and one without, in which
// something is encrypted: badger would make a new one.
func (p *parts) checkRegistry() error {
	if p.registry >= registryBytes {
		return nil
	}
	if p.registry >= 0 {
		return partError(filepath.Join(p.dir, registryName), "the file has %d bytes, and at least %d when it is whole",
			p.registry, registryBytes)
	}
	for id, t := range p.manifest.Tables {
		if t.KeyID != 0 {
			return partError(p.dir, "the table %06d is encrypted, and %s is missing", id, registryName)
		}
	}
	for id := range p.vlogs {
		if err := p.plain(vlogName(id)); err != nil {
			return err
		}
	}
	for _, name := range p.mems {
		if err := p.plain(name); err != nil {
			return err
		}
	}
	return nil
}

// plain returns an error for a file that is encrypted: it begins with the number of the key.
func (p *parts) plain(name string) error {
	f, err := os.Open(filepath.Join(p.dir, name))
	if err != nil {
		return fmt.Errorf("badgerstore: %w", err)
	}
	defer f.Close()
	var key [8]byte
	if n, _ := f.ReadAt(key[:], 0); n == len(key) && key != [8]byte{} {
		return partError(p.dir, "%s is encrypted, and %s is missing", name, registryName)
	}
	return nil
}

// checkUnrecorded refuses tables that the manifest does not name, which badger would remove, unless
// a crash has left them: it came while one was made, or before those that it replaces were removed.
// A directory that was closed has none, and before the manifest names any there is one, of a
// write-ahead log that is there.
func (p *parts) checkUnrecorded() error {
	if len(p.unrecorded) == 0 {
		return nil
	}
	slices.Sort(p.unrecorded)
	first := p.unrecorded[0]
	closed, err := p.closed()
	if err != nil {
		return err
	}
	if closed {
		return partError(p.dir, "its manifest does not name the table %06d; was it cut?", first)
	}
	if !p.untouched() {
		return nil
	}
	if len(p.unrecorded) == 1 {
		if held, err := p.inMem(first); held || err != nil {
			return err
		}
	}
	return partError(p.dir, "its manifest names no table, and there is %06d; was it cut?", first)
}

// closed reports whether badger was closed: the newest value log is as long as what is in it.
func (p *parts) closed() (bool, error) {
	if len(p.mems) > 0 {
		return false, nil
	}
	newest, found := uint32(0), false
	for id := range p.vlogs {
		newest, found = max(newest, id), true
	}
	if !found {
		return false, nil
	}
	f, err := os.Open(filepath.Join(p.dir, vlogName(newest)))
	if err != nil {
		return false, fmt.Errorf("badgerstore: %w", err)
	}
	defer f.Close()
	size := p.vlogs[newest]
	end, err := recordsEnd(f, size)
	return err == nil && end == size, err
}

// inMem reports whether the first and the last key of a table, if it is whole, are in a write-ahead
// log.
func (p *parts) inMem(id uint64) (held bool, err error) {
	if len(p.mems) == 0 {
		return false, nil
	}
	var ends [][]byte
	// The manifest would say how it is compressed.
	for _, compression := range []options.CompressionType{options.Snappy, options.ZSTD, options.None} {
		err = readTable(table.NewFilename(id, p.dir), compression, func(t *table.Table) error {
			ends = [][]byte{bytes.Clone(t.Smallest()), bytes.Clone(t.Biggest())}
			return nil
		})
		if err == nil {
			break
		}
	}
	if err != nil { // it was being written
		return true, nil
	}
	for _, name := range p.mems {
		content, err := os.ReadFile(filepath.Join(p.dir, name))
		if err != nil {
			return false, fmt.Errorf("badgerstore: %w", err)
		}
		ends = slices.DeleteFunc(ends, func(key []byte) bool { return bytes.Contains(content, key) })
	}
	return len(ends) == 0, nil
}

// checkVlogs refuses a directory without a value log, which badger makes before it takes the first
// write, and one that has nothing but values.
func (p *parts) checkVlogs() error {
	values := false
	for id, size := range p.vlogs {
		if size > vlogHeader {
			held, err := heldBytes(filepath.Join(p.dir, vlogName(id)), size)
			if err != nil {
				return err
			}
			values = values || held > vlogHeader
		}
		if size == 0 {
			delete(p.vlogs, id) // a crash came when it was made or removed
		}
	}
	if values && p.untouched() && len(p.mems) == 0 {
		return partError(p.dir, "it has values, no table and no write-ahead log")
	}
	if len(p.vlogs) > 0 {
		return nil
	}
	if !p.untouched() {
		return partError(p.dir, "its value logs are missing or empty")
	}
	for _, name := range p.mems {
		path := filepath.Join(p.dir, name)
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("badgerstore: %w", err)
		}
		held, err := heldBytes(path, info.Size())
		if err != nil {
			return err
		}
		if held > vlogHeader {
			return partError(p.dir, "its write-ahead log %s has something in it, and there is no value log", name)
		}
	}
	return nil
}

// checkPointers refuses a directory in which a value log is missing, or empty, that holds what a
// key refers to. Others are missing because their garbage was collected.
func (p *parts) checkPointers() error {
	if err := p.checkMems(); err != nil {
		return err
	}
	for id, t := range p.manifest.Tables {
		if t.KeyID != 0 {
			continue // encrypted
		}
		err := readTable(table.NewFilename(id, p.dir), t.Compression, func(t *table.Table) error { return p.pointers(t) })
		if _, part := errors.AsType[*ballast.CorruptionError](err); part {
			return err
		}
		// What is wrong with a table is checkTable's to say.
	}
	return nil
}

// Badger's format of what a key says of its value.
const (
	pointerBit = 1 << 1 // wire format: the value is the number of a value log, a length, an offset
)

func (p *parts) noValue(key string, file uint32) error {
	return partError(p.dir, "the value of %.40q is in %s, which is missing or empty", key, vlogName(file))
}

// checkMems is checkPointers of what is in write-ahead logs.
func (p *parts) checkMems() error {
	slices.Sort(p.mems)
	files := map[string]uint32{}
	for _, name := range p.mems {
		content, err := os.ReadFile(filepath.Join(p.dir, name))
		if err != nil {
			return fmt.Errorf("badgerstore: %w", err)
		}
		if len(content) < vlogHeader || [8]byte(content[:8]) != [8]byte{} {
			continue // encrypted
		}
		p.written = append(p.written, content)
		eachRecord(content, func(meta byte, key, value []byte) {
			if user := string(y.ParseKey(key)); meta&pointerBit != 0 && len(value) >= 4 {
				files[user] = binary.NativeEndian.Uint32(value)
			} else {
				delete(files, user)
			}
		})
	}
	for key, file := range files {
		if _, ok := p.vlogs[file]; !ok {
			return p.noValue(key, file)
		}
	}
	return nil
}

// pointers returns an error for a key in a table whose value is in a file that is missing. A
// table's size on the disk counts its values in value logs.
func (p *parts) pointers(t *table.Table) error {
	if held := int64(t.OnDiskSize()); held <= t.Size() && held+1024 > t.Size() {
		return nil
	}
	it := t.NewIterator(table.NOCACHE)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		v := it.Value()
		if v.Meta&pointerBit == 0 || len(v.Value) < 4 {
			continue
		}
		file := binary.NativeEndian.Uint32(v.Value)
		if _, ok := p.vlogs[file]; ok {
			continue
		}
		newest, err := p.newest(it.Key())
		if err != nil {
			return nil // checkTable says it
		}
		if newest {
			return p.noValue(string(y.ParseKey(it.Key())), file)
		}
	}
	return nil
}

// newest reports whether no table and no write-ahead log has a newer version of a key.
func (p *parts) newest(key []byte) (newest bool, err error) {
	newest = true
	user, version := y.ParseKey(key), y.ParseTs(key)
	for _, content := range p.written {
		if bytes.Contains(content, user) {
			return false, nil
		}
	}
	for id, t := range p.manifest.Tables {
		err := readTable(table.NewFilename(id, p.dir), t.Compression, func(t *table.Table) error {
			it := t.NewIterator(table.NOCACHE)
			defer it.Close()
			it.Seek(y.KeyWithTs(user, math.MaxUint64))
			if it.Valid() && bytes.Equal(y.ParseKey(it.Key()), user) && y.ParseTs(it.Key()) > version {
				newest = false
			}
			return nil
		})
		if err != nil || !newest {
			return newest, err
		}
	}
	return newest, nil
}

// readTable opens a table without looking at its checksums.
func readTable(path string, compression options.CompressionType, read func(*table.Table) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("badger panicked: %v", r)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if err := checkFooter(path); err != nil {
		return err
	}
	file, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	opts := table.Options{ReadOnly: true, Compression: compression, BlockSize: 4096}
	t, err := table.OpenTable(file, opts)
	if err != nil {
		return err
	}
	defer t.Close(-1)
	return read(t)
}

func vlogName(id uint32) string { return fmt.Sprintf("%06d%s", id, vlogSuffix) }
