package cli

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	sites "github.com/raft-ballast/ballast/internal/place"
	"github.com/raft-ballast/ballast/wal"
)

// damagedPeer puts a damaged log into a folder of its own, and returns its path and what is in it.
func damagedPeer(t *testing.T) (path string, content files) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "peer")
	writePeer(t, path, filepath.Join(t.TempDir(), "killed"))
	segment := filepath.Join(path, "0000000000000003.wal")
	data, err := os.ReadFile(segment)
	must(t, err)
	data[bytes.Index(data, []byte("entry 100;"))] ^= 1
	must(t, os.WriteFile(segment, data, 0o600))
	return path, snapshot(t, path)
}

// A store that is in use is not repaired.
func TestRepairLocked(t *testing.T) {
	path, _ := damagedPeer(t)
	log, err := wal.Open(path, nil)
	must(t, err)
	status, _, stderr := runBallast("repair", "--write", "--accept-loss", "wal:"+path)
	if status != ExitFailure || !strings.Contains(stderr, "another store has it open") {
		t.Errorf("status %d, %s", status, stderr)
	}
	must(t, log.Close())
}

// damagedBolt is a bbolt file with a damaged key.
func damagedBolt(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "raft.db")
	data, err := os.ReadFile("../../boltstore/testdata/raft-boltdb-v2.db")
	must(t, err)
	data[17489] ^= 1
	must(t, os.WriteFile(path, data, 0o600))
	return path
}

// raft-boltdb waits for ever for the lock of a file that it has opened, and goes on with it whatever that is called by then. The repair gives the
// file its name back, and says so.
func TestRepairBesideAWaiter(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this system does not tell whether somebody has a file open")
	}
	path := damagedBolt(t)
	waiter, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	status, _, stderr := runBallast("repair", "--write", "--accept-loss", path)
	if entries, err := os.ReadDir(filepath.Dir(path)); status != ExitFailure || !strings.Contains(stderr, "who waits to use it") || err != nil || len(entries) != 1 {
		t.Errorf("status %d, %s; there are %v, %v", status, stderr, entries, err)
	}
	mine, err := waiter.Stat()
	must(t, err)
	if named, err := os.Stat(path); err != nil || !os.SameFile(mine, named) {
		t.Errorf("who waits has another file than the one of the name, %v", err)
	}
	must(t, waiter.Close())
	if status, _, stderr := runBallast("repair", "--write", "--accept-loss", path); status != 0 {
		t.Errorf("later: status %d, %s", status, stderr)
	}
}

// Where the system does not tell who has a file open, whoever waits for it comes forward when the repair has given up its lock.
func TestRepairBesideAnUnseenWaiter(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows gives no other name to a file that somebody has open")
	}
	defer func() { writers = sites.Writers }()
	for says, goesOn := range map[string]bool{"who waits to use it": true, "a peer has run on it": false} {
		t.Run(says, func(t *testing.T) {
			path := damagedBolt(t)
			lock, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true}) // so that it waits
			must(t, err)
			opened, voted, over := make(chan struct{}), make(chan error, 1), make(chan struct{})
			go func() {
				db, err := bbolt.Open(path, 0o600, &bbolt.Options{OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
					defer close(opened)
					return os.OpenFile(name, flag, mode)
				}})
				if err == nil {
					err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("conf")).Put([]byte("CurrentTerm"), []byte{7: 66}) })
				}
				if goesOn {
					voted <- err
					<-over
				}
				voted <- errors.Join(err, db.Close())
			}()
			<-opened
			writers = func(string) bool {
				must(t, lock.Close())
				select {
				case err := <-voted:
					must(t, err)
				case <-time.After(10 * time.Second):
					t.Error("who waits does not get the lock")
				}
				return false
			}
			status, stdout, stderr := runBallast("repair", "--write", "--accept-loss", path)
			close(over)
			if goesOn {
				must(t, <-voted) // now it has closed it
			}
			if entries, err := os.ReadDir(filepath.Dir(path)); status != ExitFailure || !strings.Contains(stderr, says) || err != nil || len(entries) != 1 {
				t.Errorf("status %d, %s%s; there are %v, %v", status, stdout, stderr, entries, err)
			}
			if _, stdout, _ := runBallast("stable", "get", "bolt:"+path, "CurrentTerm"); strings.TrimSpace(stdout) != "66" {
				t.Errorf("the term is %s", stdout)
			}
		})
	}
}

// What a repair writes has the owner and the mode of what was there, and all of that is still there.
func TestRepairKeeps(t *testing.T) {
	path, _ := damagedPeer(t)
	must(t, os.Chmod(path, 0o750))
	for _, name := range []string{"0000000000000001.wal", "0000000000000002.wal", "0000000000000003.wal"} {
		must(t, os.Chmod(filepath.Join(path, name), 0o640))
	}
	before := snapshot(t, path)
	if status, _, stderr := runBallast("repair", "--write", "--accept-loss", path); status != 0 {
		t.Fatalf("status %d, %s", status, stderr)
	}
	quarantined, err := filepath.Glob(path + ".quarantine-*")
	must(t, err)
	if len(quarantined) != 1 {
		t.Fatalf("%q", quarantined)
	}
	after := files{}
	for name, what := range snapshot(t, quarantined[0]) {
		after[strings.Replace(name, quarantined[0], path, 1)] = what
	}
	before.compare(t, []string{"repair"}, after)
	for name, mode := range map[string]os.FileMode{"": os.ModeDir | 0o750, "0000000000000001.wal": 0o640} {
		info, err := os.Stat(filepath.Join(path, name))
		must(t, err)
		if info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", info.Name(), info.Mode(), mode)
		}
	}
	if left, err := filepath.Glob(filepath.Dir(path) + "/.*"); err != nil || len(left) > 0 {
		t.Errorf("%q is left, %v", left, err)
	}
}

