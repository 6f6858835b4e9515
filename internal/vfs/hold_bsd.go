//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package vfs

import (
	"errors"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// openWithoutLinks fails: the links are looked for.
func openWithoutLinks(string) (handle, error) { return handle{}, errors.ErrUnsupported }

const directFlag = 0

func identityAt(path string) (identity, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return identity{uint64(st.Dev), uint64(st.Ino)}, err
}

func identityOf(f *os.File) (identity, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	runtime.KeepAlive(f)
	return identity{uint64(st.Dev), uint64(st.Ino)}, err
}

// nameOf returns "": the platform does not say.
func nameOf(*os.File) string { return "" }

func (h handle) alias() string { return "" }

// isLocal returns false: that a folder is locked serves those alone who can vouch.
func isLocal(*os.File) bool { return false }

// vouch fails: there is no lock beside flock that leaves flock as it is.
func (h handle) vouch(io.Closer) error { return errors.ErrUnsupported }

func withdraw(*os.File) {}

func (h handle) vouched(string) bool { return false }
