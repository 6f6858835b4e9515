package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// How long a durable write of a few bytes takes, in microseconds, and what that says of a disk.
const (
	// impossible is below what any medium takes that keeps its content without power: it takes a cache that has power of its own.
	impossible = 15

	// protected is up to what a disk takes whose cache is protected against power loss.
	protected = 60

	usual = 3_000  // a solid state disk that has to flush its cache
	slow  = 20_000 // a disk that turns, or one behind a network
)

// What raft waits for when nothing else is said in its Config.
const (
	heartbeatTimeout = time.Second
	leaseTimeout     = 500 * time.Millisecond
)

// headroom is how many times the longest write an election timeout should be at least: writes come one behind the other, and the disk
// will have worse moments than those of half a minute.
const headroom = 10

// littleSpace is where a peer soon has a full disk.
const littleSpace = 5 << 30

// advise says what the figures mean.
func (r *Report) advise() (list []Advice) {
	add := func(topic string, bad bool, format string, args ...any) {
		list = append(list, Advice{topic, bad, fmt.Sprintf(format, args...)})
	}
	if r.inMemory() {
		add("memory", true, "%s is %s, which is memory: nothing here outlives a power cut, and none of the times are a disk's. Choose a folder on a disk", r.Dir, r.FileSystem)
	} else {
		r.adviseSync(add)
	}
	r.adviseTimeouts(add)
	r.adviseDirect(add)
	r.adviseFileSystem(add)
	if r.FreeBytes < littleSpace {
		add("space", true, "%d MiB are free. A full disk stops appends: let snapshots be taken before that, and keep them on another file system", r.FreeBytes>>20)
	}
	r.adviseEngine(add)
	return list
}

type adder func(topic string, bad bool, format string, args ...any)

func (r *Report) inMemory() bool { return r.FileSystem == "tmpfs" || r.FileSystem == "ramfs" }

// adviseSync judges the disk by the limit.
func (r *Report) adviseSync(add adder) {
	took := r.fastest(smallBytes).Median
	switch text := Micros(took); {
	case took < impossible:
		add("lie", true, "a durable write takes %s, less than a disk needs: something acknowledges syncs that it does not do, a cache of the host, a file system without barriers or a library. What raft was told is safe can be lost when the power fails. Unless it is known that the cache is protected against power loss, change that", text)
	case took < protected:
		add("sync", false, "a durable write takes %s. That is a disk whose cache is protected against power loss, or a cache that is not; the disk's data sheet tells which", text)
	case took < usual:
		add("sync", false, "a durable write takes %s: good for a raft peer", text)
	case took < slow:
		add("sync", true, "a durable write takes %s, which is slow: a peer makes about %.0f batches a second at most. A disk with protection against power loss takes less than a tenth", text, 1e6/took)
	default:
		add("sync", true, "a durable write takes %s, which is very slow: a peer makes about %.0f batches a second at most, and elections take long. Move raft's folder to another disk", text, 1e6/took)
	}
}

// adviseTimeouts says what the longest write asks of raft's configuration.
func (r *Report) adviseTimeouts(add adder) {
	var longest float64
	for _, w := range workloads {
		for _, engine := range []string{Limit, "wal"} {
			if x := r.result(w.name, engine); x != nil && w.limitBytes > 0 {
				longest = max(longest, x.Max)
			}
		}
	}
	if longest == 0 {
		return
	}
	needed := time.Duration(headroom*longest) * time.Microsecond
	if needed <= heartbeatTimeout {
		add("timeouts", false, "the longest write took %s, so raft's own timeouts, %v for heartbeats and elections and %v for the leader's lease, have room enough",
			Micros(longest), heartbeatTimeout, leaseTimeout)
		return
	}
	seconds := time.Duration(math.Ceil(needed.Seconds())) * time.Second
	add("timeouts", true, "the longest write took %s. A peer that waits for its disk that long lets elections begin that nobody needs: set HeartbeatTimeout and ElectionTimeout to %v and LeaderLeaseTimeout to %v, or find out what else uses the disk",
		Micros(longest), seconds, seconds/2)
}

// adviseDirect says whether the file system takes writes past the page cache.
func (r *Report) adviseDirect(add adder) {
	i := slices.IndexFunc(r.Ways, func(w Way) bool { return strings.Contains(w.Sync, "O_DIRECT") })
	switch {
	case i < 0:
	case r.Ways[i].Failed != "":
		add("direct", false, "O_DIRECT is not accepted here, so wal writes through the page cache and syncs, which takes longer and is as safe")
	default:
		add("direct", false, "O_DIRECT is accepted, and wal uses it")
	}
}

// fileSystems are those of which an operator should know something.
var fileSystems = map[string]string{
	"btrfs":   "btrfs writes nothing in place: writing ahead gains little, and on a full disk votes and deletions may fail too. ext4 and xfs are better here",
	"zfs":     "zfs writes nothing in place: writing ahead gains little, and a separate log device decides how fast syncs are. ext4 and xfs are better here",
	"overlay": "this is the file system of a container, which goes with the container. Mount a volume for raft's folder",
	"nfs":     "this is a network's file system: locks and syncs are as good as its server. Use a local disk",
	"nfs4":    "this is a network's file system: locks and syncs are as good as its server. Use a local disk",
	"cifs":    "this is a network's file system: locks and syncs are as good as its server. Use a local disk",
	"9p":      "this is a folder of the host: whether a sync reaches its disk is up to the host. Use a disk of the machine's own",
	"fuse":    "this is a file system in a process: whether a sync reaches a disk is up to that. Use ext4 or xfs",
}

func (r *Report) adviseFileSystem(add adder) {
	kind, _, _ := strings.Cut(r.FileSystem, ".") // fuse.sshfs
	if text, ok := fileSystems[kind]; ok {
		add("file_system", true, "%s", text)
	}
}

// adviseEngine compares wal with the fastest of the others that keep anything.
func (r *Report) adviseEngine(add adder) {
	wal := r.result(workloads[0].name, "wal")
	if wal == nil {
		return
	}
	var other *Result
	for _, x := range r.Workloads[0].Results {
		if x.Failed == "" && x.Engine != "wal" && x.Engine != Limit && x.Engine != "memory" && (other == nil || x.Median < other.Median) {
			other = &x
		}
	}
	if other == nil {
		return
	}
	add("engine", false, "a small append takes wal %s, %.1f times the limit, and %s %s", Micros(wal.Median), wal.OverLimit, other.Engine, Micros(other.Median))
}

// Micros prints microseconds for people.
func Micros(us float64) string {
	switch {
	case us < 10:
		return fmt.Sprintf("%.2f µs", us)
	case us < 1000:
		return fmt.Sprintf("%.0f µs", us)
	case us < 1e6:
		return fmt.Sprintf("%.1f ms", us/1000)
	}
	return fmt.Sprintf("%.1f s", us/1e6)
}
