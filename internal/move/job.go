package move

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/place"
	"github.com/raft-ballast/ballast/internal/vfs"
)

var (
	// ErrTwoStores is matched by the error of Replace when there is an old store and a new one.
	ErrTwoStores = errors.New("there is an old store and a new one")

	// ErrSourceGone is matched by the error of Replace when a migration was begun and its source is not there any more.
	ErrSourceGone = errors.New("a migration was begun, and the old store is gone")

	// ErrStoreGone is matched by the error of Replace when the old store was moved over before, and
	// the new one is not there.
	ErrStoreGone = errors.New("the store that an old one was moved over to is gone")

	// ErrExists is matched by the error of Copy when there is something at the destination.
	ErrExists = errors.New("the destination of a migration exists")
)

// Source is an old store that is open.
type Source interface {
	ballast.Source
	io.Closer
}

// Job is one migration.
type Job struct {
	Source      string // a file or a folder
	Destination string

	Open   func(path string) (Source, error)        // the old store, for reading; Replace opens it again under its other name
	Create func(path string) (ballast.Store, error) // a new store, where there is nothing
	Read   func(path string) (ballast.Store, error) // the new store, for reading

	// Content tells from the names in the folder of the destination what is in it. Only for Replace.
	Content func(names []string) Content

	// Stable is where the old stable state is, when the source has the log alone; "" for one store
	// that has both. Replace gives it another name as well.
	Stable     string
	OpenStable func(path string) (Source, error)

	LogOnly bool   // half a peer is taken for what it is
	Two     string // what to do about half a peer, for people

	File   bool // the source is a file: an empty folder there is none
	Folder bool // the new store is a folder

	StableKeys [][]byte       // as in ballast.CopyOptions
	Progress   func(Progress) // may be nil

	inside bool     // the store is built in a folder that is there, see place.Inside
	aside  bool     // the old store has not its own name
	kept   []string // the names that the old stores have instead

	// FS is nil for the file system of the operating system. Another one has neither owners nor modes, and this process is alone on it.
	FS vfs.FS
}

// Content is what is in a folder.
type Content int

const (
	Empty    Content = iota // nothing, or what the creation of a store leaves when it is cut off
	Finished                // a store of the destination's engine
	Other                   // something else
)

// Step is what a migration does.
type Step string

const (
	Copying   Step = "copying"
	Verifying Step = "verifying"
)

// Progress says how far a migration is.
type Progress struct {
	Step    Step
	Entries uint64  // copied or compared in this step
	Bytes   uint64  // of their Data and Extensions
	Part    float64 // of this step that is done, by the index, from 0 to 1
}

// Result is what was migrated.
type Result struct {
	Entries     uint64
	Bytes       uint64 // of Data and Extensions
	FirstIndex  uint64 // 0 when there is no entry
	LastIndex   uint64
	CommitIndex uint64
	OwnerKept   bool   // the new store belongs to whom the old one belongs to
	Kept        string // the old store's new name; "" where it has its old one
	KeptStable  string // that of the one with the stable state, where there are two

	// Dropped is a write at the end of a log of raft-wal that is not complete, and left out; nil for none.
	Dropped error

	mark mark // of the old store
}

func (j *Job) fs() vfs.FS {
	if j.FS == nil {
		return vfs.OS
	}
	return j.FS
}

// Copy makes the destination a copy of the source, which it leaves as it is. There must be nothing,
// or what a migration has left where an old store was, or an empty folder that cannot be replaced,
// as a mount point.
func (j *Job) Copy(ctx context.Context) (Result, error) {
	return j.make(ctx, func() error {
		if j.inside {
			if err := j.adoptFolder(j.Source); err != nil {
				return err
			}
			return j.site().Commit()
		}
		if _, err := j.unearth(j.Destination); err != nil {
			return err
		}
		err := j.rename(j.half(), j.Destination)
		if errors.Is(err, fs.ErrExist) { // somebody has made one meanwhile
			err = j.existsError()
		}
		return err
	})
}

// free returns an error unless there is nothing at the destination, or what may be built in.
func (j *Job) free() error {
	kind, names, err := j.look(j.Destination)
	if err != nil {
		return err
	}
	taken := kind != nothing
	if j.inside {
		taken, err = j.fits(kind, names)
		taken = !taken
	} else if taken {
		var grave bool
		grave, err = j.isGrave(j.Destination, kind, names)
		taken = !grave
	} else if j.FS == nil { // a link that leads nowhere, too
		_, err := os.Lstat(j.Destination)
		taken = err == nil
	}
	if taken && err == nil {
		err = j.existsError()
	}
	return err
}

func (j *Job) existsError() error {
	return fmt.Errorf("%w: %s; give a path at which there is nothing", ErrExists, j.Destination)
}

// Try does what Copy does, as far as ctx lets it, and leaves nothing. The error is ctx's when that ended before the copy was complete.
func (j *Job) Try(ctx context.Context) (Result, error) {
	return j.make(ctx, j.scrapped)
}

// make builds a copy for a place where there is nothing, and does something with it.
func (j *Job) make(ctx context.Context, then func() error) (res Result, err error) {
	defer func() { err = explain(err) }()
	if err := j.checkPlaces(); err != nil {
		return res, err
	}
	kind, names, err := j.look(j.Destination)
	if err == nil {
		j.inside, err = j.fits(kind, names)
	}
	if err != nil {
		return res, err
	}
	unlock, err := j.lock()
	if err != nil {
		return res, err
	}
	defer unlock()
	if err := j.free(); err != nil {
		return res, err
	}
	if res, err = j.build(ctx); err != nil {
		return res, err
	}
	if err := then(); err != nil {
		_ = j.scrapped() // or the next one does
		return res, err
	}
	return res, nil
}

