package vfs

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// dirMove says that a folder got another name, "" when it was removed.
type dirMove struct{ from, to string }

func (m *Mem) renameDir(from, to string) error {
	if m.dirs[to] != nil { // itself too, as package os has it
		return syscall.EEXIST
	}
	if _, err := m.lookup(to); err == nil {
		return syscall.ENOTDIR
	}
	m.moveDir(from, to)
	parent := m.dirs[filepath.Dir(from)]
	parent.moves = append(parent.moves, dirMove{filepath.Base(from), filepath.Base(to)})
	return nil
}

// moveDir gives a folder, and what is in it, another path.
func (m *Mem) moveDir(from, to string) {
	below := from + string(filepath.Separator)
	for _, dir := range slices.Collect(maps.Keys(m.dirs)) {
		rest, inside := strings.CutPrefix(dir, below)
		switch {
		case dir == from:
			m.dirs[to] = m.dirs[dir]
		case inside:
			m.dirs[filepath.Join(to, rest)] = m.dirs[dir]
		default:
			continue
		}
		delete(m.dirs, dir)
	}
}

func (m *Mem) removeDir(dir string) error {
	if len(m.dirs[dir].names) > 0 || slices.ContainsFunc(slices.Collect(maps.Keys(m.dirs)), func(sub string) bool {
		return sub != dir && filepath.Dir(sub) == dir
	}) {
		return syscall.ENOTEMPTY
	}
	delete(m.dirs, dir)
	parent := m.dirs[filepath.Dir(dir)]
	parent.moves = append(parent.moves, dirMove{from: filepath.Base(dir)})
	return nil
}

// crashMoves takes back what happened to the names of folders and was not durable, each move or not. The innermost folders
// come first, whose paths depend on the outer ones.
func (m *Mem) crashMoves(out *Mem, rng *rand.Rand) {
	for _, dir := range slices.Backward(slices.Sorted(maps.Keys(m.dirs))) {
		moves := m.dirs[dir].moves
		if len(moves) == 0 || out.dirs[dir] == nil {
			continue
		}
		keep := choose(rng, len(moves))
		lost := map[string]bool{"": false} // names to which something did not happen
		var undo []dirMove
		for i, move := range moves {
			if lost[move.from] || lost[move.to] || !keep(i) {
				lost[move.from], lost[move.to] = true, move.to != ""
				undo = append(undo, move)
			}
		}
		for _, move := range slices.Backward(undo) {
			out.undo(filepath.Join(dir, move.from), dir, move.to)
		}
	}
}

// undo takes one move back, unless the name is taken.
func (m *Mem) undo(path, dir, to string) {
	if _, err := m.lookup(path); err == nil || m.dirs[path] != nil {
		return
	}
	if to == "" {
		m.dirs[path] = &memDir{names: make(map[string]*node)}
	} else if m.dirs[filepath.Join(dir, to)] != nil {
		m.moveDir(filepath.Join(dir, to), path)
	}
}
