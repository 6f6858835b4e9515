package powercut

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
)

// childVariable holds the job of a process that Run has started.
const childVariable = "BALLAST_POWERCUT_CHILD"

// job is what a child is told.
type job struct {
	Store    string
	Dir      string
	State    string // the file of a state
	Workload oracle.Workload
}

// state is the model after some calls, so that the next child need not begin at the first one.
type state struct {
	Calls uint64
	Model *oracle.Model
}

// Child is what main calls first, with the stores that Run may name. In a process that Run has started it does not return.
func Child(openers map[string]Open) {
	text, is := os.LookupEnv(childVariable)
	if !is {
		return
	}
	// The parent's end of this pipe closes with it, however it ends. Nobody would kill this process then.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	var c child
	if err := c.begin(text, openers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	c.say(c.work())
	os.Exit(0)
}

type child struct {
	job
	open    Open
	shared  *shared
	reports *os.File
	store   Store

	// The store is, or should be, as the first calls of the workload leave it, which is what model is.
	calls uint64
	model *oracle.Model
}

func (c *child) begin(text string, openers map[string]Open) (err error) {
	if err := json.Unmarshal([]byte(text), &c.job); err != nil {
		return fmt.Errorf("%s: %w", childVariable, err)
	}
	if c.open = openers[c.Store]; c.open == nil {
		return fmt.Errorf("there is no store %q", c.Store)
	}
	if c.shared, err = openShared(sharedFile); err != nil {
		return err
	}
	c.reports = os.NewFile(reportFile, "reports")
	return c.load()
}

// say tells the parent.
func (c *child) say(r report) {
	if err := json.NewEncoder(c.reports).Encode(r); err != nil {
		os.Exit(1) // the parent is gone
	}
}

// load sets the model to the last one that a child has found.
func (c *child) load() error {
	s := state{Model: oracle.NewModel()}
	b, err := os.ReadFile(c.State)
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c.calls, c.model = s.Calls, s.Model
	return nil
}

// save is done by renaming, because this process may be killed at any time.
func (c *child) save() error {
	b, err := json.Marshal(state{c.calls, c.model})
	if err != nil {
		return err
	}
	next := c.State + ".next"
	return errors.Join(os.WriteFile(next, b, 0o600), os.Rename(next, c.State))
}

// work opens the store, finds out after how many calls it is, and makes the next ones until something fails.
func (c *child) work() (r report) {
	low, high := c.shared.acknowledged.Load(), c.shared.started.Load()
	for c.calls < low {
		c.step()
	}
	if r = c.find(high); r.Outcome != found {
		return r
	}
	if err := c.save(); err != nil {
		return report{Outcome: failed, Text: err.Error()}
	}
	// Whatever was found was read from the disk, so no later cut takes it away. A cut between these two lines allows what it should
	// in the one way or the other.
	c.shared.acknowledged.Store(c.calls)
	c.shared.started.Store(c.calls)
	c.say(r)
	for {
		call := c.Workload.Call(c.calls, c.model)
		c.shared.started.Store(c.calls + 1)
		if err := call.Do(c.store); err != nil {
			return report{Outcome: failed, Text: fmt.Sprintf("call %d, %v: %v", c.calls, call, err)}
		}
		c.step()
		c.shared.acknowledged.Store(c.calls)
		// Now and then the store is closed, and what it leaves then has to survive as well.
		if c.calls%reopenEvery != 0 {
			continue
		}
		if err := c.store.Close(); err != nil {
			return report{Outcome: failed, Text: fmt.Sprintf("Close after call %d: %v", c.calls, err)}
		}
		if r := c.find(c.calls); r.Outcome != found {
			return r
		}
	}
}

// reopenEvery is after how many calls a store is closed and opened.
const reopenEvery = 97

// step applies the next call to the model.
func (c *child) step() {
	c.Workload.Call(c.calls, c.model).Apply(c.model)
	c.calls++
}

// find opens the store and sets calls and model to what it holds, which must be what the calls so far make, or some of those up to high
// with them.
func (c *child) find(high uint64) report {
	var err error
	if c.store, err = c.open(c.Dir); err != nil {
		return report{Outcome: unopened, Text: err.Error()}
	}
	low := c.calls
	models := []*oracle.Model{c.model.Clone()}
	for c.calls < high {
		c.step()
		models = append(models, c.model.Clone())
	}
	k, err := oracle.Find(c.store, models...)
	if err != nil {
		return c.missed(err, low, models[0])
	}
	c.calls, c.model = low+uint64(k), models[k]
	return report{Outcome: found}
}

// missed says in which way a store is not what it should be at least, which is model, after low calls.
func (c *child) missed(err error, low uint64, model *oracle.Model) report {
	r := report{Outcome: wrong, Text: err.Error()}
	got, readErr := oracle.Read(c.store, slices.Sorted(maps.Keys(model.Stable))...)
	if readErr != nil {
		return r
	}
	_, tracks := c.store.(ballast.CommitTracker)
	diff := func(m *oracle.Model) error {
		if !tracks {
			got.Commit = m.Commit
		}
		return m.Diff(got)
	}
	if d, ok := errors.AsType[*oracle.Difference](diff(model)); ok {
		r.Entries = d.Lost
		if d.Kind == oracle.Missing {
			r.Outcome = lost
		}
	}
	// A store that has forgotten the last calls is what it once was. The latest such time is the one that counts.
	c.calls, c.model = 0, oracle.NewModel()
	for at := uint64(0); at < low; at++ {
		if diff(c.model) == nil {
			r.Outcome, r.Calls = lost, low-at
		}
		c.step()
	}
	if r.Calls > 0 {
		r.Text = fmt.Sprintf("the last %d of %d acknowledged calls are gone: %s", r.Calls, low, r.Text)
	}
	return r
}
