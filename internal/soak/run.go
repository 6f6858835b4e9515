package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/wal"
)

// engine opens a store in a folder.
type engine struct {
	name string
	open func(dir string) (ballast.Store, error)

	// segment is the size of the files of which the documentation says how many there are, 0 where it does not.
	segment int64
}

func walEngine(o wal.Options) engine {
	return engine{"wal", func(dir string) (ballast.Store, error) { return wal.Open(dir+"/wal", &o) }, o.SegmentBytes}
}

var engines = []engine{
	walEngine(wal.Options{SegmentBytes: 64 << 20}), // the default
	{"bolt", func(dir string) (ballast.Store, error) { return boltstore.Open(dir+"/raft.db", nil) }, 0},
	{"badger", func(dir string) (ballast.Store, error) { return badgerstore.Open(dir+"/badger", nil) }, 0},
}

type config struct {
	engine   engine
	dir      string // where the store's folder is made, empty for the usual one
	length   time.Duration
	batches  int     // instead of length, when above 0
	rate     float64 // batches each second, 0 for half of what the disk does
	keep     uint64  // entries that a compaction leaves
	seed     uint64
	progress func(at float64, w *writer)
}

// run is what all goroutines of a run share.
type run struct {
	cfg        config
	dir        string
	src        *source
	model      *model
	start      time.Time
	rate       float64
	compaction chan struct{} // holds one
	part       atomic.Int32
	appends    [parts]histogram
	reads      [parts]histogram
	samples    []sample // of the writer
}

// soak makes a run. It keeps the store's folder when that fails. The report is there also then, as far as the run came.
func soak(ctx context.Context, cfg config) (rep *report, err error) {
	dir, err := os.MkdirTemp(cfg.dir, "ballast-soak-")
	if err != nil {
		return nil, err
	}
	before := descriptors()
	store, err := cfg.engine.open(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	src := newSource(cfg.seed)
	r := &run{cfg: cfg, dir: dir, src: src, model: newModel(src, store), start: time.Now(), rate: cfg.rate,
		compaction: make(chan struct{}, 1), samples: make([]sample, 0, samplesPerRun)}
	w := newWriter(r)
	err = r.all(ctx, w)
	rep = w.report()
	if err == nil {
		err = r.readAll()
	}
	v := r.model.view()
	if err == nil && ctx.Err() != nil {
		return rep, errors.Join(errors.New("the run was interrupted"), v.store.Close(), os.RemoveAll(dir))
	}
	err = errors.Join(err, v.store.Close())
	if err == nil {
		rep.DiskClosed, err = diskUsage(dir)
	}
	if err != nil {
		return rep, fmt.Errorf("engine %s, seed %d, entry %d, folder %s: %w", cfg.engine.name, cfg.seed, v.last, dir, err)
	}
	rep.LiveClosed, rep.FDsBefore, rep.FDsAfter = v.live, before, descriptors()
	rep.judge(cfg.engine.segment)
	return rep, os.RemoveAll(dir)
}

// all lets everybody work until the writer is done or one of them fails.
func (r *run) all(ctx context.Context, w *writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	workers := []func(context.Context) error{w.write, r.compact, r.readNewest, r.readAny, r.readOldest}
	failed := make([]error, len(workers))
	for i, work := range workers {
		group.Go(func() {
			if failed[i] = work(ctx); failed[i] != nil || i == 0 {
				cancel()
			}
		})
	}
	group.Wait()
	return errors.Join(failed...)
}

// compact deletes the prefix when there is twice as much as is kept, as raft does after a snapshot.
func (r *run) compact(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.compaction:
		}
		v := r.model.view()
		if v.last < v.first+r.cfg.keep {
			continue // a signal from before the last compaction
		}
		to := v.last - r.cfg.keep
		r.model.compact(to + 1)
		first, err := v.store.FirstIndex()
		if err == nil {
			err = v.store.DeleteRange(first, to)
		}
		switch after := r.model.view(); {
		case err == nil:
			r.model.update(func(v *view) { v.gone = to })
		case errors.Is(err, ballast.ErrClosed) && !calm(v, after): // the next one deletes it
		default:
			return fmt.Errorf("DeleteRange(%d, %d) of a prefix: %w", first, to, err)
		}
	}
}

// calm reports whether nothing changed between two views but that the log grew and was compacted.
func calm(before, after view) bool {
	return before.changes == after.changes && before.changes%2 == 0
}

// reader reads one entry after the other into the same memory.
type reader struct {
	*run
	got, want raft.Log
}

// read reads an entry that is there according to the view, and verifies it.
func (r *reader) read(v view, index uint64) error {
	start := time.Now()
	err := v.store.GetLog(index, &r.got)
	took := time.Since(start)
	after := r.model.view()
	switch quiet := calm(v, after); {
	case err == raft.ErrLogNotFound && (index < after.first || !quiet):
		return nil
	case errors.Is(err, ballast.ErrClosed) && !quiet:
		return nil
	case err != nil:
		return fmt.Errorf("GetLog(%d) of %d to %d: %w", index, v.first, v.last, err)
	case quiet:
		r.src.fill(&r.want, index, v.term(index))
	default: // of the time before or after
		r.src.fill(&r.want, index, r.got.Term)
	}
	r.reads[r.part.Load()].add(took)
	return oracle.DiffEntry(&r.want, &r.got)
}

// readNewest is a follower that keeps up.
func (r *run) readNewest(ctx context.Context) error {
	d, next := reader{run: r}, uint64(1)
	for ctx.Err() == nil {
		v := r.model.view()
		next = min(max(next, v.first), v.last+1)
		if next > v.last {
			time.Sleep(time.Millisecond)
			continue
		}
		if err := d.read(v, next); err != nil {
			return err
		}
		next++
	}
	return nil
}

func (r *run) readAny(ctx context.Context) error {
	d, rng := reader{run: r}, rand.New(rand.NewPCG(r.cfg.seed, 2))
	for ctx.Err() == nil {
		if v := r.model.view(); v.last > v.first {
			if err := d.read(v, v.first+rng.Uint64N(v.last-v.first)); err != nil {
				return err
			}
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// readOldest is a follower that lags behind, up to where compaction is before it. Then it begins again.
func (r *run) readOldest(ctx context.Context) error {
	d, next := reader{run: r}, uint64(1)
	for ctx.Err() == nil {
		v := r.model.view()
		if next < v.first || next > v.last {
			next = v.first
			if err := v.store.GetLog(v.gone, &d.got); err != raft.ErrLogNotFound && calm(v, r.model.view()) {
				return fmt.Errorf("GetLog(%d), which is deleted: %v", v.gone, err)
			}
		}
		for range maxBatch {
			if next > v.last {
				break
			}
			if err := d.read(v, next); err != nil {
				return err
			}
			next++
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// readAll reads every entry, when nobody writes any more.
func (r *run) readAll() error {
	d, v := reader{run: r}, r.model.view()
	for index := v.first; index <= v.last; index++ {
		if err := d.read(v, index); err != nil {
			return err
		}
	}
	return nil
}
