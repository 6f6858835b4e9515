package place

import (
	"os"
	"path/filepath"
	"testing"
)

// On a file system that may refuse a lease for another reason nothing is known: /proc refuses it for this one, and a network's for its own.
func TestWritersElsewhere(t *testing.T) {
	f, err := os.OpenFile("/proc/self/comm", os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	if open, known := writers(f.Name()); open || known {
		t.Errorf("open %v, known %v", open, known)
	}
}

func TestWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(path)
	must(t, err)
	if _, known := writers(path); !known {
		t.Skip("the system does not tell")
	}
	if !Writers(filepath.Dir(path)) {
		t.Error("who has it open is not seen")
	}
	must(t, f.Close())
	if Writers(path) {
		t.Error("somebody is seen who is not there")
	}
}
