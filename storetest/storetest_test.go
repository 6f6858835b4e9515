package storetest_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/memstore"
	"github.com/raft-ballast/ballast/storetest"
)

// faultEnv names the fault of the store that TestFaulty runs the suite on, in a process of its own.
const faultEnv = "BALLAST_STORETEST_FAULT"

// fault is a store with one thing wrong, and a promise that has to notice it.
type fault struct {
	name    string
	promise string
	make    func(s *memstore.Store) storetest.Store
}

var faults = []fault{
	{"nothing", "", func(s *memstore.Store) storetest.Store { return s }},
	{"wraps ErrLogNotFound", "GetLog/returns ErrLogNotFound itself around the log", func(s *memstore.Store) storetest.Store { return wraps{s} }},
	{"keeps fields", "GetLog/sets every field of the log it is given", func(s *memstore.Store) storetest.Store { return keepsFields{s} }},
	{"writes into old slices", "GetLog/does not write into what the log held", func(s *memstore.Store) storetest.Store { return reusesSlices{s} }},
	{"hands out its own slices", "GetLog/returns slices that are the caller's", func(s *memstore.Store) storetest.Store { return &shares{Store: s} }},
	{"keeps the caller's slices", "StoreLogs/lets the caller reuse its buffers", func(s *memstore.Store) storetest.Store { return &keepsSlices{Store: s} }},
	{"rounds times", "GetLog/returns any time to the nanosecond", func(s *memstore.Store) storetest.Store { return roundsTimes{s} }},
	{"does not overwrite", "StoreLogs/replaces what is there", func(s *memstore.Store) storetest.Store { return keepsOld{s} }},
	{"keeps the first of an index", "StoreLogs/keeps the last entry of an index in a batch", func(s *memstore.Store) storetest.Store { return firstWins{s} }},
	{"refuses gaps", "StoreLogs/takes a gap", func(s *memstore.Store) storetest.Store { return refusesGaps{s} }},
	{"stores half of a refused batch", "StoreLogs/refuses an entry above its limit with its batch", func(s *memstore.Store) storetest.Store { return oneByOne{s} }},
	{"deletes one too few", "DeleteRange/deletes what is there and keeps the rest", func(s *memstore.Store) storetest.Store { return deletesLess{s} }},
	{"brings back what was deleted", "DeleteRange/does not bring back what was deleted", func(s *memstore.Store) storetest.Store { return &forgetsDeletes{Store: s} }},
	{"another text for a missing key", "Stable/says that a key is missing as raft expects", func(s *memstore.Store) storetest.Store { return otherText{s} }},
	{"a number of any length", "Stable/refuses a number that is not 8 bytes", func(s *memstore.Store) storetest.Store { return anyNumber{s} }},
	{"panics", "Stable/refuses a number that is not 8 bytes", func(s *memstore.Store) storetest.Store { return panics{s} }},
	{"two key spaces", "Stable/shares one key space", func(s *memstore.Store) storetest.Store { return twoSpaces{s} }},
	{"a commit index by itself", "CommitIndex/is never written by itself", func(s *memstore.Store) storetest.Store { return &eager{Store: s} }},
	{"a commit index above the log", "CommitIndex/is never above the last index", func(s *memstore.Store) storetest.Store { return &eager{Store: s} }},
	{"a stage that outlives a failure", "CommitIndex/is used up by a StoreLogs that fails", func(s *memstore.Store) storetest.Store { return &stagesAgain{Store: s} }},
	{"answers after Close", "Close/makes every call return one sentinel", func(s *memstore.Store) storetest.Store { return &answers{Store: s} }},
	{"loses the last entry", "Close/keeps everything that was acknowledged", func(s *memstore.Store) storetest.Store { return &losesLast{Store: s} }},
	{"loses the last entry, found at random", "Random/operations agree with the model", func(s *memstore.Store) storetest.Store { return &losesLast{Store: s} }},
	{"mixes entries up", "Concurrent/calls of raft's goroutines", func(s *memstore.Store) storetest.Store { return mixes{s} }},
	{"cannot start raft", "Raft/starts on an empty store, writes, and finds it again", func(s *memstore.Store) storetest.Store { return noFirst{s} }},
}

// TestSuiteFindsFaults runs the suite on stores that are wrong. A promise that would hold for any store is none.
func TestSuiteFindsFaults(t *testing.T) {
	if os.Getenv(faultEnv) != "" {
		t.Fatal("this is the process that runs the suite")
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			pattern := "^TestFaulty$"
			for _, part := range strings.SplitN(f.promise, "/", 2) {
				if part != "" {
					pattern += "/^" + regexp.QuoteMeta(part) + "$"
				}
			}
			if f.promise != "" && !slices.Contains(storetest.Names(), f.promise) {
				t.Fatalf("the suite has no promise %q", f.promise)
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern, "-test.v", "-rapid.nofailfile")
			cmd.Env = append(os.Environ(), faultEnv+"="+f.name)
			out, err := cmd.CombinedOutput()
			if f.promise == "" {
				if err != nil {
					t.Fatalf("the suite fails on a store without a fault:\n%s", out)
				}
				return
			}
			_, exited := errors.AsType[*exec.ExitError](err)
			name := strings.ReplaceAll(f.promise, " ", "_")
			if !exited || !strings.Contains(string(out), "--- FAIL: TestFaulty/"+name+" ") {
				t.Fatalf("the promise %q does not notice this (%v):\n%s", f.promise, err, out)
			}
		})
	}
}

