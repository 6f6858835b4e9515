package cli

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
)

var errFull error = syscall.ENOSPC

// failing takes so many bytes, and then fails.
type failing struct {
	left int
	err  error
}

func (f *failing) Write(b []byte) (int, error) {
	n := min(len(b), f.left)
	if f.left -= n; n < len(b) {
		return n, f.err
	}
	return n, nil
}

// No command ends with 0 when something of its output could not be written, however little it was.
func TestEveryOutputFails(t *testing.T) {
	t.Parallel()
	stores := writeHostile(t)
	for path, runs := range everyCommand() {
		t.Run(path, func(t *testing.T) {
			for _, r := range runs {
				if r.changes { // it takes a while, and prints a line or more at its end
					for _, left := range []int{0, 40} {
						wantFull(t, stores.args(t, r), left, 0, r)
					}
					continue
				}
				args := stores.args(t, r)
				status, stdout, stderr := runBallast(args...)
				if stderr != "" && !strings.Contains(r.line, "{new}") {
					wantSilent(t, args, status, stdout)
				}
				if stdout == "" {
					continue
				}
				for _, left := range []int{0, len(stdout) / 2, len(stdout) - 1} {
					// Seconds have more digits another time.
					if left == 0 || !strings.Contains(stdout, "seconds") {
						wantFull(t, args, left, status, r)
					}
				}
				wantGone(t, args, status)
			}
		})
	}
}

// wantFull runs a command whose output takes so many bytes.
func wantFull(t *testing.T, args []string, left, status int, r everyRun) {
	t.Helper()
	var complaints bytes.Buffer
	got := Main(args, strings.NewReader(""), &failing{left: left, err: errFull}, &complaints)
	if got != ExitFailure && (got == 0 || got != status) {
		t.Errorf("%q with room for %d bytes: status %d, otherwise %d", args, left, got, status)
	}
	said := "ballast: "
	if r.changes {
		said += "the job is done, but what is printed about it is not complete"
	}
	text := complaints.String()
	why := "writing to standard output: no space left on device; make room there, "
	if !strings.Contains(text, said) || strings.Count(text, why) != 1 {
		t.Errorf("%q with a full disk says %q", args, text)
	}
}

// wantGone runs a command whose output nobody reads.
func wantGone(t *testing.T, args []string, status int) {
	t.Helper()
	var complaints bytes.Buffer
	got := Main(args, strings.NewReader(""), &failing{err: syscall.EPIPE}, &complaints)
	text := complaints.String()
	if got != ExitPipe && (got == 0 || got != status) || strings.Contains(text, "standard output") {
		t.Errorf("%q into a closed pipe: status %d, %q", args, got, text)
	}
}

// wantSilent runs a command whose messages nobody gets, which changes nothing.
func wantSilent(t *testing.T, args []string, status int, stdout string) {
	t.Helper()
	var out bytes.Buffer
	got := Main(args, strings.NewReader(""), &out, &failing{err: errFull})
	if got != status || out.String() != stdout {
		t.Errorf("%q without messages: status %d, want %d\n%s", args, got, status, out.String())
	}
}

// A result and a message come in the order in which they were written, and nothing follows what
// could not be written.
func TestStreams(t *testing.T) {
	var both bytes.Buffer
	s := newStreams(nil, &both, &both)
	must(t, writeLines(s.out, "one"))
	s.tell("two")
	must(t, writeLines(s.out, "three"))
	if both.String() != "one\nballast: two\n" {
		t.Errorf("before the end there is %q", both.String())
	}
	status := s.end(errors.New("four"), nil)
	if status != ExitFailure || both.String() != "one\nballast: two\nthree\nballast: four\n" {
		t.Errorf("status %d, %q", status, both.String())
	}

	var complaints bytes.Buffer
	s = newStreams(nil, &failing{err: errFull}, &complaints)
	_ = writeLines(s.out, "lost")
	s.tell("message")
	err := writeLines(s.out, "more")
	if !errors.Is(err, errFull) || !errors.Is(s.out.failed(), errFull) {
		t.Errorf("behind what could not be written: %v", err)
	}
	status = s.end(errors.Join(errors.New("another"), s.out.failed()), nil)
	if status != ExitFailure || strings.Count(complaints.String(), "standard output") != 1 {
		t.Errorf("status %d, %q", status, complaints.String())
	}
	for err, want := range map[error]int{
		exitStatus(ExitCorrupt): ExitCorrupt, usagef("x"): ExitUsage, errors.New("x"): ExitFailure,
	} {
		complaints.Reset()
		s = newStreams(nil, &failing{err: io.ErrShortWrite}, &complaints)
		_ = writeLines(s.out, "lost")
		got := s.end(err, nil)
		if got != want || !strings.Contains(complaints.String(), "standard output: short write") {
			t.Errorf("%v: status %d, want %d, %q", err, got, want, complaints.String())
		}
	}
}
