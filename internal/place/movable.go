package place

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrFixed is matched by the error of [Movable] for what cannot get another name.
var ErrFixed = errors.New("its name cannot change")

// Movable returns an error that matches ErrFixed when a file or a folder cannot get another name in
// its folder, as a mount point cannot. It tries, in a way that changes nothing: it renames it to a
// folder that is not empty, which the system refuses last of all. A link is not followed.
func Movable(path string) error {
	s, err := lock(path) // which makes such a folder beside it
	if refusesNames(err) {
		return fixed(path, err)
	}
	if err != nil {
		return err
	}
	err = s.movable()
	if left, e := os.ReadDir(s.dir); e != nil || len(left) > 1 { // a repair that was interrupted needs it
		return errors.Join(err, s.unlock())
	}
	return errors.Join(err, s.Abandon())
}

// movable is Movable of what will be replaced.
func (s *Site) movable() error {
	err := renameOnto(s.dst, s.dir)
	if refusesNames(err) {
		return fixed(s.dst, err)
	}
	if mountPoint(s.dst) { // of a file the system has refused the folder first
		return fixed(s.dst, errors.New("it is a mount point"))
	}
	return nil
}

// Fixed makes an error of a rename or a removal one that matches ErrFixed, if it comes again with
// the next one.
func Fixed(path string, err error) error {
	if err != nil && refusesNames(err) {
		return fixed(path, err)
	}
	return err
}

func fixed(path string, cause error) error {
	return fmt.Errorf("%s: %w, because it is a mount point, or the folder that it is in may not be written: %w", path, ErrFixed, cause)
}

// refusesNames tells an error that comes again with the next rename.
func refusesNames(err error) bool {
	for _, no := range []error{syscall.EBUSY, syscall.EXDEV, os.ErrPermission, syscall.EROFS} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}