// disks is what the folders hold, for stores that are reopened in one process.
var disks = struct {
	sync.Mutex
	of map[string]*memstore.Store
}{of: map[string]*memstore.Store{}}

// TestFaulty is what TestSuiteFindsFaults runs. By itself it has nothing to do.
func TestFaulty(t *testing.T) {
	name := os.Getenv(faultEnv)
	for _, f := range faults {
		if f.name != name {
			continue
		}
		storetest.Run(t, func(_ *testing.T, dir string) (storetest.Store, error) {
			disks.Lock()
			defer disks.Unlock()
			if f.promise == "" || disks.of[dir] == nil {
				disks.of[dir] = memstore.New()
			}
			return f.make(disks.of[dir]), nil
		}, volatileWithout(f)...)
	}
}

// volatileWithout lets those faults reopen that show only then. They stay open, so that they can.
func volatileWithout(f fault) []storetest.Option {
	if strings.Contains(f.name, "loses") || strings.Contains(f.name, "brings back") {
		return nil
	}
	return []storetest.Option{storetest.Volatile()}
}

type wraps struct{ *memstore.Store }

func (s wraps) GetLog(index uint64, log *raft.Log) error {
	if err := s.Store.GetLog(index, log); err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	return nil
}

type keepsFields struct{ *memstore.Store }

func (s keepsFields) GetLog(index uint64, log *raft.Log) error {
	ext := log.Extensions
	err := s.Store.GetLog(index, log)
	if err == nil && len(log.Extensions) == 0 {
		log.Extensions = ext
	}
	return err
}

type reusesSlices struct{ *memstore.Store }

func (s reusesSlices) GetLog(index uint64, log *raft.Log) error {
	data := log.Data
	err := s.Store.GetLog(index, log)
	if err == nil {
		log.Data = append(data[:0], log.Data...)
	}
	return err
}

type shares struct {
	*memstore.Store
	data []byte
}

func (s *shares) GetLog(index uint64, log *raft.Log) error {
	err := s.Store.GetLog(index, log)
	if err == nil && index == 3 {
		if s.data == nil {
			s.data = log.Data
		}
		log.Data = s.data
	}
	return err
}

type keepsSlices struct {
	*memstore.Store
	logs []*raft.Log
}

func (s *keepsSlices) StoreLogs(logs []*raft.Log) error {
	for _, l := range logs {
		kept := *l
		s.logs = append(s.logs, &kept)
	}
	return s.Store.StoreLogs(logs)
}

func (s *keepsSlices) GetLog(index uint64, log *raft.Log) error {
	err := s.Store.GetLog(index, log)
	for _, l := range s.logs {
		if err == nil && l.Index == index {
			log.Data = l.Data
		}
	}
	return err
}

type roundsTimes struct{ *memstore.Store }

func (s roundsTimes) GetLog(index uint64, log *raft.Log) error {
	err := s.Store.GetLog(index, log)
	log.AppendedAt = log.AppendedAt.Truncate(time.Microsecond)
	return err
}

type keepsOld struct{ *memstore.Store }

func (s keepsOld) StoreLogs(logs []*raft.Log) error {
	var fresh []*raft.Log
	for _, l := range logs {
		if s.GetLog(l.Index, &raft.Log{}) != nil {
			fresh = append(fresh, l)
		}
	}
	return s.Store.StoreLogs(fresh)
}

type firstWins struct{ *memstore.Store }

func (s firstWins) StoreLogs(logs []*raft.Log) error {
	backwards := slices.Clone(logs)
	slices.Reverse(backwards)
	return s.Store.StoreLogs(backwards)
}

type refusesGaps struct{ *memstore.Store }

func (s refusesGaps) StoreLogs(logs []*raft.Log) error {
	if last, err := s.LastIndex(); err == nil && last != 0 && len(logs) > 0 && logs[0].Index > last+1 {
		return errors.New("non-monotonic")
	}
	return s.Store.StoreLogs(logs)
}

type oneByOne struct{ *memstore.Store }

func (s oneByOne) StoreLogs(logs []*raft.Log) error {
	for _, l := range logs {
		if err := s.StoreLog(l); err != nil {
			return err
		}
	}
	return nil
}

type deletesLess struct{ *memstore.Store }

func (s deletesLess) DeleteRange(min, max uint64) error {
	if min < max {
		max--
	}
	return s.Store.DeleteRange(min, max)
}

