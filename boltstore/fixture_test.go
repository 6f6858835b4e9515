package boltstore_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/fixture"
)

// The files under testdata were written by the real libraries, see internal/fixture.
func TestFixtures(t *testing.T) {
	for _, name := range []string{"raft-boltdb-v1.db", "raft-boltdb-v2.db", "raft-boltdb-v2-newtime.db"} {
		t.Run(name, func(t *testing.T) {
			path := copyOf(t, filepath.Join("testdata", name))
			s := open(t, path, &boltstore.Options{ReadOnly: true})
			fixture.Check(t, s)
			closeStore(t, s)

			s = open(t, path, nil)
			fixture.Check(t, s)
			if err := errors.Join(s.StoreLog(&raft.Log{Index: 291, Data: []byte("ours")}), s.DeleteRange(291, 291)); err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
			fixture.Check(t, open(t, path, nil))
		})
	}
}

func copyOf(t *testing.T, name string) string {
	t.Helper()
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	path := filepath.Join(t.TempDir(), filepath.Base(name))
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}
