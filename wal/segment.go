package wal

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// segment is one file of the log.
type segment struct {
	header
	seed uint32 // where its checksums begin
	path string

	// Guarded by journal.mu. sequence and end of the tail are its last frame's; later they do not change.
	sequence uint64        // of the last frame
	end      int64         // offset behind it
	live     int64         // entries that are in some group's runs
	stored   int64         // entries that were ever put into it
	bytes    int64         // of the live ones, with what their frames took for them
	doubt    int64         // by how much bytes may be wrong, at most; see weight
	blocks   []*cacheBlock // by number, nil where not in memory
	guessed  bool          // bytes is what the average says
	freed    bool          // nothing in it is live, and the cache has forgotten it
	filling  bool          // entries are still moved into it

	// zeroed is the offset up to which the file is allocated and reads as zeros behind end. It grows by
	// the keeper, which has written the zeros but for large frames, and the tail's frames stay below it.
	zeroed atomic.Int64

	// fresh is set where the file never held anything else and no write of zeros failed, so that what is allocated reads as zeros.
	// Guarded by keeper.work.
	fresh bool

	// rw is open for writing while the segment is prepared, written, or not sealed yet. It is the writer's and the
	// keeper's.
	rw vfs.File

	// unsealed is set until its index was written. Guarded by keeper.mu.
	unsealed bool

	// successor is the identity of the segment in which the log goes on.
	successor uint64

	// indexed is the marker that the log was closed with, for the tail: it says where the index of its entries is.
	indexed marker

	loading sync.Mutex // one reads the index at a time

	// bad says why none of it can be read, nil for a good one. Guarded by journal.mu.
	bad error

	// condemned is set when bad is certain also for who reads a log that somebody else may write.
	// Guarded by journal.mu.
	condemned bool

	// Guarded by handles.mu.
	file     vfs.File
	pins     int
	lastUsed uint64
}

func newSegment(dir string, h header) *segment {
	return &segment{header: h, seed: seedOf(h.identity), path: segmentPath(dir, h.number), end: framesOffset,
		blocks: make([]*cacheBlock, (h.size+cacheBlockBytes-1)>>cacheBlockShift)}
}

// A segment's name is its number, in 16 hexadecimal digits.
const segmentSuffix = ".wal"

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", number, segmentSuffix))
}

// segmentNumber reports whether name is a segment's.
func segmentNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 16 || strings.ToLower(digits) != digits {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 16, 64)
	return number, err == nil && number != 0
}

// isMoved reports whether a number is that of a segment of moved entries, which is none of those that the log goes through.
func isMoved(number uint64) bool { return number > maxSegment }

// inOrder compares segments: those of moved entries come first, the tail is the last one.
func inOrder(a, b *segment) int {
	if m, n := isMoved(a.number), isMoved(b.number); m != n {
		return cmp.Compare(b.number, a.number)
	}
	return cmp.Compare(a.number, b.number)
}

func isSegment(name string) bool {
	_, ok := segmentNumber(name)
	return ok
}

// newIdentity returns what no other segment has, and what nobody who writes entries can know.
func newIdentity() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// corrupt returns the error for damage at an offset of the segment.
func (s *segment) corrupt(offset int64, format string, args ...any) error {
	return &ballast.CorruptionError{Path: s.path, Offset: offset, Err: fmt.Errorf(format, args...)}
}

// readFull reads len(b) bytes at offset; a file that ends before them is damaged.
func readFull(seg *segment, f vfs.File, b []byte, offset int64) error {
	n, err := f.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if size, e := f.Size(); e == nil && size < offset+int64(len(b)) {
		return seg.corrupt(size, "the file ends at %d bytes, it had %d", size, seg.size)
	}
	return fmt.Errorf("wal: reading %d bytes at %d of %s: %w", len(b), offset, seg.path, err)
}

// openSegment opens a segment's file and reads its first two blocks.
func openSegment(fsys vfs.FS, dir string, number uint64, writable bool) (*segment, vfs.File, marker, error) {
	open := fsys.OpenRead
	if writable {
		open = fsys.Open
	}
	f, err := open(segmentPath(dir, number))
	if err != nil {
		return nil, nil, marker{}, fmt.Errorf("wal: opening a segment: %w", err)
	}
	seg, m, err := readHeader(f, dir, number)
	if err != nil {
		f.Close()
		return nil, nil, m, err
	}
	return seg, f, m, nil
}

