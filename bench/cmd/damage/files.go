package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// file is one of a closed log. Behind its data there are only zeros, up to its size.
type file struct {
	name string
	data []byte
	size int64
}

// files are those of a log, by name.
type files []file

// readFiles reads a folder without folders in it.
func readFiles(dir string) (all files, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all = append(all, file{name: name, data: bytes.Clone(bytes.TrimRight(data, "\x00")), size: int64(len(data))})
		return err
	})
	return all, err
}

const blockBytes = 4096

// write makes a folder of the files, with holes where there are only zeros.
func (all files) write(dir string) error {
	for _, f := range all {
		path := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := f.write(path); err != nil {
			return err
		}
	}
	return nil
}

func (f *file) write(path string) error {
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	for off := 0; off < len(f.data); off += blockBytes {
		block := f.data[off:min(off+blockBytes, len(f.data))]
		if len(bytes.Trim(block, "\x00")) == 0 {
			continue
		}
		if _, err := to.WriteAt(block, int64(off)); err != nil {
			return err
		}
	}
	return to.Truncate(f.size)
}

const sectorBytes = 512

// damageKinds are what may be done to a file.
var damageKinds = []string{"flipped bit", "burst", "lost sector", "swapped sectors", "cut off"}

// damage returns a damaged copy, the kind of damage and a sentence about it.
func (all files) damage(rng *rand.Rand) (damaged files, kind, what string) {
	total := 0
	for _, f := range all {
		total += len(f.data)
	}
	for {
		at, i := rng.IntN(total), 0
		for ; at >= len(all[i].data); i++ {
			at -= len(all[i].data)
		}
		kind = damageKinds[rng.IntN(len(damageKinds))]
		f := all[i].damage(rng, kind, at)
		if f.size == all[i].size && bytes.Equal(f.data, all[i].data) {
			continue // zeros instead of zeros
		}
		damaged = slices.Clone(all)
		damaged[i] = f
		return damaged, kind, fmt.Sprintf("%s at %d of %s, which has %d bytes", kind, at, f.name, len(all[i].data))
	}
}

// damage returns the file with damage at an offset.
func (f file) damage(rng *rand.Rand, kind string, at int) file {
	f.data = bytes.Clone(f.data)
	sector := f.data[at/sectorBytes*sectorBytes:]
	sector = sector[:min(len(sector), sectorBytes)]
	switch kind {
	case "flipped bit":
		f.data[at] ^= 1 << rng.IntN(8)
	case "burst":
		for i := at; i < min(at+2+rng.IntN(63), len(f.data)); i++ {
			f.data[i] = byte(rng.Uint32())
		}
	case "lost sector":
		clear(sector)
	case "swapped sectors":
		other := f.data[rng.IntN(len(f.data))/sectorBytes*sectorBytes:]
		other = other[:min(len(other), len(sector))]
		was := bytes.Clone(sector)
		copy(sector, other)
		copy(other, was)
	case "cut off":
		f.data, f.size = f.data[:at], int64(at)
	}
	return f
}
