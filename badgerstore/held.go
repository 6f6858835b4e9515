package badgerstore

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// Badger opens, renames and removes files by their paths as long as it runs. When its folder gets
// another name it would go on in the folder that has the name then, which may be another store's.
// So on linux it is given a path that leads to the folder whatever its name is: that of the open
// folder's descriptor, below /proc. Nobody outside is shown that path.

// folder is where a store is. by is the path that files are opened by, and dir the one that people
// know: the same where there is no other.
type folder struct {
	dir, by string
	held    *vfs.Dir
}

// hold opens the folder. dir becomes absolute and loses its links.
func hold(dir string) (f folder, err error) {
	if f.held, err = vfs.OS.Hold(dir); err != nil {
		return f, err
	}
	f.dir = f.held.Path
	if f.by = f.held.Alias(); f.by == "" {
		f.by = f.dir
	}
	return f, nil
}

// file returns the path of a file to open it by.
func (f *folder) file(name string) string { return filepath.Join(f.by, name) }

// text replaces the path that only badger is to see.
func (f *folder) text(s string) string {
	if f.by == f.dir {
		return s
	}
	return strings.ReplaceAll(s, f.by, f.dir)
}

// named replaces it in an error.
func (f *folder) named(err error) error {
	if err == nil || f.by == f.dir || !strings.Contains(err.Error(), f.by) {
		return err
	}
	if damage, ok := err.(*ballast.CorruptionError); ok {
		out := *damage
		out.Path, out.Err = f.text(damage.Path), f.named(damage.Err)
		return &out
	}
	return &namedError{err, f}
}

// namedError is an error with the folder's own path.
type namedError struct {
	err    error
	folder *folder
}

func (e *namedError) Error() string { return e.folder.text(e.err.Error()) }

// Unwrap returns what has no path of its own; of those that have one As returns a copy.
func (e *namedError) Unwrap() error { return e.err }

// As shows no path either that is not the folder's own.
func (e *namedError) As(target any) bool {
	switch target := target.(type) {
	case **ballast.CorruptionError:
		damage, ok := errors.AsType[*ballast.CorruptionError](e.err)
		if ok {
			*target, _ = e.folder.named(damage).(*ballast.CorruptionError)
		}
		return ok
	case **fs.PathError:
		failed, ok := errors.AsType[*fs.PathError](e.err)
		if ok {
			out := *failed
			out.Path = e.folder.text(failed.Path)
			*target = &out
		}
		return ok
	}
	return false
}

// inPlace returns an error when the name that the folder was opened by leads to another one now, or
// to none. Then the store takes no more writes. It is asked before each write, since badger does
// not say when it makes a file: a look takes about a microsecond.
func (s *Store) inPlace() error {
	err := s.held.Check()
	if err == nil {
		return nil
	}
	err = s.latch.Fail(engine.Displaced(err))
	s.log.print(slog.LevelError, "The store takes no more writes: %v", []any{err})
	return err
}

// letGo closes the folder, unless there may be something left of badger that finds files by the
// number of the open folder: that may soon be another one's.
func (s *Store) letGo() error {
	if s.panicked.Load() || s.stuck {
		return nil
	}
	return s.held.Close()
}
