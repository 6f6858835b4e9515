package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/raft-ballast/ballast"
	common "github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/move"
	"github.com/raft-ballast/ballast/internal/move/intowal"
	"github.com/raft-ballast/ballast/wal"
)

// route is a store, or a raft group of one, and what is made of it.
type route struct {
	src, dst place
	stable   *place // the store with the stable state; nil for one that has both
	logOnly  bool
}

// stableName is that of the store with the stable state, "" for none.
func (p route) stableName() outside {
	if p.stable == nil {
		return ""
	}
	return p.stable.exactName()
}

// withStable takes --stable and --log-only.
func (f *migrateFlags) withStable(routes []route) ([]route, error) {
	for i := range routes {
		routes[i].logOnly = f.logOnly
	}
	switch {
	case f.stable == "":
		return routes, nil
	case f.logOnly:
		return nil, usagef("--stable and --log-only exclude each other; give one of them")
	case len(f.groups) > 0 && strings.Contains(f.groups[0], "="):
		return nil, usagef("--stable is for one store; add such raft groups one by one, with --group ID and --stable STORE")
	}
	stable, err := findStore(f.stable)
	if err != nil {
		return nil, err
	}
	if common.SamePlace(stable.path, routes[0].src.path) {
		return nil, usagef("%s is given as the log and as the stable store; leave out --stable, if it has both", stable.name())
	}
	routes[0].stable = &stable
	return routes, nil
}

// routes returns what is to be copied to where.
func (f *migrateFlags) routes(args []string) ([]route, error) {
	routes, err := f.routesOf(args)
	if err != nil {
		return nil, err
	}
	return f.withStable(routes)
}

func (f *migrateFlags) routesOf(args []string) ([]route, error) {
	if len(f.groups) == 0 && f.as.given {
		return nil, usagef("--as is for a raft group that --group names; add --group")
	}
	if len(f.groups) == 0 {
		p, err := oneRoute(args, groupFlag{}, groupFlag{})
		return []route{p}, err
	}
	if id, _, many := strings.Cut(f.groups[0], "="); !many {
		if len(f.groups) > 1 {
			return nil, usagef("--group is given twice; give it once, or each time with a store, as in --group %s=bolt:FILE", id)
		}
		var g groupFlag
		if err := g.Set(id); err != nil {
			return nil, usagef("--group: %v", err)
		}
		p, err := oneRoute(args, g, f.as)
		return []route{p}, err
	}
	return f.merged(args)
}

// oneRoute takes two arguments. The group is that of the source where this is a wal, and of the destination where that is one.
func oneRoute(args []string, g, as groupFlag) (p route, err error) {
	if len(args) != 2 {
		return p, usagef("ballast migrate takes the old store and the name of the new one and got %s; `ballast migrate --help` shows examples",
			countText(len(args), "argument", "arguments"))
	}
	if p.dst, err = newPlace(args[1]); err != nil {
		return p, err
	}
	if p.src, err = findStore(args[0]); err != nil || !g.given {
		return p, err
	}
	from, to := p.src.engine.name == defaultEngine, p.dst.engine.name == defaultEngine
	switch {
	case !from && !to:
		return p, usagef("--group is for a wal, and neither %s nor %s is one; leave it out", p.src, p.dst)
	case as.given && !to:
		return p, usagef("%s is the store of one raft group; leave out --as, which is for a wal", p.dst)
	}
	if from {
		p.src = p.src.group(g)
	}
	if as.given {
		g = as
	}
	if to {
		p.dst = p.dst.group(g)
	}
	return p, nil
}

// merged takes --group ID=STORE, as often as it was given, and one argument.
func (f *migrateFlags) merged(args []string) (routes []route, err error) {
	if len(args) != 1 {
		return nil, usagef("with --group ID=STORE ballast migrate takes one wal, into which the stores go, and got %s; `ballast migrate --help` shows examples",
			countText(len(args), "argument", "arguments"))
	}
	if f.as.given || f.dryRun {
		return nil, usagef("--as and --dry-run are for one raft group; leave them out with --group ID=STORE")
	}
	dst, err := newPlace(args[0])
	if err != nil {
		return nil, err
	}
	if dst.engine.name != defaultEngine {
		return nil, usagef("%s cannot hold several raft groups; give wal:DIR", dst)
	}
	var ids []uint64
	for _, text := range f.groups {
		id, store, _ := strings.Cut(text, "=")
		var g groupFlag
		if err := g.Set(id); err != nil {
			return nil, usagef("--group %s: %v", text, err)
		}
		if slices.Contains(ids, g.id) {
			return nil, usagef("--group names raft group %d twice; give each id once", g.id)
		}
		src, err := findStore(store)
		if err != nil {
			return nil, err
		}
		ids, routes = append(ids, g.id), append(routes, route{src: src, dst: dst.group(g)})
	}
	return routes, nil
}

