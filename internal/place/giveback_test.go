package place

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
)

// interrupted is a swap that a crash has ended when the old one had its other name.
func interrupted(t *testing.T) (dst, kept string) {
	t.Helper()
	_, dst, kept, site := swapping(t)
	w := &swap{site: site, kept: kept, old: dst, new: site.Path}
	crash := errors.New("crash")
	if err := w.inSteps(func() error { return crash }); !errors.Is(err, crash) {
		t.Fatal(err)
	}
	must(t, site.unlock()) // as the kernel does
	return dst, kept
}

// The old one is there again, with what somebody has written to it behind the crash.
func TestGiveBack(t *testing.T) {
	for name, made := range map[string]func(dst string) error{
		"nothing":         func(string) error { return nil },
		"an empty folder": func(dst string) error { return os.Mkdir(dst, 0o700) }, // a service makes what it will need
		"an empty file":   func(dst string) error { return os.WriteFile(dst, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dst, kept := interrupted(t)
			put(t, kept, "old, and a vote")
			link := filepath.Join(t.TempDir(), "link")
			must(t, os.Symlink(dst, link))
			if _, err := Begin(dst); !errors.Is(err, ballast.ErrUnfinished) {
				t.Errorf("something else is made there: %v", err)
			}
			must(t, made(dst))
			if _, err := Beside(dst); !errors.Is(err, ballast.ErrUnfinished) {
				t.Errorf("something else is made there: %v", err)
			}
			if !Unfinished(link) {
				t.Error("it is not seen")
			}
			must(t, GiveBack(link))
			if got := names(t, filepath.Dir(dst)); text(t, dst) != "old, and a vote" || len(got) != 1 {
				t.Errorf("%q, and %v", text(t, dst), got)
			}
			must(t, GiveBack(dst)) // there is nothing to do
		})
	}
}

// A crash before the old one had its other name, or in the middle of GiveBack, leaves the new one beside it. It is never used: a peer goes on with the old one.
func TestLeftReady(t *testing.T) {
	dst, kept := interrupted(t)
	must(t, os.Rename(kept, dst))
	site, err := Beside(dst)
	must(t, err)
	if there(site.ready()) || there(site.notePath()) || text(t, dst) != "old" {
		t.Errorf("there are %v", names(t, filepath.Dir(dst)))
	}
	must(t, site.Abandon())
}

// Only a human can tell where the store is on which the peer ran last, and nothing is changed.
func TestGiveBackGone(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(dst, kept string) error
		says string
	}{
		"the old one was taken away": {func(_, kept string) error { return os.RemoveAll(kept) }, "begin with an empty store"},
		"no note":                    {func(dst, _ string) error { return os.RemoveAll(filepath.Join(filepath.Dir(dst), ".store.ballast-new")) }, "cannot be told"},
		"a note that is no name": {func(dst, _ string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(dst), ".store.ballast-new", "store.kept"), []byte("../kept"), 0o600)
		}, "holds no name"},
	} {
		t.Run(name, func(t *testing.T) {
			dst, kept := interrupted(t)
			must(t, c.do(dst, kept))
			before := names(t, filepath.Dir(dst))
			if err := GiveBack(dst); !errors.Is(err, ballast.ErrUnfinished) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), dst+engine.UnplacedSuffix) {
				t.Errorf("%v", err)
			}
			after := names(t, filepath.Dir(dst))
			after = slices.DeleteFunc(after, func(n string) bool { return IsSite(n) && !slices.Contains(before, n) }) // for the lock
			if there(dst) || !slices.Equal(before, after) {
				t.Errorf("there were %v, and are %v", before, after)
			}
		})
	}
}
