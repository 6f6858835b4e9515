package cli

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/wal"
)

var liveFor = flag.Duration("live.for", time.Second, "how long commands look into a wal beside its writer")

// writeSmall appends one entry of 100 bytes after the other until it is done. At times it compacts
// and closes.
func writeSmall(dir string, begun chan<- struct{}, done *atomic.Bool) error {
	opts := &wal.Options{SegmentBytes: 1 << 20}
	log, err := wal.Open(dir, opts)
	for index := uint64(1); err == nil && !done.Load(); index++ {
		err = log.StoreLog(&raft.Log{Index: index, Term: 1 + index/1000, Data: make([]byte, 100)})
		switch {
		case err != nil:
		case index == 100:
			close(begun)
		case index%3000 == 0:
			err = log.DeleteRange(1, index-1000)
		case index%7000 == 0:
			if err = log.Close(); err == nil {
				log, err = wal.Open(dir, opts)
			}
		}
	}
	return errors.Join(err, log.Close())
}

// TestLiveCommands runs what looks into a wal, and what copies it, beside a writer that appends one
// small entry after the other. `make live` does it for an hour. Nothing is damaged, and no command
// says so.
func TestLiveCommands(t *testing.T) {
	for name, dir := range map[string]string{"on disk": "", "in memory": "/dev/shm"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat(dir); dir != "" && err != nil {
				t.Skip("there is no file system in memory")
			}
			dir, err := os.MkdirTemp(dir, "ballast-live")
			must(t, err)
			defer os.RemoveAll(dir)
			log, copied := filepath.Join(dir, "wal"), filepath.Join(dir, "copy")
			var done atomic.Bool
			begun, ended := make(chan struct{}), make(chan error, 1)
			go func() { ended <- writeSmall(log, begun, &done) }()
			select {
			case <-begun:
			case err := <-ended:
				t.Fatal("the writer: ", err)
			}
			runs := 0
			for end := time.Now().Add(*liveFor); time.Now().Before(end) && !t.Failed(); {
				for _, args := range [][]string{
					{"verify", log}, {"info", log}, {"segments", log}, {"repair", log},
					{"dump", "--json", log}, {"backup", log, copied}, {"verify", copied},
				} {
					if runs++; t.Failed() {
						break
					}
					if status, stdout, stderr := runBallast(args...); status != 0 {
						t.Errorf("%v: status %d, %s%s", args, status, stdout[max(0, len(stdout)-1000):], stderr)
					}
				}
				must(t, os.RemoveAll(copied))
			}
			done.Store(true)
			if err := <-ended; err != nil {
				t.Errorf("the writer: %v", err)
			}
			t.Logf("%d commands", runs)
		})
	}
}
