package wal

// This file is how a live entry moves to the end of the log, so that the segment in which it was can be used again. It is stored
// once more: in the order of the log the last one counts. What is in a move is what the entry was when the reclaimer read it.

// entryPlace is an entry and where it is in its segment. There may be many.
type entryPlace struct {
	group *group
	index uint64
	off   int64
}

// movedEntry is an entry that moves.
type movedEntry struct {
	entryPlace
	seg   *segment // in which it was
	rec   record   // which was verified; its parts are the move's own
	taken bool     // it is still what the log has, so it is in the frame
}

// size returns what the record takes in a segment.
func (r *record) size() int64 {
	return padded(recordHeaderBytes + int64(len(r.first)) + int64(len(r.second)))
}

// movesFirst puts a request that moves entries in front of the others of its frame. It repeats what the log held before that frame,
// so whatever else the frame says of these entries came later.
func movesFirst(batch []*request) {
	for i, r := range batch {
		if r.kind == recordMoved { // there is one reclaimer, so one request
			batch[0], batch[i] = r, batch[0]
			return
		}
	}
}

// moved adds to the frame those entries that were neither deleted nor stored again since they were read. Nothing changes the state while a
// frame is made.
func (w *writer) moved(moves []movedEntry) {
	w.j.mu.RLock()
	for i := range moves {
		m := &moves[i]
		r := m.group.find(m.index)
		m.taken = r != nil && r.seg == m.seg && r.loaded() && r.offset(m.index-r.first) == m.off
	}
	w.j.mu.RUnlock()
	for i := range moves {
		if m := &moves[i]; m.taken {
			w.offs = append(w.offs, uint32(w.pos>>3))
			w.record(&m.rec)
		}
	}
}

// applyMoves makes the log refer to the new places, and returns how many of offs it used. The caller holds j.mu.
func (j *journal) applyMoves(moves []movedEntry, offs []uint32) (used int) {
	for i := range moves {
		if m := &moves[i]; m.taken {
			m.group.put(m.index, j.tail, offs[used:used+1])
			used++
		}
	}
	return used
}
