package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/oracle"
)

// onceLarge makes a file in which much was deleted, and returns what is in it.
func onceLarge(t *testing.T, path string) *oracle.Model {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("windows cannot replace a file that is open")
	}
	s := open(t, path, &boltstore.Options{NoSync: true})
	m, rng := oracle.NewModel(), oracle.Random(1)
	for range 10 {
		logs := oracle.Entries(rng, m.Last()+1, 50, 4<<10)
		m.Put(logs, logs[10].Index)
		must(t, s.StageCommitIndex(logs[10].Index))
		must(t, s.StoreLogs(logs))
	}
	m.Delete(1, 400)
	must(t, s.DeleteRange(1, 400))
	m.Stable["CurrentTerm"] = []byte("\x00\x00\x00\x00\x00\x00\x00\x07")
	must(t, s.SetUint64([]byte("CurrentTerm"), 7))
	m.Stable["empty"] = []byte{}
	must(t, s.Set([]byte("empty"), nil))
	must(t, s.Sync())
	closeStore(t, s)
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holds checks what is in a file, and that it can be written.
func holds(t *testing.T, path string, m *oracle.Model) {
	t.Helper()
	s := open(t, path, nil)
	if _, err := oracle.Find(s, m); err != nil {
		t.Error(err)
	}
	must(t, s.Set([]byte("a key"), nil))
	must(t, s.DeleteKey([]byte("a key")))
	closeStore(t, s)
}

func TestCompact(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "data", "raft.db"), filepath.Join(dir, "link.db")
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	m := onceLarge(t, path)
	must(t, os.Symlink(path, link))
	must(t, os.Chmod(path, 0o640))
	if os.Geteuid() == 0 {
		must(t, os.Chown(path, 1234, 2345))
	}
	must(t, os.WriteFile(path+".compact", []byte("left by a crash"), 0o600))
	before, err := os.Stat(path)
	must(t, err)
	must(t, boltstore.Compact(t.Context(), link))
	after, err := os.Stat(path)
	must(t, err)
	if after.Size() > before.Size()/3 || after.Mode() != before.Mode() || !sameOwner(before, after) {
		t.Errorf("before %d bytes, %v; after %d bytes, %v", before.Size(), before.Mode(), after.Size(), after.Mode())
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is none any more: %v, %v", info, err)
	}
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
		t.Errorf("there are %v, %v", names, err)
	}
	holds(t, link, m)
}

func TestCompactRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	if err := boltstore.Compact(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	m := onceLarge(t, path)
	content, err := os.ReadFile(path)
	must(t, err)
	s := open(t, path, nil)
	if err := boltstore.Compact(t.Context(), path); !errors.Is(err, ballast.ErrLocked) {
		t.Errorf("of a file in use: %v", err)
	}
	closeStore(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := boltstore.Compact(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("ended early: %v", err)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != string(content) {
		t.Errorf("the file has changed, %v", err)
	}
	if _, err := os.Stat(path + ".compact"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the new file is left: %v", err)
	}
	holds(t, path, m)
}

// Whoever has opened the old file and waits for its lock must not write to it: nobody finds that again.
func TestCompactBesideAWaiter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	m := onceLarge(t, path)
	old, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	must(t, boltstore.Compact(t.Context(), path))
	// raft-boltdb, which waits for ever.
	_, err = bbolt.Open(path, 0o600, &bbolt.Options{OpenFile: func(string, int, os.FileMode) (*os.File, error) { return old, nil }})
	if !errors.Is(err, bolterrors.ErrInvalid) {
		t.Errorf("the old file opens: %v", err)
	}
	// boltstore opens the new one.
	again := path + ".old"
	must(t, os.WriteFile(again, make([]byte, 1<<20), 0o600))
	first := true
	s, err := boltstore.Open(path, &boltstore.Options{Bolt: &bbolt.Options{OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
		if first {
			name, first = again, false
		}
		return os.OpenFile(name, flag, mode)
	}}})
	must(t, err)
	if _, err := oracle.Find(s, m); err != nil {
		t.Error(err)
	}
	closeStore(t, s)
}

const compactPath = "BOLTSTORE_TEST_COMPACT"

// TestCompactKilled kills a process that writes a file anew, again and again. The old or the new file is there.
func TestCompactKilled(t *testing.T) {
	t.Parallel()
	if path := os.Getenv(compactPath); path != "" {
		fmt.Println("ready")
		for {
			must(t, boltstore.Compact(t.Context(), path))
		}
	}
	path := filepath.Join(t.TempDir(), "raft.db")
	m := onceLarge(t, path)
	executable, err := os.Executable()
	must(t, err)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := oracle.Random(seed)
	for range 8 {
		cmd := exec.Command(executable, "-test.run=^TestCompactKilled$")
		cmd.Env = append(os.Environ(), compactPath+"="+path)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		_, err = out.Read(make([]byte, 6))
		must(t, err)
		time.Sleep(time.Duration(rng.IntN(30_000)) * time.Microsecond)
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // reports the kill
		holds(t, path, m)
	}
}
