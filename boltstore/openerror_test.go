package boltstore

import (
	"io/fs"
	"strings"
	"testing"
)

// Whoever only reads needs no more than that.
func TestPermissionError(t *testing.T) {
	for readOnly, want := range map[bool]string{true: "the right to read it", false: "the right to read and to write there"} {
		s := &Store{path: "raft.db", opts: Options{ReadOnly: readOnly}}
		if err := s.openError(fs.ErrPermission); !strings.HasSuffix(err.Error(), want) {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
	}
}
