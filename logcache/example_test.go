package logcache_test

import (
	"fmt"
	"log"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/logcache"
	"github.com/raft-ballast/ballast/memstore"
)

func Example() {
	store := memstore.New()
	cache, err := logcache.New(store, &logcache.Options{MaxEntries: 1024, MaxBytes: 64 << 20})
	if err != nil {
		log.Fatal(err)
	}
	whole := cache.(ballast.Store) // in front of an engine of Ballast
	defer whole.Close()

	if err := cache.StoreLog(&raft.Log{Index: 1, Term: 1, Data: []byte("set x")}); err != nil {
		log.Fatal(err)
	}
	var entry raft.Log
	if err := cache.GetLog(1, &entry); err != nil {
		log.Fatal(err)
	}
	s := cache.Stats()
	fmt.Printf("%s: %d hit, %d misses, %d bytes held\n", entry.Data, s.Hits, s.Misses, s.Bytes)
	// Output: set x: 1 hit, 0 misses, 5 bytes held
}
