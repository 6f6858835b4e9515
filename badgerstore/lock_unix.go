//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package badgerstore

import (
	"fmt"
	"os"
	"syscall"

	"github.com/raft-ballast/ballast"
)

// ownLock says that Ballast takes the directory's lock, so that it can give it back after a failed Open,
// also one in which badger panicked. It is badger's own lock, flock on the directory, and keeps raft-badger
// out as well.
const ownLock = true

type dirLock struct{ f *os.File }

func lockDir(in *folder, shared bool) (*dirLock, error) {
	f, err := os.Open(in.by)
	if err != nil {
		return nil, fmt.Errorf("badgerstore: open %s to lock it: %w", in.dir, in.named(err))
	}
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	for {
		switch err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err {
		case nil:
			return &dirLock{f}, nil
		case syscall.EINTR:
			continue
		case syscall.EWOULDBLOCK:
			f.Close()
			return nil, &ballast.LockedError{Path: in.dir, Err: err}
		}
		f.Close()
		return nil, fmt.Errorf("badgerstore: lock %s: %w", in.dir, err)
	}
}

func (l *dirLock) unlock() error { return l.f.Close() }
