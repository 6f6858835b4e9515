package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// TestCompact gives back what was deleted, also where half of the entries of a file live.
func TestCompact(t *testing.T) {
	s := mustOpen(t, t.TempDir(), smallFiles())
	for first := uint64(1); first <= 100; first += 4 {
		mustStore(t, s, entries(first, first+3, "entry", 200<<10))
	}
	if err := errors.Join(s.SetUint64([]byte("CurrentTerm"), 7), s.DeleteRange(0, 80)); err != nil {
		t.Fatal(err)
	}
	if err := Compact(t.Context(), s.dir, smallFiles()); !errors.Is(err, ballast.ErrLocked) {
		t.Errorf("of a store in use: %v", err)
	}
	mustClose(t, s)
	before := valueLogBytes(t, s.dir)
	if err := Compact(t.Context(), s.dir, smallFiles()); err != nil {
		t.Fatal(err)
	}
	if after := valueLogBytes(t, s.dir); before < 18<<20 || after > 6<<20 {
		t.Errorf("the value log had %d bytes and has %d; 4 MiB are live", before, after)
	}
	s = mustOpen(t, s.dir, smallFiles())
	check(t, s, entries(81, 100, "entry", 200<<10))
	if term, err := s.GetUint64([]byte("CurrentTerm")); term != 7 || err != nil {
		t.Errorf("the term is %d, %v", term, err)
	}
	mustStore(t, s, entries(101, 104, "entry", 200<<10))
	mustClose(t, s)
}

// A damaged entry and the good ones behind it stay as they are: badger would cut the value log off there.
func TestCompactOfADamagedEntry(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/raft-badger-default")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "000001.vlog")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[100000] ^= 0xff
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := Compact(t.Context(), dir, nil); !errors.Is(err, ballast.ErrCorrupt) {
		t.Errorf("Compact: %v", err)
	}
	s := mustOpen(t, dir, &Options{ReadOnly: true})
	damaged := 0
	for index := uint64(21); index <= 290; index++ {
		if err := s.GetLog(index, &raft.Log{}); errors.Is(err, ballast.ErrCorrupt) {
			damaged++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if damaged != 1 {
		t.Errorf("%d entries are damaged", damaged)
	}
	mustClose(t, s)
}

func TestCompactRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if err := Compact(t.Context(), dir, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has made one: %v", err)
	}
	mustClose(t, mustOpen(t, dir, smallFiles()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Compact(ctx, dir, smallFiles()); !errors.Is(err, context.Canceled) {
		t.Errorf("ended early: %v", err)
	}
	mustClose(t, mustOpen(t, dir, smallFiles()))
}

const compactDir = "BADGERSTORE_TEST_COMPACT"

// TestCompactKilled kills a process that compacts a directory, again and again. Nothing is lost and nothing comes back.
func TestCompactKilled(t *testing.T) {
	if dir := os.Getenv(compactDir); dir != "" {
		fmt.Println("ready")
		for {
			if err := Compact(t.Context(), dir, smallFiles()); err != nil {
				t.Fatal(err)
			}
		}
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	s := mustOpen(t, t.TempDir(), smallFiles())
	for round := uint64(0); round < 3; round++ {
		first := 100*round + 1
		for at := first; at < first+100; at += 4 {
			mustStore(t, s, entries(at, at+3, "entry", 50<<10))
		}
		if err := s.DeleteRange(0, first+60); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		cmd := exec.Command(executable, "-test.run=^TestCompactKilled$")
		cmd.Env = append(os.Environ(), compactDir+"="+s.dir)
		out, err := cmd.StdoutPipe()
		if err := errors.Join(err, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rng.IntN(80_000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // reports the kill
		s = mustOpen(t, s.dir, smallFiles())
		check(t, s, entries(first+61, first+99, "entry", 50<<10))
	}
	mustClose(t, s)
}