// A repair that is killed at any moment leaves the old store in its place, or the new one, and never loses a byte of the old one.
func TestRepairKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts many processes")
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	exe, err := os.Executable()
	must(t, err)
	old, repaired := 0, 0
	for round := range 20 {
		path, before := damagedPeer(t)
		cmd := exec.Command(exe, "repair", "--write", "--accept-loss", path)
		must(t, cmd.Start())
		time.Sleep(time.Duration(rng.IntN(120)) * time.Millisecond)
		_ = cmd.Process.Kill() // it may be over
		_ = cmd.Wait()
		status, stdout, stderr := runBallast("verify", "wal:"+path)
		switch status {
		case ExitCorrupt:
			old++
			before.compare(t, []string{"a repair that was killed"}, snapshot(t, path))
		case 0:
			repaired++
			if !strings.Contains(stdout, "good, 89 entries from 11 to 99 read") || !hasAll(t, path, before) {
				t.Errorf("seed %d, round %d: %s", seed, round, stdout)
			}
		default:
			t.Errorf("seed %d, round %d: status %d, %s", seed, round, status, stderr)
		}
		// The next one does what is left to do.
		runBallast("repair", "--write", "--accept-loss", "wal:"+path)
		if status, stdout, _ := runBallast("verify", filepath.Dir(path)); status != 0 {
			t.Errorf("seed %d, round %d: afterwards %s", seed, round, stdout)
		}
	}
	t.Logf("seed %d: the old store %d times, the new one %d times", seed, old, repaired)
}

// hasAll reports whether a folder that was put aside has all that was there before.
func hasAll(t *testing.T, path string, before files) bool {
	quarantined, err := filepath.Glob(path + ".quarantine-*")
	must(t, err)
	for _, dir := range quarantined {
		same := true
		now := snapshot(t, dir)
		for name, what := range before {
			same = same && now[strings.Replace(name, path, dir, 1)] == what
		}
		if same {
			return true
		}
	}
	return false
}

// A crash may leave nothing in the place of a store, which has another name, and beside it the one that was to come. No engine begins with an
// empty one then, the command says what to do, and gives the store its name back, with what somebody has written to it since.
func TestUnplaced(t *testing.T) {
	for _, e := range engines {
		if e.open == nil {
			continue
		}
		for _, made := range []bool{false, true} { // a service makes the folder that it needs, or the file
			t.Run(fmt.Sprintf("%s, made %v", e.name, made), func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, e.file)
				kept := path + ".quarantine-20260102T030405Z"
				for _, old := range []struct {
					at   string
					term uint64
				}{{kept, 6}, {path + ".new", 5}} {
					s, err := e.open(path)
					must(t, err)
					must(t, s.SetUint64([]byte("CurrentTerm"), old.term))
					must(t, s.Close())
					must(t, os.Rename(path, old.at))
				}
				site := filepath.Join(dir, "."+e.file+".ballast-new")
				must(t, os.Mkdir(site, 0o700))
				must(t, os.WriteFile(filepath.Join(site, e.file+".kept"), []byte(filepath.Base(kept)), 0o600))
				must(t, os.Rename(path+".new", path+".ballast-ready"))
				switch {
				case made && e.name == "bolt":
					must(t, os.WriteFile(path, nil, 0o600))
				case made:
					must(t, os.Mkdir(path, 0o700))
				}
				if s, err := e.open(path); !errors.Is(err, ballast.ErrUnfinished) {
					t.Errorf("a new store is made: %v, %v", s, err)
				}
				says := "`ballast repair --write " + path + "` gives it its name back and begins anew"
				for _, args := range [][]string{{"info", dir}, {"repair", dir}, {"repair", path}} {
					if status, _, stderr := runBallast(args...); status != ExitFailure || !strings.Contains(stderr, says) {
						t.Errorf("%v: status %d, %s", args, status, stderr)
					}
				}
				link := filepath.Join(t.TempDir(), "link")
				must(t, os.Symlink(path, link))
				if s, err := e.open(link); err == nil {
					t.Errorf("a new store is made where a link leads to: %v", s)
				}
				if status, _, stderr := runBallast("repair", "--write", e.name+":"+link); status != 0 {
					t.Fatalf("status %d, %s", status, stderr)
				}
				if status, stdout, stderr := runBallast("stable", "get", path, "CurrentTerm"); status != 0 || strings.TrimSpace(stdout) != "6" {
					t.Errorf("status %d, the term is %s; %s", status, stdout, stderr)
				}
				if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
					t.Errorf("there are %v, %v", left, err)
				}
			})
		}
	}
}
