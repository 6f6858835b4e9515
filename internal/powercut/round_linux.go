package powercut

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/raft-ballast/ballast/internal/loopfs"
)

const (
	// maxRequests is how many requests the disk gets from a store that works, at most, before the power is cut.
	maxRequests = 1000

	// maxRecovery is that of a file system that is mounted, or of a store that is opened.
	maxRecovery = 50

	// maxWork is how long a store works at most before the cut: one that does not sync makes hardly any request.
	maxWork = 500 * time.Millisecond

	// maxOpening is how long a store may take to be opened and read before it counts as one that hangs, in a process that may wait
	// for others a lot.
	maxOpening = time.Minute

	// maxRound ends a round that hangs although its child is killed.
	maxRound = 3 * time.Minute
)

// The phases of a round.
const (
	mounting = iota // and recovering the file system
	opening         // the store, and reading it
	working
	never // for a round without a cut
)

// A round is the time from one cut to the next.
type round struct {
	*trial
	disk  *Disk
	phase atomic.Int32
	limit time.Duration // of work until the power is cut anyway
	early time.Duration // of work until the kernel writes what it holds
	syncs sync.WaitGroup

	// The power is cut in one of the requests that the disk gets from the phase on, when until is 0. Both are for the disk's hook.
	from  int32
	until int

	// cut is there when the power was cut, which is when done is closed.
	cut  *cut
	done chan struct{}
}

// cut is a power cut.
type cut struct {
	left                  *Disk
	how                   string
	acknowledged, started uint64
}

// round mounts the disk, lets the store work, and cuts the power somewhere in between, unless it is only to be looked at. The report
// is empty when the cut came before there was one.
func (t *trial) round(ctx context.Context, cuts bool) (report, error) {
	r := &round{trial: t, disk: t.disk.with(slices.Clone(t.disk.now)), done: make(chan struct{}), from: never}
	if cuts {
		r.choose()
	}
	r.disk.setHook(func() {
		if r.phase.Load() < r.from {
			return
		}
		if r.until--; r.until == 0 {
			r.take()
		}
	})
	t.server.disk.Store(r.disk)
	// Should a request stay without an answer, then the kernel waits for ever, and so does everybody who waits for the kernel.
	watchdog := time.AfterFunc(maxRound, t.server.abort)
	defer watchdog.Stop()
	p, err := r.run(ctx)
	r.disk.setHook(nil)
	if !watchdog.Stop() {
		err = errors.Join(fmt.Errorf("the round did not end within %v", maxRound), err)
	}
	if err != nil {
		return p, err
	}
	if p.Outcome != "" && t.disk != t.fresh { // before the first cut there is nothing to look at
		t.result.count(p)
	}
	if p.Outcome != "" && p.Outcome != found {
		return p, t.failure(p, t.disk, t.how)
	}
	return p, r.settle()
}

// choose decides where the power is cut: now and then while the file system recovers, or the store, and otherwise at some time behind,
// sooner rather than later. A phase with fewer requests goes on into the next.
func (r *round) choose() {
	most := 0
	switch way := r.rng.IntN(8); {
	case way == 0:
		r.from, most = mounting, maxRecovery
	case way <= 2:
		r.from, most = opening, maxRecovery
	default:
		r.from, most = working, maxRequests
	}
	r.until = int(math.Exp(r.rng.Float64() * math.Log(float64(most))))
	r.limit = time.Duration(1 + r.rng.Int64N(int64(maxWork)))
	r.early = time.Duration(r.rng.Int64N(2 * int64(r.limit)))
}

// take cuts the power, with the disk's lock held.
func (r *round) take() {
	if r.cut != nil {
		return
	}
	c := &cut{acknowledged: r.shared.acknowledged.Load()}
	c.left, c.how = r.disk.cut(r.rng)
	c.started = r.shared.started.Load()
	r.cut = c
	close(r.done)
}

func (r *round) isCut() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// settle goes on with what the cut has left.
func (r *round) settle() error {
	if r.from == never {
		return nil
	}
	if !r.isCut() {
		return errors.New("the power was not cut")
	}
	r.result.Cuts++
	r.trial.disk, r.how = r.cut.left, r.cut.how
	r.shared.acknowledged.Store(r.cut.acknowledged)
	r.shared.started.Store(r.cut.started)
	return nil
}

