// Package logcodec encodes a raft.Log as raft-boltdb and raft-badger do, in MessagePack, without
// reflection.
//
// What Append writes is byte for byte what github.com/hashicorp/go-msgpack/v2 writes with the handle
// of raft-boltdb v2; a differential fuzz test holds the two against each other. Decode reads that, what
// go-msgpack v0.5 wrote for raft-boltdb v1 and raft-badger, and any other map with these keys.
//
// The value is a map of six pairs, keys in this order:
//
//	86                      map of 6
//	aa "AppendedAt"         time: see below
//	a4 "Data"               raw bytes, or c0 for nil
//	aa "Extensions"         raw bytes, or c0 for nil
//	a5 "Index"              unsigned integer, shortest form
//	a4 "Term"               unsigned integer, shortest form
//	a4 "Type"               unsigned integer, shortest form
//
// Raw bytes are in the old form of MessagePack, which has no str8: a0+n below 32 bytes, da with a
// 16-bit and db with a 32-bit length, both big-endian.
//
// A time has two forms. The classic one, raft-boltdb's default, is the raw bytes of time.MarshalBinary, 15
// or 16 of them. The new one is c0 for the zero time, otherwise raw bytes of MessagePack's timestamp:
//
//	4 bytes    seconds
//	8 bytes    nanoseconds << 34 | seconds
//	12 bytes   nanoseconds (32 bits), seconds (64 bits, signed)
package logcodec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/raft"
)

// TimeFormat is a form of AppendedAt. Decode reads both.
type TimeFormat bool

// The two forms of AppendedAt.
const (
	ClassicTime TimeFormat = false // time.MarshalBinary
	NewTime     TimeFormat = true  // MessagePack's timestamp
)

// The bytes of MessagePack that are used here. Wire format.
const (
	fixMap   = 0x80
	fixArray = 0x90
	fixStr   = 0xa0
	mpNil    = 0xc0
	mpFalse  = 0xc2
	mpTrue   = 0xc3
	bin8     = 0xc4
	bin16    = 0xc5
	bin32    = 0xc6
	ext8     = 0xc7
	ext16    = 0xc8
	ext32    = 0xc9
	float32_ = 0xca
	float64_ = 0xcb
	uint8_   = 0xcc
	uint16_  = 0xcd
	uint32_  = 0xce
	uint64_  = 0xcf
	int8_    = 0xd0
	int16_   = 0xd1
	int32_   = 0xd2
	int64_   = 0xd3
	fixExt1  = 0xd4
	fixExt4  = 0xd6
	fixExt8  = 0xd7
	fixExt16 = 0xd8
	str8     = 0xd9
	str16    = 0xda
	str32    = 0xdb
	array16  = 0xdc
	array32  = 0xdd
	map16    = 0xde
	map32    = 0xdf
	negFix   = 0xe0

	timeExt = 0xff // extension type -1, a timestamp
)

// overhead is the most that Append adds to Data and Extensions: the map's byte, 43 bytes of keys, 17 of
// time, twice 5 of length, and 9 + 9 + 2 of integers.
const overhead = 1 + 43 + 17 + 10 + 20

// Size returns how many bytes Append writes at the most.
func Size(log *raft.Log) int { return overhead + len(log.Data) + len(log.Extensions) }

// Append appends the encoding of log to dst and returns the extended slice. It keeps nothing of log.
func Append(dst []byte, log *raft.Log, format TimeFormat) []byte {
	dst = append(dst, fixMap|6)
	dst = append(dst, "\xaaAppendedAt"...)
	if format == NewTime {
		dst = appendNewTime(dst, log.AppendedAt)
	} else {
		dst = appendClassicTime(dst, log.AppendedAt)
	}
	dst = append(dst, "\xa4Data"...)
	dst = appendRaw(dst, log.Data)
	dst = append(dst, "\xaaExtensions"...)
	dst = appendRaw(dst, log.Extensions)
	dst = append(dst, "\xa5Index"...)
	dst = appendUint(dst, log.Index)
	dst = append(dst, "\xa4Term"...)
	dst = appendUint(dst, log.Term)
	dst = append(dst, "\xa4Type"...)
	return appendUint(dst, uint64(log.Type))
}

func appendClassicTime(dst []byte, t time.Time) []byte {
	at := len(dst)
	dst = append(dst, 0)
	out, err := t.AppendBinary(dst)
	if err != nil {
		// The offset of t's zone does not fit, and go-msgpack refuses the log. The same instant in
		// UTC always fits.
		out, _ = t.UTC().AppendBinary(dst)
	}
	out[at] = fixStr | byte(len(out)-at-1)
	return out
}

func appendNewTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, mpNil)
	}
	sec, nsec := t.Unix(), uint64(t.Nanosecond())
	if sec < 0 || sec>>34 != 0 {
		dst = append(dst, fixStr|12)
		dst = binary.BigEndian.AppendUint32(dst, uint32(nsec))
		return binary.BigEndian.AppendUint64(dst, uint64(sec))
	}
	packed := nsec<<34 | uint64(sec)
	if packed > math.MaxUint32 {
		return binary.BigEndian.AppendUint64(append(dst, fixStr|8), packed)
	}
	return binary.BigEndian.AppendUint32(append(dst, fixStr|4), uint32(packed))
}

