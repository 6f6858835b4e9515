package badgerstore

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// killDir names the directory to the child process of TestKill.
const killDir = "BALLAST_BADGERSTORE_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		if err := writeForEver(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	// Opening and closing a badger is slow, and the random part of the conformance suite does little
	// else. A number that is given with -rapid.checks counts.
	flag.Parse()
	if checks := flag.Lookup("rapid.checks"); checks != nil && checks.Value.String() == checks.DefValue {
		if err := flag.Set("rapid.checks", "25"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// writeForEver writes batches of all sizes, deletions, votes and commit indexes and prints each one
// that was acknowledged, until it is killed. Generation n has one batch and what goes with it.
func writeForEver(dir string) error {
	s, err := Open(dir, smallFiles())
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	for n := last + 1; ; {
		size, count := 100, uint64(1+n%7)
		switch n % 5 {
		case 3:
			size = 30 << 10 // a large batch
			count = 8
		case 4:
			size = 100 << 10 // in the value log
		}
		if err := s.StageCommitIndex(n); err != nil {
			return err
		}
		if err := s.StoreLogs(entries(n, n+count-1, "kill", size)); err != nil {
			return err
		}
		n += count
		fmt.Println("last", n-1)
		if err := s.SetUint64([]byte("CurrentTerm"), n); err != nil {
			return err
		}
		fmt.Println("term", n)
		if n%11 == 0 && n > 50 {
			if err := s.DeleteRange(0, n-40); err != nil {
				return err
			}
			fmt.Println("first", n-39)
		}
	}
}

// TestKill kills a writing process with SIGKILL, several times over the same directory. What it had
// acknowledged is there.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	for round := range 4 {
		acked := runAndKill(t, dir, time.Duration(100+random.IntN(250))*time.Millisecond)
		s := mustOpen(t, dir, smallFiles())
		last, err := s.LastIndex()
		if err != nil || last < acked["last"] {
			t.Fatalf("round %d, seed %d: LastIndex is %d, %v; %d was acknowledged", round, seed, last, err, acked["last"])
		}
		first, err := s.FirstIndex()
		if err != nil || first < acked["first"] {
			t.Fatalf("round %d, seed %d: FirstIndex is %d, %v; %d was acknowledged", round, seed, first, err, acked["first"])
		}
		if term, err := s.GetUint64([]byte("CurrentTerm")); err != nil && acked["term"] > 0 || term < acked["term"] {
			t.Fatalf("round %d, seed %d: the term is %d, %v; %d was acknowledged", round, seed, term, err, acked["term"])
		}
		if commit, err := s.GetCommitIndex(); err != nil || commit > last || last > 0 && commit == 0 {
			t.Errorf("round %d, seed %d: the commit index is %d, %v; the last is %d", round, seed, commit, err, last)
		}
		for index := first; index <= last && last > 0; index++ {
			var log raft.Log
			prefix := fmt.Sprintf("kill %d;", index)
			if err := s.GetLog(index, &log); err != nil || !strings.HasPrefix(string(log.Data), prefix) {
				t.Fatalf("round %d, seed %d: entry %d is %.20q, %v", round, seed, index, log.Data, err)
			}
		}
		checkNoLeftovers(t, s)
		mustClose(t, s)
	}
}

// runAndKill runs writeForEver in a process of its own and returns the last number that was
// acknowledged of each kind.
func runAndKill(t *testing.T, dir string, after time.Duration) map[string]uint64 {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), killDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acked := make(map[string]uint64)
	lines := bufio.NewScanner(out)
	var kill *time.Timer
	for lines.Scan() {
		if kill == nil { // the time begins with the first write
			kill = time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
		var what string
		var number uint64
		if _, err := fmt.Sscan(lines.Text(), &what, &number); err != nil {
			t.Fatalf("the writing process says %q", lines.Text())
		}
		acked[what] = number
	}
	if err := cmd.Wait(); err == nil || kill == nil {
		t.Fatalf("the writing process was not killed: %v", err)
	}
	return acked
}
