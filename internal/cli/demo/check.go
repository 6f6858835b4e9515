package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

const (
	settleTimeout = 30 * time.Second
	checkBatch    = 256 // writes that are asked for at once
	checkWorkers  = 4
)

// settle waits until every peer has applied the same index of each group, the last there is, and reports whether
// their digests are the same there. Nobody writes any more.
func (r *run) settle(ctx context.Context) (indexes []uint64, err error) {
	indexes = make([]uint64, r.cfg.Groups)
	for g := range indexes {
		if indexes[g], err = r.settleGroup(ctx, g); err != nil {
			return nil, fmt.Errorf("%w%s", err, r.ofGroup(g))
		}
	}
	return indexes, nil
}

// ofGroup names a group where there are several.
func (r *run) ofGroup(g int) string {
	if r.cfg.Groups <= 1 {
		return ""
	}
	return fmt.Sprintf(" of raft group %d", g)
}

func (r *run) settleGroup(ctx context.Context, g int) (index uint64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, fmt.Errorf("the peers did not come to the same index within %v", settleTimeout))
	defer cancel()
	for {
		if _, addr := r.client.leader(g); addr != "" {
			if last, err := ask(addr, func(c *conn) (peerStatus, error) { return c.barrier(g) }); err == nil {
				if all := r.statusesAt(ctx, g, last.Index); all != nil {
					return last.Index, r.compare(g, all)
				}
			}
		}
		if !pause(ctx, leaderPoll) {
			return 0, context.Cause(ctx)
		}
	}
}

// statusesAt waits until every peer is at the index, and gives up with nil when one is past it.
func (r *run) statusesAt(ctx context.Context, g int, index uint64) map[string]peerStatus {
	all := map[string]peerStatus{}
	for pause(ctx, retryPause) {
		for _, id := range PeerIDs {
			groups, err := ask(r.cluster.addr(id), (*conn).statuses)
			if err == nil && groups[g].Index > index {
				return nil
			}
			if err == nil && groups[g].Index == index {
				all[id] = groups[g]
			}
		}
		if len(all) == len(PeerIDs) {
			return all
		}
	}
	return nil
}

// ask asks a peer something over a connection of its own.
func ask[T any](addr string, what func(*conn) (T, error)) (answer T, err error) {
	if addr == "" {
		return answer, errPeerDown
	}
	c, err := dial(addr)
	if err != nil {
		return answer, err
	}
	defer c.close()
	return what(c)
}

// compare reports disagreement, and returns an error for damage that a peer has seen.
func (r *run) compare(g int, all map[string]peerStatus) error {
	first := all[PeerIDs[0]]
	for _, id := range PeerIDs {
		s := all[id]
		if s.Damage != "" {
			return fmt.Errorf("%s applied a damaged command%s: %s", id, r.ofGroup(g), s.Damage)
		}
		if s.Digest != first.Digest || s.Keys != first.Keys {
			r.report.Agree = false
			r.report.problem(fmt.Sprintf("%s and %s disagree at index %d%s: %d and %d keys, digests %.12s and %.12s",
				PeerIDs[0], id, s.Index, r.ofGroup(g), first.Keys, s.Keys, first.Digest, s.Digest))
		}
	}
	return nil
}

// part is a piece of a record: writes from … to-1 of one writer.
type part struct {
	record   record
	writer   int
	group    int // that the writer writes to
	from, to uint64
}