func appendRaw(dst, b []byte) []byte {
	switch n := len(b); {
	case b == nil:
		return append(dst, mpNil)
	case n < 32:
		dst = append(dst, fixStr|byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, str16), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, str32), uint32(n))
	}
	return append(dst, b...)
}

func appendUint(dst []byte, v uint64) []byte {
	switch {
	case v <= math.MaxInt8:
		return append(dst, byte(v))
	case v <= math.MaxUint8:
		return append(dst, uint8_, byte(v))
	case v <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, uint16_), uint16(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, uint32_), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(dst, uint64_), v)
	}
}

var (
	errShort    = errors.New("the encoded log ends early")
	errTrailing = errors.New("the encoded log has bytes behind its end")
	errDepth    = errors.New("the encoded log is nested too deeply")
)

// Decode reads b into log and sets every field of it. Data and Extensions are new slices, at most as
// long as b. On an error log is left as it was.
func Decode(b []byte, log *raft.Log) error {
	d := decoder{b: b}
	var out raft.Log
	if err := d.log(&out); err != nil {
		return err
	}
	if d.at != len(b) {
		return errTrailing
	}
	*log = out
	return nil
}

// decoder consumes b from its front: b[:at] is consumed. To count at up costs less than to move b.
type decoder struct {
	b  []byte
	at int
}

func (d *decoder) log(out *raft.Log) error {
	pairs, err := d.mapLen()
	if err != nil {
		return err
	}
	for range pairs {
		key, err := d.raw()
		if err != nil {
			return err
		}
		if err := d.field(key, out); err != nil {
			return fmt.Errorf("field %.20q: %w", key, err)
		}
	}
	return nil
}

func (d *decoder) field(key []byte, out *raft.Log) (err error) {
	switch string(key) {
	case "AppendedAt":
		out.AppendedAt, err = d.time()
	case "Data":
		out.Data, err = d.bytes()
	case "Extensions":
		out.Extensions, err = d.bytes()
	case "Index":
		out.Index, err = d.uint()
	case "Term":
		out.Term, err = d.uint()
	case "Type":
		var v uint64
		if v, err = d.uint(); v > math.MaxUint8 {
			return fmt.Errorf("%d is no log type", v)
		}
		out.Type = raft.LogType(v)
	default:
		return d.skip(0) // a field of a later raft
	}
	return err
}

// take consumes n bytes.
func (d *decoder) take(n uint64) ([]byte, error) {
	rest := d.b[d.at:]
	if n > uint64(len(rest)) {
		return nil, errShort
	}
	d.at += int(n)
	return rest[:n:n], nil
}

// be consumes a big-endian integer of n bytes, n at most 8.
func (d *decoder) be(n uint64) (v uint64, err error) {
	b, err := d.take(n)
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v, err
}

// first consumes one byte.
func (d *decoder) first() (byte, error) {
	if d.at >= len(d.b) {
		return 0, errShort
	}
	c := d.b[d.at]
	d.at++
	return c, nil
}

func (d *decoder) mapLen() (uint64, error) {
	c, err := d.first()
	switch {
	case err != nil:
		return 0, err
	case c&0xf0 == fixMap:
		return uint64(c & 0x0f), nil
	case c == map16:
		return d.be(2)
	case c == map32:
		return d.be(4)
	}
	return 0, fmt.Errorf("byte %#02x does not begin a map", c)
}

// rawLen returns the length of raw bytes that begin with c, ok false when c does not begin any.
func (d *decoder) rawLen(c byte) (n uint64, ok bool, err error) {
	switch {
	case c&0xe0 == fixStr:
		return uint64(c & 0x1f), true, nil
	case c == str8, c == bin8:
		n, err = d.be(1)
	case c == str16, c == bin16:
		n, err = d.be(2)
	case c == str32, c == bin32:
		n, err = d.be(4)
	default:
		return 0, false, nil
	}
	return n, true, err
}

// raw consumes raw bytes and returns them as a part of the input; nil for nil.
func (d *decoder) raw() ([]byte, error) {
	c, err := d.first()
	if err != nil {
		return nil, err
	}
	if c&0xe0 == fixStr { // every key
		return d.take(uint64(c & 0x1f))
	}
	if c == mpNil {
		return nil, nil
	}
	n, ok, err := d.rawLen(c)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("byte %#02x does not begin raw bytes", c)
	}
	return d.take(n)
}

// bytes consumes raw bytes and returns a copy.
func (d *decoder) bytes() ([]byte, error) {
	b, err := d.raw()
	if b == nil || err != nil {
		return nil, err
	}
	out := make([]byte, len(b))
	copy(out, b)
	return out, nil
}

