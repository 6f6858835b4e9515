package demo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Between two kills nobody holds the lock of a store, so the folder has one of its own.
func TestOneDemoInAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	first, err := openFolder(dir, "bolt", 1)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, markerName))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := openFolder(dir, "bolt", 1); err == nil || !strings.Contains(err.Error(), "another demo runs in") {
			t.Fatalf("a second demo got %v", err)
		}
	}
	if after, _ := os.ReadFile(filepath.Join(dir, markerName)); string(after) != string(before) {
		t.Fatal("the refused demo has written to the folder")
	}
	first.close()
	second, err := openFolder(dir, "bolt", 1)
	if err != nil {
		t.Fatalf("after the end of the first: %v", err)
	}
	second.close()
}
