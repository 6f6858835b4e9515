package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A round kills the leader, then a follower, then all peers at once; each in a slot of its own, at a
// random moment of it.
const (
	roundLength  = 10 * time.Second
	killsOfRound = 3
	longestDown  = 1500 * time.Millisecond

	// writesBetweenKills have to be acknowledged after a restart before anything is killed again, so
	// that each kill meets a cluster that works.
	writesBetweenKills = 100
)

// disturb kills and restarts peers until the run's time of writing is over. On a machine so slow that
// the time is over first, it still does everything that was planned.
func (r *run) disturb(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(r.cfg.Seed, 0))
	rounds := max(1, int(r.cfg.Length/roundLength))
	slot := r.cfg.Length / time.Duration(rounds*killsOfRound)
	for k := range rounds * killsOfRound {
		moment := slot/10 + time.Duration(rng.Int64N(int64(slot/2)))
		if err := r.waitUntil(ctx, r.begin.Add(time.Duration(k)*slot+moment)); err != nil {
			return err
		}
		if err := r.waitForWrites(ctx, writesBetweenKills); err != nil {
			return err
		}
		down := min(longestDown, slot/4)
		var err error
		switch k % killsOfRound {
		case 0:
			err = r.killLeader(ctx, down)
		case 1:
			err = r.killFollower(ctx, rng, down)
		default:
			err = r.killAll(ctx)
		}
		if err != nil {
			return err
		}
	}
	return r.waitUntil(ctx, r.begin.Add(r.cfg.Length))
}

func (r *run) killLeader(ctx context.Context, down time.Duration) error {
	leader, err := r.firstOf(ctx)
	if err != nil {
		return err
	}
	r.kill(r.victim("the leader", leader), leader)
	if err := r.waitForNewLeader(ctx, leader); err != nil {
		return err
	}
	if !pause(ctx, down) {
		return context.Cause(ctx)
	}
	return r.restart(ctx, leader)
}

// firstOf returns the peer that leads most groups; at least one has a leader then.
func (r *run) firstOf(ctx context.Context) (id string, err error) {
	if id, _, err = r.client.awaitLeader(ctx, 0); err != nil {
		return "", err
	}
	leads := r.client.leads()
	for _, other := range PeerIDs {
		if leads[other] > leads[id] {
			id = other
		}
	}
	return id, nil
}

// killFollower has the leader compact its log while the follower is down, which then needs a snapshot
// from the leader to come back. Where writes are too few for that in the time there is, it does without.
func (r *run) killFollower(ctx context.Context, rng *rand.Rand, down time.Duration) error {
	leader, err := r.firstOf(ctx)
	if err != nil {
		return err
	}
	var followers []string
	for _, id := range PeerIDs {
		if id != leader {
			followers = append(followers, id)
		}
	}
	follower := followers[rng.IntN(len(followers))]
	r.kill(r.victim("a follower", follower), follower)
	if !pause(ctx, down) {
		return context.Cause(ctx)
	}
	enough, cancel := context.WithTimeout(ctx, longestDown)
	defer cancel()
	if r.waitForWrites(enough, trailingLogs+maxAppendEntries) == nil {
		if err := r.compact(); err != nil {
			r.event("no snapshot while %s was down: %v", follower, err)
		}
	}
	return r.restart(ctx, follower)
}

// compact has the leader of each group take a snapshot.
func (r *run) compact() error {
	return r.eachGroup(func(g int) error {
		_, addr := r.client.leader(g)
		if addr == "" {
			return errNoLeader
		}
		_, err := ask(addr, func(c *conn) ([]byte, error) { return c.callGroup(opSnapshot, g, nil) })
		return err
	})
}

func (r *run) killAll(ctx context.Context) error {
	r.kill("all three peers at once", PeerIDs...)
	if err := r.restart(ctx, PeerIDs...); err != nil {
		return err
	}
	return r.waitForNewLeader(ctx, "")
}

func (r *run) kill(what string, ids ...string) {
	acked := r.client.acked.Load()
	r.cluster.Kill(ids...)
	r.killedAt = time.Now()
	r.kills.Add(int64(len(ids)))
	r.event("killed %s, after %s acknowledged writes", what, Thousands(acked))
}

// restart starts peers from disk, at the same time.
func (r *run) restart(ctx context.Context, ids ...string) error {
	type answer struct {
		id    string
		ready event
		err   error
	}
	answers := make(chan answer, len(ids))
	for _, id := range ids {
		go func() {
			ready, err := r.cluster.start(ctx, id)
			answers <- answer{id, ready, err}
		}()
	}
	var failed error
	for range ids {
		a := <-answers
		if a.err != nil {
			failed = a.err
			continue
		}
		text := fmt.Sprintf("%s is back %s after the kill:", a.id, since(r.killedAt))
		if a.ready.Snapshot > 0 {
			text += fmt.Sprintf(" snapshot up to %s,", Thousands(a.ready.Snapshot))
		}
		if r.cfg.Groups > 1 {
			r.event("%s is back %s after the kill, with %d raft groups", a.id, since(r.killedAt), r.cfg.Groups)
			continue
		}
		r.event("%s log up to %s", text, Thousands(a.ready.Last))
	}
	if failed == nil {
		r.spread(ctx)
	}
	return failed
}

// waitForNewLeader waits until somebody else leads and takes writes, in each group, and says who.
func (r *run) waitForNewLeader(ctx context.Context, old string) error {
	for {
		if err := r.waitForWrites(ctx, 1); err != nil {
			return err
		}
		if leads := r.client.leads(); old != "" && leads[old] == 0 || old == "" && len(leads) > 0 {
			r.event("writes go on %s after the kill; %s", since(r.killedAt), r.leadText())
			return nil
		}
	}
}

// waitForWrites waits until n more writes are acknowledged, and in each group one.
func (r *run) waitForWrites(ctx context.Context, n uint64) error {
	before := make([]uint64, r.cfg.Groups)
	for g := range before {
		before[g] = r.client.ackedOf[g].Load()
	}
	for goal := r.client.acked.Load() + n; r.client.acked.Load() < goal || !r.client.wentOn(before); {
		if !pause(ctx, retryPause) {
			return context.Cause(ctx)
		}
	}
	return nil
}

func (r *run) waitUntil(ctx context.Context, moment time.Time) error {
	if !pause(ctx, time.Until(moment)) {
		return context.Cause(ctx)
	}
	return nil
}

func since(t time.Time) string { return fmt.Sprintf("%.1f s", time.Since(t).Seconds()) }

// Thousands writes n with a comma after each three digits.
func Thousands[N int | int64 | uint64 | uint32](n N) string {
	digits := fmt.Sprint(n)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
