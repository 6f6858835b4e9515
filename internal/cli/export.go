package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hashicorp/raft"
	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast/internal/export"
	sites "github.com/raft-ballast/ballast/internal/place"
	"github.com/raft-ballast/ballast/internal/vfs"
)

const exportLong = `Writes all of a store to one file: every entry with all its fields, the gaps, the stable values and the
commit index. The file is compressed and has checksums, and every engine and every machine takes it;
docs/EXPORT-FORMAT.md describes it. 'ballast import' makes a store of it.

FILE gets its name when it is complete, and must not be there yet; - is standard output. What is damaged
is not exported: the command ends with exit status 2, and nothing is left. A wal may be in use; when its
peer deletes or replaces entries meanwhile that were still to come, the command fails, and 'ballast backup'
makes a copy to export from.

With --json it is one object: store, file, entries, first_index, last_index, commit_index,
stable_values, bytes of the file, seconds, and half_peer where the store is no whole peer: the reason.

` + exitHelp

const exportExample = `  ballast export /var/lib/app/raft peer-1.ballast
  ballast export wal:/var/lib/app/wal - | ssh host ballast import - bolt:/var/lib/app/raft.db`

func newExport(s streams) *cobra.Command {
	var asJSON bool
	var group groupFlag
	cmd := &cobra.Command{
		Use:     "export STORE FILE",
		Short:   "Write all of a store to one portable file",
		Long:    exportLong,
		Example: exportExample,
		Args:    func(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, 2, "a store and a file") },
		RunE: func(_ *cobra.Command, args []string) error {
			if asJSON && args[1] == stdName {
				return usagef("--json prints to standard output, where the file goes; give the file a name")
			}
			return runExport(s, args[0], group, args[1], asJSON)
		},
	}
	group.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object of JSON")
	return cmd
}

// stdName stands for standard input or output.
const stdName = "-"

// carriedJSON is what `ballast export --json` and `ballast import --json` print.
type carriedJSON struct {
	Store       outside `json:"store"`
	File        outside `json:"file"`
	Entries     uint64  `json:"entries"`
	FirstIndex  uint64  `json:"first_index"`
	LastIndex   uint64  `json:"last_index"`
	CommitIndex uint64  `json:"commit_index"`
	Stable      uint64  `json:"stable_values"`
	Bytes       int64   `json:"bytes"` // of the file
	Seconds     float64 `json:"seconds"`
	HalfPeer    string  `json:"half_peer,omitempty"` // why no peer may run on it
}

// notes is a line about half a peer, none for a whole one.
func (c *carriedJSON) notes() []string {
	if c.HalfPeer == "" {
		return nil
	}
	return []string{halfText(c.HalfPeer)}
}

func (c *carriedJSON) text() string {
	what := "no entries"
	if c.Entries > 0 {
		what = fmt.Sprintf("%s from %d to %d", countText(c.Entries, "entry", "entries"), c.FirstIndex, c.LastIndex)
	}
	return fmt.Sprintf("%s, %s, commit index %d", what, countText(c.Stable, "stable value", "stable values"), c.CommitIndex)
}

func runExport(s streams, name string, group groupFlag, file string, asJSON bool) (err error) {
	ctx, stop := interruptible(context.Background())
	defer stop()
	src, err := openGroup(name, group)
	if err != nil {
		return err
	}
	defer closing(src, &err)
	if err := src.whole(); err != nil {
		return fmt.Errorf("nothing was exported: %w", err)
	}
	begun := time.Now()
	out := &carriedJSON{Store: src.exact(), File: outside(file)}
	if file == stdName {
		if s.out.terminal() {
			return usagef("what is exported is no text, and standard output is a terminal; give a file, or a pipe")
		}
		err := out.export(ctx, s, src, s.out.raw())
		if err == nil {
			err = s.out.flush()
		}
		if err == nil && out.HalfPeer != "" {
			err = writeLines(s.err, "ballast: "+halfText(out.HalfPeer))
		}
		if failed := s.out.failed(); failed != nil {
			return failed // and not that the end of a pipe has interrupted this
		}
		return interrupted(ctx, err, "what was written is not complete, and `ballast import` refuses it")
	}
	if err := out.toFile(ctx, s, src, file); err != nil {
		return err
	}
	out.Seconds = time.Since(begun).Seconds()
	s.done()
	if asJSON {
		return writeJSON(s.out, out)
	}
	return writeLines(s.out, append([]string{fmt.Sprintf("%s: %s, in %s", out.File, out.text(), sizeText(out.Bytes))}, out.notes()...)...)
}

