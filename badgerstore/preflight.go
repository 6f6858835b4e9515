package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
)

// prefixes are what a key of a raft store begins with.
var prefixes = []string{ownPrefix, logsPrefix, bytesPrefix}

// The names of badger's files.
const (
	manifestName = badger.ManifestFilename
	memSuffix    = ".mem"
	vlogSuffix   = ".vlog"
	tableSuffix  = ".sst"
	discardName  = "DISCARD"
	registryName = badger.KeyRegistryFileName

	registryBytes = 16 + 12 // of a key registry without keys: a vector, and a text that is always the same
)

// isBadgerName reports whether a file of that name may lie in a directory of badger that has no
// manifest yet.
func isBadgerName(name string) bool {
	switch name {
	case "LOCK", registryName, "REWRITE-KEYREGISTRY", discardName, "MANIFEST-REWRITE":
		return true
	}
	switch filepath.Ext(name) {
	case memSuffix, vlogSuffix, tableSuffix:
		return true
	}
	return false
}

// checkNames refuses a folder that is not badger's, one without a manifest, but with other files,
// and one of a store that is not finished.
func checkNames(dir string, readOnly bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("badgerstore: %s cannot be read; check its permissions: %w", dir, err)
	}
	other := ""
	for _, e := range entries {
		if err := engine.CheckNames(dir, []string{e.Name()}); err != nil {
			return fmt.Errorf("badgerstore: %w", err)
		}
	}
	for _, e := range entries {
		if e.Name() == manifestName && e.Type().IsRegular() {
			return nil
		}
		if !e.IsDir() && !isBadgerName(e.Name()) && !engine.Beside(e.Name()) {
			other = e.Name()
		}
	}
	if err := checkLeft(dir, entries); err != nil {
		return err
	}
	if other != "" {
		return fmt.Errorf("badgerstore: %s holds %s and is no directory of badger; give an empty folder or one of a badgerstore: %w",
			dir, other, ballast.ErrForeign)
	}
	if readOnly {
		return fmt.Errorf("badgerstore: %s holds no store to open read-only; check the path: %w", dir, fs.ErrNotExist)
	}
	return engine.CheckPlaced(dir)
}

func errForeignKeys(dir string) error {
	return fmt.Errorf("badgerstore: %s is a badger database, but holds no key of a raft store; give an empty folder or one of a badgerstore: %w",
		dir, ballast.ErrForeign)
}

// openError explains an error of badger, which flattens what it wraps.
func openError(dir string, err error) error {
	text := err.Error()
	switch {
	case errors.Is(err, badger.ErrEncryptionKeyMismatch), strings.Contains(text, badger.ErrEncryptionKeyMismatch.Error()):
		return fmt.Errorf("badgerstore: %s is encrypted with another key; set EncryptionKey with Options.Badger: %w", dir, err)
	case strings.Contains(text, "Another process is using this Badger database"):
		return &ballast.LockedError{Path: dir, Err: err}
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("badgerstore: %s cannot be written; check its permissions: %w", dir, err)
	}
	return fmt.Errorf("badgerstore: open %s: %w", dir, err)
}

// preflight looks at a directory before badger does, since badger ends the process, or crashes in a
// goroutine of its own, for what is an error here. It also removes what a crash may leave and badger
// does not open. It returns the least MemTableSize that takes what the write-ahead logs hold.
func preflight(dir string, opt *badger.Options) (memTable int64, err error) {
	manifest, err := readManifest(dir, opt)
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(dir)
	if err == nil && manifest != nil {
		if err := checkParts(dir, entries, *manifest); err != nil {
			return 0, err
		}
	}
	var tables tableKeys
	if err == nil && manifest != nil {
		if tables, err = checkTables(dir, *manifest); err != nil {
			return 0, err
		}
	}
	if err != nil {
		return 0, fmt.Errorf("badgerstore: %s cannot be read; check its permissions: %w", dir, err)
	}
	wal := false
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return 0, fmt.Errorf("badgerstore: %w", err)
		}
		size, err := checkFile(dir, info, opt.ReadOnly)
		if err != nil {
			return 0, err
		}
		memTable = max(memTable, size)
		wal = wal || strings.HasSuffix(e.Name(), memSuffix)
	}
	if tables.any && !tables.ours && !wal {
		return 0, errForeignKeys(dir)
	}
	if !wal && !opt.ReadOnly { // it was closed cleanly, so no crash has torn a write
		err = checkNewest(dir, entries)
	}
	return memTable, err
}

// checkFile looks at one file of the directory and returns the MemTableSize that it needs.
func checkFile(dir string, info fs.FileInfo, readOnly bool) (memTable int64, err error) {
	path := filepath.Join(dir, info.Name())
	ext := filepath.Ext(info.Name())
	switch {
	case info.Name() == discardName && (info.Size() < 32 || info.Size()%16 != 0) && info.Size() != 0:
		return 0, &ballast.CorruptionError{Path: path, Offset: -1,
			Err: fmt.Errorf("%d bytes cannot be right; the file holds statistics only, remove it", info.Size())}
	case ext != memSuffix && ext != vlogSuffix:
		return 0, nil
	case readOnly && (ext == memSuffix || info.Size() == 0):
		return 0, fmt.Errorf("badgerstore: %s was not closed cleanly; open it once for writing", dir)
	case info.Size() == 0 && !readOnly:
		// A crash came between the making of the file and its first size, or between the last and its
		// removal. Badger would not open the directory.
		if err := os.Remove(path); err != nil {
			return 0, fmt.Errorf("badgerstore: remove an empty file: %w", err)
		}
	case ext == memSuffix:
		// Badger ends the process when a write-ahead log holds more than fits a memtable. The smallest of keys takes
		// 2.3 times as much there, a deletion 1.8 times. The size of the file says nothing: badger sets it to twice a
		// memtable's.
		held, err := heldBytes(path, info.Size())
		return 2*held + held/2, err
	}
	return 0, nil
}