func readHeader(f vfs.File, dir string, number uint64) (seg *segment, m marker, err error) {
	seg = &segment{path: segmentPath(dir, number), header: header{size: framesOffset}}
	var b [framesOffset]byte
	if err := readFull(seg, f, b[:], 0); err != nil {
		return nil, m, err
	}
	h, err := parseHeader(b[:])
	if errors.Is(err, ballast.ErrUnknownVersion) {
		return nil, m, fmt.Errorf("wal: %s: %w", seg.path, err)
	}
	if err != nil {
		return nil, m, seg.corrupt(0, "%w", err)
	}
	if h.number != number {
		return nil, m, seg.corrupt(16, "this is segment %d, renamed", h.number)
	}
	size, err := f.Size()
	if err != nil {
		return nil, m, fmt.Errorf("wal: %w", err)
	}
	if size < h.size {
		return nil, m, seg.corrupt(size, "the file ends at %d bytes, it had %d", size, h.size)
	}
	seg = newSegment(dir, h)
	return seg, parseMarker(b[markerOffset:], seg.seed, h.size), nil
}

// lasting reports whether an error of a segment stays: whoever looks again finds the same.
func lasting(err error) bool {
	return errors.Is(err, ballast.ErrCorrupt) || errors.Is(err, ballast.ErrUnknownVersion) ||
		errors.Is(err, fs.ErrNotExist)
}

// handles bounds how many segments are open for reading.
type handles struct {
	fs    vfs.FS
	limit int

	mu    sync.Mutex
	open  []*segment
	clock uint64
}

var errGone = errors.New("wal: the segment was removed")

// pin returns the segment's open file, which stays open and keeps its content until unpin. It returns
// errGone when nothing in the segment is live any more.
func (h *handles) pin(seg *segment) (vfs.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seg.pins < 0 {
		return nil, errGone
	}
	if seg.file == nil {
		if len(h.open) >= h.limit {
			h.closeOldest()
		}
		f, err := h.fs.OpenRead(seg.path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, seg.corrupt(-1, "the segment's file is missing: %w", err)
		}
		if err != nil {
			return nil, fmt.Errorf("wal: opening a segment: %w", err)
		}
		h.add(seg, f)
	}
	seg.pins++
	h.clock++
	seg.lastUsed = h.clock
	return seg.file, nil
}

func (h *handles) unpin(seg *segment) {
	h.mu.Lock()
	seg.pins--
	h.mu.Unlock()
}

// keep takes over the file of the segment that is written; it stays open until release.
func (h *handles) keep(seg *segment, f vfs.File) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.open, seg); i >= 0 {
		h.closeAt(i)
	}
	seg.pins++
	h.add(seg, f)
}

func (h *handles) add(seg *segment, f vfs.File) {
	seg.file = f
	h.open = append(h.open, seg)
}

func (h *handles) closeOldest() {
	oldest := -1
	for i, seg := range h.open {
		if seg.pins == 0 && (oldest < 0 || seg.lastUsed < h.open[oldest].lastUsed) {
			oldest = i
		}
	}
	if oldest >= 0 {
		h.closeAt(oldest)
	}
}

func (h *handles) closeAt(i int) {
	// It was only read from, so nothing is lost with the error.
	_ = h.open[i].file.Close()
	h.open[i].file = nil
	last := len(h.open) - 1
	h.open[i] = h.open[last]
	h.open[last] = nil
	h.open = h.open[:last]
}

// retire closes a segment's file for good. It reports false, and does nothing, while somebody reads from it.
func (h *handles) retire(seg *segment) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seg.pins > 0 {
		return false
	}
	seg.pins = -1
	if i := slices.Index(h.open, seg); i >= 0 {
		h.closeAt(i)
	}
	return true
}

// release closes a file that was taken over, unless somebody reads from it: then it is closed later.
func (h *handles) release(seg *segment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seg.pins--
	if seg.pins > 0 {
		return
	}
	if i := slices.Index(h.open, seg); i >= 0 {
		h.closeAt(i)
	}
}

// closeAll closes every file. Nobody reads any more.
func (h *handles) closeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.open) > 0 {
		h.closeAt(0)
	}
}
