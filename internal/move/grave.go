package move

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/raft-ballast/ballast/internal/place"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// graveHead is what a file begins with that is left where an old store was. raft-boltdb would make
// an empty store there, raft-wal and raft-badger too, and a peer that goes back to an older release
// would have forgotten its votes; none of them opens such a file.
const graveHead = "ballast: moved\n"

const graveText = graveHead + `
The raft store that was here has become
    %s
and what it was is kept as
    %s
A peer must not run on that again: it has forgotten what was promised since.

docs/MIGRATING.md of Ballast tells the way back. To begin with an empty store,
remove this and what is kept.
`

// graveNames are the files without which raft-wal and badger make an empty store in a folder. The
// folder itself stays one: an application may see to it before it opens its stores.
var graveNames = []string{"wal-meta.db", "MANIFEST"}

// IsGrave reports whether a file is one of those that a migration leaves where the old store was.
func IsGrave(path string) bool {
	grave, err := isGraveFile(vfs.OS, path)
	return grave && err == nil
}

func isGraveFile(fsys vfs.FS, path string) (bool, error) {
	f, err := fsys.OpenRead(path)
	if err != nil {
		return false, err
	}
	defer f.Close() // it was only read from
	head := make([]byte, len(graveHead))
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return string(head[:n]) == graveHead, nil
}

// isGrave reports whether what there is at a path was left by a migration, and nothing has come to
// it since.
func (j *Job) isGrave(path string, kind kind, names []string) (bool, error) {
	switch kind {
	case file:
		return isGraveFile(j.fs(), path)
	case nothing:
		return false, nil
	}
	names = place.Content(names)
	for _, name := range names {
		if !slices.Contains(graveNames, name) {
			return false, nil
		}
		if grave, err := isGraveFile(j.fs(), filepath.Join(path, name)); err != nil || !grave {
			return false, err
		}
	}
	return len(names) > 0, nil
}

// draft is the name of what will be left, as long as the old store has its own.
func (o old) draft() string { return o.path + noteSuffix }

// leaves returns the files that are left where an old store is, which is at a path. None are where
// it is not known how its library is stopped, and where the new store comes.
func (j *Job) leaves(o old, at string) ([]string, error) {
	if o.path == j.Destination {
		return nil, nil
	}
	kind, names, err := j.look(at)
	if err != nil || kind == nothing {
		return nil, err
	}
	if kind == file {
		return []string{o.draft()}, nil
	}
	var files []string
	for _, name := range graveNames {
		if slices.Contains(names, name) {
			files = append(files, filepath.Join(o.draft(), name))
		}
	}
	return files, nil
}

// draftGrave writes what is to be left of an old store that is at a path, and will be kept. At its
// own name it is never seen half. It reports whether there is anything.
func (j *Job) draftGrave(o old, at, kept string) (bool, error) {
	files, err := j.leaves(o, at)
	if err != nil || len(files) == 0 {
		return false, err
	}
	if err := j.remove(o.draft()); err != nil {
		return false, err
	}
	if files[0] != o.draft() {
		if err := j.fs().MkdirAll(o.draft()); err != nil {
			return false, err
		}
	}
	for _, path := range files {
		if err := j.writeGrave(path, kept); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (j *Job) writeGrave(path, kept string) error {
	f, err := j.fs().Create(path)
	if err != nil {
		return err
	}
	block := vfs.AlignedBytes(vfs.BlockBytes)
	for i := copy(block, fmt.Sprintf(graveText, j.Destination, kept)); i < len(block); i++ {
		block[i] = '\n'
	}
	err = f.WriteBlocks([][]byte{block}, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil && j.FS == nil {
		err = os.Chmod(path, 0o644) // for whoever runs the old release
	}
	if err != nil {
		return err
	}
	return j.fs().SyncDir(filepath.Dir(path))
}
