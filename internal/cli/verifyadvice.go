package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	// startAnew is what helps a peer whose store is damaged.
	startAnew = "stop the peer, keep the store under another name, start it with an empty one, and let it join the cluster again as a new server: the others have what it lost"

	// startAllAnew is what helps a peer of many raft groups when the log that they share does not open.
	startAllAnew = "stop the peer, keep the folder under another name, start all of its raft groups with an empty one, and let each join again as a new server: the other peers have what was lost"

	// nothingOut is why nothing else does.
	nothingOut = "nothing can be taken out of it with this release"
)

// losses say what is lost of this store, and of one that does not open all there is to say.
func (v *verdict) losses() (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if v.OK && v.engine.blind != "" {
		add("note: %s", v.engine.blind)
	}
	if !v.Opens {
		return append(lines, v.closed()...)
	}
	if len(v.lost) > 0 {
		opens := ", and the store opens"
		switch {
		case v.engine.refused != "":
			opens = ""
		case v.shared:
			opens = ", and the group opens"
		}
		add("lost: %s %s; all others can be read%s", plural(v.lost, "entry", "entries"), rangesText(v.lost), opens)
	} else if len(v.Damaged) > 0 {
		add("lost: no entry that the store knows of; it opens")
	}
	if v.stableUnsure {
		add("lost as well: stable values, as the term and the vote")
	}
	if v.endUnsure {
		add("lost perhaps: the entries that were stored last, and the last term or vote")
	}
	return lines
}

// closed is what there is to say of a store that does not open.
func (v *verdict) closed() (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch {
	case v.repair != nil:
		add("what it means: a peer cannot start with this store")
		add("can be kept: %s", v.repair.keptText())
		lines = append(lines, v.repair.lossLines()...)
		if v.repair.Loses {
			add("what to do: %s; `ballast repair %s` says what else there is", startAnew, v.Store)
		} else {
			add("what to do: `ballast repair --write %s`, with which nothing is lost", v.Store)
		}
	case v.shared:
		add("lost: all raft groups of it for this peer: none can start with this log, and %s", nothingOut)
		add("what to do: %s", startAllAnew)
	default:
		add("lost: all of it for this peer, as long as the damage is there: a peer cannot start with this store")
		add("what to do: %s", startAnew)
	}
	return lines
}

// advice says what the damage of stores that open means, and what to do: once for all of them, which are raft groups of one log when they are several.
func advice(of ...*verdict) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	of = slices.DeleteFunc(slices.Clone(of), func(v *verdict) bool { return !v.Opens })
	if slices.ContainsFunc(of, func(v *verdict) bool { return len(v.lost) > 0 }) {
		who, when := "a peer", ""
		if of[0].engine.refused != "" {
			when = ", or " + of[0].engine.refused
		}
		if of[0].shared {
			who = "the raft of such a group"
		}
		add("what it means: %s cannot start when one of them is newer than its newest snapshot%s; otherwise it stops, or cannot help a follower, as soon as that one is asked for", who, when)
	}
	var damaged []string
	for _, v := range of {
		if len(v.Damaged) > 0 {
			damaged = append(damaged, strconv.FormatUint(v.at.engine.group.id, 10))
		}
	}
	switch {
	case len(damaged) == 0:
	case of[0].shared:
		add("what to do: %s", dropText(of[0].at.name(), damaged))
	default:
		add("what to do: %s", startAnew)
	}
	if slices.ContainsFunc(of, func(v *verdict) bool { return len(v.TermsFall) > 0 }) {
		add("what falling terms mean: no raft peer writes that; the log may be put together from two, and what is above the fall should not be trusted")
	}
	return lines
}

// dropText is what helps raft groups that are damaged, of a log that they share with good ones.
func dropText(log string, ids []string) string {
	which := "raft group " + ids[0] + ": "
	if n := len(ids); n > 1 {
		which = "raft groups " + strings.Join(ids[:min(n, maxIDs)], ", ")
		if n > maxIDs {
			which += fmt.Sprintf(" and %d more", n-maxIDs)
		}
		which += ": of each "
	}
	return fmt.Sprintf("%sshut down its raft, delete the group, with Drop of wal.Groups while the others run or `ballast drop --group %s --force %s` while nobody has the log open, "+
		"and let its peer join that group again as a new server; the other groups are not affected", which, ids[0], log)
}
