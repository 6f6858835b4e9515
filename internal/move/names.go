package move

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

const (
	readySuffix = ".ready"
	keptSuffix  = ".migrated"
	noteSuffix  = ".migrated-note" // of what will be left where the old store is
	lockSuffix  = engine.UnfinishedSuffix + ".lock"
)

var leftName = regexp.MustCompile(`.(\.migrating|\.ready|\.migrated(-[0-9]+|-note)?)$`)

var keptName = regexp.MustCompile(`^(-[0-9]+)?$`)

// Left reports whether a name is one of those under which migrations keep what is not in use.
func Left(name string) bool { return leftName.MatchString(name) }

func (j *Job) half() string  { return j.Destination + engine.UnfinishedSuffix }
func (j *Job) ready() string { return j.Destination + readySuffix }

// maxKept is how many old stores of one name are kept.
const maxKept = 1000

// freeName returns a name for an old store that is free.
func (j *Job) freeName(path string) (string, error) {
	for n := 1; n <= maxKept; n++ {
		name := keptPath(path, n)
		kind, _, err := j.look(name)
		if err != nil {
			return "", err
		}
		if kind == nothing {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s%s and all names like it are taken; remove those that are not needed any more", path, keptSuffix)
}

// keptPath is the n-th of the names for an old store that is kept, from 1 on.
func keptPath(path string, n int) string {
	if n == 1 {
		return path + keptSuffix
	}
	return fmt.Sprintf("%s%s-%d", path, keptSuffix, n)
}

// kind is what there is at a path.
type kind int

const (
	nothing kind = iota
	file
	folder
)

// look returns what there is at a path, and the names in a folder.
func (j *Job) look(path string) (kind, []string, error) {
	names, err := j.fs().List(path)
	if err == nil {
		return folder, names, nil
	}
	switch _, e := j.fs().DiskUsage(path); {
	case errors.Is(e, fs.ErrNotExist):
		return nothing, nil, nil
	case e == nil && (errors.Is(err, vfs.ErrNotDir) || !vfs.Handles && !errors.Is(err, fs.ErrPermission)):
		return file, nil, nil
	}
	return nothing, nil, fmt.Errorf("looking at %s: %w", path, err)
}
