package compare

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/internal/limit"
)

// ways knows what each takes for how many bytes. The fastest is the limit: no store that makes as many bytes durable before it returns
// can be faster.
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
	for _, way := range limit.Ways() {
		r, err := start(e, way, bytes)
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
	for i, way := range limit.Ways() {
		r := results[i]
		rows = append(rows, report.Way{Bytes: bytes, Extents: way.Extents, Sync: way.Sync, Median: r.Median, P99: r.P99, P999: r.P999,
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
	r, err := start(e, limit.Way{Extents: fastest.Extents, Sync: fastest.Sync}, bytes)
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

// start makes a file and starts the rival that writes so many bytes to it.
func start(e *env, way limit.Way, bytes int) (*rival, error) {
	dir, err := e.folder("way")
	if err != nil {
		return nil, err
	}
	file, err := way.Create(filepath.Join(dir, "file"), bytes, int64(e.count(64<<20, 1<<20)))
	if err != nil {
		return nil, err
	}
	return &rival{ready: file.Ready, call: file.Write, close: file.Close}, nil
}
