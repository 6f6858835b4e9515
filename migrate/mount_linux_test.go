package migrate_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/loopfs"
	"github.com/raft-ballast/ballast/migrate"
	"github.com/raft-ballast/ballast/wal"
)

// volumes are empty folders that no rename can replace, or in whose parent nothing can be made.
var volumes = map[string]func(t *testing.T, dir string){
	"a tmpfs": func(t *testing.T, dir string) { loopfs.TmpfsForTest(t, dir) },
	"a bind mount of the same file system": func(t *testing.T, dir string) {
		loopfs.BindForTest(t, t.TempDir(), dir)
	},
	"an ext4, with its lost+found": func(t *testing.T, dir string) {
		loopfs.BindForTest(t, loopfs.ForTest(t, loopfs.Ext4, 32<<20), dir)
	},
	"in a folder that is read-only": func(t *testing.T, dir string) {
		parent := filepath.Dir(dir)
		loopfs.ReadOnlyForTest(t, parent)
		loopfs.TmpfsForTest(t, dir)
	},
	"in a folder that is immutable": func(t *testing.T, dir string) { immutable(t, filepath.Dir(dir)) },
	"an empty folder":               func(*testing.T, string) {},
}

// immutable makes a folder one in which no name changes.
func immutable(t *testing.T, dir string) {
	t.Helper()
	set := func(flags int) error {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer f.Close() // nothing was written
		return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
	}
	const immutable = 0x10
	if err := set(immutable); err != nil {
		t.Skip("no immutable folders here:", err)
	}
	t.Cleanup(func() { must(t, set(0)) })
}

// A volume at the place of the new wal is served, and whatever comes the old store is there or the
// new one.
func TestOpenIntoAVolume(t *testing.T) {
	for name, mount := range volumes {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			model := fill(t, filepath.Join(dir, "raft.db"))
			place := filepath.Join(dir, "volumes", "wal")
			must(t, os.MkdirAll(place, 0o700))
			mount(t, place)
			before := names(t, place)
			// An error leaves the volume as it was.
			must(t, os.Truncate(filepath.Join(dir, "raft.db"), 8192))
			if err := openIn(dir, "volumes/wal", nil); err == nil || names(t, place) != before {
				t.Fatalf("an old store that is cut: %v; there is %s", err, names(t, place))
			}
			must(t, os.Remove(filepath.Join(dir, "raft.db")))
			fill(t, filepath.Join(dir, "raft.db"))
			for range 2 {
				s, err := migrate.Open(t.Context(), place, bolt(filepath.Join(dir, "raft.db")), nil)
				must(t, err)
				checkModel(t, model, s)
				must(t, s.Close())
				if got := names(t, dir); got != "raft.db raft.db.migrated volumes" || strings.Contains(names(t, place), "ballast") {
					t.Errorf("there is %s, and in the volume %s", got, names(t, place))
				}
			}
		})
	}
}

// A folder of an image's layer cannot be renamed on overlayfs: an old store that is one is refused,
// and one that is an empty folder for the new store is built in.
func TestOpenOnOverlay(t *testing.T) {
	data := loopfs.OverlayForTest(t, func(dir string) {
		must(t, os.Mkdir(filepath.Join(dir, "wal"), 0o700))
		copyOf(t, "../internal/raftwal/testdata/raft-wal", filepath.Join(dir, "raft"))
		fill(t, filepath.Join(dir, "raft.db"))
	})
	s, err := migrate.Open(t.Context(), filepath.Join(data, "wal"), bolt(filepath.Join(data, "raft.db")), nil)
	must(t, err)
	must(t, s.Close())
	before := names(t, data)
	_, err = migrate.Open(t.Context(), filepath.Join(data, "new"), migrate.RaftWAL(filepath.Join(data, "raft")), nil)
	if err == nil || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "ballast migrate") || names(t, data) != before {
		t.Errorf("%v; there is %s", err, names(t, data))
	}
}