// tableKeys says what the tables of a directory hold.
type tableKeys struct{ any, ours bool }

// Magic is at the start of badger's manifest: the text, the user's version and badger's version.
// Badger's format.
const (
	manifestMagic   = "Bdgr"
	manifestVersion = 8 // of badger v3 and v4
)

// readManifest checks and reads the manifest. It is nil in a new directory.
func readManifest(dir string, opt *badger.Options) (*badger.Manifest, error) {
	path := filepath.Join(dir, manifestName)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("badgerstore: %w", err)
	}
	defer f.Close()
	var head [8]byte
	if _, err := f.ReadAt(head[:], 0); err != nil || string(head[:4]) != manifestMagic {
		return nil, badManifest(dir, path)
	}
	if v := binary.BigEndian.Uint16(head[6:]); v != manifestVersion {
		return nil, fmt.Errorf("badgerstore: %s was written by badger with manifest version %d, this release reads %d; take the matching badger to export it: %w",
			dir, v, manifestVersion, ballast.ErrUnknownVersion)
	}
	manifest, _, err := badger.ReplayManifestFile(f, binary.BigEndian.Uint16(head[4:]), *opt)
	if err != nil {
		return nil, &ballast.CorruptionError{Path: path, Offset: -1, Err: fmt.Errorf("%w; %s", err, adviseParts)}
	}
	return &manifest, nil
}

// checkTables checks every table that the manifest names.
func checkTables(dir string, manifest badger.Manifest) (keys tableKeys, err error) {
	for id, t := range manifest.Tables {
		if t.KeyID != 0 {
			keys.any, keys.ours = true, true // encrypted: only badger can tell
			continue
		}
		ours, err := checkTable(table.NewFilename(id, dir), t.Compression)
		if err != nil {
			return keys, err
		}
		keys.any, keys.ours = true, keys.ours || ours
	}
	return keys, nil
}

// badManifest tells a damaged manifest from another program's file of that name.
func badManifest(dir, path string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && checkLeft(dir, entries) != nil {
		return &ballast.CorruptionError{Path: path, Offset: 0, Err: errors.New("this is no manifest of badger, and the rest of the folder is badger's; " + adviseParts)}
	}
	return fmt.Errorf("badgerstore: %s is not badger's manifest; give an empty folder or one of a badgerstore: %w",
		path, ballast.ErrForeign)
}

// checkTable reads a whole table and verifies its checksums. Badger treats a block that it cannot read
// as if its keys were not there, so a damaged entry would be missing in silence.
func checkTable(path string, compression options.CompressionType) (ours bool, err error) {
	damaged := func(cause error) error {
		return &ballast.CorruptionError{Path: path, Offset: -1, Err: fmt.Errorf("%w; %s", cause, adviseParts)}
	}
	defer func() {
		if r := recover(); r != nil {
			err = damaged(fmt.Errorf("badger panicked: %v", r))
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if err := checkFooter(path); err != nil {
		return false, damaged(err)
	}
	file, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if err != nil {
		return false, fmt.Errorf("badgerstore: %w", err)
	}
	t, err := table.OpenTable(file, table.Options{
		ReadOnly: true, ChkMode: options.OnTableRead, Compression: compression, BlockSize: 4096,
	})
	if err != nil {
		return false, damaged(err) // table has closed the file or not; Open fails in any case
	}
	defer t.Close(-1)
	it := t.NewIterator(table.NOCACHE)
	defer it.Close()
	for _, prefix := range prefixes {
		it.Seek(atVersion(prefix, 1<<63))
		if it.Valid() && strings.HasPrefix(string(it.Key()), prefix) {
			return true, nil
		}
	}
	return false, nil
}

// checkFooter checks the lengths at the end of a table, for which badger would end the process: length
// and checksum of the index come last, each behind what it is of.
func checkFooter(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	end := st.Size()
	for range 2 {
		var b [4]byte
		if _, err := f.ReadAt(b[:], max(end-4, 0)); err != nil || end < 4 {
			return errors.New("the table is too short")
		}
		end -= 4 + int64(binary.BigEndian.Uint32(b[:]))
		if end < 0 {
			return errors.New("the table's footer has a wrong length")
		}
	}
	return nil
}

// heldBytes returns where the last byte of a file that is not zero ends: badger sets the size of a write-ahead log ahead of what it holds.
func heldBytes(path string, size int64) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("badgerstore: %w", err)
	}
	defer f.Close()
	buf := make([]byte, 256<<10)
	for end := size; end > 0; {
		n := min(end, int64(len(buf)))
		if _, err := f.ReadAt(buf[:n], end-n); err != nil {
			return 0, fmt.Errorf("badgerstore: %w", err)
		}
		for i := n; i > 0; i-- {
			if buf[i-1] != 0 {
				return end - n + i, nil
			}
		}
		end -= n
	}
	return 0, nil
}
