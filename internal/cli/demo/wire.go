package demo

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Between the client and a peer there are frames in both directions, one answer for each request:
//
//	0  4  length of what follows, big-endian
//	4  1  the request's operation, or the answer's outcome
//	5  …  body; of a request but opStatus four bytes first, the raft group
const (
	opPut      byte = 1 // body: a command
	opGet      byte = 2 // body: keys; answer: for each of them 1 and the value, or 0 and nothing
	opStatus   byte = 3 // answer: a list of peerStatus by group, as JSON
	opBarrier  byte = 4 // answer: a peerStatus as JSON, after everything before it was applied
	opSnapshot byte = 5 // takes a snapshot and compacts the log
	opLead     byte = 6 // body: the id of a peer, which is to lead instead

	outcomeOK      byte = 1
	outcomeUnknown byte = 2 // body: why; a write may have happened or may happen yet
	outcomeRefused byte = 3 // body: why; no retry will change it

	maxFrameBytes = 16 << 20
)

var errFrameTooLarge = fmt.Errorf("frame is larger than %d bytes", maxFrameBytes)

// refusedError is the answer that no retry changes.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return e.reason }

func writeFrame(w *bufio.Writer, kind byte, body []byte) error {
	var head [5]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(body)+1))
	head[4] = kind
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	return w.Flush()
}

func readFrame(r *bufio.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > maxFrameBytes {
		return 0, nil, errFrameTooLarge
	}
	body = make([]byte, n-1)
	_, err = io.ReadFull(r, body)
	return head[4], body, err
}

// appendField and nextField put byte strings behind one another, each with its length before it.
func appendField(b, field []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
	return append(b, field...)
}

func nextField(b []byte) (field, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	return b[4 : 4+n], b[4+n:], nil
}

// conn is a client's connection to one peer, for one goroutine at a time.
type conn struct {
	c net.Conn
	r *bufio.Reader
	w *bufio.Writer
}

const (
	dialTimeout = time.Second
	callTimeout = 5 * time.Second
)

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, dialTimeout)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, r: bufio.NewReader(c), w: bufio.NewWriter(c)}, nil
}

func (c *conn) close() { _ = c.c.Close() }

// call sends one request and waits for its answer. After any error but a *refusedError the outcome is
// unknown and the connection is of no more use.
func (c *conn) call(op byte, body []byte) ([]byte, error) {
	if err := c.c.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return nil, err
	}
	if err := writeFrame(c.w, op, body); err != nil {
		return nil, err
	}
	outcome, answer, err := readFrame(c.r)
	switch {
	case err != nil:
		return nil, err
	case outcome == outcomeOK:
		return answer, nil
	case outcome == outcomeRefused:
		return nil, &refusedError{string(answer)}
	default:
		return nil, errors.New(string(answer))
	}
}

// callGroup is call for one raft group.
func (c *conn) callGroup(op byte, group int, body []byte) ([]byte, error) {
	return c.call(op, append(binary.BigEndian.AppendUint32(nil, uint32(group)), body...))
}
