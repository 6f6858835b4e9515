package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/raft-ballast/ballast/internal/vfs"
)

const (
	markerName    = "ballast-demo.json"
	markerFormat  = 1
	lockName      = "ballast-demo.lock"
	peerLogName   = "peer.log"
	snapshotsName = "snapshots"
)

// PeerIDs are the peers of every demo. Each has a folder of its name.
var PeerIDs = []string{"peer-1", "peer-2", "peer-3"}

// folder is the directory of a demo and what its marker file says.
type folder struct {
	path string
	lock *flock.Flock // held as long as the demo runs; between kills nobody else holds a lock
	marker
}

type marker struct {
	Format  int      `json:"format"`
	Engine  string   `json:"engine"`
	Groups  int      `json:"groups,omitempty"` // more than one
	LastRun uint64   `json:"last_run"`         // no later run writes the keys of an earlier one
	Runs    []record `json:"runs"`             // those that came to the end of their writing
}

// record is what a run's writes were acknowledged: the first Acknowledged[i] of its writer i, who wrote to group i modulo the number of
// groups.
type record struct {
	Run          uint64   `json:"run"`
	Seed         uint64   `json:"seed"`
	Acknowledged []uint64 `json:"acknowledged"`
}

func (r record) total() (n uint64) {
	for _, a := range r.Acknowledged {
		n += a
	}
	return n
}

// openFolder makes a new demo's folder of a missing or empty one, or goes on with an earlier demo of
// the same engine and as many groups. Anything else it refuses and leaves as it is. The folder is locked until close.
func openFolder(path, engine string, groups int) (*folder, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the demo: %w; give another --dir", err)
	}
	if err := checkFolder(path); err != nil {
		return nil, err
	}
	f := &folder{path: path, lock: flock.New(filepath.Join(path, lockName)), marker: marker{Format: markerFormat, Engine: engine}}
	if groups > 1 {
		f.Groups = groups
	}
	switch locked, err := f.lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("cannot lock the folder of the demo: %w; give another --dir", err)
	case !locked:
		return nil, fmt.Errorf("another demo runs in %s; wait for its end, or give another --dir", path)
	}
	if err := f.load(engine, groups); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// close lets the next demo in.
func (f *folder) close() { _ = f.lock.Unlock() }

// load reads the marker, if there is one, and writes it.
func (f *folder) load(engine string, groups int) error {
	data, err := os.ReadFile(filepath.Join(f.path, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		return f.save()
	}
	if err != nil {
		return fmt.Errorf("cannot read the folder of the demo: %w; give another --dir", err)
	}
	f.Groups = 0
	if err := json.Unmarshal(data, &f.marker); err != nil {
		return fmt.Errorf("%s is damaged: %w; give a new --dir", filepath.Join(f.path, markerName), err)
	}
	switch {
	case f.Format != markerFormat:
		return fmt.Errorf("%s holds a demo of format %d, this release knows %d; give a new --dir", f.path, f.Format, markerFormat)
	case f.Engine != engine:
		return fmt.Errorf("%s holds a demo of the engine %s; go on with --engine %s, or give a new --dir", f.path, f.Engine, f.Engine)
	case max(f.Groups, 1) != groups:
		return fmt.Errorf("%s holds a demo of %d raft groups; go on with --groups %d, or give a new --dir", f.path, max(f.Groups, 1), max(f.Groups, 1))
	}
	return f.save()
}

// checkFolder refuses a folder that holds something and no demo.
func checkFolder(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("cannot read the folder of the demo: %w; give another --dir", err)
	}
	other := ""
	for _, e := range entries {
		switch e.Name() {
		case markerName:
			return nil
		case lockName:
		default:
			other = e.Name()
		}
	}
	if other != "" {
		return fmt.Errorf("%s is not empty and holds no demo (%s is there); give a new or an empty --dir", path, other)
	}
	return nil
}

// save replaces the marker as a whole, so that an interrupted demo leaves the old one or the new one.
func (f *folder) save() error {
	data, err := json.Marshal(f.marker)
	if err != nil {
		return err
	}
	temporary := filepath.Join(f.path, markerName+".new")
	if err := os.WriteFile(temporary, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("cannot write the folder of the demo: %w; give another --dir", err)
	}
	return os.Rename(temporary, filepath.Join(f.path, markerName))
}

func (f *folder) peer(id string) string { return filepath.Join(f.path, id) }

// bytesOnDisk is what a peer's store and its snapshots take; raft's text log is not counted.
func (f *folder) bytesOnDisk(id string) (n int64, err error) {
	err = filepath.WalkDir(f.peer(id), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == peerLogName {
			return err
		}
		used, err := vfs.OS.DiskUsage(path)
		n += used
		return err
	})
	return n, err
}
