package ballast

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// ErrCopyDiffers is matched by the error of VerifyCopy when the copy is not what its source is.
var ErrCopyDiffers = errors.New("ballast: the copy differs from its source")

// VerifyCopy reads all of src again and compares dst with it, entry by entry: every field of each, that there is no
// other, the commit index, and the stable state. opts are those of [Copy]; what is counted is what was compared.
// No one may write to either meanwhile.
//
// An error matches [ErrCopyDiffers] when dst holds anything else than what Copy has to put there; others come from
// reading src or dst, or from ctx.
func VerifyCopy(ctx context.Context, dst Store, src Source, opts *CopyOptions) (CopyProgress, error) {
	if opts == nil {
		opts = &CopyOptions{}
	}
	v := verifier{copier: newCopier(dst, src, opts)}
	v.there, _ = dst.(Inspector)
	if err := v.log(ctx); err != nil {
		return v.done, err
	}
	return v.done, v.stable(ctx)
}

// verifier reads the source as copier does.
type verifier struct {
	*copier
	there Inspector // the copy; nil when it is none
}

func differs(format string, args ...any) error {
	return fmt.Errorf("%w: %w; copy it again", ErrCopyDiffers, fmt.Errorf(format, args...))
}

func (v *verifier) log(ctx context.Context) error {
	if err := v.bounds(); err != nil {
		return err
	}
	first, err1 := v.dst.FirstIndex()
	last, err2 := v.dst.LastIndex()
	commit, err3 := v.dst.GetCommitIndex()
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("verifying the copy: %w", err)
	}
	if first != v.first || last != v.last {
		return differs("it has entries from %d to %d, and there are %d to %d", first, last, v.first, v.last)
	}
	if want := min(v.commit, v.last); commit != want {
		return differs("its commit index is %d, should be %d", commit, want)
	}
	if v.last == 0 {
		return nil
	}
	return v.walk(ctx, v.entry)
}

// entry compares one entry, and looks at what is between the one before it and this one.
func (v *verifier) entry(want *raft.Log) error {
	var got raft.Log
	switch err := v.dst.GetLog(want.Index, &got); {
	case errors.Is(err, raft.ErrLogNotFound):
		return differs("entry %d is missing", want.Index)
	case err != nil:
		return fmt.Errorf("verifying entry %d of the copy: %w", want.Index, err)
	}
	if field := differentField(want, &got); field != "" {
		return differs("%s of entry %d", field, want.Index)
	}
	if v.there != nil && v.done.Index+1 < want.Index && v.done.Index != 0 {
		next, err := v.there.NextIndex(v.done.Index + 1)
		if err != nil {
			return fmt.Errorf("verifying the copy: %w", err)
		}
		if next != want.Index {
			return differs("entry %d should not be there", next)
		}
	}
	v.done.Entries++
	v.done.Bytes += entryBytes(want)
	v.done.Index = want.Index
	if v.opts.Progress != nil && v.done.Entries%copyBatchEntries == 0 {
		v.opts.Progress(v.done)
	}
	return nil
}

// differentField names the first field in which two entries differ. An empty slice is as good as nil, as it is to raft.
func differentField(a, b *raft.Log) string {
	switch {
	case a.Index != b.Index:
		return "the index"
	case a.Term != b.Term:
		return "the term"
	case a.Type != b.Type:
		return "the type"
	case !bytes.Equal(a.Data, b.Data):
		return "the data"
	case !bytes.Equal(a.Extensions, b.Extensions):
		return "the extensions"
	case !a.AppendedAt.Equal(b.AppendedAt):
		return "the time"
	}
	return ""
}

func (v *verifier) stable(ctx context.Context) error {
	copied := map[string]bool{}
	err := v.eachStable(ctx, func(key []byte, want stableValue) error {
		copied[string(key)] = true
		return v.value(key, want)
	})
	if err != nil || v.there == nil {
		return err
	}
	keys, err := v.there.StableKeys()
	if err != nil {
		return fmt.Errorf("verifying the stable keys of the copy: %w", err)
	}
	for _, key := range keys {
		if !copied[string(key)] {
			return differs("the stable key %q should not be there", key)
		}
	}
	return nil
}

func (v *verifier) value(key []byte, want stableValue) (err error) {
	got := stableValue{isNumber: want.isNumber}
	if want.isNumber {
		got.number, err = v.dst.GetUint64(key)
	} else {
		got.bytes, err = v.dst.Get(key)
	}
	switch {
	case isNotFound(err):
		return differs("it is missing")
	case err != nil:
		return fmt.Errorf("verifying the copy: %w", err)
	case got.number != want.number || !bytes.Equal(got.bytes, want.bytes):
		return differs("the value is another")
	}
	return nil
}
