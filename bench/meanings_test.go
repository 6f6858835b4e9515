package bench

// Sentences that hold for more than one promise.
const (
	meansInmemMax = "A DeleteRange counts from the lower index to the upper one, also where nothing is, under the store's lock: " +
		"one up to the highest index never ends, and every other call waits for it."
	meansInmemBounds = "It keeps its bounds by guessing: they are right only while entries come in order behind the last one, " +
		"otherwise FirstIndex or LastIndex names an entry that is not there, and raft panics when it reads it."
	meansInmemShares = "It keeps the pointers and slices that it is given and hands them out again, so that a caller that reuses a buffer changes the log."
	meansWalMax      = "A DeleteRange up to the highest index overflows, returns no error and deletes nothing; raft never asks for it, a tool that empties a log does."
	meansWalPrefix   = "Deleted entries at the log's beginning are still returned as long as their segment is there: " +
		"who asks for one that was compacted gets it instead of raft.ErrLogNotFound; raft itself looks at FirstIndex in nearly all cases."
	meansZone = "A time whose zone is more than a day off makes StoreLogs fail; raft stamps its entries itself, " +
		"so it takes a clock or a zone file that is wrong, or a program that writes entries on its own."
	meansWalRetry = "An index that is there is refused: a write that was given up and landed later makes raft's retry fail, on every attempt, " +
		"and the peer is out until somebody restarts it."
	meansApart = "A number that SetUint64 wrote is not the 8 bytes, big-endian, that Get returns, and the reverse: harmless to raft, " +
		"which reads each key as it wrote it, but a tool that copies bytes from store to store makes another term of it."
	meansSecondOpener = "A second process on the same data waits for ever and says nothing: a rolling restart that overlaps looks like a peer that hangs."
)

// chancy are the promises that a store does not keep by chance.
var chancy = map[string]map[string]bool{"raft-wal": {"Concurrent/calls of raft's goroutines": true}}

// meanings says, for each promise that a peer does not keep, what that means for a raft peer that lives on it.
var meanings = map[string]map[string]string{
	"raft-boltdb": {
		"GetLog/returns any time to the nanosecond": meansZone,
		"GetLog/does not write into what the log held": "GetLog decodes into the Data that the log held before: " +
			"a caller that reuses one raft.Log overwrites the entry that it has just handed on. Raft takes a new one for each entry.",
		"Stable/refuses a number that is not 8 bytes": "A damaged or foreign value under CurrentTerm or LastVoteTerm is a panic at the start, not an error.",
		"Open/refuses a second opener at once":        meansSecondOpener + " A Timeout in its BoltOptions helps.",
	},
	"raft-wal": {
		"Concurrent/calls of raft's goroutines":                 "A GetLog beside a DeleteRange may return `file already closed`: a segment's file is closed while somebody reads from it.",
		"StoreLogs/replaces what is there":                      meansWalRetry,
		"StoreLogs/takes the same batch again":                  meansWalRetry,
		"StoreLogs/keeps the last entry of an index in a batch": meansWalRetry,
		"Stable/shares one key space":                           meansApart,
		"Stable/refuses a number that is not 8 bytes":           "A damaged or foreign value under CurrentTerm or LastVoteTerm is a wrong number and no error.",
		"Empty/takes any DeleteRange": "A DeleteRange up to the highest index overflows: on an empty log it returns no error and leaves FirstIndex at 0 for good, " +
			"also after entries are stored and the log is opened again, so that raft never compacts it. Raft never asks for such a range.",
		"GetLog/returns any time to the nanosecond": meansZone,
		"StoreLogs/takes an entry of 64 MiB": "An entry whose encoding is just above 64 MiB is acknowledged and cannot be read: " +
			"raft panics when it applies it, and at each start.",
		"DeleteRange/deletes what is there and keeps the rest": meansWalPrefix,
		"DeleteRange/takes a log with gaps":                    meansWalMax,
		"DeleteRange/compacts as raft does":                    meansWalPrefix,
		"DeleteRange/can empty the log and start lower":        meansWalMax,
		"DeleteRange/deletes 30,000 entries at once":           meansWalPrefix,
		"Stable/keeps apart from the log":                      meansWalMax,
		"Open/refuses a second opener at once":                 meansSecondOpener,
		"Random/operations agree with the model":               meansWalPrefix,
	},
	"InmemStore": {
		"Stable/shares one key space":                          meansApart,
		"Stable/refuses a number that is not 8 bytes":          meansApart,
		"Empty/takes any DeleteRange":                          meansInmemMax,
		"GetLog/returns slices that are the caller's":          meansInmemShares,
		"StoreLogs/takes a batch in any order":                 meansInmemBounds,
		"StoreLogs/takes an index below the first":             meansInmemBounds,
		"StoreLogs/takes the highest indexes":                  meansInmemMax,
		"StoreLogs/lets the caller reuse its buffers":          meansInmemShares,
		"DeleteRange/deletes what is there and keeps the rest": meansInmemMax,
		"DeleteRange/takes a log with gaps":                    meansInmemMax,
		"DeleteRange/can empty the log and start lower":        meansInmemMax,
		"Stable/keeps an empty value apart from a missing one": "A key that was set to nil is missing afterwards; raft never sets one.",
		"Stable/copies what it is given":                       meansInmemShares,
		"Stable/keeps apart from the log":                      meansInmemMax,
		"Random/operations agree with the model":               meansInmemBounds,
	},
}