// run mounts, lets the store work, and unmounts.
func (r *round) run(ctx context.Context) (report, error) {
	m, err := loopfs.Mount(r.Kind, r.server.path(), r.mountDir())
	if err != nil {
		return report{}, errors.Join(err, r.failure(report{Outcome: failed, Text: err.Error()}, r.trial.disk, r.how))
	}
	if r.isCut() {
		r.result.InFS++
		return report{}, m.Unmount()
	}
	r.phase.Store(opening)
	p, err := r.work(ctx)
	r.syncs.Wait()
	return p, errors.Join(err, m.Unmount())
}

// writeBack has the kernel write what it holds, which it would do by itself some seconds later. Of a store that does not sync all would be
// lost otherwise, and never a part.
func (r *round) writeBack() {
	if fd, err := unix.Open(r.mountDir(), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
		_, _ = unix.Syncfs(fd), unix.Close(fd) // whether it succeeds is not what is tried
	}
}

// work starts a child, and ends it after the cut.
func (r *round) work(ctx context.Context) (report, error) {
	job, err := r.job()
	if err != nil {
		return report{}, err
	}
	program, err := os.Executable()
	if err != nil {
		return report{}, err
	}
	in, out, err := os.Pipe()
	if err != nil {
		return report{}, err
	}
	defer in.Close()
	var said head
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), childVariable+"="+job)
	cmd.ExtraFiles = []*os.File{r.file, out} // sharedFile and reportFile
	cmd.Stdout, cmd.Stderr = &said, &said
	life, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return report{}, err
	}
	defer life.Close()
	reports := make(chan report)
	go func() {
		defer close(reports)
		for decoder := json.NewDecoder(in); ; {
			var p report
			if decoder.Decode(&p) != nil {
				return
			}
			reports <- p
		}
	}()
	p, err := r.watch(ctx, cmd, reports)
	_ = cmd.Process.Kill() // it may have ended
	for q := range reports {
		p = q // it found out while the power was cut
	}
	_ = cmd.Wait() // with an error, as it was killed
	if p.Text == "" && p.Outcome != found {
		p.Text = "the process said: " + said.String()
	}
	return p, err
}

// watch returns when the child is to be ended. A report without a text is of a child that could not say why.
func (r *round) watch(ctx context.Context, cmd *exec.Cmd, reports <-chan report) (p report, err error) {
	timer := time.NewTimer(maxOpening)
	defer timer.Stop()
	var early <-chan time.Time
	var begun uint64       // the calls that had returned when the store was found
	var patience time.Time // with the first one after that
	for {
		select {
		case q, ok := <-reports:
			switch {
			case !ok && p.Outcome == found:
				return report{Outcome: failed}, nil
			case !ok:
				return report{Outcome: unopened}, nil
			case q.Outcome != found || r.from == never:
				return q, nil
			}
			p = q
			begun, patience = r.shared.acknowledged.Load(), time.Now().Add(maxOpening)
			r.phase.Store(working)
			timer.Reset(r.limit)
			early = time.After(r.early)
		case <-r.done:
			if p.Outcome == "" {
				r.result.InOpen++
			}
			return p, nil
		case <-early:
			r.syncs.Go(r.writeBack)
		case <-timer.C:
			if p.Outcome == "" {
				_ = cmd.Process.Signal(unix.SIGQUIT) // it prints what it is waiting for
				time.Sleep(time.Second)
				return report{Outcome: unopened}, nil
			}
			if r.shared.acknowledged.Load() == begun { // it is slow, or it hangs
				if time.Now().After(patience) {
					return report{Outcome: failed, Text: fmt.Sprintf("no call has returned within %v", maxOpening)}, nil
				}
				timer.Reset(r.limit)
				continue
			}
			r.disk.mu.Lock()
			r.take()
			r.disk.mu.Unlock()
		case <-ctx.Done():
			return p, ctx.Err()
		}
	}
}

// head keeps the first bytes that are written to it, which are those that tell of a panic.
type head struct{ bytes.Buffer }

func (h *head) Write(b []byte) (int, error) {
	_, _ = h.Buffer.Write(b[:min(len(b), max(0, 4096-h.Len()))]) // it cannot fail
	return len(b), nil
}