// An old store that cannot get another name is refused before anything has changed.
func TestOpenOfAMountedStore(t *testing.T) {
	for name, c := range map[string]struct {
		setup func(t *testing.T, dir string)
		old   func(dir string) migrate.Old
	}{
		"a file": {func(t *testing.T, dir string) {
			from := filepath.Join(t.TempDir(), "raft.db")
			fill(t, from)
			must(t, os.WriteFile(filepath.Join(dir, "raft.db"), nil, 0o600))
			loopfs.BindForTest(t, from, filepath.Join(dir, "raft.db"))
		}, func(dir string) migrate.Old { return bolt(filepath.Join(dir, "raft.db")) }},
		"a folder": {func(t *testing.T, dir string) {
			from := filepath.Join(t.TempDir(), "raft")
			copyOf(t, "../internal/raftwal/testdata/raft-wal", from)
			must(t, os.Mkdir(filepath.Join(dir, "raft"), 0o700))
			loopfs.BindForTest(t, from, filepath.Join(dir, "raft"))
		}, func(dir string) migrate.Old { return migrate.RaftWAL(filepath.Join(dir, "raft")) }},
		"a file in an immutable folder": {func(t *testing.T, dir string) {
			fill(t, filepath.Join(dir, "raft.db"))
			immutable(t, dir)
		}, func(dir string) migrate.Old { return bolt(filepath.Join(dir, "raft.db")) }},
		"the second one of two": {func(t *testing.T, dir string) {
			from := filepath.Join(t.TempDir(), "stable.dat")
			two(t, filepath.Join(dir, "logs.dat"), from)
			must(t, os.WriteFile(filepath.Join(dir, "stable.dat"), nil, 0o600))
			loopfs.BindForTest(t, from, filepath.Join(dir, "stable.dat"))
		}, oldTwo},
	} {
		t.Run(name, func(t *testing.T) {
			dir, elsewhere := t.TempDir(), t.TempDir()
			c.setup(t, dir)
			before := names(t, dir)
			_, err := migrate.Open(t.Context(), filepath.Join(elsewhere, "wal"), c.old(dir), nil)
			if err == nil || !strings.Contains(err.Error(), "nothing was changed") || names(t, dir) != before || names(t, elsewhere) != "" {
				t.Errorf("%v; there is %s, and %s", err, names(t, dir), names(t, elsewhere))
			}
			_, err = migrate.OpenGroups(t.Context(), filepath.Join(elsewhere, "shared"), map[uint64]migrate.Old{3: c.old(dir)}, nil)
			if err == nil || !strings.Contains(err.Error(), "nothing was changed") || names(t, dir) != before {
				t.Errorf("as a raft group: %v; there is %s", err, names(t, dir))
			}
		})
	}
}

// Where an earlier release has moved the old store and cannot end, because the new one's folder is
// a mount point, this one does.
func TestOpenEndsWhatCouldNot(t *testing.T) {
	dir := t.TempDir()
	path, place := filepath.Join(dir, "raft.db"), filepath.Join(dir, "wal")
	model := fill(t, path)
	s, err := migrate.Open(t.Context(), place, bolt(path), nil)
	must(t, err)
	must(t, s.Close())
	must(t, errors.Join(os.Remove(path), os.Rename(place, place+".ready"), os.Mkdir(place, 0o700)))
	loopfs.TmpfsForTest(t, place)
	s, err = migrate.Open(t.Context(), place, bolt(path), nil)
	must(t, err)
	checkModel(t, model, s)
	must(t, s.Close())
	if got := names(t, dir); got != "raft.db raft.db.migrated wal" {
		t.Errorf("there is %s", got)
	}
}

// When the volume of the new store is not mounted, nobody begins with an empty one.
func TestOpenUnmounted(t *testing.T) {
	dir := t.TempDir()
	path, place := filepath.Join(dir, "raft.db"), filepath.Join(dir, "wal")
	fill(t, path)
	must(t, os.Mkdir(place, 0o700))
	t.Run("mounted", func(t *testing.T) {
		loopfs.TmpfsForTest(t, place)
		s, err := migrate.Open(t.Context(), place, bolt(path), nil)
		must(t, err)
		must(t, s.Close())
	})
	if names(t, dir) != "raft.db raft.db.migrated wal" {
		t.Skip("nothing could be mounted")
	}
	for _, remove := range []string{"", "raft.db"} { // an earlier release has left nothing there
		if remove != "" {
			must(t, os.Remove(path))
		}
		_, err := migrate.Open(t.Context(), place, bolt(path), nil)
		if !errors.Is(err, migrate.ErrStoreGone) || !strings.Contains(err.Error(), "its disk may not be mounted") || names(t, place) != "" {
			t.Errorf("%v; there is %s", err, names(t, place))
		}
	}
	must(t, os.Rename(path+".migrated", path+".old"))
	s, err := migrate.Open(t.Context(), place, bolt(path), nil) // an empty one is wanted
	must(t, err)
	must(t, s.Close())
}

// A half built store in a volume opens with no engine's Open.
func TestUnfinishedInAVolume(t *testing.T) {
	for _, mark := range []string{"ballast.migrating", "ballast.ready"} {
		dir := t.TempDir()
		s, err := wal.Open(dir, nil)
		must(t, err)
		must(t, s.Close())
		must(t, os.WriteFile(filepath.Join(dir, mark), nil, 0o600))
		if _, err := wal.Open(dir, nil); !errors.Is(err, ballast.ErrUnfinished) {
			t.Errorf("wal.Open beside %s: %v", mark, err)
		}
		if _, err := wal.OpenReadOnly(dir, nil); !errors.Is(err, ballast.ErrUnfinished) {
			t.Errorf("wal.OpenReadOnly beside %s: %v", mark, err)
		}
		if _, err := badgerOld(dir).Open(dir); !errors.Is(err, ballast.ErrUnfinished) {
			t.Errorf("badgerstore.Open beside %s: %v", mark, err)
		}
	}
}
