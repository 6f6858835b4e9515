package wal

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// TestMarkerWithoutIndex: a marker whose checksum matches says that there is no index, and how long it is.
func TestMarkerWithoutIndex(t *testing.T) {
	for _, kind := range imageKinds[:2] {
		im := newImage(t, kind)
		mem := im.full.Clone()
		for _, path := range im.segments() {
			data := mem.ReadFile(path)
			h, err := parseHeader(data)
			must(t, err)
			m := parseMarker(data[markerOffset:], seedOf(h.identity), h.size)
			if m.state == markerNone {
				continue
			}
			m.indexOffset, m.indexLength = 0, 1<<40
			putMarker(data[markerOffset:], m, seedOf(h.identity))
			mem.WriteFile(path, data)
		}
		s, err := Open(dataDir, im.options(mem))
		if err != nil {
			t.Fatal(err)
		}
		for _, index := range im.model.Indexes() {
			if err := s.GetLog(index, new(raft.Log)); err != nil && !errors.Is(err, ballast.ErrCorrupt) {
				t.Error(err)
			}
		}
		must(t, s.Close())
	}
}
