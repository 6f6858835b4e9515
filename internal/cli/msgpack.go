package cli

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The bytes of MessagePack that a value begins with. Ranges are up to the next one. Wire format.
const (
	mpFixMap   = 0x80
	mpFixArray = 0x90
	mpFixStr   = 0xa0
	mpNil      = 0xc0
	mpFalse    = 0xc2
	mpTrue     = 0xc3
	mpBin8     = 0xc4 // 16 and 32 bits follow
	mpExt8     = 0xc7 // 16 and 32 bits follow
	mpFloat32  = 0xca
	mpFloat64  = 0xcb
	mpUint8    = 0xcc // 16, 32 and 64 bits follow
	mpInt8     = 0xd0 // 16, 32 and 64 bits follow
	mpFixExt1  = 0xd4 // 2, 4, 8 and 16 bytes follow
	mpStr8     = 0xd9 // 16 and 32 bits follow
	mpArray16  = 0xdc // 32 bits follow
	mpMap16    = 0xde // 32 bits follow
	mpNegative = 0xe0

	mpTimestamp = -1 // kind of an extension
)

// maxNesting bounds the stack that damaged data may take.
const maxNesting = 100

var (
	errMsgpackEnd  = errors.New("it ends in the middle of a value")
	errMsgpackDeep = errors.New("it is nested too deeply")
)

// beginsCollection reports whether data begins as a map or a list does.
func beginsCollection(data []byte) bool {
	if len(data) == 0 {
		return false
	}
	b := data[0]
	return mpFixMap <= b && b < mpFixStr || mpArray16 <= b && b < mpNegative
}

// msgpackText shows a value that takes all of data, nearly as JSON.
func msgpackText(data []byte) (string, error) {
	var out strings.Builder
	r := msgpackReader{data: data, out: &out}
	if err := r.value(0); err != nil {
		return "", err
	}
	if len(r.data) > 0 {
		return "", fmt.Errorf("%d bytes follow", len(r.data))
	}
	return out.String(), nil
}

// msgpackReader consumes data and writes text.
type msgpackReader struct {
	data []byte
	out  *strings.Builder
}

func (r *msgpackReader) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.data)) {
		return nil, errMsgpackEnd
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b, nil
}

// uint reads an integer of 1, 2, 4 or 8 bytes.
func (r *msgpackReader) uint(bytes int) (uint64, error) {
	b, err := r.take(uint64(bytes))
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[8-bytes:], b)
	return binary.BigEndian.Uint64(wide[:]), nil
}

func (r *msgpackReader) value(depth int) error {
	if depth > maxNesting {
		return errMsgpackDeep
	}
	b, err := r.uint(1)
	if err != nil {
		return err
	}
	switch {
	case b < mpFixMap:
		return r.write(strconv.FormatUint(b, 10))
	case b < mpFixArray:
		return r.collection(b-mpFixMap, true, depth)
	case b < mpFixStr:
		return r.collection(b-mpFixArray, false, depth)
	case b < mpNil:
		return r.bytes(b - mpFixStr)
	case b == mpNil:
		return r.write("null")
	case b == mpFalse:
		return r.write("false")
	case b == mpTrue:
		return r.write("true")
	case b >= mpNegative:
		return r.write(strconv.Itoa(int(int8(b))))
	}
	return r.sized(byte(b), depth)
}

// sized reads a value whose first byte says how wide its length, or its number, is.
func (r *msgpackReader) sized(b byte, depth int) error {
	switch {
	case b >= mpFixExt1 && b < mpStr8:
		return r.extension(1 << (b - mpFixExt1))
	case b == mpFloat32, b == mpFloat64:
		return r.float(b)
	case b >= mpInt8 && b < mpFixExt1:
		return r.signed(1 << (b - mpInt8))
	}
	var width int
	switch {
	case b >= mpMap16:
		width = 2 << (b - mpMap16)
	case b >= mpArray16:
		width = 2 << (b - mpArray16)
	case b >= mpStr8:
		width = 1 << (b - mpStr8)
	case b >= mpUint8:
		width = 1 << (b - mpUint8)
	case b >= mpExt8:
		width = 1 << (b - mpExt8)
	case b >= mpBin8:
		width = 1 << (b - mpBin8)
	default:
		return fmt.Errorf("no value begins with %#x", b)
	}
	n, err := r.uint(width)
	switch {
	case err != nil:
		return err
	case b >= mpArray16:
		return r.collection(n, b >= mpMap16, depth)
	case b >= mpStr8:
		return r.bytes(n)
	case b >= mpUint8:
		return r.write(strconv.FormatUint(n, 10))
	case b >= mpExt8:
		return r.extension(n)
	}
	return r.bytes(n)
}

// write never fails: what ends with it is shorter.
func (r *msgpackReader) write(text string) error {
	r.out.WriteString(text)
	return nil
}

// bytes shows strings and bytes in the same way: older encoders have one form for both.
func (r *msgpackReader) bytes(n uint64) error {
	b, err := r.take(n)
	if err != nil {
		return err
	}
	if isText(b) {
		return r.write(strconv.Quote(string(b)))
	}
	return r.write("0x" + hex.EncodeToString(b))
}

func (r *msgpackReader) signed(width int) error {
	n, err := r.uint(width)
	if err != nil {
		return err
	}
	shift := 64 - 8*width // brings the sign to the top and back
	return r.write(strconv.FormatInt(int64(n<<shift)>>shift, 10))
}

func (r *msgpackReader) float(b byte) error {
	width := 4
	if b == mpFloat64 {
		width = 8
	}
	n, err := r.uint(width)
	if err != nil {
		return err
	}
	value := math.Float64frombits(n)
	if width == 4 {
		value = float64(math.Float32frombits(uint32(n)))
	}
	return r.write(strconv.FormatFloat(value, 'g', -1, 8*width))
}

// collection reads a list or a map. No length takes memory before its elements are there.
func (r *msgpackReader) collection(n uint64, isMap bool, depth int) error {
	open, end := "[", "]"
	if isMap {
		open, end = "{", "}"
	}
	r.out.WriteString(open)
	for i := range n {
		if i > 0 {
			r.out.WriteByte(',')
		}
		if isMap {
			if err := r.value(depth + 1); err != nil {
				return err
			}
			r.out.WriteByte(':')
		}
		if err := r.value(depth + 1); err != nil {
			return err
		}
	}
	return r.write(end)
}

// extension shows a timestamp as a time, and any other as its kind and its bytes.
func (r *msgpackReader) extension(n uint64) error {
	kind, err := r.uint(1)
	if err != nil {
		return err
	}
	b, err := r.take(n)
	if err != nil {
		return err
	}
	if int8(kind) != mpTimestamp {
		return r.write(fmt.Sprintf("ext(%d,0x%x)", int8(kind), b))
	}
	var seconds, nanos int64
	switch len(b) {
	case 4:
		seconds = int64(binary.BigEndian.Uint32(b))
	case 8:
		both := binary.BigEndian.Uint64(b)
		nanos, seconds = int64(both>>34), int64(both&(1<<34-1))
	case 12:
		nanos, seconds = int64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint64(b[4:]))
	default:
		return fmt.Errorf("a time in %d bytes", len(b))
	}
	return r.write(strconv.Quote(time.Unix(seconds, nanos).UTC().Format(time.RFC3339Nano)))
}