// checkApart refuses a log as the source of what is added to it: it would be written while it is read.
func checkApart(routes []route) error {
	for _, p := range routes {
		if !p.dst.exists() || p.src.engine.name != defaultEngine {
			continue
		}
		from, err := os.Stat(p.src.path)
		if err != nil {
			return fmt.Errorf("looking at the old store: %w", err)
		}
		to, err := os.Stat(p.dst.path)
		if err != nil {
			return fmt.Errorf("looking at the new store: %w", err)
		}
		if os.SameFile(from, to) {
			return usagef("%s and %s are the same log; copy the raft group into another one", p.src.name(), p.dst.name())
		}
	}
	return nil
}

// explain says how a raft group gets another id, where the source was not opened because it has others.
func (p route) explain(err error) error {
	if !p.dst.engine.group.given {
		return err
	}
	var ids []uint64
	if none, ok := errors.AsType[*noGroupError](err); ok {
		ids = none.ids
	} else if several, ok := errors.AsType[*severalGroupsError](err); ok {
		ids = several.ids
	}
	if len(ids) == 0 {
		return err
	}
	return fmt.Errorf("%w; `ballast migrate --group %d --as %d %s %s` takes raft group %d and calls it %d",
		err, ids[0], p.dst.engine.group.id, p.src.name(), p.dst.name(), ids[0], p.dst.engine.group.id)
}

// checkSources refuses before anything is copied: a store, of several, that does not open.
func checkSources(routes []route) error {
	if len(routes) == 1 {
		return nil // it is opened at once
	}
	for _, p := range routes {
		src, err := openAlone(p.src)
		if err == nil {
			err = src.Close()
		}
		if err != nil {
			return fmt.Errorf("%s: %w; nothing was copied", p.src, p.explain(err))
		}
	}
	return nil
}

// ofOnePeer reports whether a wal that is there has group 0 and no other.
func (p place) ofOnePeer() bool {
	gs, err := wal.OpenGroupsReadOnly(p.path, nil)
	if err != nil {
		return false // whoever opens it for writing is told
	}
	defer gs.Close() // it was only looked at
	return slices.Equal(gs.IDs(), []uint64{0})
}

// exists reports whether the group is to be added to a log that is there.
func (p place) exists() bool { return p.engine.group.given && p.isWal() }

// isWal reports whether there is a log at the place of one.
func (p place) isWal() bool {
	kind, err := kindOfDir(p.path)
	return p.engine.name == defaultEngine && err == nil && kind == defaultEngine
}

// checkFree refuses before anything is copied: a group that is there.
func checkFree(routes []route) error {
	if !routes[0].dst.exists() {
		return nil
	}
	gs, err := wal.OpenGroupsReadOnly(routes[0].dst.path, nil)
	if err != nil {
		return err
	}
	var there []string
	for _, p := range routes {
		s, err := gs.Store(p.dst.engine.group.id)
		if errors.Is(err, ballast.ErrUnfinished) {
			continue // it is made anew
		}
		if err != nil {
			return errors.Join(err, gs.Close())
		}
		_ = s.Close() // it was not read from
		if slices.Contains(gs.IDs(), p.dst.engine.group.id) {
			there = append(there, p.dst.engine.group.String())
		}
	}
	if len(there) > 0 {
		which, instead := "raft group", "give another id, or leave it out"
		if len(there) > 1 {
			which, instead = "raft groups", "give other ids, or leave them out"
		}
		err = fmt.Errorf("%s has %s %s already; nothing was copied, %s", routes[0].dst.name(), which, strings.Join(there, ", "), instead)
	}
	return errors.Join(err, gs.Close())
}

// add copies the source into a log that is there.
func (m *migration) add(ctx context.Context) (res move.Result, err error) {
	src, err := m.job.OpenOld()
	if err != nil {
		return res, err
	}
	defer closing(src, &err)
	gs, err := wal.OpenGroups(m.target.path, &wal.Options{MaxEntryBytes: maxMigratedBytes})
	if err != nil {
		return res, err
	}
	job := intowal.Group(gs, m.target.path, m.target.engine.group.id)
	job.Source, job.From = src, m.job
	res, err = job.Copy(ctx)
	err = errors.Join(err, gs.Close(), keepOwner(m.target.path))
	res.OwnerKept = true // the log's is nobody's business here
	return res, err
}

// createGroup makes a log with one group.
func createGroup(path string, g groupFlag) (ballast.Store, error) {
	gs, err := wal.OpenGroups(path, &wal.Options{MaxEntryBytes: maxMigratedBytes})
	if err != nil {
		return nil, err
	}
	s, err := gs.Store(g.id)
	if err != nil {
		return nil, errors.Join(err, gs.Close())
	}
	return &walStore{s, gs}, nil
}
