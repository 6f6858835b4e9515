package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/wal"
)

// asWriter makes the test binary write to the log that it names, until it is killed. It prints the index of each entry that was
// acknowledged.
const asWriter = "BALLAST_TEST_AS_WRITER"

const (
	writerKeeps    = 200
	writerDeletes  = 100
	writerSegments = 1 << 20
)

func writeForever(dir string) error {
	log, err := wal.Open(dir, &wal.Options{SegmentBytes: writerSegments})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	for index := uint64(1); ; index++ {
		if err := errors.Join(log.StageCommitIndex(index-1), log.StoreLog(peerEntry(index))); err != nil {
			return err
		}
		fmt.Fprintln(out, index)
		if err := out.Flush(); err != nil {
			return err
		}
		if index%writerDeletes == 0 && index > writerKeeps {
			if err := errors.Join(log.SetUint64([]byte("CurrentTerm"), index), log.DeleteRange(1, index-writerKeeps)); err != nil {
				return err
			}
		}
	}
}

// TestBackupBesideWriter copies a log that another process writes, and in which segments are used again all the time. Each copy opens,
// holds what had been acknowledged before it began, and has no hole.
func TestBackupBesideWriter(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "wal")
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), asWriter+"="+log)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill() // it may be gone
		_ = cmd.Wait()
	}()
	var acknowledged atomic.Uint64
	begun := make(chan struct{})
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			index, _ := strconv.ParseUint(lines.Text(), 10, 64) // it prints nothing else
			if acknowledged.Swap(index) < 3*writerKeeps && index >= 3*writerKeeps {
				close(begun)
			}
		}
	}()
	<-begun
	for round := range 5 {
		before := acknowledged.Load()
		copied := filepath.Join(dir, fmt.Sprint("copy", round))
		status, stdout, stderr := runBallast("backup", "--json", "wal:"+log, copied)
		if status != 0 {
			t.Fatalf("round %d: status %d, %s", round, status, stderr)
		}
		var said backupJSON
		must(t, json.NewDecoder(strings.NewReader(stdout)).Decode(&said))
		checkCopy(t, copied, before, said)
		must(t, os.RemoveAll(copied))
	}
}

func checkCopy(t *testing.T, dir string, acknowledged uint64, said backupJSON) {
	t.Helper()
	s, err := wal.Open(dir, nil)
	must(t, err)
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	commit, _ := s.GetCommitIndex()
	if first != *said.FirstIndex || last != *said.LastIndex || commit != *said.CommitIndex || last < acknowledged || commit+1 != last || last-first+1 != said.Entries {
		t.Errorf("entries %d to %d, commit index %d, of %d that were acknowledged; it said %+v", first, last, commit, acknowledged, said)
	}
	for index := first; index <= last; index++ {
		got := new(raft.Log)
		must(t, s.GetLog(index, got))
		if !sameEntry(got, peerEntry(index)) {
			t.Fatalf("entry %d is another one", index)
		}
	}
	must(t, s.StoreLog(peerEntry(last+1)))
	must(t, s.Close())
}

// runWriter is what TestMain does in the process of the writer.
func runWriter(dir string, stderr io.Writer) int {
	fmt.Fprintln(stderr, writeForever(dir))
	return 1
}
