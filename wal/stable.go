package wal

import (
	"cmp"
	"iter"
	"slices"
)

// stableValues are the stable values of a group, ascending by key. There are three in a raft peer; a map would take more memory than all else of
// a group that does nothing.
type stableValues []stableValue

type stableValue struct {
	key   string
	value []byte // never changed in place
}

// commonKeys are raft's own, of which each group would have a copy.
var commonKeys = [...]string{"CurrentTerm", "LastVoteTerm", "LastVoteCand"}

func (v stableValues) find(key []byte) (i int, there bool) {
	return slices.BinarySearchFunc(v, key, func(s stableValue, key []byte) int { return cmp.Compare(s.key, string(key)) })
}

func (v stableValues) get(key []byte) (value []byte, there bool) {
	if i, there := v.find(key); there {
		return v[i].value, true
	}
	return nil, false
}

// set copies both.
func (v *stableValues) set(key, value []byte) {
	value = append([]byte{}, value...)
	i, there := v.find(key)
	if there {
		(*v)[i].value = value
		return
	}
	name := ""
	for _, common := range commonKeys {
		if common == string(key) {
			name = common
		}
	}
	*v = slices.Insert(*v, i, stableValue{cmp.Or(name, string(key)), value})
}

func (v *stableValues) remove(key []byte) {
	if i, there := v.find(key); there {
		*v = slices.Delete(*v, i, i+1)
	}
}

// all goes through them in order.
func (v stableValues) all() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, s := range v {
			if !yield(s.key, s.value) {
				return
			}
		}
	}
}
