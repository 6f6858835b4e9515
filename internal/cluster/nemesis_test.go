package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// step is one thing that is done to the cluster. When it returns, everything is whole again and the peers it concerned take part.
type step struct {
	name string
	do   func(*run, context.Context) error
}

// steps are done once in a round, in an order that the seed decides.
var steps = []step{
	{"cut off the leader", (*run).cutOffLeader},
	{"cut off a follower", (*run).cutOffFollower},
	{"cut between the leader and a follower", (*run).bridge},
	{"cut from the leader, or to it", (*run).oneWayLeader},
	{"cut from a follower, or to it", (*run).oneWayFollower},
	{"slow links", (*run).slow},
	{"kill the leader", (*run).killLeader},
	{"kill a follower", (*run).killFollower},
	{"kill all", (*run).killAll},
	{"cut off the leader and kill a follower", (*run).noMajority},
}

// diskSteps are for a cluster whose peers have a disk each.
var diskSteps = []step{
	{"full disk of the leader", (*run).fullLeader},
	{"full disk of a follower", (*run).fullFollower},
	{"full disk of a peer that is killed then", (*run).fullAndKilled},
}

// A step goes on, where that is possible, until so many operations more have succeeded.
const (
	fewOperations = 20
	fullDiskMore  = 100
)

// linger gives what was cut the time to be noticed: peers that hear of no leader ask for votes.
func (r *run) linger() {
	time.Sleep(heartbeatTimeout + time.Duration(r.rng.Int64N(int64(2*heartbeatTimeout))))
}

func without(id string) (others []string) {
	for _, other := range peerIDs {
		if other != id {
			others = append(others, other)
		}
	}
	return others
}

// around are all directions between a peer and the other ones.
func around(id string) []direction { return append(outOf(id), into(id)...) }

func outOf(id string) (ways []direction) {
	for _, other := range without(id) {
		ways = append(ways, direction{id, other})
	}
	return ways
}

func into(id string) (ways []direction) {
	for _, d := range outOf(id) {
		ways = append(ways, d.back())
	}
	return ways
}

func (r *run) cut(ways ...direction) {
	kind := cuts[r.rng.IntN(len(cuts))]
	r.logf("    %s %v", kind, ways)
	r.network.set(rule{cut: kind}, ways...)
	r.count.partitions++
}

func (r *run) kill(ids ...string) {
	r.logf("    kill %v", ids)
	r.procs.Kill(ids...)
	r.count.kills += len(ids)
}

// follower returns one that the seed chooses, and the leader.
func (r *run) follower(ctx context.Context) (follower, leader string, err error) {
	leader, err = r.leader(ctx, peerIDs...)
	return without(leader)[r.rng.IntN(len(peerIDs)-1)], leader, err
}

func (r *run) cutOffLeader(ctx context.Context) error {
	leader, err := r.leader(ctx, peerIDs...)
	if err != nil {
		return err
	}
	r.cut(around(leader)...)
	return r.replaceLeader(ctx, leader)
}

func (r *run) oneWayLeader(ctx context.Context) error {
	leader, err := r.leader(ctx, peerIDs...)
	if err != nil {
		return err
	}
	ways := outOf(leader)
	if r.rng.IntN(2) == 0 {
		ways = into(leader)
	}
	r.cut(ways...)
	return r.replaceLeader(ctx, leader)
}

// replaceLeader waits until another peer than the one that is cut off leads and takes writes, and heals the cut.
func (r *run) replaceLeader(ctx context.Context, old string) error {
	if _, err := r.leader(ctx, without(old)...); err != nil {
		return err
	}
	if err := r.progress(ctx, fewOperations); err != nil {
		return err
	}
	r.network.heal()
	return r.rejoin(ctx, old)
}

// cutOffFollower lasts until the follower needs a snapshot.
func (r *run) cutOffFollower(ctx context.Context) error {
	follower, _, err := r.follower(ctx)
	if err != nil {
		return err
	}
	r.cut(around(follower)...)
	last, err := r.last(ctx, follower)
	if err != nil {
		return err
	}
	if err := r.leaveBehind(ctx, follower, last); err != nil {
		return err
	}
	r.network.heal()
	return r.rejoin(ctx, follower)
}

