package powercut

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/raft-ballast/ballast/internal/loopfs"
	"github.com/raft-ballast/ballast/internal/oracle"
)

// Missing returns why there is no such file system to cut the power of, "" when there is.
func Missing(kind loopfs.Kind) string {
	if why := loopfs.Missing(kind); why != "" {
		return why
	}
	if err := unix.Access("/dev/fuse", unix.R_OK|unix.W_OK); err != nil {
		return "no FUSE: /dev/fuse: " + err.Error()
	}
	return ""
}

// Run cuts the power as often as it is told. What a store does wrong is in the result; an error is returned when the trial itself
// does not work, which includes a file system that cannot be mounted after a cut, and when ctx is done.
func Run(ctx context.Context, c Config) (Result, error) {
	if why := Missing(c.Kind); why != "" {
		return Result{}, errors.New(why)
	}
	if c.Bytes == 0 {
		c.Bytes = diskBytes[c.Kind]
	}
	if c.Series == 0 {
		c.Series = 25
	}
	t := &trial{Config: c}
	err := t.prepare()
	for seed := c.Seed; err == nil && t.result.Cuts < c.Cuts; seed++ {
		err = t.series(ctx, seed)
	}
	return t.result, errors.Join(err, t.end())
}

// trial is a Run in progress.
type trial struct {
	Config
	result Result

	folder string // with a folder for each of the file systems in it
	fresh  *Disk  // a new file system with an empty folder for the store
	server *server
	shared *shared
	file   *os.File // of shared
	ends   []func() error

	// The present series.
	seed uint64
	rng  *rand.Rand
	disk *Disk  // what the last cut has left
	how  string // it did so
}

func (t *trial) mountDir() string  { return filepath.Join(t.folder, "fs") }
func (t *trial) storeDir() string  { return filepath.Join(t.mountDir(), "store") }
func (t *trial) stateFile() string { return filepath.Join(t.folder, "state") }

// onEnd has end called when the trial ends, before those of earlier calls.
func (t *trial) onEnd(end func() error) { t.ends = append(t.ends, end) }

func (t *trial) end() (err error) {
	for _, end := range slices.Backward(t.ends) {
		err = errors.Join(err, end())
	}
	return err
}

// prepare makes all that every round needs.
func (t *trial) prepare() (err error) {
	if t.folder, err = os.MkdirTemp("", "powercut-"); err != nil {
		return err
	}
	t.onEnd(func() error { return os.RemoveAll(t.folder) })
	disk := filepath.Join(t.folder, "disk")
	if err := errors.Join(os.Mkdir(disk, 0o700), os.Mkdir(t.mountDir(), 0o700)); err != nil {
		return err
	}
	release, err := loopfs.UnmountAfterDeath(t.mountDir(), disk)
	if err != nil {
		return err
	}
	t.onEnd(release)
	if t.shared, t.file, err = newShared(); err != nil {
		return err
	}
	t.onEnd(func() error { return errors.Join(t.shared.close(), t.file.Close()) })
	if err := t.format(); err != nil {
		return err
	}
	if t.server, err = serve(disk, t.Bytes); err != nil {
		return err
	}
	t.onEnd(t.server.close)
	return nil
}

// format makes the disk that each series begins with.
func (t *trial) format() error {
	image := filepath.Join(t.folder, "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, t.Bytes)); err != nil {
		return err
	}
	if err := loopfs.Format(t.Kind, image); err != nil {
		return err
	}
	m, err := loopfs.Mount(t.Kind, image, t.mountDir())
	if err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir(t.storeDir(), 0o700), m.Unmount()); err != nil {
		return err
	}
	if t.fresh, err = loadDisk(image); err != nil {
		return err
	}
	t.fresh.units = untorn[t.Kind]
	return os.Remove(image)
}

// series lets one store live through cuts, until there are enough or it fails. The last round is without one, because it shows what the
// last cut has left.
func (t *trial) series(ctx context.Context, seed uint64) error {
	t.seed, t.rng, t.disk, t.how = seed, oracle.Random(seed), t.fresh, "a new file system"
	t.shared.acknowledged.Store(0)
	t.shared.started.Store(0)
	if err := os.Remove(t.stateFile()); err != nil && !os.IsNotExist(err) {
		return err
	}
	begin := t.result.Cuts
	for last := false; !last; {
		cuts := t.result.Cuts
		last = cuts >= t.Cuts || cuts-begin >= t.Series
		r, err := t.round(ctx, !last)
		if err != nil {
			return fmt.Errorf("%s, %s, seed %d, after %d cuts: %w", t.Store, t.Kind, seed, cuts, err)
		}
		if t.Progress != nil {
			t.Progress(t.result)
		}
		if r.Outcome == "" || r.Outcome == found {
			continue
		}
		if cuts == begin {
			return fmt.Errorf("%s on %s does not work without a power cut: %s: %s", t.Store, t.Kind, r.Outcome, r.Text)
		}
		break
	}
	t.result.Calls += t.shared.acknowledged.Load()
	return nil
}

// failure notes the first one.
func (t *trial) failure(r report, before *Disk, how string) error {
	if t.result.First != "" {
		return nil
	}
	t.result.First = fmt.Sprintf("%s on %s, seed %d, after %d cuts in all, the last of which left %s: %s: %s",
		t.Store, t.Kind, t.seed, t.result.Cuts, how, r.Outcome, r.Text)
	if t.Keep == "" {
		return nil
	}
	path := filepath.Join(t.Keep, fmt.Sprintf("%s-%s-%d.img", t.Store, t.Kind, t.seed))
	t.result.First += "; the disk is kept as " + path
	return saveDisk(before, path)
}

// job is what a child of this series is told.
func (t *trial) job() (string, error) {
	w := t.Workload
	w.Seed = t.seed
	b, err := json.Marshal(job{Store: t.Store, Dir: t.storeDir(), State: t.stateFile(), Workload: w})
	return string(b), err
}

// loadDisk returns a disk with the content of a file, all of it durable.
func loadDisk(path string) (*Disk, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	d := NewDisk(info.Size())
	buf := make([]byte, 1<<20)
	for off := int64(0); off < d.Bytes(); {
		data, err := unix.Seek(int(file.Fd()), off, unix.SEEK_DATA)
		if err == unix.ENXIO { // the rest is a hole
			break
		}
		if err != nil {
			return nil, &os.PathError{Op: "seek", Path: path, Err: err}
		}
		off = data / pageBytes * pageBytes
		n, err := file.ReadAt(buf, off)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if _, err := d.WriteAt(buf[:n], off); err != nil {
			return nil, err
		}
		off += int64(n)
	}
	d.Flush()
	return d, nil
}

// saveDisk writes a disk to a file, with holes where there are zeros.
func saveDisk(d *Disk, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	err = file.Truncate(d.Bytes())
	b := make([]byte, pageBytes)
	for off := int64(0); off < d.Bytes() && err == nil; off += pageBytes {
		if _, err = d.ReadAt(b, off); err == nil && page(b) != zeros {
			_, err = file.WriteAt(b, off)
		}
	}
	return errors.Join(err, file.Close())
}
