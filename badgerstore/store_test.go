package badgerstore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/raft-ballast/ballast/internal/fixture"
)

// copyFixture copies a directory of testdata, for opening it changes it.
func copyFixture(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustOpen(t *testing.T, dir string, opts *Options) *Store {
	t.Helper()
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestFixtures opens what raft-badger has written with each kind of compression, as it is, and again after
// badger v4 has written its own tables.
func TestFixtures(t *testing.T) {
	for _, name := range []string{"raft-badger-default", "raft-badger-snappy", "raft-badger-zstd"} {
		t.Run(name, func(t *testing.T) {
			dir := copyFixture(t, name)
			for _, opts := range []*Options{{ReadOnly: true}, nil, {Compression: None}, {Compression: ZSTD}, {ReadOnly: true}} {
				s := mustOpen(t, dir, opts)
				fixture.Check(t, s)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
