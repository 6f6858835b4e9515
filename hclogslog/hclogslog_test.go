package hclogslog_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/raft-ballast/ballast/hclogslog"
	"github.com/raft-ballast/ballast/wal"
)

// What docs/OPERATIONS.md shows.
func Example() {
	dir := "/var/lib/service/raft"
	logger := hclog.Default()
	store, err := wal.Open(dir, &wal.Options{Logger: hclogslog.New(logger)})
	if err != nil {
		return
	}
	defer store.Close()
}

type lazy struct{}

func (lazy) LogValue() slog.Value { return slog.IntValue(7) }

func TestRecords(t *testing.T) {
	for _, c := range []struct {
		name string
		log  func(*slog.Logger)
		want string
	}{
		{"levels", func(l *slog.Logger) {
			l.Log(t.Context(), slog.LevelDebug-4, "a")
			l.Debug("b")
			l.Info("c")
			l.Warn("d")
			l.Error("e")
			l.Log(t.Context(), slog.LevelWarn+1, "f")
		}, "[TRACE] raft: a\n[DEBUG] raft: b\n[INFO]  raft: c\n[WARN]  raft: d\n[ERROR] raft: e\n[WARN]  raft: f\n"},
		{"attributes", func(l *slog.Logger) { l.Info("m", "dir", "/raft", "n", 3, "err", errors.New("EIO"), "lazy", lazy{}) },
			"[INFO]  raft: m: dir=/raft n=3 err=EIO lazy=7\n"},
		{"with", func(l *slog.Logger) { l.With("a", 1).With("b", 2).Info("m", "c", 3) }, "[INFO]  raft: m: a=1 b=2 c=3\n"},
		{"groups", func(l *slog.Logger) {
			l.WithGroup("g").With("a", 1).WithGroup("").WithGroup("h").Info("m", "b", 2, slog.Group("i", "c", 3), slog.Group("", "d", 4), slog.Group("empty"))
		}, "[INFO]  raft: m: g.a=1 g.h.b=2 g.h.i.c=3 g.h.d=4\n"},
		{"an empty attribute", func(l *slog.Logger) { l.Info("m", slog.Attr{}) }, "[INFO]  raft: m\n"},
	} {
		var out bytes.Buffer
		c.log(hclogslog.New(hclog.New(&hclog.LoggerOptions{Name: "raft", Level: hclog.Trace, Output: &out, DisableTime: true})))
		if got := out.String(); got != c.want {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
}

// What hclog leaves out is not even made.
func TestEnabled(t *testing.T) {
	to := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: io.Discard})
	l := hclogslog.New(to)
	if l.Enabled(t.Context(), slog.LevelInfo) || !l.Enabled(t.Context(), slog.LevelWarn) {
		t.Error("the level is not that of hclog")
	}
	to.SetLevel(hclog.Debug)
	if !l.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("the level of hclog has changed, and this has not")
	}
	to.SetLevel(hclog.Off)
	if l.Enabled(t.Context(), slog.LevelError) {
		t.Error("hclog is off, and this is not")
	}
}
