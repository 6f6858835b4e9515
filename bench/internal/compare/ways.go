package compare

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unsafe"

	"github.com/raft-ballast/ballast/bench/internal/report"
)

// Where bytes go.
const (
	growing      = "growing"      // the file becomes longer with each write
	preallocated = "preallocated" // into space that was reserved and never written
	written      = "written"      // over what was written before
)

// way is one way to make bytes durable.
type way struct{ extents, sync string }

func allWays() (list []way) {
	for _, extents := range []string{growing, preallocated, written} {
		for _, sync := range syncs {
			list = append(list, way{extents, sync})
		}
	}
	return list
}

// ways knows what each takes for how many bytes. The fastest is the limit: no store that makes as many bytes durable before it returns
// can be faster. Nothing is encoded, copied or remembered.
type ways struct {
	e     *env
	sizes map[int][]report.Way
}

func newWays(e *env) *ways { return &ways{e: e, sizes: make(map[int][]report.Way)} }

// rows returns all that was measured, the smallest first.
func (w *ways) rows() (list []report.Way) {
	for _, rows := range w.sizes {
		list = append(list, rows...)
	}
	slices.SortStableFunc(list, func(a, b report.Way) int { return cmp.Compare(a.Bytes, b.Bytes) })
	return list
}

// measure finds out what each way takes for so many bytes, in so long.
func (w *ways) measure(e *env, bytes int, total time.Duration) error {
	if w.sizes[bytes] != nil {
		return nil
	}
	var rivals []*rival
	for _, way := range allWays() {
		r, err := way.start(e, bytes)
		if err != nil {
			r = &rival{failed: err}
		}
		rivals = append(rivals, r)
	}
	results, err := turns{total: e.span(total), warm: 1}.compare(e, rivals)
	if err != nil {
		return err
	}
	var rows []report.Way
	for i, way := range allWays() {
		r := results[i]
		rows = append(rows, report.Way{Bytes: bytes, Extents: way.extents, Sync: way.sync, Median: r.Median, P99: r.P99, P999: r.P999,
			Low: r.Low, High: r.High, Samples: r.Samples, Failed: r.Failed})
	}
	fastest := -1
	for i := range rows {
		if rows[i].Failed == "" && (fastest < 0 || rows[i].Median < rows[fastest].Median) {
			fastest = i
		}
	}
	if fastest < 0 {
		return fmt.Errorf("no way to write %d bytes: %s", bytes, rows[0].Failed)
	}
	rows[fastest].Fastest = true
	w.sizes[bytes] = rows
	return nil
}

// limit starts the rival that no store can beat, which makes so many bytes durable with each of so many writes of a call.
func (e *env) limit(bytes, writes int) (*rival, error) {
	if err := e.ways.measure(e, bytes, time.Second); err != nil {
		return nil, err
	}
	rows := e.ways.sizes[bytes]
	fastest := rows[slices.IndexFunc(rows, func(r report.Way) bool { return r.Fastest })]
	r, err := way{fastest.Extents, fastest.Sync}.start(e, bytes)
	if err != nil {
		return nil, err
	}
	r.name = report.Limit
	one := r.call
	r.call = func() error {
		for range writes {
			if err := one(); err != nil {
				return err
			}
		}
		return nil
	}
	return r, nil
}

// withLimit puts the limit in front of others.
func (e *env) withLimit(bytes, writes int, others []*rival) []*rival {
	limit, err := e.limit(bytes, writes)
	if err != nil {
		limit = &rival{name: report.Limit, failed: err}
	}
	return append([]*rival{limit}, others...)
}

// block is what a direct write is made of, and aligned to.
const block = 4096

// start makes a file and starts the rival that writes so many bytes to it, one write behind the other. Where the file ends it begins
// anew, outside of what is timed.
func (w way) start(e *env, bytes int) (*rival, error) {
	if w.sync == direct {
		bytes = (bytes + block - 1) / block * block
	}
	buf := aligned(bytes)
	copy(buf, noise(0, len(buf)))
	dir, err := e.folder("way")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "file")
	length := int64(max(e.count(64<<20, 1<<20)/len(buf), 2)) * int64(len(buf))
	if w.extents == written {
		if err := writeZeros(path, length); err != nil {
			return nil, err
		}
	}
	file, err := openDurable(path, w.sync)
	if err != nil {
		return nil, err
	}
	at := length
	return &rival{
		ready: func() {
			if at+int64(len(buf)) > length {
				at = 0
				w.renew(file, length)
			}
		},
		call: func() error {
			err := writeDurable(file, buf, at, w.sync)
			at += int64(len(buf))
			return err
		},
		close: file.Close,
	}, nil
}

// renew brings a file back to what it was before the first write. An error shows in the next write.
func (w way) renew(file *os.File, length int64) {
	if w.extents == written {
		return
	}
	_ = file.Truncate(0)
	if w.extents == preallocated {
		_ = reserve(file, length)
	}
	_ = file.Sync()
}

// aligned returns bytes at an address that a direct write takes.
func aligned(n int) []byte {
	buf := make([]byte, n+block)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(buf)))) & (block - 1)
	return buf[skip : skip+n : skip+n]
}

// writeZeros makes a file of zeros and brings it to the disk, so that none of its extents is unwritten.
func writeZeros(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := reserve(file, size); err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := file.WriteAt(zeros[:min(size-at, int64(len(zeros)))], at); err != nil {
			return err
		}
	}
	return file.Sync()
}
