package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// subBits says how exact a histogram is: to one part in 32.
const subBits = 5

// histogram counts durations by size, for several goroutines at once. It never grows.
type histogram struct {
	counts  [(64 - subBits) << subBits]atomic.Uint64
	longest atomic.Int64
}

func (h *histogram) add(d time.Duration) {
	n := uint64(max(d, 1))
	h.counts[bucket(n)].Add(1)
	for {
		longest := h.longest.Load()
		if int64(d) <= longest || h.longest.CompareAndSwap(longest, int64(d)) {
			return
		}
	}
}

// bucket returns the place of n. Numbers below 2<<subBits have one each.
func bucket(n uint64) int {
	shift := max(bits.Len64(n)-subBits-1, 0)
	return shift<<subBits + int(n>>shift)
}

// smallest returns the smallest number of a bucket.
func smallest(bucket int) uint64 {
	shift := max(bucket>>subBits-1, 0)
	return uint64(bucket-shift<<subBits) << shift
}

func (h *histogram) count() (n uint64) {
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// quantile returns what a share of the durations is not above, 0 without any.
func (h *histogram) quantile(share float64) time.Duration {
	rank := uint64(share * float64(h.count()))
	for i := range h.counts {
		n := h.counts[i].Load()
		if n > rank {
			return time.Duration(smallest(i))
		}
		rank -= n
	}
	return time.Duration(h.longest.Load())
}

// sample is what the process and its store take at a moment. -1 is what this platform does not tell.
type sample struct {
	part        int
	heap        int64 // live bytes; 0 in a sample before which no garbage was collected
	rss         int64
	descriptors int
	goroutines  int
	disk        int64 // blocks, not sizes
	live        int64 // bytes of the entries that are there
}

func (r *run) sample(collect bool) (s sample, err error) {
	s = sample{part: int(r.part.Load()), rss: residentBytes(), descriptors: descriptors(), goroutines: runtime.NumGoroutine(),
		live: r.model.view().live}
	if collect {
		s.heap = liveHeap()
	}
	s.disk, err = diskUsage(r.dir)
	return s, err
}

// liveHeap collects garbage and returns what is left.
func liveHeap() int64 {
	runtime.GC()
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

func residentBytes() int64 {
	var size, resident int64
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return -1
	}
	if _, err := fmt.Fscan(bytes.NewReader(data), &size, &resident); err != nil {
		return -1
	}
	return resident * int64(os.Getpagesize())
}

func descriptors() int {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(open) - 1 // without the one that reads the folder
}

func diskUsage(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		var used int64
		if err == nil && !d.IsDir() {
			used, err = vfs.OS.DiskUsage(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the store has removed it meanwhile
		}
		n += used
		return err
	})
	return n, err
}
