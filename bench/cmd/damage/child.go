package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/bench/internal/stores"
)

// outcome of a trial.
type outcome string

const (
	right    outcome = "right"
	told     outcome = "told"
	wrong    outcome = "wrong"
	lost     outcome = "lost"
	panicked outcome = "panicked"
	hung     outcome = "hung"
)

var outcomes = []outcome{right, told, wrong, lost, panicked, hung}

const (
	// childEnv has a child process try the folders that it is told, with the store of this name; seedEnv is the seed of what
	// is in them.
	childEnv = "BALLAST_DAMAGE_STORE"
	seedEnv  = "BALLAST_DAMAGE_SEED"
)

// answer is what a child says of a folder.
type answer struct {
	Outcome outcome
	Message string
}

// child reads the names of folders, a line each, and answers with a line each.
func child(name string, in io.Reader, out io.Writer) {
	limitMemory()
	seed, _ := strconv.ParseUint(os.Getenv(seedEnv), 10, 64)
	k, c := byName(name), contentOf(seed)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		b, err := json.Marshal(try(k, c, lines.Text()))
		if err != nil {
			panic(err) // strings can be encoded
		}
		fmt.Fprintf(out, "%s\n", b)
	}
}

// try opens a folder and reads everything.
func try(k storeKind, c *content, dir string) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = answer{panicked, fmt.Sprint(p)}
		}
	}()
	s, err := k.open(dir)
	if err != nil {
		return answer{told, "Open: " + err.Error()}
	}
	v := verdict{worst: right}
	c.readLogs(s, &v)
	c.readStable(s, &v)
	if err := s.Close(); err != nil {
		v.add(told, "Close: %v", err)
	}
	return answer{v.worst, v.message}
}

// verdict is the worst of what was seen.
type verdict struct {
	worst   outcome
	message string
}

var severity = map[outcome]int{right: 0, told: 1, lost: 2, wrong: 3}

func (v *verdict) add(o outcome, format string, args ...any) {
	if severity[o] > severity[v.worst] {
		v.worst, v.message = o, fmt.Sprintf(format, args...)
	}
}

func (c *content) readLogs(s stores.Store, v *verdict) {
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	switch end := uint64(len(c.logs)); {
	case err1 != nil || err2 != nil:
		v.add(told, "the bounds: %v", errors.Join(err1, err2))
	case first > 1 || last < end:
		v.add(lost, "the bounds are %d and %d", first, last)
	case first < 1 || last > end:
		v.add(wrong, "the bounds are %d and %d", first, last)
	}
	for _, want := range c.logs {
		var got raft.Log
		switch err := s.GetLog(want.Index, &got); {
		case errors.Is(err, raft.ErrLogNotFound):
			v.add(lost, "entry %d is not there", want.Index)
		case err != nil:
			v.add(told, "entry %d: %v", want.Index, err)
		case got.Index != want.Index || got.Term != want.Term || got.Type != want.Type || !bytes.Equal(got.Data, want.Data) ||
			len(got.Extensions) > 0:
			v.add(wrong, "entry %d is another one", want.Index)
		}
	}
	var got raft.Log
	if err := s.GetLog(uint64(len(c.logs))+1, &got); err == nil {
		v.add(wrong, "there is an entry %d", got.Index)
	}
}

func (c *content) readStable(s stores.Store, v *verdict) {
	check := func(key string, missing, same bool, err error) {
		switch {
		case err != nil && err.Error() == "not found" || err == nil && missing:
			v.add(lost, "%s is not there", key)
		case err != nil:
			v.add(told, "%s: %v", key, err)
		case !same:
			v.add(wrong, "%s is another one", key)
		}
	}
	for key, want := range c.values {
		got, err := s.Get([]byte(key))
		check(key, got == nil, bytes.Equal(got, want), err)
	}
	for key, want := range c.numbers {
		got, err := s.GetUint64([]byte(key))
		check(key, got == 0, got == want, err)
	}
}