// toFile writes a file that gets its name when it is complete.
func (c *carriedJSON) toFile(ctx context.Context, s streams, src *source, file string) (err error) {
	if err := checkFolder("the file", file); err != nil {
		return err
	}
	site, err := sites.Begin(file)
	if err != nil {
		return err
	}
	defer site.Abandon()
	f, err := os.OpenFile(site.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(c.export(ctx, s, src, f), f.Close()); err != nil {
		return exportError(ctx, err, file)
	}
	return site.Commit()
}

func exportError(ctx context.Context, err error, file string) error {
	if vfs.IsNoSpace(err) {
		return fmt.Errorf("%w; nothing is left of %s: make room, or give a file on another disk", err, file)
	}
	return interrupted(ctx, err, "nothing is left of "+file)
}

// export writes a store. What it holds is read as it was when it was opened, or not at all.
func (c *carriedJSON) export(ctx context.Context, s streams, src *source, w io.Writer) (err error) {
	reading := src.reading()
	if c.FirstIndex, c.LastIndex, err = src.bounds(); err != nil {
		return err
	}
	if c.CommitIndex, err = src.GetCommitIndex(); err != nil {
		return fmt.Errorf("reading the commit index: %w", err)
	}
	stable, err := readStable(src)
	if err != nil {
		return err
	}
	c.HalfPeer = half(src, src)
	counted := &countingWriter{w: w}
	out, err := export.NewWriter(counted, export.Store{
		FirstIndex: c.FirstIndex, LastIndex: c.LastIndex, CommitIndex: min(c.CommitIndex, c.LastIndex), Engine: src.engine.name,
	})
	if err != nil {
		return err
	}
	if err := c.exportEntries(ctx, s, src, reading, out); err != nil {
		return err
	}
	for _, v := range stable.values {
		if err := out.Stable([]byte(v.key), v.portable()); err != nil {
			return err
		}
		c.Stable++
	}
	err = out.Close()
	c.Bytes = counted.n
	return err
}

// reading is another number when what the source shows is not what it showed before: a wal is as it was when it was opened, unless its peer
// deletes or replaces entries and uses their place again.
func (s *source) reading() uint64 {
	if log, ok := s.readStore.(interface{ Readings() uint64 }); ok {
		return log.Readings()
	}
	return 0
}

func (c *carriedJSON) exportEntries(ctx context.Context, s streams, src *source, reading uint64, out *export.Writer) error {
	shown := newReading(s, c.FirstIndex, c.LastIndex)
	shown.what = "exporting"
	defer shown.finish()
	for next := c.FirstIndex; c.LastIndex != 0; {
		index, err := src.NextIndex(next)
		if err != nil {
			return fmt.Errorf("looking for the entry behind %d: %w", next-1, err)
		}
		log := new(raft.Log)
		if err = src.GetLog(index, log); err != nil && !errors.Is(err, raft.ErrLogNotFound) {
			return fmt.Errorf("reading entry %d: %w", index, err)
		}
		if err != nil || index == 0 || src.reading() != reading {
			return errors.New("the peer has deleted or replaced entries meanwhile; try again, or export from a copy that `ballast backup` makes")
		}
		if err := errors.Join(out.Entry(log), ctx.Err()); err != nil {
			return err
		}
		c.Entries++
		shown.at(index)
		if index == c.LastIndex {
			break
		}
		next = index + 1
	}
	return nil
}

// portable is the value as every engine but raft-wal has it: numbers in big-endian order.
func (v stableValue) portable() []byte {
	if v.known && v.key != lastVoteCandKey {
		return uint64Bytes(v.number)
	}
	return v.bytes
}

// countingWriter counts what is written.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