// bridge leaves one peer that reaches both of the others.
func (r *run) bridge(ctx context.Context) error {
	follower, leader, err := r.follower(ctx)
	if err != nil {
		return err
	}
	r.cut(direction{leader, follower}, direction{follower, leader})
	r.linger()
	if err := r.progress(ctx, fewOperations); err != nil {
		return err
	}
	r.network.heal()
	return r.rejoin(ctx, follower)
}

func (r *run) oneWayFollower(ctx context.Context) error {
	follower, _, err := r.follower(ctx)
	if err != nil {
		return err
	}
	ways := outOf(follower)
	if r.rng.IntN(2) == 0 {
		ways = into(follower)
	}
	r.cut(ways...)
	r.linger()
	if err := r.progress(ctx, fewOperations); err != nil {
		return err
	}
	r.network.heal()
	return r.rejoin(ctx, follower)
}

func (r *run) slow(ctx context.Context) error {
	for _, id := range peerIDs {
		for _, d := range outOf(id) {
			r.network.set(rule{delay: time.Duration(r.rng.IntN(20)) * time.Millisecond}, d)
		}
	}
	r.linger()
	err := r.progress(ctx, fewOperations)
	r.network.heal()
	return err
}

func (r *run) killLeader(ctx context.Context) error {
	leader, err := r.leader(ctx, peerIDs...)
	if err != nil {
		return err
	}
	r.kill(leader)
	if _, err := r.leader(ctx, without(leader)...); err != nil {
		return err
	}
	if err := r.progress(ctx, fewOperations); err != nil {
		return err
	}
	return r.restart(ctx, leader)
}

func (r *run) killFollower(ctx context.Context) error {
	follower, _, err := r.follower(ctx)
	if err != nil {
		return err
	}
	last, err := r.last(ctx, follower)
	if err != nil {
		return err
	}
	r.kill(follower)
	if err := r.leaveBehind(ctx, follower, last); err != nil {
		return err
	}
	return r.restart(ctx, follower)
}

func (r *run) killAll(ctx context.Context) error {
	r.kill(peerIDs...)
	if err := r.procs.start(ctx, peerIDs...); err != nil {
		return err
	}
	return r.progress(ctx, fewOperations)
}

// noMajority leaves a leader that reaches nobody, and one peer; then there are two again, and then three.
func (r *run) noMajority(ctx context.Context) error {
	follower, leader, err := r.follower(ctx)
	if err != nil {
		return err
	}
	r.cut(around(leader)...)
	r.kill(follower)
	r.linger()
	if err := r.procs.start(ctx, follower); err != nil {
		return err
	}
	return r.replaceLeader(ctx, leader)
}

// fullLeader ends with another leader: raft steps down when it cannot store what it was given.
func (r *run) fullLeader(ctx context.Context) error {
	leader, err := r.leader(ctx, peerIDs...)
	if err != nil {
		return err
	}
	return r.fullDisk(ctx, leader, func() error {
		_, err := r.leader(ctx, without(leader)...)
		return err
	})
}

// fullFollower leaves a follower that answers the leader's heartbeats and refuses its entries.
func (r *run) fullFollower(ctx context.Context) error {
	follower, _, err := r.follower(ctx)
	if err != nil {
		return err
	}
	return r.fullDisk(ctx, follower, func() error { return nil })
}

// fullAndKilled starts a peer whose disk is full.
func (r *run) fullAndKilled(ctx context.Context) error {
	id := peerIDs[r.rng.IntN(len(peerIDs))]
	return r.fullDisk(ctx, id, func() error {
		r.kill(id)
		if err := r.procs.start(ctx, id); err != nil {
			return fmt.Errorf("with its disk full: %w", err)
		}
		return nil
	})
}

