package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestExportOnFullDisk(t *testing.T) {
	err := exportError(t.Context(), &fs.PathError{Op: "write", Path: "file", Err: syscall.ENOSPC}, "file")
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "nothing is left of file: make room") {
		t.Errorf("%v", err)
	}
}

// Ctrl-C is no error of somebody else's, and what was begun is gone.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	must(t, openLog(t, filepath.Join(dir, "wal")).StoreLog(command(1, 1)))
	s := newStreams(strings.NewReader(""), new(strings.Builder), new(strings.Builder))
	src, err := openSource("wal:" + filepath.Join(dir, "wal"))
	must(t, err)
	defer src.Close()
	file := filepath.Join(dir, "file")
	must(t, new(carriedJSON).toFile(t.Context(), s, src, file))

	ctx, stop := context.WithCancel(t.Context())
	stop()
	for name, do := range map[string]func() error{
		"export": func() error { return new(carriedJSON).toFile(ctx, s, src, filepath.Join(dir, "other")) },
		"import": func() error { return importFile(ctx, s, file, "wal:"+filepath.Join(dir, "new"), false) },
		"backup": func() error { return backUp(ctx, s, src.place, filepath.Join(dir, "copy"), false) },
	} {
		if err := do(); err == nil || !strings.HasPrefix(err.Error(), "interrupted; nothing is left of ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := interrupted(ctx, errors.New("another"), "x"); err == nil || err.Error() != "another" {
		t.Errorf("what is not for the interruption: %v", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("there are %v, %v", names, err)
	}
	if err := interrupted(t.Context(), fmt.Errorf("x: %w", context.Canceled), "y"); !errors.Is(err, context.Canceled) {
		t.Errorf("where nobody has interrupted anything: %v", err)
	}
}