// forgetsDeletes puts back at Close what was deleted.
type forgetsDeletes struct {
	*memstore.Store
	deleted []*raft.Log
}

func (s *forgetsDeletes) DeleteRange(min, max uint64) error {
	for index := min; index <= max && index < min+100; index++ {
		var l raft.Log
		if s.GetLog(index, &l) == nil {
			s.deleted = append(s.deleted, &l)
		}
	}
	return s.Store.DeleteRange(min, max)
}

func (s *forgetsDeletes) Close() error { return s.StoreLogs(s.deleted) }

type otherText struct{ *memstore.Store }

func (s otherText) Get(key []byte) ([]byte, error) {
	v, err := s.Store.Get(key)
	if err != nil {
		err = fmt.Errorf("key %s: %w", key, err)
	}
	return v, err
}

type anyNumber struct{ *memstore.Store }

func (s anyNumber) GetUint64(key []byte) (uint64, error) {
	n, err := s.Store.GetUint64(key)
	if errors.Is(err, ballast.ErrNotUint64) {
		err = nil
	}
	return n, err
}

type panics struct{ *memstore.Store }

func (s panics) GetUint64(key []byte) (uint64, error) {
	n, err := s.Store.GetUint64(key)
	if errors.Is(err, ballast.ErrNotUint64) {
		panic(err)
	}
	return n, err
}

type twoSpaces struct{ *memstore.Store }

func (s twoSpaces) SetUint64(key []byte, v uint64) error {
	return s.Store.SetUint64(append([]byte("uint64-"), key...), v)
}

func (s twoSpaces) GetUint64(key []byte) (uint64, error) {
	return s.Store.GetUint64(append([]byte("uint64-"), key...))
}

// eager writes the commit index when it is staged.
type eager struct {
	*memstore.Store
	commit uint64
}

func (s *eager) StageCommitIndex(index uint64) error {
	s.commit = index
	return nil
}

func (s *eager) GetCommitIndex() (uint64, error) { return s.commit, nil }

type stagesAgain struct {
	*memstore.Store
	staged uint64
}

func (s *stagesAgain) StageCommitIndex(index uint64) error {
	s.staged = index
	return s.Store.StageCommitIndex(index)
}

func (s *stagesAgain) StoreLogs(logs []*raft.Log) error {
	err := s.Store.StoreLogs(logs)
	if err != nil {
		return errors.Join(err, s.StageCommitIndex(s.staged))
	}
	return nil
}

type answers struct{ *memstore.Store }

func (s *answers) FirstIndex() (uint64, error) {
	first, err := s.Store.FirstIndex()
	if errors.Is(err, ballast.ErrClosed) {
		return 0, nil
	}
	return first, err
}

// losesLast deletes the last entry at Close.
type losesLast struct{ *memstore.Store }

func (s *losesLast) Close() error {
	last, err := s.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	return s.DeleteRange(last, last)
}

type mixes struct{ *memstore.Store }

func (s mixes) GetLog(index uint64, log *raft.Log) error {
	err := s.Store.GetLog(index, log)
	if err == nil && index%100 == 50 {
		err = s.Store.GetLog(index+1, log)
		log.Index = index
	}
	return err
}

type noFirst struct{ *memstore.Store }

func (s noFirst) LastIndex() (uint64, error) {
	last, err := s.Store.LastIndex()
	if err == nil && last == 0 {
		err = errors.New("not found last index")
	}
	return last, err
}

// TestKilledEarly is a store that acknowledges some calls before it does them. RunCrash has to notice.
func TestKilledEarly(t *testing.T) {
	if os.Getenv(faultEnv) == "" && os.Getenv("BALLAST_STORETEST_KILL") == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledEarly$", "-test.v")
		cmd.Env = append(os.Environ(), faultEnv+"=early")
		out, err := cmd.CombinedOutput()
		if _, exited := errors.AsType[*exec.ExitError](err); !exited || !strings.Contains(string(out), "neither as before the call in progress") {
			t.Fatalf("RunCrash does not notice that calls are acknowledged before they are done (%v):\n%s", err, out)
		}
		return
	}
	storetest.RunCrash(t, storetest.Kills(func(_ *testing.T, dir string) (storetest.Store, error) {
		s, err := boltstore.Open(filepath.Join(dir, "raft.db"), &boltstore.Options{NoSync: true})
		return &early{Store: s}, err
	}), storetest.Crashes(20), storetest.Seed(1))
}

type early struct {
	*boltstore.Store
	logs [][]*raft.Log
}

func (s *early) StoreLogs(logs []*raft.Log) error {
	s.logs = append(s.logs, logs)
	if len(s.logs) < 5 {
		return nil
	}
	for _, batch := range s.logs {
		if err := s.Store.StoreLogs(batch); err != nil {
			return err
		}
	}
	s.logs = nil
	return nil
}
