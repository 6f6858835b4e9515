package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/raft-ballast/ballast/internal/loopfs"
)

// listed are the names in a folder.
func listed(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// intoVolume are the commands that make a store in a folder.
var intoVolume = map[string]struct{ args, look []string }{
	"migrate to wal":    {[]string{"migrate", "raft.db", "wal:volume"}, []string{"diff", "wal:volume", "raft.db"}},
	"migrate to badger": {[]string{"migrate", "raft.db", "badger:volume"}, []string{"diff", "badger:volume", "raft.db"}},
	"migrate a group":   {[]string{"migrate", "--group", "3", "raft.db", "wal:volume"}, []string{"verify", "--group", "3", "wal:volume"}},
	"import to wal":     {[]string{"import", "file", "wal:volume"}, []string{"diff", "wal:volume", "raft.db"}},
	"import to badger":  {[]string{"import", "file", "badger:volume"}, []string{"diff", "badger:volume", "raft.db"}},
	"backup":            {[]string{"backup", "wal:log", "volume"}, []string{"diff", "wal:volume", "raft.db"}},
}

// A volume of docker is an empty folder that no rename replaces: what makes a store makes it in
// that. An error leaves it empty.
func TestIntoAVolume(t *testing.T) {
	for mounted, mount := range map[string]func(t *testing.T, dir string){
		"a tmpfs": func(t *testing.T, dir string) { loopfs.TmpfsForTest(t, dir) },
		"an ext4 in a folder that is read-only": func(t *testing.T, dir string) {
			ext4 := loopfs.ForTest(t, loopfs.Ext4, 300<<20)
			loopfs.ReadOnlyForTest(t, filepath.Dir(dir))
			loopfs.BindForTest(t, ext4, dir)
		},
	} {
		for name, c := range intoVolume {
			t.Run(name+" on "+mounted, func(t *testing.T) {
				dir := t.TempDir()
				writeCluster(t, filepath.Join(dir, "log"), filepath.Join(dir, "raft.db"))
				place := filepath.Join(dir, "volumes", "volume")
				must(t, os.MkdirAll(place, 0o700))
				in := func(args []string) (out []string) { // its paths
					for _, arg := range args {
						for _, path := range []string{"raft.db", "file", "log"} {
							if strings.HasSuffix(arg, path) {
								arg = strings.TrimSuffix(arg, path) + filepath.Join(dir, path)
							}
						}
						if strings.HasSuffix(arg, "volume") {
							arg = strings.TrimSuffix(arg, "volume") + place
						}
						out = append(out, arg)
					}
					return out
				}
				if status, _, stderr := runBallast(in([]string{"export", "raft.db", "file"})...); status != 0 {
					t.Fatal(stderr)
				}
				mount(t, place)
				must(t, os.Chmod(place, 0o751)) // it stays that
				before := listed(t, place)
				bad := slices.Clone(in(c.args))
				i := slices.IndexFunc(bad, func(s string) bool { return strings.HasPrefix(strings.TrimPrefix(s, "wal:"), dir) })
				if bad[i] = strings.Replace(bad[i], dir, filepath.Join(dir, "no"), 1); i == len(bad)-1 {
					t.Fatal(bad)
				}
				if status, _, _ := runBallast(bad...); status == 0 || !slices.Equal(listed(t, place), before) {
					t.Errorf("of nothing: status %d, there is %v", status, listed(t, place))
				}
				if status, _, stderr := runBallast(in(c.args)...); status != 0 {
					t.Fatalf("status %d, %s", status, stderr)
				}
				if status, stdout, stderr := runBallast(in(c.look)...); status != 0 {
					t.Errorf("status %d, %s%s", status, stdout, stderr)
				}
				if info, err := os.Stat(place); err != nil || info.Mode().Perm() != 0o751 {
					t.Errorf("the mode of the folder is %v, %v", info.Mode(), err)
				}
				for _, name := range listed(t, place) {
					if strings.Contains(name, "ballast") {
						t.Errorf("%s is left", name)
					}
				}
				if status, _, stderr := runBallast(in(c.args)...); status == 0 || !strings.Contains(stderr, "ballast: ") {
					t.Errorf("once more: status %d, %s", status, stderr)
				}
				if got := listed(t, filepath.Dir(place)); len(got) != 1 {
					t.Errorf("beside the volume there is %v", got)
				}
			})
		}
	}
}

// An empty folder that can be replaced is in the way as before, and so is a volume that holds
// something.
func TestIntoAFolderThatIsNone(t *testing.T) {
	dir := t.TempDir()
	writeCluster(t, filepath.Join(dir, "log"), filepath.Join(dir, "raft.db"))
	for _, name := range []string{"empty", "full"} {
		place := filepath.Join(dir, name)
		must(t, os.Mkdir(place, 0o700))
		if name == "full" {
			loopfs.TmpfsForTest(t, place)
			must(t, os.WriteFile(filepath.Join(place, "photo"), nil, 0o600))
		}
		before := listed(t, place)
		for _, args := range [][]string{{"migrate", filepath.Join(dir, "raft.db"), "wal:" + place}, {"backup", "wal:" + filepath.Join(dir, "log"), place}} {
			if status, _, stderr := runBallast(args...); status != ExitFailure || !slices.Equal(listed(t, place), before) || !strings.Contains(stderr, place) {
				t.Errorf("%v: status %d, %s; there is %v", args, status, stderr, listed(t, place))
			}
		}
	}
}

// A store that cannot get another name is not repaired, and nothing is left behind.
func TestRepairOfAMountedStore(t *testing.T) {
	for name, c := range map[string]func(t *testing.T) string{
		"a wal": func(t *testing.T) string { path, _ := damagedPeer(t); return path },
		"bolt":  damagedBolt,
	} {
		t.Run(name, func(t *testing.T) {
			from := c(t)
			path := filepath.Join(t.TempDir(), "store")
			if info, err := os.Stat(from); err == nil && info.IsDir() {
				must(t, os.Mkdir(path, 0o700))
			} else {
				must(t, os.WriteFile(path, nil, 0o600))
			}
			loopfs.BindForTest(t, from, path)
			before := snapshot(t, path)
			status, stdout, stderr := runBallast("repair", "--write", "--accept-loss", path)
			if status != ExitFailure || !strings.Contains(stderr, "repair the copy") {
				t.Errorf("status %d, %s%s", status, stdout, stderr)
			}
			before.compare(t, []string{"repair"}, snapshot(t, path))
			if got := listed(t, filepath.Dir(path)); len(got) != 1 {
				t.Errorf("there is %v", got)
			}
		})
	}
}

// Nor is it compacted: the new file could not get its name.
func TestCompactOfAMountedFile(t *testing.T) {
	dir := t.TempDir()
	writeCluster(t, filepath.Join(dir, "log"), filepath.Join(dir, "from.db"))
	path := filepath.Join(folderIn(t, dir), "raft.db")
	must(t, os.WriteFile(path, nil, 0o600))
	loopfs.BindForTest(t, filepath.Join(dir, "from.db"), path)
	before := snapshot(t, path)
	status, _, stderr := runBallast("compact", path)
	if status != ExitFailure || !strings.Contains(stderr, "mount the folder that it is in") || len(listed(t, filepath.Dir(path))) != 1 {
		t.Errorf("status %d, %s; there is %v", status, stderr, listed(t, filepath.Dir(path)))
	}
	before.compare(t, []string{"compact"}, snapshot(t, path))
}

func folderIn(t *testing.T, dir string) string {
	t.Helper()
	dir = filepath.Join(dir, "data")
	must(t, os.Mkdir(dir, 0o700))
	return dir
}

// What a kill in the middle leaves in a volume opens with nothing, and the next one begins anew.
func TestUnfinishedInAVolume(t *testing.T) {
	dir := t.TempDir()
	writeCluster(t, filepath.Join(dir, "log"), filepath.Join(dir, "raft.db"))
	volume := filepath.Join(dir, "volume")
	must(t, os.CopyFS(volume, os.DirFS(filepath.Join(dir, "log"))))
	must(t, os.WriteFile(filepath.Join(volume, "ballast.migrating"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(volume, "half"), nil, 0o600))
	for _, args := range [][]string{{"info", "wal:" + volume}, {"verify", "wal:" + volume}, {"dump", volume}, {"compact", volume}, {"repair", "--write", volume}} {
		if status, _, stderr := runBallast(args...); status != ExitFailure || !strings.Contains(stderr, "start that again") {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
	}
	if status, _, stderr := runBallast("migrate", filepath.Join(dir, "raft.db"), "wal:"+volume); status != 0 {
		t.Errorf("status %d, %s", status, stderr)
	}
	if _, err := os.Stat(filepath.Join(volume, "half")); err == nil {
		t.Error("what was left is still there")
	}
}
