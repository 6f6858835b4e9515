package cluster

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkLimit is generous: a history of a minute takes seconds.
const checkLimit = 2 * time.Minute

// input and output are an operation in a history.
type input struct {
	kind     kind
	register uint32
	from, to uint64
}

type output struct {
	unknown bool // the operation has no answer, and may not have happened
	answer
}

// model is one register, whose state is the number that is in it; 0 before the first write.
var model = porcupine.Model{
	Partition: byRegister,
	Init:      func() any { return uint64(0) },
	Step:      func(state, in, out any) (bool, any) { return transition(state.(uint64), in.(input), out.(output)) },
	DescribeOperation: func(in, out any) string {
		return describe(in.(input), out.(output))
	},
	DescribeState: func(state any) string { return fmt.Sprint(state) },
}

func transition(state uint64, in input, out output) (bool, uint64) {
	switch in.kind {
	case read:
		return out.Value == state, state
	case write:
		return true, in.to
	}
	swaps := state == in.from
	next := state
	if swaps {
		next = in.to
	}
	return out.unknown || out.Swapped == swaps && out.Value == state, next
}

func describe(in input, out output) string {
	end := ""
	if out.unknown {
		end = " ?"
	}
	switch in.kind {
	case read:
		return fmt.Sprintf("read %d: %d%s", in.register, out.Value, end)
	case write:
		return fmt.Sprintf("write %d := %d%s", in.register, in.to, end)
	}
	return fmt.Sprintf("swap %d: %d → %d, was %d, %v%s", in.register, in.from, in.to, out.Value, out.Swapped, end)
}

func byRegister(history []porcupine.Operation) [][]porcupine.Operation {
	parts := map[uint32][]porcupine.Operation{}
	for _, op := range history {
		r := op.Input.(input).register
		parts[r] = append(parts[r], op)
	}
	var all [][]porcupine.Operation
	for _, r := range slices.Sorted(maps.Keys(parts)) {
		all = append(all, parts[r])
	}
	return all
}

// history is what clients saw.
type history struct {
	begin time.Time

	mu                  sync.Mutex
	ops                 []porcupine.Operation
	ok, failed, unknown int
}

func newHistory() *history { return &history{begin: time.Now()} }

func (h *history) now() int64 { return int64(time.Since(h.begin)) }

// add records an operation that was called at a time and has just ended. A failure has changed nothing and is no part of the history,
// and neither is a read without an answer. An unknown write stays open to the end.
func (h *history) add(client int, in input, call int64, o outcome, a answer) {
	op := porcupine.Operation{ClientId: client, Input: in, Call: call, Output: output{answer: a}, Return: h.now()}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch o {
	case success:
		h.ok++
	case failure:
		h.failed++
		return
	default:
		h.unknown++
		if in.kind == read {
			return
		}
		op.Output, op.Return = output{unknown: true}, math.MaxInt64
	}
	h.ops = append(h.ops, op)
}

// check returns an error for a history that is not linearizable, with a drawing of it in the folder, and for one that cannot be
// decided in time.
func (h *history) check(folder string) error {
	ops := slices.Clone(h.ops)
	end := h.now()
	for i := range ops {
		ops[i].Return = min(ops[i].Return, end) // or the drawing would be very wide
	}
	switch porcupine.CheckOperationsTimeout(model, ops, checkLimit) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("whether the history is linearizable was not decided within %v: %d operations, %d of them unknown",
			checkLimit, len(ops), h.unknown)
	}
	drawing := filepath.Join(folder, "history.html")
	_, info := porcupine.CheckOperationsVerbose(model, ops, checkLimit)
	if err := porcupine.VisualizePath(model, info, drawing); err != nil {
		return fmt.Errorf("the history is not linearizable, and drawing it failed: %w", err)
	}
	return fmt.Errorf("%w; see %s", errNotLinearizable, drawing)
}

// TestHistory gives the checker histories of a lost write, a stale read and the like, which it has to refuse, and their neighbours,
// which it has to take.
func TestHistory(t *testing.T) {
	type op struct {
		in        input
		call, ret int64 // ret 0: unknown
		out       answer
	}
	w := func(call, ret int64, v uint64) op {
		return op{input{kind: write, register: 1, to: v}, call, ret, answer{}}
	}
	r := func(call, ret int64, v uint64) op {
		return op{input{kind: read, register: 1}, call, ret, answer{Value: v}}
	}
	cas := func(call, ret int64, from, to, was uint64, swapped bool) op {
		return op{input{kind: swap, register: 1, from: from, to: to}, call, ret, answer{was, swapped}}
	}
	elsewhere := r(3, 4, 0)
	elsewhere.in.register = 2
	for _, test := range []struct {
		name string
		ops  []op
		good bool
	}{
		{"one after the other", []op{w(1, 2, 7), r(3, 4, 7), w(5, 6, 8), r(7, 8, 8)}, true},
		{"lost write", []op{w(1, 2, 7), r(3, 4, 0)}, false},
		{"another register", []op{w(1, 2, 7), elsewhere}, true},
		{"lost later", []op{w(1, 2, 7), w(3, 4, 8), r(5, 6, 8), r(7, 8, 7)}, false},
		{"stale read", []op{w(1, 2, 7), w(3, 4, 8), r(5, 6, 7)}, false},
		{"read beside a write", []op{w(1, 2, 7), w(3, 6, 8), r(4, 5, 7)}, true},
		{"back in time", []op{w(1, 2, 7), w(3, 9, 8), r(4, 5, 8), r(6, 7, 7)}, false},
		{"unknown write that happened", []op{w(1, 2, 7), w(3, 0, 8), r(4, 5, 7), r(6, 7, 8)}, true},
		{"unknown write that never happened", []op{w(1, 2, 7), w(3, 0, 8), r(4, 5, 7)}, true},
		{"unknown write that was undone", []op{w(1, 2, 7), w(3, 0, 8), r(4, 5, 8), r(6, 7, 7)}, false},
		{"read of what nobody wrote", []op{w(1, 2, 7), r(3, 4, 9)}, false},
		{"swap", []op{w(1, 2, 7), cas(3, 4, 7, 8, 7, true), r(5, 6, 8)}, true},
		{"swap that should not", []op{w(1, 2, 7), cas(3, 4, 6, 8, 7, true)}, false},
		{"two swaps of one value", []op{w(1, 2, 7), cas(3, 6, 7, 8, 7, true), cas(4, 5, 7, 9, 7, true)}, false},
		{"swap that fails", []op{w(1, 2, 7), cas(3, 4, 6, 8, 7, false), r(5, 6, 7)}, true},
		{"unknown swap that happened", []op{w(1, 2, 7), cas(3, 0, 7, 8, 0, false), r(5, 6, 8)}, true},
		{"unknown swap that could not", []op{w(1, 2, 7), cas(3, 0, 6, 8, 0, false), r(5, 6, 8)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var h history
			for i, o := range test.ops {
				result := success
				if o.ret == 0 {
					result = unknown
				}
				h.add(i, o.in, o.call, result, o.out)
				if o.ret != 0 {
					h.ops[i].Return = o.ret
				}
			}
			if err := h.check(t.TempDir()); (err == nil) != test.good {
				t.Error(err)
			}
		})
	}
}
