package engine

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/raft-ballast/ballast"
)

// TestRetries: a step that fails is not due, others are; it is told once, also of several items,
// and once that it is over.
func TestRetries(t *testing.T) {
	var out bytes.Buffer
	r := Retries{Path: "p", Logger: slog.New(slog.NewTextHandler(&out, nil)), Rounds: true}
	if !r.Due("a", 1) || r.Wait(time.Hour) != time.Hour || r.Note("a", 1, nil) != nil {
		t.Error("nothing has failed")
	}
	failure := errors.New("failure")
	for item := range uint64(3) {
		if err := r.Note("a", item, failure); err != failure || r.Due("a", item) {
			t.Errorf("item %d: %v, due %v", item, err, r.Due("a", item))
		}
	}
	if !r.Due("a", 3) || !r.Due("b", 1) || r.Tries("a", 1) != 1 || r.Tries("b", 1) != 0 {
		t.Error("what has not failed counts as failed")
	}
	if wait := r.Wait(time.Hour); wait < firstRetry || wait > time.Minute {
		t.Errorf("the next look is in %v", wait)
	}
	n, oldest := Oldest(&r, new(Retries))
	if n != 1 || oldest.Step != "a" || oldest.Tries != 3 || oldest.Err != failure || oldest.Since.IsZero() {
		t.Errorf("%d steps fail, %+v", n, oldest)
	}
	r.NextRound()
	if !r.Due("a", 2) {
		t.Error("in the next round it is not due")
	}
	_ = r.Note("a", 1, nil)
	_ = r.Note("a", 2, nil)
	if n, _ := Oldest(&r); n != 1 {
		t.Errorf("%d steps fail while one item does", n)
	}
	r.Keep("a", func(item uint64) bool { return item != 0 })
	if n, oldest := Oldest(&r); n != 0 || oldest != (ballast.Trouble{}) {
		t.Errorf("it is over, and %+v", oldest)
	}
	text := out.String()
	if strings.Count(text, "fails") != 1 || strings.Count(text, "goes on") != 1 || strings.Count(text, "\n") != 2 {
		t.Errorf("the logger was told:\n%s", text)
	}
}

// TestRetryDistance: it doubles to a bound, and is long for damage.
func TestRetryDistance(t *testing.T) {
	var r Retries
	for _, wait := range []time.Duration{firstRetry, 2 * firstRetry, 4 * firstRetry} {
		begun := time.Now()
		_ = r.Note("a", 0, errors.New("failure"))
		if due := r.steps["a"].items[0].due; due.Before(begun.Add(wait)) || r.Due("a", 0) {
			t.Errorf("due %v later, should be %v", due.Sub(begun), wait)
		}
	}
	for range 100 {
		_ = r.Note("a", 0, errors.New("failure"))
	}
	if due := time.Until(r.steps["a"].items[0].due); due > lastRetry {
		t.Errorf("due in %v", due)
	}
	_ = r.Note("b", 0, &ballast.CorruptionError{Err: errors.New("damage")})
	if due := time.Until(r.steps["b"].items[0].due); due < damageRetry/2 {
		t.Errorf("damage is looked at again in %v", due)
	}
}
