package place

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// Inside is a folder that is there already, and in which something is built: a mount point cannot
// be replaced by a rename, nor can a folder of a lower layer of overlayfs, or one in a folder that
// must not be written. [engine.CheckNames] keeps it shut as long as one of two files is in it:
//
//	1  engine.UnfinishedName is made; then all else in the folder, which is made durable
//	2  engine.ReadyName is made, where something else has to happen before it counts
//	3  engine.UnfinishedName is removed, and then engine.ReadyName
//
// Each step is durable before the next one. With engine.ReadyName all of it is there, without it
// none of it counts.
type Inside struct {
	Dir string
	FS  vfs.FS
}

// LockName is the file in the folder whose lock is held by who builds something in it.
const LockName = engine.UnfinishedName + ".lock"

// BuiltInside tells from the names in a folder what an Inside has left there.
func BuiltInside(names []string) (begun, ready bool) {
	ready = slices.Contains(names, engine.ReadyName)
	return ready || slices.Contains(names, engine.UnfinishedName), ready
}

// Content returns those of the names in a folder that keep it from being an empty one.
func Content(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), engine.Beside)
}

// Begin makes the folder one that does not open. What an earlier one has left in it is removed.
func (in Inside) Begin() error {
	names, err := in.FS.List(in.Dir)
	if err != nil {
		return err
	}
	if begun, _ := BuiltInside(names); begun {
		if err := in.clear(names); err != nil {
			return err
		}
	}
	return in.mark(engine.UnfinishedName)
}

// Ready says, durably, that all of it is there.
func (in Inside) Ready() error { return in.mark(engine.ReadyName) }

// Commit makes the folder one that opens.
func (in Inside) Commit() error {
	if err := in.unmark(engine.UnfinishedName); err != nil {
		return err
	}
	return in.unmark(engine.ReadyName)
}

// Clear makes the folder an empty one.
func (in Inside) Clear() error {
	names, err := in.FS.List(in.Dir)
	if err != nil {
		return err
	}
	if err := in.clear(names); err != nil {
		return err
	}
	return in.unmark(engine.UnfinishedName)
}

// clear removes all but the file that keeps the folder shut. First of all it is one in which
// something is only begun.
func (in Inside) clear(names []string) error {
	if err := in.mark(engine.UnfinishedName); err != nil {
		return err
	}
	if err := in.unmark(engine.ReadyName); err != nil {
		return err
	}
	for _, name := range Content(names) {
		if err := RemoveAll(in.FS, filepath.Join(in.Dir, name)); err != nil {
			return err
		}
	}
	return in.FS.SyncDir(in.Dir)
}

func (in Inside) mark(name string) error {
	f, err := in.FS.Create(filepath.Join(in.Dir, name))
	if errors.Is(err, fs.ErrExist) {
		return in.FS.SyncDir(in.Dir) // who made it may have died before
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return err
	}
	return in.FS.SyncDir(in.Dir)
}

func (in Inside) unmark(name string) error {
	if err := in.FS.Remove(filepath.Join(in.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return in.FS.SyncDir(in.Dir)
}

// RemoveAll removes what there is at a path. It follows no link.
func RemoveAll(fsys vfs.FS, path string) error {
	err := fsys.Remove(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	names, e := fsys.List(path)
	if e != nil {
		return err // it is no folder that may be listed
	}
	for _, name := range names {
		if err := RemoveAll(fsys, filepath.Join(path, name)); err != nil {
			return err
		}
	}
	return fsys.Remove(path)
}
