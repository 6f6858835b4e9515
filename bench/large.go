package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

// A large log has so many entries, of which so many are compacted away.
const (
	largeCount = 1_000_000
	largeSize  = 256
	compacted  = 900_000
)

// openLarge measures Open of a large log that was closed cleanly, and Open together with the reading of the last entry, as
// a peer starts. The page cache is as filling it left it.
func openLarge(names ...string) func(e *env) (values, error) {
	return func(e *env) (values, error) {
		count := e.count(largeCount, 100)
		stores := e.each(names...)
		for _, k := range stores {
			if err := e.fillLarge(k, count); err != nil {
				return nil, named(k, err)
			}
		}
		samples := map[string][]float64{}
		for range e.count(7, 2) {
			for _, i := range e.rng.Perm(len(stores)) {
				if err := openOnce(e, stores[i], count, samples); err != nil {
					return nil, named(stores[i], err)
				}
			}
		}
		v := values{}
		for name, s := range samples {
			v[name] = median(s)
		}
		return v, nil
	}
}

func openOnce(e *env, k kind, count int, samples map[string][]float64) error {
	start := time.Now()
	s, err := k.open(filepath.Join(e.dir, k.name), options{})
	if err != nil {
		return err
	}
	opened := time.Since(start)
	var l raft.Log
	last, err := s.LastIndex()
	if err == nil {
		err = s.GetLog(last, &l)
	}
	read := time.Since(start)
	if err == nil && last != uint64(count) {
		err = fmt.Errorf("the last entry is %d, not %d", last, count)
	}
	samples[k.name] = append(samples[k.name], micros(opened))
	samples[k.name+" to last entry"] = append(samples[k.name+" to last entry"], micros(read))
	return errors.Join(err, s.Close())
}

// deleteLarge measures DeleteRange of most of a large log, behind appends to it of one entry, which are measured as well.
func deleteLarge(names ...string) func(e *env) (values, error) {
	return func(e *env) (values, error) {
		count, cut := e.count(largeCount, 100), e.count(compacted, 90)
		stores := e.each(names...)
		v := values{}
		for _, i := range e.rng.Perm(len(stores)) {
			k := stores[i]
			if err := e.fillLarge(k, count); err != nil {
				return nil, named(k, err)
			}
			s, err := k.open(filepath.Join(e.dir, k.name), options{})
			if err != nil {
				return nil, named(k, err)
			}
			if err := errors.Join(deleteOnce(e, k, s, count, cut, v), s.Close()); err != nil {
				return nil, named(k, err)
			}
		}
		return v, nil
	}
}

func deleteOnce(e *env, k kind, s store, count, cut int, v values) error {
	f := newFeed(uint64(count)+1, 1, largeSize)
	var appends []float64
	for range e.count(50, 5) {
		logs := f.take()
		start := time.Now()
		if err := s.StoreLogs(logs); err != nil {
			return err
		}
		appends = append(appends, micros(time.Since(start)))
	}
	start := time.Now()
	if err := s.DeleteRange(1, uint64(cut)); err != nil {
		return err
	}
	v[k.name] = micros(time.Since(start))
	v[k.name+" append"] = median(appends)
	if first, err := s.FirstIndex(); err != nil || first != uint64(cut)+1 {
		return fmt.Errorf("the first entry is %d, %v; want %d", first, err, cut+1)
	}
	return nil
}

// fillLarge makes a log in the folder of its store and closes it cleanly.
func (e *env) fillLarge(k kind, count int) error {
	dir, err := e.folder(k.name)
	if err != nil {
		return err
	}
	return fillClosed(k, dir, count, largeSize)
}
