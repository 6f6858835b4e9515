package cli

import (
	"fmt"
	"io"

	"github.com/raft-ballast/ballast/wal"
)

// sharedVerdict is what `ballast verify --json` prints of a wal that several raft groups share.
type sharedVerdict struct {
	Store   outside    `json:"store"`
	Engine  string     `json:"engine"`
	OK      bool       `json:"ok"`
	Opens   bool       `json:"opens"`
	Entries uint64     `json:"entries"`      // of all groups, with the damaged ones
	Read    uint64     `json:"entries_read"` // without them
	Groups  []*verdict `json:"groups"`

	LinkedFiles int `json:"linked_files,omitempty"` // with more than one link

	// Unfinished are groups that a migration has begun. No peer can use them, and they are not read.
	Unfinished []uint64 `json:"unfinished,omitempty"`
}

func runSharedVerify(s streams, log *sharedLog, asJSON bool) (err error) {
	defer closing(log, &err)
	v := &sharedVerdict{Store: log.exact(), Engine: log.engine.name, OK: true, Opens: true, Groups: []*verdict{}}
	err = log.each(func(_ wal.GroupInfo, src *source) error {
		of := newVerdict(src.place)
		of.Opens, of.shared = true, true
		if err := of.examineSource(s, src); err != nil {
			return err
		}
		of.judge()
		v.OK = v.OK && of.OK
		v.Entries += of.Entries
		v.Read += of.Read
		v.Groups = append(v.Groups, of)
		return nil
	}, func(info wal.GroupInfo) error {
		v.Unfinished = append(v.Unfinished, info.ID)
		return nil
	})
	if err != nil {
		return err
	}
	v.LinkedFiles = log.linkedFiles()
	if asJSON {
		err = writeJSON(s.out, v)
	} else {
		err = v.write(s.out)
	}
	if err == nil && !v.OK {
		err = exitStatus(ExitCorrupt)
	}
	return err
}

// write shows it to people: all together, and then each group about which there is something to say.
func (v *sharedVerdict) write(w io.Writer) error {
	bad := 0
	var lines []string
	for _, of := range v.Groups {
		if !of.OK {
			bad++
		}
		if !of.OK || len(of.Gaps) > 0 || of.HalfPeer != "" {
			lines = append(lines, of.found()...)
		}
	}
	for _, id := range v.Unfinished {
		lines = append(lines, fmt.Sprintf("%s --group %d: unfinished, what a migration has begun; start that again", v.Store, id))
	}
	if v.LinkedFiles > 0 {
		lines = append(lines, "note: "+linkedText(v.Engine, v.LinkedFiles))
	}
	lines = append(lines, advice(v.Groups...)...)
	state := "good"
	if bad > 0 {
		state = countText(bad, "raft group is", "raft groups are") + " not good"
	}
	head := fmt.Sprintf("%s: %s, %s read of %s", v.Store, state, readText(v.Read, v.Entries), countText(len(v.Groups), "raft group", "raft groups"))
	return writeLines(w, append([]string{head}, lines...)...)
}
