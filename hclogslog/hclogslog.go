// Package hclogslog lets what logs through log/slog, as Ballast's stores do, write to an hclog.Logger, which raft and those who use it have.
//
//	store, err := wal.Open(dir, &wal.Options{Logger: hclogslog.New(logger)})
//
// Levels below slog's Debug are hclog's Trace. Groups become prefixes of keys: a.b. The time is that of hclog.
package hclogslog

import (
	"context"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// New returns a logger that writes to l. It is enabled for what l is enabled for at the time.
func New(l hclog.Logger) *slog.Logger { return slog.New(&handler{to: l}) }

// handler is a slog.Handler.
type handler struct {
	to     hclog.Logger
	prefix string // of keys: the open groups, each with a dot behind it
}

func level(l slog.Level) hclog.Level {
	switch {
	case l < slog.LevelDebug:
		return hclog.Trace
	case l < slog.LevelInfo:
		return hclog.Debug
	case l < slog.LevelWarn:
		return hclog.Info
	case l < slog.LevelError:
		return hclog.Warn
	}
	return hclog.Error
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return level(l) >= h.to.GetLevel() }

// Handle implements slog.Handler.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	args := make([]any, 0, 2*r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		args = appendAttr(args, h.prefix, a)
		return true
	})
	h.to.Log(level(r.Level), r.Message, args...)
	return nil
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var args []any
	for _, a := range attrs {
		args = appendAttr(args, h.prefix, a)
	}
	return &handler{to: h.to.With(args...), prefix: h.prefix}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &handler{to: h.to, prefix: h.prefix + name + "."}
}

// appendAttr adds a key and a value, or those of a group.
func appendAttr(args []any, prefix string, a slog.Attr) []any {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		if a.Key == "" && v.Equal(slog.Value{}) {
			return args // slog says to leave it out
		}
		return append(args, prefix+a.Key, v.Any())
	}
	if a.Key != "" { // one without a name belongs to where it stands
		prefix += a.Key + "."
	}
	for _, member := range v.Group() {
		args = appendAttr(args, prefix, member)
	}
	return args
}
