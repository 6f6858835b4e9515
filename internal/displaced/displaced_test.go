package displaced

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// trial is one event under two processes. The first one has its store open at name, below dir, and
// the second one opens another at the same name after the event.
type trial struct {
	t      *testing.T
	engine string
	dir    string
	name   string // that both open
}

// empty makes a folder in which an engine finds nothing. bbolt makes its file itself.
func (tr *trial) empty(name string) {
	tr.t.Helper()
	if tr.engine != "bolt" {
		must(tr.t, os.Mkdir(tr.at(name), 0o700))
	}
}

func (tr *trial) at(name string) string { return filepath.Join(tr.dir, name) }

// event is how the name comes to mean something else.
type event struct {
	name   string
	open   string // the name that both open, below the folder of the trial
	before func(tr *trial)
	change func(tr *trial)
	chdir  string // the folder in which the second one is started

	displaced bool   // whether the first one is to say so
	now       string // where its store is then; "" for nowhere that can be opened
	says      bool   // the error names it
	mounts    bool   // something on a folder
}

const store = "peer/raft"

// events are those that every platform has which holds folders.
var events = []event{
	{
		name: "renamed", open: store, displaced: true, now: "peer/raft.old", says: true,
		change: func(tr *trial) { must(tr.t, os.Rename(tr.at(store), tr.at("peer/raft.old"))) },
	},
	{
		name: "the folder above renamed", open: store, displaced: true, now: "old/raft", says: true,
		change: func(tr *trial) {
			must(tr.t, os.Rename(tr.at("peer"), tr.at("old")))
			must(tr.t, os.Mkdir(tr.at("peer"), 0o700))
		},
	},
	{
		name: "removed", open: store, displaced: true,
		change: func(tr *trial) {
			for err := os.ErrExist; err != nil; { // files may be made meanwhile
				err = os.RemoveAll(tr.at(store))
			}
		},
	},
	{
		name: "a link switched", open: "current/raft", now: "r1/raft",
		before: (*trial).link, change: (*trial).switchLink,
	},
	{
		name: "a link switched, and what it led to renamed", open: "current/raft",
		displaced: true, now: "r3/raft", says: true, before: (*trial).link,
		change: func(tr *trial) {
			tr.switchLink()
			must(tr.t, os.Rename(tr.at("r1"), tr.at("r3")))
		},
	},
	{
		name: "the store itself a link that is switched", open: "raft", now: "s1",
		before: func(tr *trial) {
			tr.empty("s1")
			tr.empty("s2")
			must(tr.t, os.Symlink("s1", tr.at("raft")))
		},
		change: func(tr *trial) {
			must(tr.t, os.Remove(tr.at("raft")))
			must(tr.t, os.Symlink("s2", tr.at("raft")))
		},
	},
	{
		name: "a relative path, and a chdir", open: "raft", now: "raft", chdir: "elsewhere",
		before: func(tr *trial) {
			must(tr.t, os.Mkdir(tr.at("elsewhere"), 0o700))
			tr.name = "raft"
		},
	},
	{
		name: "renamed, and back again", open: store, now: store,
		change: func(tr *trial) {
			must(tr.t, os.Rename(tr.at(store), tr.at("peer/raft.old")))
			must(tr.t, os.Rename(tr.at("peer/raft.old"), tr.at(store)))
			tr.name = tr.at("peer/other")
		},
	},
}

// link makes two folders, and a link to the first one.
func (tr *trial) link() {
	must(tr.t, os.Mkdir(tr.at("r1"), 0o700))
	must(tr.t, os.Mkdir(tr.at("r2"), 0o700))
	must(tr.t, os.Symlink("r1", tr.at("current")))
}

// switchLink makes it lead to the second one.
func (tr *trial) switchLink() {
	must(tr.t, os.Remove(tr.at("current")))
	must(tr.t, os.Symlink("r2", tr.at("current")))
}

// rotation is more entries than a segment takes, or a file of another engine.
const rotation = 4

// TestTwoProcesses: whatever the name of an open store comes to mean, nothing of it gets into the
// store that another process opens there, nor the other way round; what was acknowledged stays; and
// the first process says so at its next rotation, and writes no more.
func TestTwoProcesses(t *testing.T) {
	if !vfs.Handles {
		t.Skip("the platform has no handles of folders")
	}
	for _, engine := range []string{"wal", "groups", "bolt", "bolt in a folder", "badger"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			for _, e := range events {
				if engine == "bolt in a folder" && !e.mounts {
					continue // as with the file alone
				}
				t.Run(e.name, func(t *testing.T) { e.run(t, engine) })
			}
		})
	}
}

func (e *event) run(t *testing.T, engine string) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	tr := &trial{t: t, engine: engine, dir: dir, name: filepath.Join(dir, e.open)}
	must(t, os.Mkdir(tr.at("peer"), 0o700))
	if e.before != nil {
		e.before(tr)
	}
	a, b := startPeer(t, "a"), startPeer(t, "b")
	a.do("chdir", dir)
	a.do("open", engine+":"+tr.name)
	a.do("vote")
	must(t, a.append(rotation))
	if e.change != nil {
		e.change(tr)
	}
	a.do("chdir", string(filepath.Separator))
	b.do("chdir", tr.at(e.chdir))
	b.do("open", engine+":"+tr.name)
	b.check()
	e.both(t, a, b)

	b.do("close")
	e.closeFirst(t, engine, a)
	b.do("open", engine+":"+tr.name)
	b.check()
	if e.now == "" {
		return
	}
	a.do("open", engine+":"+tr.at(e.now))
	a.check()
	a.do("close")
	b.do("close")
}

// both has both write in turns, until the first one refuses.
func (e *event) both(t *testing.T, a, b *peer) {
	t.Helper()
	var refused error
	for range 2 * rotation {
		must(t, b.append(1))
		if refused == nil {
			refused = a.append(1)
		}
	}
	b.do("vote")
	a.check()
	b.check()
	if !e.displaced {
		if refused != nil {
			t.Errorf("the first one says %v", refused)
		}
		a.do("vote")
		return
	}
	const text = "was renamed, removed or mounted over while this store was open"
	if refused == nil || !strings.Contains(refused.Error(), text) {
		t.Fatalf("the first one says %v", refused)
	}
	if runtime.GOOS == "linux" && e.says && !strings.Contains(refused.Error(), e.now) {
		t.Errorf("the error does not say that it is in %s: %v", e.now, refused)
	}
	if strings.Contains(refused.Error(), "/proc/") {
		t.Errorf("the error says %v", refused)
	}
	if _, err := a.ask("vote"); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("a vote behind that returns %v", err)
	}
	if got := a.do("failed"); got != "1 false" {
		t.Errorf("the figures of the first one say %q", got)
	}
}

// closeFirst closes the first one. badger cannot write its memory to a folder that was removed, and
// tries for long.
func (e *event) closeFirst(t *testing.T, engine string, a *peer) {
	t.Helper()
	if e.now == "" && engine == "badger" {
		a.end()
		return
	}
	a.do("close")
}
