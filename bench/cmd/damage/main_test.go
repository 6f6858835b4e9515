package main

import (
	"bytes"
	"os"
	"regexp"
	"testing"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		child(name, os.Stdin, os.Stdout)
		return
	}
	os.Exit(m.Run())
}

// TestTrials makes a few trials of two stores; the one without checksums shows that damage is noticed here.
func TestTrials(t *testing.T) {
	var out, progress bytes.Buffer
	c := config{trials: 40, seed: 1, stores: regexp.MustCompile("^(wal|raft-boltdb)$"), dir: t.TempDir()}
	if err := run(c, &out, &progress); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", &out)
	r, err := trials(c, byName("raft-boltdb"), t.TempDir(), &progress)
	if err != nil {
		t.Fatal(err)
	}
	if r.Counts[wrong]+r.Counts[lost]+r.Counts[panicked] == 0 {
		t.Errorf("raft-boltdb has no checksums, and is %v", r.Counts)
	}
}
