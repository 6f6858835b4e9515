package raftwal

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast/internal/boltmeta"
)

// smallPages makes a file of pages of 1024 bytes out of one whose pages are larger, as far as they are used.
func smallPages(data []byte) []byte {
	size := int(native.Uint32(data[pageHeader+8:]))
	var out []byte
	for at := 0; at+size <= len(data); at += size {
		page := data[at : at+boltmeta.MinPageBytes]
		out = append(out, page...)
	}
	for at := range 2 {
		native.PutUint32(out[at*boltmeta.MinPageBytes+pageHeader+8:], boltmeta.MinPageBytes)
		signMeta(out, at*boltmeta.MinPageBytes)
	}
	return out
}

// signMeta makes the checksum of a meta page right.
func signMeta(data []byte, at int) {
	if len(data) < at+boltmeta.End {
		return
	}
	meta := data[at:]
	sum := fnv.New64a()
	_, _ = sum.Write(meta[boltmeta.MagicOffset:boltmeta.SumOffset])
	native.PutUint64(meta[boltmeta.SumOffset:], sum.Sum64())
}

// Whatever bbolt writes is read: buckets of one leaf, of many pages, with values of many pages, and after changes.
func TestPages(t *testing.T) {
	for _, pageSize := range []int{1024, 4096, 16384} {
		for _, keys := range []int{0, 1, 20, 3000} {
			t.Run(fmt.Sprintf("%d keys in pages of %d", keys, pageSize), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), metaName)
				db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize, NoSync: true})
				must(t, err)
				want := map[string][]byte{}
				var state []byte
				for round := range 3 {
					must(t, db.Update(func(tx *bbolt.Tx) error {
						meta, err1 := tx.CreateBucketIfNotExists([]byte(metaBucket))
						stable, err2 := tx.CreateBucketIfNotExists([]byte(stableBucket))
						must(t, errors.Join(err1, err2))
						state = fmt.Appendf(nil, "%0*d", 1+round*9000, round)
						must(t, meta.Put([]byte(metaKey), state))
						for i := round; i < keys; i += round + 1 {
							key, value := fmt.Sprintf("key %d", i), make([]byte, i%700)
							want[key] = value
							must(t, stable.Put([]byte(key), value))
						}
						return nil
					}))
				}
				must(t, db.Close())
				data, err := os.ReadFile(path)
				must(t, err)
				gotState, got, err := readBolt(data)
				must(t, err)
				if string(gotState) != string(state) || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
					t.Errorf("%d keys and %d bytes of state; want %d and %d", len(got), len(gotState), len(want), len(state))
				}
			})
		}
	}
}

// Pages that refer to each other in a circle end, and so does one that has every other below it.
func TestCircle(t *testing.T) {
	data := make([]byte, 8*boltmeta.MinPageBytes)
	for at := range 2 {
		meta := data[at*boltmeta.MinPageBytes+pageHeader:]
		native.PutUint32(meta, boltmeta.Magic)
		native.PutUint32(meta[4:], boltmeta.Version)
		native.PutUint32(meta[8:], boltmeta.MinPageBytes)
		native.PutUint64(meta[16:], 2)
		signMeta(data, at*boltmeta.MinPageBytes)
	}
	for id := uint64(2); id < 8; id++ {
		page := data[id*boltmeta.MinPageBytes:]
		native.PutUint64(page, id)
		native.PutUint16(page[8:], branchPage)
		native.PutUint16(page[10:], 60)
		for i := range uint64(60) {
			native.PutUint64(page[pageHeader+i*branchBytes+8:], 2+i%6)
		}
	}
	if _, _, err := readBolt(data); !errors.Is(err, errCircle) {
		t.Error(err)
	}
}
