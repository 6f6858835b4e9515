package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hashicorp/raft"
	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/export"
)

const importLong = `Makes a new store of a file that 'ballast export' has written, on any engine: wal:DIR, bolt:FILE or
badger:DIR. It gets its name when it is complete, was read again and is the same as the file says; it must
not be there yet, but for an empty folder that is a mount point: then it is made in that. FILE may be - for standard input.

A file that is damaged, or that ends too early, ends the command with exit status 2, one of a later
format with 1; then nothing is left of the store.

A peer must not come back with an older log, term or vote than it had: see 'ballast repair --help' on
what raft counts on. A store of an export is for a peer that has lost nothing since, for a look into it,
or for the last resort.

With --json it is one object, the one that 'ballast export --json' prints.

` + exitHelp

const importExample = `  ballast import peer-1.ballast wal:/var/lib/app/wal
  ssh host ballast export /var/lib/app/raft - | ballast import - bolt:look.db`

func newImport(s streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "import FILE STORE",
		Short:   "Make a store of a file that was exported",
		Long:    importLong,
		Example: importExample,
		Args:    func(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, 2, "a file and a store") },
		RunE:    func(_ *cobra.Command, args []string) error { return runImport(s, args[0], args[1], asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object of JSON")
	return cmd
}

func runImport(s streams, file, name string, asJSON bool) error {
	ctx, stop := interruptible(context.Background())
	defer stop()
	return importFile(ctx, s, file, name, asJSON)
}

func importFile(ctx context.Context, s streams, file, name string, asJSON bool) error {
	at, err := newPlace(name)
	if err != nil {
		return err
	}
	in := s.in
	if file != stdName {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("there is nothing to import: %w; check the path", err)
		}
		defer f.Close() // it was only read from
		in = f
	}
	begun := time.Now()
	i := &importing{ctx: ctx, s: s, at: at, out: carriedJSON{Store: at.exact(), File: outside(file)}}
	if err := i.run(in); err != nil {
		return interrupted(ctx, err, "nothing is left of "+at.String())
	}
	i.out.Seconds = time.Since(begun).Seconds()
	s.done()
	if asJSON {
		return writeJSON(s.out, i.out)
	}
	return writeLines(s.out, append([]string{fmt.Sprintf("%s: %s, each read again", at, i.out.text())}, i.out.notes()...)...)
}

// importing is a store in the making.
type importing struct {
	ctx context.Context
	s   streams
	at  place
	out carriedJSON

	in     *export.Reader
	dst    ballast.Store
	shown  *reading
	batch  []*raft.Log
	bytes  int
	stable []export.Item
	sum    entrySum // of what the file has
}

const (
	importEntries = 512
	importBytes   = 4 << 20
)

func (i *importing) run(in io.Reader) (err error) {
	counted := &countingReader{r: bufio.NewReaderSize(in, importBytes)}
	if i.in, err = export.NewReader(counted, string(i.out.File)); err != nil {
		return err
	}
	site, err := i.at.begin()
	if err != nil {
		return err
	}
	defer site.Abandon()
	if i.dst, err = i.at.engine.open(site.Path); err != nil {
		return err
	}
	i.shown = newReading(i.s, i.in.Store.FirstIndex, i.in.Store.LastIndex)
	i.shown.what = "importing"
	err = errors.Join(i.copy(), i.dst.Close())
	i.shown.finish()
	if err != nil {
		return err
	}
	if err := i.check(place{i.at.engine, site.Path}); err != nil {
		return fmt.Errorf("checking what was written: %w", err)
	}
	i.out.FirstIndex, i.out.LastIndex, i.out.CommitIndex = i.in.Store.FirstIndex, i.in.Store.LastIndex, i.in.Store.CommitIndex
	i.out.Bytes = counted.n
	return site.Commit()
}

// copy takes over what the file has. Stable values come last, as in ballast.Copy.
func (i *importing) copy() error {
	for {
		item, err := i.in.Next()
		if err == io.EOF {
			break
		}
		if err = errors.Join(err, i.ctx.Err()); err != nil {
			return err
		}
		if item.Log == nil {
			i.stable = append(i.stable, item)
			continue
		}
		i.sum.add(item.Log)
		i.batch = append(i.batch, item.Log)
		if i.bytes += len(item.Log.Data) + len(item.Log.Extensions); len(i.batch) == importEntries || i.bytes >= importBytes {
			if err := i.flush(); err != nil {
				return err
			}
		}
	}
	if err := i.flush(); err != nil {
		return err
	}
	for _, item := range i.stable {
		if err := i.dst.Set(item.Key, item.Value); err != nil {
			return fmt.Errorf("the stable value %q: %w", item.Key, err)
		}
		i.out.Stable++
	}
	return nil
}

func (i *importing) flush() error {
	if len(i.batch) == 0 {
		return nil
	}
	last := i.batch[len(i.batch)-1].Index
	if commit := i.in.Store.CommitIndex; commit != 0 {
		if err := i.dst.StageCommitIndex(commit); err != nil {
			return err
		}
	}
	if err := i.dst.StoreLogs(i.batch); err != nil {
		return fmt.Errorf("storing the entries up to %d: %w", last, err)
	}
	i.out.Entries += uint64(len(i.batch))
	i.batch, i.bytes = i.batch[:0], 0
	i.shown.look(last)
	return nil
}

var errOther = errors.New("the store is not what the file says; nothing was changed, try another disk")

// check reads the store again.
func (i *importing) check(at place) (err error) {
	got, err := at.open()
	if err != nil {
		return err
	}
	defer closing(got, &err)
	var sum entrySum
	first, last, err := got.bounds()
	if err != nil {
		return err
	}
	shown := newReading(i.s, first, last)
	shown.what = "checking"
	err = got.scan(shown, first, last, func(log *raft.Log) error {
		sum.add(log)
		return i.ctx.Err()
	}, func(d damageJSON) error { return fmt.Errorf("%w: %s", ballast.ErrCorrupt, d.line()) })
	commit, err2 := got.GetCommitIndex()
	stable, err3 := readStable(got)
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	if sum.total() != i.sum.total() || commit != i.in.Store.CommitIndex || len(stable.values) != len(i.stable) {
		return errOther
	}
	for n, v := range stable.values {
		if v.key != string(i.stable[n].Key) || !bytes.Equal(v.bytes, i.stable[n].Value) {
			return errOther
		}
	}
	i.out.HalfPeer = half(got, got)
	return nil
}

func uint64Bytes(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// countingReader counts what is read.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}
