package demo

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestFrames(t *testing.T) {
	var wire bytes.Buffer
	w := bufio.NewWriter(&wire)
	for _, body := range []string{"", "x", "a longer one"} {
		if err := writeFrame(w, opGet, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	r := bufio.NewReader(&wire)
	for _, want := range []string{"", "x", "a longer one"} {
		if kind, body, err := readFrame(r); err != nil || kind != opGet || string(body) != want {
			t.Errorf("readFrame: %d, %q, %v; want %q", kind, body, err, want)
		}
	}
	if _, _, err := readFrame(r); err != io.EOF {
		t.Errorf("readFrame at the end: %v", err)
	}
}

func TestBadFrames(t *testing.T) {
	cases := []struct {
		name string
		wire string
		want error
	}{
		{"cut header", "\x00\x00", io.ErrUnexpectedEOF},
		{"cut body", "\x00\x00\x00\x05\x01ab", io.ErrUnexpectedEOF},
		{"no room for the kind", "\x00\x00\x00\x00\x01", errFrameTooLarge},
		{"too large", "\xff\xff\xff\xff\x01", errFrameTooLarge},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, _, err := readFrame(bufio.NewReader(bytes.NewBufferString(c.wire))); !errors.Is(err, c.want) {
				t.Errorf("readFrame: %v, want %v", err, c.want)
			}
		})
	}
}

func TestPeerRefusesWhatItCannotRead(t *testing.T) {
	p := &replica{machine: newMachine()}
	cases := []struct {
		name string
		op   byte
		body string
		want string
	}{
		{"unknown operation", 99, "", "operation 99 is not known"},
		{"damaged command", opPut, "123456789", "checksum of the command does not match"},
		{"cut list of keys", opGet, "\x00\x00\x00\x09key", "unexpected EOF"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := p.handle(c.op, []byte(c.body))
			if _, refused := errors.AsType[*refusedError](err); !refused || err.Error() != c.want {
				t.Errorf("handle: %v, want a refusal: %s", err, c.want)
			}
		})
	}
}
