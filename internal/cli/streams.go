package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"unicode/utf8"

	"golang.org/x/term"
)

// bufferBytes are of output, where nobody watches.
const bufferBytes = 64 << 10

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err *stream
}

// newStreams takes what the system gave. Results are kept back until there is a message, so that
// both come in their order.
func newStreams(in io.Reader, out, err io.Writer) streams {
	s := streams{in: in, out: newStream(out), err: newStream(err)}
	s.out.live = s.out.terminal()
	s.err.live, s.err.first = true, s.out
	return s
}

// tell writes a message about what goes on.
func (s streams) tell(format string, args ...any) {
	fmt.Fprintf(s.err, "ballast: %s\n", escaped(fmt.Sprintf(format, args...)))
}

// done says that what the command was to do is done, and only its report is to come.
func (s streams) done() { s.out.isDone = true }

// stream is where a command writes text. What cannot be written is remembered, and Main ends with
// it: so no command has to look at each write, nor to flush. What must not reach a terminal is
// escaped.
type stream struct {
	to     io.Writer
	live   bool    // each write is shown at once
	first  *stream // flushed before this is written to, which then never fails
	isDone bool

	mu   sync.Mutex
	buf  *bufio.Writer
	part []byte // of a character whose end comes with the next write
	err  *outputError
}

func newStream(to io.Writer) *stream {
	return &stream{to: to, buf: bufio.NewWriterSize(to, bufferBytes)}
}

// Write implements io.Writer for text.
func (o *stream) Write(b []byte) (int, error) { return o.write(b, true) }

// raw returns a writer of the same output for what is no text.
func (o *stream) raw() io.Writer { return rawStream{o} }

type rawStream struct{ *stream }

// Write implements io.Writer.
func (r rawStream) Write(b []byte) (int, error) { return r.write(b, false) }

// shownAtOnce returns a writer of the same output, of which nothing waits, for what is no text or
// was escaped.
func (o *stream) shownAtOnce() io.Writer { return liveStream{o} }

type liveStream struct{ *stream }

// Write implements io.Writer.
func (l liveStream) Write(b []byte) (int, error) {
	n, err := l.write(b, false)
	return n, errors.Join(err, l.flush())
}

// write returns no error of standard error: a message that nobody gets does not change how a
// command ends.
func (o *stream) write(b []byte, text bool) (int, error) {
	if o.first != nil {
		_ = o.first.flush() // which remembers why
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	data := b
	if text {
		data = o.filter(b)
	} else {
		o.endPart()
	}
	_, err := o.buf.Write(data)
	if err == nil && o.live {
		err = o.buf.Flush()
	}
	if err = o.note(err); err != nil && o.first == nil {
		return 0, err
	}
	return len(b), nil
}

// filter escapes what has no place in text, of which each write may be any piece.
func (o *stream) filter(b []byte) []byte {
	if len(o.part) == 0 && isPlain(b) {
		return b
	}
	b = append(o.part, b...)
	end := len(b)
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		if at := len(b) - back; utf8.RuneStart(b[at]) {
			if !utf8.FullRune(b[at:]) {
				end = at
			}
			break
		}
	}
	o.part = append([]byte(nil), b[end:]...)
	return appendEscaped(nil, string(b[:end]), "\n\t")
}

// isPlain reports whether bytes are lines of printable ASCII, as most are.
func isPlain(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c >= 0x7f) && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// endPart writes the beginning of a character that has no end.
func (o *stream) endPart() {
	_, err := o.buf.Write(appendEscaped(nil, string(o.part), ""))
	o.part = nil
	_ = o.note(err) // which remembers it
}

// flush writes what waits to be written.
func (o *stream) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.note(o.buf.Flush())
}

// end writes all there is, and returns why something could not be written; nil when everything was.
func (o *stream) end() *outputError {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.endPart()
	_ = o.note(o.buf.Flush()) // it is remembered
	return o.err
}

// failed returns why something could not be written, as far as that is known.
func (o *stream) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.note(nil)
}

// note remembers the first error, and returns it from then on.
func (o *stream) note(err error) error {
	if err != nil && o.err == nil {
		o.err = &outputError{o, err}
	}
	if o.err == nil {
		return nil // and no pointer that is nil
	}
	return o.err
}

// terminal reports whether somebody watches.
func (o *stream) terminal() bool {
	file, ok := o.to.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// width is how many characters a line of the terminal has.
func (o *stream) width() int {
	const usual, least = 80, 20
	file, ok := o.to.(*os.File)
	if !ok {
		return usual
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width < least {
		return usual
	}
	return width
}

// outputError is why standard output is not complete.
type outputError struct {
	of  *stream
	err error
}

func (e *outputError) Error() string {
	what := "what is printed is not complete"
	if e.of.isDone {
		what = "the job is done, but what is printed about it is not complete"
	}
	return fmt.Sprintf("%s: writing to standard output: %v; make room there, or send it elsewhere",
		what, e.err)
}

func (e *outputError) Unwrap() error { return e.err }

// unread reports whether whoever read the output has gone, as head does when it has seen enough.
func (e *outputError) unread() bool {
	return errors.Is(e.err, syscall.EPIPE) || errors.Is(e.err, io.ErrClosedPipe)
}
