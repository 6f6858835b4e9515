package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// build makes a new store of the engine at a path, with all that is in src, and reads it again to see that it is the same.
func build(ctx context.Context, s streams, e engine, path string, src *source) (err error) {
	first, last, err := src.bounds()
	if err != nil {
		return err
	}
	dst, err := e.open(path)
	if err != nil {
		return err
	}
	shown := newReading(s, 0, last-first+1)
	shown.what = "writing"
	_, err = ballast.Copy(ctx, dst, src, &ballast.CopyOptions{Progress: func(p ballast.CopyProgress) { shown.look(p.Entries) }})
	shown.finish()
	if err = errors.Join(err, dst.Close()); err != nil {
		return err
	}
	got, err := place{e, path}.open()
	if err != nil {
		return err
	}
	defer closing(got, &err)
	return sameStore(ctx, s, src, got)
}

// sameStore returns an error when two stores do not hold the same.
func sameStore(ctx context.Context, s streams, want, got *source) error {
	first, last, err := want.bounds()
	if err != nil {
		return err
	}
	shown := newReading(s, first, last)
	shown.what = "checking"
	defer shown.finish()
	for a, b := want.cursor(first, last), got.cursor(0, ^uint64(0)); ; {
		x, err := a.step()
		y, err2 := b.step()
		if err == io.EOF && err2 == io.EOF {
			break
		}
		if err = errors.Join(err, err2, ctx.Err()); err != nil {
			return fmt.Errorf("checking what was written: %w", err)
		}
		if !sameEntry(x, y) {
			return fmt.Errorf("checking what was written: entry %d comes back as another one; nothing was changed, try another disk", x.Index)
		}
		shown.at(a.next)
	}
	commit, err := want.GetCommitIndex()
	commit2, err2 := got.GetCommitIndex()
	if err = errors.Join(err, err2); err == nil && commit != commit2 {
		err = fmt.Errorf("checking what was written: the commit index comes back as %d, it was %d", commit2, commit)
	}
	return errors.Join(err, sameStable(want, got))
}

func sameEntry(a, b *raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && bytes.Equal(a.Data, b.Data) &&
		bytes.Equal(a.Extensions, b.Extensions) && a.AppendedAt.Equal(b.AppendedAt)
}

func sameStable(want, got *source) error {
	a, err := readStable(want)
	b, err2 := readStable(got)
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	if !slices.EqualFunc(a.values, b.values, func(x, y stableValue) bool { return x.key == y.key && bytes.Equal(x.bytes, y.bytes) }) {
		return errors.New("checking what was written: the stable values come back as others; nothing was changed, try another disk")
	}
	return nil
}