// fullDisk fills the disk of a peer until an append found no space, does what else there is, and gives the space back. The other
// two go on, and the peer comes back by itself.
func (r *run) fullDisk(ctx context.Context, id string, then func() error) error {
	r.logf("    fill the disk of %s", id)
	before := r.procs.noSpace.Load()
	if err := r.disks[id].fill(); err != nil {
		return err
	}
	r.count.fullDisks++
	// A follower that was far behind already asks for a snapshot first, and has no space for that.
	err := await(ctx, "a full disk to be noticed", func() bool {
		at, err := r.ask(id)
		return r.procs.noSpace.Load() > before || err == nil && r.isBehind(id, at.Last)
	})
	if err != nil {
		return err
	}
	if err := then(); err != nil {
		return err
	}
	if err := r.progress(ctx, fullDiskMore); err != nil {
		return fmt.Errorf("with the disk of %s full: %w", id, err)
	}
	if err := r.disks[id].free(); err != nil {
		return err
	}
	return r.rejoin(ctx, id)
}

// leader waits until one of the peers leads, and returns it.
func (r *run) leader(ctx context.Context, among ...string) (id string, err error) {
	err = await(ctx, fmt.Sprintf("a leader among %v", among), func() bool {
		id = r.leaderNow(among...)
		return id != ""
	})
	return id, err
}

// leaderNow returns who leads, empty when nobody does. Of two that think so the one of the higher term is right.
func (r *run) leaderNow(among ...string) (id string) {
	term := uint64(0)
	for _, peer := range among {
		if at, err := r.ask(peer); err == nil && at.Leader && at.Term > term {
			id, term = peer, at.Term
		}
	}
	return id
}

// last returns the end of a peer's log.
func (r *run) last(ctx context.Context, id string) (last uint64, err error) {
	err = await(ctx, "an answer of "+id, func() bool {
		got, err := r.ask(id)
		last = got.Last
		return err == nil
	})
	return last, err
}

// ask asks a peer where it is.
func (r *run) ask(id string) (status, error) {
	got, err := once(r.procs.addr(id), request{What: ask})
	return got.Status, err
}

// leaveBehind waits until only a snapshot brings a peer back whose log has this end.
func (r *run) leaveBehind(ctx context.Context, id string, last uint64) error {
	return await(ctx, "a compaction of the leader's log", func() bool { return r.isBehind(id, last) })
}

// isBehind reports whether another peer leads whose log begins behind the end of this one's.
func (r *run) isBehind(id string, last uint64) bool {
	leader := r.leaderNow(without(id)...)
	if leader == "" {
		return false
	}
	at, err := r.ask(leader)
	return err == nil && at.First > last+1
}

// restart starts peers again and waits until they take part.
func (r *run) restart(ctx context.Context, ids ...string) error {
	if err := r.procs.start(ctx, ids...); err != nil {
		return err
	}
	return r.rejoin(ctx, ids...)
}

// rejoin waits until peers have applied what the leader has applied by now.
func (r *run) rejoin(ctx context.Context, ids ...string) error {
	leader, err := r.leader(ctx, peerIDs...)
	if err != nil {
		return err
	}
	goal, err := r.ask(leader)
	if err != nil {
		return err
	}
	return await(ctx, fmt.Sprintf("that %v apply %d", ids, goal.Applied), func() bool {
		return !slices.ContainsFunc(ids, func(id string) bool {
			at, err := r.ask(id)
			return err != nil || at.Applied < goal.Applied
		})
	})
}

// progress waits until n more operations have succeeded.
func (r *run) progress(ctx context.Context, n uint64) error {
	goal := r.clients.ok.Load() + n
	err := await(ctx, fmt.Sprintf("%d operations", n), func() bool { return r.clients.ok.Load() >= goal })
	if err != nil {
		r.clients.mu.Lock()
		defer r.clients.mu.Unlock()
		return fmt.Errorf("%w; the last failure: %s", err, r.clients.whyNot)
	}
	return nil
}

// await waits until something is so. The limit turns a hang into an error.
func await(ctx context.Context, what string, so func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, hangLimit, fmt.Errorf("waited %v for %s", hangLimit, what))
	defer cancel()
	for !so() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retryPause):
		}
	}
	return nil
}
