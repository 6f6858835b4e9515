package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// deviceBytes measures what the process writes to the device for each byte of Data, one store after the other, since that is
// counted for the whole process. What the file system's own journal writes is not in it.
func deviceBytes(n, size int, names ...string) func(e *env) (values, error) {
	return func(e *env) (values, error) {
		v := values{}
		for _, k := range e.each(names...) {
			dir, err := e.folder(k.name)
			if err != nil {
				return nil, err
			}
			s, err := k.open(dir, options{})
			if err != nil {
				return nil, named(k, err)
			}
			err = countBytes(e, k, s, n, size, v)
			if err := errors.Join(err, s.Close()); err != nil {
				return nil, named(k, err)
			}
		}
		return v, nil
	}
}

// countBytes stores 512 MiB of Data, enough that what a store has prepared before and after hardly counts. The zeros are asked
// for inside the time between the two counts, so that never more of them are taken off than were counted.
func countBytes(e *env, k kind, s store, n, size int, v values) error {
	f := newFeed(1, n, size)
	zeroed := k.zeroed
	if zeroed == nil {
		zeroed = func(store) int64 { return 0 }
	}
	before, err := writtenBytes()
	if err != nil {
		return err
	}
	zeros := -zeroed(s)
	batches := max(e.count(512<<20, 1)/(n*size), 2)
	for range batches {
		if err := s.StoreLogs(f.take()); err != nil {
			return err
		}
	}
	zeros += zeroed(s)
	after, err := writtenBytes()
	if err != nil {
		return err
	}
	data := float64(batches * n * size)
	v[k.name] = float64(after-before) / data
	if k.zeroed != nil {
		v[k.name+" without zeros"] = float64(after-before-zeros) / data
	}
	return nil
}

// writtenBytes returns how many bytes this process has written, or has made the kernel write, to a device.
func writtenBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/self/io has no write_bytes: %q", text)
}
