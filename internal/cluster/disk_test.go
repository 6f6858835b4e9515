package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// disk is the small file system of one peer.
type disk struct {
	dir  string
	file *os.File // that fills it; nil while there is space
	stop chan struct{}
	done sync.WaitGroup
	err  error // of filling; valid when done
}

// fill writes a file until not another byte fits, and goes on with it when something else is removed, until free.
func (d *disk) fill() error {
	f, err := os.Create(filepath.Join(d.dir, "filler"))
	if err != nil {
		return err
	}
	if err := fillUp(f); err != nil {
		return errors.Join(err, f.Close())
	}
	d.file, d.stop = f, make(chan struct{})
	d.done.Go(func() {
		for {
			select {
			case <-d.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			if d.err = fillUp(f); d.err != nil {
				return
			}
		}
	})
	return nil
}

func fillUp(f *os.File) error {
	for size := 1 << 20; size > 0; size /= 2 {
		piece := make([]byte, size)
		for {
			_, err := f.Write(piece)
			if errors.Is(err, syscall.ENOSPC) {
				break
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// free removes the file. It does nothing when there is none.
func (d *disk) free() error {
	if d.file == nil {
		return nil
	}
	close(d.stop)
	d.done.Wait()
	err := errors.Join(d.err, d.file.Close(), os.Remove(d.file.Name()))
	d.file = nil
	return err
}
