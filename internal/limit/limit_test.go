package limit

import (
	"os"
	"path/filepath"
	"testing"
)

// Each way writes its bytes where it says, also after the file has begun anew.
func TestWays(t *testing.T) {
	for _, way := range Ways() {
		t.Run(way.Extents+" "+way.Sync, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			const bytes, writes = 600, 5
			f, err := way.Create(path, bytes, 2*bytes)
			if err != nil && way.Sync == direct {
				t.Skip(err) // a file system without it
			}
			if err != nil {
				t.Fatal(err)
			}
			for n := range writes {
				f.Ready()
				if err := f.Write(); err != nil {
					t.Fatal(err)
				}
				length := int64(len(f.buf))
				if want := int64(n%2+1) * length; f.at != want {
					t.Fatalf("after write %d it is at %d, want %d", n, f.at, want)
				}
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if got := data[f.at-length : f.at]; string(got) != string(f.buf) {
					t.Fatalf("write %d is not there", n)
				}
				if want := map[string]int64{Growing: f.at, Written: f.length}[way.Extents]; want != 0 && int64(len(data)) != want {
					t.Errorf("after write %d the file has %d bytes, want %d", n, len(data), want)
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
