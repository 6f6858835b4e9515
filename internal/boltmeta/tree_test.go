package boltmeta

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

var treeSeed = flag.Uint64("treeseed", 1, "of TestSoundTrees")

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// checkFile looks at all that can be looked at in a file.
func checkFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := Newest(f)
	if err != nil {
		return err
	}
	p, err := m.In(f)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	mapped := &Pages{PageBytes: p.PageBytes, Count: p.Count, Data: data}
	err = errors.Join(p.Check(m.Root), mapped.Check(m.Root), p.CheckTop(m.Root), p.CheckShape(m.Root))
	if m.Freelist != NoFreelist {
		err = errors.Join(err, p.CheckFreelist(m.Freelist, m.Root))
	}
	return err
}

// What bbolt writes is sound, whatever is put and deleted in whatever order: it is relied on that a
// parent's key is the first of its child.
func TestSoundTrees(t *testing.T) {
	t.Parallel()
	for i, size := range []int{1 << 10, 4 << 10, 64 << 10} {
		r := rand.New(rand.NewPCG(*treeSeed, uint64(i)))
		path := filepath.Join(t.TempDir(), "bolt.db")
		opts := &bbolt.Options{PageSize: size, NoSync: true, NoGrowSync: true, NoFreelistSync: i%2 == 0, FreelistType: bbolt.FreelistMapType}
		db, err := bbolt.Open(path, 0o600, opts)
		must(t, err)
		for round := range 60 {
			must(t, db.Update(func(tx *bbolt.Tx) error { return churn(tx, r) }))
			db.NoFreelistSync = round%2 == 0
			if round%4 != 0 {
				continue
			}
			if err := checkFile(path); err != nil {
				t.Fatalf("pages of %d, seed %d, round %d: %v", size, *treeSeed, round, err)
			}
		}
		must(t, db.Close())
	}
}

// churn puts and deletes keys in some buckets, one in another one too.
func churn(tx *bbolt.Tx, r *rand.Rand) error {
	for name := range 3 {
		b, err := tx.CreateBucketIfNotExists(fmt.Append(nil, name))
		if err == nil && name == 1 {
			b, err = b.CreateBucketIfNotExists([]byte("in it"))
		}
		if err != nil {
			return err
		}
		from, n := r.Uint64N(2000), r.Uint64N(300)
		put := r.IntN(3) > 0
		for k := from; k < from+n; k++ {
			key := binary.BigEndian.AppendUint64(nil, k)
			if put && (name < 2 || k%300 == 0) {
				err = errors.Join(err, b.Put(key, make([]byte, r.IntN(200)*(1+99*r.IntN(100)/99))))
			} else if !put {
				err = errors.Join(err, b.Delete(key))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
