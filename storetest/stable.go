package storetest

import (
	"bytes"
	"math"

	"github.com/raft-ballast/ballast"
)

var stableTests = []test{
	{"says that a key is missing as raft expects", func(e *env) {
		for _, key := range []string{"CurrentTerm", "LastVoteTerm", "LastVoteCand", "k"} {
			e.missing(key)
		}
		e.set("k", []byte("v"))
		e.missing("K")
		e.missing("kk")
	}},
	{"says it with a sentinel", func(e *env) {
		if !isAny(e.cfg.errClosed, ballast.ErrClosed) {
			e.t.Skip("the store has errors of its own")
		}
		if _, err := e.store.Get([]byte("k")); err != nil && !isAny(err, ballast.ErrKeyNotFound) {
			e.Fatalf("Get of a missing key returned %v, which does not match ballast.ErrKeyNotFound", err)
		}
	}},
	{"keeps bytes", func(e *env) {
		e.set("LastVoteCand", []byte("127.0.0.1:7002"))
		e.set("binary\x00\xff key", []byte("\x00\x01\xfe\xff"))
		e.set("long", payload(1, 1, 100_000))
		e.set(string(bytes.Repeat([]byte("key"), 300)), []byte("of a long key"))
		e.verify()
	}},
	{"keeps numbers", func(e *env) {
		for key, value := range map[string]uint64{"zero": 0, "one": 1, "CurrentTerm": 7, "most": math.MaxUint64} {
			e.setUint64(key, value)
		}
		e.verify()
	}},
	{"replaces a value", func(e *env) {
		e.set("k", []byte("a long first value"))
		e.set("k", []byte("second"))
		e.setUint64("n", 1)
		e.setUint64("n", 2)
		e.verify()
	}},
	{"keeps an empty value apart from a missing one", func(e *env) {
		e.set("empty", []byte{})
		e.set("nil", nil)
		for _, key := range []string{"empty", "nil"} {
			if value, err := e.store.Get([]byte(key)); err != nil || len(value) != 0 {
				e.Fatalf("Get(%q) of an empty value is %q, %v; want no bytes and no error", key, value, err)
			}
		}
		e.verify()
	}},
	{"shares one key space", func(e *env) {
		strict := *e.cfg
		strict.numbersApart = false // it spares the other promises, not this one
		e.cfg = &strict
		e.setUint64("n", 0x0102030405060708)
		e.set("b", []byte("\x00\x00\x00\x00\x00\x00\x01\x00"))
		e.verify()
		e.set("n", []byte("bytes in the place of a number"))
		e.setUint64("b", 9)
		e.verify()
		e.setUint64("n", 10)
		e.verify()
	}},
	{"refuses a number that is not 8 bytes", func(e *env) {
		for _, value := range []string{"", "1", "1234567", "123456789", "a longer text"} {
			e.set("k", []byte(value))
			if n, err := e.store.GetUint64([]byte("k")); err == nil {
				e.Fatalf("GetUint64 of %q is %d and no error; want an error", value, n)
			}
		}
		e.verify()
	}},
	{"deletes a value, where it can", func(e *env) {
		deleter, ok := e.store.(ballast.KeyDeleter)
		if !ok {
			e.t.Skip("the store is no ballast.KeyDeleter, which is optional")
		}
		e.set("CurrentTerm", []byte("bytes"))
		e.setUint64("number", 7)
		e.set("kept", []byte("value"))
		e.put(entries(1, 3, 1)...)
		for _, key := range []string{"CurrentTerm", "number", "never there", "CurrentTerm"} {
			if err := deleter.DeleteKey([]byte(key)); err != nil {
				e.Fatalf("DeleteKey(%q): %v", key, err)
			}
			e.model.unset(key)
			e.missing(key)
		}
		e.verify()
		e.setUint64("number", 8)
		e.set("CurrentTerm", []byte("again"))
		e.verify()
	}},
	{"copies what it is given", func(e *env) {
		key, value := []byte("key"), []byte("value")
		if err := e.store.Set(key, value); err != nil {
			e.Fatalf("Set: %v", err)
		}
		number := []byte("number")
		if err := e.store.SetUint64(number, 5); err != nil {
			e.Fatalf("SetUint64: %v", err)
		}
		e.model.set("key", []byte("value"))
		e.model.setUint64("number", 5)
		scribble(key)
		scribble(value)
		scribble(number)
		e.verify()
	}},
	{"returns values that are the caller's", func(e *env) {
		e.set("k", []byte("value"))
		held, err := e.store.Get([]byte("k"))
		if err != nil {
			e.Fatalf("Get: %v", err)
		}
		before := bytes.Clone(held)
		e.set("k", []byte("other"))
		if !bytes.Equal(held, before) {
			e.Fatalf("a value that was read is changed by a later Set: %q", held)
		}
		scribble(held)
		e.verify()
	}},
	{"keeps apart from the log", func(e *env) {
		e.put(entries(1, 5, 1)...)
		for _, key := range []string{"logs", "conf", "\x00\x00\x00\x00\x00\x00\x00\x01", "logs-\x00\x00\x00\x00\x00\x00\x00\x01"} {
			e.set(key, []byte("stable"))
		}
		e.verify()
		e.deleteRange(0, math.MaxUint64)
		e.verify()
	}},
	{"writes a vote as raft does", func(e *env) {
		for term := uint64(1); term <= 20; term++ {
			e.setUint64("CurrentTerm", term)
			e.setUint64("LastVoteTerm", term)
			e.set("LastVoteCand", []byte("127.0.0.1:7001"))
		}
		e.verify()
	}},
}
