package cli

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/wal"
)

// TestGroupKilled kills `ballast migrate --group` at any moment, while it adds a group to a log that is there: the group is whole, or does
// not open, and the others are as they were.
func TestGroupKilled(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	from := large(t)
	dir := filepath.Join(t.TempDir(), "shared")
	before := filepath.Join(filepath.Dir(dir), "cluster")
	writeCluster(t, before, before+".db")
	migrate := func(args ...string) {
		t.Helper()
		if status, _, stderr := runBallast(append([]string{"migrate"}, args...)...); status != 0 {
			t.Fatalf("%v: status %d, %s", args, status, stderr)
		}
	}
	migrate("--group", "1", before+".db", "wal:"+dir)
	begun := time.Now()
	migrate("--group", "2", "bolt:"+from, "wal:"+dir)
	took := time.Since(begun)
	states := map[string]int{}
	for id, killed := uint64(7), 0; killed < *kills && !t.Failed(); {
		cmd := exec.Command(os.Args[0], "migrate", "--group", groupText(id), "bolt:"+from, "wal:"+dir)
		must(t, cmd.Start())
		timer := time.AfterFunc(time.Duration(rng.Int64N(int64(took)+1)), func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		state := stateOf(t, dir, id)
		states[state]++
		switch {
		case err == nil && state != "whole":
			t.Errorf("migrate says that it is done, and group %d is %s", id, state)
		case err != nil:
			killed++
		}
		if state == "whole" {
			checkGroup(t, from, dir, id)
			id++
		}
		if status, stdout, stderr := runBallast("diff", "--group", "1", before+".db", "wal:"+dir); status != 0 {
			t.Errorf("group 1 is another one: %s%s", stdout, stderr)
		}
		if t.Failed() {
			t.Logf("kill %d, seed %d: %v", killed, seed, err)
		}
		if killed == *kills && state != "whole" { // it is made anew
			migrate("--group", groupText(id), "bolt:"+from, "wal:"+dir)
			checkGroup(t, from, dir, id)
		}
	}
	t.Logf("%v", states)
}

func groupText(id uint64) string { return (&groupFlag{id, true}).String() }

// stateOf says whether a group is whole, unfinished or not there, as the command and the library see it.
func stateOf(t *testing.T, dir string, id uint64) string {
	t.Helper()
	status, stdout, stderr := runBallast("info", "--json", "wal:"+dir)
	if status != 0 {
		t.Fatalf("info: status %d, %s", status, stderr)
	}
	var info struct{ Groups []groupJSON }
	must(t, json.Unmarshal([]byte(stdout), &info))
	state := "not there"
	for _, g := range info.Groups {
		if g.Group == id {
			state = "whole"
			if g.Unfinished {
				state = "unfinished"
			}
		}
	}
	gs, err := wal.OpenGroups(dir, nil)
	must(t, err)
	defer gs.Close()
	s, err := gs.Store(id)
	if errors.Is(err, ballast.ErrUnfinished) != (state == "unfinished") {
		t.Errorf("group %d is %s for info, and opening it says %v", id, state, err)
	}
	if state == "not there" {
		if last, err := s.LastIndex(); last != 0 || err != nil {
			t.Errorf("group %d has entries up to %d, %v", id, last, err)
		}
	}
	if state == "unfinished" {
		status, _, stderr := runBallast("dump", "--group", groupText(id), "wal:"+dir)
		if status != ExitFailure || !strings.Contains(stderr, "is what a migration has begun") {
			t.Errorf("dump: status %d, %s", status, stderr)
		}
	}
	return state
}

func checkGroup(t *testing.T, from, dir string, id uint64) {
	t.Helper()
	if status, stdout, stderr := runBallast("diff", "--group", groupText(id), "bolt:"+from, "wal:"+dir); status != 0 {
		t.Errorf("diff: status %d, %s%s", status, stdout, stderr)
	}
	if _, stdout, _ := runBallast("stable", "get", "--group", groupText(id), "wal:"+dir, "CurrentTerm"); strings.TrimSpace(stdout) != "301" {
		t.Errorf("the term is %s", stdout)
	}
}

// A group that could not be copied leaves nothing, and a log of one group refuses to open one that is unfinished.
func TestGroupNotCopied(t *testing.T) {
	dir := t.TempDir()
	writeStores(t, dir)
	flipByte(t, filepath.Join(dir, "cluster", "0000000000000001.wal"), "set a=1")
	shared := "wal:" + filepath.Join(dir, "shared")
	status, _, stderr := runBallast("migrate", "--group", "0", "--as", "3", "wal:"+filepath.Join(dir, "cluster"), shared)
	if status != ExitCorrupt {
		t.Errorf("status %d, %s", status, stderr)
	}
	if state := stateOf(t, filepath.Join(dir, "shared"), 3); state != "not there" {
		t.Errorf("the group is %s", state)
	}
}

func flipByte(t *testing.T, path, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	data[strings.LastIndex(string(data), text)] ^= 1
	must(t, os.WriteFile(path, data, 0o600))
}
