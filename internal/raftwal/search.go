package raftwal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// search looks behind the start of bad, a batch that is not right, for one that is, and returns where it begins; 0 when there is none.
//
// It goes over the file once. What lies between two words that look like commit frames is a batch when its checksum matches, its frames
// follow each other, and its indexes fit. An append that was cut off has none such in it: nothing was written behind it, and what it
// did not overwrite is the end of another that was cut off before.
func (s *scanner) search(bad *batch) (int64, error) {
	start := int64(0)  // of what may be a batch; 0 for none
	var sum uint32     // of what is between start and pos
	broken := int64(0) // where no frame was found: that may have been a commit frame
	if !bad.complete {
		broken = bad.end
	}
	for pos := bad.start; pos+frameHeaderBytes <= s.size; {
		words, err := s.peek(pos, frameHeaderBytes)
		if err != nil || len(words) < frameHeaderBytes {
			return 0, err
		}
		if n := s.plain(words, pos); n > 0 && pos != broken {
			if pos < broken {
				n = min(n, broken-pos)
			}
			sum = crc32.Update(sum, castagnoli, words[:n])
			pos += n
			continue
		}
		end := pos + frameHeaderBytes
		if start > 0 && binary.LittleEndian.Uint32(words[4:]) == sum {
			if ok, err := s.confirm(start, end, bad.start); ok || err != nil {
				return start, err
			}
			start = 0 // or a file made for it would be read over and over
		}
		if words, err = s.peek(pos, 2*frameHeaderBytes); err != nil {
			return 0, err
		}
		if len(words) >= 2*frameHeaderBytes && beginsBatch(words[frameHeaderBytes:], end, s.size) {
			start, sum = end, 0
		} else {
			sum = crc32.Update(sum, castagnoli, words[:frameHeaderBytes])
		}
		pos = end
	}
	return 0, nil
}

// plain returns how many bytes at the front of b, which is at offset at, are whole words of which none looks like a commit frame.
func (s *scanner) plain(b []byte, at int64) (n int64) {
	for ; len(b) >= frameHeaderBytes; b = b[frameHeaderBytes:] {
		word := binary.LittleEndian.Uint64(b)
		if word != 0 {
			s.debris = max(s.debris, at+n+frameHeaderBytes)
		}
		if word&0xffff_ffff == commitFrame {
			return n
		}
		n += frameHeaderBytes
	}
	return n
}

// beginsBatch reports whether b, at offset at, can be the first frame of a batch.
func beginsBatch(b []byte, at, size int64) bool {
	h := parseFrame(b)
	return (h.kind == entryFrame && h.value >= minPayloadBytes || h.kind == indexFrame) && b[1]|b[2]|b[3] == 0 &&
		frameFits(h, at, size) == nil
}

// confirm reports whether what is between start and end is a batch that can come behind the damage at from. The index of a
// sealed segment has to agree: a raft-wal in an entry's data must not be taken for the one that holds it.
func (s *scanner) confirm(start, end, from int64) (bool, error) {
	b, err := s.read(start, end)
	if err != nil {
		return false, err
	}
	if b.err != nil || b.end != end || b.entries == 0 && !b.indexed || !s.follows(&b, from) {
		return false, nil
	}
	if s.info.IndexStart == 0 || b.entries == 0 {
		return true, nil
	}
	if s.info.IndexStart > maxSegmentBytes { // no offset, so nothing to agree with
		return false, nil
	}
	var offset [4]byte // read on its own: the window is somewhere else
	if _, err := s.in.ReadAt(offset[:], int64(s.info.IndexStart)+4*int64(b.first-s.info.BaseIndex)); err != nil {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return false, err
	}
	return int64(binary.LittleEndian.Uint32(offset[:])) == start, nil
}