// build makes the half store a whole one: complete, verified, closed and on the disk. After an error nothing is left of it.
func (j *Job) build(ctx context.Context) (res Result, err error) {
	src, err := j.openOld(j.paths())
	if err != nil {
		return res, err
	}
	defer func() {
		if e := src.Close(); err == nil && e != nil {
			err = fmt.Errorf("closing the old store: %w", e)
		}
		if err != nil {
			_ = j.scrapped() // or the next one does
		}
	}()
	if err := cmp.Or(j.checkWhole(src), j.begin()); err != nil {
		return res, err
	}
	if d, ok := src.(interface{ Dropped() error }); ok {
		res.Dropped = d.Dropped()
	}
	copying, verifying := j.report(src, Copying), j.report(src, Verifying)
	done, err := j.store(j.Create, func(dst ballast.Store) (ballast.CopyProgress, error) {
		return j.copy(ctx, dst, src, copying)
	})
	if err != nil {
		return res, err
	}
	res.Entries, res.Bytes = done.Entries, done.Bytes
	// From the disk: what the store that wrote it has in memory proves nothing.
	_, err = j.store(j.Read, func(dst ballast.Store) (ballast.CopyProgress, error) {
		if err := res.read(dst); err != nil {
			return ballast.CopyProgress{}, err
		}
		return ballast.VerifyCopy(ctx, dst, src, verifying)
	})
	if err != nil {
		return res, err
	}
	if res.mark, err = j.mark(src); err != nil {
		return res, err
	}
	res.OwnerKept, err = j.settle()
	return res, err
}

// copy copies the old store, and refuses half a peer by any entry.
func (j *Job) copy(ctx context.Context, dst ballast.Store, src Source, opts *ballast.CopyOptions) (ballast.CopyProgress, error) {
	i, ok := dst.(ballast.Inspector)
	if !ok {
		return ballast.Copy(ctx, dst, src, opts)
	}
	watch := &termWatch{Store: dst, Inspector: i}
	done, err := ballast.Copy(ctx, watch, src, opts)
	if err == nil && done.Entries > 0 {
		err = j.checkTerm(src, watch.highest)
	}
	return done, err
}

// paths are those of the old stores.
func (j *Job) paths() (paths []string) {
	for _, o := range j.olds() {
		paths = append(paths, o.path)
	}
	return paths
}

// store opens the half store, does something with it, and closes it.
func (j *Job) store(open func(path string) (ballast.Store, error), do func(ballast.Store) (ballast.CopyProgress, error)) (ballast.CopyProgress, error) {
	s, err := open(j.built())
	if err != nil {
		return ballast.CopyProgress{}, fmt.Errorf("making the new store: %w", err)
	}
	done, err := do(s)
	if e := s.Close(); err == nil && e != nil {
		err = fmt.Errorf("closing the new store: %w", e)
	}
	return done, err
}

func (r *Result) read(s ballast.Store) error {
	var errs [3]error
	r.FirstIndex, errs[0] = s.FirstIndex()
	r.LastIndex, errs[1] = s.LastIndex()
	r.CommitIndex, errs[2] = s.GetCommitIndex()
	return errors.Join(errs[:]...)
}

func (j *Job) report(src ballast.Source, step Step) *ballast.CopyOptions {
	opts := &ballast.CopyOptions{StableKeys: j.StableKeys}
	first, err := src.FirstIndex()
	if j.Progress == nil || err != nil {
		return opts
	}
	opts.Progress = func(p ballast.CopyProgress) {
		part := float64(p.Index-first+1) / float64(p.Total)
		j.Progress(Progress{Step: step, Entries: p.Entries, Bytes: p.Bytes, Part: part})
	}
	return opts
}

// settle gives the new store the owner and the mode of the old one, and makes all of it durable, its own name included.
func (j *Job) settle() (ownerKept bool, err error) {
	if j.FS == nil {
		if ownerKept, err = adopt(j.Source, j.built(), j.inside); err != nil {
			return false, err
		}
	}
	kind, _, err := j.look(j.built())
	if err == nil && kind == folder {
		err = cmp.Or(engine.UnmarkLog(j.fs(), j.built()), j.fs().SyncDir(j.built()))
	}
	if err == nil && !j.inside {
		err = j.fs().SyncDir(filepath.Dir(j.half()))
	}
	return ownerKept, err
}

// rename gives something a name that is free, durably. The error matches fs.ErrExist when somebody has taken it.
func (j *Job) rename(from, to string) error {
	rename := place.Rename
	if j.FS != nil { // where nobody else is
		rename = j.FS.Rename
	}
	if err := rename(from, to); err != nil {
		return err
	}
	return j.fs().SyncDir(filepath.Dir(to))
}

// remove removes what there is at a path, durably.
func (j *Job) remove(path string) error {
	kind, _, err := j.look(path)
	if err != nil || kind == nothing {
		return err
	}
	if err := place.RemoveAll(j.fs(), path); err != nil {
		return err
	}
	return j.fs().SyncDir(filepath.Dir(path))
}

// explain says what to do about what only the operating system has told.
func explain(err error) error {
	switch {
	case err == nil, errors.Is(err, ballast.ErrNoSpace):
		return err
	case vfs.IsNoSpace(err):
		return fmt.Errorf("%w (%w)", ballast.ErrNoSpace, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; the old store has to be readable, and the folders of both writable", err)
	}
	return err
}
