package place

import (
	"io/fs"
	"path/filepath"
	"time"
)

// waits is longer than who waits for the lock of a bbolt file needs to see that it is free: it looks every 50 ms.
const waits = 250 * time.Millisecond

// Writers reports whether anybody, this process too, has a file open for writing, or one in a folder.
//
// It is for a store that has just got another name. Who opened it under the old one and waits for its lock, as raft-boltdb does for ever, does
// not see the new name, and would write to what nobody reads any more.
//
// Where the system does not tell, Writers waits for as long as such a one needs to take the lock, which must be free, and reports false: who asks for the lock next finds it
// taken, or what was written. That is all but sure, and not a promise.
func Writers(path string) bool {
	if open, known := look(path); known && !open {
		return false
	}
	time.Sleep(waits) // a file that is being closed, or that a child has as long as it has not begun, is free then
	open, _ := look(path)
	return open
}

// look asks about each file there is. known is false when the system has not told of one.
func look(path string) (open, known bool) {
	known = true
	_ = filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			known = false
		case d.Type().IsRegular():
			o, k := writers(path)
			open, known = open || o, known && k
		}
		return nil
	})
	return open, known
}
