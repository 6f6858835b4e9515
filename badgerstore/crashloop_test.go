package badgerstore

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/raft"
)

// TestCrashLoopDoesNotGrow kills a store again and again before it is closed, with little and with much in its write-ahead log. It takes no
// more memory and no larger files each time.
func TestCrashLoopDoesNotGrow(t *testing.T) {
	t.Parallel()
	const memTable = 256 << 10
	opts := &Options{ReserveBytes: -1, GCInterval: -1, Badger: func(o *badger.Options) {
		o.MemTableSize, o.ValueThreshold, o.NumCompactors = memTable, 16<<10, 0
	}}
	for name, count := range map[string]int{"little": 1, "much": 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "store")
			index := uint64(0)
			for crashes := range 3 {
				s, err := Open(dir, opts)
				if err != nil {
					t.Fatalf("after %d crashes: %v", crashes, err)
				}
				defer s.Close()
				for range count {
					index++
					l := &raft.Log{Index: index, Term: 1, Data: bytes.Repeat([]byte{1}, 12_000)}
					if err := s.StoreLog(l); err != nil {
						t.Fatal(err)
					}
				}
				checkLogs(t, dir, crashes, 2*memTable+memTable/8)
				crashed := filepath.Join(t.TempDir(), "store") // what a kill leaves: the files without the lock
				if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				dir = crashed
			}
		})
	}
}

// checkLogs waits until badger has one write-ahead log, since it writes what the ones before hold into tables in the background, and
// expects that it is not larger than most.
func checkLogs(t *testing.T, dir string, crashes int, most int64) {
	t.Helper()
	for {
		logs, err := filepath.Glob(filepath.Join(dir, "*"+memSuffix))
		if err != nil {
			t.Fatal(err)
		}
		if len(logs) != 1 {
			time.Sleep(time.Millisecond)
			continue
		}
		if st, err := os.Stat(logs[0]); err != nil || st.Size() > most {
			t.Fatalf("after %d crashes %s has %d bytes, that is more than %d: %v", crashes, filepath.Base(logs[0]), st.Size(), most, err)
		}
		return
	}
}
