package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// typeNames are raft's own, without the Log in front. Scripts know them.
var typeNames = map[raft.LogType]string{
	raft.LogCommand:              "Command",
	raft.LogNoop:                 "Noop",
	raft.LogAddPeerDeprecated:    "AddPeerDeprecated",
	raft.LogRemovePeerDeprecated: "RemovePeerDeprecated",
	raft.LogBarrier:              "Barrier",
	raft.LogConfiguration:        "Configuration",
}

// typeName returns a number for a type that raft does not have.
func typeName(t raft.LogType) string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return strconv.Itoa(int(t))
}

// parseType takes a name in any case, or a number.
func parseType(text string) (raft.LogType, error) {
	for t, name := range typeNames {
		if strings.EqualFold(name, text) {
			return t, nil
		}
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil {
		return 0, usagef("there is no type %q of entries; give one of %s, or a number up to 255", text,
			strings.Join(slices.Sorted(maps.Values(typeNames)), ", "))
	}
	return raft.LogType(n), nil
}

// entryJSON is an entry as scripts see it.
type entryJSON struct {
	Index      uint64 `json:"index"`
	Term       uint64 `json:"term"`
	Type       string `json:"type"`
	Data       []byte `json:"data"` // base64, as the other one
	Extensions []byte `json:"extensions"`
	AppendedAt string `json:"appended_at,omitempty"`

	Servers []serverJSON `json:"servers,omitempty"` // of a configuration
	Decoded *outside     `json:"decoded,omitempty"` // by the user's decoder
}

type serverJSON struct {
	Suffrage string  `json:"suffrage"`
	ID       outside `json:"id"`
	Address  outside `json:"address"`
}

func newEntryJSON(log *raft.Log) *entryJSON {
	out := &entryJSON{
		Index: log.Index, Term: log.Term, Type: typeName(log.Type),
		Data: notNil(log.Data), Extensions: notNil(log.Extensions), AppendedAt: timeText(log.AppendedAt),
	}
	if log.Type == raft.LogConfiguration {
		if configuration, err := decodeConfiguration(log.Data); err == nil {
			out.Servers = serversJSON(configuration)
		}
	}
	return out
}

// notNil keeps what is empty from becoming null.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// timeText returns "" for the zero time.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func serversJSON(c raft.Configuration) []serverJSON {
	out := []serverJSON{}
	for _, s := range c.Servers {
		out = append(out, serverJSON{Suffrage: s.Suffrage.String(), ID: outside(s.ID), Address: outside(s.Address)})
	}
	return out
}

// text shows a server as one, whatever it is called.
func (s serverJSON) text() string {
	return fmt.Sprintf("%s %s at %s", s.Suffrage, word(string(s.ID)), word(string(s.Address)))
}

// serversText lists the peers of a configuration.
func serversText(c raft.Configuration) string {
	if len(c.Servers) == 0 {
		return "no servers"
	}
	var parts []string
	for _, s := range serversJSON(c) {
		parts = append(parts, s.text())
	}
	return strings.Join(parts, ", ")
}

// decodeConfiguration is raft's, which panics.
func decodeConfiguration(data []byte) (c raft.Configuration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it is no configuration of raft: %v", p)
		}
	}()
	return raft.DecodeConfiguration(data), nil
}