// check asks every peer for every write of the record, and returns how many each of them has.
func (r *run) check(ctx context.Context, rec record) (recovered uint64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts := make(chan part)
	go func() {
		defer close(parts)
		for w, n := range rec.Acknowledged {
			for from := uint64(0); from < n; from += checkBatch {
				select {
				case parts <- part{rec, w, w % r.cfg.Groups, from, min(from+checkBatch, n)}:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range checkWorkers {
		workers.Go(func() {
			n, problems, err := r.checkParts(parts)
			if err != nil {
				cancel(err)
			}
			mu.Lock()
			defer mu.Unlock()
			recovered += n
			for _, p := range problems {
				r.report.problem(p)
			}
		})
	}
	workers.Wait()
	return recovered, context.Cause(ctx)
}

func (r *run) checkParts(parts <-chan part) (recovered uint64, problems []string, err error) {
	sessions := make([]session, len(PeerIDs))
	for i, id := range PeerIDs {
		defer sessions[i].close()
		addr := r.cluster.addr(id)
		if addr == "" {
			return 0, nil, fmt.Errorf("%s: %w", id, errPeerDown)
		}
		if err := sessions[i].connect(addr); err != nil {
			return 0, nil, fmt.Errorf("%s: %w", id, err)
		}
	}
	for p := range parts {
		bad := map[uint64]bool{}
		for i, id := range PeerIDs {
			missing, err := checkPart(sessions[i].at, p)
			if err != nil {
				return recovered, problems, fmt.Errorf("asking %s: %w", id, err)
			}
			for _, m := range missing {
				bad[m.seq] = true
				problems = append(problems, fmt.Sprintf("%s %s %s", id, m.what, m.key))
			}
		}
		recovered += p.to - p.from - uint64(len(bad))
	}
	return recovered, problems, nil
}

type missing struct {
	seq  uint64
	key  string
	what string
}

func checkPart(c *conn, p part) (lost []missing, err error) {
	var keys []byte
	for seq := p.from; seq < p.to; seq++ {
		keys = appendField(keys, []byte(p.write(seq).key()))
	}
	answer, err := c.callGroup(opGet, p.group, keys)
	if err != nil {
		return nil, err
	}
	for seq := p.from; seq < p.to; seq++ {
		if len(answer) == 0 {
			return nil, io.ErrUnexpectedEOF
		}
		w := p.write(seq)
		has := answer[0] == 1
		answer = answer[1:]
		var value []byte
		if has {
			if value, answer, err = nextField(answer); err != nil {
				return nil, err
			}
		}
		switch {
		case !has:
			lost = append(lost, missing{seq, w.key(), "has not"})
		case !bytes.Equal(value, w.value()):
			lost = append(lost, missing{seq, w.key(), "has another value of"})
		}
	}
	return lost, nil
}

func (p part) write(seq uint64) write {
	return write{run: p.record.Run, seed: p.record.Seed, writer: p.writer, seq: seq}
}

// checkStores opens what the stopped peers left and reads every entry: the log has to go on without a
// gap after the last snapshot, each command has to match its checksum, and behind each peer's snapshot, up
// to the index where the peers were compared, the logs have to be equal. At or below a snapshot that the leader has
// sent, raft leaves what was there before, also entries of an earlier leader that were never committed.
func (r *run) checkStores(indexes []uint64) error {
	sums := make([]map[uint64]uint32, len(indexes))
	for g := range sums {
		sums[g] = map[uint64]uint32{}
	}
	for _, id := range PeerIDs {
		if err := r.checkPeer(id, indexes, sums); err != nil {
			return fmt.Errorf("reading what %s left: %w", id, err)
		}
	}
	return nil
}

func (r *run) checkPeer(id string, indexes []uint64, sums []map[uint64]uint32) (err error) {
	stores, closeStores, err := r.cfg.open(r.folder.peer(id))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStores()) }()
	for g, store := range stores {
		if err := r.checkStore(id, g, store, indexes[g], sums[g]); err != nil {
			return fmt.Errorf("%w%s", err, r.ofGroup(g))
		}
	}
	return nil
}

func (r *run) checkStore(id string, g int, store ballast.Store, index uint64, sums map[uint64]uint32) error {
	dir := groupDir(r.folder.peer(id), g, r.cfg.Groups)
	first, err := store.FirstIndex()
	if err != nil {
		return err
	}
	last, err := store.LastIndex()
	if err != nil {
		return err
	}
	snapshot, err := lastSnapshot(dir)
	if err != nil {
		return err
	}
	if first > snapshot+1 || last < index && snapshot < index {
		return fmt.Errorf("the log has %d to %d and the snapshot ends at %d, but %d was applied; see %s",
			first, last, snapshot, index, filepath.Join(r.folder.peer(id), peerLogName))
	}
	for i := max(first, 1); i <= last; i++ {
		var l raft.Log
		if err := store.GetLog(i, &l); err != nil {
			if errors.Is(err, raft.ErrLogNotFound) && i <= snapshot {
				continue // raft leaves a gap behind a snapshot that the leader sent
			}
			return fmt.Errorf("entry %d of %d to %d: %w", i, first, last, err)
		}
		r.report.LogEntries++
		if err := checkCommand(&l); err != nil {
			return err
		}
		if i > snapshot && i <= index {
			r.compareEntry(id+r.ofGroup(g), &l, sums)
		}
	}
	return nil
}

func checkCommand(l *raft.Log) error {
	if l.Type != raft.LogCommand {
		return nil
	}
	if _, _, err := decodeCommand(l.Data); err != nil {
		return fmt.Errorf("entry %d: %w", l.Index, err)
	}
	return nil
}

// compareEntry compares a committed entry with what the peers before have at its index.
func (r *run) compareEntry(id string, l *raft.Log, sums map[uint64]uint32) {
	sum := crc32.Checksum(fmt.Appendf(l.Data[:len(l.Data):len(l.Data)], "%d %d", l.Term, l.Type), castagnoli)
	if other, seen := sums[l.Index]; seen && other != sum {
		r.report.Agree = false
		r.report.problem(fmt.Sprintf("entry %d of %s, of term %d, is not what another peer has", l.Index, id, l.Term))
	}
	sums[l.Index] = sum
}

func lastSnapshot(dir string) (uint64, error) {
	snapshots, err := raft.NewFileSnapshotStore(dir, retainedSnapshots, io.Discard)
	if err != nil {
		return 0, err
	}
	all, err := snapshots.List()
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[0].Index, nil
}
