package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/raft-ballast/ballast/internal/engine"
)

// Formats of badger v4.9.6 that mean more than a message. A test fails when a new badger has others.
const (
	// The value log's sync failed. Badger goes on and acknowledges the write.
	formatSyncFailed = "Error while curlf sync: %v\n"
	// The garbage collection is about to rewrite a file.
	formatRewriting = "Rewriting fid: %d"
	// The garbage collection has moved what lives and is about to remove the file. Badger looks at
	// nothing between.
	formatRemoving = "Removing fid: %d"
	// A memtable cannot be written to a table. Badger tries again every second, for ever.
	formatFlushFailed = "error flushing memtable to disk: %v, retrying"
)

// errGCStopped unwinds badger's garbage collection before it removes a file.
var errGCStopped = errors.New("badgerstore: the value log's garbage collection was stopped, since a write had failed, or a file is damaged")

// logAdapter is badger's logger. It also is the only place where some of badger's failures can be seen.
type logAdapter struct {
	out    *slog.Logger // nil for silence
	latch  *engine.Latch
	folder *folder

	// beforeRewrite and beforeRemoval are called by the garbage collection's goroutine, before it looks
	// at a file and before it removes it. They are set before that runs.
	beforeRewrite func(file uint32) error
	beforeRemoval func() error

	stopped atomic.Pointer[error] // why the garbage collection was stopped

	flushFailures atomic.Int64
	lastFailure   atomic.Pointer[flushFailure]
}

// flushFailure is that badger could not write a memtable to a table.
type flushFailure struct {
	at  time.Time
	err error
}

// flushRetry is longer than badger waits between two tries: without a failure for that long, the last
// one succeeded.
const flushRetry = 3 * time.Second

// flushing returns why badger cannot write its memory to tables at present. A write would fill that
// memory up, and then wait in badger until it can.
func (l *logAdapter) flushing() error {
	if f := l.lastFailure.Load(); f != nil && time.Since(f.at) < flushRetry {
		return fmt.Errorf("badgerstore: badger cannot write its tables at present: %w", f.err)
	}
	return nil
}

func (l *logAdapter) Errorf(format string, args ...any) {
	switch format {
	case formatSyncFailed:
		err := l.folder.named(firstError(args))
		l.latch.Fail(fmt.Errorf("badgerstore: sync of the value log: %w", err))
	case formatFlushFailed:
		l.flushFailures.Add(1)
		l.lastFailure.Store(&flushFailure{time.Now(), l.folder.named(firstError(args))})
	}
	l.print(slog.LevelError, format, args)
}

func (l *logAdapter) Warningf(format string, args ...any) { l.print(slog.LevelWarn, format, args) }

// Infof panics to stop a garbage collection: badger holds no lock there, and Store.collect recovers it.
func (l *logAdapter) Infof(format string, args ...any) {
	switch {
	case format == formatRewriting && l.beforeRewrite != nil:
		if err := l.beforeRewrite(fileNumber(args)); err != nil {
			l.stop(err)
		}
	case format == formatRemoving && l.beforeRemoval != nil:
		if err := l.beforeRemoval(); err != nil {
			l.stop(err)
		}
	}
	l.print(slog.LevelInfo, format, args)
}

// stop unwinds the garbage collection.
func (l *logAdapter) stop(err error) {
	l.stopped.Store(&err)
	panic(errGCStopped)
}

// whyStopped returns why it was unwound.
func (l *logAdapter) whyStopped() error {
	if err := l.stopped.Load(); err != nil {
		return *err
	}
	return errGCStopped
}

func (l *logAdapter) Debugf(format string, args ...any) { l.print(slog.LevelDebug, format, args) }

func (l *logAdapter) print(level slog.Level, format string, args []any) {
	ctx := context.Background()
	if l.out == nil || !l.out.Enabled(ctx, level) {
		return
	}
	text := l.folder.text(strings.TrimSpace(fmt.Sprintf(format, args...)))
	l.out.Log(ctx, level, text, "component", "badger")
}

// fileNumber returns badger's number of a value log file.
func fileNumber(args []any) uint32 {
	for _, arg := range args {
		if n, ok := arg.(uint32); ok {
			return n
		}
	}
	return 0 // there is no such file, and so nothing is collected
}

func firstError(args []any) error {
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			return err
		}
	}
	return fmt.Errorf("%v", args)
}
