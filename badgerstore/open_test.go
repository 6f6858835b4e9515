package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/logcodec"
)

// TestSecondOpener has the directory open and opens it again, as Ballast and as raft-badger do it.
func TestSecondOpener(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	want := entries(1, 3, "entry", 100)
	mustStore(t, s, want)
	locked, ok := errors.AsType[*ballast.LockedError](failOpen(t, s.dir, nil))
	if !ok || locked.Path != s.dir {
		t.Errorf("the second opener got %v; want a LockedError that names %s", locked, s.dir)
	}
	if db, err := badger.Open(badger.DefaultOptions(s.dir).WithLogger(nil)); err == nil {
		db.Close()
		t.Error("badger itself opened the directory as well")
	}
	check(t, s, want)
	mustClose(t, s)

	db, err := badger.Open(badger.DefaultOptions(s.dir).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := failOpen(t, s.dir, nil); !errors.Is(err, ballast.ErrLocked) {
		t.Errorf("beside badger itself: %v; want ErrLocked", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, mustOpen(t, s.dir, nil), want)
}

// TestForeign has paths that hold something else. Nothing may change there.
func TestForeign(t *testing.T) {
	foreignBadger := t.TempDir()
	db, err := badger.Open(badger.DefaultOptions(foreignBadger).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(txn *badger.Txn) error {
		return errors.Join(txn.Set([]byte("aaa"), []byte("1")), txn.Set([]byte("logs"), []byte("1")), txn.Set([]byte("zzz"), []byte("1")))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	folder := func(name, content string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for name, dir := range map[string]string{
		"raft-boltdb's file":                    filepath.Join(folder("raft.db", "bolt"), "raft.db"),
		"the folder of raft-boltdb's file":      folder("raft.db", "bolt"),
		"raft-wal's folder":                     folder("wal-meta.db", "bolt"),
		"a manifest that is not badger's":       folder("MANIFEST", "Manifest-Version: 1.0"),
		"a badger database of something else":   foreignBadger,
		"a folder with a file among badger's":   folder("000001.vlog.bak", ""),
		"a LevelDB (its manifest has a number)": folder("MANIFEST-000001", ""),
	} {
		t.Run(name, func(t *testing.T) {
			before := ""
			if st, err := os.Stat(dir); err == nil && st.IsDir() {
				before = listing(t, dir)
			}
			if err := failOpen(t, dir, nil); !errors.Is(err, ballast.ErrForeign) {
				t.Errorf("Open: %v; want ErrForeign", err)
			}
			if before != "" && listing(t, dir) != before {
				t.Errorf("the folder has changed:\n%s\n%s", before, listing(t, dir))
			}
		})
	}
}

// TestBesideOthers has folders that are no hindrance: raft keeps its snapshots in the same place.
func TestBesideOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "raft") // neither is there yet
	if err := os.MkdirAll(filepath.Join(dir, "snapshots", "1-2-3"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir, nil)
	mustStore(t, s, entries(1, 2, "entry", 10))
	mustClose(t, s)
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, mustOpen(t, dir, nil), entries(1, 2, "entry", 10))
}

// TestBadPaths has paths that cannot be a store.
func TestBadPaths(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(file, "below"), strings.Repeat("x", 300), "a\x00b"} {
		if err := failOpen(t, dir, nil); !strings.Contains(err.Error(), "path") {
			t.Errorf("%.20q: %v; want one that says what to do about the path", dir, err)
		}
	}
}

// TestUnknownVersion has a manifest as a later badger would write it.
func TestUnknownVersion(t *testing.T) {
	dir := copyFixture(t, "raft-badger-default")
	patch(t, filepath.Join(dir, "MANIFEST"), 7, 9)
	if err := failOpen(t, dir, nil); !errors.Is(err, ballast.ErrUnknownVersion) {
		t.Errorf("Open: %v; want ErrUnknownVersion", err)
	}
}

// patch sets one byte of a file.
func patch(t *testing.T, path string, offset int64, value byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{value}, offset)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedTable flips bytes all over a table. Open says that it is damaged, where badger would
// leave entries out or end the process, and the directory is not locked afterwards.
func TestDamagedTable(t *testing.T) {
	dir := copyFixture(t, "raft-badger-snappy")
	path := filepath.Join(dir, "000001.sst")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(20261123)
	random := rand.New(rand.NewPCG(seed, 0))
	offsets := []int{0, len(whole) - 1, len(whole) - 2, len(whole) - 4, len(whole) - 5}
	for range 40 {
		offsets = append(offsets, random.IntN(len(whole)))
	}
	for _, offset := range offsets {
		patch(t, path, int64(offset), whole[offset]^0x40)
		err := failOpen(t, dir, nil)
		if damage, ok := errors.AsType[*ballast.CorruptionError](err); !ok || damage.Path != path {
			t.Errorf("byte %d (seed %d): %v; want a CorruptionError of %s", offset, seed, err, path)
		}
		patch(t, path, int64(offset), whole[offset])
	}
	for _, size := range []int64{0, 3, 100, int64(len(whole)) - 1} {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := failOpen(t, dir, nil); !errors.Is(err, ballast.ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v; want ErrCorrupt", size, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := failOpen(t, dir, nil); !errors.Is(err, ballast.ErrCorrupt) {
		t.Errorf("without the table: %v; want ErrCorrupt", err)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	mustClose(t, mustOpen(t, dir, nil))
}

// TestDamagedFiles has the other files of badger.
func TestDamagedFiles(t *testing.T) {
	for _, test := range []struct {
		name, file string
		content    string
	}{
		{"a manifest with nothing in it", "MANIFEST", ""},
		{"a manifest with a damaged record", "MANIFEST", "Bdgr\x00\x00\x00\x08\x00\x00\x00\x02\x00\x00\x00\x00ab"},
		{"statistics for which badger ends the process", "DISCARD", "12345"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := copyFixture(t, "raft-badger-default")
			if err := os.WriteFile(filepath.Join(dir, test.file), []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := failOpen(t, dir, nil); !errors.Is(err, ballast.ErrCorrupt) {
				t.Errorf("Open: %v; want ErrCorrupt", err)
			}
		})
	}
}

// TestDamagedValueLog flips a byte of an entry that lies in the value log: only that entry is damaged.
func TestDamagedValueLog(t *testing.T) {
	s := mustOpen(t, t.TempDir(), smallFiles())
	mustStore(t, s, entries(1, 3, "entry", 100<<10))
	if err := s.Set([]byte("big"), bytes.Repeat([]byte("stable"), 20<<10)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	files, err := filepath.Glob(filepath.Join(s.dir, "*.vlog"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"entry 2;", "stable"} {
			if at := bytes.Index(content, []byte(text)); at >= 0 {
				patch(t, path, int64(at)+3, '!')
			}
		}
	}
	// A read-only store, for badger cuts a damaged end off its last value log file.
	s = mustOpen(t, s.dir, &Options{ReadOnly: true, MaxEntryBytes: smallFiles().MaxEntryBytes, Badger: smallFiles().Badger})
	var log raft.Log
	damage, ok := errors.AsType[*ballast.CorruptionError](s.GetLog(2, &log))
	if !ok || damage.Index != 2 || damage.Path != s.dir || !errors.Is(damage, errUnread) {
		t.Errorf("entry 2: %v; want a CorruptionError of it that names the checksum", damage)
	}
	if v, err := s.Get([]byte("big")); !errors.Is(err, ballast.ErrCorrupt) {
		t.Errorf("the stable value: %d bytes, %v; want ErrCorrupt", len(v), err)
	}
	for _, index := range []uint64{1, 3} {
		if err := s.GetLog(index, &log); err != nil || log.Index != index {
			t.Errorf("entry %d: %v", index, err)
		}
	}
}

// TestUndecodable has values under an entry's key that are not that entry.
func TestUndecodable(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	mustStore(t, s, entries(1, 5, "entry", 10))
	err := s.commit(func(txn *badger.Txn, _ uint64) error {
		return errors.Join(txn.Set(logKey(2), []byte("no map")), txn.Set(logKey(3), nil),
			txn.Set(logKey(4), logcodec.Append(nil, &raft.Log{Index: 5}, logcodec.ClassicTime)))
	})
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, s.dir, nil)
	for index := uint64(2); index <= 4; index++ {
		log := raft.Log{Term: 99}
		damage, ok := errors.AsType[*ballast.CorruptionError](s.GetLog(index, &log))
		if !ok || damage.Index != index || damage.Offset != -1 || log.Term != 99 {
			t.Errorf("entry %d: %v, and %+v", index, damage, log)
		}
	}
}

// TestOwnRecordsDamaged has Ballast's own keys with values that cannot be.
func TestOwnRecordsDamaged(t *testing.T) {
	marker := string([]byte{markerVersion, 0, 0, 0, 1, 0, 0, 0, 1})
	for _, test := range []struct {
		key, value string
		want       error
	}{
		{commitKey, "short", ballast.ErrCorrupt},
		{gravesKey, "\x01", ballast.ErrCorrupt},
		{gravesKey, "\x01\x00" + strings.Repeat("\xff", 16) + "12345678" + strings.Repeat("\x00", 24), ballast.ErrCorrupt},
		{gravesKey, "\x02\x00", ballast.ErrUnknownVersion},
		{markerKey, "\x02", ballast.ErrUnknownVersion},
		{markerKey, "\x01", ballast.ErrCorrupt},
		{markerKey, marker, ballast.ErrCorrupt},
	} {
		t.Run(fmt.Sprintf("%s %q", test.key, test.value), func(t *testing.T) {
			s := mustOpen(t, t.TempDir(), nil)
			err := s.commit(func(txn *badger.Txn, _ uint64) error { return txn.Set([]byte(test.key), []byte(test.value)) })
			if err != nil {
				t.Fatal(err)
			}
			mustClose(t, s)
			for range 2 { // the second time it is not locked either
				if err := failOpen(t, s.dir, nil); !errors.Is(err, test.want) {
					t.Errorf("Open: %v; want %v", err, test.want)
				}
			}
		})
	}
}

// TestOptions has options that are refused, each for a reason that the error names.
func TestOptions(t *testing.T) {
	set := func(f func(o *badger.Options)) Options { return Options{Badger: f} }
	for name, opts := range map[string]Options{
		"Compression":             {Compression: 7},
		"MaxEntryBytes":           {MaxEntryBytes: -1},
		"GCDiscardRatio":          {GCDiscardRatio: 1},
		"SyncWrites":              set(func(o *badger.Options) { o.SyncWrites = false }),
		"Dir":                     set(func(o *badger.Options) { o.Dir = "elsewhere" }),
		"ValueDir":                set(func(o *badger.Options) { o.ValueDir = "elsewhere" }),
		"InMemory":                set(func(o *badger.Options) { o.InMemory = true }),
		"ReadOnly":                set(func(o *badger.Options) { o.ReadOnly = true }),
		"NumVersionsToKeep":       set(func(o *badger.Options) { o.NumVersionsToKeep = 2 }),
		"NamespaceOffset":         set(func(o *badger.Options) { o.NamespaceOffset = 3 }),
		"BypassLockGuard":         set(func(o *badger.Options) { o.BypassLockGuard = !o.BypassLockGuard }),
		"Logger":                  set(func(o *badger.Options) { o.Logger = nil }),
		"ValueThreshold":          set(func(o *badger.Options) { o.ValueThreshold = 1 }),
		"MemTableSize":            set(func(o *badger.Options) { o.MemTableSize = 64 << 10 }),
		"BlockCacheSize":          set(func(o *badger.Options) { o.BlockCacheSize = 0 }),
		"NumLevelZeroTablesStall": set(func(o *badger.Options) { o.NumLevelZeroTablesStall = 1 }),
		"VLogPercentile":          set(func(o *badger.Options) { o.VLogPercentile = 0.5 }),
	} {
		dir := filepath.Join(t.TempDir(), "raft")
		if err := failOpen(t, dir, &opts); !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLogger has badger's messages in the caller's logger.
func TestLogger(t *testing.T) {
	var out bytes.Buffer
	opts := Options{Logger: slog.New(slog.NewTextHandler(&out, nil)), GCInterval: -1}
	mustClose(t, mustOpen(t, t.TempDir(), &opts))
	if !strings.Contains(out.String(), "component=badger") || !strings.Contains(out.String(), "tables opened") {
		t.Errorf("the log is %q", out.String())
	}
}

// TestBadgersMessages looks for the messages that Ballast listens to in badger's source. A badger that
// has others needs
// logger.go to be thought over.
func TestBadgersMessages(t *testing.T) {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/dgraph-io/badger/v4").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ file, call string }{
		{"value.go", fmt.Sprintf("Errorf(%q, err)", formatSyncFailed)},
		{"value.go", fmt.Sprintf("Infof(%q, f.fid)", formatRewriting)},
		{"value.go", fmt.Sprintf("Infof(%q, f.fid)", formatRemoving)},
		{"db.go", fmt.Sprintf("Errorf(%q, err)", formatFlushFailed)},
	} {
		source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), want.file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(source, []byte(want.call)) {
			t.Errorf("%s has no %s", want.file, want.call)
		}
	}
}
