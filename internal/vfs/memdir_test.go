package vfs

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// A folder that was renamed or removed and not synced is there as before or as after, with what is in it.
func TestCrashFolders(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, m *Mem)
		want []string
	}{
		{"renamed", func(t *testing.T, m *Mem) { check(t, m.Rename("/a", "/b")) }, []string{"/a /a/f /a/sub /a/sub/g", "/b /b/f /b/sub /b/sub/g"}},
		{"renamed and synced", func(t *testing.T, m *Mem) {
			check(t, m.Rename("/a", "/b"))
			check(t, m.SyncDir("/"))
		}, []string{"/b /b/f /b/sub /b/sub/g"}},
		{"twice", func(t *testing.T, m *Mem) {
			check(t, m.Rename("/a", "/b"))
			check(t, m.Rename("/b", "/c"))
		}, []string{"/a /a/f /a/sub /a/sub/g", "/b /b/f /b/sub /b/sub/g", "/c /c/f /c/sub /c/sub/g"}},
		{"and something in it", func(t *testing.T, m *Mem) {
			check(t, m.Rename("/a", "/b"))
			check(t, m.Rename("/b/sub", "/b/new"))
		}, []string{"/a /a/f /a/new /a/new/g", "/a /a/f /a/sub /a/sub/g", "/b /b/f /b/new /b/new/g", "/b /b/f /b/sub /b/sub/g"}},
		{"two, in any order", func(t *testing.T, m *Mem) {
			check(t, m.MkdirAll("/x"))
			check(t, m.Rename("/a", "/b"))
			check(t, m.Rename("/x", "/y"))
		}, []string{"/a /a/f /a/sub /a/sub/g /x", "/a /a/f /a/sub /a/sub/g /y", "/b /b/f /b/sub /b/sub/g /x", "/b /b/f /b/sub /b/sub/g /y"}},
		{"removed", func(t *testing.T, m *Mem) {
			check(t, m.MkdirAll("/x"))
			check(t, m.Remove("/x"))
		}, []string{"/a /a/f /a/sub /a/sub/g", "/a /a/f /a/sub /a/sub/g /x"}},
		{"renamed and made again, which syncs", func(t *testing.T, m *Mem) {
			check(t, m.Rename("/a", "/b"))
			check(t, m.MkdirAll("/a"))
		}, []string{"/a /b /b/f /b/sub /b/sub/g"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := NewMem()
			check(t, m.MkdirAll("/a/sub"))
			for _, path := range []string{"/a/f", "/a/sub/g"} {
				m.WriteFile(path, []byte("x"))
			}
			tc.do(t, m)
			before := tree(m)
			got := map[string]bool{}
			for seed := range uint64(200) {
				c := m.Crash(seed)
				got[tree(c)] = true
				if tree(c.Crash(seed+1)) != tree(c) {
					t.Fatalf("seed %d: after another power cut it is another", seed)
				}
				if clone := tree(m.Clone().Crash(seed)); clone != tree(c) {
					t.Fatalf("seed %d: a clone has %q, the original %q", seed, clone, tree(c))
				}
			}
			if outcomes := slices.Sorted(maps.Keys(got)); !slices.Equal(outcomes, tc.want) {
				t.Errorf("got  %q\nwant %q", outcomes, tc.want)
			}
			if tree(m) != before {
				t.Errorf("it was %q, and is %q after the crashes", before, tree(m))
			}
		})
	}
}

// tree lists files and folders.
func tree(m *Mem) string {
	paths := m.Files()
	for dir := range m.dirs {
		if dir != "." && dir != "/" {
			paths = append(paths, dir)
		}
	}
	slices.Sort(paths)
	return strings.Join(paths, " ")
}
