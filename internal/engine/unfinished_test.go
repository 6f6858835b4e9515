package engine

import (
	"errors"
	"testing"

	"github.com/raft-ballast/ballast"
)

func TestCheckFinished(t *testing.T) {
	for path, want := range map[string]error{
		"/data/wal": nil, "wal": nil, "/data.migrating/wal": nil, "": nil,
		"/data/wal.migrating": ballast.ErrUnfinished, "/data/wal.migrating/": ballast.ErrUnfinished, "a/../raft.db.migrating": ballast.ErrUnfinished,
	} {
		if err := CheckFinished(path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	done := Finishing("/data/wal.migrating/")
	if err := CheckFinished("/data/wal.migrating"); err != nil {
		t.Errorf("for who finishes it: %v", err)
	}
	done()
	if err := CheckFinished("/data/wal.migrating"); !errors.Is(err, ballast.ErrUnfinished) {
		t.Errorf("later: %v", err)
	}
}