func (d *decoder) uint() (uint64, error) {
	c, err := d.first()
	if err != nil {
		return 0, err
	}
	switch {
	case c < fixMap:
		return uint64(c), nil
	case c >= uint8_ && c <= uint64_:
		return d.be(1 << (c - uint8_))
	case c >= int8_ && c <= int64_:
		n := uint64(1) << (c - int8_)
		v, err := d.be(n)
		if err == nil && v>>(8*n-1) != 0 {
			return 0, errors.New("a negative number where an unsigned one belongs")
		}
		return v, err
	}
	return 0, fmt.Errorf("byte %#02x does not begin an unsigned integer", c)
}

func (d *decoder) time() (time.Time, error) {
	c, err := d.first()
	if err != nil || c == mpNil {
		return time.Time{}, err
	}
	n, ok, err := d.rawLen(c)
	if err != nil {
		return time.Time{}, err
	}
	if !ok {
		if n, err = d.timeExtLen(c); err != nil {
			return time.Time{}, err
		}
	}
	b, err := d.take(n)
	if err != nil {
		return time.Time{}, err
	}
	return parseTime(b)
}

// timeExtLen consumes the head of a timestamp that is an extension and returns its length.
func (d *decoder) timeExtLen(c byte) (n uint64, err error) {
	switch c {
	case fixExt4:
		n = 4
	case fixExt8:
		n = 8
	case ext8:
		if n, err = d.be(1); err != nil {
			return 0, err
		}
	default:
		return 0, fmt.Errorf("byte %#02x does not begin a time", c)
	}
	if kind, err := d.first(); err != nil || kind != timeExt {
		return 0, fmt.Errorf("extension %#02x is no time", kind)
	}
	return n, nil
}

func parseTime(b []byte) (t time.Time, err error) {
	var sec, nsec uint64
	switch len(b) {
	case 4:
		sec = uint64(binary.BigEndian.Uint32(b))
	case 8:
		packed := binary.BigEndian.Uint64(b)
		sec, nsec = packed&(1<<34-1), packed>>34
	case 12:
		nsec, sec = uint64(binary.BigEndian.Uint32(b)), binary.BigEndian.Uint64(b[4:])
	default:
		if err := t.UnmarshalBinary(b); err != nil {
			return time.Time{}, fmt.Errorf("time of %d bytes: %w", len(b), err)
		}
		// UnmarshalBinary takes any number here, and makes a time of it that is not what it seems.
		return t, checkNanoseconds(uint64(binary.BigEndian.Uint32(b[9:])))
	}
	return time.Unix(int64(sec), int64(nsec)).UTC(), checkNanoseconds(nsec)
}

func checkNanoseconds(n uint64) error {
	if n >= 1e9 {
		return fmt.Errorf("time has %d nanoseconds", n)
	}
	return nil
}

// maxDepth bounds the nesting of a field that is skipped.
const maxDepth = 32

// skip consumes one value of any kind.
func (d *decoder) skip(depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	c, err := d.first()
	if err != nil {
		return err
	}
	if n, ok, err := d.rawLen(c); ok || err != nil {
		if err == nil {
			_, err = d.take(n)
		}
		return err
	}
	if items, ok, err := d.containerLen(c); ok || err != nil {
		for ; items > 0 && err == nil; items-- {
			err = d.skip(depth + 1)
		}
		return err
	}
	n, err := d.scalarLen(c)
	if err == nil {
		_, err = d.take(n)
	}
	return err
}

// containerLen returns how many values follow c, ok false when c begins neither array nor map.
func (d *decoder) containerLen(c byte) (items uint64, ok bool, err error) {
	switch {
	case c&0xf0 == fixMap:
		return 2 * uint64(c&0x0f), true, nil
	case c&0xf0 == fixArray:
		return uint64(c & 0x0f), true, nil
	case c == array16:
		items, err = d.be(2)
	case c == array32:
		items, err = d.be(4)
	case c == map16:
		items, err = d.be(2)
		items *= 2
	case c == map32:
		items, err = d.be(4)
		items *= 2
	default:
		return 0, false, nil
	}
	return items, true, err
}

// scalarLen returns how many bytes of a number, a boolean, nil or an extension follow c.
func (d *decoder) scalarLen(c byte) (n uint64, err error) {
	switch {
	case c < fixMap, c >= negFix, c == mpNil, c == mpFalse, c == mpTrue:
		return 0, nil
	case c == float32_:
		return 4, nil
	case c == float64_:
		return 8, nil
	case c >= uint8_ && c <= uint64_:
		return 1 << (c - uint8_), nil
	case c >= int8_ && c <= int64_:
		return 1 << (c - int8_), nil
	case c >= fixExt1 && c <= fixExt16:
		return 1 + 1<<(c-fixExt1), nil
	case c == ext8:
		n, err = d.be(1)
	case c == ext16:
		n, err = d.be(2)
	case c == ext32:
		n, err = d.be(4)
	default:
		return 0, fmt.Errorf("byte %#02x begins no value", c)
	}
	return n + 1, err
}
