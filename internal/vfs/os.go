package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/gofrs/flock"
)

// OS is the file system of the operating system. Files and folders that it makes are for their owner only.
//
// On linux a file that can be written has two descriptors: one through the page cache, which reads, and one
// with O_DIRECT and O_DSYNC, which makes a WriteBlocks one call and one flush of the disk. Where the file
// system does not take O_DIRECT, and elsewhere, WriteBlocks writes through the page cache and syncs.
var OS FS = osFS{}

// errNoFile is the error of opening what is none.
var errNoFile = errors.New("it is a folder, a pipe or a socket, and no file; " +
	"put the file back that belongs there, or move this away")

const (
	fileMode = 0o600
	dirMode  = 0o700
)

// osFS is OS when buffered is false. Otherwise it never writes past the page cache.
type osFS struct{ buffered bool }

// MkdirAll syncs the folder above dir also when dir is there already: who made it may have died before.
func (s osFS) MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	case err == nil:
		// Whoever may not look into the folder above cannot have made a folder in it.
		if err := s.SyncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist) || parent == dir:
		return err
	}
	if err := s.MkdirAll(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.SyncDir(parent)
}

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (s osFS) Create(path string) (File, error) {
	return s.open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (s osFS) Open(path string) (File, error) { return s.open(path, os.O_RDWR) }

func (s osFS) OpenRead(path string) (File, error) { return s.open(path, os.O_RDONLY) }

func (s osFS) open(path string, flag int) (File, error) {
	file, err := handle{}.openFile(path, flag)
	if err != nil {
		return nil, err
	}
	f, err := s.prepared(file, handle{}, flag != os.O_RDONLY)
	if err != nil && flag&os.O_CREATE != 0 { // or Create could not be called again
		err = errors.Join(err, os.Remove(path))
	}
	return f, err
}

// prepared makes a File of one that was opened, in the folder that at stands for, and takes it
// over.
func (s osFS) prepared(file *os.File, at handle, writable bool) (File, error) {
	f := &osFile{file: file}
	if err := f.prepare(at, writable && !s.buffered); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return f, nil
}

// maxLinks is how many links that lead to one another are followed.
const maxLinks = 40

func (osFS) Place(path string) string {
	path = filepath.Clean(path)
	for range maxLinks {
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return path
}

func (osFS) DiskUsage(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return diskUsage(info), nil
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) Remove(path string) error { return os.Remove(path) }

// SyncDir does nothing on windows, which has no such call and needs none.
func (osFS) SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osFS) Lock(path string) (io.Closer, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // a pipe would be waited for
		return nil, &fs.PathError{Op: "lock", Path: path, Err: errNoFile}
	}
	lock := flock.New(path, flock.SetPermissions(fileMode))
	held, err := lock.TryLock()
	if err == nil && !held {
		err = ErrLocked
	}
	if err != nil {
		return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	return lock, nil
}

func (f *osFile) ReadAt(b []byte, off int64) (int, error) { return f.file.ReadAt(b, off) }

func (f *osFile) Truncate(size int64) error { return f.file.Truncate(size) }

func (f *osFile) Size() (int64, error) {
	info, err := f.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) Links() (int, error) { return links(f.file) }

// grow is Allocate where space cannot be had in advance: it makes the file at least n bytes long.
func (f *osFile) grow(n int64) error {
	size, err := f.Size()
	if err != nil || size >= n {
		return err
	}
	return f.file.Truncate(n)
}
