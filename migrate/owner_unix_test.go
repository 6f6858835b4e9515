//go:build unix

package migrate_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast/migrate"
)

// The new store belongs to whom the old one belonged to, in the same mode.
func TestOwnerAndMode(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	const uid, gid = 4321, 8765
	for _, c := range []struct {
		name, from   string
		file, folder fs.FileMode // of the old store
		wantFile     fs.FileMode
		wantFolder   fs.FileMode
	}{
		{"a file", "../boltstore/testdata/raft-boltdb-v2.db", 0o640, 0, 0o640, 0o750},
		{"a file that nobody writes", "../boltstore/testdata/raft-boltdb-v2.db", 0o400, 0, 0o600, 0o700},
		{"a folder", "../internal/raftwal/testdata/raft-wal", 0o660, 0o770, 0o660, 0o770},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "old")
			copyOf(t, c.from, path)
			must(t, filepath.Walk(path, func(path string, info fs.FileInfo, err error) error {
				must(t, err)
				mode := c.file
				if info.IsDir() {
					mode = c.folder
				}
				must(t, os.Chmod(path, mode))
				return os.Chown(path, uid, gid)
			}))
			old := bolt(path)
			if c.folder != 0 {
				old = migrate.RaftWAL(path)
			}
			s, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), old, nil)
			must(t, err)
			must(t, s.Close())
			must(t, filepath.Walk(filepath.Join(dir, "wal"), func(path string, info fs.FileInfo, err error) error {
				must(t, err)
				want := c.wantFile
				if info.IsDir() {
					want = c.wantFolder
				}
				st := info.Sys().(*syscall.Stat_t)
				if info.Mode().Perm() != want || st.Uid != uid || st.Gid != gid {
					t.Errorf("%s: mode %v, owner %d:%d; want %v, %d:%d", path, info.Mode().Perm(), st.Uid, st.Gid, want, uid, gid)
				}
				return nil
			}))
		})
	}
}

// A new peer, which has no old store, need not be able to list the folder in which that would be.
func TestOpenUnlisted(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	must(t, os.Mkdir(data, 0o700))
	must(t, os.Chmod(dir, 0o311))
	t.Cleanup(func() { must(t, os.Chmod(dir, 0o700)) })
	if os.Getuid() == 0 { // who may list everything
		const nobody = 65534
		must(t, os.Chmod(filepath.Dir(dir), 0o711))
		must(t, os.Chmod(dir, 0o711))
		must(t, os.Chown(data, nobody, nobody))
		must(t, syscall.Seteuid(nobody))
		defer func() { must(t, syscall.Seteuid(0)) }()
	}
	s, err := migrate.Open(t.Context(), filepath.Join(data, "wal"), bolt(filepath.Join(dir, "raft.db")), nil)
	must(t, err)
	must(t, s.Close())
}
