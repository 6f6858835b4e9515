package badgerstore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/raft-ballast/ballast"
)

// A value log file is records one behind the other, live and deleted ones. Badger reads it from its begin and stops in silence at the first
// record that it cannot read, whatever that is of. When it opens a directory for writing it cuts the newest file off there, and when it
// collects the garbage of an older one it moves what is before and removes the file: in both cases good entries behind are lost. So
// Ballast reads a file in the same way before.
//
//	0   8 bytes of the key that it is encrypted with, 12 of its initialization vector
//	20  records: 2 bytes, uvarints of the key's length, the value's length and the expiry, key, value, CRC-32C of all that
const (
	vlogHeader     = 20      // wire format
	vlogRecordHead = 22      // wire format: at most; badger fills the lengths with 32 bits, the expiry with 64
	vlogMaxKey     = 1 << 16 // wire format
)

var errValueLog = errors.New("a record of badger's value log is damaged, and badger would drop the good entries behind it; `ballast repair` says what can be kept, " +
	"and where only what was deleted is damaged, so that it finds nothing, `ballast migrate` copies the store")

// checkValueLog returns a CorruptionError for a file which holds something behind the record where badger stops. No one may write to it.
func checkValueLog(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("badgerstore: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("badgerstore: %w", err)
	}
	end, err := recordsEnd(f, info.Size())
	if err != nil {
		return fmt.Errorf("badgerstore: reading %s: %w", path, err)
	}
	held, err := heldBytes(path, info.Size())
	if err == nil && held > end {
		err = &ballast.CorruptionError{Path: path, Offset: end, Err: errValueLog}
	}
	return err
}

// recordsEnd returns where the first record begins that is none.
func recordsEnd(f *os.File, size int64) (end int64, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, vlogHeader, size), 256<<10)
	for end = vlogHeader; ; {
		n, err := readRecord(r, size-end)
		if n == 0 || err != nil {
			return end, err
		}
		end += n
	}
}

// readRecord returns the length of the next record, 0 when it is none.
func readRecord(r *bufio.Reader, left int64) (int64, error) {
	head, err := r.Peek(vlogRecordHead)
	if err != nil && err != io.EOF {
		return 0, err
	}
	n := recordLength(head)
	if n == 0 || n > left {
		return 0, nil
	}
	sum := crc32.New(castagnoli)
	if _, err := io.CopyN(sum, r, n-crc32.Size); err != nil {
		return 0, err
	}
	var want [crc32.Size]byte
	if _, err := io.ReadFull(r, want[:]); err != nil || binary.BigEndian.Uint32(want[:]) != sum.Sum32() {
		return 0, err
	}
	return n, nil
}

// recordLength returns how long the record with that head is, 0 when it cannot be one.
func recordLength(head []byte) int64 {
	at, key, value := recordFields(head)
	if at == 0 {
		return 0
	}
	return int64(at) + int64(key) + int64(value) + crc32.Size
}

// recordFields returns how long a record's head, key and value are; a head of 0 when it cannot be
// one.
func recordFields(head []byte) (at int, key, value uint64) {
	at = 2
	fields := [3]uint64{} // the lengths of key and value, the expiry
	for i := range fields {
		if at > len(head) {
			return 0, 0, 0
		}
		value, n := binary.Uvarint(head[at:])
		if n <= 0 {
			return 0, 0, 0
		}
		fields[i], at = value, at+n
	}
	if fields[0] == 0 || fields[0] > vlogMaxKey || fields[1] > 1<<32 {
		return 0, 0, 0
	}
	return at, fields[0], fields[1]
}

// eachRecord calls f with each record of a write-ahead log, which is made as a value log. The key
// is one with a version.
func eachRecord(content []byte, f func(meta byte, key, value []byte)) {
	for rest := content[min(vlogHeader, len(content)):]; ; {
		at, key, value := recordFields(rest)
		end := uint64(at) + key + value
		if at == 0 || end+crc32.Size > uint64(len(rest)) ||
			binary.BigEndian.Uint32(rest[end:]) != crc32.Checksum(rest[:end], castagnoli) {
			return
		}
		f(rest[0], rest[at:uint64(at)+key], rest[uint64(at)+key:end])
		rest = rest[end+crc32.Size:]
	}
}

// checkNewest checks the value log file that badger may cut off when it opens a directory.
func checkNewest(dir string, entries []fs.DirEntry) error {
	name, newest := "", uint64(0)
	for _, e := range entries {
		number, isLog := strings.CutSuffix(e.Name(), vlogSuffix)
		if id, err := strconv.ParseUint(number, 10, 32); isLog && err == nil && id >= newest {
			name, newest = e.Name(), id
		}
	}
	if name == "" {
		return nil
	}
	err := checkValueLog(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was empty, and was removed
	}
	return err
}

// checkValueLogs checks all files. Nothing may be written meanwhile.
func (s *Store) checkValueLogs(ctx context.Context) error {
	entries, err := os.ReadDir(s.by)
	for _, e := range entries {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if filepath.Ext(e.Name()) == vlogSuffix {
			err = checkValueLog(s.file(e.Name()))
		}
	}
	return err
}
