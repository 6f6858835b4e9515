package demo

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/memstore"
)

var oneGroup = Config{Stores: Stores{Groups: 1}}

// answering returns a run whose peers answer reads of the given machines, one for each of PeerIDs.
func answering(t *testing.T, machines []*machine) *run {
	t.Helper()
	addrs := map[string]string{}
	r := &run{cfg: oneGroup, report: &Report{Agree: true}, cluster: &cluster{addr: func(id string) string { return addrs[id] }}}
	for i, id := range PeerIDs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		p := &peer{id: id, replicas: []*replica{{machine: machines[i]}}, listener: l}
		go p.serve()
		addrs[id] = l.Addr().String()
	}
	return r
}

// The check has to be able to fail: a write that was acknowledged and is not on every peer, with the
// right value, is lost.
func TestCheckFindsWhatIsLost(t *testing.T) {
	const written = checkBatch + 10 // more than is asked for at once
	key := write{run: 1, seed: 7, seq: 3}.key()
	cases := []struct {
		name      string
		without   uint64 // that peer-2 did not apply
		instead   []byte // that peer-2 applied in its place
		claimed   uint64
		recovered uint64
		problem   string
	}{
		{"all there", written, nil, written, written, ""},
		{"fewer acknowledged than written", written, nil, 5, 5, ""},
		{"one acknowledged that was never made", written, nil, written + 1, written, "peer-1 has not run1/writer0/266"},
		{"one missing on one peer", 3, nil, written, written - 1, "peer-2 has not " + key},
		{"another value on one peer", 3, encodeCommand(key, []byte("x")), written, written - 1, "peer-2 has another value of " + key},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			machines := []*machine{newMachine(), newMachine(), newMachine()}
			for i, m := range machines {
				for seq := range uint64(written) {
					switch {
					case i != 1 || seq != c.without:
						apply(t, m, command(seq))
					case c.instead != nil:
						apply(t, m, c.instead)
					}
				}
			}
			r := answering(t, machines)
			recovered, err := r.check(t.Context(), record{Run: 1, Seed: 7, Acknowledged: []uint64{c.claimed, 0}})
			if err != nil || recovered != c.recovered {
				t.Errorf("check: %d, %v; want %d", recovered, err, c.recovered)
			}
			if got := strings.Join(r.report.Problems, "\n"); !strings.HasPrefix(got, c.problem) || c.problem == "" && got != "" {
				t.Errorf("problems %q, want %q first", got, c.problem)
			}
		})
	}
}

func TestCheckOfPeerThatIsDown(t *testing.T) {
	r := answering(t, []*machine{newMachine(), newMachine(), newMachine()})
	addr := r.cluster.addr
	r.cluster.addr = func(id string) string {
		if id == "peer-3" {
			return ""
		}
		return addr(id)
	}
	if _, err := r.check(t.Context(), record{Run: 1, Acknowledged: []uint64{1}}); !errors.Is(err, errPeerDown) {
		t.Errorf("check: %v, want %v", err, errPeerDown)
	}
}

func TestCompareFindsDisagreement(t *testing.T) {
	same := peerStatus{status: status{Index: 9, Digest: "aa", Keys: 4}}
	cases := []struct {
		name   string
		change func(*peerStatus) // of peer-3
		agree  bool
		err    string
	}{
		{"all the same", func(*peerStatus) {}, true, ""},
		{"who leads and in which term does not matter", func(s *peerStatus) { s.Leader, s.Term = true, 5 }, true, ""},
		{"another digest", func(s *peerStatus) { s.Digest = "bb" }, false, ""},
		{"another number of keys", func(s *peerStatus) { s.Keys = 3 }, false, ""},
		{"damage", func(s *peerStatus) { s.Damage = "entry 4: bad" }, true, "peer-3 applied a damaged command: entry 4: bad"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			third := same
			c.change(&third)
			r := &run{cfg: oneGroup, report: &Report{Agree: true}}
			err := r.compare(0, map[string]peerStatus{"peer-1": same, "peer-2": same, "peer-3": third})
			if got := errorText(err); got != c.err || r.report.Agree != c.agree {
				t.Errorf("compare: %q, agree %v; want %q, %v", got, r.report.Agree, c.err, c.agree)
			}
			if (len(r.report.Problems) == 0) != r.report.Agree {
				t.Errorf("problems %q", r.report.Problems)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// What stopped peers left is read by raft's own rules: a log without a hole, up to what was applied.
func TestCheckStores(t *testing.T) {
	const applied = 5
	full := func(skip uint64) []*raft.Log {
		var logs []*raft.Log
		for i := range uint64(applied) {
			if i+1 != skip {
				logs = append(logs, &raft.Log{Index: i + 1, Term: 1, Data: command(i)})
			}
		}
		return logs
	}
	cases := []struct {
		name  string
		logs  func() []*raft.Log // of peer-2; the others have the full log
		agree bool
		err   string // a part of the error
	}{
		{"another term below the snapshot, which raft leaves there", func() []*raft.Log { l := full(0); l[1].Term = 2; return l }, true, ""},
		{"equal logs", func() []*raft.Log { return full(0) }, true, ""},
		{"entries that were not applied", func() []*raft.Log {
			return append(full(0), &raft.Log{Index: 6, Term: 2, Type: raft.LogNoop})
		}, true, ""},
		{"another term", func() []*raft.Log { l := full(0); l[2].Term = 2; return l }, false, ""},
		{"another command", func() []*raft.Log { l := full(0); l[2].Data = command(9); return l }, false, ""},
		{"another type", func() []*raft.Log { l := full(0); l[2].Type = raft.LogBarrier; return l }, false, ""},
		{"a hole", func() []*raft.Log { return full(3) }, true, "entry 3 of 1 to 5: log not found"},
		{"a flipped bit", func() []*raft.Log { l := full(0); l[2].Data[40] ^= 4; return l }, true,
			"entry 3: checksum of the command does not match"},
		{"the end is missing", func() []*raft.Log { return full(5) }, true, "but 5 was applied"},
		{"the beginning is missing", func() []*raft.Log { return full(1) }, true, "but 5 was applied"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := &run{cfg: oneGroup, report: &Report{Agree: true}, folder: &folder{path: t.TempDir()}}
			if strings.Contains(c.name, "below the snapshot") {
				snapshotAt(t, r.folder.peer("peer-2"), 2)
			}
			r.cfg.Open = func(dir string) (ballast.Store, error) {
				s := memstore.New()
				logs := full(0)
				if strings.HasSuffix(dir, "peer-2") {
					logs = c.logs()
				}
				return s, s.StoreLogs(logs)
			}
			err := r.checkStores([]uint64{applied})
			if got := errorText(err); !strings.Contains(got, c.err) || c.err == "" && got != "" {
				t.Errorf("checkStores: %q, want ... %q", got, c.err)
			}
			if r.report.Agree != c.agree {
				t.Errorf("agree is %v", r.report.Agree)
			}
		})
	}
}

// snapshotAt makes a snapshot that ends at index.
func snapshotAt(t *testing.T, dir string, index uint64) {
	t.Helper()
	snapshots, err := raft.NewFileSnapshotStore(dir, 1, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	sink, err := snapshots.Create(raft.SnapshotVersionMax, index, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}
