package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	atOnce    = 8 // groups that are asked for something
	spreadFor = 2 * time.Second
)

// eachGroup calls do for each group, for some at once.
func (r *run) eachGroup(do func(g int) error) error {
	errs := make([]error, r.cfg.Groups)
	var all sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for g := range errs {
		all.Go(func() {
			slots <- struct{}{}
			errs[g] = do(g)
			<-slots
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// spread has each peer lead as many groups as another, as a service would that keeps its load even. One group is led by whom raft has elected,
// and so is a group that cannot change its leader just now.
func (r *run) spread(ctx context.Context) {
	if r.cfg.Groups == 1 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, spreadFor)
	defer cancel()
	_ = r.eachGroup(func(g int) error {
		id, addr, err := r.client.awaitLeader(ctx, g)
		want := PeerIDs[g%len(PeerIDs)]
		if err != nil || id == want || ctx.Err() != nil {
			return err
		}
		_, err = ask(addr, func(c *conn) ([]byte, error) { return c.callGroup(opLead, g, []byte(want)) })
		return err
	})
}

// leads returns how many groups each peer leads, as far as is known. Who leads none is not in it.
func (c *client) leads() map[string]int {
	leads := map[string]int{}
	for g := range c.groups {
		if id, _ := c.leader(g); id != "" {
			leads[id]++
		}
	}
	return leads
}

// leadText says who leads.
func (r *run) leadText() string {
	leads := r.client.leads()
	if r.cfg.Groups == 1 {
		for id := range leads {
			return id + " leads"
		}
		return "nobody leads just now"
	}
	var each []string
	for _, id := range PeerIDs {
		each = append(each, fmt.Sprintf("%s leads %d", id, leads[id]))
	}
	return fmt.Sprintf("%s of %d raft groups", strings.Join(each, ", "), r.cfg.Groups)
}

// victim says who is killed, and what is lost with it.
func (r *run) victim(what, id string) string {
	if r.cfg.Groups == 1 {
		return what + ", " + id
	}
	return fmt.Sprintf("%s, which leads %d of %d raft groups", id, r.client.leads()[id], r.cfg.Groups)
}

// wentOn reports whether each group has more acknowledged writes than before.
func (c *client) wentOn(before []uint64) bool {
	for g := range before {
		if c.ackedOf[g].Load() <= before[g] {
			return false
		}
	}
	return true
}
