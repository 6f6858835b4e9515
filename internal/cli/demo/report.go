package demo

import (
	"slices"
	"time"
)

// Report is how a demo ended. Its JSON is what `ballast demo --json` prints.
type Report struct {
	Engine string `json:"engine"`
	Groups int    `json:"groups"` // raft groups, which share a log in each peer

	// FewestInGroup is how many writes were acknowledged in the group in which there were the fewest.
	FewestInGroup uint64 `json:"fewest_in_group"`

	// Acknowledged writes of this run, and how many of them every peer has with the right value.
	Acknowledged uint64 `json:"acknowledged"`
	Recovered    uint64 `json:"recovered"`

	// The same for the earlier runs of the folder.
	EarlierAcknowledged uint64 `json:"earlier_acknowledged"`
	EarlierRecovered    uint64 `json:"earlier_recovered"`

	// Lost counts the acknowledged writes, of this run and of earlier ones, that a peer has not.
	Lost uint64 `json:"lost"`

	// Agree says that all peers have the same digest at the same index, and equal logs.
	Agree bool `json:"agree"`

	Kills     int    `json:"kills"`
	Snapshots uint64 `json:"snapshots"`           // that peers took
	Installed uint64 `json:"installed_snapshots"` // that a leader sent to a follower
	Compacted uint64 `json:"compacted_entries"`   // sum of all peers

	WritesPerSecond float64 `json:"writes_per_second"` // Acknowledged over WritingSeconds
	P50Micros       uint32  `json:"p50_us"`            // from the first attempt to the acknowledgement
	P99Micros       uint32  `json:"p99_us"`
	MaxMicros       uint32  `json:"max_us"`
	WritingSeconds  float64 `json:"writing_seconds"` // in which peers were down included
	Seconds         float64 `json:"seconds"`         // of the whole demo

	BytesOnDisk     int64            `json:"bytes_on_disk"`
	PeerBytesOnDisk map[string]int64 `json:"peer_bytes_on_disk"`
	LogEntries      uint64           `json:"log_entries"` // read back from the stopped peers' stores, sum

	Writers int    `json:"writers"`
	Seed    uint64 `json:"seed"`
	Run     uint64 `json:"run"` // of the folder, from 1

	// Problems says, in a line each, what is lost and where peers disagree; the first few.
	Problems []string `json:"problems,omitempty"`
}

// Good reports whether nothing was lost and all peers agree.
func (r *Report) Good() bool { return r.Lost == 0 && r.Agree }

const maxProblems = 10

func (r *Report) problem(text string) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, text)
	}
}

// measure fills what follows from the client's record.
func (r *Report) measure(writers []*writer, writing time.Duration) {
	var all []uint32
	groups := make([]uint64, max(r.Groups, 1))
	for _, w := range writers {
		all = append(all, w.micros...)
		groups[w.group] += w.acked
	}
	r.FewestInGroup = slices.Min(groups)
	slices.Sort(all)
	r.Acknowledged = uint64(len(all))
	r.WritingSeconds = writing.Seconds()
	r.WritesPerSecond = float64(len(all)) / writing.Seconds()
	r.P50Micros, r.P99Micros, r.MaxMicros = quantile(all, 50), quantile(all, 99), quantile(all, 100)
}

// quantile returns the smallest value that at least percent of the sorted values are not above.
func quantile(sorted []uint32, percent int) uint32 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*percent + 99) / 100
	return sorted[max(rank, 1)-1]
}
