package compare

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
)

const (
	churnBatch  = 64 // entries of a call
	churnSize   = 4 << 10
	churnPoints = 64 // of the series
)

const (
	aboutChurn  = "Disk used under constant appends of 64 entries of 4 KiB and compaction, as the median of the second half."
	aboutDevice = "Bytes that the process has the kernel write to the device, for each byte of Data; what the file system's own journal writes is not in it."
)

// churn has each store append so many MiB and keep the last few, one store after the other: what goes to the device is counted for
// the whole process.
func churn(total, kept int, takes time.Duration) step {
	used := fmt.Sprintf("disk with %d MiB live", kept)
	const device, bare, few = "device 64x4 KiB", "device 64x4 KiB, zeros ahead not counted", "device 1x128 B"
	return step{names: []string{used, device, bare, few}, takes: takes, measure: func(e *env) ([]report.Workload, error) {
		list := []report.Workload{
			{Group: "churn", Name: used, Unit: "MiB", About: aboutChurn},
			{Group: "device", Name: device, Unit: "bytes a byte", About: aboutDevice},
			{Group: "device", Name: bare, Unit: "bytes a byte", About: aboutDevice},
			{Group: "device", Name: few, Unit: "bytes a byte", About: aboutDevice},
		}
		for i := range list {
			list[i].Better = "lower"
		}
		for _, k := range e.kinds(onDisk) {
			c := &churner{kind: k, total: int64(e.count(total, 2)) << 20, kept: int64(e.count(kept, 1)) << 20}
			e.doing(used + ": " + k.Name)
			for i, r := range c.run(e) {
				if r.Store != "" {
					list[i].Results = append(list[i].Results, r)
				}
			}
			if err := e.ctx.Err(); err != nil {
				return nil, err
			}
		}
		return slices.DeleteFunc(list, func(w report.Workload) bool { return len(w.Results) == 0 }), nil
	}}
}

// churner is one store's run.
type churner struct {
	kind        stores.Kind
	total, kept int64 // bytes of Data
	dir         string
	disk        []report.Point
}

// run returns a result for each of the four workloads; one without a store is none.
func (c *churner) run(e *env) (list [4]report.Result) {
	fail := func(err error) [4]report.Result {
		r := failed(c.kind.Name, err)
		return [4]report.Result{r, r, {}, r}
	}
	var err error
	if c.dir, err = e.folder(c.kind.Name); err != nil {
		return fail(err)
	}
	s, err := c.kind.Open(c.dir, stores.Options{})
	if err != nil {
		return fail(err)
	}
	defer s.Close() // the folder is removed
	all, zeros, err := c.count(s, func() error { return c.compacting(e, s) })
	if err != nil {
		return fail(err)
	}
	var settled []float64
	for _, p := range c.disk[len(c.disk)/2:] {
		settled = append(settled, p.Y)
	}
	list[0] = single(c.kind.Name, settled)
	list[0].Series, list[0].SeriesX, list[0].SeriesY = c.disk, "MiB appended", "MiB on the disk"
	last, err := s.LastIndex()
	if err != nil {
		return fail(err)
	}
	if all < 0 {
		return list // the system does not count
	}
	list[1] = single(c.kind.Name, []float64{float64(all) / float64(c.total)})
	if c.kind.Zeroed != nil {
		list[2] = single(c.kind.Name, []float64{float64(all-zeros) / float64(c.total)})
	}
	calls := e.count(2000, 10)
	const size = 128
	time.Sleep(e.span(500 * time.Millisecond)) // what is still to be written of what came before
	f := newFeed(c.kind, last+1, 1, size)
	all, _, err = c.count(s, func() error { return f.fill(s, last+uint64(calls)) })
	if err != nil {
		return fail(err)
	}
	list[3] = single(c.kind.Name, []float64{float64(all) / float64(calls*size)})
	return list
}

// count returns how many bytes went to the device while fn ran, -1 where the system does not say, and how many of them were zeros ahead of
// the log. The zeros are asked for inside, so that never more of them are taken off than were counted.
func (c *churner) count(s stores.Store, fn func() error) (all, zeros int64, err error) {
	zeroed := c.kind.Zeroed
	if zeroed == nil {
		zeroed = func(stores.Store) int64 { return 0 }
	}
	before, err := writtenBytes()
	if err != nil {
		return -1, 0, err
	}
	zeros = -zeroed(s)
	err = fn()
	zeros += zeroed(s)
	after, e := writtenBytes()
	if err = errors.Join(err, e); err != nil || before < 0 {
		return -1, 0, err
	}
	return after - before, zeros, nil
}

// compacting appends all there is to append, and now and then deletes what is too old.
func (c *churner) compacting(e *env, s stores.Store) error {
	f := newFeed(c.kind, 1, churnBatch, churnSize)
	const batchBytes = churnBatch * churnSize
	every := max(c.total/batchBytes/churnPoints, 1)
	for n := int64(1); n*batchBytes <= c.total && e.ctx.Err() == nil; n++ {
		if err := s.StoreLogs(f.take()); err != nil {
			return err
		}
		if n%every != 0 {
			continue
		}
		if n*batchBytes > c.kept {
			if err := keep(s, uint64(c.kept/churnSize)); err != nil {
				return err
			}
		}
		used, err := diskUsed(c.dir)
		if err != nil {
			return err
		}
		c.disk = append(c.disk, report.Point{X: float64(n*batchBytes) / (1 << 20), Y: float64(used) / (1 << 20)})
	}
	return e.ctx.Err()
}

// diskUsed returns how many bytes of the disk the files of a folder take.
func diskUsed(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return gone(err)
		}
		info, err := d.Info()
		if err != nil {
			return gone(err)
		}
		bytes += allocated(info)
		return nil
	})
	return bytes, err
}

// gone is nil for what the store has removed meanwhile.
func gone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// writtenBytes returns how many bytes this process has written, or has made the kernel write, to a device; -1 where the system, which is
// not Linux then, does not say.
func writtenBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/io")
	if os.IsNotExist(err) {
		return -1, nil
	}
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
